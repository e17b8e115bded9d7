/* Certificates of clients: whose are believed, and the login names in them. */
#include "tests/unit/unit.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/tls_cert.h"
#include "lib/tls_cert_name.h"
#include "lib/tls_trust.h"
#include "tests/unit/tls_test.h"

enum { SIZE = 32 };

static EVP_PKEY *key, *ca_key;
static X509 *ca;
static char name[SIZE];

static void setup(void)
{
	key = tls_test_key("P-256");
	ca_key = tls_test_key("P-256");
	ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -60, 3600, true);
}

static void teardown(void)
{
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

/* --- names --- */

static X509 *cert_with(const char *alt)
{
	return tls_test_signed(key, alt, ca, ca_key, -60, 3600, false);
}

static void add_field(X509 *cert, const char *field, int type, const void *value, int len)
{
	CU_ASSERT_EQUAL(X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), field, type, value, len, -1, 0), 1);
}

/* NAME is the value of FIELD; NULL: there is no name, and WHY begins so. */
static void expect(X509 *cert, const char *field, const char *value, const char *why)
{
	const char *said = tls_cert_name(cert, field, name, sizeof(name));

	if (value != NULL) {
		CU_ASSERT_PTR_NULL(said);
		CU_ASSERT_STRING_EQUAL(name, value);
	} else {
		CU_ASSERT_PTR_NOT_NULL_FATAL(said);
		CU_ASSERT_PTR_NOT_NULL(strstr(said, why));
	}
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	X509_free(cert);
}

static void test_fields(void)
{
	static const char *const known[] = { "email", "EMAIL", "emailAddress", "emailaddress", "mail", "cn",
		"commonName", "uid", "userId", "serialNumber", "OU", "2.5.4.3" };
	static const char *const unknown[] = { "", "shoesize", "1.2.3.4.5.6.7", "cn ", "../x" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		CU_ASSERT(tls_cert_name_field(known[i]));
	for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
		CU_ASSERT_FALSE(tls_cert_name_field(unknown[i]));
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

static void test_names(void)
{
	X509 *c;

	setup();
	expect(cert_with(NULL), "CN", "subject.example", NULL);
	expect(cert_with(NULL), "2.5.4.3", "subject.example", NULL);
	expect(cert_with(NULL), "UID", NULL, "not there");
	expect(cert_with(NULL), "shoesize", NULL, "not there");
	expect(cert_with("email:a@example.com"), "email", "a@example.com", NULL);
	expect(cert_with("email:a@example.com,DNS:b,URI:c:d"), "emailAddress", "a@example.com", NULL);
	expect(cert_with("email:a@example.com"), "CN", "subject.example", NULL);
	expect(cert_with("DNS:a@example.com"), "email", NULL, "not there");
	expect(cert_with("email:a@x,email:b@x"), "email", NULL, "twice");
	expect(cert_with("email:a@x,email:A@X"), "email", "a@x", NULL);
	expect(cert_with("email:a@x,email:a@x.y"), "email", NULL, "twice");
	c = cert_with("email:a@x");
	add_field(c, "emailAddress", MBSTRING_ASC, "b@x", -1);
	expect(c, "email", NULL, "twice");
	c = cert_with(NULL);
	add_field(c, "CN", MBSTRING_ASC, "second", -1);
	expect(c, "CN", NULL, "twice");
	c = cert_with(NULL);
	add_field(c, "UID", MBSTRING_UTF8, "j\xc3\xb6rg", -1);
	expect(c, "uid", "j\xc3\xb6rg", NULL);
	c = cert_with(NULL);
	add_field(c, "UID", V_ASN1_BMPSTRING, "\0j\0\xf6", 4);
	expect(c, "uid", "j\xc3\xb6", NULL);
	teardown();
}

/* What would be cut, end a line, or be another name for whoever reads it to the first NUL. */
static void test_bad_values(void)
{
	char value[SIZE + 1];

	setup();
	for (int i = 0; i < 0x20; i++) {
		X509 *c = cert_with(NULL);

		memcpy(value, "ab@x", 4);
		value[1] = (char)i;
		add_field(c, "UID", V_ASN1_UTF8STRING, value, 4);
		expect(c, "UID", NULL, "control characters");
	}
	for (int len = 0; len <= SIZE; len++) {
		X509 *c = cert_with(NULL);

		memset(value, 'x', sizeof(value));
		value[len] = '\0';
		if (len == 0)
			X509_NAME_add_entry_by_NID(X509_get_subject_name(c), NID_userId, V_ASN1_UTF8STRING,
			    (const unsigned char *)"", 0, -1, 0);
		else
			add_field(c, "UID", V_ASN1_UTF8STRING, value, len);
		expect(c, "UID", len > 0 && len < SIZE ? value : NULL, len == 0 ? "empty" : "too long");
	}
	teardown();
}

/* Neither is a certificate whose alternative names nobody can read. */
static void test_bad_alternatives(void)
{
	X509 *c;
	ASN1_OCTET_STRING *data = ASN1_OCTET_STRING_new();
	X509_EXTENSION *e;

	setup();
	c = cert_with(NULL);
	add_field(c, "emailAddress", MBSTRING_ASC, "a@x", -1);
	ASN1_OCTET_STRING_set(data, (const unsigned char *)"\x30\x05\x81\x09q", 5);
	e = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, data);
	X509_add_ext(c, e, -1);
	expect(c, "email", NULL, "cannot be read");
	X509_EXTENSION_free(e);
	ASN1_OCTET_STRING_free(data);
	teardown();
}

/* --- trust --- */

static struct tls_trust *trust(const struct str *pem)
{
	struct str why = STR_INIT;
	struct tls_trust *t = tls_trust_new(str_cstr(pem), pem->len, &why);

	CU_ASSERT_EQUAL(t == NULL, why.len != 0);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	str_fini(&why);
	return t;
}

static X509 *with_purpose(const char *use)
{
	X509 *c = cert_with(NULL);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, use);

	X509_add_ext(c, e, -1);
	X509_EXTENSION_free(e);
	X509_sign(c, ca_key, EVP_sha256());
	return c;
}

