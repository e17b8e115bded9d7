/* Challenges for mechanisms in which the server speaks first (CRAM, APOP). They are made here, so that a compromised
 * login worker cannot reuse one whose response it has seen, and each is valid for one response. */
#ifndef AUTHD_CHALLENGES_H
#define AUTHD_CHALLENGES_H

#include "node/msg_auth.h"

/* A unique challenge that nobody can guess, "<random.time@NODE>", into OUT (RFC 2195 section 2, RFC 1939 section 7).
 * Bytes of NODE that are not allowed in one are omitted. */
void challenge_text(char out[AUTH_TEXT_MAX], const char *node);

/* The pending challenges of one worker, found by the number of its request. */
struct challenges;

struct challenges *challenges_new(void);
void challenges_free(struct challenges **t);
/* A new challenge for REQUEST, which has none yet, at time NOW (seconds); NULL: it has one, or there are
 * AUTH_CHALLENGES_MAX. The text lives until the challenge is taken, dropped or expired. */
const char *challenges_make(struct challenges *t, uint32_t request, enum auth_mech mech, const char *node, double now);
/* There are AUTH_CHALLENGES_MAX. */
bool challenges_full(const struct challenges *t);
/* Removes the challenge of REQUEST, which is copied to OUT. False: there is none, or it is not of MECH. */
bool challenges_take(struct challenges *t, uint32_t request, enum auth_mech mech, char out[AUTH_TEXT_MAX]);
/* Drops the challenge of REQUEST, if there is one. */
void challenges_drop(struct challenges *t, uint32_t request);
/* Ends those that began before THEN. */
void challenges_expire(struct challenges *t, double then);

#endif
