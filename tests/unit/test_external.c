/* Logins by certificate in authd, whose worker may be anybody's. */
#include "tests/unit/unit.h"

#include <openssl/pem.h>
#include <string.h>

#include "authd/external.h"
#include "lib/mem.h"
#include "tests/unit/tls_test.h"

static struct authd a;
static struct authd_worker w = { .a = &a };
static struct settings *set;
static EVP_PKEY *key, *ca_key;
static X509 *ca;

/* Those who issue certificates to clients: CERT alone. */
static struct tls_trust *trust(X509 *cert)
{
	struct str pem = STR_INIT, why = STR_INIT;
	struct tls_trust *t;

	tls_test_add_pem(&pem, cert);
	t = tls_trust_new(pem.data, pem.len, &why);
	CU_ASSERT_PTR_NOT_NULL_FATAL(t);
	str_fini(&pem);
	str_fini(&why);
	return t;
}

static void setup(void)
{
	set = settings_defaults();
	unit_set(&set->imapd_ssl_TLS_EXTERNAL, "email");
	unit_set(&set->imapd_DEFDOMAIN, "@example.com");
	a.ctx.set = set;
	key = tls_test_key("P-256");
	ca_key = tls_test_key("P-256");
	ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -60, 3600, true);
	a.trust[PROTOCOL_IMAP] = trust(ca);
}

static void teardown(void)
{
	tls_trust_free(&a.trust[PROTOCOL_IMAP]);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	settings_free(&set);
}

static char why[AUTH_REASON_MAX];

/* The worker says that USER, who wants to be WISH, has shown CERTS. */
static enum auth_verdict check(const struct str *certs, const char *user, const char *wish)
{
	struct request rq = { .worker = &w, .q = { .mech = AUTH_MECH_EXTERNAL, .protocol = PROTOCOL_IMAP } };

	str_copy(rq.q.user, sizeof(rq.q.user), user);
	str_copy(rq.q.credential, sizeof(rq.q.credential), wish);
	rq.q.certs = certs->data;
	rq.q.certs_len = certs->len;
	why[0] = '\0';
	return external_check(&rq, why);
}

static void add(struct str *certs, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	CU_ASSERT_FATAL(len > 0);
	str_add(certs, der, (size_t)len);
	OPENSSL_free(der);
	X509_free(cert);
}

static X509 *issued(const char *alt)
{
	return tls_test_signed(key, alt, ca, ca_key, -60, 3600, false);
}

static void test_names(void)
{
	static const struct {
		const char *user, *wish;
		enum auth_verdict verdict;
	} rows[] = {
		{ "anna@example.com", "anna@example.com", AUTH_VERDICT_OK },
		{ "anna@example.com", "Anna@Example.com", AUTH_VERDICT_OK },
		{ "anna@example.com", "anna", AUTH_VERDICT_OK }, /* with DEFDOMAIN */
		{ "anna@example.com", "berta@example.com", AUTH_VERDICT_AUTHZID },
		{ "anna@example.com", "anna@example.org", AUTH_VERDICT_AUTHZID },
		{ "anna@example.com", "", AUTH_VERDICT_AUTHZID }, /* a name that nobody can have */
		{ "berta@example.com", "berta@example.com", AUTH_VERDICT_UNAVAILABLE }, /* the worker's word alone */
		{ "Anna@example.com", "anna@example.com", AUTH_VERDICT_UNAVAILABLE },
		{ "anna", "anna", AUTH_VERDICT_UNAVAILABLE },
	};
	struct str certs = STR_INIT;
	char longest[ACCOUNT_PASSWORD_MAX];

	setup();
	add(&certs, issued("email:anna@example.com"));
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	CU_ASSERT_EQUAL(check(&certs, "anna@example.com", longest), AUTH_VERDICT_AUTHZID);
	CU_ASSERT_EQUAL(strlen(why), AUTH_REASON_MAX - 1);
	CU_ASSERT_EQUAL(check(&certs, "anna@example.com", "x, ip=[192.0.2.1]\n"), AUTH_VERDICT_AUTHZID);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "It asks for: x. ip=[192.0.2.1].")); /* no field of the log's line */
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		CU_ASSERT_EQUAL(check(&certs, rows[i].user, rows[i].wish), rows[i].verdict);
	unit_set(&set->imapd_ssl_TLS_EXTERNAL, "");
	CU_ASSERT_EQUAL(check(&certs, "anna@example.com", "anna@example.com"), AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "TLS_EXTERNAL is not set"));
	unit_set(&set->imapd_ssl_TLS_EXTERNAL, "CN");
	CU_ASSERT_EQUAL(check(&certs, "anna@example.com", "anna@example.com"), AUTH_VERDICT_UNAVAILABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "another login name"));
	CU_ASSERT_EQUAL(check(&certs, "subject.example", "subject.example"), AUTH_VERDICT_OK);
	str_fini(&certs);
	teardown();
}

