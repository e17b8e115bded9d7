/* A certificate of the key process, for libssl. */
#include "login/certificate.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "lib/tls_ctx.h"
#include "lib/tls_key.h"

struct certificate_pool {
	certificate_sign_fn *sign;
	void *owner;
	struct tls_issuers *issuers;
	SSL_CTX *trial;
};

/* Where the other half of a key is: lives as long as its EVP_PKEY, which connections may hold. */
struct far_key {
	certificate_sign_fn *sign;
	void *owner;
	uint32_t key;
};

static size_t sign_far(enum tls_scheme scheme, const void *digest, size_t len UNUSED, uint8_t *sig, void *arg)
{
	const struct far_key *f = arg;

	return f->sign(f->owner, f->key, scheme, digest, sig);
}

static void free_far_key(void *parent UNUSED, void *p, CRYPTO_EX_DATA *data UNUSED, int index UNUSED,
    long number UNUSED, void *arg UNUSED)
{
	mem_free(&p);
}

/* NULL: it is of a kind that we do not use. */
static EVP_PKEY *new_key(EVP_PKEY *half, const struct far_key *from)
{
	static int index = -1;
	struct far_key *f = mem_alloc(sizeof(*f));
	EVP_PKEY *key;

	*f = *from;
	key = tls_key_new(half, sign_far, f);
	if (key == NULL) {
		mem_free(&f);
		return NULL;
	}
	if (index == -1)
		index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_EVP_PKEY, 0, NULL, NULL, NULL, free_far_key);
	if (index == -1 || EVP_PKEY_set_ex_data(key, index, f) != 1)
		die_fatal("OpenSSL has no memory");
	return key;
}

/* --- names --- */

static char *name_of(const GENERAL_NAME *name)
{
	char text[TLS_NAME_MAX];

	if (name->type != GEN_DNS ||
	    !tls_choice_pattern((const char *)ASN1_STRING_get0_data(name->d.dNSName),
	        (size_t)ASN1_STRING_length(name->d.dNSName), text))
		return NULL;
	return mem_strdup(text);
}

static char **names_of(const X509 *cert)
{
	GENERAL_NAMES *all = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int n = sk_GENERAL_NAME_num(all);
	char **names = mem_alloc(((size_t)MAX(n, 0) + 1) * sizeof(*names));

	for (int i = 0, have = 0; i < n; i++)
		if ((names[have] = name_of(sk_GENERAL_NAME_value(all, i))) != NULL)
			have++;
	GENERAL_NAMES_free(all);
	ERR_clear_error();
	return names;
}

/* --- the certificate --- */

struct certificate_pool *certificate_pool_new(certificate_sign_fn *sign, void *owner)
{
	struct certificate_pool *p = mem_alloc(sizeof(*p));

	p->sign = sign;
	p->owner = owner;
	p->issuers = tls_issuers_new();
	p->trial = tls_ctx_new(true);
	return p;
}

void certificate_pool_free(struct certificate_pool **p)
{
	tls_issuers_free(&(*p)->issuers);
	SSL_CTX_free((*p)->trial);
	mem_free(p);
}

/* False: libcrypto does not take it. */
static bool load(struct certificate *x)
{
	const struct far_key from = { x->pool->sign, x->pool->owner, x->key };
	EVP_PKEY *half;

	x->cert = tls_cert_parse(x->der.data, x->der.len);
	if (x->cert == NULL || (half = X509_get0_pubkey(x->cert)) == NULL)
		return false;
	x->pkey = new_key(half, &from);
	return x->pkey != NULL;
}

static void unload(struct certificate *x)
{
	X509_free(x->cert);
	EVP_PKEY_free(x->pkey);
	x->cert = NULL;
	x->pkey = NULL;
}

void certificate_load(struct certificate *x)
{
	if (x->cert == NULL && !load(x))
		die_fatal("OpenSSL does not take a certificate that it has taken before");
}

/* To be freed; the certificates in it are borrowed. */
static STACK_OF(X509) * chain_of(const struct certificate *x)
{
	STACK_OF(X509) *chain = sk_X509_new_null();

	for (unsigned i = 0; i < x->behind; i++)
		if (sk_X509_push(chain, x->issuer[i]->cert) == 0)
			die_fatal("OpenSSL has no memory");
	return chain;
}

bool certificate_show(const struct certificate *x, SSL_CTX *ctx)
{
	STACK_OF(X509) *chain = chain_of(x);
	bool good = SSL_CTX_use_cert_and_key(ctx, x->cert, x->pkey, chain, 1) == 1;

	sk_X509_free(chain);
	return good;
}

bool certificate_show_to(const struct certificate *x, SSL *ssl)
{
	STACK_OF(X509) *chain = chain_of(x);
	bool good = SSL_use_cert_and_key(ssl, x->cert, x->pkey, chain, 1) == 1;

	sk_X509_free(chain);
	return good;
}

static bool take_issuers(struct certificate *x, const struct key_chain *chain)
{
	x->issuer = mem_alloc(MAX(chain->n, 2U) * sizeof(const struct tls_issuer *));
	for (; x->behind + 1 < chain->n; x->behind++) {
		x->issuer[x->behind] =
		    tls_issuers_take(x->pool->issuers, chain->cert[x->behind + 1].der, chain->cert[x->behind + 1].len);
		if (x->issuer[x->behind] == NULL)
			return false;
	}
	return true;
}

static char **only_name(const char *name)
{
	char **names = mem_alloc(2 * sizeof(*names));

	names[0] = mem_strdup(name);
	return names;
}

/* False: it is nothing that libssl takes. */
static bool fill(struct certificate *x, const struct key_chain *chain, const struct key_use *use)
{
	str_add(&x->der, chain->cert[0].der, chain->cert[0].len);
	if (!take_issuers(x, chain) || !load(x) || !certificate_show(x, x->pool->trial))
		return false;
	x->is_rsa = EVP_PKEY_is_a(x->pkey, "RSA");
	x->names = use->what == KEY_FOR_ITS_OWN ? names_of(x->cert) : only_name(use->name);
	return true;
}

struct certificate *certificate_new(struct certificate_pool *pool, const struct key_chain *chain, const char **why)
{
	struct certificate *x = mem_alloc(sizeof(*x));
	struct key_use use;

	x->pool = pool;
	x->key = chain->key;
	str_add(&x->ocsp, chain->ocsp, chain->ocsp_len);
	x->ocsp_until = chain->ocsp_until;
	x->text = mem_strdup(chain->use);
	*why = "it is for nothing that is known here";
	if (key_use_read(chain->use, &use)) {
		x->protocol = use.protocol;
		x->what = use.what;
		if (fill(x, chain, &use)) {
			unload(x);
			return x;
		}
		if ((*why = ERR_reason_error_string(ERR_peek_last_error())) == NULL)
			*why = "it cannot be read";
		ERR_clear_error();
	}
	certificate_free(&x);
	return NULL;
}

void certificate_free(struct certificate **x)
{
	if (*x == NULL)
		return;
	unload(*x);
	for (unsigned i = 0; i < (*x)->behind; i++)
		tls_issuers_drop((*x)->pool->issuers, (*x)->issuer[i]);
	for (size_t i = 0; (*x)->names != NULL && (*x)->names[i] != NULL; i++)
		mem_free(&(*x)->names[i]);
	mem_free(&(*x)->issuer);
	mem_free(&(*x)->names);
	mem_free(&(*x)->text);
	str_fini(&(*x)->der);
	str_fini(&(*x)->ocsp);
	mem_free(x);
}
