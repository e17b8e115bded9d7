#include "login/relayed.h"

#include <string.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"

/* A back end that at least one session uses. Key: the text. */
struct relayed_peer {
	unsigned sessions;
	UT_hash_handle hh;
	char text[]; /* "mailhost=..., backend=[ip]:port", as it stands in the log */
};

static struct relayed_peer *peers;

static struct relayed_peer *use_peer(const char *mailhost, const struct net_addr *addr)
{
	char ip[NET_IP_TEXT_MAX];
	char *text = mem_printf("mailhost=%s, backend=[%s]:%u", mailhost, net_addr_text(addr, ip), addr->port);
	size_t len = strlen(text);
	struct relayed_peer *p;

	HASH_FIND(hh, peers, text, len, p);
	if (p == NULL) {
		p = mem_alloc(sizeof(*p) + len + 1);
		memcpy(p->text, text, len + 1);
		HASH_ADD_KEYPTR(hh, peers, p->text, len, p);
	}
	p->sessions++;
	mem_free(&text);
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
	size_t user = strlen(a->name) + 1, id;
	struct relayed *s;

	num_hex(a->session, number);
	id = strcmp(number, a->session_id) == 0 ? 0 : strlen(a->session_id);
	s = mem_alloc(sizeof(*s) + user + id + 1);
	s->session = a->session;
	s->peer = use_peer(login_target(l)->host, backend_addr(l->backend));
	s->client = a->client;
	s->started = now;
	s->protocol = (uint8_t)l->dialect->protocol;
	memcpy(s->texts, a->name, user);
	memcpy(s->texts + user, a->session_id, id);
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

void relayed_log_login(const struct relayed *s, const struct login_dialect *d)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX], id[NUM_HEX_MAX];

	log_as(d->program, LOG_LEVEL_INFO, "LOGIN, user=%s, ip=[%s], port=[%u], protocol=%s, %s, session=%s",
	    log_value(user, sizeof(user), s->texts), net_addr_log(&s->client, ip), s->client.port, d->name, s->peer->text, id_of(s, id));
}

static const struct { const char *word, *end; } ends[] = {
	[RELAY_END_CLIENT] = { "DISCONNECTED", "client" }, [RELAY_END_SERVER] = { "LOGOUT", "server" },
	[RELAY_END_IDLE] = { "TIMEOUT", "idle" }, [RELAY_END_KICK] = { "DISCONNECTED", "kick" },
	[RELAY_END_SHUTDOWN] = { "DISCONNECTED", "shutdown" },
};

void relayed_log_end(const struct relayed *s, const struct login_dialect *d, const struct relay *r, enum relay_end end, uint32_t now)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX], id[NUM_HEX_MAX];

	log_as(d->program, LOG_LEVEL_INFO, "%s, user=%s, ip=[%s], port=[%u], rcvd=%llu, sent=%llu, time=%u, %s, session=%s, end=%s",
	    ends[end].word, log_value(user, sizeof(user), s->texts), net_addr_log(&s->client, ip), s->client.port,
	    (unsigned long long)relay_rcvd(r), (unsigned long long)relay_sent(r), now - s->started, s->peer->text, id_of(s, id), ends[end].end);
}

void relayed_row(const struct relayed *s, const struct login_dialect *d, const struct relay *r, uint32_t now, struct str *out)
{
	const char *backend = strstr(s->peer->text, ", backend="), *host = s->peer->text + strlen("mailhost=");
	char ip[NET_IP_TEXT_MAX], id[NUM_HEX_MAX];

	str_addf(out, "%s\t%s\t%s\t%u\t%.*s\t%s\t%llu\t%llu\t%u\t%s\n", s->texts, d->name, net_addr_text(&s->client, ip), s->client.port,
	    (int)(backend - host), host, backend + strlen(", backend="), (unsigned long long)relay_rcvd(r), (unsigned long long)relay_sent(r),
	    now - s->started, id_of(s, id));
}
