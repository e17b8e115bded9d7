/* An OpenSSL provider with two kinds of key, RSA and EC, and their signatures. The functions are called by OpenSSL;
 * provider-keymgmt(7) and provider-signature(7) say when and with what. */
#include "lib/tls_key.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/str.h"

#define PROVIDER "waypost-keys"
/* What only tls_key_new() has to give: where the private half is. */
#define PARAM_ORIGIN "waypost-origin"

struct origin {
	EVP_PKEY *half;
	tls_sign_fn *sign;
	void *arg;
};

struct key {
	const char *type;  /* "RSA", "EC" */
	EVP_PKEY *half;    /* the public one, a key of OpenSSL's own; NULL: empty yet */
	tls_sign_fn *sign; /* NULL: there is no other half */
	void *arg;
};

/* --- keys --- */

static struct key *key_new(const char *type)
{
	struct key *k = mem_alloc(sizeof(*k));

	k->type = type;
	return k;
}

static void *key_new_rsa(void *prov UNUSED)
{
	return key_new("RSA");
}

static void *key_new_ec(void *prov UNUSED)
{
	return key_new("EC");
}

static void key_free(void *key)
{
	struct key *k = key;

	if (k != NULL)
		EVP_PKEY_free(k->half);
	mem_free(&k);
}

static int key_has(const void *key, int selection)
{
	const struct key *k = key;

	if ((selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0 && (k == NULL || k->half == NULL))
		return 0;
	return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) == 0 || k->sign != NULL;
}

/* Two public halves: the private one is the same then. */
static int key_match(const void *key1, const void *key2, int selection UNUSED)
{
	const struct key *a = key1, *b = key2;

	return a->half != NULL && b->half != NULL && EVP_PKEY_eq(a->half, b->half) == 1;
}

/* A public key of OpenSSL's, to be compared with one of ours: that of a certificate. */
static bool import_public(struct key *k, const OSSL_PARAM params[])
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, k->type, NULL);
	bool good = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, &k->half, EVP_PKEY_PUBLIC_KEY, (OSSL_PARAM *)(uintptr_t)params) == 1;

	EVP_PKEY_CTX_free(ctx);
	return good;
}

static int key_import(void *key, int selection UNUSED, const OSSL_PARAM params[])
{
	const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, PARAM_ORIGIN);
	const struct origin *from;
	const void *there;
	struct key *k = key;
	size_t size;

	if (p == NULL)
		return import_public(k, params);
	if (OSSL_PARAM_get_octet_ptr(p, &there, &size) != 1 || size != sizeof(*from))
		return 0;
	from = there;
	EVP_PKEY_up_ref(from->half);
	k->half = from->half;
	k->sign = from->sign;
	k->arg = from->arg;
	return 1;
}

static const OSSL_PARAM *key_import_types(int selection UNUSED)
{
	static const OSSL_PARAM types[] = { OSSL_PARAM_octet_ptr(PARAM_ORIGIN, NULL, 0), OSSL_PARAM_END };

	return types;
}

/* OpenSSL exports a key whole to whoever could work with it. If one of ours went there, the public half would be
 * taken for all of it, and then could not sign: so it stays. */
static int key_export(void *key, int selection, OSSL_CALLBACK *fn, void *arg)
{
	const struct key *k = key;

	if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 || k->half == NULL)
		return 0;
	return EVP_PKEY_export(k->half, EVP_PKEY_PUBLIC_KEY, fn, arg);
}

static const OSSL_PARAM *key_export_types(int selection UNUSED)
{
	static const OSSL_PARAM types[] = { OSSL_PARAM_END };

	return types;
}

static int key_get_params(void *key, OSSL_PARAM params[])
{
	const struct key *k = key;

	return k->half != NULL && EVP_PKEY_get_params(k->half, params) == 1;
}

static const OSSL_PARAM *key_gettable_params(void *prov UNUSED)
{
	static const OSSL_PARAM list[] = { OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
		OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL), OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0), OSSL_PARAM_END };

	return list;
}

static const char *ec_operation(int operation)
{
	return operation == OSSL_OP_SIGNATURE ? "ECDSA" : "EC";
}

