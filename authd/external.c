/* Logins by certificate. */
#include "authd/external.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "lib/tls_cert_name.h"
#include "lib/tls_trust.h"

void external_trust(struct authd *a, enum protocol p, int fd)
{
	tls_trust_take(&a->trust[p], fd, "TLS_TRUSTCERTS", "logins by certificate are refused");
}

/* The certificates of RQ, the client's own first; what cannot be read is left out. */
static STACK_OF(X509) * read_certs(const struct request *rq)
{
	const unsigned char *p = rq->q.certs;
	long left = (long)rq->q.certs_len;
	STACK_OF(X509) *all = sk_X509_new_null();

	while (all != NULL && left > 0 && sk_X509_num(all) < TLS_TRUST_SHOWN_MAX) {
		const unsigned char *start = p;
		X509 *cert = d2i_X509(NULL, &p, left);

		if (cert == NULL)
			break;
		left -= p - start;
		if (sk_X509_push(all, cert) == 0)
			X509_free(cert);
	}
	ERR_clear_error();
	return all;
}

/* The client has asked to be the account that the certificate is for. */
static bool is_itself(const struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	char wanted[ACCOUNT_NAME_MAX], own[ACCOUNT_NAME_MAX];

	return rq->q.credential[0] != '\0' && name_with_domain(set, rq->q.protocol, rq->q.credential, wanted) &&
	    name_with_domain(set, rq->q.protocol, rq->q.user, own) && strcasecmp(wanted, own) == 0;
}

static enum auth_verdict refuse(char why[AUTH_REASON_MAX], enum auth_verdict v, const char *text, const char *more)
{
	int len = snprintf(why, AUTH_REASON_MAX, "%s", text);

	log_value(why + len, AUTH_REASON_MAX - (size_t)len, more); /* what a client says may be longer, and anything */
	return v;
}

/* RESULT: why the certificate OWN is not believed. */
static enum auth_verdict refuse_cert(char why[AUTH_REASON_MAX], const X509 *own, int result)
{
	if (result == X509_V_ERR_CERT_HAS_EXPIRED && X509_cmp_current_time(X509_get0_notAfter(own)) < 0)
		return refuse(why, AUTH_VERDICT_WRONG, "the client's certificate has expired since it has connected",
		    "");
	if (result == X509_V_ERR_CERT_REVOKED)
		return refuse(why, AUTH_VERDICT_WRONG, "the client's certificate was revoked since it has connected",
		    "");
	snprintf(why, AUTH_REASON_MAX,
	    "the login worker has believed the client's certificate, and authd does not (%s): unless TLS_TRUSTCERTS "
	    "was "
	    "just changed, look for what the log says of it, and run waypost check",
	    X509_verify_cert_error_string(result));
	return AUTH_VERDICT_UNAVAILABLE;
}

/* CERTS: what the client has shown; FIELD of it is its name. */
static enum auth_verdict judge(const struct request *rq, STACK_OF(X509) * certs, const char *field,
    char why[AUTH_REASON_MAX])
{
	static const char other_name[] =
	    "authd finds another login name in the client's certificate than the login worker: unless TLS_EXTERNAL was "
	    "just changed, that worker is none of ours any more: ";
	X509 *own = sk_X509_num(certs) > 0 ? sk_X509_value(certs, 0) : NULL;
	char name[ACCOUNT_NAME_MAX];
	const char *none;
	int result;

	if (own == NULL)
		return refuse(why, AUTH_VERDICT_UNAVAILABLE, "the login worker has sent no certificate", "");
	if ((result = tls_trust_verify(rq->worker->a->trust[rq->q.protocol], own, certs)) != X509_V_OK)
		return refuse_cert(why, own, result);
	if ((none = tls_cert_name(own, field, name, sizeof(name))) != NULL)
		return refuse(why, AUTH_VERDICT_UNAVAILABLE, other_name, none);
	if (strcmp(name, rq->q.user) != 0)
		return refuse(why, AUTH_VERDICT_UNAVAILABLE, other_name, name);
	return AUTH_VERDICT_OK;
}

bool external_is_ready(const struct request *rq)
{
	return rq->worker->a->trust[rq->q.protocol] != NULL;
}

enum auth_verdict external_check(const struct request *rq, char why[AUTH_REASON_MAX])
{
	const char *field = protocol_settings(rq->worker->a->ctx.set, rq->q.protocol).tls_external;
	STACK_OF(X509) * certs;
	enum auth_verdict v;

	if (field[0] == '\0')
		return refuse(why, AUTH_VERDICT_UNAVAILABLE,
		    "TLS_EXTERNAL is not set any more, and the client had connected before that", "");
	if (!is_itself(rq)) /* before the certificates, which cost more: it may try this often */
		return refuse(why, AUTH_VERDICT_AUTHZID,
		    "the client asks to be another than its certificate says; have it ask for nobody, or for that "
		    "name. It "
		    "asks for: ",
		    rq->q.credential[0] != '\0' ? rq->q.credential : "a name that nobody can have");
	certs = read_certs(rq);
	v = judge(rq, certs, field, why);
	sk_X509_pop_free(certs, X509_free);
	return v;
}

const char *external_why_no_account(const struct request *rq)
{
	return rq->result == AUTH_UNKNOWN ?
	    "the certificate is good, and no account has its name: TLS_EXTERNAL says where that stands" :
	    "the certificate is good, and its account is locked";
}
