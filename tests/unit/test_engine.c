/* The engine of a login in its worker: every event in every state. The dialect is the test's own, one word per line;
 * the test plays client, authd, spawn and peer, and sets the clock. An event that the table (engine_table.h) does not
 * list for a state must change nothing there, and send nothing. */
#include "tests/unit/fake_time.h"

#include <errno.h>
#include <stdarg.h>

#include "lib/tls_ctx.h"
#include "tests/unit/login_stubs.h"

/* --- the log --- */

static struct str logged;
static char last_line[LOG_LINE_MAX]; /* the last line about a login, whole */

void __wrap_log_as(const char *program, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
void __wrap_log_text(const char *program, enum log_level level, const char *text, size_t len);
void __wrap_log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void __wrap_log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);

static void note(const char *text, size_t len)
{
	str_adds(&logged, logged.len == 0 ? "" : "+");
	str_add(&logged, text, len);
}

/* Notes a line about a login: its first words, and its reason. */
static void note_line(enum log_level level, const char *text)
{
	const char *reason = strstr(text, ", reason=");

	if (level == LOG_LEVEL_DEBUG)
		return;
	str_copy(last_line, sizeof(last_line), text);
	note(text, strcspn(text, ","));
	if (reason != NULL)
		str_addf(&logged, ":%.*s", 24, reason + strlen(", reason="));
}

void __wrap_log_as(const char *program, enum log_level level, const char *fmt, ...)
{
	char line[LOG_LINE_MAX];
	va_list ap;

	CU_ASSERT_STRING_EQUAL(program, "imapd");
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	note_line(level, line);
}

void __wrap_log_text(const char *program UNUSED, enum log_level level, const char *text, size_t len UNUSED)
{
	note_line(level, text);
}

/* Drops what the worker logs about authd and spawn. */
void __wrap_log_warn(const char *fmt UNUSED, ...) { }
void __wrap_log_error(const char *fmt UNUSED, ...) { }

/* --- the dialect --- */

static bool greeting_challenges;
static unsigned decisions, answers; /* that were asked for, and told */

struct toy {
	bool exchange;
};

static bool toy_greeting_mech(const struct login *l UNUSED, enum auth_mech *mech)
{
	*mech = AUTH_MECH_APOP;
	return greeting_challenges;
}

static void toy_greet(struct login *l, const char *challenge)
{
	str_addf(&l->out, "hello%s%s\n", challenge != NULL ? "-" : "", challenge != NULL ? challenge : "");
}

static void toy_challenge(struct login *l, const char *text)
{
	((struct toy *)l->data)->exchange = true;
	answers++;
	str_addf(&l->out, "challenge-%s\n", text);
}

static enum login_event credentials(struct toy *t, bool exchange)
{
	t->exchange = exchange;
	decisions++;
	return LOGIN_EVENT_CREDENTIALS;
}

/* The client's response to a challenge. */
static enum login_event exchanged(struct login *l, struct toy *t, const char *text, size_t len)
{
	t->exchange = false;
	if (len == 0 || text[0] == '*') {
		str_adds(&l->out, "aborted\n");
		return LOGIN_EVENT_BAD;
	}
	if (auth_mech_exchange(l->mech) == AUTH_EXCHANGE_STEPS) {
		CU_ASSERT(credentials_set_step(l, text, len));
		return credentials(t, true);
	}
	credentials_set_proof(l, l->mech, "u", 1, text, len);
	return credentials(t, false);
}

static enum login_event toy_input(struct login *l, const char *p, size_t len, size_t *used)
{
	struct toy *t = l->data;
	const char *lf = memchr(p, '\n', len);
	char word[32];

	if (lf == NULL)
		return LOGIN_EVENT_MORE;
	*used = (size_t)(lf - p) + 1;
	CU_ASSERT_FATAL(*used <= sizeof(word));
	memcpy(word, p, *used - 1);
	word[*used - 1] = '\0';
	if (t->exchange)
		return exchanged(l, t, word, strlen(word));
	if (strcmp(word, "login") == 0) {
		credentials_set(l, "u", 1, "p", 1, "LOGIN");
		return credentials(t, false);
	}
	if (strcmp(word, "apop") == 0) {
		credentials_set_proof(l, AUTH_MECH_APOP, "u", 1, "digest", 6);
		return credentials(t, false);
	}
	if (strcmp(word, "scram") == 0) {
		credentials_set_proof(l, AUTH_MECH_SCRAM_SHA_1, "u", 1, "first", 5);
		return credentials(t, true);
	}
	if (strcmp(word, "cram") == 0) {
		l->mech = AUTH_MECH_CRAM_MD5;
		l->method = "CRAM-MD5";
		decisions++;
		return LOGIN_EVENT_CHALLENGE;
	}
	if (strcmp(word, "quit") == 0) {
		str_adds(&l->out, "goodbye\n");
		return LOGIN_EVENT_QUIT;
	}
	if (strcmp(word, "fatal") == 0)
		return LOGIN_EVENT_FATAL;
	if (strcmp(word, "http") == 0)
		return LOGIN_EVENT_HTTP;
	if (strcmp(word, "starttls") == 0) {
		str_adds(&l->out, "begin\n");
		return LOGIN_EVENT_TLS;
	}
	if (strcmp(word, "insecure") == 0) {
		str_adds(&l->out, "tls!\n");
		return LOGIN_EVENT_INSECURE;
	}
	str_addf(&l->out, "%s\n", strcmp(word, "noop") == 0 ? "ok" : "what?");
	return strcmp(word, "noop") == 0 ? LOGIN_EVENT_NEXT : LOGIN_EVENT_BAD;
}

/* The verdict of a failure, for the tables. */
static enum auth_verdict verdict_of(enum login_failure f)
{
	for (enum auth_verdict v = AUTH_VERDICT_WRONG; v < AUTH_VERDICT_COUNT; v++)
		if (failure_of_verdict(v) == f)
			return v;
	return f == FAILURE_SELF                             ? AUTH_VERDICT_LOOP :
	    f == FAILURE_NO_MASTER || f == FAILURE_NEEDS_TLS ? AUTH_VERDICT_CANNOT :
	                                                       AUTH_VERDICT_UNAVAILABLE;
}

