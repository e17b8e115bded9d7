/* What is done with revocation lists. */
#include "lib/tls_lists.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"

/* A list whose signature was right. */
struct signed_list {
	const X509_CRL *crl; /* the store's */
	EVP_PKEY *key;       /* by which it is signed */
	UT_hash_handle hh;
};

struct tls_lists {
	struct signed_list *known;
};

static int store_index = -1; /* of a store: its struct tls_lists */

/* As libcrypto does it. */
static struct {
	X509_STORE_CTX_check_revocation_fn revocation;
	X509_STORE_CTX_check_crl_fn list;
	X509_STORE_CTX_verify_fn signatures;
} libcrypto;

static void free_lists(void *parent UNUSED, void *p, CRYPTO_EX_DATA *data UNUSED, int index UNUSED, long number UNUSED,
    void *arg UNUSED)
{
	struct tls_lists *l = p;

	while (l != NULL && l->known != NULL) {
		struct signed_list *s = l->known;

		HASH_DEL(l->known, s);
		EVP_PKEY_free(s->key);
		mem_free(&s);
	}
	mem_free(&l);
}

/* --- signatures of lists --- */

static bool is_known(const struct tls_lists *l, const X509_CRL *crl, const EVP_PKEY *key)
{
	const struct signed_list *s;

	HASH_FIND_PTR(l->known, &crl, s);
	return s != NULL && key != NULL && EVP_PKEY_eq(s->key, key) == 1;
}

static void remember(struct tls_lists *l, const X509_CRL *crl, EVP_PKEY *key)
{
	struct signed_list *s;

	HASH_FIND_PTR(l->known, &crl, s);
	if (s == NULL) {
		s = mem_alloc(sizeof(*s));
		s->crl = crl;
		HASH_ADD_PTR(l->known, crl, s);
	}
	EVP_PKEY_up_ref(key);
	EVP_PKEY_free(s->key);
	s->key = key;
}

bool tls_lists_is_current(const X509_CRL *crl)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);

	return X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) < 0 &&
	    (next == NULL || X509_cmp_current_time(next) > 0);
}

/* The rest of what libcrypto asks of a list that is for all certificates of its issuer. */
static bool is_simple_and_current(const X509_CRL *crl, X509 *issuer)
{
	return X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) == -1 &&
	    (X509_get_key_usage(issuer) & KU_CRL_SIGN) != 0 && tls_lists_is_current(crl);
}

/* --- for libcrypto --- */

static bool is_last(X509_STORE_CTX *ctx)
{
	return X509_STORE_CTX_get_error_depth(ctx) == sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) - 1;
}

/* Whether CRL can be used. A certificate that stands in the store needs none. */
static int check_list(X509_STORE_CTX *ctx, X509_CRL *crl)
{
	struct tls_lists *l = X509_STORE_get_ex_data(X509_STORE_CTX_get0_store(ctx), store_index);
	X509 *issuer;
	EVP_PKEY *key;

	if (is_last(ctx))
		return 1;
	issuer = sk_X509_value(X509_STORE_CTX_get0_chain(ctx), X509_STORE_CTX_get_error_depth(ctx) + 1);
	key = X509_get0_pubkey(issuer);
	if (is_known(l, crl, key) && is_simple_and_current(crl, issuer))
		return 1;
	if (libcrypto.list(ctx, crl) != 1)
		return 0;
	remember(l, crl, key);
	return 1;
}

/* The last certificate of the chain, which stands in the store, may be one that another authority has issued, and
 * revoked. Whether libcrypto looks for that depends on its version and on the identifiers of keys. One that has signed
 * itself can say nothing about itself: its number may be that of another that it has issued and revoked. */
static bool is_last_revoked(X509_STORE_CTX *ctx)
{
	STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
	X509 *last = sk_X509_value(chain, sk_X509_num(chain) - 1);
	STACK_OF(X509_CRL) *lists = NULL;
	X509_REVOKED *entry = NULL;
	bool is = false;

	if (X509_self_signed(last, 0) == 1)
		return false;
	lists = X509_STORE_CTX_get1_crls(ctx, X509_get_issuer_name(last));
	for (int i = 0; i < sk_X509_CRL_num(lists); i++)
		is = is || X509_CRL_get0_by_cert(sk_X509_CRL_value(lists, i), &entry, last) == 1;
	sk_X509_CRL_pop_free(lists, X509_CRL_free);
	return is;
}

