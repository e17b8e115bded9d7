/* Sets of authorities, and the verification of a client's certificate. */
#include "lib/tls_trust.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "lib/tls_lists.h"

/* Of a chain: certificates between a client's own and one that is believed. Keys and digests as good as 112 bits, as
 * OpenSSL's security level 2 has it. */
enum { BETWEEN_MAX = 6, AUTH_LEVEL = 2 };

/* What a stranger's key may cost. */
enum { CHEAP_BITS = 4096, CHEAP_EXPONENT_BITS = 64 };

struct tls_trust {
	X509_STORE *store;
	STACK_OF(X509) * certs;     /* in the order of their names */
	STACK_OF(X509_CRL) * lists; /* in the order of their issuers' */
};

/* --- blocks of PEM --- */

#define BEGIN "-----BEGIN"
#define END "-----END"

struct line {
	const char *p;
	size_t len;
};

/* The line at P, without its end and blanks before that; the next one begins at the result. */
static const char *cut_line(const char *p, const char *end, struct line *line)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	*line = (struct line){ p, (size_t)((nl != NULL ? nl : end) - p) };
	while (line->len != 0 && strchr(" \t\r", line->p[line->len - 1]) != NULL)
		line->len--;
	return nl != NULL ? nl + 1 : end;
}

/* LINE is WORD, a blank, NAME, "-----": its NAME, of length 0 if the rest is not there. */
static bool is_mark(const struct line *line, const char *word, struct line *name)
{
	size_t n = strlen(word);

	if (line->len < n || memcmp(line->p, word, n) != 0)
		return false;
	*name = (struct line){ line->p + n + 1, 0 };
	if (line->len > n + 6 && line->p[n] == ' ' && memcmp(line->p + line->len - 5, "-----", 5) == 0)
		name->len = line->len - n - 6;
	return true;
}

static bool is(const struct line *name, const char *word)
{
	return name->len == strlen(word) && memcmp(name->p, word, name->len) == 0;
}

static bool is_wanted(const struct line *name)
{
	return is(name, PEM_STRING_X509) || is(name, PEM_STRING_X509_OLD) || is(name, PEM_STRING_X509_TRUSTED) ||
	    is(name, PEM_STRING_X509_CRL);
}

static bool is_key(const struct line *name)
{
	static const char words[] = "PRIVATE KEY";
	const size_t n = sizeof(words) - 1;

	return name->len >= n && memcmp(name->p + name->len - n, words, n) == 0;
}

bool tls_trust_blocks(const char *pem, size_t len, struct str *blocks, bool *has_key, struct str *why)
{
	const char *end = pem + len, *begun = NULL, *next;
	struct line line, name, of = { "", 0 };
	unsigned number = 0, head = 0;

	for (const char *p = pem; p < end; p = next) {
		next = cut_line(p, end, &line);
		number++;
		if (is_mark(&line, BEGIN, &name)) {
			if (begun != NULL || name.len == 0)
				break;
			begun = p;
			of = name;
			head = number;
		} else if (is_mark(&line, END, &name)) {
			if (begun == NULL || name.len != of.len || memcmp(name.p, of.p, of.len) != 0)
				break;
			*has_key = *has_key || is_key(&of);
			if (is_wanted(&of)) {
				str_add(blocks, begun, (size_t)(line.p + line.len - begun));
				str_addc(blocks, '\n');
			}
			begun = NULL;
		}
		if (next == end && begun == NULL)
			return true;
	}
	if (len != 0)
		str_addf(why, "a part of it, that begins in line %u, cannot be read", begun != NULL ? head : number);
	return len == 0;
}

/* --- sets --- */

static int by_name(const X509 *const *a, const X509 *const *b)
{
	int d = X509_NAME_cmp(X509_get_subject_name(*a), X509_get_subject_name(*b));

	return d != 0 ? d : X509_cmp(*a, *b);
}

static int by_issuer(const X509_CRL *const *a, const X509_CRL *const *b)
{
	int d = X509_NAME_cmp(X509_CRL_get_issuer(*a), X509_CRL_get_issuer(*b));

	return d != 0 ? d : X509_CRL_match(*a, *b);
}

static struct tls_trust *new_set(void)
{
	struct tls_trust *t = mem_alloc(sizeof(*t));

