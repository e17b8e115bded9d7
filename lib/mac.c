/* HMAC-SHA256 with a prepared key. */
#include "lib/mac.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "lib/die.h"
#include "lib/mem.h"

struct mac {
	EVP_MAC_CTX *ctx;
};

struct mac *mac_new(const void *key, size_t len)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end() };
	EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	struct mac *m = mem_alloc(sizeof(*m));

	m->ctx = EVP_MAC_CTX_new(hmac);
	EVP_MAC_free(hmac);
	if (m->ctx == NULL || EVP_MAC_init(m->ctx, key, len, params) != 1)
		die_fatal("OpenSSL has no HMAC-SHA256");
	return m;
}

void mac_free(struct mac **m)
{
	if (*m != NULL)
		EVP_MAC_CTX_free((*m)->ctx);
	mem_free(m);
}

void mac_compute(struct mac *m, const void *p, size_t len, uint8_t out[MAC_LEN])
{
	size_t n = 0;

	/* Without a key: the same one again. */
	DIE_IF(EVP_MAC_init(m->ctx, NULL, 0, NULL) != 1 || EVP_MAC_update(m->ctx, p, len) != 1);
	DIE_IF(EVP_MAC_final(m->ctx, out, &n, MAC_LEN) != 1 || n != MAC_LEN);
}