static int signatures_first(X509_STORE_CTX *ctx)
{
	if (libcrypto.signatures(ctx) != 1 || libcrypto.revocation(ctx) != 1)
		return 0;
	if (!is_last_revoked(ctx))
		return 1;
	X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_REVOKED);
	return 0;
}

/* What stands in the store needs no list; and whether it is revoked is_last_revoked() decides. */
static bool is_forgiven(X509_STORE_CTX *ctx, int error)
{
	return is_last(ctx) &&
	    (error == X509_V_ERR_UNABLE_TO_GET_CRL || error == X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER ||
	        error == X509_V_ERR_CERT_REVOKED);
}

static int on_verdict(int good, X509_STORE_CTX *ctx)
{
	if (good || !is_forgiven(ctx, X509_STORE_CTX_get_error(ctx)))
		return good;
	X509_STORE_CTX_set_error(ctx, X509_V_OK);
	return 1;
}

static void learn(void)
{
	X509_STORE *store = X509_STORE_new();
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();

	store_index = X509_STORE_get_ex_new_index(0, NULL, NULL, NULL, free_lists);
	if (store == NULL || ctx == NULL || store_index == -1 || X509_STORE_CTX_init(ctx, store, NULL, NULL) != 1)
		die_fatal("OpenSSL has no memory");
	libcrypto.revocation = X509_STORE_CTX_get_check_revocation(ctx);
	libcrypto.list = X509_STORE_CTX_get_check_crl(ctx);
	libcrypto.signatures = X509_STORE_CTX_get_verify(ctx);
	X509_STORE_CTX_free(ctx);
	X509_STORE_free(store);
}

/* --- when they are read --- */

int tls_lists_find(STACK_OF(X509) * certs, const X509_NAME *name)
{
	int first = 0, end = sk_X509_num(certs);

	while (first < end) {
		int middle = first + (end - first) / 2;

		if (X509_NAME_cmp(X509_get_subject_name(sk_X509_value(certs, middle)), name) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

enum tls_list_signer tls_lists_signer(X509_CRL *crl, STACK_OF(X509) * authorities, EVP_PKEY **key)
{
	const X509_NAME *issuer = X509_CRL_get_issuer(crl);
	int first = tls_lists_find(authorities, issuer), i;

	for (i = first; i < sk_X509_num(authorities); i++) {
		X509 *cert = sk_X509_value(authorities, i);

		if (X509_NAME_cmp(X509_get_subject_name(cert), issuer) != 0)
			break;
		*key = X509_get0_pubkey(cert);
		if (*key != NULL && X509_CRL_verify(crl, *key) == 1)
			return TLS_LIST_SIGNED;
	}
	ERR_clear_error();
	return i == first ? TLS_LIST_UNKNOWN : TLS_LIST_OF_ANOTHER;
}

/* False: it cannot be used. libcrypto would take a list of changes for one that has all. */
static bool take(struct tls_lists *l, X509_CRL *crl, STACK_OF(X509) * authorities, struct str *why)
{
	enum tls_list_signer signer;
	char name[TLS_CERT_NAME_TEXT_MAX];
	EVP_PKEY *key = NULL;

	tls_cert_name_text(X509_CRL_get_issuer(crl), name);
	if (X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) != -1) {
		str_addf(why,
		    "a revocation list of the authority \"%s\" has only what was changed (a delta list): put the "
		    "complete one there",
		    name);
		return false;
	}
	signer = tls_lists_signer(crl, authorities, &key);
	if (signer == TLS_LIST_SIGNED)
		remember(l, crl, key);
	if (signer == TLS_LIST_OF_ANOTHER)
		str_addf(why, "a revocation list has the name of the authority \"%s\" and is not signed by it", name);
	return signer != TLS_LIST_OF_ANOTHER;
}

bool tls_lists_use(X509_STORE *store, STACK_OF(X509_CRL) * lists, STACK_OF(X509) * authorities, struct str *why)
{
	struct tls_lists *l = mem_alloc(sizeof(*l));
	bool good = true;

	if (store_index == -1)
		learn();
	if (X509_STORE_set_ex_data(store, store_index, l) != 1)
		die_fatal("OpenSSL has no memory");
	for (int i = 0; good && i < sk_X509_CRL_num(lists); i++)
		good = take(l, sk_X509_CRL_value(lists, i), authorities, why);
	ERR_clear_error();
	X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
	X509_STORE_set_check_revocation(store, signatures_first);
	X509_STORE_set_check_crl(store, check_list);
	X509_STORE_set_verify_cb(store, on_verdict);
	return good;
}