	t->store = X509_STORE_new();
	t->certs = sk_X509_new(by_name);
	t->lists = sk_X509_CRL_new(by_issuer);
	if (t->store == NULL || t->certs == NULL || t->lists == NULL)
		die_fatal("OpenSSL has no memory");
	/* Whoever lists only an authority between wants that one. */
	X509_STORE_set_flags(t->store, X509_V_FLAG_PARTIAL_CHAIN);
	X509_STORE_set_depth(t->store, BETWEEN_MAX);
	X509_VERIFY_PARAM_set_auth_level(X509_STORE_get0_param(t->store), AUTH_LEVEL);
	return t;
}

/* X509_STORE_add_cert() would sort all of them again for each one. */
static void put(X509_STORE *store, X509 *cert, X509_CRL *crl)
{
	X509_OBJECT *o = X509_OBJECT_new();

	if (o == NULL || (cert != NULL ? X509_OBJECT_set1_X509(o, cert) : X509_OBJECT_set1_X509_CRL(o, crl)) != 1 ||
	    sk_X509_OBJECT_push(X509_STORE_get0_objects(store), o) == 0)
		die_fatal("OpenSSL has no memory");
}

/* What stands there twice is put there once: a folder may have it under two names. */
static void fill_store(struct tls_trust *t)
{
	sk_X509_sort(t->certs);
	for (int i = 0; i < sk_X509_num(t->certs); i++)
		if (i == 0 || X509_cmp(sk_X509_value(t->certs, i - 1), sk_X509_value(t->certs, i)) != 0)
			put(t->store, sk_X509_value(t->certs, i), NULL);
	sk_X509_CRL_sort(t->lists);
	for (int i = 0; i < sk_X509_CRL_num(t->lists); i++)
		if (i == 0 || X509_CRL_match(sk_X509_CRL_value(t->lists, i - 1), sk_X509_CRL_value(t->lists, i)) != 0)
			put(t->store, NULL, sk_X509_CRL_value(t->lists, i));
	sk_X509_OBJECT_sort(X509_STORE_get0_objects(t->store));
}

/* A private key may stand there, encrypted: it is not for us. */
static int no_passphrase(char *buf UNUSED, int size UNUSED, int writing UNUSED, void *arg UNUSED)
{
	return -1;
}

/* False: something cannot be read. */
static bool parse(struct tls_trust *t, const void *pem, size_t len)
{
	BIO *b = BIO_new_mem_buf(pem, (int)len);
	STACK_OF(X509_INFO) *all = b != NULL ? PEM_X509_INFO_read_bio(b, NULL, no_passphrase, NULL) : NULL;

	for (int i = 0; all != NULL && i < sk_X509_INFO_num(all); i++) {
		X509_INFO *one = sk_X509_INFO_value(all, i);

		if ((one->x509 != NULL && sk_X509_push(t->certs, one->x509) == 0) ||
		    (one->crl != NULL && sk_X509_CRL_push(t->lists, one->crl) == 0))
			die_fatal("OpenSSL has no memory");
		one->x509 = NULL;
		one->crl = NULL;
	}
	sk_X509_INFO_pop_free(all, X509_INFO_free);
	BIO_free(b);
	ERR_clear_error();
	return all != NULL;
}

struct tls_trust *tls_trust_new(const void *pem, size_t len, struct str *why)
{
	struct tls_trust *t = new_set();

	if (len > TLS_TRUST_MAX)
		str_adds(why, "it is too long");
	else if (!parse(t, pem, len))
		str_adds(why, "a part of it cannot be read");
	else if (sk_X509_num(t->certs) == 0)
		str_adds(why, "there is no certificate");
	else {
		fill_store(t);
		if (sk_X509_CRL_num(t->lists) == 0 || tls_lists_use(t->store, t->lists, t->certs, why))
			return t;
	}
	tls_trust_free(&t);
	return NULL;
}

struct tls_trust *tls_trust_read(int fd, struct str *why)
{
	struct tls_trust *t = NULL;
	off_t size = lseek(fd, 0, SEEK_END); /* login workers may do that, but not ask for a file's status */
	void *p;

	if (size == 0)
		return new_set();
	p = size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
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
	sk_X509_pop_free((*t)->certs, X509_free);
	sk_X509_CRL_pop_free((*t)->lists, X509_CRL_free);
	mem_free(t);
}

