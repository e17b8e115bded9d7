/* Signs and verifies the identity of a forwarded login. */
#include "node/forwarded.h"

#include <ctype.h>
#include <string.h>

#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/num.h"

/* A name as it is signed: lower case, without a trailing dot. */
static void add_host(struct str *text, const char *host)
{
	size_t len = strlen(host);
	char *to = str_room(text, len);

	if (len > 1 && host[len - 1] == '.')
		len--;
	for (size_t i = 0; i < len; i++)
		to[i] = (char)tolower((unsigned char)host[i]);
	to[len] = '\0';
	text->len += len;
}

static void add_line(struct str *text, const char *line)
{
	str_adds(text, line);
	str_addc(text, '\n');
}

/* What is signed, for WHAT; valid until the next call. */
static struct str *signed_text(const struct forwarded *h, const char *what, const char *host, const char *user)
{
	static struct str text; /* its memory is kept */
	char ip[NET_IP_TEXT_MAX], number[NUM_TEXT_MAX];

	str_clear(&text);
	str_adds(&text, "waypost ");
	str_adds(&text, what);
	add_line(&text, " 1");
	add_host(&text, host);
	/* Session ids, addresses and names contain no line feeds, so no two identities have the same text. */
	add_line(&text, "");
	add_line(&text, h->session_id);
	add_line(&text, net_addr_text(&h->client, ip));
	add_line(&text, num_text(h->client.port, number));
	add_line(&text, num_text(h->tls, number));
	add_line(&text, num_text(h->ttl, number));
	add_line(&text, num_text(h->time, number));
	add_line(&text, user);
	return &text;
}

/* The same with the TLS words, which stand in a line of their own at the end. */
static const struct str *signed_tls_text(const struct forwarded *h, const char *host, const char *user)
{
	struct str *text = signed_text(h, "tls", host, user);

	add_line(text, h->tls_words);
	return text;
}

static const struct str *signed_config_text(const struct forwarded *h, const char *host, const char *user)
{
	struct str *text = signed_text(h, "config", host, user);

	add_line(text, h->config);
	return text;
}

bool node_config_ok(const char *text)
{
	const char *slash = strchr(text, '/');

	return slash != NULL && slash != text && strlen(text) < NODE_CONFIG_MAX &&
	    strspn(text, "0123456789.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+~-") ==
	    (size_t)(slash - text) &&
	    strlen(slash + 1) == NODE_FINGERPRINT_LEN && strspn(slash + 1, "0123456789abcdef") == NODE_FINGERPRINT_LEN;
}

void forwarded_sign(struct forwarded *forwarded, const struct pool_keys *pool, const char *host, const char *user)
{
	const struct str *text = signed_text(forwarded, "hop", host, user);

	mac_compute(pool_keys_first(pool), text->data, text->len, forwarded->mac);
	if (forwarded->tls_words[0] != '\0') {
		text = signed_tls_text(forwarded, host, user);
		mac_compute(pool_keys_first(pool), text->data, text->len, forwarded->tls_mac);
	}
	if (forwarded->config[0] != '\0') {
		text = signed_config_text(forwarded, host, user);
		mac_compute(pool_keys_first(pool), text->data, text->len, forwarded->config_mac);
	}
}

bool forwarded_verify_config(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user)
{
	const struct str *text = signed_config_text(forwarded, host, user);

	return pool != NULL && pool_keys_verify(pool, text->data, text->len, forwarded->config_mac);
}

bool forwarded_verify_tls(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user)
{
	const struct str *text = signed_tls_text(forwarded, host, user);

	return pool != NULL && pool_keys_verify(pool, text->data, text->len, forwarded->tls_mac);
}

enum signature_check forwarded_verify(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, uint64_t now)
{
	const struct str *text;

	switch (forwarded->signature) {
	case FORWARDED_SIGNATURE_MADE:
		break;
	case FORWARDED_SIGNATURE_NO_SECRET:
		return pool != NULL ? SIGNATURE_MISSING : SIGNATURE_NONE;
	default:
		return SIGNATURE_NONE;
	}
	if (pool == NULL)
		return SIGNATURE_UNKNOWN;
	text = signed_text(forwarded, "hop", host, user);
	/* Checked before the time: those without the secret learn nothing about our clock. */
	if (!pool_keys_verify(pool, text->data, text->len, forwarded->mac))
		return SIGNATURE_WRONG;
	return forwarded->time > now + FORWARDED_AGE_MAX || forwarded->time + FORWARDED_AGE_MAX < now ?
	    SIGNATURE_CLOCK :
	    SIGNATURE_GOOD;
}

/* With one of the pool's keys. */
static void compute_token_key(const struct forwarded *forwarded, struct mac *pool_key, const char *host,
    const char *user, uint8_t out[FORWARDED_MAC_LEN])
{
	const struct str *text = signed_text(forwarded, "token", host, user);

	mac_compute(pool_key, text->data, text->len, out);
}

void forwarded_token_key(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, uint8_t out[FORWARDED_MAC_LEN])
{
	compute_token_key(forwarded, pool_keys_first(pool), host, user, out);
}

const char *forwarded_token(const uint8_t key[FORWARDED_MAC_LEN], const char *node_id, char dst[TOKEN_TEXT_MAX])
{
	struct mac *m = mac_new(key, FORWARDED_MAC_LEN);
	uint8_t token[FORWARDED_MAC_LEN];

	mac_compute(m, node_id, strlen(node_id), token);
	mac_free(&m);
	hex_text(dst, token, sizeof(token));
	mem_wipe(token, sizeof(token));
	return dst;
}

bool forwarded_token_verify(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, const char *node_id, const char *text)
{
	uint8_t key[FORWARDED_MAC_LEN];
	char want[TOKEN_TEXT_MAX];
	bool same = false;

	if (forwarded->signature != FORWARDED_SIGNATURE_MADE)
		return false;
	for (size_t i = 0; pool != NULL && i < pool->n && !same; i++) {
		compute_token_key(forwarded, pool->key[i], host, user, key);
		forwarded_token(key, node_id, want);
		/* One token has one text: not the same in capitals. */
		same = mem_equal_secret(want, strlen(want), text, strlen(text));
	}
	mem_wipe(key, sizeof(key));
	mem_wipe(want, sizeof(want));
	return same;
}
