/* A certificate of the key process, for libssl. */
#include "login/certificate.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "lib/tls_key.h"

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

bool certificate_is_for(const struct certificate *x, const char *name)
{
	if (x->use.what == KEY_FOR_NAME)
		return strcmp(x->use.name, name) == 0;
	for (size_t i = 0; x->names != NULL && x->names[i] != NULL; i++)
		if (strcmp(x->names[i], name) == 0)
			return true;
	return false;
}

/* --- the certificate --- */

static X509 *parse(const struct key_chain *chain, unsigned i)
{
	const unsigned char *p = chain->cert[i].der;

	return d2i_X509(NULL, &p, (long)chain->cert[i].len);
}

static bool parse_chain(struct certificate *x, const struct key_chain *chain)
{
	x->chain = sk_X509_new_null();
	for (unsigned i = 0; i < chain->n; i++) {
		X509 *cert = parse(chain, i);

		if (cert == NULL)
			return false;
		if (i == 0)
			x->cert = cert;
		else if (sk_X509_push(x->chain, cert) == 0)
			die_fatal("OpenSSL has no memory");
	}
	return x->cert != NULL;
}

bool certificate_show(const struct certificate *x, SSL_CTX *ctx)
{
	return SSL_CTX_use_cert_and_key(ctx, x->cert, x->pkey, x->chain, 1) == 1;
}

bool certificate_show_to(const struct certificate *x, SSL *ssl)
{
	return SSL_use_cert_and_key(ssl, x->cert, x->pkey, x->chain, 1) == 1;
}

/* libssl takes it. */
static bool try(const struct certificate *x)
{
	SSL_CTX *ctx = tls_ctx_new(true);
	bool good = certificate_show(x, ctx);

	SSL_CTX_free(ctx);
	return good;
}

static bool fill(struct certificate *x, const struct key_chain *chain, const struct far_key *from)
{
	EVP_PKEY *half;

	if (!parse_chain(x, chain) || (half = X509_get0_pubkey(x->cert)) == NULL)
		return false;
	x->pkey = new_key(half, from);
	if (x->use.what == KEY_FOR_ITS_OWN)
		x->names = names_of(x->cert);
	return x->pkey != NULL && try(x);
}

struct certificate *certificate_new(const struct key_chain *chain, certificate_sign_fn *sign, void *owner,
    const char **why)
{
	struct certificate *x = mem_alloc(sizeof(*x));

	x->key = chain->key;
	str_add(&x->ocsp, chain->ocsp, chain->ocsp_len);
	x->ocsp_until = chain->ocsp_until;
	str_copy(x->text, sizeof(x->text), chain->use);
	*why = "it is for nothing that is known here";
	if (key_use_read(chain->use, &x->use)) {
		if (fill(x, chain, &(struct far_key){ sign, owner, chain->key }))
			return x;
		*why = ERR_reason_error_string(ERR_peek_last_error());
		ERR_clear_error();
	}
	certificate_free(&x);
	return NULL;
}

void certificate_free(struct certificate **x)
{
	if (*x == NULL)
		return;
	X509_free((*x)->cert);
	EVP_PKEY_free((*x)->pkey);
	sk_X509_pop_free((*x)->chain, X509_free);
	for (size_t i = 0; (*x)->names != NULL && (*x)->names[i] != NULL; i++)
		mem_free(&(*x)->names[i]);
	mem_free(&(*x)->names);
	str_fini(&(*x)->ocsp);
	mem_free(x);
}
