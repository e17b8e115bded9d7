/* The login worker and its engine on a real loop, with authd and spawn played by the test. */
#include "tests/unit/worker_rig.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/time.h>

#include "imapd/imap_login.h"
#include "lib/tls_ctx.h"
#include "pop3d/pop3_login.h"
#include "tests/unit/decoded.h"

static const struct login_dialect *const dialects[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = &imap_login_dialect,
	[PROTOCOL_POP3] = &pop3_login_dialect,
};

static int client_end;
static unsigned breaks;  /* of the loop */
static unsigned staying; /* clients that are to be let go, besides those that there are */

void __real_ev_break(struct ev_loop *loop, int how);
void __wrap_ev_break(struct ev_loop *loop, int how);
void __wrap_ev_break(struct ev_loop *loop, int how)
{
	breaks++;
	__real_ev_break(loop, how);
}

unsigned __real_relays_count_staying(const struct relays *r);
unsigned __wrap_relays_count_staying(const struct relays *r);
unsigned __wrap_relays_count_staying(const struct relays *r)
{
	return __real_relays_count_staying(r) + staying;
}

static void say(const char *text)
{
	CU_ASSERT_EQUAL((size_t)send(client_end, text, strlen(text), 0), strlen(text));
	turns();
}

/* All that the client has received. */
static const char *told(void)
{
	static char buf[4096];
	ssize_t n = recv(client_end, buf, sizeof(buf) - 1, MSG_DONTWAIT);

	buf[n > 0 ? n : 0] = '\0';
	return buf;
}

static void setup(void)
{
	struct net_addr client;
	int fd[2];

	rig_new(dialects);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	decoded_on(w->ctx.loop);
	login_start(&w->env, &imap_login_dialect, fd[0], &(struct login_client){ .addr = client, .port = 143 });
	client_end = decoded(w->ctx.loop, fd[1]);
	turns();
}

static void teardown(void)
{
	rig_stop();
	close(client_end);
	turns();
	decoded_end();
	rig_free();
}

/* authd's answer to REQUEST: the password is wrong. */
static void answer_wrong(uint32_t request)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();

	memset(a, 0, sizeof(*a));
	a->request = request;
	a->verdict = AUTH_VERDICT_WRONG;
	auth_reply_write(&m, a);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	auth_reply_free(&a);
	turns();
}

/* authd's answer to REQUEST: the mail is here, and a PROGRAM that is not ours serves it, or ours does. */
static void answer_served_by(uint32_t request, bool program)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();

	memset(a, 0, sizeof(*a));
	a->request = request;
	a->verdict = AUTH_VERDICT_OK;
	a->session = 7;
	str_copy(a->session_id, sizeof(a->session_id), "0123456789abcdef");
	str_copy(a->name, sizeof(a->name), "u");
	a->local = true;
	a->local_server = program;
	a->peer_ms = program ? 10000 : 0;
	auth_reply_write(&m, a);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	auth_reply_free(&a);
	turns();
}

static void answer_here(uint32_t request)
{
	answer_served_by(request, false);
}

static void send_handoff_reply(uint32_t request, bool ok, int stream)
{
	static struct msgw m;

	handoff_reply_write(&m, request, ok);
	CU_ASSERT_EQUAL(msg_send(spawn_end, &m, stream), 0);
	turns();
}

/* The session server that there is, if OK, ends at once. */
static void answer_handoff(bool ok)
{
	static struct handoff_client h;
	int fd[2] = { -1, -1 };
	struct msgr r;

	CU_ASSERT_FATAL(next(spawn_end, HANDOFF, &r));
	CU_ASSERT(handoff_read(&r, &h));
	if (ok && h.relayed)
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	send_handoff_reply(h.request, ok, fd[0]);
	for (int i = 0; i < 2 && fd[i] != -1; i++)
		close(fd[i]);
	turns();
}

static uint32_t asked(const char *user)
{
	static struct auth_request q;
	struct msgr r;

	CU_ASSERT_FATAL(next(authd_end, AUTH_REQUEST, &r));
	CU_ASSERT(auth_request_read(&r, &q));
	CU_ASSERT_STRING_EQUAL(q.user, user);
	CU_ASSERT_STRING_EQUAL(q.credential, "p");
	return q.request;
}

/* The client's login went to spawn, which could not start a server. */
static void fail_first_handoff(void)
{
	struct msgr r;

	told();
	say("a LOGIN u p\r\n");
	answer_here(asked("u"));
	answer_handoff(false);
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_RETRY);
}

/* Both timers have expired when the loop checks, the sweep's first: the retry is due, but was not called yet. */
static void test_sweep_and_retry_in_one_turn(void)
{
	setup();
	ev_timer_start(w->ctx.loop, &w->sweep);
	fail_first_handoff();
	usleep(450 * 1000); /* more than RETRY_MS and the sweep's 0.1 s */
	turns();
	CU_ASSERT_STRING_EQUAL(told(), "");
	answer_here(asked("u"));
	answer_handoff(false);
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "a NO [UNAVAILABLE]"));
	teardown();
}

