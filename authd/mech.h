/* Logins in which the client proves that it knows its password without telling it: challenges, and whether an answer
 * to one is right. Nothing here waits; the account's record is there already. */
#ifndef AUTHD_MECH_H
#define AUTHD_MECH_H

#include "authd/auth_wire.h"
#include "authlib/auth.h"
#include "authlib/scram_secret.h"

/* A challenge that was never there before and that nobody can guess, "<random.time@NODE>", into OUT (RFC 2195 section 2, RFC
 * 1939 section 7). Bytes of NODE that may not stand in one are left out. */
void mech_challenge(char out[AUTH_TEXT_MAX], const char *node);

/* Nobody may log in to it, by whatever mechanism. */
bool account_locked(const struct account *a);

/* The account's password, where its directory has it in clear ({PLAIN} hashes too), in DST, which the caller wipes. */
bool account_password(const struct account *a, char dst[ACCOUNT_PASSWORD_MAX]);

/* Appends the names of the mechanisms that A has what it takes for, but those that tell the password, with blanks between. */
void mech_list(struct str *out, const struct account *a);

/* RESPONSE (hex digits, of either case) is the answer to CHALLENGE by MECH (CRAM or APOP) of somebody who knows the password
 * of A. AUTH_OK, AUTH_MISMATCH; AUTH_DISABLED if the account is locked, or nothing is stored of its password that
 * could tell, which *WHY then says for the log (static; else ""). Takes the same time in all these cases. */
enum auth_result mech_check(enum auth_mech mech, const struct account *a, const char *challenge, const char *response, const char **why);

/* The hash of MECH, which is one of SCRAM. */
enum scram_hash mech_scram_hash(enum auth_mech mech);

/* Challenges that wait for their clients: those of one worker, found by the number of its question. */
struct talks;

struct talks *talks_new(void);
void talks_free(struct talks **t);
/* A new challenge for question REQUEST, which has none yet, at time NOW (seconds); NULL: it has one, or there are
 * AUTH_TALKS_MAX. The text lives until the talk ends. */
const char *talks_begin(struct talks *t, uint32_t request, enum auth_mech mech, const char *node, double now);
/* Ends the talk of REQUEST and copies its challenge to OUT. False: there is none, or it is not of MECH. */
bool talks_take(struct talks *t, uint32_t request, enum auth_mech mech, char out[AUTH_TEXT_MAX]);
/* Ends the talk of REQUEST, if there is one. */
void talks_end(struct talks *t, uint32_t request);
/* Ends those that began before THEN. */
void talks_expire(struct talks *t, double then);

/* Tokens (hop_token()) that were taken, so that none is taken twice. Only our nodes can make one: those of the last
 * minutes are all kept. */
struct tokens;

struct tokens *tokens_new(void);
void tokens_free(struct tokens **t);
/* Takes the token TEXT at time NOW (any clock that does not jump): false if it was taken before. */
bool tokens_take(struct tokens *t, const char text[TOKEN_TEXT_MAX], double now);

#endif
