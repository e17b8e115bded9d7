/* proxy/relay: both streams, their ends, a clock that steps. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/conn_tls.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "proxy/relay.h"
#include "tests/unit/clock_step.h"
#include "tests/unit/coded.h"
#include "tests/unit/tls_test.h"

static int ends, first_end, last_end;
static uint64_t last_rcvd, last_sent, each_rcvd[16];

static void on_end(struct relay *r, enum relay_end end, void *session, void *arg)
{
	CU_ASSERT_STRING_EQUAL(session, "session");
	CU_ASSERT_STRING_EQUAL(arg, "arg");
	first_end = ends == 0 ? (int)end : first_end;
	each_rcvd[(unsigned)ends++ % ARRAY_LEN(each_rcvd)] = relay_rcvd(r);
	last_end = end;
	last_rcvd = relay_rcvd(r);
	last_sent = relay_sent(r);
}

/* How many relays there are between client and server: 1; or 2, with a connection of another kind between them: the
 * coded one, or TLS of a version. */
static int relays = 1;
static int tls_version;
static SSL_CTX *server_ctx, *client_ctx;

enum side { PLAIN, ACCEPTS, CONNECTS };

/* Relays between socket pairs; the far ends are the test's. */
struct rig {
	struct ev_loop *loop;
	struct relay_pool *pool;
	int client, server;
};

static void on_nothing(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	CU_FAIL("called for a watcher that was stopped");
}

static void pair(int sv[2])
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
}

/* Watched as a login's or a back end's connection is, until the relay takes it over. */
static void watched(struct rig *g, struct conn *c, int fd, enum side side)
{
	conn_open(c, fd, on_nothing, NULL);
	if (side != PLAIN && tls_version == 0)
		conn_use(g->loop, c, coded_new(fd));
	else if (side == ACCEPTS)
		conn_tls_accept(g->loop, c, server_ctx);
	else if (side == CONNECTS)
		conn_tls_connect(g->loop, c, SSL_new(client_ctx));
	conn_watch(g->loop, c, EV_READ);
}

static void relay_conns(struct rig *g, struct conn *c, struct conn *s, struct str *to_client, struct str *to_server)
{
	relay_new(g->pool, c, s, to_client, to_server, (void *)(uintptr_t) "session");
	CU_ASSERT(!conn_is_open(c) && !conn_is_open(s) && !ev_is_active(&c->io) && !ev_is_active(&s->io));
}

static void relay_between(struct rig *g, int client, int server, struct str *to_client, struct str *to_server)
{
	struct conn c, s;

	watched(g, &c, client, PLAIN);
	watched(g, &s, server, PLAIN);
	relay_conns(g, &c, &s, to_client, to_server);
}

/* Less than what is written at a time: a connection that is not plain holds the rest. */
enum { MIDDLE_BUFFER = 16 * 1024 };

static void two_relays_between(struct rig *g, int client, int server, struct str *to_client, struct str *to_server)
{
	struct str none = STR_INIT;
	struct conn c, s;
	int middle[2];

	pair(middle);
	setsockopt(middle[1], SOL_SOCKET, SO_SNDBUF, &(int){ MIDDLE_BUFFER }, sizeof(int));
	watched(g, &c, client, PLAIN);
	watched(g, &s, middle[0], CONNECTS);
	relay_conns(g, &c, &s, &none, to_server);
	watched(g, &c, middle[1], ACCEPTS);
	watched(g, &s, server, PLAIN);
	relay_conns(g, &c, &s, to_client, &none);
}

static void start(struct rig *g, const char *to_client, const char *to_server, unsigned idle)
{
	struct str tc = STR_INIT, ts = STR_INIT;
	int c[2], s[2];

	ends = 0;
	g->loop = ev_loop_new(EVFLAG_AUTO);
	g->pool = relay_pool_new(g->loop, idle, on_end, (void *)(uintptr_t) "arg");
	pair(c);
	pair(s);
	g->client = c[0];
	g->server = s[0];
	str_adds(&tc, to_client);
	str_adds(&ts, to_server);
	(relays == 1 ? relay_between : two_relays_between)(g, c[1], s[1], &tc, &ts);
}

static void turn(struct rig *g, int times)
{
	for (int i = 0; i < times * (relays == 1 ? 1 : 4); i++)
		ev_run(g->loop, EVRUN_NOWAIT);
}

static void finish(struct rig *g)
{
	CU_ASSERT_EQUAL(relay_pool_count(g->pool), 0);
	CU_ASSERT_EQUAL(coded_count(), 0);
	relay_pool_free(&g->pool);
	ev_loop_destroy(g->loop);
	if (g->client != -1)
		close(g->client);
	if (g->server != -1)
		close(g->server);
}

static void expect(int fd, const char *text)
{
	char buf[256];
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	CU_ASSERT_EQUAL(n, (ssize_t)strlen(text));
	buf[n > 0 ? n : 0] = '\0';
	CU_ASSERT_STRING_EQUAL(buf, text);
}

static void test_both_ways(void)
{
	struct rig g;

	start(&g, "early to client ", "early to server ", 0);
	turn(&g, 2);
	expect(g.client, "early to client ");
	expect(g.server, "early to server ");
	CU_ASSERT_EQUAL(write(g.client, "ping", 4), 4);
	CU_ASSERT_EQUAL(write(g.server, "pong!", 5), 5);
	turn(&g, 3);
	expect(g.client, "pong!");
	expect(g.server, "ping");
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	close(g.client);
	g.client = -1;
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(last_end, RELAY_END_SERVER);
	CU_ASSERT_EQUAL(last_rcvd, 16 + 4);
	CU_ASSERT_EQUAL(last_sent, 16 + 5);
	finish(&g);
}