static void on_master(struct ev_loop *loop UNUSED, ev_timer *t UNUSED, int revents UNUSED)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	close(authd_end);
	authd_end = fd[1];
	new_authd(w, fd[0]);
}

/* A new authd comes in that turn: it is asked once, by the retry. */
static void test_new_authd_and_retry_in_one_turn(void)
{
	ev_timer master;
	struct msgr r;

	setup();
	ev_timer_init(&master, on_master, 0.1, 0);
	ev_timer_start(w->ctx.loop, &master);
	fail_first_handoff();
	usleep(450 * 1000);
	turns();
	answer_here(asked("u"));
	CU_ASSERT(next(spawn_end, HANDOFF, &r));
	CU_ASSERT_FALSE(next(authd_end, AUTH_REQUEST, &r));
	teardown();
}

/* No authd will come: the client is told at the next look, whether it has said its password before or says it now. */
static void test_nobody_waits_for_authd_without_a_master(void)
{
	setup();
	told();
	say("a LOGIN u p\r\n");
	close(authd_end);
	turns();
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_STRING_EQUAL(told(), ""); /* the master starts another one */
	hooks.orphaned(&w->ctx);
	on_sweep(w->ctx.loop, &w->sweep, 0);
	turns();
	CU_ASSERT_EQUAL(strncmp(told(), "a NO [UNAVAILABLE]", 18), 0);
	say("b LOGIN u p\r\n");
	on_sweep(w->ctx.loop, &w->sweep, 0);
	turns();
	CU_ASSERT_EQUAL(strncmp(told(), "b NO [UNAVAILABLE]", 18), 0);
	teardown();
}

/* A worker that is replaced ends when it has let the clients of a peer that died go, which shall not all come back at
 * once; one that stops does not wait for them. */
static void test_retiring_worker_lets_go(void)
{
	setup();
	shutdown(client_end, SHUT_RDWR);
	turns();
	CU_ASSERT_EQUAL(w->env.nlogins, 0);
	staying = 3;
	breaks = 0;
	hooks.retire(&w->ctx);
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_EQUAL(breaks, 0);
	staying = 0;
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_EQUAL(breaks, 1);
	staying = 3;
	hooks.stop(&w->ctx);
	CU_ASSERT_EQUAL(breaks, 2);
	staying = 0;
	teardown();
}

/* The login times out while it waits for its retry, whose timer has expired, too. */
static void test_timeout_while_retry_is_pending(void)
{
	setup();
	ev_timer_start(w->ctx.loop, &w->sweep);
	fail_first_handoff();
	w->env.logins->started -= (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT + 1;
	usleep(450 * 1000);
	turns();
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "a NO [UNAVAILABLE]"));
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_CLOSING);
	teardown();
}

/* --- a client's words --- */

/* After the last reply our side is shut down; when the client closes, too, the login is over. */
static void test_greeting_and_goodbye(void)
{
	char c;

	setup();
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "* OK "));
	say("a NOOP\r\nb NO");
	CU_ASSERT_STRING_EQUAL(told(), "a OK NOOP completed\r\n");
	say("OP\r\n");
	CU_ASSERT_STRING_EQUAL(told(), "b OK NOOP completed\r\n");
	say("c LOGOUT\r\nd NOOP\r\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "c OK"));
	CU_ASSERT_EQUAL(recv(client_end, &c, 1, MSG_DONTWAIT), 0);
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_CLOSING);
	shutdown(client_end, SHUT_WR);
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();
}

/* What the client sends while it has to wait is read and answered when the wait is over. */
static void test_commands_while_authd_is_asked(void)
{
	uint32_t request;
	struct msgr r;

	setup();
	told();
	say("a LOGIN u p\r\n");
	request = asked("u");
	say("b NOOP\r\n");
	say("c NOOP\r\n");
	CU_ASSERT_STRING_EQUAL(told(), "");
	CU_ASSERT_EQUAL(conn_wants(&w->env.logins->conn), 0);
	CU_ASSERT_FALSE(next(authd_end, AUTH_CANCEL, &r));
	answer_wrong(request);
	CU_ASSERT_STRING_EQUAL(told(),
	    "a NO [AUTHENTICATIONFAILED] Login failed.\r\nb OK NOOP completed\r\nc OK NOOP completed\r\n");
	teardown();
}

/* A client that reads none of its replies is disconnected. */
static void test_client_does_not_read(void)
{
	setup();
	for (int i = 0; i < 100000 && w->env.logins != NULL; i++) {
		if (send(client_end, "a NOOP\r\na NOOP\r\na NOOP\r\na NOOP\r\n", 32, MSG_NOSIGNAL) < 0)
			CU_ASSERT_FATAL(errno == EAGAIN || errno == EPIPE || errno == ECONNRESET);
		turns();
	}
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();
}