/* Certificates that nobody has issued, or that are none. */
static void test_certificates(void)
{
	static const char name[] = "anna@example.com";
	struct str certs = STR_INIT;
	struct tls_trust *kept;
	size_t own;

	setup();
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_UNAVAILABLE);
	add(&certs, tls_test_signed(key, "email:anna@example.com", NULL, key, -60, 3600, false));
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_UNAVAILABLE);
	str_clear(&certs);
	add(&certs, tls_test_signed(key, "email:anna@example.com", ca, key, -60, 3600, false));
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_UNAVAILABLE);
	str_clear(&certs);
	add(&certs, tls_test_signed(key, "email:anna@example.com", ca, ca_key, -60, -1, false));
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_WRONG); /* it was good when it connected */
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "has expired"));
	str_clear(&certs);
	add(&certs, issued("email:anna@example.com"));
	own = certs.len;
	for (size_t cut = 0; cut <= own; cut++) {
		certs.len = cut;
		CU_ASSERT_EQUAL(check(&certs, name, name), cut == own ? AUTH_VERDICT_OK : AUTH_VERDICT_UNAVAILABLE);
	}
	for (size_t i = 0; i < own; i++) {
		certs.data[i] ^= 1;
		CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_UNAVAILABLE);
		certs.data[i] ^= 1;
	}
	/* What follows may be of use, or not; the first one counts. */
	str_adds(&certs, "no certificate");
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_OK);
	certs.len = own;
	for (int i = 0; i < 20; i++)
		add(&certs, issued("email:berta@example.com"));
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_OK);
	CU_ASSERT_EQUAL(check(&certs, "berta@example.com", "berta@example.com"), AUTH_VERDICT_UNAVAILABLE);
	kept = a.trust[PROTOCOL_IMAP];
	a.trust[PROTOCOL_IMAP] = NULL;
	CU_ASSERT_EQUAL(check(&certs, name, name), AUTH_VERDICT_UNAVAILABLE);
	a.trust[PROTOCOL_IMAP] = kept;
	str_fini(&certs);
	teardown();
}

static void test_message(void)
{
	static struct msgw out;
	static struct auth_request q, back;
	static uint8_t certs[AUTH_CERTS_MAX + 1];
	struct msgr r;

	q.mech = AUTH_MECH_EXTERNAL;
	strcpy(q.user, "u");
	strcpy(q.credential, "u");
	q.certs = certs;
	for (size_t len = 0; len <= sizeof(certs); len += len < 3 ? 1 : sizeof(certs) / 4) {
		q.certs_len = len;
		memset(certs, (int)len, len);
		auth_request_write(&out, &q);
		msgr_begin(&r, out.buf, out.len);
		CU_ASSERT_EQUAL(auth_request_read(&r, &back), len <= AUTH_CERTS_MAX);
		CU_ASSERT(len > AUTH_CERTS_MAX || (back.certs_len == len && memcmp(back.certs, certs, len) == 0));
	}
	q.certs_len = 5;
	auth_request_write(&out, &q);
	for (size_t cut = 0; cut < out.len; cut++) {
		msgr_begin(&r, out.buf, cut);
		CU_ASSERT_FALSE(auth_request_read(&r, &back));
		CU_ASSERT_PTR_NULL(back.certs);
	}
}

static const struct unit_case cases[] = {
	{ "names", test_names },
	{ "certificates", test_certificates },
	{ "the message", test_message },
	{ NULL, NULL },
};
UNIT_MAIN("external", cases)