static void judge(const struct tls_trust *t, X509 *cert, int want)
{
	CU_ASSERT_EQUAL(tls_trust_verify(t, cert, NULL), want);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	X509_free(cert);
}

static void test_trust(void)
{
	struct str pem = STR_INIT;
	EVP_PKEY *weak = EVP_RSA_gen(1024);
	struct tls_trust *t;

	setup();
	str_adds(&pem, "What people write between them.\n");
	tls_test_add_pem(&pem, ca);
	tls_test_add_pem(&pem, ca); /* a folder may have it under two names */
	t = trust(&pem);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	judge(t, cert_with(NULL), X509_V_OK);
	judge(t, with_purpose("clientAuth"), X509_V_OK);
	judge(t, with_purpose("serverAuth"), X509_V_ERR_INVALID_PURPOSE);
	judge(t, tls_test_signed(key, NULL, ca, ca_key, -60, -1, false), X509_V_ERR_CERT_HAS_EXPIRED);
	judge(t, tls_test_signed(key, NULL, ca, ca_key, 60, 3600, false), X509_V_ERR_CERT_NOT_YET_VALID);
	judge(t, tls_test_signed(key, NULL, ca, key, -60, 3600, false), X509_V_ERR_CERT_SIGNATURE_FAILURE);
	judge(t, tls_test_cert(key, "self.example"), X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	judge(t, tls_test_signed(weak, NULL, ca, ca_key, -60, 3600, false), X509_V_ERR_EE_KEY_TOO_SMALL);
	judge(NULL, cert_with(NULL), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	tls_trust_free(&t);
	tls_trust_free(&t);
	EVP_PKEY_free(weak);
	str_fini(&pem);
	teardown();
}

/* What leads to them by others, that the client sends. */
static void test_between(void)
{
	struct str pem = STR_INIT, between_pem = STR_INIT;
	EVP_PKEY *between_key;
	X509 *between, *own;
	STACK_OF(X509) *others = sk_X509_new_null();
	struct tls_trust *t, *only;

	setup();
	between_key = tls_test_key("P-256");
	between = tls_test_authority(between_key, "between", ca, ca_key);
	own = tls_test_signed(key, NULL, between, between_key, -60, 3600, false);
	tls_test_add_pem(&pem, ca);
	tls_test_add_pem(&between_pem, between);
	t = trust(&pem);
	only = trust(&between_pem);
	sk_X509_push(others, own);
	sk_X509_push(others, between);
	CU_ASSERT_EQUAL(tls_trust_verify(t, own, others), X509_V_OK);
	CU_ASSERT_NOT_EQUAL(tls_trust_verify(t, own, NULL), X509_V_OK);
	CU_ASSERT_EQUAL(tls_trust_verify(only, own, NULL), X509_V_OK);
	judge(only, cert_with(NULL), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
	sk_X509_free(others);
	X509_free(own);
	X509_free(between);
	EVP_PKEY_free(between_key);
	tls_trust_free(&t);
	tls_trust_free(&only);
	str_fini(&pem);
	str_fini(&between_pem);
	teardown();
}

static void test_revoked(void)
{
	struct str pem = STR_INIT;
	X509 *lost, *good;
	struct tls_trust *t;

	setup();
	lost = cert_with(NULL);
	good = cert_with(NULL);
	ASN1_INTEGER_set(X509_get_serialNumber(good), 3);
	X509_sign(good, ca_key, EVP_sha256());
	tls_test_add_pem(&pem, ca);
	tls_test_add_list(&pem, ca, ca_key, lost, -60, 3600);
	t = trust(&pem);
	judge(t, lost, X509_V_ERR_CERT_REVOKED);
	judge(t, good, X509_V_OK);
	tls_trust_free(&t);
	str_fini(&pem);
	teardown();
}

/* As tls_test_add_list(), with VALUE of the extension NID. */
static void add_list_with(struct str *pem, const X509 *issuer, EVP_PKEY *by, const X509 *revoked, long until, int nid,
    void *value)
{
	struct str plain = STR_INIT;
	BIO *in, *out = BIO_new(BIO_s_mem());
	X509_CRL *crl;
	char *p;
	long n;

	tls_test_add_list(&plain, issuer, by, revoked, -30, until);
	in = BIO_new_mem_buf(plain.data, (int)plain.len);
	crl = PEM_read_bio_X509_CRL(in, NULL, NULL, NULL);
	CU_ASSERT_EQUAL_FATAL(X509_CRL_add1_ext_i2d(crl, nid, value, nid == NID_delta_crl, 0), 1);
	CU_ASSERT_FATAL(X509_CRL_sign(crl, by, EVP_sha256()) > 0);
	PEM_write_bio_X509_CRL(out, crl);
	n = BIO_get_mem_data(out, &p);
	str_add(pem, p, (size_t)n);
	BIO_free(in);
	BIO_free(out);
	X509_CRL_free(crl);
	str_fini(&plain);
}

/* Gives CERT, signed with BY, the identifier TEXT of its key. */
static void identify(X509 *cert, EVP_PKEY *by, const char *text)
{
	ASN1_OCTET_STRING *id = ASN1_OCTET_STRING_new();

	ASN1_OCTET_STRING_set(id, (const unsigned char *)text, -1);
	CU_ASSERT_EQUAL(X509_add1_ext_i2d(cert, NID_subject_key_identifier, id, 0, 0), 1);
	CU_ASSERT_FATAL(X509_sign(cert, by, EVP_sha256()) > 0);
	ASN1_OCTET_STRING_free(id);
}

/* Lists say by which key they are signed (RFC 5280 5.2.1): libcrypto takes none then for a certificate that stands in
 * the file and that another authority has revoked. */
static void test_revoked_in_the_file(void)
{
	AUTHORITY_KEYID *by = AUTHORITY_KEYID_new();
	struct str pem = STR_INIT;
	EVP_PKEY *between_key;
	X509 *between, *own;
	struct tls_trust *t;

	setup();
	between_key = tls_test_key("P-256");
	identify(ca, ca_key, "root");
	between = tls_test_authority(between_key, "between", ca, ca_key);
	identify(between, ca_key, "between");
	own = tls_test_signed(key, NULL, between, between_key, -60, 3600, false);
	by->keyid = ASN1_OCTET_STRING_new();
	ASN1_OCTET_STRING_set(by->keyid, (const unsigned char *)"root", -1);
	for (int revoked = 0; revoked < 2; revoked++) {
		str_clear(&pem);
		tls_test_add_pem(&pem, ca);
		tls_test_add_pem(&pem, between);
		tls_test_add_list(&pem, between, between_key, NULL, -60, 60);
		add_list_with(&pem, ca, ca_key, revoked ? between : NULL, 60, NID_authority_key_identifier, by);
		t = trust(&pem);
		CU_ASSERT_EQUAL(tls_trust_verify(t, own, NULL), revoked ? X509_V_ERR_CERT_REVOKED : X509_V_OK);
		tls_trust_free(&t);
	}
	AUTHORITY_KEYID_free(by);
	X509_free(own);
	X509_free(between);
	EVP_PKEY_free(between_key);
	str_fini(&pem);
	teardown();
}

/* Where there are lists, each authority of a chain needs one that is good now, and what it revokes is refused. */
static void test_revoked_between(void)
{
	const struct {
		bool root, revoked, between; /* lists: of the root, with the other authority in it, and of that */
		long until;                  /* of the root's */
		bool listed;                 /* the authority between stands in the file */
		int want;
	} rows[] = {
		{ false, false, false, 60, false, X509_V_OK },
		{ true, false, true, 60, false, X509_V_OK },
		{ true, true, true, 60, false, X509_V_ERR_CERT_REVOKED },
		{ true, true, false, 60, false, X509_V_ERR_UNABLE_TO_GET_CRL },
		{ true, false, false, 60, false, X509_V_ERR_UNABLE_TO_GET_CRL },
		{ false, false, true, 60, false, X509_V_ERR_UNABLE_TO_GET_CRL },
		{ true, false, true, -1, false, X509_V_ERR_CRL_HAS_EXPIRED },
		/* One that is listed is believed for that; but not if it is revoked. */
		{ false, false, true, 60, true, X509_V_OK },
		{ true, false, true, 60, true, X509_V_OK },
		{ true, false, true, -1, true, X509_V_OK },
		{ true, true, true, 60, true, X509_V_ERR_CERT_REVOKED },
		{ true, true, true, -1, true, X509_V_ERR_CERT_REVOKED },
	};
	EVP_PKEY *between_key;
	X509 *between, *own;
	STACK_OF(X509) *others = sk_X509_new_null();

	setup();
	between_key = tls_test_key("P-256");
	between = tls_test_authority(between_key, "between", ca, ca_key);
	own = tls_test_signed(key, NULL, between, between_key, -60, 3600, false);
	sk_X509_push(others, between);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str pem = STR_INIT;
		struct tls_trust *t;

		tls_test_add_pem(&pem, ca);
		if (rows[i].listed)
			tls_test_add_pem(&pem, between);
		if (rows[i].root)
			tls_test_add_list(&pem, ca, ca_key, rows[i].revoked ? between : NULL, -60, rows[i].until);
		if (rows[i].between)
			tls_test_add_list(&pem, between, between_key, NULL, -60, 60);
		t = trust(&pem);
		for (int again = 0; again < 2; again++) {
			int verdict = tls_trust_verify(t, own, others);

			if (verdict != rows[i].want)
				printf("\nrow %zu: %s\n", i, X509_verify_cert_error_string(verdict));
			CU_ASSERT_EQUAL(verdict, rows[i].want);
		}
		tls_trust_free(&t);
		str_fini(&pem);
	}
	sk_X509_free(others);
	X509_free(own);
	X509_free(between);
	EVP_PKEY_free(between_key);
	teardown();
}

/* A list that has the name of an authority must be its list. */
static void test_forged_list(void)
{
	struct str pem = STR_INIT, why = STR_INIT;

	setup();
	tls_test_add_pem(&pem, ca);
	tls_test_add_list(&pem, ca, key, NULL, -60, 60);
	CU_ASSERT_PTR_NULL(tls_trust_new(pem.data, pem.len, &why));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&why), "\"authority.example\" and is not signed by it"));
	str_fini(&pem);
	str_fini(&why);
	teardown();
}

