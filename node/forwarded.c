/* What the identity of a forwarded login is signed over. */
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

static void compute_mac(const struct forwarded *h, struct mac *pool, const char *what, const char *host,
    const char *user, uint8_t mac[FORWARDED_MAC_LEN])
{
	static struct str text; /* its memory is kept */
	char ip[NET_IP_TEXT_MAX], number[NUM_TEXT_MAX];

	str_clear(&text);
	str_adds(&text, "waypost ");
	str_adds(&text, what);
	add_line(&text, " 1");
	add_host(&text, host);
	/* Session ids, addresses and names hold no line feeds: the text has one reading only. */
	add_line(&text, "");
	add_line(&text, h->session_id);
	add_line(&text, net_addr_text(&h->client, ip));
	add_line(&text, num_text(h->client.port, number));
	add_line(&text, num_text(h->tls, number));
	add_line(&text, num_text(h->ttl, number));
	add_line(&text, num_text(h->time, number));
	add_line(&text, user);
	mac_compute(pool, text.data, text.len, mac);
}

void forwarded_sign(struct forwarded *forwarded, struct mac *pool, const char *host, const char *user)
{
	compute_mac(forwarded, pool, "hop", host, user, forwarded->mac);
}

enum signature_check forwarded_verify(const struct forwarded *forwarded, struct mac *pool, const char *host,
    const char *user, uint64_t now)
{
	uint8_t mac[FORWARDED_MAC_LEN];

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
	compute_mac(forwarded, pool, "hop", host, user, mac);
	/* Before the time: who does not know the secret learns nothing of our clock. */
	if (!mem_equal_secret(mac, sizeof(mac), forwarded->mac, sizeof(forwarded->mac)))
		return SIGNATURE_WRONG;
	return forwarded->time > now + FORWARDED_AGE_MAX || forwarded->time + FORWARDED_AGE_MAX < now ?
	    SIGNATURE_CLOCK :
	    SIGNATURE_GOOD;
}

void forwarded_token(const struct forwarded *forwarded, struct mac *pool, const char *host, const char *user,
    uint8_t out[FORWARDED_MAC_LEN])
{
	compute_mac(forwarded, pool, "token", host, user, out);
}

const char *forwarded_token_text(const uint8_t token[FORWARDED_MAC_LEN], char dst[TOKEN_TEXT_MAX])
{
	return hex_text(dst, token, FORWARDED_MAC_LEN);
}

bool forwarded_token_verify(const struct forwarded *forwarded, struct mac *pool, const char *host, const char *user,
    const char *text)
{
	uint8_t token[FORWARDED_MAC_LEN];
	char want[TOKEN_TEXT_MAX];
	bool same;

	if (forwarded->signature != FORWARDED_SIGNATURE_MADE || pool == NULL)
		return false;
	forwarded_token(forwarded, pool, host, user, token);
	forwarded_token_text(token, want);
	same = mem_equal_secret(want, strlen(want), text, strlen(text));
	mem_wipe(token, sizeof(token));
	mem_wipe(want, sizeof(want));
	return same;
}
