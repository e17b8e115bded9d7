/* May an account log in, from where its client is, now; and the session that it then has. */
#ifndef AUTHD_ADMIT_H
#define AUTHD_ADMIT_H

#include "authd/request.h"

/* ADMIT: the account's options, its ids, the limits. */
enum request_state step_admit(struct request *rq);
/* GRANT: the session is entered into the register, signed for its targets or given a ticket, and the answer goes
 * out. */
enum request_state step_grant(struct request *rq);

#endif
