/* Certificates of clients. */
#include "login/client_certs.h"

#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/tls_trust.h"
#include "settings/protocol.h"

struct client_certs {
	const struct settings *set;
	struct tls_trust *trust[PROTOCOL_COUNT];
};

struct client_certs *client_certs_new(const struct settings *set)
{
	struct client_certs *c = mem_alloc(sizeof(*c));

	c->set = set;
	return c;
}

void client_certs_free(struct client_certs **c)
{
	for (enum protocol p = 0; *c != NULL && p < PROTOCOL_COUNT; p++)
		tls_trust_free(&(*c)->trust[p]);
	mem_free(c);
}

void client_certs_trust(struct client_certs *c, enum protocol p, int fd)
{
	struct str why = STR_INIT;
	struct tls_trust *new = tls_trust_read(fd, &why);

	if (new != NULL) {
		tls_trust_free(&c->trust[p]);
		c->trust[p] = new;
	} else {
		log_error("cannot use %s: %s; %s", protocol_settings(c->set, p).tls_trustcerts, str_cstr(&why),
		    c->trust[p] != NULL ? "what it was before stays" : "clients with certificates are refused");
	}
	str_fini(&why);
}

/* For libssl. */
static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
	struct tls_trust *const *trust = arg;
	int result = tls_trust_verify(*trust, X509_STORE_CTX_get0_cert(ctx), X509_STORE_CTX_get0_untrusted(ctx));

	X509_STORE_CTX_set_error(ctx, result);
	return result == X509_V_OK;
}

bool client_certs_demanded(const struct settings *set, enum protocol p)
{
	return strcmp(protocol_settings(set, p).tls_verifypeer, "REQUIREPEER") == 0;
}

bool client_certs_use(struct client_certs *c, enum protocol p, SSL_CTX *ctx)
{
	const struct protocol_settings s = protocol_settings(c->set, p);

	if (strcmp(s.tls_verifypeer, "NONE") == 0)
		return false;
	SSL_CTX_set_verify(ctx,
	    SSL_VERIFY_PEER | (client_certs_demanded(c->set, p) ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, &c->trust[p]);
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	return true;
}
