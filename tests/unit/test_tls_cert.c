/* What is said of certificates: each mistake by itself, and none of good ones. */
#include "tests/unit/tls_test.h"
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/tls_cert.h"
#include "lib/tls_issuers.h"

enum { DAY = 24 * 3600 };

/* root -> middle -> leaf, and a stranger's root. */
static EVP_PKEY *key[4];
static X509 *root, *middle, *leaf, *strange;
static char trusted[64]; /* the file with what the machine trusts */
static const char *ours; /* a file with more authorities, or NULL */
static struct str said;

static void on_finding(void *arg UNUSED, bool mistake, const char *text)
{
	str_addf(&said, "%s: %s\n", mistake ? "mistake" : "warning", text);
}

/* Writes CERT to a new file, whose path it stores in PATH. */
static void write_certificate(X509 *cert, char path[64])
{
	FILE *f = NULL;
	int fd;

	snprintf(path, 64, "/tmp/test_tls_cert.XXXXXX");
	fd = mkstemp(path);
	CU_ASSERT_FATAL(fd != -1 && (f = fdopen(fd, "w")) != NULL);
	PEM_write_X509(f, cert);
	fclose(f);
}

static void set_up(void)
{
	for (size_t i = 0; i < ARRAY_LEN(key); i++)
		key[i] = tls_test_key("P-256");
	root = tls_test_signed(key[0], NULL, NULL, key[0], -DAY, 400L * DAY, true);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(root), "O", MBSTRING_ASC, (const unsigned char *)"root", -1,
	    -1, 0);
	X509_set_issuer_name(root, X509_get_subject_name(root));
	X509_sign(root, key[0], EVP_sha256());
	middle = tls_test_signed(key[1], NULL, root, key[0], -9 * DAY, 300L * DAY, true);
	leaf = tls_test_signed(key[2], "DNS:mail.example,DNS:*.pool.example,IP:192.0.2.7,IP:2001:db8::1", middle,
	    key[1], -DAY, 100L * DAY, false);
	strange = tls_test_signed(key[3], NULL, NULL, key[3], -DAY, 400L * DAY, true);
	write_certificate(root, trusted);
	setenv("SSL_CERT_FILE", trusted, 1);
	setenv("SSL_CERT_DIR", "/nonexistent", 1);
}

static void tear_down(void)
{
	unlink(trusted);
	X509_free(root);
	X509_free(middle);
	X509_free(leaf);
	X509_free(strange);
	for (size_t i = 0; i < ARRAY_LEN(key); i++)
		EVP_PKEY_free(key[i]);
	str_fini(&said);
}

