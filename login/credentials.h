/* The credentials with which a client wants to log in, while authd or a peer needs them: l->user, l->password and how
 * they came. */
#ifndef LOGIN_CREDENTIALS_H
#define LOGIN_CREDENTIALS_H

#include "node/msg_auth.h"

struct login;

/* Sets l->user and l->password to copies, replacing older ones; METHOD, a constant, is for the log. If one of the two
 * is empty, too long or has control characters it cannot be right: authd refuses and logs it like any other attempt,
 * but gets only a name that is cut and cleaned, and no password. */
void credentials_set(struct login *l, const char *user, size_t user_len, const char *password, size_t password_len,
    const char *method);
/* The same for MECH with another credential than a password: the response to a challenge, another node's token, or
 * SCRAM's first message. */
void credentials_set_proof(struct login *l, enum auth_mech mech, const char *user, size_t user_len, const char *proof,
    size_t proof_len);
/* A later message of SCRAM, for the same user. False: it is invalid; the exchange is over. */
bool credentials_set_step(struct login *l, const char *text, size_t len);
/* Frees both; the password is wiped. */
void credentials_forget(struct login *l);

#endif
