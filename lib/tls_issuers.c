/* Certificates by their DER. */
#include "lib/tls_issuers.h"

#include <openssl/err.h>
#include <uthash.h>

#include "lib/mem.h"
#include "lib/tls_cert.h"

struct entry {
	struct tls_issuer issuer;
	unsigned taken;
	UT_hash_handle hh;
	uint8_t der[];
};

struct tls_issuers {
	struct entry *entries;
};

struct tls_issuers *tls_issuers_new(void)
{
	return mem_alloc(sizeof(struct tls_issuers));
}

void tls_issuers_free(struct tls_issuers **t)
{
	mem_free(t);
}

static struct entry *find(const struct tls_issuers *t, const void *der, size_t len)
{
	struct entry *e;

	HASH_FIND(hh, t->entries, der, len, e);
	return e;
}

static struct entry *add(struct tls_issuers *t, const void *der, size_t len)
{
	X509 *cert = tls_cert_parse(der, len);
	struct entry *e;

	if (cert == NULL) {
		ERR_clear_error();
		return NULL;
	}
	e = mem_alloc(sizeof(*e) + len);
	memcpy(e->der, der, len);
	e->issuer = (struct tls_issuer){ cert, e->der, len };
	HASH_ADD_KEYPTR(hh, t->entries, e->der, len, e);
	return e;
}

const struct tls_issuer *tls_issuers_take(struct tls_issuers *t, const void *der, size_t len)
{
	struct entry *e = find(t, der, len);

	if (e == NULL && (e = add(t, der, len)) == NULL)
		return NULL;
	e->taken++;
	return &e->issuer;
}

void tls_issuers_drop(struct tls_issuers *t, const struct tls_issuer *x)
{
	struct entry *e = find(t, x->der, x->len);

	if (--e->taken != 0)
		return;
	HASH_DEL(t->entries, e);
	X509_free(e->issuer.cert);
	mem_free(&e);
}