#define FN(id, fn) \
	{ \
		OSSL_FUNC_##id, (void (*)(void))(fn) \
	}
/* clang-format off */
#define KEYMGMT_SHARED \
	FN(KEYMGMT_FREE, key_free), \
	FN(KEYMGMT_HAS, key_has), \
	FN(KEYMGMT_MATCH, key_match), \
	FN(KEYMGMT_IMPORT, key_import), \
	FN(KEYMGMT_IMPORT_TYPES, key_import_types), \
	FN(KEYMGMT_EXPORT, key_export), \
	FN(KEYMGMT_EXPORT_TYPES, key_export_types), \
	FN(KEYMGMT_GET_PARAMS, key_get_params), \
	FN(KEYMGMT_GETTABLE_PARAMS, key_gettable_params), \
	{ 0, NULL }

static const OSSL_DISPATCH rsa_keymgmt[] = {
	FN(KEYMGMT_NEW, key_new_rsa),
	KEYMGMT_SHARED
};
static const OSSL_DISPATCH ec_keymgmt[] = {
	FN(KEYMGMT_NEW, key_new_ec),
	FN(KEYMGMT_QUERY_OPERATION_NAME, ec_operation),
	KEYMGMT_SHARED
};
/* clang-format on */

/* --- signatures --- */

struct signing {
	const struct key *key;
	char digest[32];
	bool pss;
};

static void *sign_new(void *prov UNUSED, const char *properties UNUSED)
{
	return mem_alloc(sizeof(struct signing));
}

static void sign_free(void *ctx)
{
	mem_free(&ctx);
}

