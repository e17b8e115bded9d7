/* One certificate as libssl shows it: its key, whose private half the key process has, the certificates that lead to
 * whom clients trust, and what it is shown for. */
#ifndef LOGIN_CERTIFICATE_H
#define LOGIN_CERTIFICATE_H

#include <openssl/ssl.h>

#include "lib/str.h"
#include "node/key_use.h"

struct certificate {
	struct certificate *next; /* the owner's */
	char text[KEY_USE_MAX];   /* its use, as the master has said it */
	struct key_use use;
	uint32_t key;
	bool old; /* told by a key process that has ended */
	X509 *cert;
	EVP_PKEY *pkey;
	STACK_OF(X509) * chain;
	char **names;       /* of KEY_FOR_ITS_OWN: tls_choice_pattern(), ended by NULL */
	struct str ocsp;    /* the response that goes with it; empty: there is none */
	int64_t ocsp_until; /* unix seconds */
};

/* Has a digest signed with KEY (tls_sign_fn()). */
typedef size_t certificate_sign_fn(void *owner, uint32_t key, enum tls_scheme scheme, const void *digest, uint8_t *sig);

/* From what the key process tells. SIGN is called with OWNER as long as a connection has the key. NULL: libssl does not
 * take it, or its use is unknown; WHY is the reason. */
struct certificate *certificate_new(const struct key_chain *chain, certificate_sign_fn *sign, void *owner,
    const char **why);
/* Connections that show it keep what they need. *X may be NULL. */
void certificate_free(struct certificate **x);
/* It is for who asks for NAME (tls_choice_name()), or for the wildcard of that. */
bool certificate_is_for(const struct certificate *x, const char *name);
/* CTX shows it to all, or SSL to its client, besides those of other kinds of key. */
bool certificate_show(const struct certificate *x, SSL_CTX *ctx);
bool certificate_show_to(const struct certificate *x, SSL *ssl);

#endif
