/* A process that was stopped, or frozen with its machine: what came meanwhile waits unread, and nobody is to blame for
 * the silence. The clock is the test's, the timers of the loop are real and short. */
#include "tests/unit/worker_rig.h"

#include <netinet/in.h>
#include <string.h>
#include <time.h>

#include "authd/resolver.h"
#include "imapd/imap_login.h"
#include "lib/clock.h"
#include "lib/loop.h"
#include "login/client_tls.h"
#include "login/header_wait.h"
#include "proxy/backend.h"

#define WAIT 0.3 /* for a peer, seconds */

static double fake_now = 100;

double clock_now(void)
{
	return fake_now;
}

#include "tests/unit/fake_clock.h"

/* The loop looks again after PASSED of our seconds; its timers of WAIT s are over. */
static void look_after(struct ev_loop *loop, double passed)
{
	struct timespec left = { .tv_nsec = 350 * 1000 * 1000 };

	while (nanosleep(&left, &left) != 0) /* the end of a child interrupts it */
		;
	fake_now += passed;
	for (int i = 0; i < 4; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

/* --- a login at a peer --- */

static struct {
	int lines, down, slow, done;
	enum backend_result result;
} peer;

static enum backend_step on_peer_said(const char *line, size_t len UNUSED, struct str *o, uint64_t *skip UNUSED,
    void *arg UNUSED)
{
	peer.lines++;
	if (strcmp(line, "welcome") == 0)
		str_adds(o, "login\r\n");
	return strcmp(line, "ok") == 0 ? BACKEND_STEP_OK : BACKEND_STEP_MORE;
}

static void on_end(struct backend *b, enum backend_result result, void *arg UNUSED)
{
	peer.done++;
	peer.result = result;
	backend_free(&b);
}

static void on_health(unsigned index UNUSED, enum peer_result result, uint32_t took UNUSED, void *arg UNUSED)
{
	peer.down += result == PEER_DOWN;
	peer.slow += result == PEER_SLOW;
}

static const struct backend_fns fns = { on_peer_said, NULL, on_end, on_health, NULL, NULL, NULL };

/* A peer that has taken the connection: its end of it. */
static int begin(struct ev_loop *loop)
{
	struct sockaddr_in sin;
	socklen_t size = sizeof(sin);
	struct net_addr addr;
	int fd, listener;

	memset(&peer, 0, sizeof(peer));
	CU_ASSERT_FATAL(net_addr_parse(&addr, "127.0.0.1", 0));
	CU_ASSERT_FATAL((listener = net_listen(&addr, 4)) != -1);
	CU_ASSERT_FATAL(getsockname(listener, (struct sockaddr *)&sin, &size) == 0);
	addr.port = ntohs(sin.sin_port);
	backend_start(loop, &addr, 1, WAIT, &fns, NULL);
	fcntl(listener, F_SETFL, 0);
	CU_ASSERT_FATAL((fd = accept(listener, NULL, NULL)) != -1);
	close(listener);
	ev_run(loop, EVRUN_NOWAIT);
	return fd;
}

static void says(int fd, const char *text)
{
	CU_ASSERT_EQUAL(send(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

/* The greeting comes while we are stopped, the answer while we are stopped again. */
static void test_peer_is_not_blamed(void)
{
	struct ev_loop *loop = loop_new();
	int fd;

	loop_keep_time(loop);
	fd = begin(loop);
	says(fd, "welcome\r\n");
	look_after(loop, 12);
	CU_ASSERT(peer.lines == 1 && peer.down == 0 && peer.done == 0);
	says(fd, "ok\r\n");
	look_after(loop, 12);
	CU_ASSERT(peer.done == 1 && peer.result == BACKEND_OK && peer.down == 0 && peer.slow == 0);
	close(fd);
	/* Not even one that has said nothing yet; but it has its time once more, and not for ever. */
	fd = begin(loop);
	look_after(loop, 12);
	CU_ASSERT(peer.done == 0 && peer.down == 0);
	look_after(loop, 0.35);
	CU_ASSERT(peer.done == 1 && peer.result == BACKEND_UNREACHABLE && peer.down == 1);
	close(fd);
	fd = begin(loop);
	look_after(loop, 0.35); /* as it is without a stop */
	CU_ASSERT(peer.done == 1 && peer.down == 1);
	close(fd);
}

/* --- a client that logs in --- */

static void test_client_is_not_ended(void)
{
	static const struct login_dialect *const dialects[PROTOCOL_COUNT] = { [PROTOCOL_IMAP] = &imap_login_dialect };
	struct net_addr client;
	double limit;
	int fd[2];

	rig_new(dialects);
	loop_keep_time(w->ctx.loop);
	limit = (double)w->ctx.set->node_LOGIN_TIMEOUT;
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	CU_ASSERT_FATAL(net_addr_parse(&client, "127.0.0.1", 12345));
	login_start(&w->env, &imap_login_dialect, fd[0], &(struct login_client){ .addr = client, .port = 143 });
	look_after(w->ctx.loop, 0.5);
	look_after(w->ctx.loop, limit + 10); /* held */
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT_NOT_EQUAL(w->env.logins->state, LOGIN_CLOSING);
	for (double s = 0; s < limit + 2; s++) { /* its own time */
		fake_now++;
		ev_run(w->ctx.loop, EVRUN_NOWAIT);
	}
	on_sweep(w->ctx.loop, &w->sweep, 0);
	CU_ASSERT(w->env.logins == NULL || w->env.logins->state == LOGIN_CLOSING);
	rig_stop();
	close(fd[1]);
	turns();
	rig_free();
}

/* --- a name --- */

static enum name_answer answer;

static void on_name(const char *host UNUSED, enum name_answer a, const struct net_addr *addr UNUSED, unsigned n UNUSED,
    void *arg UNUSED)
{
	answer = a;
}

static void test_name_server_is_not_blamed(void)
{
	struct ev_loop *loop = loop_new();
	struct resolver *r = resolver_new(loop, WAIT, on_name, NULL);

	loop_keep_time(loop);
	resolver_ask(r, "192.0.2.1");
	look_after(loop, 12);
	CU_ASSERT_EQUAL(answer, NAME_FOUND);
	resolver_free(&r);
}

/* --- a proxy in front --- */

static int delivered;

static void on_front(void *arg UNUSED, enum protocol p UNUSED, bool tls, int fd,
    const struct proxy_header_facts *f UNUSED, uint16_t port UNUSED)
{
	CU_ASSERT(tls);
	delivered++;
	close(fd);
}

/* A connection of a proxy: its end of it. */
static int front(struct header_wait *wait)
{
	struct net_addr from;
	int fd[2];

	CU_ASSERT_FATAL(net_addr_parse(&from, "127.0.0.1", 12345));
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	header_wait_add(wait, PROTOCOL_IMAP, true, fd[0], &from, 993);
	return fd[1];
}

static void test_proxy_is_not_blamed(void)
{
	struct ev_loop *loop = loop_new();
	struct header_wait wait;
	int fd;

	loop_keep_time(loop);
	header_wait_init(&wait, loop, on_front, NULL);
	wait.seconds = WAIT;
	fd = front(&wait);
	says(fd, "PROXY TCP4 192.0.2.1 192.0.2.2 4711 143\r\n");
	look_after(loop, 12);
	CU_ASSERT(delivered == 1 && wait.refused == 0 && wait.count == 0);
	close(fd);
	fd = front(&wait); /* one that says nothing has its time once more, and not for ever */
	look_after(loop, 12);
	CU_ASSERT(wait.refused == 0 && wait.count == 1);
	look_after(loop, 0.35);
	CU_ASSERT(wait.refused == 1 && wait.count == 0);
	close(fd);
}

/* What a proxy in front says of its client's TLS is told like what we see, if it looks like that. */
static void test_tls_of_front(void)
{
	static const struct {
		bool tls;
		const char *version, *cipher, *want;
	} cases[] = {
		{ true, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "TLSv1.3:TLS_AES_256_GCM_SHA384" },
		{ false, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "" },
		{ true, "", "TLS_AES_256_GCM_SHA384", "" },
		{ true, "TLSv1.3", "", "" },
		{ true, "TLSv1.3", "a b", "" },
		{ true, "TLSv1.3, user=x", "X", "" },
		{ true, "TLSv1.3", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabc",
		    "TLSv1.3:abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabc" },
		{ true, "TLSv1.3", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcd", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct proxy_header_facts f = { .tls = cases[i].tls };
		char words[SESSION_TLS_MAX];

		snprintf(f.tls_version, sizeof(f.tls_version), "%s", cases[i].version);
		snprintf(f.tls_cipher, sizeof(f.tls_cipher), "%s", cases[i].cipher);
		client_tls_of_front(&f, words);
		CU_ASSERT_STRING_EQUAL(words, cases[i].want);
	}
}

static const struct unit_case cases[] = {
	{ "what a proxy in front says of TLS", test_tls_of_front },
	{ "a peer is not blamed for our own stop", test_peer_is_not_blamed },
	{ "a client does not lose its time to log in by our own stop", test_client_is_not_ended },
	{ "a proxy in front is not blamed for our own stop", test_proxy_is_not_blamed },
	{ "a name server is not blamed for our own stop", test_name_server_is_not_blamed },
	{ NULL, NULL },
};
UNIT_MAIN("held", cases)