static void toy_refuse(struct login *l, enum login_failure f)
{
	static const char *const words[] = {
#define X(name, word, count) #name,
		AUTH_VERDICTS(X)
#undef X
	};

	((struct toy *)l->data)->exchange = false;
	answers++;
	str_addf(&l->out, "no-%s%s\n", words[verdict_of(f)], l->peer.code != NULL ? l->peer.code : "");
}

static void toy_bye(struct login *l, enum login_bye why)
{
	static const char *const words[] = { "TIMEOUT", "ERRORS", "TOO_LONG", "DRAIN", "SHUTDOWN", "FULL" };

	str_addf(&l->out, "bye-%s\n", words[why]);
}

static void toy_context(struct login *l UNUSED, struct str *to)
{
	str_adds(to, "context");
}

static void toy_accepted(struct login *l)
{
	answers++;
	str_adds(&l->out, "yes\n");
}

static enum backend_step toy_peer_line(const char *line, size_t len UNUSED, struct str *to, uint64_t *skip UNUSED,
    void *arg)
{
	static const struct {
		const char *line;
		enum login_failure failure;
	} lines[] = {
		{ "self", FAILURE_SELF },
		{ "tls", FAILURE_NEEDS_TLS },
		{ "noway", FAILURE_NO_MASTER },
		{ "unfit", FAILURE_CONTROL_CHARS },
		{ "no", FAILURE_REFUSED },
		{ "later", FAILURE_TEMPORARY },
		{ "nonsense", FAILURE_INVALID },
	};
	struct login *l = arg;

	if (strcmp(line, "hi") == 0) {
		str_adds(to, "login\n");
		return BACKEND_STEP_MORE;
	}
	if (strcmp(line, "later") == 0)
		l->peer.code = "-code";
	for (size_t i = 0; i < ARRAY_LEN(lines); i++)
		if (strcmp(line, lines[i].line) == 0)
			return peer_login_fail(l, lines[i].failure, line);
	return BACKEND_STEP_OK;
}

static const struct login_dialect toy = {
	.protocol = PROTOCOL_IMAP,
	.data_size = sizeof(struct toy),
	.greeting_mech = toy_greeting_mech,
	.greet = toy_greet,
	.challenge = toy_challenge,
	.input = toy_input,
	.refuse = toy_refuse,
	.bye = toy_bye,
	.context = toy_context,
	.peer_line = toy_peer_line,
	.accepted = toy_accepted,
};
static const struct login_dialect *const toys[PROTOCOL_COUNT] = { [PROTOCOL_IMAP] = &toy, [PROTOCOL_POP3] = &toy };

/* --- the peer --- */

static int peer_end = -1;
static bool peer_refuses, peer_ended /* it was seen that we have closed */;

int __wrap_net_connect(const struct net_addr *addr);

int __wrap_net_connect(const struct net_addr *addr UNUSED)
{
	int fd[2];

	if (peer_refuses) {
		errno = ECONNREFUSED;
		return -1;
	}
	if (peer_end != -1)
		close(peer_end);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	peer_end = fd[1];
	peer_ended = false;
	return fd[0];
}

/* --- the client --- */

static int client_end = -1;
static bool client_ended;

static void say(const char *text)
{
	if (client_end != -1)
		CU_ASSERT(
		    send(client_end, text, strlen(text), MSG_NOSIGNAL) > 0 || errno == EPIPE || errno == ECONNRESET);
	turns();
}

static void hang_up(int *fd)
{
	if (*fd != -1)
		close(*fd);
	*fd = -1;
	turns();
}

/* --- authd and spawn --- */

enum { QUESTIONS = 16, SESSIONS = 16 };
static uint32_t open_questions[QUESTIONS]; /* that authd thinks of, or keeps a challenge of; 0: none */
static unsigned session_ends[SESSIONS];    /* by number: how often it was told that it is over */
static bool session_given[SESSIONS],
    session_kept[SESSIONS]; /* a verdict had it; it is a server's, or was the lost authd's */
static unsigned nsessions;
static uint32_t last_question, kept_question, last_cancel, last_handoff;
static struct str authd_heard, spawn_heard;

static void hear(struct str *where, const char *what)
{
	if (where->len != 0)
		str_addc(where, '+');
	str_adds(where, what);
}

static void open_question(uint32_t q)
{
	for (unsigned i = 0; i < QUESTIONS; i++)
		if (open_questions[i] == q || open_questions[i] == 0) {
			open_questions[i] = q;
			last_question = q;
			return;
		}
	CU_FAIL("too many questions");
}

/* True: it was open. */
static bool end_question(uint32_t q)
{
	for (unsigned i = 0; i < QUESTIONS; i++)
		if (q != 0 && open_questions[i] == q) {
			open_questions[i] = 0;
			return true;
		}
	return false;
}

static void authd_hears(struct msgr *r)
{
	static struct auth_request q;
	uint64_t session;

	switch (r->type) {
	case AUTH_REQUEST:
		CU_ASSERT(auth_request_read(r, &q));
		hear(&authd_heard, "REQUEST");
		open_question(q.request);
		break;
	case AUTH_CHALLENGE_WANTED:
		hear(&authd_heard, "BEGIN");
		open_question(msgr_u32(r));
		break;
	case AUTH_RESPONSE:
		hear(&authd_heard, "STEP");
		q.request = msgr_u32(r);
		CU_ASSERT(end_question(q.request)); /* only an exchange that there is can go on */
		open_question(q.request);
		kept_question = 0;
		break;
	case AUTH_CANCEL:
		hear(&authd_heard, "CANCEL");
		q.request = msgr_u32(r);
		CU_ASSERT_NOT_EQUAL(q.request, last_cancel);
		last_cancel = q.request;
		end_question(q.request); /* perhaps its answer was on the way */
		break;
	case SESSION_END:
		hear(&authd_heard, "END");
		session = msgr_u64(r);
		CU_ASSERT_FATAL(session < SESSIONS && session_given[session]);
		session_ends[session]++;
		break;
	default:
		hear(&authd_heard,
		    r->type == SESSION_ARRIVED    ? "ARRIVED" :
		        r->type == SESSION_HAVE   ? "HAVE" :
		        r->type == PEER_RESULT    ? "RESULT" :
		        r->type == PEER_TROUBLE   ? (msgr_u8(r) == PEER_TROUBLE_SELF ? "SELF" : "TLS") :
		        r->type == PEER_SIGNATURE ? "SIGNATURE" :
		                                    "?");
		break;
	}
}