/* The client closes its sending side; what the server still sends arrives. */
static void test_half_close(void)
{
	struct rig g;
	char c;

	start(&g, "", "", 0);
	CU_ASSERT_EQUAL(write(g.client, "LOGOUT", 6), 6);
	shutdown(g.client, SHUT_WR);
	turn(&g, 4);
	expect(g.server, "LOGOUT");
	CU_ASSERT_EQUAL(read(g.server, &c, 1), 0);
	CU_ASSERT_EQUAL(ends, 0);
	CU_ASSERT_EQUAL(write(g.server, "BYE", 3), 3);
	turn(&g, 3);
	expect(g.client, "BYE");
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	CU_ASSERT_EQUAL(read(g.client, &c, 1), 0);
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(last_end, RELAY_END_CLIENT);
	finish(&g);
}

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

/* Far more than the sockets hold, to a receiver that reads little at a time. */
static void carry_much(struct rig *g)
{
	enum { TOTAL = 8 * 1024 * 1024 };
	static unsigned char buf[65536];
	size_t sent = 0, got = 0;
	bool stalled = false, same = true;

	while (!stalled && sent < TOTAL) {
		size_t n = MIN(sizeof(buf), TOTAL - sent);
		ssize_t r;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(sent + i);
		r = write(g->server, buf, n);
		if (r > 0)
			sent += (size_t)r;
		turn(g, 2);
		stalled = r < 0;
	}
	CU_ASSERT(stalled);
	for (int rounds = 0; got < TOTAL && rounds < 100000; rounds++) {
		size_t n = MIN(sizeof(buf), TOTAL - sent);
		ssize_t r;

		for (size_t i = 0; i < n; i++)
			buf[i] = pattern(sent + i);
		if (n != 0 && (r = write(g->server, buf, n)) > 0)
			sent += (size_t)r;
		if (sent == TOTAL)
			shutdown(g->server, SHUT_WR);
		turn(g, 1);
		if ((r = read(g->client, buf, 7777)) > 0) {
			for (ssize_t i = 0; i < r; i++)
				same = same && buf[i] == pattern(got + (size_t)i);
			got += (size_t)r;
		}
	}
	CU_ASSERT(same);
	CU_ASSERT_EQUAL(got, TOTAL);
	turn(g, 3);
	CU_ASSERT_EQUAL(read(g->client, buf, 1), 0);
	close(g->client);
	g->client = -1;
	turn(g, 3);
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(last_sent, TOTAL);
	finish(g);
}

/* A receiver that does not read stops the sender; nothing is lost, doubled or swapped. */
static void test_back_pressure(void)
{
	struct rig g;

	start(&g, "", "", 0);
	carry_much(&g);
}

/* One end of the storm: writes its pattern and checks the other's. */
struct end {
	int fd;
	size_t to_send, sent, got;
	bool same, over;
};

static void act(struct end *e, size_t (*rnd)(size_t))
{
	static unsigned char buf[200 * 1024];
	size_t piece = rnd(sizeof(buf)) + 1, n = MIN(piece, e->to_send - e->sent);
	ssize_t r;

	if (e->fd == -1)
		return;
	for (size_t i = 0; i < n; i++)
		buf[i] = pattern(e->sent + i);
	if (n != 0 && (r = send(e->fd, buf, n, MSG_NOSIGNAL)) > 0) {
		e->sent += (size_t)r;
		if (e->sent == e->to_send)
			shutdown(e->fd, SHUT_WR);
	}
	if (rnd(3) == 0) /* a slow reader */
		return;
	r = read(e->fd, buf, rnd(sizeof(buf)) + 1);
	e->over = e->over || r == 0;
	for (ssize_t i = 0; i < r; i++)
		e->same = e->same && buf[i] == pattern(e->got + (size_t)i);
	e->got += r > 0 ? (size_t)r : 0;
}

static unsigned seed;

static size_t small_or_large(size_t limit)
{
	seed = seed * 1103515245 + 12345;
	if (limit > 1000 && (seed >> 16) % 4 != 0)
		limit = 1000;
	return (seed >> 8) % limit;
}

/* Both directions at once, in pieces of all sizes, each side done at another time. */
static void test_storm(void)
{
	for (unsigned run = 1; run <= 12; run++) {
		struct end c = { .same = true }, s = { .same = true };
		struct rig g;

		seed = run;
		start(&g, "", "", 0);
		c.fd = g.client;
		s.fd = g.server;
		c.to_send = 1 + small_or_large(1000) * 1500;
		s.to_send = 1 + small_or_large(1000) * 3000;
		for (int i = 0; i < 200000 && !(c.over && s.over); i++) {
			act(&c, small_or_large);
			act(&s, small_or_large);
			turn(&g, 1);
		}
		CU_ASSERT(c.same && s.same);
		CU_ASSERT(c.over && s.over);
		CU_ASSERT_EQUAL(c.got, s.to_send);
		CU_ASSERT_EQUAL(s.got, c.to_send);
		CU_ASSERT_EQUAL(ends, relays);
		CU_ASSERT(last_rcvd == c.to_send && last_sent == s.to_send);
		finish(&g);
	}
}

static int open_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* One end closes in the middle, mostly with bytes unread, which resets the connection: what the other has received is a
 * prefix of what was sent, and no descriptor is left except two empty pipes. */
