/* Ends sessions for the operator: asks each server, and kills those that have not ended after KICK_GRACE. */
#ifndef MASTER_KICK_H
#define MASTER_KICK_H

#include "master/servers.h"

/* Seconds. More than a server needs to send its goodbye to a slow client: BIO_STOP_GRACE, then 2 s. */
enum { KICK_GRACE = 6 };

/* SESSIONS have ended for QUERY, KILLED of them by force. */
typedef void kick_done_fn(uint32_t query, uint32_t sessions, uint32_t killed);

void kick_init(struct ev_loop *loop, kick_done_fn *done);
/* Ends the sessions that CHOICE means; the answer comes when all have ended, perhaps at once. QUERY is not 0 and not
 * pending. */
void kick_sessions(uint32_t query, const struct session_choice *choice);
/* Server S has ended. */
void kick_ended(const struct server *s);

#endif
