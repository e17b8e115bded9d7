/* The login worker and its engine on a real loop, with authd and spawn played by the test. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "imapd/imap_login.h"
#include "lib/loop.h"
#include "login/worker.c" /* its turns are ordered from within */
#include "pop3d/pop3_login.h"

static const struct login_dialect *const dialects[PROTOCOL_COUNT] = {
	[PROTOCOL_IMAP] = &imap_login_dialect, [PROTOCOL_POP3] = &pop3_login_dialect,
};

/* One worker, one client, and the far ends of its two channels. */
static struct worker *w;
static int authd_end, spawn_end, client_end;

static int channel(struct chan **c, chan_fn *on_msg, chan_gone_fn *on_gone)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	*c = chan_new(w->ctx.loop, fd[0], on_msg, on_gone, w);
	return fd[1];
}

/* What is posted in a turn leaves before the next one looks. */
static void turns(void)
{
	ev_run(w->ctx.loop, EVRUN_NOWAIT);
	ev_run(w->ctx.loop, EVRUN_NOWAIT);
}

/* The next message at FD, of TYPE; a bundle is opened. False: there is none. */
static bool next(int fd, uint16_t type, struct msgr *r)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int passed;
	size_t len;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (msg_recv(fd, buf, r, &passed) != 1)
		return false;
	if (passed != -1)
		close(passed);
	if (r->type == 0xffff) {
		const void *p = msgr_bytes(r, MSG_SIZE_MAX, &len);

		msgr_begin(r, p, len);
	}
	CU_ASSERT_EQUAL(r->type, type);
	return r->type == type;
}

static void say(const char *text)
{
	CU_ASSERT_EQUAL((size_t)send(client_end, text, strlen(text), 0), strlen(text));
	turns();
}

/* All that the client has been told. */
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

	w = mem_alloc(sizeof(*w));
	w->ctx.loop = loop_new();
	w->ctx.set = settings_defaults();
	w->dialects = dialects;
	w->relays = relay_pool_new(w->ctx.loop, 0, on_relay_end, w);
	authd_end = channel(&w->authd, on_authd, on_authd_gone);
	spawn_end = channel(&w->spawn, on_spawn, on_spawn_gone);
	ev_timer_init(&w->sweep, on_sweep, 0.1, 1);
	w->sweep.data = w;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	client_end = fd[1];
	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	login_start(w, &imap_login_dialect, fd[0], &client, 143);
}

static void teardown(void)
{
	while (w->logins != NULL)
		login_end(w->logins, LOGIN_BYE_SHUTDOWN);
	turns();
	chan_free(&w->authd);
	chan_free(&w->spawn);
	close(authd_end);
	close(spawn_end);
	close(client_end);
	ev_timer_stop(w->ctx.loop, &w->sweep);
	relay_pool_free(&w->relays);
	for (int i = 0; i < PROTOCOL_COUNT; i++)
		str_fini(&w->greeting[i]);
	settings_free(&w->ctx.set);
	mem_free(&w->slots);
	mem_free(&w->free_slots);
	mem_free(&w);
}

/* authd's answer to REQUEST: the mail is here. */
static void answer_here(uint32_t request)
{
	static struct msgw m;
	struct auth_reply *a = auth_reply_new();

	a->request = request;
	a->verdict = AUTH_VERDICT_OK;
	a->session = 7;
	str_copy(a->session_id, sizeof(a->session_id), "0123456789abcdef");
	str_copy(a->name, sizeof(a->name), "u");
	a->local = true;
	auth_reply_write(&m, a);
	CU_ASSERT_EQUAL(msg_send(authd_end, &m, -1), 0);
	auth_reply_free(&a);
	turns();
}

static void refuse_handoff(void)
{
	static struct msgw m;
	struct msgr r;
	uint32_t request;

	CU_ASSERT_FATAL(next(spawn_end, HANDOFF, &r));
	request = msgr_u32(&r);
	msgw_begin(&m, HANDOFF_REPLY);
	msgw_u32(&m, request);
	msgw_u8(&m, 0);
	CU_ASSERT_EQUAL(msg_send(spawn_end, &m, -1), 0);
	turns();
}

static uint32_t asked(const char *user)
{
	static struct auth_request q;
	struct msgr r;

	CU_ASSERT_FATAL(next(authd_end, AUTH_REQUEST, &r));
	CU_ASSERT(auth_request_read(&r, &q));
	CU_ASSERT_STRING_EQUAL(q.user, user);
	CU_ASSERT_STRING_EQUAL(q.password, "p");
	return q.request;
}

/* The client's login went to spawn, which could not start a server. */
static void fail_first_handoff(void)
{
	struct msgr r;

	told();
	say("a LOGIN u p\r\n");
	answer_here(asked("u"));
	refuse_handoff();
	CU_ASSERT(next(authd_end, SESSION_END, &r));
	CU_ASSERT_EQUAL(w->logins->state, LOGIN_RETRY);
}

/* Both timers have expired when the loop looks, the sweep's first: the retry is about to be told, and is not told yet. */
static void test_sweep_and_retry_in_one_turn(void)
{
	setup();
	ev_timer_start(w->ctx.loop, &w->sweep);
	fail_first_handoff();
	usleep(450 * 1000); /* more than RETRY_MS and the sweep's 0.1 s */
	turns();
	CU_ASSERT_STRING_EQUAL(told(), "");
	answer_here(asked("u"));
	refuse_handoff();
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

/* The login's time is over while it waits for its second try, whose timer has expired, too. */
static void test_timeout_while_retry_is_pending(void)
{
	setup();
	ev_timer_start(w->ctx.loop, &w->sweep);
	fail_first_handoff();
	w->logins->started -= (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT + 1;
	usleep(450 * 1000);
	turns();
	CU_ASSERT_PTR_NOT_NULL(strstr(told(), "a NO [UNAVAILABLE]"));
	CU_ASSERT_EQUAL(w->logins->state, LOGIN_CLOSING);
	teardown();
}

static const struct unit_case cases[] = {
	{ "the sweep and the second try come in one turn", test_sweep_and_retry_in_one_turn },
	{ "a new authd and the second try come in one turn", test_new_authd_and_retry_in_one_turn },
	{ "the deadline and the second try come in one turn", test_timeout_while_retry_is_pending },
	{ NULL, NULL }
};

UNIT_MAIN("worker", cases)