/* Checks the N certificates, N days from now; exactly WANT (NULL: nothing) is said, once. */
static void expect(unsigned n, X509 *const *chain, const char *name, int days, const char *want)
{
	X509_STORE *machine = tls_cert_machine();

	str_clear(&said);
	if (machine != NULL && ours != NULL)
		X509_STORE_load_file(machine, ours);
	tls_cert_check(chain, n, false, name, machine, time(NULL) + (int64_t)days * DAY, on_finding, NULL);
	X509_STORE_free(machine);
	if (want == NULL ? said.len != 0 : strstr(str_cstr(&said), want) == NULL)
		printf("said: %s, not: %s\n", str_cstr(&said), want != NULL ? want : "nothing");
	CU_ASSERT(want == NULL ? said.len == 0 : strstr(str_cstr(&said), want) != NULL);
	if (want != NULL && said.len != 0)
		CU_ASSERT_PTR_EQUAL(strchr(said.data, '\n'), said.data + said.len - 1);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

#define EXPECT(name, days, want, ...) \
	do { \
		X509 *const c[] = { __VA_ARGS__ }; \
		expect(ARRAY_LEN(c), c, name, days, want); \
	} while (0)

static void test_period(void)
{
	char when[TLS_CERT_TIME_MAX];

	EXPECT(NULL, 0, NULL, leaf, middle);
	EXPECT(NULL, 85, NULL, leaf, middle);
	EXPECT(NULL, 87, "warning: the certificate expires on ", leaf, middle);
	EXPECT(NULL, 101, "mistake: the certificate has expired on ", leaf, middle);
	EXPECT(NULL, -2, "mistake: the certificate is valid from ", leaf, middle);
	CU_ASSERT_STRING_EQUAL(tls_cert_time(1796045100, when), "2026-11-30 13:25 UTC");
	CU_ASSERT_STRING_EQUAL(tls_cert_time(INT64_MAX, when), "an unknown time");
}

/* A middle one that has expired is as bad as one's own; the last one's own word about itself is not looked at. */
static void test_period_of_the_others(void)
{
	X509 *old = tls_test_signed(key[1], NULL, root, key[0], -9 * DAY, -DAY, true);
	X509 *const good[] = { leaf, middle, root }, *const bad[] = { leaf, old };

	EXPECT(NULL, 0, "mistake: certificate 2 of the file (\"authority.example\") has expired on ", leaf, old);
	CU_ASSERT_EQUAL(tls_cert_until(good, 3) / DAY, (time(NULL) + 100 * DAY) / DAY);
	CU_ASSERT(tls_cert_until(bad, 2) < time(NULL));
	CU_ASSERT_EQUAL(tls_cert_until(NULL, 0), INT64_MAX);
	X509_free(old);
	old = tls_test_signed(key[0], NULL, NULL, key[0], -9 * DAY, -DAY, true); /* the root's key and an old name */
	CU_ASSERT(tls_cert_until((X509 *const[]){ leaf, old }, 2) > time(NULL));
	CU_ASSERT(tls_cert_until(&old, 1) < time(NULL));
	X509_free(old);
}

static void test_order(void)
{
	EXPECT(NULL, 0, NULL, leaf, middle, root);
	EXPECT(NULL, 0, "mistake: the certificates are out of order: number 3 (", leaf, root, middle);
	EXPECT(NULL, 0, "mistake: the chain is broken: certificate 1 was not issued by number 2", leaf, root);
	EXPECT(NULL, 0, "mistake: the certificates are out of order: number 3 (", leaf, leaf, middle);
	EXPECT(NULL, 0, "mistake: certificate 3 has issued itself, so number 4", leaf, middle, root, strange);
}

static void test_trust(void)
{
	X509 *self = tls_test_signed(key[2], "DNS:a.example", NULL, key[2], -DAY, 99L * DAY, false);
	X509 *own = tls_test_signed(key[2], "DNS:a.example", strange, key[3], -DAY, 99L * DAY, false);
	char file[64];

	write_certificate(strange, file);
	EXPECT(NULL, 0, "warning: this machine does not know \"authority.example\", which has issued the last", leaf);
	EXPECT(NULL, 0, "warning: this machine does not know \"authority.example\"", own, strange);
	EXPECT(NULL, 0, "warning: the certificate has issued itself: good for tests", self);
	ours = "/nonexistent";
	EXPECT(NULL, 0, "warning: this machine does not know \"authority.example\"", own);
	ours = file;
	EXPECT(NULL, 0, NULL, own);
	ours = NULL;
	EXPECT(NULL, 0, "warning: this machine does not know \"authority.example\"", own);
	setenv("SSL_CERT_FILE", "/nonexistent", 1); /* the machine trusts nobody: nothing can be said */
	EXPECT(NULL, 0, NULL, leaf);
	EXPECT(NULL, 0, "warning: the certificate has issued itself: good for tests", self);
	setenv("SSL_CERT_FILE", trusted, 1);
	unlink(file);
	X509_free(self);
	X509_free(own);
}

static void test_names(void)
{
	X509 *nameless = tls_test_signed(key[2], NULL, middle, key[1], -DAY, 99L * DAY, false);
	struct str names = STR_INIT;

	EXPECT("mail.example", 0, NULL, leaf, middle);
	EXPECT("MAIL.example", 0, NULL, leaf, middle);
	EXPECT("a.pool.example", 0, NULL, leaf, middle);
	EXPECT("a.b.pool.example", 0, "mistake: the certificate is not for a.b.pool.example, but for mail.example, ",
	    leaf, middle);
	EXPECT("subject.example", 0, "mistake: the certificate is not for subject.example", leaf, middle);
	EXPECT(NULL, 0, "warning: the certificate has no subjectAltName", nameless, middle);
	EXPECT("subject.example", 0, "mistake: the certificate has no subjectAltName", nameless, middle);
	CU_ASSERT_EQUAL(tls_cert_names(leaf, &names), 4);
	CU_ASSERT_STRING_EQUAL(str_cstr(&names), "mail.example, *.pool.example, 192.0.2.7, 2001:db8::1");
	CU_ASSERT_EQUAL(tls_cert_names(nameless, &names), 0);
	CU_ASSERT(tls_cert_is_for(leaf, "192.0.2.7") && tls_cert_is_for(leaf, "2001:DB8::1"));
	CU_ASSERT(tls_cert_is_for(leaf, "a.pool.example"));
	CU_ASSERT(!tls_cert_is_for(leaf, "192.0.2.8") && !tls_cert_is_for(leaf, "subject.example"));
	CU_ASSERT(!tls_cert_is_for(nameless, "subject.example"));
	str_fini(&names);
	X509_free(nameless);
}

/* WANT (NULL: nothing) is wrong, DAYS from now; until ENDS days from now, if that is not 0. */
static void expect_fault(unsigned n, X509 *const *chain, bool is_client, int days, const char *want, int ends)
{
	int64_t until = 0, now = time(NULL);
	struct str why = STR_INIT;

	CU_ASSERT_EQUAL(tls_cert_fault(chain, n, is_client, now + (int64_t)days * DAY, &until, &why), want != NULL);
	CU_ASSERT(want == NULL ? why.len == 0 : strncmp(str_cstr(&why), want, strlen(want)) == 0);
	CU_ASSERT(ends == 0 ? until == INT64_MAX :
	                      until > now + (ends - 1) * (int64_t)DAY && until <= now + ends * (int64_t)DAY);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	str_fini(&why);
}

/* What makes every client refuse it; not what only some do. */
static void test_fault(void)
{
	X509 *nameless = tls_test_signed(key[2], NULL, middle, key[1], -DAY, 99L * DAY, false);

	expect_fault(2, (X509 *const[]){ leaf, middle }, false, 0, NULL, 0);
	expect_fault(1, (X509 *const[]){ nameless }, false, 0, NULL, 0);
	expect_fault(2, (X509 *const[]){ leaf, middle }, false, 99, NULL, 0);
	expect_fault(2, (X509 *const[]){ leaf, middle }, false, 101, "the certificate has expired on ", 0);
	expect_fault(2, (X509 *const[]){ leaf, middle }, false, -2, "the certificate is valid from ", -1);
	expect_fault(2, (X509 *const[]){ leaf, middle }, false, -10, "the certificate is valid from ", -1);
	expect_fault(2, (X509 *const[]){ leaf, root }, false, -2, "the chain is broken", 0);
	X509_free(nameless);
}

static void test_use(void)
{
	X509 *cert = X509_dup(leaf);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "clientAuth");

	X509_add_ext(cert, e, -1);
	X509_EXTENSION_free(e);
	X509_sign(cert, key[1], EVP_sha256());
	str_clear(&said);
	tls_cert_check((X509 *const[]){ cert, middle }, 2, false, NULL, NULL, time(NULL), on_finding, NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&said), "mistake: the certificate is not for TLS servers"));
	str_clear(&said);
	tls_cert_check((X509 *const[]){ cert, middle }, 2, true, NULL, NULL, time(NULL), on_finding, NULL);
	CU_ASSERT_EQUAL(said.len, 0);
	expect_fault(2, (X509 *const[]){ cert, middle }, false, 0, "the certificate is not for TLS servers", 0);
	expect_fault(2, (X509 *const[]){ cert, middle }, true, 0, NULL, 0);
	X509_free(cert);
}