void tls_trust_take(struct tls_trust **t, int fd, const char *setting, const char *nobody)
{
	struct str why = STR_INIT;
	struct tls_trust *new = tls_trust_read(fd, &why);

	if (new != NULL) {
		tls_trust_free(t);
		*t = new;
	} else {
		log_error("what the master has passed of %s cannot be used: %s; %s", setting, str_cstr(&why),
		    *t != NULL ? "what it was before stays" : nobody);
	}
	str_fini(&why);
}

/* --- verification --- */

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
		if (X509_verify_cert(ctx) == 1)
			result = X509_V_OK;
		else if (X509_STORE_CTX_get_error(ctx) != X509_V_OK)
			result = X509_STORE_CTX_get_error(ctx);
	}
	X509_STORE_CTX_free(ctx);
	ERR_clear_error();
	return result;
}

bool tls_trust_is_foreign(int verdict)
{
	return verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT ||
	    verdict == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	    verdict == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT || verdict == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
	    verdict == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE;
}

bool tls_trust_is_cheap(const EVP_PKEY *key)
{
	BIGNUM *e = NULL;
	bool cheap;

	if (key == NULL || EVP_PKEY_get_bits(key) > CHEAP_BITS)
		return false;
	if (EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA && EVP_PKEY_get_base_id(key) != EVP_PKEY_RSA_PSS)
		return true;
	cheap = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_num_bits(e) <= CHEAP_EXPONENT_BITS;
	BN_free(e);
	return cheap;
}

X509_STORE *tls_trust_store(const struct tls_trust *t)
{
	return t->store;
}

/* --- what there is --- */

static const X509_NAME *name_of(const struct tls_trust *t, int i)
{
	return X509_get_subject_name(sk_X509_value(t->certs, i));
}

/* Number I is the first of its name. */
static bool is_first(const struct tls_trust *t, int i)
{
	return i == 0 || X509_NAME_cmp(name_of(t, i - 1), name_of(t, i)) != 0;
}

STACK_OF(X509_NAME) * tls_trust_names(const struct tls_trust *t)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	size_t len = 0;

	for (int i = 0; i < sk_X509_num(t->certs) && len <= TLS_TRUST_NAMES_MAX; i++) {
		X509_NAME *copy = is_first(t, i) ? X509_NAME_dup(name_of(t, i)) : NULL;

		if (copy == NULL)
			continue;
		len += 2 + (size_t)MAX(i2d_X509_NAME(copy, NULL), 0);
		if (sk_X509_NAME_push(names, copy) == 0)
			die_fatal("OpenSSL has no memory");
	}
	if (len != 0 && len <= TLS_TRUST_NAMES_MAX)
		return names;
	sk_X509_NAME_pop_free(names, X509_NAME_free);
	return NULL;
}

unsigned tls_trust_count(const struct tls_trust *t)
{
	return (unsigned)sk_X509_num(t->certs);
}

static bool has_cert(const struct tls_trust *t, const X509_NAME *name)
{
	int i = tls_lists_find(t->certs, name);

	return i < sk_X509_num(t->certs) && X509_NAME_cmp(name_of(t, i), name) == 0;
}

static const X509_NAME *issuer_of(const struct tls_trust *t, int i)
{
	return X509_CRL_get_issuer(sk_X509_CRL_value(t->lists, i));
}

/* One more period, of NAME; LAST: no other of that name follows. */
struct ends {
	tls_trust_end_fn *fn;
	void *arg;
	bool is_list, any; /* ANY: there was one of this name */
	int64_t from, until;
};

static void add_period(struct ends *e, const X509_NAME *name, const ASN1_TIME *from, const ASN1_TIME *until, bool last)
{
	int64_t begin = 0, end = INT64_MAX;

	tls_cert_seconds(from, &begin);
	if (until != NULL && !tls_cert_seconds(until, &end))
		end = 0;
	if (!e->any || end > e->until) {
		e->from = begin;
		e->until = end;
	}
	e->any = !last;
	if (last)
		e->fn(e->arg, e->is_list, name, e->from, e->until);
	ERR_clear_error();
}

void tls_trust_each_cert(const struct tls_trust *t, tls_trust_end_fn *fn, void *arg)
{
	struct ends e = { .fn = fn, .arg = arg };

	for (int i = 0; i < sk_X509_num(t->certs); i++) {
		const X509 *cert = sk_X509_value(t->certs, i);

		add_period(&e, name_of(t, i), X509_get0_notBefore(cert), X509_get0_notAfter(cert),
		    i + 1 == sk_X509_num(t->certs) || is_first(t, i + 1));
	}
}