/* --- every end of a login --- */

/* The client sent its last commands and is gone: so is the login, whichever way they were read. */
static void test_goodbye_cannot_be_said(void)
{
	static const char words[] = "b LOGOUT\r\nc NOOP\r\n";
	uint32_t request;

	setup();
	told();
	CU_ASSERT(send(client_end, words, strlen(words), 0) > 0);
	close(client_end);
	client_end = -1;
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();

	setup();
	told();
	say("a LOGIN u p\r\nb LOGOUT\r\nc NOOP\r\n");
	request = asked("u");
	close(client_end);
	client_end = -1;
	turns();
	CU_ASSERT_PTR_NOT_NULL(w->env.logins);
	answer_wrong(request);
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();
}

/* Too many errors; what follows them in the same segment is ignored. The client does not close: its time runs out. */
static void test_errors_and_linger(void)
{
	struct str words = STR_INIT;

	setup();
	told();
	for (int i = 0; i < LOGIN_BAD_MAX; i++)
		str_adds(&words, "a NONSENSE\r\n");
	str_adds(&words, "z NOOP\r\n");
	say(str_cstr(&words));
	CU_ASSERT_PTR_NULL(strstr(told(), "z OK"));
	CU_ASSERT_EQUAL_FATAL(w->env.logins->state, LOGIN_CLOSING);
	ev_invoke(w->ctx.loop, &w->env.logins->timer, EV_TIMER);
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();
	str_fini(&words);
}

static void begin_handoff(void)
{
	setup();
	told();
	say("a LOGIN u p\r\n");
	answer_here(asked("u"));
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_HANDOFF);
}

/* The session belongs to the server, or to nobody if it is unknown whether there is one. */
static void test_handoff_ends(void)
{
	struct msgr r;

	begin_handoff();
	answer_handoff(true);
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT_FALSE(next(authd_end, SESSION_END, &r));
	teardown();

	begin_handoff();
	shutdown(spawn_end, SHUT_RDWR);
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	CU_ASSERT_STRING_EQUAL(told(), "");
	teardown();

	begin_handoff();
	login_end(w->env.logins, LOGIN_BYE_SHUTDOWN);
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	teardown();
}

/* The client's login went to spawn, which is to start a program for it. */
static void begin_program(void)
{
	setup();
	told();
	say("a LOGIN u p\r\n");
	answer_served_by(asked("u"), true);
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_HANDOFF);
}

/* The session of a program is the worker's from the beginning: a new authd has to hear of it, or nothing counts it. */
static void test_new_authd_while_a_program_starts(void)
{
	struct session_have m;
	struct msgr r;

	begin_program();
	on_master(w->ctx.loop, NULL, 0);
	turns();
	CU_ASSERT(next(authd_end, SESSION_HAVE, &r));
	CU_ASSERT(session_have_read(&r, &m) && m.session == 7);
	CU_ASSERT_STRING_EQUAL(m.user, "u");
	teardown();

	begin_handoff();
	on_master(w->ctx.loop, NULL, 0);
	turns();
	CU_ASSERT_FALSE(next(authd_end, SESSION_HAVE, &r));
	teardown();
}

/* It has no address that a header of the PROXY protocol could name, and expects none, whatever row its host is in. */
static void test_program_gets_no_header(void)
{
	static struct handoff_client h;
	struct msgr r;
	char buf[100];
	int fd[2];

	begin_program();
	unit_set(&w->ctx.set->proxy_PROXY_PROTOCOL_SEND, LOCAL_SERVER_HOST "=v1");
	CU_ASSERT_FATAL(next(spawn_end, HANDOFF, &r));
	CU_ASSERT(handoff_read(&r, &h) && h.relayed);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	send_handoff_reply(h.request, true, fd[0]);
	close(fd[0]);
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_PEER);
	CU_ASSERT_EQUAL(recv(fd[1], buf, sizeof(buf), MSG_DONTWAIT), -1);
	close(fd[1]);
	teardown();
}

/* Begins a session; the descriptor that the server gets. */
static int begin_session(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	static struct handoff_client m;
	struct msgr r;
	int fd = -1, pair[2] = { -1, -1 };

	while (unit_next(spawn_end, buf, &r, &fd))
		if (r.type == HANDOFF)
			break;
	CU_ASSERT_FATAL(handoff_read(&r, &m) && m.relayed == (fd == -1));
	CU_ASSERT_EQUAL(m.leftover_len, strlen("b NOOP\r\n"));
	if (m.relayed)
		CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	send_handoff_reply(m.request, true, pair[1]);
	if (m.relayed)
		close(pair[1]);
	return m.relayed ? pair[0] : fd;
}