static void spawn_hears(struct msgr *r)
{
	hear(&spawn_heard, r->type == HANDOFF ? "HANDOFF" : "?");
	last_handoff = msgr_u32(r);
}

static void listen_to_both(void)
{
	listen_to(authd_end, authd_hears);
	listen_to(spawn_end, spawn_hears);
}

static void from_authd_with(struct msgw *m, int fd)
{
	if (authd_end != -1)
		CU_ASSERT_EQUAL(msg_send(authd_end, m, fd), 0);
	turns();
}

static void from_authd(struct msgw *m)
{
	from_authd_with(m, -1);
}

enum where { NOWHERE, HERE, THERE, THERE_OR_HERE, AT_SOCKET };

/* The answer to what was asked last; or a second one, if it has had its answer. */
static bool several; /* the account has several mailhosts */

static void add_hosts(struct auth_reply *a)
{
	static const char *const hosts[] = { "there", "other" };

	for (unsigned i = 0; i < 2; i++) {
		struct auth_target *t = &a->target[a->ntargets++];

		str_copy(t->host, sizeof(t->host), hosts[i]);
		CU_ASSERT_FATAL(net_addr_parse(&t->addr, i == 0 ? "192.0.2.2" : "192.0.2.3", i == 0 ? 143 : 993));
	}
	str_copy(a->reason, sizeof(a->reason), "mailhost gone has no address");
}

/* A connection to the local server, as authd passes it; the test is the server, unless it is a peer already. */
static int local_stream(void)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	if (peer_end != -1) {
		close(fd[1]);
	} else {
		peer_end = fd[1];
		peer_ended = false;
	}
	return fd[0];
}

static void answer_with(enum auth_verdict v, enum where where, bool stream)
{
	static struct msgw m;
	int fd = stream ? local_stream() : -1;
	struct auth_reply *a = auth_reply_new();

	memset(a, 0, sizeof(*a));
	a->request = last_question;
	a->verdict = v;
	a->delay_ms = 1000;
	if (where != NOWHERE) {
		CU_ASSERT_FATAL(++nsessions < SESSIONS);
		a->session = nsessions;
		session_given[nsessions] = true;
		str_copy(a->session_id, sizeof(a->session_id), "sid");
		str_copy(a->name, sizeof(a->name), "u");
	}
	if (where == HERE)
		a->local = true;
	if (where == THERE || where == THERE_OR_HERE) {
		a->peer_ms = 20000;
		a->ntargets = 1;
		str_copy(a->target[0].host, sizeof(a->target[0].host), "there");
		CU_ASSERT_FATAL(net_addr_parse(&a->target[0].addr, "192.0.2.1", 143));
	}
	if (where == AT_SOCKET) {
		a->peer_ms = 20000;
		a->ntargets = 1;
		a->local_server = true;
		str_copy(a->target[0].host, sizeof(a->target[0].host), LOCAL_SERVER_HOST);
	}
	if (several)
		add_hosts(a);
	if (where == THERE_OR_HERE)
		a->other_hosts = AUTH_OTHER_HOSTS_SELF;
	if (where == THERE_OR_HERE && w->env.logins != NULL && w->env.logins->state == LOGIN_AUTH &&
	    !auth_mech_tells_password(w->env.logins->mech) && exchange_allows(w->env.logins, v))
		kept_question = last_question; /* that exchange can be asked again */
	if (last_question != kept_question)
		end_question(last_question);
	auth_reply_write(&m, a);
	auth_reply_free(&a);
	from_authd_with(&m, fd);
	if (fd != -1)
		close(fd);
	turns();
}

static void answer(enum auth_verdict v, enum where where)
{
	answer_with(v, where, false);
}

static void challenge(void)
{
	static struct msgw m;

	auth_text_write(&m, AUTH_CHALLENGE, last_question, "c");
	from_authd(&m);
}

static void garbled(void)
{
	static struct msgw m;

	if (last_question != kept_question)
		end_question(last_question);
	msgw_begin(&m, AUTH_REPLY);
	msgw_u32(&m, last_question);
	msgw_u8(&m, 99);
	from_authd(&m);
}

/* What authd knew is lost with it. */
static void forget_authd(void)
{
	listen_to_both();
	memset(open_questions, 0, sizeof(open_questions));
	for (unsigned i = 0; i < SESSIONS; i++)
		session_kept[i] = session_given[i];
}

static void authd_lost(void)
{
	forget_authd();
	hang_up(&authd_end);
}

static void authd_new(void)
{
	int fd[2];

	forget_authd();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	if (authd_end != -1)
		close(authd_end);
	authd_end = fd[1];
	new_authd(w, fd[0]);
	turns();
}

static void handed(bool ok)
{
	static struct msgw m;

	if (spawn_end == -1)
		return;
	if (ok && w->env.logins != NULL && w->env.logins->state == LOGIN_HANDOFF &&
	    last_handoff == w->env.logins->request)
		session_kept[w->env.logins->reply->session] = true;
	handoff_reply_write(&m, last_handoff, ok);
	CU_ASSERT_EQUAL(msg_send(spawn_end, &m, -1), 0);
	turns();
}

static void spawn_new(void)
{
	int fd[2];

	listen_to_both();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	if (spawn_end != -1)
		close(spawn_end);
	spawn_end = fd[1];
	on_channel(&w->ctx, ROLE_SPAWN, 0, w->spawn_generation + 1, fd[0]);
	turns();
}

