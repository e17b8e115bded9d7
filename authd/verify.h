/* Verifies the credentials of a request: password, response to a challenge, SCRAM, or another node's token. */
#ifndef AUTHD_VERIFY_H
#define AUTHD_VERIFY_H

#include "authd/request.h"

/* VERIFY: rq->result is the drivers' result for the account; with VERDICT it becomes that for the credentials. */
enum request_state step_verify(struct request *rq);
/* Sends the challenge that was made. */
enum request_state step_say(struct request *rq);
/* CLIENT: the client's next message. */
enum request_state step_message(struct request *rq, const char *text);
/* VERDICT: rq->result. */
enum request_state step_verdict(struct request *rq);

#endif