/* A session server gets the bytes of its client, and the client the server's, whatever lies between: what came behind
 * the login, what comes later, and both ends. Nothing of it is the worker's to report. */
static void test_session_here(void)
{
	struct msgr r;
	char buf[64];
	int server;

	setup();
	told();
	say("a LOGIN u p\r\nb NOOP\r\n");
	answer_here(asked("u"));
	server = begin_session();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT_EQUAL(send(server, "a OK in\r\n", 9, MSG_NOSIGNAL), 9);
	turns();
	CU_ASSERT_STRING_EQUAL(told(), "a OK in\r\n");
	say("c LOGOUT\r\n");
	turns();
	CU_ASSERT_EQUAL(recv(server, buf, sizeof(buf), MSG_DONTWAIT), 10);
	shutdown(client_end, SHUT_WR);
	turns();
	CU_ASSERT_EQUAL(recv(server, buf, sizeof(buf), MSG_DONTWAIT), 0);
	CU_ASSERT_EQUAL(send(server, "* BYE\r\n", 7, MSG_NOSIGNAL), 7);
	close(server);
	turns();
	CU_ASSERT_STRING_EQUAL(told(), "* BYE\r\n");
	CU_ASSERT_EQUAL(recv(client_end, buf, sizeof(buf), MSG_DONTWAIT), 0);
	CU_ASSERT_EQUAL(relays_count_here(w->env.relays), 0);
	CU_ASSERT_FALSE(next(authd_end, SESSION_END, &r));
	teardown();
}

/* The stream to the session server was lost on its way: the server sees its end, the login is tried once more, and the
 * session is not the worker's to end. */
static void test_stream_lost(void)
{
	static struct handoff_client h;
	struct msgr r;

	begin_handoff();
	CU_ASSERT_FATAL(next(spawn_end, HANDOFF, &r));
	CU_ASSERT(handoff_read(&r, &h) && h.relayed);
	send_handoff_reply(h.request, true, -1);
	CU_ASSERT_PTR_NOT_NULL_FATAL(w->env.logins);
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_RETRY);
	CU_ASSERT_FALSE(next(authd_end, SESSION_END, &r));
	teardown();
}

/* --- strangers --- */

static void come_from_here(unsigned n, int fd)
{
	struct net_addr client;

	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	for (unsigned i = 0; i < n; i++)
		login_start(&w->env, &imap_login_dialect, dup(fd),
		    &(struct login_client){ .addr = client, .port = 143 });
}

/* Of too many clients of one address the oldest is told and closed; but not if it is a peer's, or if one is logging
 * in. */
static void test_share_of_an_address(void)
{
	struct rlimit lim;
	int fd[2];

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = lim.rlim_max;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &lim), 0);
	setup();
	told();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	come_from_here(STRANGERS_PREFIX_MAX - 1, fd[0]);
	CU_ASSERT_EQUAL(w->env.nlogins, STRANGERS_PREFIX_MAX);
	say("a LOGIN u p\r\n");
	come_from_here(1, fd[0]); /* one is no stranger now */
	CU_ASSERT_EQUAL(w->env.nlogins, STRANGERS_PREFIX_MAX + 1);
	answer_wrong(asked("u"));
	CU_ASSERT_EQUAL(w->strangers.all.count, STRANGERS_PREFIX_MAX + 1);
	come_from_here(1, fd[0]);
	CU_ASSERT_EQUAL(w->env.nlogins, STRANGERS_PREFIX_MAX + 1);
	CU_ASSERT_EQUAL(w->strangers.yielded, 1);
	for (int i = 0; i < STRANGERS_PREFIX_MAX; i++)
		come_from_here(1, fd[0]);
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "* BYE [UNAVAILABLE] The server is full"));
	CU_ASSERT_EQUAL(w->env.nlogins, STRANGERS_PREFIX_MAX + 1);
	mem_free(&w->ctx.set->proxy_PROXY_TRUSTED);
	w->ctx.set->proxy_PROXY_TRUSTED = mem_strdup("127.0.0.0/8");
	come_from_here(1, fd[0]);
	CU_ASSERT_EQUAL(w->env.nlogins, STRANGERS_PREFIX_MAX + 2);
	close(fd[0]);
	close(fd[1]);
	teardown();
	CU_ASSERT_PTR_NULL(w);
}

static void weigh_input(struct login *l)
{
	stranger_limits_weigh(&w->strangers, l, l->in.cap);
	stranger_limits_shed(&w->strangers);
}

/* Makes L hold N bytes. */
static void make_hold(struct login *l, size_t n)
{
	str_fini(&l->in);
	str_room(&l->in, n);
	weigh_input(l);
}

/* Of those that hold much, when it is too much together, the oldest of the address that holds most gives way; others,
 * and those that are logging in, do not. */
