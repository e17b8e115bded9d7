/* The list of signature schemes, and keys that sign by it. */
#include "lib/tls_scheme.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <string.h>

#include "lib/mem.h"

static const struct scheme {
	const char *name, *type;
	bool pss;
	const char *digest;
	size_t len;
} schemes[TLS_SCHEME_COUNT] = {
#define X(id, name, type, pss, digest, len) [TLS_##id] = { name, type, pss, digest, len },
	TLS_SCHEMES(X)
#undef X
};

struct tls_signer {
	EVP_PKEY *key;
	EVP_PKEY_CTX *ctx[TLS_SCHEME_COUNT]; /* made when a scheme is used for the first time */
};

/* OpenSSL calls one digest "SHA256", "SHA2-256", "SHA-256" or by its number. */
static bool same_digest(const char *a, const char *b)
{
	const EVP_MD *md = EVP_get_digestbyname(a);

	return md != NULL && EVP_MD_is_a(md, b);
}

enum tls_scheme tls_scheme_find(const char *type, bool pss, const char *digest)
{
	for (unsigned i = 0; i < TLS_SCHEME_COUNT; i++) {
		const struct scheme *s = &schemes[i];

		if (strcmp(s->type, type) == 0 && s->pss == pss && same_digest(s->digest, digest))
			return (enum tls_scheme)i;
	}
	return TLS_SCHEME_COUNT;
}

const char *tls_scheme_name(enum tls_scheme scheme)
{
	return schemes[scheme].name;
}

size_t tls_scheme_digest_len(enum tls_scheme scheme)
{
	return schemes[scheme].len;
}

const char *tls_scheme_digest(enum tls_scheme scheme)
{
	return schemes[scheme].digest;
}

bool tls_scheme_fits_any(const EVP_PKEY *key)
{
	int size = EVP_PKEY_get_size(key);

	return (EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_is_a(key, "EC")) && size > 0 && size <= TLS_SIGNATURE_MAX;
}

#define MAKE_ONE "make one with openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256"

static bool has_good_curve(const EVP_PKEY *key)
{
	static const char *const curves[] = { SN_X9_62_prime256v1, SN_secp384r1, SN_secp521r1 };
	char name[64];
	size_t len;

	if (EVP_PKEY_get_group_name(key, name, sizeof(name), &len) != 1)
		return false;
	for (size_t i = 0; i < ARRAY_LEN(curves); i++)
		if (strcmp(curves[i], name) == 0)
			return true;
	return false;
}

const char *tls_scheme_misfit(const EVP_PKEY *key)
{
	if (EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448"))
		return "Ed25519 and Ed448 keys are not used, for few clients take them; " MAKE_ONE;
	if (EVP_PKEY_is_a(key, "RSA-PSS"))
		return "the private key is restricted to RSA-PSS, which many clients do not take; " MAKE_ONE
		       ", or a plain RSA key";
	if (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "EC"))
		return "the private key is of a kind that is not used here, RSA and EC are; " MAKE_ONE;
	if (EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) < 2048)
		return "the RSA key has less than 2048 bits and is not safe; " MAKE_ONE;
	if (!tls_scheme_fits_any(key))
		return "the RSA key has more than 8192 bits, which takes too long; " MAKE_ONE;
	if (EVP_PKEY_is_a(key, "EC") && !has_good_curve(key))
		return "the private key's curve is none of P-256, P-384 and P-521, and clients do not take "
		       "it; " MAKE_ONE;
	return NULL;
}

struct tls_signer *tls_signer_new(EVP_PKEY *key)
{
	struct tls_signer *s;

	if (!tls_scheme_fits_any(key))
		return NULL;
	s = mem_alloc(sizeof(*s));
	EVP_PKEY_up_ref(key);
	s->key = key;
	return s;
}

void tls_signer_free(struct tls_signer **s)
{
	if (*s == NULL)
		return;
	for (unsigned i = 0; i < TLS_SCHEME_COUNT; i++)
		EVP_PKEY_CTX_free((*s)->ctx[i]);
	EVP_PKEY_free((*s)->key);
	mem_free(s);
}

static EVP_PKEY_CTX *make_ctx(EVP_PKEY *key, const struct scheme *s)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	const EVP_MD *md = EVP_get_digestbyname(s->digest);
	bool good =
	    ctx != NULL && md != NULL && EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, md) == 1;

	if (good && strcmp(s->type, "RSA") == 0)
		good = EVP_PKEY_CTX_set_rsa_padding(ctx, s->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1;
	if (good && s->pss)
		good = EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1;
	if (good)
		return ctx;
	EVP_PKEY_CTX_free(ctx);
	return NULL;
}

size_t tls_signer_sign(struct tls_signer *s, enum tls_scheme scheme, const void *digest, size_t len,
    uint8_t sig[TLS_SIGNATURE_MAX])
{
	size_t n = TLS_SIGNATURE_MAX;

	if (scheme >= TLS_SCHEME_COUNT || !EVP_PKEY_is_a(s->key, schemes[scheme].type) || len != schemes[scheme].len)
		return 0;
	if (s->ctx[scheme] == NULL)
		s->ctx[scheme] = make_ctx(s->key, &schemes[scheme]);
	if (s->ctx[scheme] != NULL && EVP_PKEY_sign(s->ctx[scheme], sig, &n, digest, len) == 1)
		return n;
	ERR_clear_error();
	return 0;
}
