/* Keys of tickets, and the function by which libssl asks for them. */
#include "lib/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"

enum { NAME_LEN = 16, NOW = 1 };

/* What libssl needs of a key: the name in the ticket, encryption, authentication. */
struct key {
	uint8_t name[MAC_LEN], aes[MAC_LEN], mac[MAC_LEN]; /* of the name, NAME_LEN bytes are used */
};

struct tls_tickets {
	bool has_keys;
	struct key key[TLS_TICKETS_KEYS];
	EVP_CIPHER *cipher;
};

uint32_t tls_tickets_period(int64_t now)
{
	return (uint32_t)(now / TLS_TICKETS_PERIOD);
}

void tls_tickets_key(struct mac *secret, uint32_t period, uint8_t key[MAC_LEN])
{
	static const char label[] = "waypost TLS tickets";
	uint8_t text[sizeof(label) + 4];

	memcpy(text, label, sizeof(label));
	for (int i = 0; i < 4; i++)
		text[sizeof(label) + (size_t)i] = (uint8_t)(period >> (24 - 8 * i));
	mac_compute(secret, text, sizeof(text), key);
}

struct tls_tickets *tls_tickets_new(void)
{
	struct tls_tickets *t = mem_alloc(sizeof(*t));

	t->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (t->cipher == NULL)
		die_fatal("OpenSSL has no AES-256-CBC");
	return t;
}

void tls_tickets_free(struct tls_tickets **t)
{
	if (*t == NULL)
		return;
	EVP_CIPHER_free((*t)->cipher);
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

void tls_tickets_set(struct tls_tickets *t, uint8_t keys[TLS_TICKETS_KEYS][MAC_LEN])
{
	for (int i = 0; i < TLS_TICKETS_KEYS; i++)
		expand(&t->key[i], keys[i]);
	t->has_keys = true;
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
	for (int i = 0; i < TLS_TICKETS_KEYS; i++)
		if (t->has_keys && memcmp(t->key[i].name, name, NAME_LEN) == 0)
			return &t->key[i];
	return NULL;
}

/* For libssl: -1 failure, 0 none, 1 done, 2 done, and the client gets a new one. */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
    int making)
{
	struct tls_tickets *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct key *k;

	if (SSL_version(ssl) != TLS1_3_VERSION)
		return 0;
	if (making) {
		k = &t->key[NOW];
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

/* Without keys there is nothing to make a ticket with, and libssl cannot be told so any later. */
static int on_client_hello(SSL *ssl, int *alert UNUSED, void *arg)
{
	const struct tls_tickets *t = arg;

	if (!t->has_keys && SSL_set_num_tickets(ssl, 0) != 1)
		return SSL_CLIENT_HELLO_ERROR;
	return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_tickets_use(struct tls_tickets *t, SSL_CTX *ctx, const char *use)
{
	uint8_t context[EVP_MAX_MD_SIZE];
	unsigned len;

	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_client_hello_cb(ctx, on_client_hello, t);
	SSL_CTX_set_timeout(ctx, TLS_TICKETS_PERIOD);
	if (EVP_Digest(use, strlen(use), context, &len, EVP_sha256(), NULL) != 1 ||
	    SSL_CTX_set_session_id_context(ctx, context, MIN(len, (unsigned)SSL_MAX_SID_CTX_LENGTH)) != 1 ||
	    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1)
		die_fatal("OpenSSL has no session tickets: %s", ERR_reason_error_string(ERR_peek_last_error()));
}