static void test_sudden_death(void)
{
	int before = open_fds();

	for (unsigned run = 1; run <= 40; run++) {
		struct end end[2] = { { .same = true }, { .same = true } }, *dying = &end[run % 2];
		size_t life;
		struct rig g;

		seed = run;
		start(&g, "", "", 0);
		end[0].fd = g.client;
		end[1].fd = g.server;
		end[0].to_send = end[1].to_send = 3 * 1000 * 1000;
		life = small_or_large(4000) * 1000;
		for (int i = 0; i < 200000 && ends < relays; i++) {
			act(&end[0], small_or_large);
			act(&end[1], small_or_large);
			turn(&g, 1);
			if (dying->fd == -1 || dying->sent + dying->got < life)
				continue;
			close(dying->fd);
			dying->fd = -1;
			*(run % 2 ? &g.server : &g.client) = -1;
		}
		CU_ASSERT(end[0].same && end[1].same);
		CU_ASSERT_EQUAL(ends, relays);
		CU_ASSERT(end[0].got <= last_sent && last_sent <= end[1].sent);
		CU_ASSERT(end[1].got <= last_rcvd && last_rcvd <= end[0].sent);
		finish(&g);
		CU_ASSERT(open_fds() <= before + 4);
	}
}

/* No descriptor is left for a pipe: bulk data is still relayed. Runs before tests that keep pipes. */
static void test_no_pipes(void)
{
	struct rlimit old, none;
	struct rig g;

	start(&g, "", "", 0);
	getrlimit(RLIMIT_NOFILE, &old);
	none = old;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	carry_much(&g);
	setrlimit(RLIMIT_NOFILE, &old);
}

static unsigned told;

static void count_told(struct ev_loop *loop)
{
	unsigned n = ev_pending_count(loop);

	told += n > 1 ? n - 1 : 0; /* one call is the pool's own, in each turn */
	ev_invoke_pending(loop);
}

/* The end of one side is reported, but not in every turn of the loop while the other continues. */
static void test_told_once(void)
{
	static char buf[65536];
	struct rig g;

	start(&g, "", "", 0);
	ev_set_invoke_pending_cb(g.loop, count_told);
	shutdown(g.client, SHUT_WR);
	turn(&g, 4);
	CU_ASSERT(told != 0);
	told = 0;
	turn(&g, 50);
	CU_ASSERT_EQUAL(told, 0);
	CU_ASSERT_EQUAL(write(g.server, "more", 4), 4);
	turn(&g, 3);
	expect(g.client, "more");
	while (write(g.server, buf, sizeof(buf)) > 0)
		turn(&g, 2);
	turn(&g, 4);
	told = 0;
	turn(&g, 50); /* now bytes wait for the side that has ended */
	CU_ASSERT_EQUAL(told, 0);
	shutdown(g.server, SHUT_WR);
	for (int i = 0; i < 100000 && ends == 0; i++) {
		ssize_t r UNUSED = read(g.client, buf, sizeof(buf));

		turn(&g, 1);
	}
	CU_ASSERT_EQUAL(ends, 1);
	finish(&g);
}

/* If the client is gone while bytes for it wait, the relay ends, and the server notices. */
static void test_client_gone(void)
{
	struct rig g;
	static char buf[1 << 20];
	char c;

	start(&g, "", "", 0);
	for (int i = 0; i < 8; i++) {
		ssize_t r UNUSED = write(g.server, buf, sizeof(buf));
		turn(&g, 2);
	}
	close(g.client);
	g.client = -1;
	turn(&g, 5);
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(last_end, RELAY_END_CLIENT);
	while (read(g.server, &c, 1) > 0)
		;
	CU_ASSERT(send(g.server, "x", 1, MSG_NOSIGNAL) < 0);
	finish(&g);
}

/* Both were gone when the relay began, with bytes for each. */
static void test_both_gone(void)
{
	struct str tc = STR_INIT, ts = STR_INIT;
	struct rig g;
	int c[2], s[2];

	ends = 0;
	g.loop = ev_loop_new(EVFLAG_AUTO);
	g.pool = relay_pool_new(g.loop, 0, on_end, (void *)(uintptr_t) "arg");
	pair(c);
	pair(s);
	close(c[0]);
	close(s[0]);
	g.client = g.server = -1;
	str_adds(&tc, "OK");
	str_adds(&ts, "NOOP");
	relay_between(&g, c[1], s[1], &tc, &ts);
	CU_ASSERT_EQUAL(ends, 0); /* never from within relay_new() */
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 1);
	finish(&g);
}

static void stop_it(struct relay *r, void *session, void *arg)
{
	CU_ASSERT_STRING_EQUAL(session, "session");
	CU_ASSERT_PTR_NULL(arg);
	relay_stop(r, RELAY_END_KICK);
}

static void test_stop_and_idle(void)
{
	struct rig g;

	start(&g, "", "", 0);
	relay_pool_each(g.pool, stop_it, NULL);
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(last_end, RELAY_END_KICK);
	finish(&g);
	start(&g, "", "", 1);
	for (int i = 0; i < 10 && ends < relays; i++) {
		ev_run(g.loop, EVRUN_NOWAIT);
		usleep(400000);
		ev_now_update(g.loop);
	}
	CU_ASSERT_EQUAL(ends, relays);
	CU_ASSERT_EQUAL(first_end, RELAY_END_IDLE);
	finish(&g);
}

static void kick_it(struct relay *r, void *session UNUSED, void *arg)
{
	*(bool *)arg = relay_last_words(r, "bye\n", 4);
	relay_stop(r, RELAY_END_KICK);
}

static void has_spoken(struct relay *r, void *session UNUSED, void *arg UNUSED)
{
	relay_server_has_spoken(r);
}

/* Kicks; the client gets WANT and the end of the stream. */
static void kick_gives(struct rig *g, bool said, const char *want)
{
	bool was = !said;

	relay_pool_each(g->pool, kick_it, &was);
	CU_ASSERT_EQUAL(was, said);
	CU_ASSERT_EQUAL(last_end, RELAY_END_KICK);
	expect(g->client, want);
	expect(g->client, "");
	finish(g);
}

