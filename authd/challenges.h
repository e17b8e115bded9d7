/* Challenges for mechanisms in which the server speaks first (CRAM, APOP). They are made here, so that a login
 * worker that was taken over cannot choose one whose answer it has heard, and each is good for one answer. */
#ifndef AUTHD_CHALLENGES_H
#define AUTHD_CHALLENGES_H

#include "node/msg_auth.h"

/* A challenge that was never there before and that nobody can guess, "<random.time@NODE>", into OUT (RFC 2195
 * section 2, RFC 1939 section 7). Bytes of NODE that may not stand in one are left out. */
void challenge_text(char out[AUTH_TEXT_MAX], const char *node);

/* Challenges that wait for their clients: those of one worker, found by the number of its request. */
struct challenges;

struct challenges *challenges_new(void);
void challenges_free(struct challenges **t);
/* A new challenge for REQUEST, which has none yet, at time NOW (seconds); NULL: it has one, or there are
 * AUTH_CHALLENGES_MAX. The text lives until the challenge is taken, dropped or expired. */
const char *challenges_make(struct challenges *t, uint32_t request, enum auth_mech mech, const char *node, double now);
/* There are AUTH_CHALLENGES_MAX. */
bool challenges_full(const struct challenges *t);
/* The challenge of REQUEST, which is over then, into OUT. False: there is none, or it is not of MECH. */
bool challenges_take(struct challenges *t, uint32_t request, enum auth_mech mech, char out[AUTH_TEXT_MAX]);
/* Drops the challenge of REQUEST, if there is one. */
void challenges_drop(struct challenges *t, uint32_t request);
/* Ends those that began before THEN. */
void challenges_expire(struct challenges *t, double then);

#endif
