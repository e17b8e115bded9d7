/* The certificates behind the first one of chains, each held once however many chains it stands in: of ten thousand
 * certificates most come from the same few authorities. */
#ifndef LIB_TLS_ISSUERS_H
#define LIB_TLS_ISSUERS_H

#include <openssl/x509.h>

#include "lib/base.h"

struct tls_issuers;

/* One of them; it may be looked at until tls_issuers_drop(). */
struct tls_issuer {
	X509 *cert;
	const void *der;
	size_t len;
};

struct tls_issuers *tls_issuers_new(void);
/* All that it gave out has to have been dropped. *T may be NULL. */
void tls_issuers_free(struct tls_issuers **t);
/* The certificate of which DER has the LEN bytes; to be dropped as often as it was taken. NULL: it is none. */
const struct tls_issuer *tls_issuers_take(struct tls_issuers *t, const void *der, size_t len);
void tls_issuers_drop(struct tls_issuers *t, const struct tls_issuer *x);

#endif
