/* Whose certificates clients may show: authorities and what they have revoked, from PEM. */
#ifndef LIB_TLS_TRUST_H
#define LIB_TLS_TRUST_H

#include <openssl/x509.h>

#include "lib/str.h"

struct tls_trust;

enum {
	TLS_TRUST_MAX = 8 * 1024 * 1024, /* bytes of PEM */
	TLS_TRUST_SHOWN_MAX = 8          /* certificates that who shows one may show in all */
};

/* The certificates and revocation lists among the LEN bytes of PEM; what is between them is passed over. NULL, with a
 * sentence in WHY: there is no certificate, or something cannot be read. */
struct tls_trust *tls_trust_new(const void *pem, size_t len, struct str *why);
/* The same of a memory file that nobody writes to any more; FD stays the caller's. */
struct tls_trust *tls_trust_read(int fd, struct str *why);
void tls_trust_free(struct tls_trust **t);
/* Whether CERT is a client's, and leads to one in T now, perhaps by OTHERS, which its owner has sent, too (at most
 * TLS_TRUST_SHOWN_MAX; may be NULL): X509_V_OK, or why not, for X509_verify_cert_error_string(). If T, which may be
 * NULL, has a revocation list, then each authority needs a valid one. Who shows CERT has not proved that it is his. */
int tls_trust_verify(const struct tls_trust *t, X509 *cert, STACK_OF(X509) * others);

#endif
