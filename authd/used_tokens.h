/* Tokens of other nodes of the pool (forwarded_token()): each is good once. */
#ifndef AUTHD_USED_TOKENS_H
#define AUTHD_USED_TOKENS_H

#include "node/msg_auth.h"

/* Tokens (forwarded_token()) that were taken, so that none is taken twice. Only our nodes can make one: those of the
 * last minutes are all kept. */
struct used_tokens;

struct used_tokens *used_tokens_new(void);
void used_tokens_free(struct used_tokens **t);
/* Takes the token TEXT at time NOW (any clock that does not jump): false if it was taken before. */
bool used_tokens_take(struct used_tokens *t, const char text[TOKEN_TEXT_MAX], double now);

#endif
