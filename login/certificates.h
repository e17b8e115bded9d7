/* The certificates that a login worker can show, each with a context of libssl, as its key process tells of them. Their
 * private keys stay there (login/key_client.h). */
#ifndef LOGIN_CERTIFICATES_H
#define LOGIN_CERTIFICATES_H

#include <ev.h>
#include <openssl/ssl.h>

#include "lib/tls_ticket_keys.h"

struct certificates;

struct certificates *certificates_new(struct ev_loop *loop);
/* Handshakes that have begun fail. */
void certificates_free(struct certificates **c);
/* SOCK leads to a new key process, and is taken over. What the one before has told stays until this one tells. */
void certificates_channel(struct certificates *c, int sock);
/* Session tickets are made and opened with KEYS from now on. */
void certificates_ticket_keys(struct certificates *c, const struct tls_ticket_keys *keys);
/* The context for USE (struct key_chain), valid until the loop's next turn; NULL: there is no certificate. */
SSL_CTX *certificates_context(const struct certificates *c, const char *use);

#endif