/* A list of changes does not stand for all that is revoked. */
static void test_delta_list(void)
{
	struct str pem = STR_INIT, why = STR_INIT;
	ASN1_INTEGER *base = ASN1_INTEGER_new();
	X509 *revoked;

	setup();
	revoked = cert_with(NULL);
	ASN1_INTEGER_set(base, 1);
	tls_test_add_pem(&pem, ca);
	tls_test_add_list(&pem, ca, ca_key, revoked, -60, 60);
	add_list_with(&pem, ca, ca_key, NULL, 60, NID_delta_crl, base);
	CU_ASSERT_PTR_NULL(tls_trust_new(pem.data, pem.len, &why));
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&why), "\"authority.example\" has only what was changed"));
	ASN1_INTEGER_free(base);
	X509_free(revoked);
	str_fini(&pem);
	str_fini(&why);
	teardown();
}

/* Whoever makes the key chooses how long a signature takes to verify. */
static void test_cheap_keys(void)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *large = EVP_RSA_gen(4104), *ec = tls_test_key("P-256"), *slow = NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params;
	BIGNUM *n = NULL;

	CU_ASSERT(tls_trust_is_cheap(rsa) && tls_trust_is_cheap(ec));
	CU_ASSERT_FALSE(tls_trust_is_cheap(large) || tls_trust_is_cheap(NULL));
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n);
	OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, n);
	params = OSSL_PARAM_BLD_to_param(b);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_fromdata_init(ctx), 1);
	CU_ASSERT_EQUAL_FATAL(EVP_PKEY_fromdata(ctx, &slow, EVP_PKEY_PUBLIC_KEY, params), 1);
	CU_ASSERT_FALSE(tls_trust_is_cheap(slow));
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	BN_free(n);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(large);
	EVP_PKEY_free(ec);
	EVP_PKEY_free(slow);
}

