/* Contexts for the certificates of the key process. */
#include "login/certificates.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "lib/tls_key.h"
#include "lib/tls_tickets.h"
#include "login/key_client.h"
#include "settings/protocol.h"

struct certificate {
	struct certificate *next;
	char use[KEY_USE_MAX];
	uint32_t key;
	SSL_CTX *ctx;
};

struct certificates {
	struct ev_loop *loop;
	struct key_client *client; /* NULL: there is no key process */
	struct tls_tickets *tickets;
	struct certificate *first;
};

/* Whose key it is, and which: lives as long as its context, which a connection may hold. */
struct far_key {
	struct certificates *owner;
	uint32_t key;
};

static size_t sign(enum tls_scheme scheme, const void *digest, size_t len UNUSED, uint8_t *sig, void *arg)
{
	const struct far_key *f = arg;

	return f->owner->client != NULL ? key_client_sign(f->owner->client, f->key, scheme, digest, sig) : 0;
}

static void free_far_key(void *parent UNUSED, void *p, CRYPTO_EX_DATA *data UNUSED, int index UNUSED,
    long number UNUSED, void *arg UNUSED)
{
	mem_free(&p);
}

static struct far_key *new_far_key(SSL_CTX *ctx, struct certificates *owner, uint32_t key)
{
	static int index = -1;
	struct far_key *f = mem_alloc(sizeof(*f));

	if (index == -1)
		index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_far_key);
	if (index == -1 || SSL_CTX_set_ex_data(ctx, index, f) != 1)
		die_fatal("OpenSSL has no memory");
	f->owner = owner;
	f->key = key;
	return f;
}

/* A client that says which protocol it means must mean ours: else what it says to another server could be said here. */
static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len, const unsigned char *list,
    unsigned len, void *arg)
{
	const char *name = arg;

	for (unsigned i = 0; i < len && list[i] < len - i; i += 1 + list[i])
		if (list[i] == strlen(name) && memcmp(list + i + 1, name, list[i]) == 0) {
			*out = list + i + 1;
			*out_len = list[i];
			return SSL_TLSEXT_ERR_OK;
		}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void set_alpn(SSL_CTX *ctx, const char *use)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (strcmp(use, protocols[p].ssl_group) == 0)
			SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)protocols[p].name);
}

static X509 *cert_of(const struct key_chain *chain, unsigned i)
{
	const unsigned char *p = chain->cert[i].der;

	return d2i_X509(NULL, &p, (long)chain->cert[i].len);
}

static bool use_chain(SSL_CTX *ctx, const struct key_chain *chain)
{
	bool good = true;

	for (unsigned i = 0; good && i < chain->n; i++) {
		X509 *cert = cert_of(chain, i);

		good = cert != NULL &&
		    (i == 0 ? SSL_CTX_use_certificate(ctx, cert) : SSL_CTX_add1_chain_cert(ctx, cert)) == 1;
		X509_free(cert);
	}
	return good;
}

/* NULL: the certificate is none that libssl takes. */
static SSL_CTX *make_context(struct certificates *c, const struct key_chain *chain)
{
	SSL_CTX *ctx = tls_ctx_new(true);
	X509 *cert = cert_of(chain, 0);
	EVP_PKEY *half = cert != NULL ? X509_get0_pubkey(cert) : NULL;
	EVP_PKEY *key = half != NULL ? tls_key_new(half, sign, new_far_key(ctx, c, chain->key)) : NULL;
	bool good = key != NULL && use_chain(ctx, chain) && SSL_CTX_use_PrivateKey(ctx, key) == 1;

	EVP_PKEY_free(key);
	X509_free(cert);
	set_alpn(ctx, chain->use);
	tls_tickets_use(c->tickets, ctx, chain->use);
	if (good)
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static struct certificate *find(const struct certificates *c, const char *use)
{
	for (struct certificate *x = c->first; x != NULL; x = x->next)
		if (strcmp(x->use, use) == 0)
			return x;
	return NULL;
}

static void on_chain(const struct key_chain *chain, void *arg)
{
	struct certificates *c = arg;
	struct certificate *x = find(c, chain->use);
	SSL_CTX *ctx = make_context(c, chain);

	if (ctx == NULL) {
		log_error("%s: OpenSSL does not take the certificate: %s", chain->use,
		    ERR_reason_error_string(ERR_peek_last_error()));
		ERR_clear_error();
		return;
	}
	if (x == NULL) {
		x = mem_alloc(sizeof(*x));
		str_copy(x->use, sizeof(x->use), chain->use);
		x->next = c->first;
		c->first = x;
	}
	SSL_CTX_free(x->ctx);
	x->ctx = ctx;
	x->key = chain->key;
}

static void on_gone(uint32_t key, void *arg)
{
	struct certificates *c = arg;

	for (struct certificate **p = &c->first; *p != NULL; p = &(*p)->next) {
		struct certificate *x = *p;

		if (x->key != key)
			continue;
		*p = x->next;
		SSL_CTX_free(x->ctx);
		mem_free(&x);
		return;
	}
}

struct certificates *certificates_new(struct ev_loop *loop)
{
	struct certificates *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->tickets = tls_tickets_new();
	return c;
}

void certificates_free(struct certificates **c)
{
	if (*c == NULL)
		return;
	key_client_free(&(*c)->client);
	while ((*c)->first != NULL)
		on_gone((*c)->first->key, *c);
	tls_tickets_free(&(*c)->tickets);
	mem_free(c);
}

void certificates_channel(struct certificates *c, int sock)
{
	static const struct key_client_fns fns = { on_chain, on_gone };

	key_client_free(&c->client);
	c->client = key_client_new(c->loop, sock, &fns, c);
}

void certificates_ticket_keys(struct certificates *c, const struct tls_ticket_keys *keys)
{
	tls_tickets_set(c->tickets, keys);
}

SSL_CTX *certificates_context(const struct certificates *c, const char *use)
{
	const struct certificate *x = find(c, use);

	return x != NULL ? x->ctx : NULL;
}
