/* Contexts for the certificates of the key process. */
#include "login/certificates.h"

#include <openssl/err.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "lib/tls_tickets.h"
#include "login/certificate.h"
#include "login/client_certs.h"
#include "login/key_client.h"
#include "settings/settings_tls.h"

/* A context, made when it is needed first, until the certificates change. */
struct context {
	struct context *next;
	bool starttls;
	char address[NET_IP_TEXT_MAX]; /* "": any */
	SSL_CTX *ctx;
};

/* The clients of a protocol. */
struct port {
	struct certificates *owner;
	enum protocol protocol;
	struct context *contexts;
	unsigned by_address; /* certificates for clients that connect to a certain address */
};

/* One of those for the same clients. */
struct shown {
	struct shown *next;
	struct certificate *x;
};

/* Clients that get the same, and what that is. */
struct place {
	struct shown *first; /* by text: of several with the same kind of key the first one is shown */
	UT_hash_handle hh;
	char key[];
};
enum { PLACE_MAX = TLS_NAME_MAX + 2 };

struct certificates {
	struct ev_loop *loop;
	const struct settings *set;
	struct key_client *client; /* NULL: there is no key process */
	struct tls_tickets *tickets;
	struct client_certs *client_certs;
	struct certificate_pool *pool;
	struct certificate *by_text, *by_key;
	struct certificate *by_cert; /* those that were loaded */
	struct place *places;
	struct port port[PROTOCOL_COUNT];
	bool coming;
	unsigned came;           /* certificates until now */
	void (*told)(void *arg); /* or NULL */
	void *told_arg;
};

static size_t sign(void *owner, uint32_t key, enum tls_scheme scheme, const void *digest, uint8_t *sig)
{
	const struct certificates *c = owner;

	return c->client != NULL ? key_client_sign(c->client, key, scheme, digest, sig) : 0;
}

/* --- who is shown what --- */

/* The key of a place: its bytes. */
static size_t place_key(char key[PLACE_MAX], enum protocol p, enum key_use_for what, const char *name)
{
	size_t len = MIN(strlen(name), (size_t)TLS_NAME_MAX);

	key[0] = (char)p;
	key[1] = (char)what;
	memcpy(key + 2, name, len);
	return 2 + len;
}

/* NULL: there is nothing. */
static struct place *find_place(const struct certificates *c, enum protocol p, enum key_use_for what, const char *name)
{
	char key[PLACE_MAX];
	struct place *place;
	size_t len = place_key(key, p, what, name);

	HASH_FIND(hh, c->places, key, len, place);
	return place;
}

static void show_at(struct certificates *c, struct certificate *x, const char *name)
{
	struct place *place = find_place(c, x->protocol, x->what, name);
	struct shown **p, *new = mem_alloc(sizeof(*new));

	if (place == NULL) {
		place = mem_alloc(sizeof(*place) + PLACE_MAX);
		HASH_ADD_KEYPTR(hh, c->places, place->key, place_key(place->key, x->protocol, x->what, name), place);
	}
	for (p = &place->first; *p != NULL && strcmp((*p)->x->text, x->text) < 0;)
		p = &(*p)->next;
	new->x = x;
	new->next = *p;
	*p = new;
}

static void show_no_more(struct certificates *c, const struct certificate *x, const char *name)
{
	struct place *place = find_place(c, x->protocol, x->what, name);
	struct shown **p = &place->first, *old;

	while ((*p)->x != x)
		p = &(*p)->next;
	old = *p;
	*p = old->next;
	mem_free(&old);
	if (place->first != NULL)
		return;
	HASH_DEL(c->places, place);
	mem_free(&place);
}

/* It is needed now. */
static const struct certificate *loaded(struct certificates *c, struct certificate *x)
{
	if (x->cert == NULL) {
		certificate_load(x);
		HASH_ADD(hh_cert, c->by_cert, cert, sizeof(x->cert), x);
	}
	return x;
}

/* --- what a client is shown --- */