/* Words of ours reach the client before the server's first byte, whatever the client has said; and never behind it, nor
 * in the middle of what was to be sent first. */
static void test_last_words(void)
{
	struct rig g;
	int size = 4096;
	char big[256 * 1024];
	ssize_t n;

	start(&g, "OK\n", "", 0);
	kick_gives(&g, true, "OK\nbye\n");
	start(&g, "", "", 0);
	CU_ASSERT_EQUAL(write(g.client, "STAT\n", 5), 5);
	turn(&g, 3);
	CU_ASSERT_EQUAL(write(g.client, "LIST\n", 5), 5); /* not read when the end comes */
	kick_gives(&g, true, "bye\n");
	start(&g, "OK\n", "", 0);
	CU_ASSERT_EQUAL(write(g.server, "x", 1), 1);
	turn(&g, 3);
	kick_gives(&g, false, "OK\nx");
	start(&g, "OK\nx", "", 0);
	relay_pool_each(g.pool, has_spoken, NULL);
	kick_gives(&g, false, "OK\nx");
	start(&g, "", "", 0);
	shutdown(g.server, SHUT_WR);
	turn(&g, 3);
	kick_gives(&g, false, "");
	/* The client does not take what comes first. */
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	start(&g, big, "", 0);
	setsockopt(g.client, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	relay_pool_each(g.pool, kick_it, &(bool){ true });
	while ((n = read(g.client, big, sizeof(big) - 1)) > 0)
		CU_ASSERT_PTR_NULL(memchr(big, 'b', (size_t)n));
	finish(&g);
}

static bool orphan_is_taken, orphan_end;
static int orphans;
static struct conn orphan; /* that was taken over */

static bool on_orphan(struct conn *client, bool end, void *session, void *arg)
{
	CU_ASSERT_STRING_EQUAL(session, "session");
	orphans++;
	orphan_end = end;
	if (orphan_is_taken)
		conn_take_over(arg, &orphan, on_nothing, NULL, client);
	return orphan_is_taken;
}

static void on_orphan_end(struct relay *r UNUSED, enum relay_end end, void *session UNUSED, void *arg UNUSED)
{
	ends++;
	last_end = end;
}

enum death { QUIET, QUIET_RESET, NOT_QUIET, CLIENT_SPEAKS, CLIENT_WAITS, CLIENT_ENDED, SERVER_SPEAKS };

/* The server dies; the client's connection can be taken over only if nothing was under way. */
static void dies(enum death how, bool taken)
{
	struct str none = STR_INIT;
	char big[256 * 1024] = "";
	int c[2], s[2];
	struct rig g;
	bool asked = how <= QUIET_RESET;

	ends = orphans = 0;
	orphan_is_taken = taken;
	g.loop = ev_loop_new(EVFLAG_AUTO);
	g.pool = relay_pool_new(g.loop, 0, on_orphan_end, g.loop);
	relay_pool_set_orphan(g.pool, on_orphan);
	pair(c);
	pair(s);
	g.client = c[0];
	g.server = s[0];
	relay_between(&g, c[1], s[1], &none, &none);
	if (how == QUIET_RESET)
		CU_ASSERT_EQUAL(write(g.client, "unread", 6), 6);
	while (how == CLIENT_WAITS && write(g.client, big, sizeof(big)) > 0)
		turn(&g, 100);
	if (how == CLIENT_ENDED)
		shutdown(g.client, SHUT_WR);
	turn(&g, 100);
	jump += how == NOT_QUIET ? 1 : 4;
	if (how == CLIENT_SPEAKS)
		CU_ASSERT_EQUAL(write(g.client, "NOOP", 4), 4);
	if (how == SERVER_SPEAKS)
		CU_ASSERT_EQUAL(write(g.server, "* BYE", 5), 5);
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	CU_ASSERT_EQUAL(orphans, asked);
	CU_ASSERT(!asked || orphan_end == (how == QUIET));
	CU_ASSERT(!asked || !taken || (ends == 1 && last_end == RELAY_END_SERVER));
	if (how == SERVER_SPEAKS)
		expect(g.client, "* BYE");
	if (asked && taken) {
		CU_ASSERT(recv(g.client, big, 1, 0) == -1 && errno == EAGAIN); /* it was told nothing */
		conn_close(g.loop, &orphan);
	}
	CU_ASSERT(recv(g.client, big, 1, 0) == 0 || (how == CLIENT_WAITS && errno == ECONNRESET));
	close(g.client);
	g.client = -1;
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 1);
	finish(&g);
}

static void test_server_dies(void)
{
	for (enum death how = QUIET; how <= SERVER_SPEAKS; how++) {
		dies(how, false);
		dies(how, true);
	}
}

static void stop_one(struct relay *r, void *session UNUSED, void *arg UNUSED)
{
	relay_stop(r, RELAY_END_KICK);
}

static void on_kick(struct ev_loop *loop, ev_io *io, int revents UNUSED)
{
	relay_pool_each(io->data, stop_one, NULL);
	ev_io_stop(loop, io);
}

