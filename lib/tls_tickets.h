/* Session tickets of TLS 1.3 that every node of a pool can open (lib/tls_ticket_keys.h). TLS 1.2 gets none: whoever
 * came to a key of tickets could read all that was said under them, which (EC)DHE prevents in TLS 1.3 (RFC 8446 2.2).
 * Nothing may be sent in the first flight (0-RTT), which could be replayed. A client gets one for each connection. It
 * has the time of the full handshake that it comes from, and so have those that are got with it: after TLS_TICKETS_LIFE
 * there has to be another. */
#ifndef LIB_TLS_TICKETS_H
#define LIB_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "lib/tls_ticket_keys.h"

enum { TLS_TICKETS_LIFE = 24 * 3600 }; /* seconds */

struct tls_tickets;

/* There are no keys yet: no tickets are made or opened. */
struct tls_tickets *tls_tickets_new(void);
/* Wipes the keys; *T may be NULL. No context may use it any more. */
void tls_tickets_free(struct tls_tickets **t);
/* From now on tickets are made and opened with KEYS, and no longer with others. Without any there are none. */
void tls_tickets_set(struct tls_tickets *t, const struct tls_ticket_keys *keys);
/* CTX, a server's, gives and takes tickets with T, for what USE names and the name that the client asks for: they are
 * valid nowhere else. Contexts between which that name decides all have to be told. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx, const char *use);

#endif