static void test_much_memory(void)
{
	enum { EACH = 1024 * 1024, N = STRANGERS_HELD_MAX / EACH };
	struct login *oldest, *light;
	struct net_addr other;
	int fd[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&other, "127.0.0.2", 12345));
	oldest = w->env.logins;
	login_start(&w->env, &imap_login_dialect, dup(fd[0]), &(struct login_client){ .addr = other, .port = 143 });
	light = w->env.logins;
	CU_ASSERT_EQUAL(w->strangers.holders.count, 0);
	make_hold(oldest, EACH - 4096);
	for (unsigned i = 2; i < N; i++) {
		come_from_here(1, fd[0]);
		make_hold(w->env.logins, EACH - 4096);
	}
	make_hold(light, EACH / 2 - 4096);
	CU_ASSERT(w->env.nlogins == N && w->strangers.holders.count == N && w->strangers.yielded == 0);
	credentials_set(oldest, "u", 1, "p", 1, "LOGIN");
	stranger_limits_set(&w->strangers, oldest, false);
	CU_ASSERT_EQUAL(w->strangers.holders.count, N - 1);
	stranger_limits_set(&w->strangers, oldest, true);
	weigh_input(oldest);
	CU_ASSERT_EQUAL(w->strangers.holders.count, N);
	make_hold(light, 2 * EACH - 4096);
	CU_ASSERT(w->env.nlogins == N - 1 && w->strangers.yielded == 1 && light->conn.io.fd != -1);
	make_hold(light, 100);
	CU_ASSERT_EQUAL(w->strangers.holders.count, N - 2);
	mem_free(&w->ctx.set->proxy_PROXY_TRUSTED);
	w->ctx.set->proxy_PROXY_TRUSTED = mem_strdup("127.0.0.1");
	make_hold(w->env.logins, 10 * EACH);
	CU_ASSERT(w->env.nlogins == N - 1 && w->strangers.yielded == 1);
	close(fd[0]);
	close(fd[1]);
	teardown();
}