/* One that stands in several chains is held once, until the last of them has dropped it; half of one is none. */
static void test_issuers(void)
{
	struct tls_issuers *t = tls_issuers_new();
	const struct tls_issuer *a, *b, *c;
	unsigned char *der = NULL, *other = NULL;
	size_t len = (size_t)i2d_X509(middle, &der), other_len = (size_t)i2d_X509(root, &other);

	for (size_t n = 0; n < len; n++)
		CU_ASSERT_PTR_NULL(tls_issuers_take(t, der, n));
	a = tls_issuers_take(t, der, len);
	b = tls_issuers_take(t, der, len);
	c = tls_issuers_take(t, other, other_len);
	CU_ASSERT_FATAL(a != NULL && c != NULL);
	CU_ASSERT(a == b && a != c);
	OPENSSL_free(der);
	tls_issuers_drop(t, a);
	CU_ASSERT_EQUAL(X509_cmp(b->cert, middle), 0);
	CU_ASSERT_EQUAL(X509_cmp(c->cert, root), 0);
	tls_issuers_drop(t, b);
	tls_issuers_drop(t, c);
	other = OPENSSL_realloc(other, other_len + 1);
	other[other_len] = '\0';
	CU_ASSERT_PTR_NULL(tls_issuers_take(t, other, other_len + 1)); /* something behind it */
	OPENSSL_free(other);
	tls_issuers_free(&t);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
}

static const struct unit_case cases[] = {
	{ "set up", set_up },
	{ "period", test_period },
	{ "period of the others", test_period_of_the_others },
	{ "order", test_order },
	{ "trust", test_trust },
	{ "names", test_names },
	{ "use", test_use },
	{ "what every client refuses", test_fault },
	{ "issuers", test_issuers },
	{ "tear down", tear_down },
	{ NULL, NULL },
};
UNIT_MAIN("tls_cert", cases)
