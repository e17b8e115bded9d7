/* Who logs in: the client of a login request, and the account of its user name. */
#ifndef AUTHD_IDENTIFY_H
#define AUTHD_IDENTIFY_H

#include "authd/request.h"

/* IDENTIFY: the name for the drivers, the client of a trusted forwarded login, the challenge that was answered. */
enum request_state step_identify(struct request *rq);
/* LOOKUP: queries the chain of drivers from rq->pos on. With VERIFY or VERDICT rq->result is their result, and
 * rq->account is set if that is AUTH_OK. */
enum request_state step_lookup(struct request *rq);
/* The query for the drivers; lives as long as RQ. */
struct auth_question request_question(const struct request *rq);

#endif
