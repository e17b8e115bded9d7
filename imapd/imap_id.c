/* The ID command: what is passed on, and the identity of a forwarded login in it. */
#include "imapd/imap_id.h"

#include <string.h>
#include <strings.h>

#include "imapd/imap_id_list.h"
#include "lib/log.h"
#include "lib/num.h"
#include "lib/text.h"
#include "login/forwarded_text.h"
#include "login/node_mark.h"

enum { OWN_PAIRS = 8 }; /* that imap_id_forward() adds at most */

/* Beginnings of keys by which nodes, and other makes of proxies, tell each other of a client: from the client they are
 * passed on to nobody. */
static const char *const reserved[] = { "x-session-", "x-originating-", "x-connected-", "x-proxy-",
	"x-client-transport", "x-multiplex", "x-forward-", "x-waypost-" };

static bool is_reserved(const char *key)
{
	for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
		if (strncasecmp(key, reserved[i], strlen(reserved[i])) == 0)
			return true;
	return false;
}

static bool quotable(const char *s)
{
	for (const char *p = s; *p != '\0'; p++)
		if ((*p & 0x80) != 0)
			return false;
	return text_is_plain(s);
}

static void take_forwarded(struct forwarded *h, const char *key, const char *value)
{
	if (strcasecmp(key, "x-session-id") == 0)
		forwarded_text_session(h, value);
	else if (strcasecmp(key, "x-originating-ip") == 0)
		forwarded_text_ip(h, value);
	else if (strcasecmp(key, "x-originating-port") == 0)
		forwarded_text_port(h, value);
	else if (strcasecmp(key, "x-proxy-ttl") == 0)
		forwarded_text_ttl(h, value);
	else if (strcasecmp(key, "x-client-transport") == 0)
		forwarded_text_transport(h, value);
	else if (strcasecmp(key, "x-waypost-auth") == 0)
		forwarded_text_auth(h, value);
	else if (strcasecmp(key, "x-waypost-tls") == 0)
		forwarded_text_tls(h, value);
	else if (strcasecmp(key, "x-waypost-config") == 0)
		forwarded_text_config(h, value);
}

void imap_id_pair(struct login *l, const char *key, const char *value, size_t value_len, bool believe)
{
	struct imap_login *il = l->data;

	if (is_reserved(key)) {
		if (believe)
			take_forwarded(login_forwarded(l), key, value);
		return;
	}
	if (strcasecmp(key, "name") == 0)
		log_clean(il->client, sizeof(il->client), value);
	/* Values that cannot be quoted, or are too much, are left out: ID is for statistics. */
	if (!quotable(key) || !quotable(value) || il->id.len + strlen(key) + value_len > IMAP_ID_TEXT_MAX ||
	    il->id_pairs >= IMAP_ID_PAIRS_MAX - OWN_PAIRS)
		return;
	if (il->id.len != 0)
		str_addc(&il->id, ' ');
	imap_add_quoted(&il->id, key, strlen(key));
	str_addc(&il->id, ' ');
	imap_add_quoted(&il->id, value, value_len);
	il->id_pairs++;
}

void imap_id_reply(struct str *out, const struct settings *set)
{
	str_adds(out, "* ID (\"name\" \"Waypost\"");
	if ((set->imapd_IMAP_ID_FIELDS & 1) != 0)
		str_adds(out, " \"version\" \"" PACKAGE_VERSION "\"");
	str_adds(out, ")\r\n");
}

static void add_pair(struct str *out, const char *key, const char *value)
{
	str_adds(out, " \"");
	str_adds(out, key);
	str_adds(out, "\" \"");
	str_adds(out, value);
	str_addc(out, '"');
}

void imap_id_forward(struct login *l, struct str *out, const char *tag)
{
	const struct imap_login *il = l->data;
	char ip[NET_IP_TEXT_MAX], auth[FORWARDED_TEXT_AUTH_MAX], tls[FORWARDED_TEXT_TLS_MAX], number[NUM_TEXT_MAX];
	char config[FORWARDED_TEXT_CONFIG_MAX];
	struct forwarded h;

	peer_login_forwarded(l, &h);
	str_adds(out, tag);
	str_adds(out, " ID (");
	if (il->id.len != 0) {
		str_add(out, il->id.data, il->id.len);
		str_addc(out, ' ');
	}
	str_adds(out, "\"x-session-id\" \"");
	str_adds(out, h.session_id);
	str_addc(out, '"');
	add_pair(out, "x-proxy-ttl", num_text(h.ttl, number));
	if (peer_login_tells_client(l)) {
		add_pair(out, "x-originating-ip", net_addr_text(&h.client, ip));
		add_pair(out, "x-originating-port", num_text(h.client.port, number));
		add_pair(out, "x-client-transport", h.tls ? "TLS" : "insecure");
	}
	if (h.signature != FORWARDED_SIGNATURE_NONE)
		add_pair(out, "x-waypost-auth", forwarded_text_auth_make(&h, auth));
	if (h.tls_words[0] != '\0' && l->peer.mark == NODE_MARK_OTHER)
		add_pair(out, "x-waypost-tls", forwarded_text_tls_make(&h, tls));
	if (h.config[0] != '\0')
		add_pair(out, "x-waypost-config", forwarded_text_config_make(&h, config));
	str_adds(out, ")\r\n");
}