/* A padding by its number or its name: true if it is one of ours. */
static bool take_padding(struct signing *s, const OSSL_PARAM *p)
{
	const char *name = NULL;
	int mode = 0;

	if (p->data_type == OSSL_PARAM_UTF8_STRING) {
		name = p->data;
		if (strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0)
			mode = RSA_PKCS1_PSS_PADDING;
		else if (strcmp(name, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0)
			mode = RSA_PKCS1_PADDING;
	} else if (OSSL_PARAM_get_int(p, &mode) != 1) {
		return false;
	}
	s->pss = mode == RSA_PKCS1_PSS_PADDING;
	return s->pss || mode == RSA_PKCS1_PADDING;
}

/* TLS knows one length of salt, that of the digest. */
static bool is_salt_of_digest(const OSSL_PARAM *p)
{
	int len;

	if (p->data_type == OSSL_PARAM_UTF8_STRING)
		return strcmp(p->data, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0;
	return OSSL_PARAM_get_int(p, &len) == 1 && len == RSA_PSS_SALTLEN_DIGEST;
}

static int sign_set_params(void *ctx, const OSSL_PARAM params[])
{
	struct signing *s = ctx;
	const OSSL_PARAM *p;

	if (params == NULL)
		return 1;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
	if (p != NULL && !take_padding(s, p))
		return 0;
	p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
	return p == NULL || is_salt_of_digest(p);
}

static const OSSL_PARAM *sign_settable_params(void *ctx UNUSED, void *prov UNUSED)
{
	static const OSSL_PARAM list[] = { OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
		OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0), OSSL_PARAM_END };

	return list;
}

static int sign_init(void *ctx, const char *digest, void *key, const OSSL_PARAM params[])
{
	struct signing *s = ctx;

	if (key != NULL)
		s->key = key;
	if (s->key == NULL || s->key->sign == NULL || digest == NULL || strlen(digest) >= sizeof(s->digest))
		return 0;
	str_copy(s->digest, sizeof(s->digest), digest);
	/* With PKCS#1 padding or without: whether there is such a scheme is known when the padding is. */
	if (tls_scheme_find(s->key->type, false, digest) == TLS_SCHEME_COUNT)
		return 0;
	return sign_set_params(s, params);
}

/* SIG is NULL: how long can it be. */
static int digest_sign(void *ctx, unsigned char *sig, size_t *sig_len, size_t room, const unsigned char *text,
    size_t len)
{
	const struct signing *s = ctx;
	enum tls_scheme scheme = tls_scheme_find(s->key->type, s->pss, s->digest);
	uint8_t digest[TLS_DIGEST_MAX], made[TLS_SIGNATURE_MAX];
	size_t n;

	if (scheme == TLS_SCHEME_COUNT)
		return 0;
	if (sig == NULL) {
		*sig_len = (size_t)EVP_PKEY_get_size(s->key->half);
		return 1;
	}
	if (EVP_Q_digest(NULL, tls_scheme_digest(scheme), NULL, text, len, digest, NULL) != 1)
		return 0;
	n = s->key->sign(scheme, digest, tls_scheme_digest_len(scheme), made, s->key->arg);
	if (n == 0 || n > room || n > sizeof(made))
		return 0;
	memcpy(sig, made, n);
	*sig_len = n;
	return 1;
}

static const OSSL_DISPATCH signature[] = {
	FN(SIGNATURE_NEWCTX, sign_new),
	FN(SIGNATURE_FREECTX, sign_free),
	FN(SIGNATURE_SET_CTX_PARAMS, sign_set_params),
	FN(SIGNATURE_SETTABLE_CTX_PARAMS, sign_settable_params),
	FN(SIGNATURE_DIGEST_SIGN_INIT, sign_init),
	FN(SIGNATURE_DIGEST_SIGN, digest_sign),
	{ 0, NULL },
};

/* --- the provider --- */

/* The names are OpenSSL's own: libssl knows kinds of certificate by them. */
static const OSSL_ALGORITHM *query(void *prov UNUSED, int operation, int *no_cache)
{
	static const OSSL_ALGORITHM keys[] = {
		{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=" PROVIDER, rsa_keymgmt, NULL },
		{ "EC:id-ecPublicKey:1.2.840.10045.2.1", "provider=" PROVIDER, ec_keymgmt, NULL },
		{ NULL, NULL, NULL, NULL },
	};
	static const OSSL_ALGORITHM signatures[] = {
		{ "RSA:rsaEncryption:1.2.840.113549.1.1.1", "provider=" PROVIDER, signature, NULL },
		{ "ECDSA", "provider=" PROVIDER, signature, NULL },
		{ NULL, NULL, NULL, NULL },
	};

	*no_cache = 0;
	return operation == OSSL_OP_KEYMGMT ? keys : operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle UNUSED, const OSSL_DISPATCH *in UNUSED,
    const OSSL_DISPATCH **out, void **prov)
{
	static const OSSL_DISPATCH functions[] = { FN(PROVIDER_QUERY_OPERATION, query), { 0, NULL } };
	static int nothing;

	*out = functions;
	*prov = &nothing; /* not NULL: that would mean that it has no context yet */
	return 1;
}

/* For the life of the process: OpenSSL may use what came from it at any time. */
static OSSL_LIB_CTX *library(void)
{
	static OSSL_LIB_CTX *ctx;

	if (ctx != NULL)
		return ctx;
	ctx = OSSL_LIB_CTX_new();
	if (ctx == NULL || OSSL_PROVIDER_add_builtin(ctx, PROVIDER, provider_init) != 1 ||
	    OSSL_PROVIDER_load(ctx, PROVIDER) == NULL)
		die_fatal("OpenSSL cannot take keys of our own: %s", ERR_reason_error_string(ERR_peek_last_error()));
	return ctx;
}

EVP_PKEY *tls_key_new(EVP_PKEY *key, tls_sign_fn *sign, void *arg)
{
	struct origin origin = { key, sign, arg };
	void *there = &origin;
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_ptr(PARAM_ORIGIN, &there, sizeof(origin)),
		OSSL_PARAM_construct_end() };
	EVP_PKEY *made = NULL;
	EVP_PKEY_CTX *ctx;

	if (!tls_scheme_fits_any(key))
		return NULL;
	ctx = EVP_PKEY_CTX_new_from_name(library(), EVP_PKEY_is_a(key, "RSA") ? "RSA" : "EC", NULL);
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params) != 1)
		die_fatal("OpenSSL cannot take a key of our own: %s", ERR_reason_error_string(ERR_peek_last_error()));
	EVP_PKEY_CTX_free(ctx);
	return made;
}
