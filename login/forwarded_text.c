/* Members of a forwarded identity as text, and back. */
#include "login/forwarded_text.h"

#include <string.h>
#include <strings.h>

#include "lib/hex.h"
#include "lib/num.h"
#include "lib/str.h"

void forwarded_text_session(struct forwarded *h, const char *value)
{
	if (!session_id_ok(value))
		return;
	str_copy(h->session_id, sizeof(h->session_id), value);
	h->present = true;
}

void forwarded_text_ip(struct forwarded *h, const char *value)
{
	struct net_addr a;

	if (!net_addr_parse(&a, value, h->client.port))
		return;
	h->client = a;
	h->present = true;
}

void forwarded_text_port(struct forwarded *h, const char *value)
{
	uint64_t port;

	if (!num_parse_str(value, 65535, &port))
		return;
	h->client.port = (uint16_t)port;
	h->present = true;
}

void forwarded_text_ttl(struct forwarded *h, const char *value)
{
	uint64_t ttl;

	if (!num_parse_str(value, 255, &ttl))
		return;
	h->ttl = (uint8_t)MAX(ttl, 1); /* none left: treated as by the last node */
	h->present = true;
}

void forwarded_text_transport(struct forwarded *h, const char *value)
{
	h->tls = strncasecmp(value, "TLS", 3) == 0;
	h->insecure = !h->tls;
	h->present = true;
}

static const char no_secret[] = "none";

/* A whole MAC, in lower-case hexadecimal digits. */
static bool read_mac(uint8_t mac[FORWARDED_MAC_LEN], const char *text)
{
	return strlen(text) == 2 * FORWARDED_MAC_LEN && strpbrk(text, "ABCDEF") == NULL &&
	    hex_bytes(mac, text, 2 * FORWARDED_MAC_LEN);
}

void forwarded_text_auth(struct forwarded *h, const char *value)
{
	const char *colon = strchr(value, ':');
	uint8_t mac[FORWARDED_MAC_LEN];
	uint64_t seconds;

	if (strcmp(value, no_secret) == 0) {
		h->signature = FORWARDED_SIGNATURE_NO_SECRET;
		h->present = true;
		return;
	}
	if (colon == NULL || !num_parse(value, (size_t)(colon - value), UINT32_MAX * 16ULL, &seconds) ||
	    !read_mac(mac, colon + 1))
		return;
	h->signature = FORWARDED_SIGNATURE_MADE;
	h->time = seconds;
	memcpy(h->mac, mac, sizeof(mac));
	h->present = true;
}

void forwarded_text_tls(struct forwarded *h, const char *value)
{
	const char *slash = strchr(value, '/');
	uint8_t mac[FORWARDED_MAC_LEN] = { 0 };
	char words[SESSION_TLS_MAX];

	if (slash == NULL || (size_t)(slash - value) >= sizeof(words))
		return;
	memcpy(words, value, (size_t)(slash - value));
	words[slash - value] = '\0';
	if (!session_tls_ok(words) || (strcmp(slash + 1, no_secret) != 0 && !read_mac(mac, slash + 1)))
		return;
	memcpy(h->tls_words, words, sizeof(words));
	memcpy(h->tls_mac, mac, sizeof(mac));
	h->present = true;
}

const char *forwarded_text_tls_make(const struct forwarded *h, char dst[FORWARDED_TEXT_TLS_MAX])
{
	size_t n = strlen(h->tls_words);

	memcpy(dst, h->tls_words, n);
	dst[n++] = '/';
	if (h->signature == FORWARDED_SIGNATURE_MADE)
		hex_text(dst + n, h->tls_mac, sizeof(h->tls_mac));
	else
		memcpy(dst + n, no_secret, sizeof(no_secret));
	return dst;
}

void forwarded_text_config(struct forwarded *h, const char *value)
{
	const char *slash = strrchr(value, '/');
	uint8_t mac[FORWARDED_MAC_LEN];
	char config[NODE_CONFIG_MAX];

	if (slash == NULL || (size_t)(slash - value) >= sizeof(config))
		return;
	memcpy(config, value, (size_t)(slash - value));
	config[slash - value] = '\0';
	if (!node_config_ok(config) || !read_mac(mac, slash + 1))
		return;
	memcpy(h->config, config, sizeof(config));
	memcpy(h->config_mac, mac, sizeof(mac));
	h->present = true;
}

const char *forwarded_text_config_make(const struct forwarded *h, char dst[FORWARDED_TEXT_CONFIG_MAX])
{
	size_t n = strlen(h->config);

	memcpy(dst, h->config, n);
	dst[n++] = '/';
	hex_text(dst + n, h->config_mac, sizeof(h->config_mac));
	return dst;
}

const char *forwarded_text_auth_make(const struct forwarded *h, char dst[FORWARDED_TEXT_AUTH_MAX])
{
	size_t n;

	if (h->signature == FORWARDED_SIGNATURE_NO_SECRET)
		return memcpy(dst, no_secret, sizeof(no_secret));
	n = strlen(num_text(h->time, dst));
	dst[n++] = ':';
	hex_text(dst + n, h->mac, sizeof(h->mac));
	return dst;
}