static unsigned nverified;

static int count_verified(X509_CRL *crl UNUSED, EVP_PKEY *pkey UNUSED)
{
	nverified++;
	return 1;
}

static int nobody_is_revoked(X509_CRL *crl UNUSED, X509_REVOKED **found UNUSED, const ASN1_INTEGER *number UNUSED,
    const X509_NAME *issuer UNUSED)
{
	return 0;
}

/* A list may be long: its signature is computed once, whatever who shows certificates. */
static void test_work_for_lists(void)
{
	X509_CRL_METHOD *counting = X509_CRL_METHOD_new(NULL, NULL, nobody_is_revoked, count_verified);
	STACK_OF(X509) *others = sk_X509_new_null();
	struct str pem = STR_INIT;
	EVP_PKEY *between_key;
	X509 *between, *forged, *own;
	struct tls_trust *t;

	setup();
	between_key = tls_test_key("P-256");
	between = tls_test_authority(between_key, "between", ca, ca_key);
	forged = tls_test_authority(key, "between", ca, key); /* as if CA had signed it */
	tls_test_add_pem(&pem, ca);
	tls_test_add_list(&pem, ca, ca_key, NULL, -60, 60);
	tls_test_add_list(&pem, between, between_key, NULL, -60, 60);
	X509_CRL_set_default_method(counting);
	t = trust(&pem);
	X509_CRL_set_default_method(NULL);
	CU_ASSERT_EQUAL(nverified, 1);
	for (int i = 0; i < 5; i++) {
		judge(t, cert_with(NULL), X509_V_OK);
		judge(t, tls_test_signed(key, NULL, ca, key, -60, 3600, false), X509_V_ERR_CERT_SIGNATURE_FAILURE);
		sk_X509_push(others, forged);
		own = tls_test_signed(key, NULL, forged, key, -60, 3600, false);
		CU_ASSERT_EQUAL(tls_trust_verify(t, own, others), X509_V_ERR_CERT_SIGNATURE_FAILURE);
		X509_free(own);
		sk_X509_pop(others);
	}
	CU_ASSERT_EQUAL(nverified, 1);
	/* The one whose authority stands nowhere is verified when somebody shows that. */
	sk_X509_push(others, between);
	own = tls_test_signed(key, NULL, between, between_key, -60, 3600, false);
	for (int i = 0; i < 5; i++)
		CU_ASSERT_EQUAL(tls_trust_verify(t, own, others), X509_V_OK);
	CU_ASSERT_EQUAL(nverified, 2);
	X509_free(own);
	tls_trust_free(&t);
	X509_CRL_METHOD_free(counting);
	sk_X509_free(others);
	X509_free(between);
	X509_free(forged);
	EVP_PKEY_free(between_key);
	str_fini(&pem);
	teardown();
}