/* --- events --- */

/* One step a line. */
/* clang-format off */
static void partial(void) { say("lo"); }
static void noop(void) { say("noop\n"); }
static void bad(void) { say("nonsense\n"); }
static void login(void) { say("login\n"); }
static void login_noop(void) { say("login\nnoop\n"); }
static void apop(void) { say("apop\n"); }
static void cram(void) { say("cram\n"); }
static void scram(void) { say("scram\n"); }
static void client_aborts(void) { say("*\n"); }
static void quit(void) { say("quit\nnoop\n"); }
static void fatal(void) { say("fatal\n"); }
static void http(void) { say("http\nnoop\n"); }
static void insecure(void) { say("insecure\n"); }
static void starttls(void) { say("starttls\n"); }
static void starttls_noop(void) { say("starttls\nnoop\n"); }
static void client_shuts(void) { shutdown(client_end, SHUT_WR); turns(); }
static void client_resets(void) { hang_up(&client_end); }
static void here(void) { answer(AUTH_VERDICT_OK, HERE); }
static void there(void) { answer(AUTH_VERDICT_OK, THERE); }
static void at_socket(void) { answer_with(AUTH_VERDICT_OK, AT_SOCKET, true); }
static void at_socket_lost(void) { answer(AUTH_VERDICT_OK, AT_SOCKET); }
static void here_and_stream(void) { answer_with(AUTH_VERDICT_OK, HERE, true); }
static void there_or_here(void) { answer(AUTH_VERDICT_OK, THERE_OR_HERE); }
static void there_refused(void) { peer_refuses = true; there(); pass(0.01); peer_refuses = false; }
static void there_refused_or_here(void) { peer_refuses = true; there_or_here(); pass(0.01); peer_refuses = false; }
static void wrong(void) { answer(AUTH_VERDICT_WRONG, NOWHERE); }
static void disabled(void) { answer(AUTH_VERDICT_DISABLED, NOWHERE); }
static void unavailable(void) { answer(AUTH_VERDICT_UNAVAILABLE, NOWHERE); }
static void limit(void) { answer(AUTH_VERDICT_LIMIT, NOWHERE); }
static void loop(void) { answer(AUTH_VERDICT_LOOP, NOWHERE); }
static void cannot(void) { answer(AUTH_VERDICT_CANNOT, NOWHERE); }
static void authzid(void) { answer(AUTH_VERDICT_AUTHZID, NOWHERE); }
static void started(void) { handed(true); }
static void not_started(void) { handed(false); }
static void spawn_lost(void) { listen_to_both(); hang_up(&spawn_end); }
/* clang-format on */
static void peer_says(const char *text)
{
	if (peer_end != -1)
		CU_ASSERT(send(peer_end, text, strlen(text), MSG_NOSIGNAL) > 0 || errno == EPIPE);
	turns();
}
/* One step a line. */
/* clang-format off */
static void peer_greets(void) { peer_says("hi\n"); }
static void peer_half(void) { peer_says("h"); }
static void peer_yes(void) { peer_says("yes\n"); }
static void peer_no(void) { peer_says("no\n"); }
static void peer_later(void) { peer_says("later\n"); }
static void peer_nonsense(void) { peer_says("nonsense\n"); }
static void peer_self(void) { peer_says("self\n"); }
static void peer_tls(void) { peer_says("tls\n"); }
static void peer_no_way(void) { peer_says("noway\n"); }
static void peer_unfit(void) { peer_says("unfit\n"); }
static void peer_lost(void) { hang_up(&peer_end); }
static void a_while(void) { pass(3); }        /* more than RETRY_MS, LINGER_MS and the delay */
static void long_while(void) { pass(30); }    /* more than AUTHD_PATIENCE and the time for peers */
/* clang-format on */
static void deadline(void)
{
	if (w->env.logins != NULL)
		w->env.logins->started -= (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT;
	on_sweep(w->ctx.loop, &w->sweep, EV_TIMER);
	turns();
}

static void drain(void)
{
	w->env.draining = true;
	turns();
}

static void stop(void)
{
	if (w->env.logins != NULL)
		login_end(w->env.logins, LOGIN_BYE_SHUTDOWN);
	turns();
}

static void yields(void)
{
	if (w->env.logins != NULL && w->env.logins->stranger.prefix != NULL)
		login_yield(w->env.logins);
	turns();
}

/* clang-format off */
#define EVENT(name) { #name, name, false }
#define LOSS(name) { #name, name, true }
/* clang-format on */
static const struct event {
	const char *name;
	void (*run)(void);
	bool loss;
} events[] = { EVENT(partial), EVENT(noop), EVENT(bad), EVENT(login), EVENT(login_noop), EVENT(apop), EVENT(cram),
	EVENT(scram), EVENT(client_aborts), EVENT(quit), EVENT(fatal), EVENT(http), EVENT(insecure), EVENT(starttls),
	EVENT(starttls_noop), LOSS(client_shuts), LOSS(client_resets), LOSS(here), EVENT(there), LOSS(at_socket),
	EVENT(at_socket_lost), EVENT(here_and_stream), EVENT(there_or_here), EVENT(there_refused),
	EVENT(there_refused_or_here), LOSS(wrong), EVENT(disabled), EVENT(unavailable), EVENT(limit), EVENT(loop),
	EVENT(cannot), EVENT(authzid), LOSS(challenge), EVENT(garbled), LOSS(authd_lost), LOSS(authd_new),
	LOSS(started), LOSS(not_started), LOSS(spawn_lost), EVENT(spawn_new), EVENT(peer_greets), EVENT(peer_half),
	LOSS(peer_yes), LOSS(peer_no), EVENT(peer_later), EVENT(peer_nonsense), EVENT(peer_self), EVENT(peer_tls),
	EVENT(peer_no_way), EVENT(peer_unfit), LOSS(peer_lost), LOSS(a_while), LOSS(long_while), LOSS(deadline),
	EVENT(drain), LOSS(stop), LOSS(yields) };

/* --- one login --- */

static unsigned descriptors_before;
static bool drained;

static void begin(void)
{
	struct net_addr client;
	int fd[2];

	ev_run(loop_new(), EVRUN_NOWAIT); /* has its own descriptors from now on */
	descriptors_before = descriptors_now();
	memset(open_questions, 0, sizeof(open_questions));
	memset(session_ends, 0, sizeof(session_ends));
	memset(session_given, 0, sizeof(session_given));
	memset(session_kept, 0, sizeof(session_kept));
	nsessions = decisions = answers = 0;
	last_question = kept_question = last_cancel = last_handoff = 0;
	if (login_stub_tls == NULL)
		login_stub_tls = tls_ctx_new(true);
	rig_new(toys);
	w->env.draining = drained;
	ev_timer_start(w->ctx.loop, &w->sweep);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	client_end = fd[1];
	client_ended = false;
	login_start(&w->env, &toy, fd[0], &(struct login_client){ .addr = client, .port = 143 });
	turns();
}

/* Adds NAME:TEXT if there is one. */
static void add_part(struct str *s, const char *name, struct str *text)
{
	if (text->len != 0)
		str_addf(s, " %s:%s", name, str_cstr(text));
	str_fini(text);
}

/* All that FD has been told; "EOF" at its end. */
static void add_told(struct str *s, const char *name, int fd, bool *ended)
{
	char buf[512];
	ssize_t n;
	struct str text = STR_INIT;

	if (fd == -1 || *ended)
		return;
	while ((n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < n; i++)
			str_addc(&text, buf[i] == '\n' ? '+' : buf[i]);
	*ended = n == 0 || errno == ECONNRESET;
	if (*ended)
		str_adds(&text, "EOF");
	else if (text.len != 0 && text.data[text.len - 1] == '+')
		text.data[--text.len] = '\0';
	add_part(s, name, &text);
}

static const char *state_now(void)
{
	static const char *const names[] = {
#define X(name) #name,
		LOGIN_STATES(X)
#undef X
	};

	return w->env.logins != NULL         ? names[w->env.logins->state] :
	    relays_count(w->env.relays) != 0 ? "relayed" :
	                                       "gone";
}

/* What has happened since it was asked last. */
static char *seen(void)
{
	struct str s = STR_INIT;

	listen_to_both();
	str_adds(&s, state_now());
	add_told(&s, "client", client_end, &client_ended);
	add_part(&s, "authd", &authd_heard);
	add_part(&s, "spawn", &spawn_heard);
	add_told(&s, "peer", peer_end, &peer_ended);
	add_part(&s, "log", &logged);
	return str_steal(&s);
}

static void forget_seen(void)
{
	char *s = seen();

	mem_free(&s);
}

/* Ends what is left of the login, and looks at what must hold whatever has happened. */
static void finish(void)
{
	bool authd_there = authd_end != -1;

	stop();
	a_while();
	listen_to_both();
	hang_up(&peer_end);
	hang_up(&client_end);
	turns();
	listen_to_both();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT_EQUAL(w->env.nlogins, 0);
	CU_ASSERT_EQUAL(relays_count(w->env.relays), 0);
	CU_ASSERT(answers <= decisions);
	for (unsigned i = 0; i < QUESTIONS; i++)
		CU_ASSERT_EQUAL(open_questions[i], 0);
	for (unsigned i = 1; i <= nsessions; i++) {
		CU_ASSERT(session_ends[i] <= 1);
		if (authd_there && !session_kept[i])
			CU_ASSERT_EQUAL(session_ends[i], 1);
	}
	rig_stop();
	authd_end = spawn_end = -1;
	forget_seen();
	rig_free();
	CU_ASSERT_EQUAL(ntimers, 0);
	CU_ASSERT_EQUAL(descriptors_now(), descriptors_before);
	greeting_challenges = false;
}

/* --- states, and how they are reached --- */

/* One step a line. */
/* clang-format off */
static void to_greeting(void) { greeting_challenges = true; begin(); listen_to_both(); }
static void to_command(void) { begin(); }
static void to_partial(void) { begin(); partial(); }
static void to_greeted(void) { greeting_challenges = true; begin(); listen_to_both(); challenge(); }
static void to_challenge(void) { begin(); cram(); listen_to_both(); }
static void to_challenged(void) { to_challenge(); challenge(); }
static void to_scram_challenged(void) { begin(); scram(); listen_to_both(); challenge(); }
static void to_auth(void) { begin(); login(); listen_to_both(); }
static void to_auth_behind(void) { begin(); login_noop(); listen_to_both(); }
static void to_step_asked(void) { begin(); scram(); listen_to_both(); }
static void to_auth_answer(void) { to_challenged(); noop(); listen_to_both(); }
static void to_auth_step(void) { to_scram_challenged(); noop(); listen_to_both(); }
static void to_auth_lost(void) { to_auth(); authd_lost(); }
static void to_delay(void) { to_auth(); wrong(); }
static void to_handoff(void) { to_auth(); here(); listen_to_both(); }
static void to_retry(void) { to_handoff(); not_started(); }
static void to_retried(void) { to_retry(); a_while(); listen_to_both(); }
static void to_handoff_again(void) { to_retried(); here(); listen_to_both(); }
static void to_peer(void) { to_auth(); there(); }
static void to_peer_login(void) { to_peer(); peer_greets(); }
static void to_peer_or_here(void) { to_auth(); there_or_here(); }
static void to_peer_step_or_here(void) { to_auth_step(); there_or_here(); }
static void to_closing(void) { begin(); say("quit\n"); }
/* clang-format on */

static const struct {
	const char *name;
	void (*reach)(void);
} states[] = {
	{ "GREETING", to_greeting },
	{ "COMMAND", to_command },
	{ "HALF_COMMAND", to_partial },
	{ "GREETED", to_greeted },
	{ "CHALLENGED", to_challenged },
	{ "STEP_CHALLENGED", to_scram_challenged },
	{ "CHALLENGE_WANTED", to_challenge },
	{ "ASKED", to_auth },
	{ "ASKED_PIPELINED", to_auth_behind },
	{ "STEP_ASKED", to_step_asked },
	{ "ANSWERED", to_auth_answer },
	{ "STEP_ANSWERED", to_auth_step },
	{ "AUTHD_LOST", to_auth_lost },
	{ "ASKED_AGAIN", to_retried },
	{ "DELAY", to_delay },
	{ "HANDOFF", to_handoff },
	{ "HANDOFF_AGAIN", to_handoff_again },
	{ "RETRY", to_retry },
	{ "PEER", to_peer },
	{ "PEER_LOGIN", to_peer_login },
	{ "PEER_OR_HERE", to_peer_or_here },
	{ "PEER_OR_HERE_STEP", to_peer_step_or_here },
	{ "CLOSING", to_closing },
};

/* What happens by an event in some states: the state then, what each is told, and the log. Elsewhere the event
 * changes nothing. */
static const struct cell {
	const char *event, *states, *what;
} cells[] = {
#include "tests/unit/engine_table.h"
};

static bool has_word(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += len)
		if ((p == list || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

static const char *expected(const char *state, const char *event)
{
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		if (strcmp(cells[i].event, event) == 0 && has_word(cells[i].states, state))
			return cells[i].what;
	return state_now();
}

static void test_every_event_in_every_state(void)
{
	for (size_t s = 0; s < ARRAY_LEN(states); s++)
		for (size_t e = 0; e < ARRAY_LEN(events); e++) {
			const char *want;
			char *got;

			states[s].reach();
			forget_seen();
			want = expected(states[s].name, events[e].name);
			events[e].run();
			got = seen();
			CU_ASSERT_STRING_EQUAL(got, want);
			if (strcmp(got, want) != 0)
				printf("\n%s by %s\n got:  %s\n want: %s\n", states[s].name, events[e].name, got, want);
			mem_free(&got);
			finish();
		}
}

/* What is told on the way is not looked at here; what must hold at the end is. */
static void test_every_loss_behind_every_event(void)
{
	for (size_t s = 0; s < ARRAY_LEN(states); s++)
		for (size_t e = 0; e < ARRAY_LEN(events); e++)
			for (size_t f = 0; f < ARRAY_LEN(events); f++) {
				if (!events[f].loss)
					continue;
				states[s].reach();
				events[e].run();
				listen_to_both();
				events[f].run();
				finish();
			}
}

/* --- what is no event of its own --- */

static void is_now(const char *want)
{
	char *got = seen();

	CU_ASSERT_STRING_EQUAL(got, want);
	if (strcmp(got, want) != 0)
		printf("\n got:  %s\n want: %s\n", got, want);
	mem_free(&got);
}

/* The client takes nothing until there is something that waits for it. */
static void block_client(void)
{
	static const char words[] = "noop\nnoop\nnoop\nnoop\n";

	begin();
	for (unsigned i = 0; i < 100000 && w->env.logins->out.len == 0; i++) {
		if (send(client_end, words, strlen(words), MSG_NOSIGNAL) == -1)
			CU_ASSERT_EQUAL_FATAL(errno, EAGAIN);
		turns();
	}
	CU_ASSERT_FATAL(w->env.logins->out.len != 0);
}

static void drain_client(void)
{
	char buf[4096];

	for (ssize_t n = 1; n > 0; turns())
		n = recv(client_end, buf, sizeof(buf), MSG_DONTWAIT);
}

/* What waits for the client is not lost to a session server; a client that reads on in time has its session. */
static void test_client_that_does_not_read(void)
{
	block_client();
	login();
	listen_to_both();
	here();
	listen_to_both();
	drain_client();
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_CLOSING);
	CU_ASSERT_EQUAL(session_ends[1], 1);
	CU_ASSERT_EQUAL(spawn_heard.len, 0);
	finish();

	block_client();
	login();
	CU_ASSERT_EQUAL(conn_wants(&w->env.logins->conn) & EV_WRITE, EV_WRITE);
	drain_client();
	forget_seen();
	here();
	is_now("HANDOFF spawn:HANDOFF");
	finish();
}

static uint32_t *taken, ntaken;

/* There are no numbers for more questions. */
static void take_all_numbers(void)
{
	const size_t size = (REQUEST_TABLE_MAX + 1) * sizeof(*taken); /* the last one asks in vain */

	taken = mem_grow(NULL, size);
	memset(taken, 0, size);
	for (ntaken = 0; request_table_take(w->env.requests, w, &taken[ntaken]); ntaken++)
		;
}

static void give_numbers_back(void)
{
	while (ntaken != 0)
		request_table_drop(w->env.requests, &taken[--ntaken]);
	mem_free(&taken);
}

/* The client is told soon that it cannot be asked, and its next try is asked when there are numbers again. */
static void test_no_numbers(void)
{
	to_delay();
	a_while();
	forget_seen();
	take_all_numbers();
	login();
	is_now("AUTH");
	pass(1);
	is_now("COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer");
	cram();
	is_now("AUTH");
	pass(1);
	is_now("COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer");
	give_numbers_back();
	login();
	is_now("AUTH authd:REQUEST");
	here();
	is_now("HANDOFF spawn:HANDOFF");
	not_started();
	is_now("RETRY authd:END");
	take_all_numbers();
	a_while();
	is_now("COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer");
	give_numbers_back();
	finish();
}

/* Whether a login gives way, and what it is told then, does not depend on the verdict, which may be delayed: first it
 * has its grace, then it may have to. */
static void test_delayed_gives_way(void)
{
	static const struct {
		void (*reach)(void);
		const char *state, *what;
	} t[] = { { to_auth, "AUTH", "gone client:no-UNAVAILABLE+bye-FULL+EOF authd:CANCEL" },
		{ to_auth_step, "AUTH", "gone client:no-UNAVAILABLE+bye-FULL+EOF authd:CANCEL" },
		{ to_delay, "DELAY", "gone client:no-UNAVAILABLE+bye-FULL+EOF" } };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		t[i].reach();
		forget_seen();
		yields();
		is_now(t[i].state);
		if (w->env.logins != NULL)
			w->env.logins->exchange_since -= STRANGERS_GRACE;
		on_sweep(w->ctx.loop, &w->sweep, EV_TIMER);
		is_now(t[i].state);
		yields();
		is_now(t[i].what);
		finish();
	}
	to_auth();
	w->env.logins->exchange_since -= STRANGERS_GRACE;
	on_sweep(w->ctx.loop, &w->sweep, EV_TIMER);
	wrong();
	forget_seen();
	yields();
	is_now("gone client:no-UNAVAILABLE+bye-FULL+EOF");
	finish();
}

/* From a state by several events: what the last one does. */
static const struct {
	const char *state, *by, *what;
} stories[] = {
	{ "CHALLENGED", "authd_lost noop", "AUTH" },
	{ "CHALLENGED", "authd_lost noop long_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "CHALLENGED", "authd_new noop a_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "STEP_CHALLENGED", "authd_new noop a_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "CHALLENGE_WANTED", "authd_new a_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "ANSWERED", "authd_new a_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "STEP_ANSWERED", "authd_new a_while",
	    "COMMAND client:no-UNAVAILABLE log:TEMPORARY FAILURE:authd does not answer" },
	{ "ANSWERED", "authd_lost login_noop", "AUTH" },
	{ "CHALLENGED", "noop wrong a_while cram", "AUTH authd:BEGIN" },
	{ "STEP_CHALLENGED", "noop challenge noop challenge noop here", "HANDOFF spawn:HANDOFF" },
	{ "STEP_ANSWERED", "here not_started",
	    "COMMAND client:no-UNAVAILABLE authd:END log:TEMPORARY FAILURE:cannot start a session s" },
	{ "GREETED", "noop apop wrong a_while", "COMMAND client:no-WRONG" },
	{ "GREETED", "noop bad apop", "AUTH authd:REQUEST" },
	{ "GREETED", "login wrong a_while apop", "AUTH" },
	{ "GREETING", "noop challenge", "COMMAND client:hello-c+ok" },
	{ "GREETING", "authd_lost authd_new login", "AUTH authd:REQUEST" },
	{ "GREETING", "client_resets a_while", "gone authd:CANCEL" },
	{ "ASKED_PIPELINED", "client_resets a_while", "gone authd:CANCEL" },
	{ "ASKED_PIPELINED", "client_shuts wrong a_while", "gone client:no-WRONG+ok+EOF" },
	{ "ASKED_PIPELINED", "client_shuts here", "HANDOFF spawn:HANDOFF" },
	{ "HANDOFF", "client_resets not_started", "RETRY authd:END" },
	{ "RETRY", "client_resets a_while", "gone" },
	{ "RETRY", "spawn_new a_while here started", "gone client:EOF" },
	{ "RETRY", "authd_lost a_while", "AUTH" },
	{ "RETRY", "authd_lost a_while authd_new", "AUTH authd:REQUEST" },
	{ "ASKED", "spawn_lost here", "RETRY authd:END" },
	{ "ASKED", "spawn_lost here a_while here",
	    "COMMAND client:no-UNAVAILABLE authd:END log:TEMPORARY FAILURE:cannot start a session s" },
	{ "PEER_OR_HERE", "peer_lost there peer_lost",
	    "COMMAND client:no-UNAVAILABLE authd:RESULT+END log:TEMPORARY FAILURE:mailhost there cannot be" },
	{ "PEER_OR_HERE", "peer_lost here started", "gone client:EOF" },
	{ "PEER_OR_HERE", "peer_lost here not_started",
	    "COMMAND client:no-UNAVAILABLE authd:END log:TEMPORARY FAILURE:cannot start a session s" },
	{ "PEER_OR_HERE_STEP", "peer_lost here", "HANDOFF spawn:HANDOFF" },
	{ "PEER_OR_HERE_STEP", "authd_new peer_lost",
	    "COMMAND client:no-UNAVAILABLE authd:RESULT+END log:TEMPORARY FAILURE:mailhost there cannot be" },
	{ "PEER_LOGIN", "peer_lost login there peer_greets peer_yes", "relayed client:yes log:LOGIN" },
	{ "PEER", "authd_lost peer_greets peer_no",
	    "COMMAND client:no-UNAVAILABLE peer:EOF log:TEMPORARY FAILURE:mailhost there at [192.0" },
	{ "PEER", "peer_half peer_lost",
	    "COMMAND client:no-UNAVAILABLE authd:RESULT+END log:TEMPORARY FAILURE:mailhost there cannot be" },
	{ "COMMAND", "bad bad bad bad bad bad bad bad bad bad", "CLOSING client:what?+bye-ERRORS+EOF" },
	{ "COMMAND", "bad bad bad bad bad noop bad bad bad bad bad", "COMMAND client:what?" },
	{ "COMMAND", "login wrong a_while login wrong a_while noop login wrong a_while login wrong a_while",
	    "COMMAND client:no-WRONG" },
	{ "COMMAND",
	    "login wrong a_while login wrong a_while login wrong a_while login wrong a_while login wrong a_while",
	    "gone client:no-WRONG+bye-ERRORS+EOF" },
	{ "COMMAND", "login authzid login authzid noop login wrong a_while login authzid login authzid",
	    "CLOSING client:no-AUTHZID+bye-ERRORS+EOF log:LOGIN REFUSED:not to be somebody else" },
};

static void reach(const char *state)
{
	for (size_t s = 0; s < ARRAY_LEN(states); s++)
		if (strcmp(states[s].name, state) == 0)
			states[s].reach();
}

static void run_event(const char *name, size_t len)
{
	for (size_t e = 0; e < ARRAY_LEN(events); e++)
		if (strlen(events[e].name) == len && memcmp(events[e].name, name, len) == 0) {
			listen_to_both();
			events[e].run();
			return;
		}
	CU_FAIL("no such event");
}

static void test_stories(void)
{
	for (size_t i = 0; i < ARRAY_LEN(stories); i++) {
		const char *p = stories[i].by;

		reach(stories[i].state);
		for (size_t len; *p != '\0'; p += len + (p[len] == ' ')) {
			forget_seen();
			len = strcspn(p, " ");
			run_event(p, len);
		}
		is_now(stories[i].what);
		finish();
	}
}

/* The whole reason that the log gives where a login fails at a peer or in this node. */
static const struct {
	const char *state, *by, *line;
} reasons[] = {
	{ "HANDOFF_AGAIN", "not_started", "TEMPORARY FAILURE|cannot start a session server; see the lines of spawn" },
	{ "AUTHD_LOST", "long_while", "TEMPORARY FAILURE|authd does not answer" },
	{ "ASKED", "unavailable", "TEMPORARY FAILURE|temporary failure" },
	{ "ASKED", "there_refused",
	    "TEMPORARY FAILURE|mailhost there cannot be reached: 192.0.2.1 port 143: Connection refused" },
	{ "PEER", "peer_lost",
	    "TEMPORARY FAILURE|mailhost there cannot be reached: 192.0.2.1 port 143: it closed the connection without "
	    "a greeting" },
	{ "PEER_LOGIN", "peer_lost",
	    "TEMPORARY FAILURE|mailhost there did not finish the login: 192.0.2.1 port 143: Connection reset by peer" },
	{ "PEER_LOGIN", "long_while",
	    "TEMPORARY FAILURE|mailhost there did not finish the login: 192.0.2.1 port 143: no answer to the login in "
	    "time" },
	{ "PEER_LOGIN", "peer_no",
	    "TEMPORARY FAILURE|mailhost there at [192.0.2.1]:143 refused a login that the directory here accepted; do "
	    "both use "
	    "the same directory? It said: no" },
	{ "PEER_LOGIN", "peer_later",
	    "TEMPORARY FAILURE|mailhost there at [192.0.2.1]:143 has a temporary failure. It said: later" },
	{ "PEER_LOGIN", "peer_nonsense",
	    "TEMPORARY FAILURE|mailhost there at [192.0.2.1]:143 sent an invalid answer: nonsense" },
	{ "PEER_LOGIN", "peer_self",
	    "TEMPORARY FAILURE|proxy loop: mailhost there at [192.0.2.1]:143 is this node itself, whose name is : "
	    "change mailhost to that name, or set PROXY_HOSTNAME of this node to there" },
	{ "PEER_LOGIN", "peer_tls",
	    "LOGIN REFUSED|mailhost there at [192.0.2.1]:143 accepts no logins without TLS: set PROXY_TLS, or "
	    "PROXY_TLS_PEERS for it. It said: tls" },
	{ "PEER_LOGIN", "peer_no_way",
	    "LOGIN REFUSED|cannot be forwarded: LOGIN reveals no password, which mailhost there needs; the directory "
	    "does "
	    "not have the clear password, it is not a node with our pool secret, and PROXY_MASTER_USER is not set" },
	{ "PEER_LOGIN", "peer_unfit",
	    "TEMPORARY FAILURE|the account's name or password, or the session id, has control characters and cannot be "
	    "forwarded: check the account with `waypost auth USER`" },
};

static void test_reasons(void)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		char want[LOG_LINE_MAX];
		const char *bar = strchr(reasons[i].line, '|');

		snprintf(want, sizeof(want),
		    "%.*s, user=u, ip=[::ffff:127.0.0.1], port=[12345], protocol=IMAP, reason=%s",
		    (int)(bar - reasons[i].line), reasons[i].line, bar + 1);
		reach(reasons[i].state);
		run_event(reasons[i].by, strlen(reasons[i].by));
		CU_ASSERT_STRING_EQUAL(last_line, want);
		if (strcmp(last_line, want) != 0)
			printf("\n got:  %s\n want: %s\n", last_line, want);
		finish();
	}
}