void tls_trust_each_list(const struct tls_trust *t, tls_trust_end_fn *fn, void *arg)
{
	struct ends e = { .fn = fn, .arg = arg, .is_list = true };

	for (int i = 0; i < sk_X509_CRL_num(t->lists); i++) {
		const X509_CRL *crl = sk_X509_CRL_value(t->lists, i);

		add_period(&e, issuer_of(t, i), X509_CRL_get0_lastUpdate(crl), X509_CRL_get0_nextUpdate(crl),
		    i + 1 == sk_X509_CRL_num(t->lists) || X509_NAME_cmp(issuer_of(t, i), issuer_of(t, i + 1)) != 0);
	}
}

/* The first list of T that has the issuer NAME, or would stand behind it. */
static int find_list(const struct tls_trust *t, const X509_NAME *name)
{
	int first = 0, end = sk_X509_CRL_num(t->lists);

	while (first < end) {
		int middle = first + (end - first) / 2;

		if (X509_NAME_cmp(issuer_of(t, middle), name) < 0)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

static bool is_of(const struct tls_trust *t, int i, const X509_NAME *name)
{
	return i < sk_X509_CRL_num(t->lists) && X509_NAME_cmp(issuer_of(t, i), name) == 0;
}

static bool has_list(const struct tls_trust *t, const X509_NAME *name)
{
	return is_of(t, find_list(t, name), name);
}

/* T has a list of the same issuer that was made with CRL, or later. */
static bool has_as_new(const struct tls_trust *t, const X509_CRL *crl)
{
	const X509_NAME *name = X509_CRL_get_issuer(crl);

	for (int i = find_list(t, name); is_of(t, i, name); i++)
		if (ASN1_TIME_compare(X509_CRL_get0_lastUpdate(sk_X509_CRL_value(t->lists, i)),
		        X509_CRL_get0_lastUpdate(crl)) >= 0)
			return true;
	return false;
}

static bool share_any(const struct tls_trust *a, const struct tls_trust *b)
{
	for (int i = 0; i < sk_X509_num(a->certs); i++)
		if (has_cert(b, name_of(a, i)))
			return true;
	return false;
}

static void add_list(struct str *pem, X509_CRL *crl)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *text;
	long len;

	if (b == NULL || PEM_write_bio_X509_CRL(b, crl) != 1)
		die_fatal("OpenSSL has no memory");
	len = BIO_get_mem_data(b, &text);
	str_add(pem, text, (size_t)len);
	BIO_free(b);
}

/* CRL of OLD, which shares an authority with T if RELATED, is missed in T. */
static bool is_missed(const struct tls_trust *t, const struct tls_trust *old, X509_CRL *crl, bool related)
{
	const X509_NAME *name = X509_CRL_get_issuer(crl);
	EVP_PKEY *key;

	if (has_list(t, name) ? has_as_new(t, crl) || !tls_lists_is_current(crl) :
	                        !has_cert(t, name) && (has_cert(old, name) || !related))
		return false;
	return tls_lists_signer(crl, t->certs, &key) != TLS_LIST_OF_ANOTHER;
}

const X509_NAME *tls_trust_keep_lists(const struct tls_trust *t, const struct tls_trust *old, struct str *pem,
    bool *older)
{
	const X509_NAME *first = NULL;
	bool related = old != NULL && share_any(old, t);

	for (int i = 0; old != NULL && i < sk_X509_CRL_num(old->lists); i++) {
		X509_CRL *crl = sk_X509_CRL_value(old->lists, i);

		if (!is_missed(t, old, crl, related))
			continue;
		add_list(pem, crl);
		if (first == NULL) {
			first = issuer_of(old, i);
			*older = has_list(t, first);
		}
	}
	ERR_clear_error();
	return first;
}

unsigned tls_trust_unlisted(const struct tls_trust *t, const X509_NAME **first)
{
	unsigned n = 0;

	for (int i = 0; sk_X509_CRL_num(t->lists) != 0 && i < sk_X509_num(t->certs); i++)
		if (is_first(t, i) && !has_list(t, name_of(t, i)) && n++ == 0)
			*first = name_of(t, i);
	return n;
}