/* Relays run in the order in which their events came: the one that has waited longest first. */
static void test_order(void)
{
	enum { N = 10 };
	int client[N], server[N], kick[2];
	struct rig g;
	ev_io kicker;

	start(&g, "", "", 0);
	for (int i = 0; i < N; i++) {
		struct str none = STR_INIT;
		int c[2], s[2];

		pair(c);
		pair(s);
		relay_between(&g, c[1], s[1], &none, &none);
		client[i] = c[0];
		server[i] = s[0];
		CU_ASSERT_EQUAL(write(client[i], "0123456789", (size_t)i + 1), i + 1);
	}
	turn(&g, 2);
	for (int i = 0; i < N; i++) {
		int k = (i * 7 + 3) % N;

		close(client[k]);
		close(server[k]);
	}
	turn(&g, 1);
	CU_ASSERT_EQUAL(ends, N);
	for (int i = 0; i < N; i++)
		CU_ASSERT_EQUAL(each_rcvd[i], (uint64_t)(i * 7 + 3) % N + 1);
	/* libev calls for the later event first: the relay is due when it is stopped. */
	pair(kick);
	ev_io_init(&kicker, on_kick, kick[0], EV_READ);
	kicker.data = g.pool;
	ev_io_start(g.loop, &kicker);
	turn(&g, 1);
	CU_ASSERT_EQUAL(write(kick[1], "x", 1), 1);
	CU_ASSERT_EQUAL(write(g.client, "x", 1), 1);
	turn(&g, 1);
	CU_ASSERT(ends == N + 1 && last_end == RELAY_END_KICK && last_rcvd == 0);
	turn(&g, 1);
	close(kick[0]);
	close(kick[1]);
	finish(&g);
}

static void turn_for_two_checks(struct rig *g)
{
	for (int i = 0; i < 6; i++) {
		ev_run(g->loop, EVRUN_NOWAIT);
		usleep(400000);
		ev_now_update(g->loop);
	}
}

/* The machine's clock is set: no session becomes idle by that. */
static void test_wall_clock_is_set(void)
{
	struct rig g;

	start(&g, "", "", 9);
	wall_step = 3600;
	turn_for_two_checks(&g);
	CU_ASSERT_EQUAL(ends, 0);
	wall_step = -3600;
	turn_for_two_checks(&g);
	CU_ASSERT_EQUAL(ends, 0);
	wall_step = 0;
	relay_pool_each(g.pool, stop_it, NULL);
	finish(&g);
}

static struct str far_heard;
static ssize_t far_end;

static void on_far(struct ev_loop *loop, ev_io *io, int revents)
{
	struct conn *c = io->data;
	char buf[256];
	ssize_t n = (conn_ready(c, revents) & EV_READ) != 0 ? conn_read(c, buf, sizeof(buf)) : CONN_LATER;

	if (n > 0)
		str_add(&far_heard, buf, (size_t)n);
	else if (n != CONN_LATER) {
		far_end = n;
		conn_watch(loop, c, 0);
	}
}

static void start_rig(struct rig *g, unsigned idle)
{
	ends = 0;
	far_end = CONN_LATER;
	g->loop = ev_loop_new(EVFLAG_AUTO);
	g->pool = relay_pool_new(g->loop, idle, on_end, (void *)(uintptr_t) "arg");
}

/* FAR is a client with TLS of the relay, whose server is plain. */
static void start_far(struct rig *g, struct conn *far, unsigned idle)
{
	struct str none = STR_INIT;
	struct conn c, s;
	int client[2], server[2];

	start_rig(g, idle);
	pair(client);
	pair(server);
	g->client = -1;
	g->server = server[0];
	watched(g, &c, client[1], ACCEPTS);
	watched(g, &s, server[1], PLAIN);
	relay_conns(g, &c, &s, &none, &none);
	conn_open(far, client[0], on_far, far);
	conn_tls_connect(g->loop, far, SSL_new(client_ctx));
	conn_watch(g->loop, far, EV_READ);
	turn(g, 4);
}

/* The server ends, or is cut off: only of the former the client hears that it was the end. */
static void hears_of_the_end(bool cut, bool client_has_ended)
{
	struct conn far;
	struct rig g;

	start_far(&g, &far, 0);
	CU_ASSERT_EQUAL(conn_write(&far, "hello", 5), 5);
	if (client_has_ended)
		conn_shut(&far);
	CU_ASSERT_EQUAL(write(g.server, "part of", 7), 7);
	turn(&g, 3);
	if (!cut)
		expect(g.server, "hello");
	close(g.server); /* with unread bytes: a reset */
	g.server = -1;
	turn(&g, 3);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), "part of");
	CU_ASSERT_EQUAL(far_end, cut ? CONN_CUT : 0);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 1);
	finish(&g);
}

static void test_end_and_cut(void)
{
	for (int i = 0; i < 4; i++)
		hears_of_the_end((i & 1) != 0, (i & 2) != 0);
}

/* The server says as much, in single bytes, as the socket to FAR takes, which reads nothing: at most MOST bytes.
 * Returns how many that were. */
static size_t fill(struct rig *g, const struct conn *far, size_t most)
{
	size_t n = 0;

	for (int held = 0, before = -1; n < most && held != before; n++) {
		before = held;
		CU_ASSERT_EQUAL(write(g->server, "x", 1), 1);
		turn(g, 2);
		CU_ASSERT_EQUAL_FATAL(ioctl(far->io.fd, FIONREAD, &held), 0);
	}
	return n;
}

/* The socket to FAR has just no room for the word at the end: it is said when there is some. Returns how many bytes
 * make it so full, and one that waits. */
static size_t ends_without_room(bool client_has_ended, size_t room)
{
	struct conn far;
	struct rig g;
	size_t n;

	start_far(&g, &far, 0);
	if (client_has_ended)
		conn_shut(&far);
	turn(&g, 3);
	conn_watch(g.loop, &far, 0);
	n = fill(&g, &far, room);
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 0);
	conn_watch(g.loop, &far, EV_READ);
	turn(&g, 100);
	CU_ASSERT_EQUAL(far_heard.len, n);
	CU_ASSERT_EQUAL(far_end, 0);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 1);
	finish(&g);
	return n;
}

static void test_end_without_room(void)
{
	for (int ended = 0; ended < 2; ended++)
		ends_without_room(ended != 0, ends_without_room(ended != 0, SIZE_MAX) - 1);
}