/* A handshake that is not finished in time ends without a word, sooner than the login. */
static void test_slow_handshake(void)
{
	SSL_CTX *ctx = tls_ctx_new(true);
	struct net_addr client;
	char byte;
	int fd[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	login_start(&w->env, &imap_login_dialect, fd[0],
	    &(struct login_client){ .addr = client, .port = 993, .tls = true, .ctx = ctx });
	CU_ASSERT_EQUAL(send(fd[1], "\x16\x03\x01", 3, 0), 3);
	turns();
	w->env.logins->tls_since -= LOGIN_TLS_SECONDS - 1;
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_EQUAL(w->env.nlogins, 2);
	w->env.logins->tls_since--;
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_EQUAL(w->env.nlogins, 1);
	CU_ASSERT_EQUAL(recv(fd[1], &byte, 1, MSG_DONTWAIT), 0);
	close(fd[1]);
	teardown();
	SSL_CTX_free(ctx);
}

/* --- a client that has gone --- */

static void test_client_leaves_while_authd_is_asked(void)
{
	struct msgr r;
	uint32_t request;

	setup();
	told();
	say("a LOGIN u p\r\n");
	request = asked("u");
	shutdown(client_end, SHUT_RDWR);
	turns();
	CU_ASSERT(next(authd_end, AUTH_CANCEL, &r));
	CU_ASSERT_EQUAL(msgr_u32(&r), request);
	CU_ASSERT_PTR_NULL(w->env.logins);
	teardown();
}

/* A half-close after commands: the login continues, and the commands are answered. */
static void test_half_close_behind_commands(void)
{
	static struct handoff_client h;
	struct msgr r;

	setup();
	told();
	say("a LOGIN u p\r\nb NOOP\r\n");
	shutdown(client_end, SHUT_WR);
	turns();
	answer_here(asked("u"));
	CU_ASSERT(next(spawn_end, HANDOFF, &r));
	CU_ASSERT(handoff_read(&r, &h));
	CU_ASSERT(h.leftover_len == 8 && memcmp(h.leftover, "b NOOP\r\n", 8) == 0);
	teardown();
}

/* What came after the credentials in a separate segment is not read; the loop does not spin, and the sweep notices that
 * the client resets its connection. */
static void test_reset_behind_commands_not_read(void)
{
	struct msgr r;

	setup();
	told();
	say("a LOGIN u p\r\n");
	asked("u");
	say("b NOOP\r\n");
	CU_ASSERT_EQUAL(conn_wants(&w->env.logins->conn), 0);
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_PTR_NOT_NULL(w->env.logins);
	close(client_end);
	client_end = -1;
	on_sweep(w->ctx.loop, &w->sweep, 0);
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT(next(authd_end, AUTH_CANCEL, &r));
	teardown();
}

/* --- logins that are pending at a peer --- */

static int peer_listener, peer_end;

/* authd's answer to REQUEST: the mail is at a peer, which the test plays. */
static void answer_there(uint32_t request)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct timeval patience = { 10, 0 };
	socklen_t len = sizeof(sin);

	peer_listener = socket(AF_INET, SOCK_STREAM, 0);
	CU_ASSERT_EQUAL_FATAL(bind(peer_listener, (struct sockaddr *)&sin, sizeof(sin)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(peer_listener, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(peer_listener, (struct sockaddr *)&sin, &len), 0);
	memset(a, 0, sizeof(*a));
	a->request = request;
	a->verdict = AUTH_VERDICT_OK;
	a->session = 7;
	str_copy(a->session_id, sizeof(a->session_id), "sid");
	str_copy(a->name, sizeof(a->name), "u");
	a->peer_ms = 10000;
	a->ntargets = 1;
	str_copy(a->target[0].host, sizeof(a->target[0].host), "alias");
	CU_ASSERT_FATAL(net_addr_parse(&a->target[0].addr, "127.0.0.1", ntohs(sin.sin_port)));
	auth_reply_write(&m, a);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	auth_reply_free(&a);
	turns();
	CU_ASSERT_EQUAL_FATAL(poll(&(struct pollfd){ .fd = peer_listener, .events = POLLIN }, 1, 10000), 1);
	peer_end = decoded(w->ctx.loop, accept(peer_listener, NULL, NULL));
	setsockopt(peer_end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(peer_end, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 },
	    sizeof(int)); /* what it says is there in the next turn */
	close(peer_listener);
	CU_ASSERT_NOT_EQUAL_FATAL(peer_end, -1);
}

static void peer_says(const char *text)
{
	CU_ASSERT_EQUAL((size_t)send(peer_end, text, strlen(text), 0), strlen(text));
	turns();
}

static void begin_at_peer(void)
{
	setup();
	told();
	say("a LOGIN u p\r\n");
	answer_there(asked("u"));
	peer_says("* OK [CAPABILITY IMAP4rev1] hello\r\n");
}

static void test_client_leaves_during_peer_login(void)
{
	char buf[100];
	struct msgr r;

	begin_at_peer();
	CU_ASSERT(recv(peer_end, buf, sizeof(buf), 0) > 0);
	shutdown(client_end, SHUT_RDWR);
	turns();
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT_EQUAL(recv(peer_end, buf, sizeof(buf), 0), 0);
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	close(peer_end);
	teardown();
}

static bool arrived(void)
{
	struct session_target m;
	struct msgr r;

	return next(authd_end, SESSION_ARRIVED, &r) && session_arrived_read(&r, &m) && m.session == 7;
}

/* Kicks the sessions of USER; their number. */
static unsigned kick(const char *user)
{
	struct session_choice choice;
	unsigned n;

	CU_ASSERT(session_choice_read(&choice, "kick", "kick", user));
	n = relays_kick(w->env.relays, &choice) + kick_logins(w, &choice);
	turns();
	return n;
}

/* A login that was accepted here and is under way to a peer would be a session in a moment: it is none after a kick,
 * and its client may try again. */
static void test_kick_during_peer_login(void)
{
	char buf[100];
	struct msgr r;

	begin_at_peer();
	CU_ASSERT(recv(peer_end, buf, sizeof(buf), 0) > 0);
	CU_ASSERT_EQUAL(kick("v"), 0);
	CU_ASSERT_EQUAL(kick("u"), 1);
	CU_ASSERT_STRING_EQUAL(told(), "a NO [UNAVAILABLE] Disconnected by the administrator.\r\n");
	CU_ASSERT_EQUAL(recv(peer_end, buf, sizeof(buf), 0), 0);
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_COMMAND);
	close(peer_end);
	teardown();
}

/* One on its way to a session server is cut, wherever its descriptor is now: spawn may not have looked yet. */
static void test_kick_during_handoff(void)
{
	begin_handoff();
	CU_ASSERT_EQUAL(kick("v"), 0);
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_HANDOFF);
	CU_ASSERT_EQUAL(kick("u"), 1);
	CU_ASSERT_PTR_NULL(w->env.logins);
	CU_ASSERT_EQUAL(recv(client_end, &(char){ 0 }, 1, 0), 0);
	answer_handoff(true);
	teardown();
}

/* A relayed client that is kicked before its server has said a word is told; later nothing is, for it may stand in the
 * middle of something. */
static void test_kick_of_a_relayed_client(void)
{
	static const struct {
		const char *behind, *later, *told;
	} t[] = {
		{ "", "", "* BYE Disconnected by the administrator.\r\n" },
		{ "* 3 EXISTS\r\n", "", "* 3 EXISTS\r\n" },
		{ "", "* 1 FETCH (BODY[] {99}\r\nx", "* 1 FETCH (BODY[] {99}\r\nx" },
	};
	char line[100], want[200];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		begin_at_peer();
		snprintf(line, sizeof(line), "L OK in\r\n%s", t[i].behind);
		peer_says(line);
		if (t[i].later[0] != '\0')
			peer_says(t[i].later);
		CU_ASSERT_EQUAL(kick("u"), 1);
		CU_ASSERT_EQUAL(relays_count(w->env.relays), 0);
		snprintf(want, sizeof(want), "a OK LOGIN Ok.\r\n%s", t[i].told);
		CU_ASSERT_STRING_EQUAL(told(), want);
		close(peer_end);
		teardown();
	}
}