/* --- what there is --- */

static void collect(void *arg, bool is_list, const X509_NAME *authority, int64_t from, int64_t until)
{
	char text[TLS_CERT_NAME_TEXT_MAX];

	str_addf(arg, "%s%s %d;", is_list ? "" : "cert ", tls_cert_name_text(authority, text),
	    (int)((until - from) / 60));
}

/* Something of BEFORE is kept, and nothing is lost then. */
static bool lost(const struct str *now, const struct str *before)
{
	struct tls_trust *t = trust(now), *old = trust(before);
	struct str pem = STR_INIT;
	bool any, older = false;

	CU_ASSERT_PTR_NULL(tls_trust_keep_lists(t, NULL, &pem, &older));
	CU_ASSERT_EQUAL(pem.len, 0);
	str_adds(&pem, str_cstr(now));
	any = tls_trust_keep_lists(t, old, &pem, &older) != NULL;
	CU_ASSERT_EQUAL(any, pem.len > now->len);
	tls_trust_free(&t);
	t = trust(&pem);
	CU_ASSERT_PTR_NULL(tls_trust_keep_lists(t, old, &pem, &older));
	tls_trust_free(&t);
	tls_trust_free(&old);
	str_fini(&pem);
	return any;
}

static void test_lists(void)
{
	struct str one = STR_INIT, both = STR_INIT, listed = STR_INIT, two = STR_INIT, found = STR_INIT;
	const X509_NAME *first = NULL;
	struct tls_trust *t;
	X509 *other;

	setup();
	other = tls_test_authority(key, "other", NULL, key);
	tls_test_add_pem(&one, ca);
	tls_test_add_pem(&both, ca);
	tls_test_add_pem(&both, other);
	str_adds(&listed, str_cstr(&both));
	tls_test_add_list(&listed, other, key, NULL, -3600, 3600);
	tls_test_add_list(&listed, other, key, NULL, -3600, 7200);
	tls_test_add_list(&listed, other, key, NULL, -3600, -60);
	str_adds(&two, str_cstr(&listed));
	tls_test_add_list(&two, ca, ca_key, NULL, -60, 60);
	t = trust(&two);
	tls_trust_each_list(t, collect, &found);
	CU_ASSERT(strcmp(str_cstr(&found), "other 180;authority.example 2;") == 0 ||
	    strcmp(str_cstr(&found), "authority.example 2;other 180;") == 0);
	CU_ASSERT_EQUAL(tls_trust_unlisted(t, &first), 0);
	str_clear(&found);
	tls_trust_each_cert(t, collect, &found);
	CU_ASSERT(strcmp(str_cstr(&found), "cert other 61;cert authority.example 61;") == 0 ||
	    strcmp(str_cstr(&found), "cert authority.example 61;cert other 61;") == 0);
	tls_trust_free(&t);
	t = trust(&listed);
	CU_ASSERT_EQUAL(tls_trust_count(t), 2);
	CU_ASSERT_EQUAL(tls_trust_unlisted(t, &first), 1);
	CU_ASSERT_EQUAL(X509_NAME_cmp(first, X509_get_subject_name(ca)), 0);
	tls_trust_free(&t);
	CU_ASSERT(lost(&both, &listed));
	CU_ASSERT(lost(&listed, &two));
	CU_ASSERT_FALSE(lost(&one, &listed)); /* the authority is gone, too */
	CU_ASSERT_FALSE(lost(&two, &listed));
	/* Not so new as before; but what has ended, or not begun, is better replaced by anything. */
	for (int i = 0; i < 3; i++) {
		static const long period[3][2] = { { -30, 60 }, { -30, -10 }, { 30, 60 } };

		str_clear(&listed);
		tls_test_add_pem(&listed, ca);
		tls_test_add_list(&listed, ca, ca_key, NULL, period[i][0], period[i][1]);
		str_clear(&two);
		tls_test_add_pem(&two, ca);
		tls_test_add_list(&two, ca, ca_key, NULL, -60, 60);
		CU_ASSERT_EQUAL(lost(&two, &listed), i == 0);
		CU_ASSERT_FALSE(lost(&listed, &two));
		CU_ASSERT_FALSE(lost(&two, &two));
	}
	str_clear(&listed);
	tls_test_add_pem(&listed, ca);
	tls_test_add_list(&listed, other, key, NULL, -60, 60);
	CU_ASSERT(lost(&one, &listed)); /* it never stood there, but clients show it */
	str_clear(&two);
	tls_test_add_pem(&two, other);
	str_clear(&listed);
	tls_test_add_pem(&listed, ca);
	tls_test_add_list(&listed, ca, ca_key, NULL, -60, 60);
	CU_ASSERT_FALSE(lost(&two, &listed)); /* nothing is as before */
	X509_free(other);
	other = tls_test_signed(key, NULL, NULL, key, -60, 3600, true);
	str_clear(&two);
	tls_test_add_pem(&two, other);
	CU_ASSERT_FALSE(lost(&two, &listed)); /* the same name, but a new key: the list is another's */
	X509_free(other);
	str_fini(&one);
	str_fini(&both);
	str_fini(&listed);
	str_fini(&two);
	str_fini(&found);
	teardown();
}