#define TLS_PORT " (that port is for TLS: set PROXY_TLS, or PROXY_TLS_PEERS for this mailhost)"

/* None of the account's mailhosts can be reached: the log names all of them, each with its reason. */
static void test_all_mailhosts_down(void)
{
	several = true;
	reach("ASKED");
	run_event("there_refused", strlen("there_refused"));
	several = false;
	CU_ASSERT_STRING_EQUAL(last_line,
	    "TEMPORARY FAILURE, user=u, ip=[::ffff:127.0.0.1], port=[12345], protocol=IMAP, reason=mailhost there "
	    "cannot be reached: 192.0.2.1 port 143: Connection refused; 192.0.2.2 port 143: Connection refused; "
	    "mailhost other: 192.0.2.3 port 993: Connection refused" TLS_PORT "; mailhost gone has no address");
	finish();
	several = true;
	reach("PEER");
	several = false;
	run_event("long_while", strlen("long_while"));
	CU_ASSERT_PTR_NOT_NULL(strstr(last_line,
	    "reason=mailhost there cannot be reached: 192.0.2.1 port 143: no greeting in time; 192.0.2.2 port 143: no "
	    "greeting in time; mailhost other: 192.0.2.3 port 993: no greeting in time" TLS_PORT
	    "; mailhost gone has no address"));
	finish();
}

/* While the node is drained a client is told so instead of a greeting, without a question. */
static void test_drained(void)
{
	greeting_challenges = true;
	drained = true;
	begin();
	is_now("CLOSING client:bye-DRAIN+EOF");
	drained = false;
	finish();
}

static const struct unit_case cases[] = { { "a delayed login gives way", test_delayed_gives_way },
	{ "every event in every state", test_every_event_in_every_state },
	{ "every loss behind every event", test_every_loss_behind_every_event }, { "several events", test_stories },
	{ "whole reasons in the log", test_reasons }, { "all mailhosts down", test_all_mailhosts_down },
	{ "a client that does not read", test_client_that_does_not_read },
	{ "no numbers for questions", test_no_numbers }, { "a drained node", test_drained }, { NULL, NULL } };

UNIT_MAIN("engine", cases)
