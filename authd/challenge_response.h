/* Logins in which the client proves that it knows its password without telling it: what an account has to have for
 * them, and whether the answer to a challenge is right. Nothing here waits; the account's record is there already. */
#ifndef AUTHD_CHALLENGE_RESPONSE_H
#define AUTHD_CHALLENGE_RESPONSE_H

#include "authlib/auth.h"
#include "authlib/scram_secret.h"
#include "node/msg_auth.h"

/* Appends the names of the mechanisms that A has what it takes for, but those that tell the password, with blanks
 * between. */
void challenge_response_list(struct str *out, const struct account *a);

/* RESPONSE (hex digits, of either case) is the answer to CHALLENGE by MECH (CRAM or APOP) of somebody who knows the
 * password of A. AUTH_OK, AUTH_MISMATCH; AUTH_DISABLED if the account is locked, or nothing is stored of its
 * password that could tell, which *WHY then says for the log (static; else ""). Takes the same time in all these
 * cases. */
enum auth_result challenge_response_check(enum auth_mech mech, const struct account *a, const char *challenge,
    const char *response, const char **why);

/* The hash of MECH, which is one of SCRAM. */
enum scram_hash challenge_response_scram_hash(enum auth_mech mech);

#endif