/* Names for clients, and sets as large as they come. */
static void test_many(void)
{
	struct str pem = STR_INIT;
	STACK_OF(X509_NAME) * names;
	struct tls_trust *t;
	unsigned n = 0;
	char text[32];

	setup();
	for (; n < 3000; n++) {
		X509 *x;

		if (n == 3 || n == 200) {
			t = trust(&pem);
			names = tls_trust_names(t);
			CU_ASSERT_EQUAL(sk_X509_NAME_num(names), n == 3 ? 3 : -1); /* too many for clients */
			sk_X509_NAME_pop_free(names, X509_NAME_free);
			tls_trust_free(&t);
		}
		snprintf(text, sizeof(text), "Authority %u", n * 7919 % 3000);
		x = tls_test_authority(key, text, NULL, key);
		tls_test_add_pem(&pem, x);
		if (n < 3)
			tls_test_add_pem(&pem, x); /* twice is once */
		X509_free(x);
	}
	tls_test_add_pem(&pem, ca);
	t = trust(&pem);
	CU_ASSERT_EQUAL(tls_trust_count(t), 3004);
	judge(t, cert_with(NULL), X509_V_OK);
	judge(t, tls_test_cert(key, "self.example"), X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT);
	tls_trust_free(&t);
	str_fini(&pem);
	teardown();
}