/* FAR ends without a word, as many programs do: the server gets what was said before, and answers it. */
static void test_far_ends_silently(void)
{
	struct conn far;
	struct rig g;

	start_far(&g, &far, 0);
	CU_ASSERT_EQUAL(write(g.server, "part of", 7), 7);
	CU_ASSERT_EQUAL(conn_write(&far, "hello", 5), 5);
	shutdown(far.io.fd, SHUT_WR);
	turn(&g, 3);
	expect(g.server, "hello");
	expect(g.server, "");
	CU_ASSERT_EQUAL(ends, 0);
	CU_ASSERT_EQUAL(far_end, CONN_LATER);
	CU_ASSERT_EQUAL(write(g.server, " all", 4), 4);
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), "part of all");
	CU_ASSERT_EQUAL(far_end, 0);
	CU_ASSERT(ends == 1 && last_end == RELAY_END_CLIENT);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	finish(&g);
}

/* Until the relay has ended. */
static void wait_for_end(struct rig *g)
{
	for (int i = 0; i < 100 && ends == 0; i++) {
		ev_run(g->loop, EVRUN_NOWAIT);
		usleep(20000);
	}
	turn(g, 3);
}

enum stop { KICKED, KICKED_WITH_WORDS, IDLE, HALF_OPEN };

/* The relay is ended in the middle of what the server says, or with last words: only these are the end. */
static void stopped(enum stop how)
{
	struct conn far;
	struct rig g;

	start_far(&g, &far, 9); /* it is looked at each second */
	if (how != KICKED_WITH_WORDS)
		CU_ASSERT_EQUAL(write(g.server, "part of", 7), 7);
	if (how == HALF_OPEN)
		conn_shut(&far);
	turn(&g, 3);
	if (how <= KICKED_WITH_WORDS)
		relay_pool_each(g.pool, kick_it, &(bool){ how == KICKED_WITH_WORDS });
	else
		jump += how == IDLE ? 10 : 301;
	wait_for_end(&g);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), how == KICKED_WITH_WORDS ? "bye\n" : "part of");
	CU_ASSERT_EQUAL(far_end, how == KICKED_WITH_WORDS ? 0 : CONN_CUT);
	CU_ASSERT_EQUAL(last_end, how == IDLE ? RELAY_END_IDLE : how == HALF_OPEN ? RELAY_END_CLIENT : RELAY_END_KICK);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	finish(&g);
}

static void test_stopped(void)
{
	for (enum stop how = KICKED; how <= HALF_OPEN; how++)
		stopped(how);
}

/* Carries what there is between two ends of wires, both ways. */
static void carry(struct rig *g, int a, int b)
{
	char wire[4096];
	ssize_t n;

	for (int i = 0; i < 8; i++) {
		turn(g, 2);
		if ((n = read(a, wire, sizeof(wire))) > 0)
			CU_ASSERT_EQUAL(write(b, wire, (size_t)n), n);
		if ((n = read(b, wire, sizeof(wire))) > 0)
			CU_ASSERT_EQUAL(write(a, wire, (size_t)n), n);
		if (n == 0)
			shutdown(a, SHUT_WR);
	}
}

/* Lets FAR say three records, of which the wire from A to B passes on CUT bytes in all, then no more. Returns the bytes
 * of text in what passed whole, and how long the whole was. */
static size_t say_and_cut(struct conn *far, int a, int b, size_t cut, size_t *total)
{
	static const char *const lines[] = { "one\r\n", "two\r\n", "three\r\n" };
	size_t whole = 0;

	*total = 0;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		size_t len = strlen(lines[i]), passed;
		char wire[256];
		ssize_t n;

		CU_ASSERT_EQUAL(conn_write(far, lines[i], len), (ssize_t)len);
		n = read(a, wire, sizeof(wire));
		CU_ASSERT_FATAL(n > (ssize_t)len);
		passed = MIN((size_t)n, cut - MIN(cut, *total));
		CU_ASSERT_EQUAL(write(b, wire, passed), (ssize_t)passed);
		whole += passed == (size_t)n ? len : 0;
		*total += (size_t)n;
	}
	shutdown(b, SHUT_WR);
	return whole;
}

/* The stream from FAR, a client or (CONNECTS) a server with TLS, is cut behind CUT bytes: all that came whole is passed
 * on before the end is, and the other stream goes on to its own end. Returns what there is to cut. */
static size_t far_cut(enum side side, size_t cut)
{
	struct str none = STR_INIT;
	int end[2], near[2], plain[2];
	struct conn far, c, s;
	size_t whole, total;
	struct rig g;
	char got[64];

	start_rig(&g, 0);
	pair(end);
	pair(near);
	pair(plain);
	g.client = plain[0];
	g.server = near[0];
	conn_open(&far, end[0], on_far, &far);
	watched(&g, side == ACCEPTS ? &c : &s, near[1], side);
	watched(&g, side == ACCEPTS ? &s : &c, plain[1], PLAIN);
	if (side == ACCEPTS)
		conn_tls_connect(g.loop, &far, SSL_new(client_ctx));
	else
		conn_tls_accept(g.loop, &far, server_ctx);
	conn_watch(g.loop, &far, EV_READ);
	relay_conns(&g, &c, &s, &none, &none);
	carry(&g, end[1], near[0]);
	whole = say_and_cut(&far, end[1], near[0], cut, &total);
	carry(&g, end[1], near[0]);
	if (whole != 0)
		CU_ASSERT_EQUAL(read(g.client, got, sizeof(got)), (ssize_t)whole);
	CU_ASSERT_EQUAL(read(g.client, got, sizeof(got)), 0);
	CU_ASSERT_EQUAL(write(g.client, "answer", 6), 6);
	close(g.client);
	g.client = -1;
	carry(&g, end[1], near[0]);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), "answer");
	CU_ASSERT_EQUAL(far_end, 0);
	CU_ASSERT_EQUAL(ends, 1);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	close(end[1]);
	finish(&g);
	return total;
}

