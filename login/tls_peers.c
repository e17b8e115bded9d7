/* Contexts and sessions of libssl for connections to peers. */
#include "login/tls_peers.h"

#include <string.h>
#include <time.h>
#include <unistd.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "lib/tls_trust.h"

struct session {
	SSL_SESSION *it;
	int64_t
	    looked; /* when the certificate was looked at: in that handshake, or before the sessions that led to it */
};

/* The sessions of a peer, the latest one last. One of TLS 1.3 is used once (RFC 8446 C.4). */
struct peer {
	unsigned n;
	struct session session[TLS_PEERS_SESSIONS];
	UT_hash_handle hh;
	char key[]; /* "host [ip]:port": a session stands for a certificate that was for the host */
};

struct tls_peers {
	bool verify;
	int trust_fd; /* of a set that was not read yet; or -1 */
	struct tls_trust *trust;
	SSL_CTX *ctx;       /* NULL: to be made */
	struct peer *peers; /* least recently used first */
};

/* Of a connection. */
struct visit {
	int64_t began;
	int64_t looked; /* of the session that it wants to resume */
	char key[];     /* its peer's */
};

static int visit_index = -1; /* of an SSL: its visit */

static void free_visit(void *parent UNUSED, void *p, CRYPTO_EX_DATA *data UNUSED, int index UNUSED, long number UNUSED,
    void *arg UNUSED)
{
	mem_free(&p);
}

/* --- sessions --- */

static void drop_session(struct peer *p, unsigned i)
{
	SSL_SESSION_free(p->session[i].it);
	p->n--;
	memmove(p->session + i, p->session + i + 1, (p->n - i) * sizeof(p->session[0]));
}

static void drop_peer(struct tls_peers *t, struct peer *p)
{
	HASH_DEL(t->peers, p);
	while (p->n != 0)
		drop_session(p, p->n - 1);
	mem_free(&p);
}

static void forget(struct tls_peers *t)
{
	while (t->peers != NULL)
		drop_peer(t, t->peers);
	SSL_CTX_free(t->ctx);
	t->ctx = NULL;
}

/* The peer of KEY, which becomes the one used last. */
static struct peer *use_peer(struct tls_peers *t, const char *key)
{
	struct peer *p;

	HASH_FIND_STR(t->peers, key, p);
	if (p != NULL) {
		HASH_DEL(t->peers, p);
	} else {
		if (HASH_COUNT(t->peers) == TLS_PEERS_MAX)
			drop_peer(t, t->peers);
		p = mem_alloc(sizeof(*p) + strlen(key) + 1);
		memcpy(p->key, key, strlen(key) + 1);
	}
	HASH_ADD_STR(t->peers, key, p);
	return p;
}

/* A peer lets us resume S later. 1: it is kept. */
static int on_session(SSL *ssl, SSL_SESSION *s)
{
	struct tls_peers *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	const struct visit *v = SSL_get_ex_data(ssl, visit_index);
	struct peer *p;

	if (t->ctx != SSL_get_SSL_CTX(ssl)) /* others are believed now */
		return 0;
	p = use_peer(t, v->key);
	if (p->n == TLS_PEERS_SESSIONS)
		drop_session(p, 0);
	p->session[p->n++] = (struct session){ s, SSL_session_reused(ssl) == 1 ? v->looked : v->began };
	return 1;
}

static bool is_fresh(const struct session *s, int64_t now)
{
	int64_t age = now - s->looked;

	return age >= 0 && age < TLS_PEERS_SESSION_AGE && SSL_SESSION_is_resumable(s->it) == 1;
}

static void resume(struct tls_peers *t, SSL *ssl, struct visit *v)
{
	struct peer *p = use_peer(t, v->key);
	const struct session *s;

	while (p->n != 0 && !is_fresh(&p->session[p->n - 1], v->began))
		drop_session(p, p->n - 1);
	if (p->n == 0)
		return;
	s = &p->session[p->n - 1];
	v->looked = s->looked;
	SSL_set_session(ssl, s->it);
	if (SSL_SESSION_get_protocol_version(s->it) >= TLS1_3_VERSION)
		drop_session(p, p->n - 1);
}

/* --- contexts --- */

static void read_trust(struct tls_peers *t)
{
	if (t->trust_fd == -1)
		return;
	tls_trust_take(&t->trust, t->trust_fd, "PROXY_TLS_CAFILE", "no peer's certificate is believed");
	close(t->trust_fd);
	t->trust_fd = -1;
}

static SSL_CTX *context(struct tls_peers *t)
{
	if (t->ctx != NULL)
		return t->ctx;
	t->ctx = tls_ctx_new(false);
	SSL_CTX_set_app_data(t->ctx, t);
	SSL_CTX_set_session_cache_mode(t->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(t->ctx, on_session);
	read_trust(t);
	if (t->trust != NULL)
		SSL_CTX_set1_cert_store(t->ctx, tls_trust_store(t->trust));
	return t->ctx;
}

struct tls_peers *tls_peers_new(bool verify)
{
	struct tls_peers *t = mem_alloc(sizeof(*t));

	t->verify = verify;
	t->trust_fd = -1;
	return t;
}

void tls_peers_free(struct tls_peers **t)
{
	if (*t == NULL)
		return;
	forget(*t);
	if ((*t)->trust_fd != -1)
		close((*t)->trust_fd);
	tls_trust_free(&(*t)->trust);
	mem_free(t);
}

void tls_peers_trust(struct tls_peers *t, int fd)
{
	forget(t);
	if (t->trust_fd != -1)
		close(t->trust_fd);
	t->trust_fd = fd;
}

static struct visit *new_visit(const char *host, const struct net_addr *addr)
{
	char ip[NET_IP_TEXT_MAX], *key = mem_printf("%s [%s]:%u", host, net_addr_text(addr, ip), addr->port);
	struct visit *v = mem_alloc(sizeof(*v) + strlen(key) + 1);

	v->began = (int64_t)time(NULL);
	memcpy(v->key, key, strlen(key) + 1);
	mem_free(&key);
	return v;
}

SSL *tls_peers_connect(struct tls_peers *t, const char *host, const struct net_addr *addr)
{
	SSL *ssl = tls_client_new(context(t), host);
	struct visit *v = new_visit(host, addr);

	if (visit_index == -1)
		visit_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_visit);
	if (visit_index == -1 || SSL_set_ex_data(ssl, visit_index, v) != 1)
		die_fatal("OpenSSL has no memory");
	if (!t->verify)
		SSL_set_verify(ssl, SSL_VERIFY_NONE, NULL);
	resume(t, ssl, v);
	return ssl;
}

const char *tls_peers_remedy(int verdict)
{
	switch (verdict) {
	case X509_V_OK:
		return "see PROXY_TLS: \"starttls\" or \"implicit\"?";
	case X509_V_ERR_CERT_HAS_EXPIRED:
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "renew it there, or set the clock";
	case X509_V_ERR_HOSTNAME_MISMATCH:
	case X509_V_ERR_IP_ADDRESS_MISMATCH:
		return "it has to be for the name, or address, that stands in mailhost";
	case X509_V_ERR_UNABLE_TO_GET_CRL:
	case X509_V_ERR_CRL_HAS_EXPIRED:
		return "put a revocation list that is valid now into PROXY_TLS_CAFILE, for each authority of it, or "
		       "none";
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
		return "if it is right, add its authority, or it, to PROXY_TLS_CAFILE";
	default:
		return "replace that certificate";
	}
}
