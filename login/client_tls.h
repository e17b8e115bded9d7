/* TLS of a client: with what it begins, which it is, and why there is none. */
#ifndef LOGIN_CLIENT_TLS_H
#define LOGIN_CLIENT_TLS_H

#include <openssl/ssl.h>

#include "lib/conn.h"
#include "lib/net.h"
#include "lib/proxy_header.h"
#include "login/certificates.h"
#include "node/session.h"

/* With which the connection FD of a client of PROTOCOL begins TLS, at once or after STARTTLS; valid until the loop's
 * next turn. NULL: there is no certificate. */
SSL_CTX *client_tls_context(struct certificates *certificates, enum protocol protocol, bool starttls, int fd);
/* Words about the TLS of C, session_tls_ok(); "" if C is plain or not that far yet. */
void client_tls_words(const struct conn *c, char dst[SESSION_TLS_MAX]);

/* The same of a client whose TLS ends at a proxy in front, which has said F; "" also if that cannot be such words. */
void client_tls_of_front(const struct proxy_header_facts *f, char dst[SESSION_TLS_MAX]);

/* C, a connection of CLIENT, is broken. If that is because of what the client said as TLS, writes a line of PROGRAM
 * that says why, and what to do; each kind of line once a minute, as strangers can cause it. Returns whether it was. */
bool client_tls_failed(const struct conn *c, const struct net_addr *client, const char *program);
/* CLIENT has begun with TLS, and nothing can be shown to it: a line of the same kind. */
void client_tls_impossible(const struct net_addr *client, const char *program);
/* The TLS of CLIENT ends at a proxy that does not say that it has shown a good certificate, and it has to: the same. */
void client_tls_unproven(const struct net_addr *client, const char *program);
/* How many were. */
uint64_t client_tls_failures(void);

#endif
