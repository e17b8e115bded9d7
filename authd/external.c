/* Logins by certificate. */
#include "authd/external.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "lib/tls_cert_name.h"
#include "lib/tls_trust.h"

enum { CERTS_MAX = 10 };

void external_trust(struct authd *a, enum protocol p, int fd)
{
	struct str why = STR_INIT;
	struct tls_trust *new = tls_trust_read(fd, &why);

	if (new != NULL) {
		tls_trust_free(&a->trust[p]);
		a->trust[p] = new;
	} else {
		log_error("cannot use %s: %s; %s", protocol_settings(a->ctx.set, p).tls_trustcerts, str_cstr(&why),
		    a->trust[p] != NULL ? "what it was before stays" : "logins by certificate are refused");
	}
	str_fini(&why);
}

/* The certificates of RQ, the client's own first; what cannot be read is left out. */
static STACK_OF(X509) * read_certs(const struct request *rq)
{
	const unsigned char *p = rq->q.certs, *end = p + rq->q.certs_len;
	STACK_OF(X509) *all = sk_X509_new_null();

	while (all != NULL && p < end && sk_X509_num(all) < CERTS_MAX) {
		X509 *cert = d2i_X509(NULL, &p, end - p);

		if (cert == NULL)
			break;
		if (sk_X509_push(all, cert) == 0)
			X509_free(cert);
	}
	ERR_clear_error();
	return all;
}

/* NULL, or why the name NAME is not that of CERTS. */
static const char *judge(const struct request *rq, STACK_OF(X509) * certs, const char *field)
{
	X509 *own = sk_X509_num(certs) > 0 ? sk_X509_value(certs, 0) : NULL;
	char name[ACCOUNT_NAME_MAX];
	const char *why;
	int result;

	if (own == NULL)
		return "its certificate cannot be read";
	if ((result = tls_trust_verify(rq->worker->a->trust[rq->q.protocol], own, certs)) != X509_V_OK)
		return X509_verify_cert_error_string(result);
	if ((why = tls_cert_name(own, field, name, sizeof(name))) != NULL)
		return why;
	return strcmp(name, rq->q.user) == 0 ? NULL : "the name is not the certificate's";
}

/* The client has asked to be the account that the certificate is for. */
static bool is_itself(const struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	char wanted[ACCOUNT_NAME_MAX], own[ACCOUNT_NAME_MAX];

	return name_with_domain(set, rq->q.protocol, rq->q.credential, wanted) &&
	    name_with_domain(set, rq->q.protocol, rq->q.user, own) && strcasecmp(wanted, own) == 0;
}

bool external_is_ready(const struct request *rq)
{
	return rq->worker->a->trust[rq->q.protocol] != NULL;
}

bool external_check(const struct request *rq)
{
	const char *field = protocol_settings(rq->worker->a->ctx.set, rq->q.protocol).tls_external;
	STACK_OF(X509) *certs = read_certs(rq);
	const char *why = field[0] == '\0' ? "TLS_EXTERNAL is not set" : judge(rq, certs, field);
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];

	if (why == NULL && !is_itself(rq))
		why = "the client wants to be somebody else";
	if (why != NULL)
		log_info("a login by certificate is refused: %s, user=%s, ip=[%s]", why,
		    log_value(user, sizeof(user), rq->q.user), net_addr_log(&rq->q.client, ip));
	sk_X509_pop_free(certs, X509_free);
	return why == NULL;
}