/* A client that says which protocol it means must mean ours: else what it says to another server could be said here. */
static int on_alpn(SSL *ssl UNUSED, const unsigned char **out, unsigned char *out_len, const unsigned char *list,
    unsigned len, void *arg)
{
	const char *name = arg;
	const uint8_t *found = tls_choice_alpn(list, len, name);

	if (found == NULL)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = found;
	*out_len = (unsigned char)strlen(name);
	return SSL_TLSEXT_ERR_OK;
}

/* Kinds of key of which a certificate is there already. */
struct kinds {
	bool rsa, ec;
};

static bool take_kind(struct kinds *k, const struct certificate *x)
{
	bool *kind = x->is_rsa ? &k->rsa : &k->ec, first = !*kind;

	*kind = true;
	return first;
}

/* SSL shows what is for NAME, instead of what it had. False: nothing is. */
static bool show_for(SSL *ssl, const struct port *p, enum key_use_for what, const char *name)
{
	const struct place *place = find_place(p->owner, p->protocol, what, name);
	struct kinds kinds = { false, false };

	if (place == NULL)
		return false;
	SSL_certs_clear(ssl);
	for (const struct shown *s = place->first; s != NULL; s = s->next)
		if (take_kind(&kinds, s->x))
			certificate_show_to(loaded(p->owner, s->x), ssl);
	return true;
}

/* The names of files go before those in certificates, each before wildcards. */
static bool choose(SSL *ssl, const struct port *p, const char *name)
{
	char wildcard[TLS_NAME_MAX];
	bool has = tls_choice_wildcard(name, wildcard);

	return show_for(ssl, p, KEY_FOR_NAME, name) || show_for(ssl, p, KEY_FOR_ITS_OWN, name) ||
	    (has && (show_for(ssl, p, KEY_FOR_NAME, wildcard) || show_for(ssl, p, KEY_FOR_ITS_OWN, wildcard)));
}

/* For libssl, in each ClientHello. What nobody knows gets what is for all: who wants more certainty looks at the
 * certificate (RFC 6066 section 3 permits both). */
static int on_name(SSL *ssl, int *alert UNUSED, void *arg)
{
	const char *text = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	char name[TLS_NAME_MAX];

	if (text == NULL || !tls_choice_name(text, strlen(text), name) || !choose(ssl, arg, name))
		return SSL_TLSEXT_ERR_NOACK;
	return SSL_TLSEXT_ERR_OK;
}

/* For libssl, after it has chosen among the certificates: the client wants an OCSP response (RFC 8446 4.4.2.1). */
static int on_status(SSL *ssl, void *arg)
{
	const struct port *p = arg;
	const X509 *shown = SSL_get_certificate(ssl);
	const struct certificate *x;
	unsigned char *copy;

	HASH_FIND(hh_cert, p->owner->by_cert, &shown, sizeof(shown), x);
	if (x == NULL || x->ocsp.len == 0 || x->ocsp_until <= (int64_t)time(NULL))
		return SSL_TLSEXT_ERR_NOACK;
	copy = OPENSSL_memdup(x->ocsp.data, x->ocsp.len);
	if (copy == NULL)
		die_fatal("OpenSSL has no memory");
	SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)x->ocsp.len);
	return SSL_TLSEXT_ERR_OK;
}

/* --- contexts --- */

/* What is for WHAT at ADDRESS, "" for all. */
static bool show_all(SSL_CTX *ctx, const struct port *p, enum key_use_for what, const char *address)
{
	const struct place *place = find_place(p->owner, p->protocol, what, address);
	struct kinds kinds = { false, false };
	bool found = false;

	for (const struct shown *s = place != NULL ? place->first : NULL; s != NULL; s = s->next)
		if (take_kind(&kinds, s->x))
			found = certificate_show(loaded(p->owner, s->x), ctx) || found;
	return found;
}

