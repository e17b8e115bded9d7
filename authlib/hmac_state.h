/* The stored secret of challenge-response logins: the two states of an HMAC (RFC 2104) after it has processed the key,
 * so that the key itself need not be stored. In the format of userdb's hmac-*pw fields. */
#ifndef AUTHLIB_HMAC_STATE_H
#define AUTHLIB_HMAC_STATE_H

#include "lib/str.h"

/* Appends the state for HASH ("md5", "sha1", "sha256") and PASSWORD to OUT: lower-case hex digits, the outer
 * state first, then the inner one. False if HASH is none of these. */
bool hmac_state_add(struct str *out, const char *hash, const char *password);
/* Number of digits of a state for HASH; 0 if it is none of these. */
size_t hmac_state_len(const char *hash);
/* Appends the HMAC of the LEN bytes at TEXT to OUT, in lower-case hex digits, with the key of which STATE was made.
 * False if HASH is none of these or STATE is not a state of it. */
bool hmac_state_digest(struct str *out, const char *hash, const char *state, const void *text, size_t len);

#endif
