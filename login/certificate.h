/* One certificate as libssl shows it: its key, whose private half the key process has, the certificates that lead to
 * whom clients trust, and what it is shown for. Until a client needs it, it is bytes: ten times smaller. */
#ifndef LOGIN_CERTIFICATE_H
#define LOGIN_CERTIFICATE_H

#include <openssl/ssl.h>
#include <uthash.h>

#include "lib/str.h"
#include "lib/tls_issuers.h"
#include "node/key_use.h"

/* Has a digest signed with KEY (tls_sign_fn()). */
typedef size_t certificate_sign_fn(void *owner, uint32_t key, enum tls_scheme scheme, const void *digest, uint8_t *sig);

/* What certificates share. */
struct certificate_pool;

/* SIGN is called with OWNER as long as a connection has a key. */
struct certificate_pool *certificate_pool_new(certificate_sign_fn *sign, void *owner);
/* All certificates of it have to be gone. */
void certificate_pool_free(struct certificate_pool **p);

struct certificate {
	char *text; /* its use, as the master has said it */
	enum protocol protocol;
	enum key_use_for what;
	char **names; /* who has to ask for it (struct key_use); of KEY_FOR_ITS_OWN several; ended by NULL */
	uint32_t key;
	bool is_rsa;
	bool old;                                /* told by a key process that has ended */
	struct str ocsp;                         /* the response that goes with it; empty: there is none */
	int64_t ocsp_until;                      /* unix seconds */
	X509 *cert;                              /* NULL: it was not loaded */
	UT_hash_handle hh_text, hh_key, hh_cert; /* the owner's */
	/* certificate.c's */
	struct certificate_pool *pool;
	struct str der;
	unsigned behind; /* certificates behind that one */
	const struct tls_issuer **issuer;
	EVP_PKEY *pkey;
};

/* From what the key process tells. NULL: libssl does not take it, or its use is unknown; WHY is the reason. */
struct certificate *certificate_new(struct certificate_pool *pool, const struct key_chain *chain, const char **why);
/* Connections that show it keep what they need. *X may be NULL. */
void certificate_free(struct certificate **x);
/* Sets X->cert, unless it was before. */
void certificate_load(struct certificate *x);
/* CTX shows it to all, or SSL to its client, besides those of other kinds of key. It has to be loaded. */
bool certificate_show(const struct certificate *x, SSL_CTX *ctx);
bool certificate_show_to(const struct certificate *x, SSL *ssl);

#endif