/* What the settings say; they were checked (settings/settings_tls.h). */
static void set_up(SSL_CTX *ctx, const struct protocol_settings *s, bool starttls)
{
	bool own = starttls && s->tls_starttls_versions[0] != '\0', old;
	struct str unknown = STR_INIT;

	if (SSL_CTX_set_min_proto_version(ctx,
	        settings_tls_least(own ? s->tls_starttls_versions : s->tls_versions, &old)) != 1 ||
	    (s->tls_ciphers[0] != '\0' && !tls_ctx_set_ciphers(ctx, s->tls_ciphers)) ||
	    (s->tls_groups[0] != '\0' && !tls_ctx_set_groups(ctx, s->tls_groups, &unknown)))
		die_fatal("OpenSSL does not take what the settings say of TLS");
	str_fini(&unknown);
}

/* NULL: there is nothing to show. */
static SSL_CTX *make_context(struct port *p, bool starttls, const char *address)
{
	const struct protocol_settings s = protocol_settings(p->owner->set, p->protocol);
	SSL_CTX *ctx = tls_ctx_new(true);

	if (!(address[0] != '\0' && show_all(ctx, p, KEY_FOR_ADDRESS, address)) && !show_all(ctx, p, KEY_FOR_ALL, "")) {
		SSL_CTX_free(ctx);
		return NULL;
	}
	set_up(ctx, &s, starttls);
	if (!client_certs_use(p->owner->client_certs, p->protocol, ctx))
		tls_tickets_use(p->owner->tickets, ctx, protocols[p->protocol].ssl_group);
	SSL_CTX_set_alpn_select_cb(ctx, on_alpn, (void *)(uintptr_t)protocols[p->protocol].name);
	SSL_CTX_set_tlsext_servername_callback(ctx, on_name);
	SSL_CTX_set_tlsext_servername_arg(ctx, p);
	SSL_CTX_set_tlsext_status_cb(ctx, on_status);
	SSL_CTX_set_tlsext_status_arg(ctx, p);
	return ctx;
}

static void forget_contexts(struct port *p)
{
	while (p->contexts != NULL) {
		struct context *x = p->contexts;

		p->contexts = x->next;
		SSL_CTX_free(x->ctx);
		mem_free(&x);
	}
}

bool certificates_by_address(const struct certificates *c, enum protocol p)
{
	return c->port[p].by_address != 0;
}

SSL_CTX *certificates_context(struct certificates *c, enum protocol p, bool starttls, const struct net_addr *here)
{
	char address[NET_IP_TEXT_MAX] = "";
	struct context *x;

	if (here != NULL)
		net_addr_text(here, address);
	if (find_place(c, p, KEY_FOR_ADDRESS, address) == NULL) /* nothing is for that address alone */
		address[0] = '\0';
	for (x = c->port[p].contexts; x != NULL; x = x->next)
		if (x->starttls == starttls && strcmp(x->address, address) == 0)
			return x->ctx;
	x = mem_alloc(sizeof(*x));
	x->starttls = starttls;
	str_copy(x->address, sizeof(x->address), address);
	x->ctx = make_context(&c->port[p], starttls, address);
	x->next = c->port[p].contexts;
	c->port[p].contexts = x;
	return x->ctx;
}

/* --- what the key process tells --- */

/* Contexts have what is for all or for an address. */
static void on_change(struct certificates *c, const struct certificate *x)
{
	if (x->what == KEY_FOR_ALL || x->what == KEY_FOR_ADDRESS)
		forget_contexts(&c->port[x->protocol]);
}

static void take_in(struct certificates *c, struct certificate *x)
{
	HASH_ADD_KEYPTR(hh_text, c->by_text, x->text, strlen(x->text), x);
	HASH_ADD(hh_key, c->by_key, key, sizeof(x->key), x);
	for (size_t i = 0; x->names[i] != NULL; i++)
		show_at(c, x, x->names[i]);
	c->port[x->protocol].by_address += x->what == KEY_FOR_ADDRESS;
	on_change(c, x);
}

