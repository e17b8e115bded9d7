/* Certificates of clients: whose are believed, and the login names in them. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

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

static void add_pem(struct str *s, X509 *cert)
{
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	PEM_write_bio_X509(b, cert);
	n = BIO_get_mem_data(b, &p);
	str_add(s, p, (size_t)n);
	BIO_free(b);
}

static void add_list(struct str *s, const X509 *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, -60), *then = X509_gmtime_adj(NULL, 3600);
	BIO *b = BIO_new(BIO_s_mem());
	char *p;
	long n;

	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca));
	X509_CRL_set1_lastUpdate(crl, now);
	X509_CRL_set1_nextUpdate(crl, then);
	if (revoked != NULL) {
		X509_REVOKED *r = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_dup(X509_get0_serialNumber(revoked));

		X509_REVOKED_set_serialNumber(r, number);
		X509_REVOKED_set_revocationDate(r, now);
		X509_CRL_add0_revoked(crl, r);
		ASN1_INTEGER_free(number);
	}
	X509_CRL_sign(crl, ca_key, EVP_sha256());
	PEM_write_bio_X509_CRL(b, crl);
	n = BIO_get_mem_data(b, &p);
	str_add(s, p, (size_t)n);
	BIO_free(b);
	ASN1_TIME_free(now);
	ASN1_TIME_free(then);
	X509_CRL_free(crl);
}

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
	add_pem(&pem, ca);
	add_pem(&pem, ca); /* a folder may have it under two names */
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
	between = tls_test_signed(between_key, NULL, ca, ca_key, -60, 3600, true);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(between), "O", MBSTRING_ASC, (const unsigned char *)"x", -1,
	    -1, 0);
	X509_sign(between, ca_key, EVP_sha256());
	own = tls_test_signed(key, NULL, between, between_key, -60, 3600, false);
	add_pem(&pem, ca);
	add_pem(&between_pem, between);
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
	add_pem(&pem, ca);
	add_list(&pem, lost);
	t = trust(&pem);
	judge(t, lost, X509_V_ERR_CERT_REVOKED);
	judge(t, good, X509_V_OK);
	tls_trust_free(&t);
	str_fini(&pem);
	teardown();
}

/* A file that is being written, or is none of ours. */
static void test_bad_pem(void)
{
	struct str pem = STR_INIT, why = STR_INIT;
	struct tls_trust *t;
	size_t first;
	int fd;

	setup();
	add_pem(&pem, ca);
	first = pem.len;
	add_pem(&pem, ca);
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
		add_pem(&pem, ca);
	CU_ASSERT_PTR_NULL(trust(&pem));
	fd = memfd_create("trust", 0);
	CU_ASSERT_PTR_NULL(tls_trust_read(fd, &why));
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
	{ "bad PEM", test_bad_pem },
	{ NULL, NULL },
};
UNIT_MAIN("client_cert", cases)
