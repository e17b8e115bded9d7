/* The certificates that clients of a login worker are asked for: what the settings say, and whom we believe. */
#ifndef LOGIN_CLIENT_CERTS_H
#define LOGIN_CLIENT_CERTS_H

#include <openssl/ssl.h>

#include "settings/settings.h"

struct client_certs;

/* Nobody is believed yet. */
struct client_certs *client_certs_new(const struct settings *set);
/* No context may use it any more. */
void client_certs_free(struct client_certs **c);
/* Each client of P that uses TLS has to show a good certificate. */
bool client_certs_demanded(const struct settings *set, enum protocol p);
/* FD, for tls_trust_read(), has those whom clients of P have their certificates from, from now on; it stays the
 * caller's. If it cannot be used that is logged, and those of before stay. */
void client_certs_trust(struct client_certs *c, enum protocol p, int fd);
/* CTX, a server's for clients of P, asks for their certificates if the settings say so, tells them the names of those
 * who are believed now, and refuses bad ones. One that none of these has issued counts as none, but where a certificate
 * is demanded: SSL_get_verify_result() is not X509_V_OK then. False: it does not ask. If it does, it gives and takes no
 * session tickets: a resumed session would keep what was believed then, and one without a certificate would not be
 * asked again. */
bool client_certs_use(struct client_certs *c, enum protocol p, SSL_CTX *ctx);

#endif
