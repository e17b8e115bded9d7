/* Session tickets of TLS 1.3 that every node of a pool can open: their keys come from one secret and the time. Who has
 * the secret makes the keys of a period (tls_tickets_key()); who serves TLS has those of three periods and cannot make
 * others. A ticket is made with the present key and opened with its neighbours', too: clocks differ, and a ticket
 * lives for a period. TLS 1.2 gets none: whoever came to a key of tickets could read all that was said under them,
 * which (EC)DHE prevents in TLS 1.3 (RFC 8446 2.2). */
#ifndef LIB_TLS_TICKETS_H
#define LIB_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "lib/mac.h"

enum {
	TLS_TICKETS_PERIOD = 6 * 3600, /* seconds */
	TLS_TICKETS_KEYS = 3           /* of the period before, of this one, of the next one */
};

/* The number of the period in which the wall clock's second NOW lies. */
uint32_t tls_tickets_period(int64_t now);
/* The key of PERIOD, from SECRET. */
void tls_tickets_key(struct mac *secret, uint32_t period, uint8_t key[MAC_LEN]);

struct tls_tickets;

/* There are no keys yet: no tickets are made or opened. */
struct tls_tickets *tls_tickets_new(void);
/* Wipes the keys; *T may be NULL. No context may use it any more. */
void tls_tickets_free(struct tls_tickets **t);
/* The keys of the periods around the present one, oldest first. */
void tls_tickets_set(struct tls_tickets *t, uint8_t keys[TLS_TICKETS_KEYS][MAC_LEN]);
/* CTX, a server's, gives and takes tickets with T, for what USE names: they are valid nowhere else. Contexts between
 * which the name that a client asks for decides all have to be told. */
void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx, const char *use);

#endif