static void test_far_cut(void)
{
	size_t total = 100;

	for (size_t cut = 0; cut <= total; cut++)
		total = far_cut(ACCEPTS, cut);
	for (size_t cut = 0; cut <= total; cut++)
		far_cut(CONNECTS, cut);
}

/* The two ends of a TCP connection that takes little before it is read. */
static void tcp_pair(int sv[2])
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int listener = socket(AF_INET, SOCK_STREAM, 0), little = 4096;

	CU_ASSERT_EQUAL_FATAL(bind(listener, (struct sockaddr *)&a, sizeof(a)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(listener, 1), 0);
	CU_ASSERT_EQUAL_FATAL(getsockname(listener, (struct sockaddr *)&a, &len), 0);
	sv[0] = socket(AF_INET, SOCK_STREAM, 0);
	setsockopt(sv[0], SOL_SOCKET, SO_RCVBUF, &little, sizeof(little));
	CU_ASSERT_EQUAL_FATAL(connect(sv[0], (struct sockaddr *)&a, sizeof(a)), 0);
	CU_ASSERT_FATAL((sv[1] = accept(listener, NULL, NULL)) != -1);
	setsockopt(sv[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof(little));
	fcntl(sv[0], F_SETFL, O_NONBLOCK);
	fcntl(sv[1], F_SETFL, O_NONBLOCK);
	close(listener);
}

static void on_shake(struct ev_loop *loop UNUSED, ev_io *io, int revents)
{
	conn_ready(io->data, revents);
}

/* NEAR is one of the relay's connections, of kind SIDE; END is the other end of it, called back by FN. */
static void open_end(struct rig *g, struct conn *near, struct conn *end, const int sv[2], enum side side,
    void (*fn)(struct ev_loop *, ev_io *, int))
{
	watched(g, near, sv[1], side);
	conn_open(end, sv[0], fn, end);
	if (side == ACCEPTS)
		conn_tls_connect(g->loop, end, SSL_new(client_ctx));
	else if (side == CONNECTS)
		conn_tls_accept(g->loop, end, server_ctx);
	conn_watch(g->loop, end, EV_READ);
}

/* FAR has ended, and never takes what waits for it, to the end of it: the relay waits 20 s for that. */
static void test_never_reads(void)
{
	struct conn far;
	struct rig g;

	start_far(&g, &far, 0);
	conn_shut(&far);
	turn(&g, 3);
	conn_watch(g.loop, &far, 0);
	fill(&g, &far, SIZE_MAX);
	close(g.server);
	g.server = -1;
	turn(&g, 3);
	jump += 15; /* it is looked at each 10 s */
	turn(&g, 3);
	CU_ASSERT_EQUAL(ends, 0);
	jump += 10;
	wait_for_end(&g);
	CU_ASSERT(ends == 1 && last_end == RELAY_END_CLIENT);
	conn_close(g.loop, &far);
	finish(&g);
}

/* Last words for a client of which the socket takes ROOM records, and it reads nothing: either it gets the words and
 * the word at the end, or they do not count as said. Returns how many records came before them. */
static size_t words_without_room(size_t room, bool said)
{
	struct str none = STR_INIT;
	struct conn far, c, s;
	int client[2], server[2];
	bool was = !said;
	struct rig g;
	size_t n;

	start_rig(&g, 0);
	pair(client);
	pair(server);
	g.client = -1;
	g.server = server[0];
	open_end(&g, &c, &far, (int[]){ client[0], client[1] }, ACCEPTS, on_far);
	ev_set_cb(&c.io, on_shake);
	c.io.data = &c;
	turn(&g, 4);
	conn_watch(g.loop, &far, 0);
	for (n = 0; n < room && !conn_holds(&c); n++)
		CU_ASSERT_EQUAL(conn_write(&c, "x", 1), 1);
	watched(&g, &s, server[1], PLAIN);
	relay_conns(&g, &c, &s, &none, &none);
	relay_pool_each(g.pool, kick_it, &was);
	CU_ASSERT_EQUAL(was, said);
	conn_watch(g.loop, &far, EV_READ);
	turn(&g, 100);
	CU_ASSERT_EQUAL(strstr(str_cstr(&far_heard), "bye\n") != NULL && far_end == 0, said);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	finish(&g);
	return n;
}

static void test_words_without_room(void)
{
	size_t n = words_without_room(SIZE_MAX, false);

	words_without_room(n - 1, false);
	words_without_room(n - 2, false); /* just for the words alone */
	words_without_room(n - 3, true);
}

/* More than a connection of tcp_pair() takes: the relay waits to write the rest. */
static void say_too_much(struct rig *g, struct conn *far)
{
	static char much[64 * 1024];

	CU_ASSERT_EQUAL(conn_write(far, much, sizeof(much)), (ssize_t)sizeof(much));
	turn(g, 20);
}

/* Closes C, which is a TCP connection, by a reset and nothing else, which has arrived at OTHER then: what closing says
 * is said to somebody else. */
static void reset(struct rig *g, struct conn *c, int other)
{
	struct pollfd p = { .fd = other };
	int nobody[2];

	pair(nobody);
	conn_watch(g->loop, c, 0);
	setsockopt(c->io.fd, SOL_SOCKET, SO_LINGER, &(struct linger){ .l_onoff = 1 }, sizeof(struct linger));
	dup2(nobody[0], c->io.fd);
	conn_close(g->loop, c);
	close(nobody[0]);
	close(nobody[1]);
	CU_ASSERT_EQUAL(poll(&p, 1, 10000), 1);
}

/* Until FAR has heard LEN bytes and, if OVER, an end. */
static void wait_for_far(struct rig *g, size_t len, bool over)
{
	for (int i = 0; i < 1000 && (far_heard.len < len || (over && (far_end == CONN_LATER || ends == 0))); i++) {
		turn(g, 1);
		usleep(i < 10 ? 0 : 1000);
	}
}

/* The connection of the client, or (CONNECTS) of the server, is reset. If WRITES, the relay meets that when it writes:
 * then reading finds a plain end. FAR, at the other side, hears that it is over, and (TLS) that it was no end. */
static void reset_one(enum side dying_side, bool dying_tls, bool far_tls, bool writes)
{
	bool client_dies = dying_side == ACCEPTS;
	struct conn dying, far, dying_near, far_near;
	struct str none = STR_INIT;
	int tcp[2], sv[2];
	struct rig g;

	start_rig(&g, 0);
	g.client = g.server = -1;
	tcp_pair(tcp);
	pair(sv);
	open_end(&g, &dying_near, &dying, tcp, dying_tls ? dying_side : PLAIN, on_shake);
	open_end(&g, &far_near, &far, sv, !far_tls ? PLAIN : client_dies ? CONNECTS : ACCEPTS, on_far);
	relay_conns(&g, client_dies ? &dying_near : &far_near, client_dies ? &far_near : &dying_near, &none, &none);
	turn(&g, 20);
	CU_ASSERT_EQUAL(conn_write(&dying, "part of", 7), 7);
	wait_for_far(&g, 7, false);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), "part of");
	if (writes && client_dies)
		say_too_much(&g, &far);
	else if (writes)
		CU_ASSERT_EQUAL(conn_write(&far, "hello", 5), 5);
	reset(&g, &dying, tcp[1]);
	wait_for_far(&g, 7, true);
	CU_ASSERT_STRING_EQUAL(str_cstr(&far_heard), "part of");
	CU_ASSERT_EQUAL(far_end, far_tls ? CONN_CUT : 0);
	CU_ASSERT_EQUAL(ends, 1);
	CU_ASSERT_EQUAL(last_end, client_dies ? RELAY_END_CLIENT : RELAY_END_SERVER);
	str_fini(&far_heard);
	conn_close(g.loop, &far);
	finish(&g);
}

