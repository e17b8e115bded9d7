/* Logins by certificate. */
#include "login/external.h"

#include <openssl/ssl.h>

#include "lib/conn_tls.h"
#include "lib/log.h"
#include "lib/tls_cert_name.h"

static const char *field_of(const struct login *l)
{
	return protocol_settings(l->set, l->dialect->protocol).tls_external;
}

bool external_is_possible(const struct login *l)
{
	return l->tls && field_of(l)[0] != '\0';
}

/* NULL, or why the client's certificate gives no login name. */
static const char *find_name(const struct login *l, char name[ACCOUNT_NAME_MAX])
{
	const SSL *ssl = conn_tls_ssl(&l->conn);
	X509 *cert = ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;

	if (field_of(l)[0] == '\0')
		return "TLS_EXTERNAL is not set at this node";
	if (!l->tls)
		return "the client has not begun TLS";
	if (ssl == NULL)
		return "its TLS ends at a proxy in front, which cannot show the certificate";
	if (cert == NULL || !SSL_is_init_finished(ssl) || SSL_get_verify_result(ssl) != X509_V_OK)
		return "the client has shown no certificate: one has to be chosen in its settings";
	return tls_cert_name(cert, field_of(l), name, ACCOUNT_NAME_MAX);
}

bool external_name(const struct login *l, char name[ACCOUNT_NAME_MAX])
{
	return external_is_possible(l) && find_name(l, name) == NULL;
}

bool external_begins(struct login *l)
{
	char name[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];
	const char *why = find_name(l, name);

	if (why != NULL && !l->told_external)
		log_as(protocols[l->dialect->protocol].group, LOG_LEVEL_INFO,
		    "LOGIN REFUSED, ip=[%s], port=[%u], method=EXTERNAL, reason=%s%s%s", net_addr_log(&l->client, ip),
		    l->client.port, why, field_of(l)[0] != '\0' ? "; TLS_EXTERNAL=" : "", field_of(l));
	l->told_external = l->told_external || why != NULL;
	return why == NULL;
}

static void add(struct str *out, X509 *cert)
{
	unsigned char *der = NULL;
	int len = i2d_X509(cert, &der);

	if (len > 0)
		str_add(out, der, (size_t)len);
	OPENSSL_free(der);
}

void external_certs(const struct login *l, struct str *out)
{
	const SSL *ssl = conn_tls_ssl(&l->conn);
	X509 *cert = ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
	const STACK_OF(X509) *others = cert != NULL ? SSL_get_peer_cert_chain(ssl) : NULL;

	if (cert != NULL)
		add(out, cert);
	for (int i = 0; others != NULL && i < sk_X509_num(others); i++)
		if (sk_X509_value(others, i) != cert)
			add(out, sk_X509_value(others, i));
}
