/* Ending the sessions of a user: each server is asked to, and what has not ended after KICK_GRACE is killed. */
#ifndef MASTER_KICK_H
#define MASTER_KICK_H

#include "master/servers.h"

/* Seconds. More than a server needs that waits for its client to take its last words: BIO_STOP_GRACE, then 2 s. */
enum { KICK_GRACE = 6 };

/* SESSIONS have ended for QUERY, KILLED of them by force. */
typedef void kick_done_fn(uint32_t query, uint32_t sessions, uint32_t killed);

void kick_init(struct ev_loop *loop, kick_done_fn *done);
/* Ends the sessions of USER; the answer comes when all have ended, perhaps at once. QUERY is not 0 and not under
 * way. */
void kick_user(uint32_t query, const char *user);
/* Server S has ended. */
void kick_ended(const struct server *s);

#endif
