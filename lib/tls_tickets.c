/* What libssl asks for to make and to open tickets. */
#include "lib/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "lib/die.h"
#include "lib/mem.h"

enum { NAME_LEN = 16, BORN_LEN = 8 };

/* What libssl needs of a key: the name in the ticket, encryption, authentication. */
struct key {
	uint8_t name[MAC_LEN], aes[MAC_LEN], mac[MAC_LEN]; /* of the name, NAME_LEN bytes are used */
};

/* What contexts give tickets for. */
struct use {
	struct use *next;
	struct tls_tickets *owner;
	char name[];
};

struct tls_tickets {
	unsigned nkeys;
	struct key key[TLS_TICKETS_KEYS];
	EVP_CIPHER *cipher;
	EVP_MD *md;
	struct use *uses;
};

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *t = mem_alloc(sizeof(*t));

	t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	t->md = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (t->cipher == NULL || t->md == NULL)
		die_fatal("OpenSSL has no AES-256-CBC or no SHA256");
	return t;
}

void tls_tickets_free(struct tls_tickets **t)
{
	struct use *u;

	if (*t == NULL)
		return;
	EVP_CIPHER_free((*t)->cipher);
	EVP_MD_free((*t)->md);
	while ((u = (*t)->uses) != NULL) {
		(*t)->uses = u->next;
		mem_free(&u);
	}
	mem_wipe((*t)->key, sizeof((*t)->key));
	mem_free(t);
}

static void expand(struct key *k, const uint8_t secret[MAC_LEN])
{
	struct mac *m = mac_new(secret, MAC_LEN);

	mac_compute(m, "name", 4, k->name);
	mac_compute(m, "encryption", 10, k->aes);
	mac_compute(m, "authentication", 14, k->mac);
	mac_free(&m);
}

void tls_tickets_set(struct tls_tickets *t, const struct tls_ticket_keys *keys)
{
	mem_wipe(t->key, sizeof(t->key));
	for (t->nkeys = 0; t->nkeys < keys->n; t->nkeys++)
		expand(&t->key[t->nkeys], keys->key[t->nkeys]);
}

static bool use_key(const struct tls_tickets *t, struct key *k, const uint8_t *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int making)
{
	static char digest[] = "SHA256";
	OSSL_PARAM params[] = { OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, MAC_LEN),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end() };

	return EVP_MAC_CTX_set_params(mac, params) == 1 &&
	    EVP_CipherInit_ex2(cipher, t->cipher, k->aes, iv, making, NULL) == 1;
}

static struct key *find(struct tls_tickets *t, const uint8_t *name)
{
	for (unsigned i = 0; i < t->nkeys; i++)
		if (memcmp(t->key[i].name, name, NAME_LEN) == 0)
			return &t->key[i];
	return NULL;
}

/* For libssl: -1 failure, 0 none, 1 done, 2 done, and the client gets a new one. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
    int making)
{
	const struct use *u = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_tickets *t = u->owner;
	struct key *k;

	if (SSL_version(ssl) != TLS1_3_VERSION || t->nkeys == 0)
		return 0;
	if (making) {
		k = &t->key[0];
		memcpy(name, k->name, NAME_LEN);
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(t->cipher)) != 1)
			return -1;
	} else if ((k = find(t, name)) == NULL) {
		return 0;
	}
	if (!use_key(t, k, iv, cipher, mac, making))
		return -1;
	return making ? 1 : 2; /* a ticket is for one use: who shows two of the same can be recognized (RFC 8446 C.4) */
}

/* --- how old a session is --- */

/* When the full handshake of the session S was, in unix seconds. False: it does not say so. */
static bool get_born(SSL_SESSION *s, uint64_t *born)
{
	void *p = NULL;
	size_t len = 0;

	if (SSL_SESSION_get0_ticket_appdata(s, &p, &len) != 1 || len != BORN_LEN)
		return false;
	*born = 0;
	for (size_t i = 0; i < BORN_LEN; i++)
		*born = *born << 8 | ((const uint8_t *)p)[i];
	return true;
}

