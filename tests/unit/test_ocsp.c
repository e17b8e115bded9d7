/* OCSP responses: what is sent to clients, and what is not. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <time.h>

#include "keyd/ocsp.h"
#include "tests/unit/tls_test.h"

enum { HOUR = 3600 };

static EVP_PKEY *ca_key, *key;
static X509 *ca, *cert;

/* What a responder says. */
struct says {
	int status; /* of the certificate; -1: nothing */
	X509 *about;
	EVP_PKEY *signer;
	long from, until; /* seconds from now; UNTIL 0: not said */
	const EVP_MD *md; /* by which it names the certificate */
	int answer;       /* OCSP_RESPONSE_STATUS_... */
};

static unsigned char *make(const struct says *s, int *len)
{
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, s->from),
	          *until = s->until != 0 ? X509_gmtime_adj(NULL, s->until) : NULL;
	ASN1_TIME *revoked = X509_gmtime_adj(NULL, -HOUR);
	OCSP_CERTID *id = OCSP_cert_to_id(s->md, s->about, ca);
	OCSP_RESPONSE *r;
	unsigned char *der = NULL;

	if (s->status != -1)
		CU_ASSERT_PTR_NOT_NULL(OCSP_basic_add1_status(basic, id, s->status, 0,
		    s->status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL, from, until));
	CU_ASSERT_EQUAL(OCSP_basic_sign(basic, ca, s->signer, EVP_sha256(), NULL, OCSP_NOCERTS), 1);
	r = OCSP_response_create(s->answer, s->answer == OCSP_RESPONSE_STATUS_SUCCESSFUL ? basic : NULL);
	*len = i2d_OCSP_RESPONSE(r, &der);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(from);
	ASN1_TIME_free(until);
	ASN1_TIME_free(revoked);
	ERR_clear_error();
	return der;
}

static void expect(const struct says *s, X509 *issuer, const char *want)
{
	int64_t until = 0, now = (int64_t)time(NULL);
	int len;
	unsigned char *der = make(s, &len);
	const char *why = ocsp_check(der, (size_t)len, cert, issuer, now, &until);

	CU_ASSERT_EQUAL(why == NULL, want == NULL);
	if (why != NULL && want != NULL)
		CU_ASSERT_PTR_NOT_NULL(strstr(why, want));
	if (why == NULL)
		CU_ASSERT(until >= now + s->until - 2 && until <= now + s->until + 2);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	OPENSSL_free(der);
}

static void begin(void)
{
	ca_key = tls_test_key("P-256");
	key = tls_test_key("P-256");
	ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -HOUR, 10 * HOUR, true);
	cert = tls_test_signed(key, "DNS:mail.example", ca, ca_key, -HOUR, 10 * HOUR, false);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 7); /* by which it is told from the authority's */
}

static void end(void)
{
	X509_free(ca);
	X509_free(cert);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

static void test_what_it_says(void)
{
	struct says s;

	begin();
#define GOOD { V_OCSP_CERTSTATUS_GOOD, cert, ca_key, -HOUR, HOUR, NULL, OCSP_RESPONSE_STATUS_SUCCESSFUL }
#define EXPECT(change, want) \
	do { \
		s = (struct says)GOOD; \
		change; \
		expect(&s, ca, want); \
	} while (0)
	EXPECT((void)0, NULL);
	EXPECT(s.md = EVP_sha256(), NULL);
	EXPECT(s.status = V_OCSP_CERTSTATUS_REVOKED, "is revoked");
	EXPECT(s.status = V_OCSP_CERTSTATUS_UNKNOWN, "does not say that the certificate is good");
	EXPECT(s.status = -1, "not for this certificate");
	EXPECT(s.about = ca, "not for this certificate");
	EXPECT(s.until = -60, "has expired");
	EXPECT(s.until = 0, "until when");
	EXPECT(s.from = HOUR / 2, "not valid yet");
	EXPECT(s.from = 60, NULL); /* clocks differ */
	EXPECT(s.answer = OCSP_RESPONSE_STATUS_TRYLATER, "refused to say");
	s = (struct says)GOOD;
	expect(&s, cert, "not for this certificate"); /* the certificate behind it is not its issuer's */
	end();
}

/* A response by somebody else about this certificate. */
static void test_signature(void)
{
	EVP_PKEY *other_key = tls_test_key("P-256");
	X509 *other = tls_test_signed(other_key, NULL, NULL, other_key, -HOUR, 10 * HOUR, true);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	ASN1_TIME *from = X509_gmtime_adj(NULL, -HOUR), *to = X509_gmtime_adj(NULL, HOUR);
	OCSP_CERTID *id;
	OCSP_RESPONSE *r;
	unsigned char *der = NULL;
	int64_t until;
	int len;
	const char *why;

	begin();
	id = OCSP_cert_to_id(NULL, cert, ca);
	OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to);
	CU_ASSERT_EQUAL(OCSP_basic_sign(basic, other, other_key, EVP_sha256(), NULL, 0), 1);
	r = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	len = i2d_OCSP_RESPONSE(r, &der);
	why = ocsp_check(der, (size_t)len, cert, ca, time(NULL), &until);
	CU_ASSERT_FATAL(why != NULL && strstr(why, "not signed") != NULL);
	OPENSSL_free(der);
	OCSP_RESPONSE_free(r);
	OCSP_CERTID_free(id);
	OCSP_BASICRESP_free(basic);
	ASN1_TIME_free(from);
	ASN1_TIME_free(to);
	X509_free(other);
	EVP_PKEY_free(other_key);
	end();
}

/* Clients would get what follows the response, too, and some of them refuse the whole. */
static void test_more_behind(void)
{
	struct says s;
	int len;
	unsigned char *der, more[4096];
	int64_t until;

	begin();
	s = (struct says)GOOD;
	der = make(&s, &len);
	CU_ASSERT_FATAL((size_t)len < sizeof(more) / 2);
	memcpy(more, der, (size_t)len);
	memcpy(more + len, der, (size_t)len);
	CU_ASSERT_PTR_NULL(ocsp_check(more, (size_t)len, cert, ca, time(NULL), &until));
	CU_ASSERT_PTR_NOT_NULL(ocsp_check(more, (size_t)len + 1, cert, ca, time(NULL), &until));
	CU_ASSERT_PTR_NOT_NULL(ocsp_check(more, (size_t)len * 2, cert, ca, time(NULL), &until));
	OPENSSL_free(der);
	end();
}

/* Cut anywhere, or with any byte changed, it is not sent (a few bytes of a signature's form do not matter). */
static void test_damage(void)
{
	struct says s;
	int len, taken = 0;
	unsigned char *der;
	int64_t until;

	begin();
	s = (struct says)GOOD;
	der = make(&s, &len);
	for (int n = 0; n < len; n++)
		CU_ASSERT_PTR_NOT_NULL(ocsp_check(der, (size_t)n, cert, ca, time(NULL), &until));
	for (int i = 0; i < len; i++) {
		der[i] ^= 0x20;
		taken += ocsp_check(der, (size_t)len, cert, ca, time(NULL), &until) == NULL;
		der[i] ^= 0x20;
	}
	CU_ASSERT(taken < len / 20);
	CU_ASSERT_PTR_NULL(ocsp_check(der, (size_t)len, cert, ca, time(NULL), &until));
	OPENSSL_free(der);
	end();
}

static const struct unit_case cases[] = {
	{ "what it says", test_what_it_says },
	{ "signature", test_signature },
	{ "more behind it", test_more_behind },
	{ "damage", test_damage },
	{ NULL, NULL },
};
UNIT_MAIN("ocsp", cases)
