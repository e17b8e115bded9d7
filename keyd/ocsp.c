/* Checks an OCSP response with libcrypto. */
#include "keyd/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <time.h>

#include "lib/die.h"

enum { CLOCK_SKEW = 300 }; /* seconds that the responder's clock may be ahead of ours */

/* T in unix seconds; -1: it is none. */
static int64_t seconds_of(const ASN1_GENERALIZEDTIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : -1;
}

/* What R has on CERT: the responder chose the digest by which it is named. NULL: nothing. */
static OCSP_SINGLERESP *find(OCSP_BASICRESP *r, X509 *cert, X509 *issuer)
{
	for (int i = 0; i < OCSP_resp_count(r); i++) {
		OCSP_SINGLERESP *one = OCSP_resp_get0(r, i);
		const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(one);
		ASN1_OBJECT *md;
		OCSP_CERTID *wanted;
		bool same;

		OCSP_id_get0_info(NULL, &md, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id);
		wanted = OCSP_cert_to_id(EVP_get_digestbyobj(md), cert, issuer);
		same = wanted != NULL && OCSP_id_cmp(wanted, id) == 0;
		OCSP_CERTID_free(wanted);
		if (same)
			return one;
	}
	return NULL;
}

static bool is_signed(OCSP_BASICRESP *r, X509 *issuer)
{
	X509_STORE *store = X509_STORE_new();
	STACK_OF(X509) *certs = sk_X509_new_null();
	bool good;

	if (store == NULL || certs == NULL || sk_X509_push(certs, issuer) == 0)
		die_fatal("OpenSSL has no memory");
	X509_STORE_add_cert(store, issuer);
	X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
	good = OCSP_basic_verify(r, certs, store, 0) == 1;
	X509_STORE_free(store);
	sk_X509_free(certs);
	return good;
}

static const char *judge(OCSP_SINGLERESP *one, int64_t now, int64_t *until)
{
	ASN1_GENERALIZEDTIME *from, *to;
	int status = OCSP_single_get0_status(one, NULL, NULL, &from, &to);

	*until = seconds_of(to);
	if (status == V_OCSP_CERTSTATUS_REVOKED)
		return "it says that the certificate is revoked; get a new certificate";
	if (status != V_OCSP_CERTSTATUS_GOOD)
		return "it does not say that the certificate is good";
	if (*until == -1)
		return "it does not say until when it is valid";
	if (*until <= now)
		return "it has expired; get a new one";
	return seconds_of(from) > now + CLOCK_SKEW ? "it is not valid yet; check the clock of this machine" : NULL;
}

static const char *check_basic(OCSP_BASICRESP *r, X509 *cert, X509 *issuer, int64_t now, int64_t *until)
{
	OCSP_SINGLERESP *one = r != NULL ? find(r, cert, issuer) : NULL;

	if (r == NULL)
		return "it cannot be read; it has to be in DER";
	if (one == NULL)
		return "it is not for this certificate";
	return is_signed(r, issuer) ? judge(one, now, until) : "it is not signed by the certificate's issuer";
}

const char *ocsp_check(const void *p, size_t len, X509 *cert, X509 *issuer, int64_t now, int64_t *until)
{
	const unsigned char *at = p;
	OCSP_RESPONSE *r = d2i_OCSP_RESPONSE(NULL, &at, (long)len);
	OCSP_BASICRESP *basic;
	const char *why;

	if (r == NULL) {
		why = "it is no OCSP response; it has to be in DER";
	} else if (at != (const unsigned char *)p + len) {
		why = "something follows it in the file"; /* clients would get that, too */
	} else if (OCSP_response_status(r) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
		why = "the responder refused to say anything";
	} else {
		basic = OCSP_response_get1_basic(r);
		why = check_basic(basic, cert, issuer, now, until);
		OCSP_BASICRESP_free(basic);
	}
	OCSP_RESPONSE_free(r);
	ERR_clear_error();
	return why;
}
