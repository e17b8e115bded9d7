/* Words about a client's TLS. */
#include "login/client_tls.h"

#include <stdio.h>
#include <string.h>

#include "lib/conn_tls.h"
#include "lib/log.h"

enum { FAILED_QUIET = 60 };

SSL_CTX *client_tls_context(struct certificates *certificates, enum protocol protocol, bool starttls, int fd)
{
	struct net_addr here;
	bool known = certificates_by_address(certificates, protocol) && net_addr_here(fd, &here);

	return certificates_context(certificates, protocol, starttls, known ? &here : NULL);
}

void client_tls_words(const struct conn *c, char dst[SESSION_TLS_MAX])
{
	const SSL *ssl = conn_tls_ssl(c);
	const char *cipher = ssl != NULL ? SSL_get_cipher_name(ssl) : NULL;

	dst[0] = '\0';
	if (cipher == NULL || !SSL_is_init_finished(ssl))
		return;
	snprintf(dst, SESSION_TLS_MAX, "%s:%s%s", SSL_get_version(ssl), cipher,
	    SSL_session_reused(ssl) == 1 ? ":resumed" : "");
	if (!session_tls_ok(dst))
		dst[0] = '\0';
}

void client_tls_of_front(const struct proxy_header_facts *f, char dst[SESSION_TLS_MAX])
{
	int n = snprintf(dst, SESSION_TLS_MAX, "%s:%s", f->tls_version, f->tls_cipher);

	if (!f->tls || f->tls_version[0] == '\0' || f->tls_cipher[0] == '\0' || n >= SESSION_TLS_MAX ||
	    !session_tls_ok(dst))
		dst[0] = '\0';
}

/* What libssl says (a part of it), and what that means for the one who reads the log. */
static const struct {
	const char *reason, *meaning;
} reasons[] = {
	{ "unsupported protocol", "; its version of TLS is not served here: the client has to be updated" },
	{ "version too low", "; its version of TLS is not served here: the client has to be updated" },
	{ "no shared cipher",
	    "; client and node have no cipher in common: the client has to be updated, or has no use for the "
	    "certificate's kind of key" },
	{ "no suitable",
	    "; client and node have no group or signature in common: the client has to be updated, or has no use for "
	    "the certificate's kind of key" },
	{ "no application protocol", "; the client wants another protocol than the one of this port (ALPN)" },
	{ "alert unknown ca",
	    "; the client does not trust the certificate's authority: if others do not either, run waypost check" },
	{ "alert bad certificate", "; the client refuses the certificate: run waypost check" },
	{ "alert certificate", "; the client refuses the certificate: run waypost check" },
	{ "alert protocol version", "; the client wants another version of TLS" },
	{ "EVP lib", "; this node could not sign: the log tells of its key processes or certificates" },
	{ "certificate has expired", "; that of the client: it needs a new one" },
	{ "certificate revoked", "; that of the client" },
	{ "issuer certificate", "; no authority of TLS_TRUSTCERTS has issued the client's certificate" },
	{ "signed certificate", "; no authority of TLS_TRUSTCERTS has issued the client's certificate" },
	{ "certificate purpose", "; the client's certificate was not issued for clients (extended key usage)" },
	{ "did not return a certificate", "; the settings demand one of each client (TLS_VERIFYPEER)" },
	{ "excessive message size", "; the client's certificates are too long" },
	{ "chain too long", "; the client shows more certificates than eight" },
	{ "http", "; a browser or a web service has taken the wrong port" },
	{ "wrong version number",
	    "; the client does not speak TLS: it has to be set to TLS from the start (SSL/TLS), or to another port" },
	{ "", "" },
};

static uint64_t failures;

static const char *version_name(int version)
{
	switch (version) {
	case SSL3_VERSION:
		return "SSL 3.0";
	case TLS1_VERSION:
		return "TLS 1.0";
	case TLS1_1_VERSION:
		return "TLS 1.1";
	default:
		return NULL;
	}
}

/* "the client knows only TLS 1.0: ", if that is so. */
static void add_version(const struct conn *c, char *dst, size_t size)
{
	const SSL *ssl = conn_tls_ssl(c);
	const char *name = ssl != NULL ? version_name(SSL_client_version(ssl)) : NULL;

	dst[0] = '\0';
	if (name != NULL)
		snprintf(dst, size, ", the client knows only %s", name);
}

bool client_tls_failed(const struct conn *c, const struct net_addr *client, const char *program)
{
	static uint32_t quiet_until[ARRAY_LEN(reasons)];
	const char *reason = conn_tls_refusal(c);
	char ip[NET_IP_TEXT_MAX], version[64];
	size_t i = 0;

	if (reason == NULL)
		return false;
	failures++;
	while (strstr(reason, reasons[i].reason) == NULL)
		i++;
	if (!log_due(&quiet_until[i], FAILED_QUIET))
		return true;
	add_version(c, version, sizeof(version));
	log_as(program, LOG_LEVEL_INFO, "TLS FAILED, ip=[%s], port=[%u], %s%s%s", net_addr_log(client, ip),
	    client->port, reason, version, reasons[i].meaning);
	return true;
}

/* A client whose TLS comes to nothing because of WHAT, unless another was told of lately. */
static void log_useless(const struct net_addr *client, const char *program, const char *what, uint32_t *quiet_until)
{
	char ip[NET_IP_TEXT_MAX];

	failures++;
	if (log_due(quiet_until, FAILED_QUIET))
		log_as(program, LOG_LEVEL_INFO, "TLS FAILED, ip=[%s], port=[%u], %s", net_addr_log(client, ip),
		    client->port, what);
}

void client_tls_impossible(const struct net_addr *client, const char *program)
{
	static uint32_t quiet_until;

	log_useless(client, program, "no certificate is in use; waypost status says why", &quiet_until);
}

void client_tls_unproven(const struct net_addr *client, const char *program)
{
	static uint32_t quiet_until;

	log_useless(client, program,
	    "the proxy in front, where its TLS ends, does not say that it has shown a good certificate; the settings "
	    "demand one of each client (TLS_VERIFYPEER): have the proxy verify it and tell so (HAProxy: verify "
	    "required, send-proxy-v2-ssl)",
	    &quiet_until);
}

uint64_t client_tls_failures(void)
{
	return failures;
}