/* For libssl, before it makes a ticket: one of a session that was resumed has the time of that one. libssl's own time
 * is that of the last ticket. */
static int on_make(SSL *ssl, void *arg UNUSED)
{
	SSL_SESSION *s = SSL_get_session(ssl);
	uint64_t born;
	uint8_t text[BORN_LEN];

	if (get_born(s, &born))
		return 1;
	born = (uint64_t)time(NULL);
	for (size_t i = 0; i < BORN_LEN; i++)
		text[i] = (uint8_t)(born >> (8 * (BORN_LEN - 1 - i)));
	return SSL_SESSION_set1_ticket_appdata(s, text, sizeof(text));
}

/* Clocks of nodes differ, by less than a period (lib/tls_ticket_keys.h). */
static bool is_young(SSL_SESSION *s)
{
	uint64_t born, now = (uint64_t)time(NULL);

	return get_born(s, &born) && born <= now + TLS_TICKETS_PERIOD && now < born + TLS_TICKETS_LIFE;
}

/* For libssl, after it has opened a ticket, or not: RESULT says which. */
static SSL_TICKET_RETURN on_opened(SSL *ssl UNUSED, SSL_SESSION *s, const unsigned char *name UNUSED,
    size_t name_len UNUSED, SSL_TICKET_STATUS result, void *arg UNUSED)
{
	bool opened = result == SSL_TICKET_SUCCESS || result == SSL_TICKET_SUCCESS_RENEW;

	return opened && is_young(s) ? SSL_TICKET_RETURN_USE_RENEW : SSL_TICKET_RETURN_IGNORE_RENEW;
}

/* --- contexts --- */

/* What the session of SSL is for, and only that: libssl looks into no ticket's name in TLS 1.3. */
static bool set_context(SSL *ssl, const struct use *u)
{
	uint8_t context[EVP_MAX_MD_SIZE];
	const unsigned char *name = NULL;
	size_t len = 0;
	unsigned n;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	bool good;

	SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &name, &len);
	good = md != NULL && EVP_DigestInit_ex(md, u->owner->md, NULL) == 1 &&
	    EVP_DigestUpdate(md, u->name, strlen(u->name) + 1) == 1 && EVP_DigestUpdate(md, name, len) == 1 &&
	    EVP_DigestFinal_ex(md, context, &n) == 1 &&
	    SSL_set_session_id_context(ssl, context, MIN(n, (unsigned)SSL_MAX_SID_CTX_LENGTH)) == 1;
	EVP_MD_CTX_free(md);
	return good;
}

/* Without keys there is nothing to make a ticket with, and libssl cannot be told so any later. */
static int on_client_hello(SSL *ssl, int *alert UNUSED, void *arg)
{
	const struct use *u = arg;

	if (!set_context(ssl, u) || (u->owner->nkeys == 0 && SSL_set_num_tickets(ssl, 0) != 1))
		return SSL_CLIENT_HELLO_ERROR;
	return SSL_CLIENT_HELLO_SUCCESS;
}

static struct use *use_of(struct tls_tickets *t, const char *name)
{
	struct use *u = t->uses;

	while (u != NULL && strcmp(u->name, name) != 0)
		u = u->next;
	if (u != NULL)
		return u;
	u = mem_alloc(sizeof(*u) + strlen(name) + 1);
	memcpy(u->name, name, strlen(name) + 1);
	u->owner = t;
	u->next = t->uses;
	return t->uses = u;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx, const char *use)
{
	struct use *u = use_of(t, use);

	SSL_CTX_set_app_data(ctx, u);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, u);
	SSL_CTX_set_timeout(ctx, TLS_TICKETS_PERIOD);
	SSL_CTX_set_num_tickets(ctx, 1); /* a second one costs as much again, and few clients ever show it */
	if (SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1 ||
	    SSL_CTX_set_session_ticket_cb(ctx, on_make, on_opened, NULL) != 1)
		die_fatal("OpenSSL has no session tickets: %s", ERR_reason_error_string(ERR_peek_last_error()));
}
