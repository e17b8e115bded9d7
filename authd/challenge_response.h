/* Logins in which the client proves that it knows its password without sending it: what an account needs for them, and
 * whether the response to a challenge is right. Works on the account's record; never waits. */
#ifndef AUTHD_CHALLENGE_RESPONSE_H
#define AUTHD_CHALLENGE_RESPONSE_H

#include "authlib/auth.h"
#include "authlib/scram_secret.h"
#include "node/msg_auth.h"

/* A has the data for logins by MECH, which sends no password, and is not locked. */
bool challenge_response_can(enum auth_mech mech, const struct account *a);
/* How to give an account that data in a userdb, for the operator (static); NULL: MECH is none of these. */
const char *challenge_response_remedy(enum auth_mech mech);

/* Appends the names of the mechanisms that A has the data for, separated by blanks, without those that send the
 * password. */
void challenge_response_list(struct str *out, const struct account *a);

/* Checks RESPONSE (hex digits, of either case) to CHALLENGE by MECH (CRAM or APOP) with the password of A. AUTH_OK,
 * AUTH_MISMATCH; AUTH_DISABLED if the account is locked, or has no data to check it with, for which *WHY then has the
 * reason for the log (static; else ""). Takes the same time in all these cases. */
enum auth_result challenge_response_check(enum auth_mech mech, const struct account *a, const char *challenge,
    const char *response, const char **why);

/* The hash of MECH, which is one of SCRAM. */
enum scram_hash challenge_response_scram_hash(enum auth_mech mech);

#endif
