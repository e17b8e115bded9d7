/* Whether an account may log in, from that client, now; and the start of its session. */
#ifndef AUTHD_ADMIT_H
#define AUTHD_ADMIT_H

#include "authd/request.h"

/* ADMIT: the account's options, its ids, the limits. */
enum request_state step_admit(struct request *rq);
/* GRANT: enters the session into the register, signs it for its targets or makes a ticket, and sends the reply. */
enum request_state step_grant(struct request *rq);

#endif
