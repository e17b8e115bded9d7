/* Scenarios: what clients, peers, authd, spawn and time do to logins and relays, step by step, and what each of them
 * must hear. The files and their words are told in tests/unit/scenarios/README. The worker, the dialects and the relays
 * are the real ones, on libev's loop and real sockets; time, timers and random bytes are the test's, so that a file
 * leads to the same again for ever. */
#include "tests/unit/fake_time.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdlib.h>

#include "imapd/imap_login.h"
#include "lib/proxy_header.h"
#include "lib/rnd.h"
#include "pop3d/pop3_login.h"

enum {
	ARGS_MAX = 12,
	CLIENTS_MAX = 32,
	CONNS_MAX = 32, /* to one peer */
	PEERS_MAX = 10, /* 0 is what spawn or authd lead to, a program or a local server */
	SESSIONS_MAX = 64,
	ORDERS_MAX = 120 /* in which the steps that happen at once are tried */
};

/* --- one scenario, as it was read --- */

struct step {
	unsigned line;
	unsigned group; /* those of one number happen at once; 0: of none */
	const struct verb *verb;
	unsigned number; /* of the client or peer; ~0: not told */
	unsigned nargs;
	char *arg[ARGS_MAX];
};

struct scenario {
	const char *name;
	struct step *step;
	unsigned nsteps, ngroups;
};

static char mistake[2048]; /* the first one: "FILE:LINE: text" */