/* --- PEM --- */

/* What of TEXT is passed on. NULL: a part is not whole. */
static void expect_blocks(const char *text, const char *want, bool key_found)
{
	struct str blocks = STR_INIT, why = STR_INIT;
	bool has_key = false, good = tls_trust_blocks(text, strlen(text), &blocks, &has_key, &why);

	CU_ASSERT_EQUAL(good, want != NULL);
	CU_ASSERT_EQUAL(good, why.len == 0);
	if (want != NULL && good) {
		CU_ASSERT_STRING_EQUAL(str_cstr(&blocks), want);
		CU_ASSERT_EQUAL(has_key, key_found);
	}
	CU_ASSERT_PTR_NULL(strstr(str_cstr(&blocks), "secret"));
	str_fini(&blocks);
	str_fini(&why);
}

#define BLOCK(name) "-----BEGIN " name "-----\nAAAA\n-----END " name "-----\n"
#define SECRET(name) "-----BEGIN " name "-----\nsecret\n-----END " name "-----\n"

static void test_blocks(void)
{
	static const char all[] =
	    "Words\n" BLOCK("CERTIFICATE") "more\n" SECRET("EC PRIVATE KEY") BLOCK("X509 CRL") SECRET("DH PARAMETERS");

	expect_blocks("", "", false);
	expect_blocks("words -----BEGIN CERTIFICATE-----\n", "", false);
	expect_blocks(all, BLOCK("CERTIFICATE") BLOCK("X509 CRL"), true);
	expect_blocks(BLOCK("X509 CERTIFICATE") BLOCK("TRUSTED CERTIFICATE"),
	    BLOCK("X509 CERTIFICATE") BLOCK("TRUSTED CERTIFICATE"), false);
	expect_blocks(SECRET("PRIVATE KEY") SECRET("ENCRYPTED PRIVATE KEY") SECRET("RSA PRIVATE KEY"), "", true);
	expect_blocks("-----BEGIN X509 CRL-----\r\nAA\r\n-----END X509 CRL----- \r\n",
	    "-----BEGIN X509 CRL-----\r\nAA\r\n-----END X509 CRL-----\n", false);
	expect_blocks("-----BEGIN CERTIFICATE-----\n-----END X509 CRL-----\n", NULL, false);
	expect_blocks("-----BEGIN CERTIFICATE-----\n" BLOCK("CERTIFICATE"), NULL, false);
	expect_blocks("AAAA\n-----END CERTIFICATE-----\n" BLOCK("CERTIFICATE"), NULL, false);
	expect_blocks("-----BEGIN -----\n-----END -----\n", NULL, false);
	for (size_t cut = 0; cut < sizeof(all); cut++) {
		char *part = mem_memdup(all, cut);
		struct str blocks = STR_INIT, why = STR_INIT;
		bool has_key = false, good = tls_trust_blocks(part, cut, &blocks, &has_key, &why);
		const char *last = cut != 0 ? strstr(part, "-----BEGIN") : NULL;
		unsigned begun = 0, ended = 0;

		for (; last != NULL; last = strstr(last + 1, "-----BEGIN"))
			begun++;
		for (last = strstr(part, "-----END "); last != NULL; last = strstr(last + 1, "-----END "))
			ended += strstr(last + 9, "-----") != NULL;
		CU_ASSERT_EQUAL(good, begun == ended);
		CU_ASSERT_EQUAL(good, why.len == 0);
		CU_ASSERT_PTR_NULL(strstr(str_cstr(&blocks), "secret"));
		mem_free(&part);
		str_fini(&blocks);
		str_fini(&why);
	}
}

