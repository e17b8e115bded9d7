/* Who logs in: the client of a login request, and the account of its user name. */
#ifndef AUTHD_IDENTIFY_H
#define AUTHD_IDENTIFY_H

#include "authd/request.h"

/* IDENTIFY: the name as the drivers know it, the client that a believed forwarded stands for, the challenge that was
 * answered. */
enum request_state step_identify(struct request *rq);
/* LOOKUP: queries the chain of drivers from rq->pos on. With VERIFY or VERDICT rq->result is what they say, and
 * rq->account is there if that is AUTH_OK. */
enum request_state step_lookup(struct request *rq);
/* What the drivers are asked; lives as long as RQ. */
struct auth_question request_question(const struct request *rq);

#endif
