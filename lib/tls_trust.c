/* Authorities of clients, and the verification of a client's certificate. */
#include "lib/tls_trust.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/mem.h"

/* Of a chain: certificates between a client's own and one that is trusted. Keys and digests as good as 112 bits, as
 * OpenSSL's security level 2 has it. */
enum { BETWEEN_MAX = 6, AUTH_LEVEL = 2 };

struct tls_trust {
	X509_STORE *store;
	bool has_lists;
};

/* Adds what ONE holds. False: it cannot be read. */
static bool take(struct tls_trust *t, const X509_INFO *one, unsigned *certs)
{
	if (one->x509 != NULL) {
		if (X509_STORE_add_cert(t->store, one->x509) != 1)
			return false;
		++*certs;
	}
	if (one->crl != NULL) {
		if (X509_STORE_add_crl(t->store, one->crl) != 1)
			return false;
		t->has_lists = true;
	}
	return true;
}

/* A private key may stand there, encrypted: it is not for us. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
	return -1;
}

struct tls_trust *tls_trust_new(const void *pem, size_t len, struct str *why)
{
	struct tls_trust *t = mem_alloc(sizeof(*t));
	BIO *b = BIO_new_mem_buf(pem, (int)MIN(len, (size_t)TLS_TRUST_MAX));
	STACK_OF(X509_INFO) *all = b != NULL ? PEM_X509_INFO_read_bio(b, NULL, no_passphrase, NULL) : NULL;
	bool good = all != NULL && len <= TLS_TRUST_MAX;
	unsigned certs = 0;

	t->store = X509_STORE_new();
	DIE_IF(t->store == NULL);
	for (int i = 0; good && i < sk_X509_INFO_num(all); i++)
		good = take(t, sk_X509_INFO_value(all, i), &certs);
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(b);
	ERR_clear_error();
	if (good && certs != 0)
		return t;
	str_adds(why,
	    len > TLS_TRUST_MAX ? "it is too long" :
	        good            ? "there is no certificate" :
	                          "a part of it cannot be read");
	tls_trust_free(&t);
	return NULL;
}

struct tls_trust *tls_trust_read(int fd, struct str *why)
{
	struct tls_trust *t = NULL;
	off_t size = lseek(fd, 0, SEEK_END); /* login workers may do that, but not ask for a file's status */
	void *p;

	if (size <= 0) {
		str_adds(why, "it is empty");
		return NULL;
	}
	p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		str_adds(why, strerror(errno));
		return NULL;
	}
	t = tls_trust_new(p, (size_t)size, why);
	munmap(p, (size_t)size);
	return t;
}

void tls_trust_free(struct tls_trust **t)
{
	if (*t == NULL)
		return;
	X509_STORE_free((*t)->store);
	mem_free(t);
}

static void set_rules(const struct tls_trust *t, X509_STORE_CTX *ctx)
{
	X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

	/* Whoever lists only an authority between wants that one. */
	X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN | (t->has_lists ? X509_V_FLAG_CRL_CHECK : 0));
	X509_VERIFY_PARAM_set_depth(param, BETWEEN_MAX);
	X509_VERIFY_PARAM_set_auth_level(param, AUTH_LEVEL);
}

int tls_trust_verify(const struct tls_trust *t, X509 *cert, STACK_OF(X509) * others)
{
	X509_STORE_CTX *ctx;
	int result = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;

	if (t == NULL)
		return result;
	if (others != NULL && sk_X509_num(others) > TLS_TRUST_SHOWN_MAX)
		return X509_V_ERR_CERT_CHAIN_TOO_LONG;
	ctx = X509_STORE_CTX_new();
	if (ctx != NULL && X509_STORE_CTX_init(ctx, t->store, cert, others) == 1 &&
	    X509_STORE_CTX_set_default(ctx, "ssl_client") == 1) {
		set_rules(t, ctx);
		if (X509_verify_cert(ctx) == 1)
			result = X509_V_OK;
		else if (X509_STORE_CTX_get_error(ctx) != X509_V_OK)
			result = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return result;
}
