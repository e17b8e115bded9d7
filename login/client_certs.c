/* Certificates of clients. */
#include "login/client_certs.h"

#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/tls_trust.h"
#include "settings/protocol.h"

/* A certificate that counts as none is kept as long as its connection, and its key verifies a signature. */
enum { FOREIGN_BYTES = 6 * 1024, FOREIGN_QUIET = 60 };

/* Of a protocol. */
struct asked {
	struct tls_trust *trust; /* NULL: nobody yet */
	bool required;           /* REQUIREPEER */
};

struct client_certs {
	const struct settings *set;
	struct asked asked[PROTOCOL_COUNT];
};

struct client_certs *client_certs_new(const struct settings *set)
{
	struct client_certs *c = mem_alloc(sizeof(*c));

	c->set = set;
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		c->asked[p].required = client_certs_demanded(set, p);
	return c;
}

void client_certs_free(struct client_certs **c)
{
	for (enum protocol p = 0; *c != NULL && p < PROTOCOL_COUNT; p++)
		tls_trust_free(&(*c)->asked[p].trust);
	mem_free(c);
}

void client_certs_trust(struct client_certs *c, enum protocol p, int fd)
{
	tls_trust_take(&c->asked[p].trust, fd, "TLS_TRUSTCERTS", "no client's certificate is believed");
}

/* --- what clients show --- */

static size_t bytes_of(STACK_OF(X509) * certs)
{
	size_t n = 0;

	for (int i = 0; i < sk_X509_num(certs); i++)
		n += (size_t)MAX(i2d_X509(sk_X509_value(certs, i), NULL), 0);
	return n;
}

/* VERDICT on CERT, which was sent with OTHERS, is no reason to end the connection: a program shows what it has, and its
 * user may have a password. */
static bool counts_as_none(int verdict, const X509 *cert, STACK_OF(X509) * others)
{
	static uint32_t quiet_until;

	if (!tls_trust_is_foreign(verdict) || !tls_trust_is_cheap(X509_get0_pubkey(cert)) ||
	    bytes_of(others) > FOREIGN_BYTES)
		return false;
	if (log_due(&quiet_until, FOREIGN_QUIET))
		log_info("a client's certificate counts as none, as no authority of TLS_TRUSTCERTS has issued it: %s",
		    X509_verify_cert_error_string(verdict));
	return true;
}

/* For libssl. */
static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
	const struct asked *a = arg;
	X509 *cert = X509_STORE_CTX_get0_cert(ctx);
	STACK_OF(X509) *others = X509_STORE_CTX_get0_untrusted(ctx);
	int result = tls_trust_verify(a->trust, cert, others);

	X509_STORE_CTX_set_error(ctx, result);
	return result == X509_V_OK || (!a->required && counts_as_none(result, cert, others));
}

bool client_certs_demanded(const struct settings *set, enum protocol p)
{
	return strcmp(protocol_settings(set, p).tls_verifypeer, "REQUIREPEER") == 0;
}

bool client_certs_use(struct client_certs *c, enum protocol p, SSL_CTX *ctx)
{
	struct asked *a = &c->asked[p];

	if (strcmp(protocol_settings(c->set, p).tls_verifypeer, "NONE") == 0)
		return false;
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (a->required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), NULL);
	SSL_CTX_set_cert_verify_callback(ctx, on_verify, a);
	if (a->trust != NULL)
		SSL_CTX_set_client_CA_list(ctx, tls_trust_names(a->trust));
	SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ctx, 0);
	return true;
}