static bool wrong_at(const struct scenario *s, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

static bool wrong_at(const struct scenario *s, unsigned line, const char *fmt, ...)
{
	int n;
	va_list ap;

	if (mistake[0] != '\0')
		return false;
	n = snprintf(mistake, sizeof(mistake), "%s:%u: ", s->name, line);
	va_start(ap, fmt);
	vsnprintf(mistake + n, sizeof(mistake) - (size_t)n, fmt, ap);
	va_end(ap);
	return false;
}

/* --- what goes on --- */

static const struct scenario *scenario;
static const struct step *here; /* the step under way */
static bool holding;            /* the loop does not turn: several things happen at once */
static bool started;            /* the worker is there */

static bool wrong(const char *fmt, ...) PRINTF_LIKE(1, 2);

static bool wrong(const char *fmt, ...)
{
	char text[1536];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return wrong_at(scenario, here->line, "%s", text);
}

static void settle(void)
{
	if (!holding)
		turns();
}

/* One end of a connection that the test holds, and what came there. */
struct end {
	int fd;
	struct str heard;
	bool used, ended;
};

static struct end clients[CLIENTS_MAX];
static unsigned nclients;
static struct peer {
	struct end conn[CONNS_MAX];
	unsigned nconns;
	bool refuses;
} peers[PEERS_MAX];
static struct {
	bool given, kept; /* kept: it is a server's, or was the lost authd's */
	unsigned ends;
} sessions[SESSIONS_MAX];
static unsigned nsessions;
static uint32_t question, handoff;
static unsigned open_questions;
static struct str authd_heard, spawn_heard, logged;
static enum protocol protocol;
static uint32_t seed;

void __wrap_rnd_bytes(void *p, size_t n);

/* The same each time: a scenario may depend on it. */
void __wrap_rnd_bytes(void *p, size_t n)
{
	uint8_t *b = p;

	for (size_t i = 0; i < n; i++) {
		seed = seed * 1664525 + 1013904223;
		b[i] = (uint8_t)(seed >> 24);
	}
}

/* --- the log --- */

void __wrap_log_as(const char *program, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void __wrap_log_text(const char *program, enum log_level level, const char *text, size_t len);
void __wrap_log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void __wrap_log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void __wrap_log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void PRINTF_LIKE(1, 0) note(const char *fmt, va_list ap)
{
	str_addv(&logged, fmt, ap);
	str_addc(&logged, '\n');
}

void __wrap_log_as(const char *program UNUSED, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (level != LOG_LEVEL_DEBUG)
		note(fmt, ap);
	va_end(ap);
}

void __wrap_log_text(const char *program UNUSED, enum log_level level, const char *text, size_t len)
{
	if (level != LOG_LEVEL_DEBUG) {
		str_add(&logged, text, len);
		str_addc(&logged, '\n');
	}
}

#define NOTES(name) \
	void __wrap_##name(const char *fmt, ...) \
	{ \
		va_list ap; \
		va_start(ap, fmt); \
		note(fmt, ap); \
		va_end(ap); \
	}
NOTES(log_warn)
NOTES(log_error)
NOTES(log_info)

/* --- ends of connections --- */

static int open_end(struct end *e)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	*e = (struct end){ .fd = fd[1], .used = true };
	return fd[0];
}

static void close_end(struct end *e)
{
	if (e->used && e->fd != -1)
		close(e->fd);
	e->fd = -1;
}

static void hear(struct end *e)
{
	char buf[4096];
	ssize_t n;

	if (!e->used || e->fd == -1 || e->ended)
		return;
	while ((n = recv(e->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		str_add(&e->heard, buf, (size_t)n);
	e->ended = n == 0 || errno == ECONNRESET;
}

static bool send_to(struct end *e, const char *text, size_t len)
{
	if (!e->used || e->fd == -1)
		return wrong("there is no such connection");
	if (send(e->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len && !(holding && errno == EPIPE))
		return wrong("it cannot be sent: %s", strerror(errno));
	settle();
	return true;
}

int __wrap_net_connect(const struct net_addr *addr);

/* Peer N is at 192.0.2.N. */
int __wrap_net_connect(const struct net_addr *addr)
{
	struct peer *p = &peers[addr->ip[3]];

	CU_ASSERT_FATAL(addr->ip[3] < PEERS_MAX && p->nconns < CONNS_MAX);
	if (p->refuses) {
		errno = ECONNREFUSED;
		return -1;
	}
	return open_end(&p->conn[p->nconns++]);
}

/* --- texts: "..." in what is expected stands for anything --- */

static bool matches(const char *want, const char *text)
{
	for (;;) {
		const char *dots = strstr(want, "...");
		size_t len = dots != NULL ? (size_t)(dots - want) : strlen(want) + 1;

		if (strncmp(want, text, len) != 0)
			return false;
		if (dots == NULL)
			return true;
		want = dots + 3;
		text += len;
		if (*want == '\0')
			return true;
		dots = strstr(want, "...");
		len = dots != NULL ? (size_t)(dots - want) : strlen(want);
		if (dots == NULL) /* the last part has to be at the end */
			return strlen(text) >= len && strcmp(text + strlen(text) - len, want) == 0;
		for (; strncmp(text, want, len) != 0; text++)
			if (*text == '\0')
				return false;
	}
}

/* TEXT with what cannot be seen as escapes, in a buffer that the next call uses again. */
static const char *shown(const char *text)
{
	static struct str s;

	str_clear(&s);
	for (; *text != '\0'; text++)
		if (*text == '\r' || *text == '\n')
			str_adds(&s, *text == '\r' ? "\\r" : "\\n");
		else
			str_addc(&s, *text);
	return str_cstr(&s);
}

/* The step takes whatever was heard: it depends on the order in which things happened. */
static bool takes_anything(void)
{
	return here->nargs == 1 && strcmp(here->arg[0], "anything") == 0;
}

/* The arguments are all lines of HEARD, each ended by END; what was heard is forgotten. */
static bool check_lines(struct str *heard, const char *end)
{
	struct str want = STR_INIT;
	bool is;

	if (takes_anything()) {
		str_clear(heard);
		return true;
	}
	for (unsigned i = 0; i < here->nargs; i++) {
		str_adds(&want, here->arg[i]);
		str_adds(&want, end);
	}
	is = matches(str_cstr(&want), str_cstr(heard));
	if (!is) {
		char *got = mem_strdup(shown(str_cstr(heard)));

		wrong("got \"%s\", not \"%s\"", got, shown(str_cstr(&want)));
		mem_free(&got);
	}
	str_fini(&want);
	str_clear(heard);
	return is;
}

/* --- clients and peers --- */

static struct end *client(void)
{
	static struct end none;
	unsigned i = here->number == ~0U ? nclients - 1 : here->number - 1;

	return i < nclients ? &clients[i] : &none;
}

static struct end *peer(void)
{
	static struct end none;
	struct peer *p = &peers[here->number];

	return p->nconns != 0 ? &p->conn[p->nconns - 1] : &none;
}

static struct end *side(void);

static bool say_lines(void)
{
	struct str text = STR_INIT;
	bool ok;

	for (unsigned i = 0; i < here->nargs; i++) {
		str_adds(&text, here->arg[i]);
		str_adds(&text, "\r\n");
	}
	ok = send_to(side(), str_cstr(&text), text.len);
	str_fini(&text);
	return ok;
}

static bool say_bytes(void)
{
	return send_to(side(), here->arg[0], strlen(here->arg[0]));
}

static bool hears_lines(void)
{
	struct end *e = side();

	hear(e);
	if (here->nargs == 1 && strcmp(here->arg[0], "nothing") == 0) {
		if (e->heard.len != 0)
			return wrong("got \"%s\"", shown(str_cstr(&e->heard)));
		return !e->ended || wrong("the connection has ended");
	}
	if (here->nargs == 1 && strcmp(here->arg[0], "end") == 0) {
		if (e->heard.len != 0)
			return wrong("got \"%s\" before the end", shown(str_cstr(&e->heard)));
		if (!e->used || !e->ended)
			return wrong("the connection has not ended");
		e->ended = false; /* it was asked for */
		close_end(e);
		settle();
		return true;
	}
	return check_lines(&e->heard, "\r\n");
}

static bool hears_bytes(void)
{
	struct end *e = side();

	hear(e);
	return check_lines(&e->heard, "");
}

/* What came is one header of the PROXY protocol, and it says ARG[0]. */
static bool hears_header(void)
{
	struct end *e = side();
	struct proxy_header h = { 0 };
	struct proxy_header_facts f = { 0 };
	char ip[NET_IP_TEXT_MAX], text[512];
	size_t used;

	hear(e);
	if (proxy_header_take(&h, e->heard.data, e->heard.len, &used, &f) != PROXY_HEADER_DONE || used != e->heard.len)
		return wrong("that is not a header and nothing more");
	snprintf(text, sizeof(text), "client=%s port=%u tls=%s version=%s cipher=%s", net_addr_text(&f.client, ip),
	    f.client.port, f.tls ? "yes" : "no", f.tls_version, f.tls_cipher);
	str_clear(&e->heard);
	return matches(here->arg[0], text) || wrong("got \"%s\"", text);
}

static bool shuts(void)
{
	struct end *e = side();

	if (!e->used || e->fd == -1)
		return wrong("there is no such connection");
	shutdown(e->fd, SHUT_WR);
	settle();
	return true;
}

static bool closes(void)
{
	struct end *e = side();

	if (!e->used || e->fd == -1)
		return wrong("there is no such connection");
	hear(e);
	close_end(e);
	settle();
	return true;
}

static bool client_connects(void)
{
	struct net_addr addr;
	struct end *e = &clients[nclients++];

	CU_ASSERT_FATAL(nclients <= CLIENTS_MAX);
	CU_ASSERT_FATAL(net_addr_parse(&addr, "127.0.0.1", (uint16_t)(10000 + nclients)));
	login_start(&w->env, w->dialects[protocol], open_end(e), &(struct login_client){ .addr = addr, .port = 143 });
	settle();
	return true;
}

static bool client_count(void)
{
	unsigned open = 0;

	for (unsigned i = 0; i < nclients; i++) {
		hear(&clients[i]);
		open += !clients[i].ended && clients[i].fd != -1;
	}
	return open == (unsigned)atoi(here->arg[0]) || wrong("%u clients are connected", open);
}

static bool client_rest_end(void)
{
	for (unsigned i = 0; i < nclients; i++) {
		struct end *e = &clients[i];

		hear(e);
		if (e->fd == -1)
			continue;
		if (!e->ended || e->heard.len != 0)
			return wrong("client %u has not ended, or heard \"%s\"", i + 1, shown(str_cstr(&e->heard)));
		e->ended = false;
		close_end(e);
	}
	return true;
}

/* As takes_anything(), for all of them, and they are gone then. */
static bool peers_anything(void)
{
	for (unsigned i = 0; i < PEERS_MAX; i++)
		for (unsigned k = 0; k < peers[i].nconns; k++) {
			struct end *e = &peers[i].conn[k];

			hear(e);
			str_clear(&e->heard);
			e->ended = false;
			close_end(e);
		}
	settle();
	return true;
}

static bool peer_refuses(void)
{
	peers[here->number].refuses = true;
	return true;
}

static bool peer_accepts(void)
{
	peers[here->number].refuses = false;
	return true;
}

static bool peer_count(void)
{
	unsigned n = peers[here->number].nconns;

	return n == (unsigned)atoi(here->arg[0]) || wrong("it was connected to %u times", n);
}

/* All that it has of connections breaks off. */
static bool peer_dies(void)
{
	struct peer *p = &peers[here->number];

	p->refuses = true;
	for (unsigned i = 0; i < p->nconns; i++) {
		hear(&p->conn[i]);
		close_end(&p->conn[i]);
	}
	settle();
	return true;
}

/* --- authd --- */

static void add_word(struct str *s, const char *word)
{
	if (s->len != 0)
		str_addc(s, ' ');
	str_adds(s, word);
}

static void heard_result(struct msgr *r)
{
	static const char *const words[] = { "answers", "down", "slow", "busy", "later" };
	struct session_target m;
	char word[64];

	CU_ASSERT_FATAL(peer_result_read(r, &m));
	snprintf(word, sizeof(word), "RESULT:%u:%s:%u", m.target + 1U, words[m.result], m.took_ms);
	add_word(&authd_heard, word);
}

static void heard_end(struct msgr *r)
{
	uint64_t session;

	CU_ASSERT(session_end_read(r, &session));
	CU_ASSERT_FATAL(session < SESSIONS_MAX && sessions[session].given);
	sessions[session].ends++;
	add_word(&authd_heard, "END");
}

static void heard_request(struct msgr *r)
{
	static struct auth_request q;

	CU_ASSERT(auth_request_read(r, &q));
	question = q.request;
	open_questions++;
	add_word(&authd_heard, q.ntried != 0 ? "REQUEST:tried" : "REQUEST");
}

static void authd_hears(struct msgr *r)
{
	switch (r->type) {
	case AUTH_REQUEST:
		heard_request(r);
		return;
	case AUTH_CANCEL:
		if (open_questions != 0)
			open_questions--;
		add_word(&authd_heard, "CANCEL");
		return;
	case SESSION_END:
		heard_end(r);
		return;
	case PEER_RESULT:
		heard_result(r);
		return;
	default:
		add_word(&authd_heard,
		    r->type == SESSION_ARRIVED    ? "ARRIVED" :
		        r->type == SESSION_HAVE   ? "HAVE" :
		        r->type == PEER_TROUBLE   ? "TROUBLE" :
		        r->type == PEER_SIGNATURE ? "SIGNATURE" :
		        r->type == PEER_LIST      ? "LIST" :
		                                    "?");
		return;
	}
}

static void spawn_hears(struct msgr *r)
{
	add_word(&spawn_heard, r->type == HANDOFF ? "HANDOFF" : "?");
	handoff = msgr_u32(r);
}

static void listen_to_both(void)
{
	listen_to(authd_end, authd_hears);
	listen_to(spawn_end, spawn_hears);
}

/* Words that were heard, of which the arguments have to be all; "nothing": there are none. */
static bool check_words(struct str *heard)
{
	struct str want = STR_INIT;
	bool is;

	listen_to_both();
	for (unsigned i = 0; i < here->nargs; i++)
		add_word(&want, here->arg[i]);
	if (strcmp(str_cstr(&want), "nothing") == 0)
		str_clear(&want);
	is = takes_anything() || matches(str_cstr(&want), str_cstr(heard));
	if (!is)
		wrong("got \"%s\", not \"%s\"", str_cstr(heard), str_cstr(&want));
	str_fini(&want);
	str_clear(heard);
	return is;
}

static bool authd_check(void)
{
	return check_words(&authd_heard);
}

static bool spawn_check(void)
{
	return check_words(&spawn_heard);
}

static bool answer_verdict(struct auth_reply *a, const char *word)
{
	static const char *const words[] = {
#define X(name, word, count) #name,
		AUTH_VERDICTS(X)
#undef X
	};

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (strcmp(words[i], word) == 0) {
			a->verdict = (enum auth_verdict)i;
			return true;
		}
	return wrong("no such verdict: %s", word);
}

static bool answer_add_peer(struct auth_reply *a, unsigned n)
{
	struct auth_target *t = &a->target[a->ntargets];
	char ip[32];

	if (n == 0 || n >= PEERS_MAX || a->ntargets == AUTH_ADDRS_MAX)
		return wrong("no such peer");
	a->ntargets++;
	snprintf(ip, sizeof(ip), "192.0.2.%u", n);
	snprintf(t->host, sizeof(t->host), "host%u", n);
	return net_addr_parse(&t->addr, ip, protocol == PROTOCOL_IMAP ? 143 : 110);
}

/* One of the words behind a verdict. */
static bool answer_word(struct auth_reply *a, const char *word)
{
	struct auth_target *last = a->ntargets != 0 ? &a->target[a->ntargets - 1] : NULL;

	if (strcmp(word, "here") == 0)
		a->local = true;
	else if (strcmp(word, "program") == 0)
		a->local = a->local_server = true;
	else if (strcmp(word, "or-here") == 0)
		a->other_hosts = AUTH_OTHER_HOSTS_SELF;
	else if (strcmp(word, "or-unresolved") == 0)
		a->other_hosts = AUTH_OTHER_HOSTS_UNRESOLVED;
	else if (strcmp(word, "report") == 0)
		a->report_success = true;
	else if (strcmp(word, "list") == 0 && last != NULL)
		last->list = AUTH_LIST_ASK;
	else if (strcmp(word, "tls") == 0 && last != NULL)
		last->tls = PEER_TLS_IMPLICIT;
	else if (strcmp(word, "starttls") == 0 && last != NULL)
		last->tls = PEER_TLS_STARTTLS;
	else if (strncmp(word, "in=", 3) == 0)
		a->peer_ms = (uint32_t)(atof(word + 3) * 1000);
	else if (strncmp(word, "client-tls=", 11) == 0)
		str_copy(a->client_tls_words, sizeof(a->client_tls_words), word + 11);
	else if (strncmp(word, "delay=", 6) == 0)
		a->delay_ms = (uint32_t)(atof(word + 6) * 1000);
	else if (word[0] >= '0' && word[0] <= '9')
		return answer_add_peer(a, (unsigned)atoi(word));
	else
		return wrong("no such word of an answer: %s", word);
	return true;
}

static bool authd_says(void)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();
	bool ok;

	memset(a, 0, sizeof(*a));
	a->request = question;
	a->delay_ms = 1000;
	a->peer_ms = 20000;
	ok = answer_verdict(a, here->arg[0]);
	for (unsigned i = 1; ok && i < here->nargs; i++)
		ok = answer_word(a, here->arg[i]);
	if (ok && authd_end == -1)
		ok = wrong("there is no authd");
	a->client_tls = a->client_tls_words[0] != '\0';
	if (ok && a->verdict == AUTH_VERDICT_OK) {
		CU_ASSERT_FATAL(++nsessions < SESSIONS_MAX);
		sessions[a->session = nsessions].given = true;
		snprintf(a->session_id, sizeof(a->session_id), "s%u", nsessions);
		str_copy(a->name, sizeof(a->name), "u");
		CU_ASSERT_FATAL(net_addr_parse(&a->client, "127.0.0.1", (uint16_t)(10000 + nclients)));
	}
	if (ok) {
		if (open_questions != 0)
			open_questions--;
		auth_reply_write(&m, a);
		CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
		settle();
	}
	auth_reply_free(&a);
	return ok;
}

/* What authd knew is lost with it. */
static void forget_authd(void)
{
	listen_to_both();
	open_questions = 0;
	for (unsigned i = 0; i < SESSIONS_MAX; i++)
		sessions[i].kept = sessions[i].given;
}

static bool authd_dies(void)
{
	forget_authd();
	close(authd_end);
	authd_end = -1;
	settle();
	return true;
}

static bool authd_comes(void)
{
	int fd[2];

	forget_authd();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	if (authd_end != -1)
		close(authd_end);
	authd_end = fd[1];
	new_authd(w, fd[0]);
	settle();
	return true;
}

/* --- spawn, the operator, time --- */

static bool spawn_says(void)
{
	static struct msgw m;
	bool yes = strcmp(here->arg[0], "yes") == 0, stream = here->nargs == 2;
	int fd = -1;

	if (!yes && strcmp(here->arg[0], "no") != 0)
		return wrong("spawn says yes or no");
	if (stream)
		fd = open_end(&peers[0].conn[peers[0].nconns++]);
	for (struct login *l = w->env.logins; yes && !stream && l != NULL; l = l->next)
		if (l->request == handoff && l->state == LOGIN_HANDOFF)
			sessions[l->reply->session].kept = true;
	handoff_reply_write(&m, handoff, yes);
	CU_ASSERT_EQUAL(msg_send(spawn_end, &m, fd), 0);
	if (fd != -1)
		close(fd);
	settle();
	return true;
}

static bool spawn_dies(void)
{
	listen_to_both();
	close(spawn_end);
	spawn_end = -1;
	settle();
	return true;
}

static bool spawn_comes(void)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	spawn_end = fd[1];
	on_channel(&w->ctx, ROLE_SPAWN, 0, w->spawn_generation + 1, fd[0]);
	settle();
	return true;
}

static bool operator_kicks(void)
{
	struct session_choice c;
	unsigned n;

	CU_ASSERT_FATAL(session_choice_read(&c, "kick", "kick", here->arg[0]));
	n = relays_kick(w->env.relays, &c) + kick_logins(w, &c);
	settle();
	return n == (unsigned)atoi(here->arg[1]) || wrong("%u sessions were kicked", n);
}

static bool operator_drains(void)
{
	on_drain(&w->ctx, true);
	settle();
	return true;
}

static bool operator_stops(void)
{
	on_stop(&w->ctx);
	settle();
	return true;
}

static bool time_passes(void)
{
	char *unit;
	double seconds = strtod(here->arg[0], &unit);

	if (strcmp(unit, "ms") == 0)
		seconds /= 1000;
	else if (strcmp(unit, "s") != 0)
		return wrong("a time is like 3s or 300ms");
	pass(seconds);
	return true;
}

/* In the units of the steps: SESSIONS, LOGINS. */
static bool there_are(void)
{
	unsigned relayed = relays_count(w->env.relays), want = (unsigned)atoi(here->arg[0]);

	if (strcmp(here->arg[1], "sessions") == 0)
		return relayed == want || wrong("there are %u sessions", relayed);
	if (strcmp(here->arg[1], "logins") == 0)
		return w->env.nlogins == want || wrong("there are %u logins", w->env.nlogins);
	return wrong("of what?");
}

static bool log_check(void)
{
	if (here->nargs == 1 && strcmp(here->arg[0], "nothing") == 0)
		return logged.len == 0 || wrong("got \"%s\"", shown(str_cstr(&logged)));
	return check_lines(&logged, "\n");
}

static bool given_protocol(void)
{
	if (strcmp(here->arg[0], "imap") != 0 && strcmp(here->arg[0], "pop3") != 0)
		return wrong("no such protocol");
	protocol = here->arg[0][0] == 'i' ? PROTOCOL_IMAP : PROTOCOL_POP3;
	return true;
}

/* The header for all peers. */
static bool given_header(void)
{
	struct settings *set = w->ctx.set;

	mem_free(&set->proxy_PROXY_PROTOCOL_SEND);
	set->proxy_PROXY_PROTOCOL_SEND = mem_printf("192.0.2.0/24=%s", here->arg[0]);
	return true;
}

/* --- the words of a file --- */

enum { ACTS = 1, NUMBERED = 2 }; /* ACTS: may happen at once with others */

static const struct verb {
	const char *actor, *verb;
	unsigned kind, min, max; /* arguments */
	bool (*run)(void);
} verbs[] = {
	{ "given", "protocol", 0, 1, 1, given_protocol },
	{ "given", "header", 0, 1, 1, given_header },
	{ "client", "connects", ACTS, 0, 0, client_connects },
	{ "client", "says", ACTS, 1, ARGS_MAX, say_lines },
	{ "client", "sends", ACTS, 1, 1, say_bytes },
	{ "client", "hears", 0, 1, ARGS_MAX, hears_lines },
	{ "client", "gets", 0, 1, 1, hears_bytes },
	{ "client", "shuts", ACTS, 0, 0, shuts },
	{ "client", "resets", ACTS, 0, 0, closes },
	{ "clients", "connected", 0, 1, 1, client_count },
	{ "clients", "end", 0, 0, 0, client_rest_end },
	{ "peer", "accepts", NUMBERED | ACTS, 0, 0, peer_accepts },
	{ "peer", "refuses", NUMBERED | ACTS, 0, 0, peer_refuses },
	{ "peer", "says", NUMBERED | ACTS, 1, ARGS_MAX, say_lines },
	{ "peer", "sends", NUMBERED | ACTS, 1, 1, say_bytes },
	{ "peer", "hears", NUMBERED, 1, ARGS_MAX, hears_lines },
	{ "peer", "gets", NUMBERED, 1, 1, hears_bytes },
	{ "peer", "header", NUMBERED, 1, 1, hears_header },
	{ "peer", "shuts", NUMBERED | ACTS, 0, 0, shuts },
	{ "peer", "closes", NUMBERED | ACTS, 0, 0, closes },
	{ "peer", "dies", NUMBERED | ACTS, 0, 0, peer_dies },
	{ "peer", "connections", NUMBERED, 1, 1, peer_count },
	{ "peers", "anything", 0, 0, 0, peers_anything },
	{ "authd", "hears", 0, 1, ARGS_MAX, authd_check },
	{ "authd", "says", ACTS, 1, ARGS_MAX, authd_says },
	{ "authd", "dies", ACTS, 0, 0, authd_dies },
	{ "authd", "comes", ACTS, 0, 0, authd_comes },
	{ "spawn", "hears", 0, 1, ARGS_MAX, spawn_check },
	{ "spawn", "says", ACTS, 1, 2, spawn_says },
	{ "spawn", "dies", ACTS, 0, 0, spawn_dies },
	{ "spawn", "comes", ACTS, 0, 0, spawn_comes },
	{ "operator", "kicks", ACTS, 2, 2, operator_kicks },
	{ "operator", "drains", ACTS, 0, 0, operator_drains },
	{ "operator", "stops", ACTS, 0, 0, operator_stops },
	{ "time", "passes", 0, 1, 1, time_passes },
	{ "there", "are", 0, 2, 2, there_are },
	{ "log", "says", 0, 1, ARGS_MAX, log_check },
};

static struct end *side(void)
{
	return here->verb->actor[0] == 'c' ? client() : peer();
}

/* The next word of *P, or text in quotes with escapes, into a new string; NULL: there is none, or *P is at a text
 * without its end. */
static char *take_word(const char **p)
{
	struct str s = STR_INIT;
	const char *begin;
	bool quoted;

	*p += strspn(*p, " \t");
	if (**p == '\0' || **p == '#')
		return NULL;
	begin = *p;
	quoted = **p == '"';
	*p += quoted;
	for (; **p != '\0' && (quoted ? **p != '"' : **p != ' ' && **p != '\t'); ++*p) {
		char c = **p;

		if (quoted && c == '\\') {
			c = *++*p;
			c = c == 'r' ? '\r' : c == 'n' ? '\n' : c == 't' ? '\t' : c;
		}
		if (c == '\0')
			break;
		str_addc(&s, c);
	}
	if (quoted && **p == '\0') {
		str_fini(&s);
		*p = begin;
		return NULL;
	}
	*p += quoted;
	str_cstr(&s);
	return str_steal(&s);
}

static const struct verb *find_verb(const char *actor, const char *verb)
{
	for (size_t i = 0; i < ARRAY_LEN(verbs); i++)
		if (strcmp(verbs[i].actor, actor) == 0 && strcmp(verbs[i].verb, verb) == 0)
			return &verbs[i];
	return NULL;
}

/* The words of a step: WORD, [NUMBER], WORD, arguments. */
static bool read_step(struct scenario *s, struct step *t, char **word, unsigned n, const char *rest)
{
	unsigned at = 1;

	t->number = ~0U;
	if (n > 1 && word[1][0] >= '0' && word[1][0] <= '9' && strcmp(word[0], "time") != 0)
		t->number = (unsigned)atoi(word[at++]);
	if (rest[strspn(rest, " \t")] != '\0' && rest[strspn(rest, " \t")] != '#')
		return wrong_at(s, t->line, "a text without its end, or too many");
	if (at >= n || (t->verb = find_verb(word[0], word[at])) == NULL)
		return wrong_at(s, t->line, "no such step: %s %s", word[0], at < n ? word[at] : "");
	at++;
	if ((t->verb->kind & NUMBERED) != 0 && (t->number == ~0U || t->number >= PEERS_MAX))
		return wrong_at(s, t->line, "which %s?", word[0]);
	if (n - at < t->verb->min || n - at > t->verb->max)
		return wrong_at(s, t->line, "%s %s takes %u to %u words", t->verb->actor, t->verb->verb, t->verb->min,
		    t->verb->max);
	for (; at < n; at++) {
		t->arg[t->nargs++] = word[at];
		word[at] = NULL;
	}
	return true;
}

static bool read_line(struct scenario *s, const char *text, unsigned line, unsigned *group)
{
	char *word[ARGS_MAX + 3];
	unsigned n = 0;
	bool ok = true;

	while (n < ARRAY_LEN(word) && (word[n] = take_word(&text)) != NULL)
		n++;
	if (n == 0)
		ok = *text == '\0' || *text == '#' || wrong_at(s, line, "a text without its end");
	else if (n == 2 && strcmp(word[0], "at") == 0 && strcmp(word[1], "once") == 0)
		*group = ++s->ngroups;
	else if (n == 1 && strcmp(word[0], "then") == 0)
		*group = 0;
	else {
		struct step *t;

		s->step = mem_grow(s->step, (s->nsteps + 1) * sizeof(*s->step));
		t = &s->step[s->nsteps++];
		memset(t, 0, sizeof(*t));
		t->line = line;
		t->group = *group;
		ok = read_step(s, t, word, n, text);
		if (ok && *group != 0 && (t->verb->kind & ACTS) == 0)
			ok =
			    wrong_at(s, line, "%s %s cannot happen at once with others", t->verb->actor, t->verb->verb);
	}
	while (n > 0) {
		n--;
		mem_free(&word[n]);
	}
	return ok;
}

static bool scenario_read(struct scenario *s, const char *text)
{
	unsigned line = 0, group = 0;
	bool ok = true;

	while (ok && *text != '\0') {
		size_t len = strcspn(text, "\n");
		char *copy = mem_memdup(text, len + 1);

		copy[len] = '\0';
		ok = read_line(s, copy, ++line, &group);
		mem_free(&copy);
		text += len + (text[len] == '\n');
	}
	if (ok && group != 0)
		ok = wrong_at(s, line, "\"at once\" without \"then\"");
	return ok;
}

static void scenario_free(struct scenario *s)
{
	for (unsigned i = 0; i < s->nsteps; i++)
		for (unsigned k = 0; k < s->step[i].nargs; k++)
			mem_free(&s->step[i].arg[k]);
	mem_free(&s->step);
}

/* --- to run it --- */

static const struct login_dialect *const dialects[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = &imap_login_dialect,
	[PROTOCOL_POP3] = &pop3_login_dialect,
};
static unsigned descriptors_before;

static void start_worker(void)
{
	memset(clients, 0, sizeof(clients));
	memset(peers, 0, sizeof(peers));
	memset(sessions, 0, sizeof(sessions));
	nclients = nsessions = open_questions = 0;
	question = handoff = 0;
	protocol = PROTOCOL_IMAP;
	now = (unsigned)now + 1000; /* time never goes back */
	seed = 1;
	ev_run(loop_new(), EVRUN_NOWAIT); /* has its own descriptors from now on */
	descriptors_before = descriptors_now();
	rig_new(dialects);
	ev_timer_start(w->ctx.loop, &w->sweep);
	started = true;
}

/* Nobody has heard what the scenario did not expect. */
static bool check_rest(void)
{
	listen_to_both();
	for (unsigned i = 0; i < nclients; i++) {
		hear(&clients[i]);
		if (clients[i].heard.len != 0 || clients[i].ended)
			return wrong("at the end client %u has heard \"%s\"%s", i + 1,
			    shown(str_cstr(&clients[i].heard)), clients[i].ended ? ", and its end" : "");
	}
	for (unsigned i = 0; i < PEERS_MAX; i++)
		for (unsigned k = 0; k < peers[i].nconns; k++) {
			hear(&peers[i].conn[k]);
			if (peers[i].conn[k].heard.len != 0 || peers[i].conn[k].ended)
				return wrong("at the end peer %u has heard \"%s\"%s", i,
				    shown(str_cstr(&peers[i].conn[k].heard)),
				    peers[i].conn[k].ended ? ", and its end" : "");
		}
	if (authd_heard.len != 0 || spawn_heard.len != 0)
		return wrong("at the end authd has heard \"%s\", spawn \"%s\"", str_cstr(&authd_heard),
		    str_cstr(&spawn_heard));
	return logged.len == 0 || wrong("at the end the log says \"%s\"", shown(str_cstr(&logged)));
}

static void fini_end(struct end *e)
{
	close_end(e);
	str_fini(&e->heard);
}

static void hang_up_all(void)
{
	for (unsigned i = 0; i < nclients; i++)
		fini_end(&clients[i]);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		for (unsigned k = 0; k < peers[i].nconns; k++)
			fini_end(&peers[i].conn[k]);
}

/* With everybody gone nothing of the logins and sessions is left, and authd has heard of each one's end once. */
static bool check_nothing_left(void)
{
	bool ok = true;

	hang_up_all();
	turns();
	pass(40); /* more than AUTHD_PATIENCE and PROXY_DISCONNECT_SPREAD */
	listen_to_both();
	if (w->env.logins != NULL || w->env.nlogins != 0)
		ok = wrong("a login is left after the end");
	if (relays_count(w->env.relays) != 0 || relays_count_staying(w->env.relays) != 0)
		ok = wrong("a session is left after the end");
	for (unsigned i = 1; i <= nsessions; i++)
		if (sessions[i].ends > 1 || (authd_end != -1 && !sessions[i].kept && sessions[i].ends == 0))
			ok = wrong("authd has heard %u times of the end of session %u", sessions[i].ends, i);
	if (authd_end != -1 && open_questions != 0)
		ok = wrong("authd still thinks of %u questions", open_questions);
	return ok;
}

static void stop_worker(void)
{
	rig_stop();
	authd_end = spawn_end = -1;
	rig_free();
	if (ntimers != 0)
		wrong("%u timers are left after the end", ntimers);
	if (descriptors_now() != descriptors_before)
		wrong("%u descriptors before, %u after the end", descriptors_before, descriptors_now());
	str_fini(&authd_heard);
	str_fini(&spawn_heard);
	str_fini(&logged);
	started = false;
}

/* How many orders N things can have. */
static unsigned orders_of(unsigned n)
{
	return n < 2 ? 1 : n * orders_of(n - 1);
}

static unsigned group_size(const struct scenario *s, unsigned from)
{
	unsigned n = 0;

	while (from + n < s->nsteps && s->step[from + n].group == s->step[from].group)
		n++;
	return n;
}

static bool run_step(const struct step *t)
{
	here = t;
	return t->verb->run();
}

/* The N steps from FROM, in order number ORDER, between two turns of the loop. */
static bool run_at_once(const struct scenario *s, unsigned from, unsigned n, unsigned order)
{
	unsigned left[8];
	bool ok = true;

	for (unsigned i = 0; i < n; i++)
		left[i] = from + i;
	holding = true;
	for (unsigned i = n; ok && i > 0; i--) {
		unsigned k = order % i;

		order /= i;
		ok = run_step(&s->step[left[k]]);
		memmove(&left[k], &left[k + 1], (i - 1 - k) * sizeof(left[0]));
	}
	holding = false;
	settle();
	return ok;
}

/* ORDER: a number for all orders of what happens at once. */
static bool run_once(const struct scenario *s, unsigned order)
{
	bool ok = true;

	scenario = s;
	here = &s->step[0];
	start_worker();
	for (unsigned i = 0, n; ok && i < s->nsteps; i += n) {
		n = s->step[i].group != 0 ? group_size(s, i) : 1;
		if (n == 1) {
			ok = run_step(&s->step[i]);
		} else {
			ok = run_at_once(s, i, n, order % orders_of(n));
			order /= orders_of(n);
		}
	}
	ok = ok && check_rest();
	if (ok)
		check_nothing_left();
	else
		hang_up_all();
	turns();
	stop_worker();
	return mistake[0] == '\0';
}

static unsigned count_orders(const struct scenario *s)
{
	unsigned all = 1;

	for (unsigned i = 0, n; i < s->nsteps; i += n) {
		n = s->step[i].group != 0 ? group_size(s, i) : 1;
		all *= orders_of(n);
	}
	return all;
}

/* NULL: all went as the TEXT of scenario NAME says, in all orders. Else the first mistake. */
static const char *run_scenario(const char *name, const char *text)
{
	struct scenario s = { .name = name };
	unsigned orders;

	mistake[0] = '\0';
	if (scenario_read(&s, text)) {
		orders = count_orders(&s);
		if (s.nsteps == 0)
			wrong_at(&s, 1, "it has no steps");
		else if (orders > ORDERS_MAX)
			wrong_at(&s, 1, "too much happens at once: %u orders", orders);
		for (unsigned i = 0; mistake[0] == '\0' && i < orders; i++)
			if (!run_once(&s, i) && orders > 1) {
				size_t len = strlen(mistake);

				snprintf(mistake + len, sizeof(mistake) - len, " (order %u of %u)", i + 1, orders);
			}
	}
	scenario_free(&s);
	return mistake[0] != '\0' ? mistake : NULL;
}

/* --- the tests --- */

static char *file_text(const char *path)
{
	struct str s = STR_INIT;
	char buf[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	CU_ASSERT_PTR_NOT_NULL_FATAL(f);
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		str_add(&s, buf, n);
	fclose(f);
	str_cstr(&s);
	return str_steal(&s);
}

static void test_files(void)
{
	const char *dir = getenv("srcdir"), *only = getenv("SCENARIO");
	char pattern[512];
	glob_t g;

	snprintf(pattern, sizeof(pattern), "%s/tests/unit/scenarios/%s.txt", dir != NULL ? dir : ".",
	    only != NULL ? only : "*");
	CU_ASSERT_EQUAL_FATAL(glob(pattern, 0, NULL, &g), 0);
	for (size_t i = 0; i < g.gl_pathc; i++) {
		char *text = file_text(g.gl_pathv[i]);
		const char *what = run_scenario(g.gl_pathv[i], text);

		CU_ASSERT_PTR_NULL(what);
		if (what != NULL)
			printf("\n%s\n", what);
		mem_free(&text);
	}
	globfree(&g);
}

#define TO_AUTH "client connects\nclient hears \"* OK ... ready.\"\nclient says \"a LOGIN u p\"\nauthd hears REQUEST\n"

/* A mistake in a file, or in the product, is found, and its line is told. */
static void test_mistakes(void)
{
	static const struct {
		const char *text, *want;
	} t[] = {
		{ "", "x:1: it has no steps" },
		{ "# nothing\n\n", "x:1: it has no steps" },
		{ "client dances\n", "x:1: no such step: client dances" },
		{ "\nclient\n", "x:2: no such step: client " },
		{ "client says \"a\n", "x:1: a text without its end, or too many" },
		{ "client connects here\n", "x:1: client connects takes 0 to 0 words" },
		{ "peer says \"x\"\n", "x:1: which peer?" },
		{ "peer 99 refuses\n", "x:1: which peer?" },
		{ "client connects\nat once\n client hears nothing\nthen\n",
		    "x:3: client hears cannot happen at once with others" },
		{ "at once\nclient connects\n", "x:2: \"at once\" without \"then\"" },
		{ "client says \"a\"\n", "x:1: there is no such connection" },
		{ "client connects\nclient hears \"+OK...\"\n", "x:2: got \"* OK [CAPABILITY" },
		{ "client connects\n", "x:1: at the end client 1 has heard \"* OK" },
		{ "client connects\nclient hears \"* OK ... ready.\"\nclient hears end\n",
		    "x:3: the connection has not ended" },
		{ TO_AUTH, NULL },
		{ TO_AUTH "client resets\n", "x:5: at the end authd has heard \"CANCEL\"" },
		{ TO_AUTH "authd says MAYBE\n", "x:5: no such verdict: MAYBE" },
		{ TO_AUTH "authd says OK there\n", "x:5: no such word of an answer: there" },
		{ TO_AUTH "authd says OK 1\npeer 1 hears \"x\"\n", "x:6: got \"\", not \"x\\r\\n\"" },
		{ TO_AUTH "time passes 3\n", "x:5: a time is like 3s or 300ms" },
		{ TO_AUTH "there are 2 logins\n", "x:5: there are 1 logins" },
		{ TO_AUTH "at once\nclient resets\nauthd says WRONG\nthen\nauthd hears CANCEL\n",
		    "x:9: got \"\", not \"CANCEL\" (order 1 of 2)" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *got = run_scenario("x", t[i].text);
		bool is = got == NULL || t[i].want == NULL ? got == t[i].want :
		                                             strncmp(got, t[i].want, strlen(t[i].want)) == 0;

		CU_ASSERT(is);
		if (!is)
			printf("\n got:  %s\n want: %s\n", got != NULL ? got : "-",
			    t[i].want != NULL ? t[i].want : "-");
	}
}

static const struct unit_case cases[] = { { "mistakes are told with their line", test_mistakes },
	{ "the files", test_files }, { NULL, NULL } };

UNIT_MAIN("scenarios", cases)