/* The arrival of a login is not sent at once, but with the sweep, unless logins wait for it. */
static void test_arrival_is_told_in_passing(void)
{
	static struct msgw m;

	begin_at_peer();
	peer_says("L OK in\r\n");
	CU_ASSERT_EQUAL(relays_count(w->env.relays), 1);
	CU_ASSERT_FALSE(arrived());
	on_sweep(w->ctx.loop, &w->sweep, 0);
	turns();
	CU_ASSERT(arrived());
	close(peer_end);
	turns();
	teardown();

	begin_at_peer();
	msgw_begin(&m, AUTH_CROWDED);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	turns();
	peer_says("L OK in\r\n");
	CU_ASSERT(arrived());
	close(peer_end);
	turns();
	teardown();
}

/* The peer's greeting has our own mark: nothing is sent, the client gets its reply, and authd learns the name. */
static void test_peer_is_this_node(void)
{
	struct msgr r;
	char host[64], buf[100];

	setup();
	told();
	mem_free(&w->ctx.set->node_id);
	w->ctx.set->node_id = mem_strdup("00112233445566778899aabbccddeeff");
	say("a LOGIN u p\r\n");
	answer_there(asked("u"));
	peer_says("* OK [CAPABILITY IMAP4rev1] Waypost node 00112233445566778899aabbccddeeff ready.\r\n");
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "a NO [UNAVAILABLE]"));
	CU_ASSERT_EQUAL(recv(peer_end, buf, sizeof(buf), 0), 0);
	CU_ASSERT(next(authd_end, PEER_TROUBLE, &r));
	CU_ASSERT_EQUAL(msgr_u8(&r), PEER_TROUBLE_SELF);
	CU_ASSERT_EQUAL(msgr_u8(&r), PROTOCOL_IMAP);
	msgr_str(&r, host, sizeof(host));
	CU_ASSERT_STRING_EQUAL(host, "alias");
	CU_ASSERT_EQUAL(w->env.logins->state, LOGIN_COMMAND);
	close(peer_end);
	teardown();
}

/* The same over connections of another kind, also to the peer. */
#define CODED(test) \
	static void test##_coded(void) \
	{ \
		decoded_run(test); \
	} \
	static void test##_tls(void) \
	{ \
		decoded_run_tls(test); \
	}
CODED(test_handoff_ends)
CODED(test_session_here)
CODED(test_stream_lost)
CODED(test_sweep_and_retry_in_one_turn)
CODED(test_greeting_and_goodbye)
CODED(test_commands_while_authd_is_asked)
CODED(test_client_does_not_read)
CODED(test_errors_and_linger)
CODED(test_client_leaves_while_authd_is_asked)
CODED(test_client_leaves_during_peer_login)
CODED(test_arrival_is_told_in_passing)
CODED(test_peer_is_this_node)

static void on_nothing(struct chan *c UNUSED, struct msgr *r UNUSED, int fd UNUSED, void *arg UNUSED) { }

static void on_end(struct chan *c UNUSED, void *arg UNUSED) { }

/* A worker that waits for its certificates before it opens; the other end of the channel to its key process. */
static struct chan *open_with_certificates(void)
{
	struct chan *key;
	int fd[2];

	setup();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	key = msg_channel_open(w->ctx.loop, fd[1], on_nothing, on_end, NULL);
	begin_opening(w);
	certificates_channel(w->env.certificates, fd[0]);
	on_go(&w->ctx);
	return key;
}

/* As if some had come or gone since it looked last. */
static void look_while_some_come(void)
{
	w->came++;
	ev_feed_event(w->ctx.loop, &w->opening, EV_TIMER);
	turns();
}

/* At a reload the worker before accepts until this one has the certificates; it waits for them only so long
 * as some come. */
static void test_certificates_come_before_clients(void)
{
	static struct msgw m;

	for (int answers = 0; answers < 2; answers++) {
		struct chan *key = open_with_certificates();

		turns();
		CU_ASSERT_EQUAL(acceptor_state(w->acceptor), ACCEPTOR_NEW);
		if (answers) {
			key_complete_write(&m);
			CU_ASSERT_EQUAL(chan_send(key, &m, -1), 0);
			turns();
		} else {
			look_while_some_come();
			CU_ASSERT_EQUAL(acceptor_state(w->acceptor), ACCEPTOR_NEW);
			ev_feed_event(w->ctx.loop, &w->opening, EV_TIMER);
			turns();
		}
		CU_ASSERT_EQUAL(acceptor_state(w->acceptor), ACCEPTOR_TAKING);
		CU_ASSERT(!w->waits_to_open);
		chan_free(&key);
		teardown();
	}
}

