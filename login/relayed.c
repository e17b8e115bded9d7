/* The small record of a relayed session. */
#include "login/relayed.h"

#include <string.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "settings/protocol.h"

enum {
	DEATH_SECONDS = 1,
	DEATHS_USUAL = 8 /* sessions at one peer that end so within that time: more mean that the peer is dying */
};

/* A peer that at least one session uses. Key: the text. */
struct relayed_peer {
	unsigned sessions;
	unsigned died;       /* sessions that have ended since then for no reason of their own: */
	uint32_t died_since; /* loop time, seconds */
	UT_hash_handle hh;
	char text[]; /* "mailhost=..., backend=[ip]:port" (or unix:PATH), as it stands in the log */
};

static struct relayed_peer *peers;
static struct str text; /* for one text at a time */

static void add(struct str *s, const char *key, const char *value)
{
	str_adds(s, key);
	str_adds(s, value);
}

static struct relayed_peer *use_peer(const char *mailhost, const struct backend *b)
{
	const struct net_addr *addr = backend_addr(b);
	char ip[NET_IP_TEXT_MAX];
	char port[NUM_TEXT_MAX];
	struct relayed_peer *p;

	str_clear(&text);
	add(&text, "mailhost=", mailhost);
	if (backend_text(b) != NULL) {
		add(&text, ", backend=", backend_text(b));
	} else {
		add(&text, ", backend=[", net_addr_text(addr, ip));
		add(&text, "]:", num_text(addr->port, port));
	}
	HASH_FIND(hh, peers, text.data, text.len, p);
	if (p == NULL) {
		p = mem_alloc(sizeof(*p) + text.len + 1);
		memcpy(p->text, text.data, text.len + 1);
		HASH_ADD_KEYPTR(hh, peers, p->text, text.len, p);
	}
	p->sessions++;
	return p;
}

static void leave_peer(struct relayed_peer *p)
{
	if (--p->sessions != 0)
		return;
	HASH_DEL(peers, p);
	mem_free(&p);
}

static const char *id_of(const struct relayed *s, char from_number[NUM_HEX_MAX])
{
	const char *id = s->texts + strlen(s->texts) + 1;

	if (id[0] != '\0')
		return id;
	return num_hex(s->session, from_number);
}

struct relayed *relayed_new(const struct login *l, uint32_t now)
{
	const struct auth_reply *a = l->reply;
	char number[NUM_HEX_MAX];
	size_t user = strlen(a->name) + 1, id, tls = strlen(a->client_tls_words) + 1;
	struct relayed *s;

	num_hex(a->session, number);
	id = strcmp(number, a->session_id) == 0 ? 0 : strlen(a->session_id);
	s = mem_alloc(sizeof(*s) + user + id + 1 + tls);
	s->session = a->session;
	s->peer = use_peer(peer_login_target(l)->host, l->backend);
	s->client = a->client;
	s->started = now;
	s->protocol = (uint8_t)l->dialect->protocol;
	s->tls = a->client_tls;
	memcpy(s->texts, a->name, user);
	memcpy(s->texts + user, a->session_id, id);
	memcpy(s->texts + user + id + 1, a->client_tls_words, tls);
	return s;
}

void relayed_free(struct relayed **s)
{
	leave_peer((*s)->peer);
	mem_free(s);
}

const char *relayed_user(const struct relayed *s)
{
	return s->texts;
}

bool relayed_is_chosen(const struct relayed *s, const struct session_choice *c)
{
	char number[NUM_HEX_MAX];

	return session_choice_has(c, relayed_user(s), &s->client, id_of(s, number));
}

/* "WORD, user=..., ip=[...], port=[...]" */
static void begin_line(const struct relayed *s, const char *word)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX], port[NUM_TEXT_MAX];

	str_clear(&text);
	str_adds(&text, word);
	add(&text, ", user=", log_value(user, sizeof(user), s->texts));
	add(&text, ", ip=[", net_addr_log(&s->client, ip));
	add(&text, "], port=[", num_text(s->client.port, port));
	str_adds(&text, "]");
}

static const char *tls_words(const struct relayed *s)
{
	const char *id = s->texts + strlen(s->texts) + 1;

	return id + strlen(id) + 1;
}

/* ", starttls=1, tls=..., mailhost=..., backend=[...]:..., session=..." */
static void add_session(const struct relayed *s)
{
	char id[NUM_HEX_MAX], tls[SESSION_TLS_TEXT_MAX];

	str_adds(&text, session_tls_text(s->tls, protocols[s->protocol].starttls, tls_words(s), tls));
	add(&text, ", ", s->peer->text);
	add(&text, ", session=", id_of(s, id));
}

void relayed_log_login(const struct relayed *s)
{
	begin_line(s, "LOGIN");
	add(&text, ", protocol=", protocols[s->protocol].title);
	add_session(s);
	log_text(protocols[s->protocol].group, LOG_LEVEL_INFO, text.data, text.len);
}

static const struct {
	const char *word, *end;
} ends[] = {
	[RELAY_END_CLIENT] = { "DISCONNECTED", "client" },
	[RELAY_END_SERVER] = { "LOGOUT", "server" },
	[RELAY_END_IDLE] = { "TIMEOUT", "idle" },
	[RELAY_END_KICK] = { "DISCONNECTED", "kick" },
	[RELAY_END_SHUTDOWN] = { "DISCONNECTED", "shutdown" },
};

void relayed_log_end(const struct relayed *s, const struct relay *r, enum relay_end end, uint32_t now)
{
	char number[NUM_TEXT_MAX];

	begin_line(s, ends[end].word);
	add(&text, ", rcvd=", num_text(relay_rcvd(r), number));
	add(&text, ", sent=", num_text(relay_sent(r), number));
	add(&text, ", time=", num_text(now - s->started, number));
	add_session(s);
	add(&text, ", end=", ends[end].end);
	log_text(protocols[s->protocol].group, LOG_LEVEL_INFO, text.data, text.len);
}

bool relayed_dies_with_others(const struct relayed *s, uint32_t now)
{
	struct relayed_peer *p = s->peer;

	if (now - p->died_since > DEATH_SECONDS) {
		p->died_since = now;
		p->died = 0;
	}
	return ++p->died > DEATHS_USUAL;
}

void relayed_row(const struct relayed *s, const struct relay *r, uint32_t now, struct str *out)
{
	const char *backend = strstr(s->peer->text, ", backend="), *host = s->peer->text + strlen("mailhost=");
	char ip[NET_IP_TEXT_MAX], id[NUM_HEX_MAX];

	str_addf(out, "%s\t%s\t%s\t%u\t%.*s\t%s\t%llu\t%llu\t%u\t%s\t%s\n", s->texts, protocols[s->protocol].title,
	    net_addr_text(&s->client, ip), s->client.port, (int)(backend - host), host, backend + strlen(", backend="),
	    (unsigned long long)relay_rcvd(r), (unsigned long long)relay_sent(r), now - s->started, id_of(s, id),
	    session_tls_word(s->tls, tls_words(s)));
}