static void test_reset(void)
{
	for (unsigned i = 0; i < 16; i++)
		reset_one((i & 1) != 0 ? ACCEPTS : CONNECTS, (i & 2) != 0, (i & 4) != 0, (i & 8) != 0);
}

/* The same through a connection of another kind, where nothing can be spliced and poll() does not report everything. */
static void with_a_coded_one(void (*test)(void))
{
	relays = 2;
	test();
	relays = 1;
}

/* ... and with TLS, as which the client is relayed to a peer. */
static void with_tls(void (*test)(void))
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

	for (size_t i = 0; i < ARRAY_LEN(versions); i++) {
		tls_version = versions[i];
		server_ctx = tls_test_server("peer.example");
		client_ctx = tls_ctx_new(false);
		SSL_CTX_set_max_proto_version(client_ctx, tls_version);
		with_a_coded_one(test);
		SSL_CTX_free(server_ctx);
		SSL_CTX_free(client_ctx);
	}
	tls_version = 0;
}

#define CODED(test) \
	static void test##_coded(void) \
	{ \
		with_a_coded_one(test); \
	} \
	static void test##_tls(void) \
	{ \
		with_tls(test); \
	}
CODED(test_both_ways)
CODED(test_half_close)
CODED(test_back_pressure)
CODED(test_storm)
CODED(test_sudden_death)
CODED(test_client_gone)
CODED(test_stop_and_idle)

static void test_ends_tls(void)
{
	with_tls(test_end_and_cut);
	with_tls(test_end_without_room);
	with_tls(test_never_reads);
	with_tls(test_words_without_room);
	with_tls(test_far_ends_silently);
	with_tls(test_far_cut);
	with_tls(test_stopped);
	with_tls(test_reset);
}

static const struct unit_case cases[] = {
	{ "no descriptor for a pipe", test_no_pipes },
	{ "both ways", test_both_ways },
	{ "half-close", test_half_close },
	{ "back-pressure", test_back_pressure },
	{ "storm", test_storm },
	{ "sudden death", test_sudden_death },
	{ "an end is told once", test_told_once },
	{ "client gone", test_client_gone },
	{ "both gone", test_both_gone },
	{ "order", test_order },
	{ "stop and idle", test_stop_and_idle },
	{ "last words", test_last_words },
	{ "the server dies", test_server_dies },
	{ "wall clock is set", test_wall_clock_is_set },
	{ "coded: both ways", test_both_ways_coded },
	{ "coded: half-close", test_half_close_coded },
	{ "coded: back-pressure", test_back_pressure_coded },
	{ "coded: storm", test_storm_coded },
	{ "coded: sudden death", test_sudden_death_coded },
	{ "coded: client gone", test_client_gone_coded },
	{ "coded: stop and idle", test_stop_and_idle_coded },
	{ "TLS: both ways", test_both_ways_tls },
	{ "TLS: half-close", test_half_close_tls },
	{ "TLS: back-pressure", test_back_pressure_tls },
	{ "TLS: storm", test_storm_tls },
	{ "TLS: sudden death", test_sudden_death_tls },
	{ "TLS: client gone", test_client_gone_tls },
	{ "TLS: stop and idle", test_stop_and_idle_tls },
	{ "TLS: an end and a cut", test_ends_tls },
	{ NULL, NULL },
};
UNIT_MAIN("relay", cases)