/* A file that is being written, or is none of ours. */
static void test_bad_pem(void)
{
	struct str pem = STR_INIT, why = STR_INIT;
	struct tls_trust *t;
	size_t first;
	int fd;

	setup();
	tls_test_add_pem(&pem, ca);
	first = pem.len;
	tls_test_add_pem(&pem, ca);
	for (size_t cut = 0; cut <= pem.len; cut++) {
		str_clear(&why);
		t = tls_trust_new(pem.data, cut, &why);
		/* Line ends at the end may lack; a head that is not whole is no head. */
		if (cut < first - 1 || (cut > first + 30 && cut < pem.len - 1))
			CU_ASSERT_PTR_NULL(t);
		if (cut == pem.len)
			CU_ASSERT_PTR_NOT_NULL(t);
		CU_ASSERT_EQUAL(t == NULL, why.len != 0);
		tls_trust_free(&t);
	}
	pem.data[100] = '!';
	CU_ASSERT_PTR_NULL(trust(&pem));
	str_clear(&pem);
	while (pem.len <= TLS_TRUST_MAX)
		tls_test_add_pem(&pem, ca);
	CU_ASSERT_PTR_NULL(trust(&pem));
	fd = memfd_create("trust", 0);
	str_clear(&why);
	t = tls_trust_read(fd, &why);
	judge(t, cert_with(NULL), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY); /* nobody */
	CU_ASSERT_PTR_NULL(tls_trust_names(t));
	CU_ASSERT_EQUAL(tls_trust_count(t), 0);
	tls_trust_free(&t);
	CU_ASSERT_EQUAL(why.len, 0);
	CU_ASSERT_EQUAL(write(fd, pem.data, first), (ssize_t)first);
	t = tls_trust_read(fd, &why);
	CU_ASSERT_PTR_NOT_NULL(t);
	tls_trust_free(&t);
	close(fd);
	str_fini(&pem);
	str_fini(&why);
	teardown();
}

static const struct unit_case cases[] = {
	{ "fields", test_fields },
	{ "names", test_names },
	{ "bad values", test_bad_values },
	{ "bad alternative names", test_bad_alternatives },
	{ "trust", test_trust },
	{ "authorities between", test_between },
	{ "revoked certificates", test_revoked },
	{ "revoked authorities between", test_revoked_between },
	{ "a revoked authority in the file", test_revoked_in_the_file },
	{ "a list of somebody else", test_forged_list },
	{ "a list of changes", test_delta_list },
	{ "keys that cost a stranger less than us", test_cheap_keys },
	{ "work for lists", test_work_for_lists },
	{ "lists", test_lists },
	{ "many authorities", test_many },
	{ "blocks of PEM", test_blocks },
	{ "bad PEM", test_bad_pem },
	{ NULL, NULL },
};
UNIT_MAIN("client_cert", cases)