/* Certificates that are renewed all the time, or told again and again, do not keep clients out. */
static void test_certificates_without_end(void)
{
	struct chan *key = open_with_certificates();
	unsigned looks;

	for (looks = 0; looks < 1000 && w->waits_to_open; looks++)
		look_while_some_come();
	CU_ASSERT_EQUAL(looks, OPENING_LOOKS);
	CU_ASSERT_EQUAL(acceptor_state(w->acceptor), ACCEPTOR_TAKING);
	chan_free(&key);
	teardown();
}

static const struct unit_case cases[] = {
	{ "greeting and goodbye", test_greeting_and_goodbye },
	{ "commands while authd is asked", test_commands_while_authd_is_asked },
	{ "the share of an address", test_share_of_an_address },
	{ "much memory", test_much_memory },
	{ "a slow handshake", test_slow_handshake },
	{ "a client that does not read", test_client_does_not_read },
	{ "a goodbye that cannot be said", test_goodbye_cannot_be_said },
	{ "errors, and a client that does not close", test_errors_and_linger },
	{ "the ends of a hand-over", test_handoff_ends },
	{ "the sweep and the second try come in one turn", test_sweep_and_retry_in_one_turn },
	{ "a new authd and the second try come in one turn", test_new_authd_and_retry_in_one_turn },
	{ "the deadline and the second try come in one turn", test_timeout_while_retry_is_pending },
	{ "a retiring worker lets clients go", test_retiring_worker_lets_go },
	{ "a new authd while a program starts", test_new_authd_while_a_program_starts },
	{ "a program gets no header", test_program_gets_no_header },
	{ "nobody waits for an authd without a master", test_nobody_waits_for_authd_without_a_master },
	{ "a client leaves while authd is asked", test_client_leaves_while_authd_is_asked },
	{ "a half-close behind commands", test_half_close_behind_commands },
	{ "a reset behind commands that were not read", test_reset_behind_commands_not_read },
	{ "a client leaves during the login at its peer", test_client_leaves_during_peer_login },
	{ "a kick during a login at a peer", test_kick_during_peer_login },
	{ "a kick during a hand-over", test_kick_during_handoff },
	{ "a kick of a relayed client", test_kick_of_a_relayed_client },
	{ "an arrival is told in passing", test_arrival_is_told_in_passing },
	{ "the peer is this node", test_peer_is_this_node },
	{ "a session of this node", test_session_here },
	{ "coded: a session of this node", test_session_here_coded },
	{ "TLS: a session of this node", test_session_here_tls },
	{ "coded: a stream that is lost", test_stream_lost_coded },
	{ "TLS: a stream that is lost", test_stream_lost_tls },
	{ "coded: the ends of a hand-over", test_handoff_ends_coded },
	{ "coded: the sweep and the second try come in one turn", test_sweep_and_retry_in_one_turn_coded },
	{ "TLS: the ends of a hand-over", test_handoff_ends_tls },
	{ "TLS: the sweep and the second try come in one turn", test_sweep_and_retry_in_one_turn_tls },
	{ "coded: greeting and goodbye", test_greeting_and_goodbye_coded },
	{ "coded: commands while authd is asked", test_commands_while_authd_is_asked_coded },
	{ "coded: a client that does not read", test_client_does_not_read_coded },
	{ "coded: errors, and a client that does not close", test_errors_and_linger_coded },
	{ "coded: a client leaves while authd is asked", test_client_leaves_while_authd_is_asked_coded },
	{ "coded: a client leaves during the login at its peer", test_client_leaves_during_peer_login_coded },
	{ "coded: an arrival is told in passing", test_arrival_is_told_in_passing_coded },
	{ "TLS: greeting and goodbye", test_greeting_and_goodbye_tls },
	{ "TLS: commands while authd is asked", test_commands_while_authd_is_asked_tls },
	{ "TLS: a client that does not read", test_client_does_not_read_tls },
	{ "TLS: errors, and a client that does not close", test_errors_and_linger_tls },
	{ "TLS: a client leaves while authd is asked", test_client_leaves_while_authd_is_asked_tls },
	{ "TLS: a client leaves during the login at its peer", test_client_leaves_during_peer_login_tls },
	{ "TLS: an arrival is told in passing", test_arrival_is_told_in_passing_tls },
	{ "coded: the peer is this node", test_peer_is_this_node_coded },
	{ "TLS: the peer is this node", test_peer_is_this_node_tls },
	{ "certificates come before clients", test_certificates_come_before_clients },
	{ "certificates without end", test_certificates_without_end },
	{ NULL, NULL },
};

UNIT_MAIN("worker", cases)