/* X may be NULL. */
static void take_out(struct certificates *c, struct certificate *x)
{
	if (x == NULL)
		return;
	HASH_DELETE(hh_text, c->by_text, x);
	HASH_DELETE(hh_key, c->by_key, x);
	if (x->cert != NULL)
		HASH_DELETE(hh_cert, c->by_cert, x);
	for (size_t i = 0; x->names[i] != NULL; i++)
		show_no_more(c, x, x->names[i]);
	c->port[x->protocol].by_address -= x->what == KEY_FOR_ADDRESS;
	on_change(c, x);
	certificate_free(&x);
}

static struct certificate *find_text(const struct certificates *c, const char *text)
{
	struct certificate *x;

	HASH_FIND(hh_text, c->by_text, text, strlen(text), x);
	return x;
}

static void on_chain(const struct key_chain *chain, void *arg)
{
	struct certificates *c = arg;
	struct certificate *x;
	const char *why;

	if ((x = certificate_new(c->pool, chain, &why)) == NULL) {
		log_error("a certificate (%s) is not used: %s", chain->use, why);
		return;
	}
	take_out(c, find_text(c, x->text));
	take_in(c, x);
	c->came++;
}

/* What only the key process before had was taken away in between. */
static void on_complete(void *arg)
{
	struct certificates *c = arg;
	struct certificate *next;

	for (struct certificate *x = c->by_text; x != NULL; x = next) {
		next = x->hh_text.next;
		if (x->old)
			take_out(c, x);
	}
	c->coming = false;
	if (c->told != NULL)
		c->told(c->told_arg);
}

static void on_begins(void *arg)
{
	struct certificates *c = arg;

	for (struct certificate *x = c->by_text; x != NULL; x = x->hh_text.next)
		x->old = true;
	c->coming = true;
}

static void on_gone(uint32_t key, void *arg)
{
	struct certificates *c = arg;
	struct certificate *x;

	HASH_FIND(hh_key, c->by_key, &key, sizeof(key), x);
	take_out(c, x);
}

struct certificates *certificates_new(struct ev_loop *loop, const struct settings *set)
{
	struct certificates *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->tickets = tls_tickets_new();
	c->set = set;
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		c->port[p] = (struct port){ .owner = c, .protocol = p };
	c->client_certs = client_certs_new(set);
	c->pool = certificate_pool_new(sign, c);
	return c;
}

void certificates_free(struct certificates **c)
{
	if (*c == NULL)
		return;
	key_client_free(&(*c)->client);
	while ((*c)->by_text != NULL)
		take_out(*c, (*c)->by_text);
	certificate_pool_free(&(*c)->pool);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		forget_contexts(&(*c)->port[p]);
	tls_tickets_free(&(*c)->tickets);
	client_certs_free(&(*c)->client_certs);
	mem_free(c);
}

void certificates_channel(struct certificates *c, int sock)
{
	static const struct key_client_fns fns = { on_chain, on_gone, on_begins, on_complete };

	key_client_free(&c->client);
	c->client = key_client_new(c->loop, sock, &fns, c);
	c->coming = true;
}

bool certificates_are_coming(const struct certificates *c)
{
	return c->coming;
}

unsigned certificates_came(const struct certificates *c)
{
	return c->came;
}

void certificates_on_told(struct certificates *c, void (*fn)(void *arg), void *arg)
{
	c->told = fn;
	c->told_arg = arg;
}

void certificates_trust(struct certificates *c, enum protocol p, int fd)
{
	client_certs_trust(c->client_certs, p, fd);
	forget_contexts(&c->port[p]); /* they tell clients the names of authorities */
}

void certificates_ticket_keys(struct certificates *c, const struct tls_ticket_keys *keys)
{
	tls_tickets_set(c->tickets, keys);
}

void certificates_show_to_peer(struct certificates *c, SSL *ssl)
{
	const struct place *place = find_place(c, 0, KEY_FOR_PEERS, "");

	if (place != NULL)
		certificate_show_to(loaded(c, place->first->x), ssl);
}
