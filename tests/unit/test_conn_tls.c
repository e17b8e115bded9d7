/* TLS as a kind of connection: two users, each on a loop, and a wire between them that cuts, delays and ends. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "lib/conn_tls.c" /* to see what it keeps */
#include "lib/tls_ctx.h"
#include "tests/unit/tls_test.h"

/* A connection and its user, who reads what the loop says can be read, ROOM bytes at a time. */
struct user {
	struct ev_loop *loop;
	struct conn conn;
	size_t room; /* 0: reads nothing */
	struct str got, out;
	unsigned calls, readable, writable;
	ssize_t end; /* the last result of conn_read() that was no number of bytes, 1 before */
	const char *why;
};

/* A user at each end, and the far ends of their sockets, between which the test carries what it likes. */
struct two {
	struct ev_loop *loop;
	struct user client, server;
	int from_client, from_server;
};

static SSL_CTX *server_ctx, *client_ctx;
static unsigned sends, recvs; /* system calls of the connections */
static void (*at_recv)(void); /* what another process does meanwhile */

ssize_t __real_send(int fd, const void *p, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t len, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t len, int flags)
{
	sends++;
	return __real_send(fd, p, len, flags);
}

ssize_t __real_recv(int fd, void *p, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t len, int flags);
ssize_t __wrap_recv(int fd, void *p, size_t len, int flags)
{
	recvs++;
	if (at_recv != NULL)
		at_recv();
	return __real_recv(fd, p, len, flags);
}

static void on_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct user *u = io->data;
	int ready = conn_ready(&u->conn, revents);
	static char buf[65536];
	ssize_t n;

	u->calls++;
	u->readable += (ready & EV_READ) != 0;
	u->writable += (ready & EV_WRITE) != 0;
	CU_ASSERT_EQUAL(ready & ~conn_wants(&u->conn), 0);
	if ((ready & EV_WRITE) != 0 && (n = conn_flush(&u->conn, &u->out)) != CONN_LATER) {
		conn_watch(loop, &u->conn, EV_READ);
		if (n == CONN_FAILED)
			u->why = conn_error(&u->conn);
	}
	if ((ready & EV_READ) == 0 || u->room == 0)
		return;
	n = conn_read(&u->conn, buf, MIN(u->room, sizeof(buf)));
	if (n > 0) {
		str_add(&u->got, buf, (size_t)n);
		return;
	}
	u->end = n;
	if (n == CONN_FAILED || n == CONN_CUT)
		u->why = conn_error(&u->conn);
	if (n != CONN_LATER)
		conn_watch(loop, &u->conn, 0);
}

static void begin(struct user *u, struct ev_loop *loop, int fd)
{
	memset(u, 0, sizeof(*u));
	u->loop = loop;
	u->room = 65536;
	u->end = 1;
	conn_open(&u->conn, fd, on_event, u);
}

static void end(struct user *u)
{
	conn_close(u->loop, &u->conn);
	str_fini(&u->got);
	str_fini(&u->out);
}

static int far_end(int *near)
{
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	*near = fd[0];
	return fd[1];
}

static SSL *new_ssl(int version)
{
	SSL *ssl = SSL_new(client_ctx);

	CU_ASSERT_PTR_NOT_NULL_FATAL(ssl);
	SSL_set_min_proto_version(ssl, version);
	SSL_set_max_proto_version(ssl, version);
	return ssl;
}

static SSL *ssl_of(struct user *u)
{
	return conn_tls_ssl(&u->conn);
}

static void begin_two(struct two *t, int version)
{
	int fd;

	memset(t, 0, sizeof(*t));
	t->loop = ev_loop_new(EVFLAG_AUTO);
	t->from_client = far_end(&fd);
	begin(&t->client, t->loop, fd);
	t->from_server = far_end(&fd);
	begin(&t->server, t->loop, fd);
	conn_tls_connect(t->loop, &t->client.conn, new_ssl(version));
	conn_tls_accept(t->loop, &t->server.conn, server_ctx);
	conn_watch(t->loop, &t->client.conn, EV_READ);
	conn_watch(t->loop, &t->server.conn, EV_READ);
}

static void end_two(struct two *t)
{
	end(&t->client);
	end(&t->server);
	if (t->from_client != -1)
		close(t->from_client);
	if (t->from_server != -1)
		close(t->from_server);
	ev_loop_destroy(t->loop);
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	CU_ASSERT_EQUAL(sending.len, 0);
}

static void turn(struct ev_loop *loop, int times)
{
	for (int i = 0; i < times; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

/* Carries at most MAX bytes from one wire's end to the other. Bytes; 0: none now; -1: that side has ended, as the other
 * side is told. */
static ssize_t carry(int from, int to, size_t max)
{
	static char buf[65536];
	ssize_t n = read(from, buf, MIN(max, sizeof(buf)));

	if (n == 0)
		shutdown(to, SHUT_WR);
	if (n <= 0)
		return n == 0 ? -1 : 0;
	/* The tests do not let so much lie there that it is full; but it may be closed. */
	CU_ASSERT(__real_send(to, buf, (size_t)n, MSG_NOSIGNAL) == n || errno == EPIPE);
	return n;
}

/* Until nothing moves any more, in pieces of PIECE bytes. */
static void run(struct two *t, size_t piece)
{
	int quiet = 0;

	while (quiet < 4) {
		ssize_t a, b;

		turn(t->loop, 2);
		a = carry(t->from_client, t->from_server, piece);
		b = carry(t->from_server, t->from_client, piece);
		quiet = a > 0 || b > 0 ? 0 : quiet + 1;
	}
}

static void say(struct user *u, const char *text)
{
	CU_ASSERT_EQUAL(conn_write(&u->conn, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect(const struct user *u, const char *text)
{
	CU_ASSERT_STRING_EQUAL(str_cstr(&u->got), text);
}

static char pattern(size_t i)
{
	return (char)(i * 31 + i / 251);
}

static void fill(struct str *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		str_addc(s, pattern(i));
}

static bool is_filled(const struct str *s, size_t n)
{
	if (s->len != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (s->data[i] != pattern(i))
			return false;
	return true;
}

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* For each version: what TEST shows. */
#define FOR_BOTH(test) \
	static void both_##test(void) \
	{ \
		for (size_t i = 0; i < ARRAY_LEN(versions); i++) \
			test(versions[i]); \
	}

/* --- bytes --- */

/* Each direction ends by itself. */
static void test_both_ways(int version)
{
	struct two t;

	begin_two(&t, version);
	run(&t, 65536);
	CU_ASSERT_STRING_EQUAL(SSL_get_version(conn_tls_ssl(&t.client.conn)),
	    version == TLS1_2_VERSION ? "TLSv1.2" : "TLSv1.3");
	CU_ASSERT_EQUAL(conn_raw_fd(&t.client.conn), -1);
	say(&t.client, "ping");
	say(&t.server, "pong");
	say(&t.server, "!");
	run(&t, 65536);
	expect(&t.client, "pong!");
	expect(&t.server, "ping");
	conn_shut(&t.client.conn);
	conn_shut(&t.client.conn);
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.server.end, 0);
	CU_ASSERT_EQUAL(conn_write(&t.client.conn, "x", 1), CONN_FAILED);
	say(&t.server, " bye");
	run(&t, 65536);
	expect(&t.client, "pong! bye");
	conn_close(t.loop, &t.server.conn);
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.client.end, 0);
	end_two(&t);
}

/* The server ends first, and reads on. */
static void test_server_ends_first(int version)
{
	struct two t;

	begin_two(&t, version);
	run(&t, 65536);
	say(&t.server, "bye");
	conn_shut(&t.server.conn);
	run(&t, 65536);
	expect(&t.client, "bye");
	CU_ASSERT_EQUAL(t.client.end, 0);
	say(&t.client, "still here");
	conn_shut(&t.client.conn);
	run(&t, 65536);
	expect(&t.server, "still here");
	CU_ASSERT_EQUAL(t.server.end, 0);
	end_two(&t);
}

/* All records, of the handshake and after it, cut at all places. */
static void test_cut_anywhere(int version)
{
	static const size_t pieces[] = { 1, 2, 3, 5, 7, 64, 1000 };

	for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
		struct two t;

		begin_two(&t, version);
		fill(&t.client.out, 3000);
		fill(&t.server.out, 40000);
		conn_watch(t.loop, &t.client.conn, EV_READ | EV_WRITE);
		conn_watch(t.loop, &t.server.conn, EV_READ | EV_WRITE);
		run(&t, pieces[i]);
		CU_ASSERT(is_filled(&t.server.got, 3000));
		CU_ASSERT(is_filled(&t.client.got, 40000));
		conn_shut(&t.client.conn);
		run(&t, pieces[i]);
		CU_ASSERT_EQUAL(t.server.end, 0);
		conn_shut(&t.server.conn);
		run(&t, pieces[i]);
		CU_ASSERT_EQUAL(t.client.end, 0);
		end_two(&t);
	}
}

/* The user has little room: no byte is lost, and the loop does not wait while some lie inside. */
static void test_little_room(int version)
{
	static const size_t rooms[] = { 1, 7, 300, 5000 };

	for (size_t i = 0; i < ARRAY_LEN(rooms); i++) {
		struct two t;

		begin_two(&t, version);
		run(&t, 65536);
		t.server.room = rooms[i];
		fill(&t.client.out, 20000);
		conn_watch(t.loop, &t.client.conn, EV_READ | EV_WRITE);
		turn(t.loop, 3);
		conn_shut(&t.client.conn);
		while (carry(t.from_client, t.from_server, 65536) > 0)
			;
		for (int n = 0; n < 30000 && t.server.end != 0; n++)
			ev_run(t.loop, EVRUN_ONCE);
		CU_ASSERT(is_filled(&t.server.got, 20000));
		CU_ASSERT_EQUAL(t.server.end, 0);
		t.server.calls = 0;
		turn(t.loop, 5);
		CU_ASSERT_EQUAL(t.server.calls, 0);
		end_two(&t);
	}
}

/* More than the sockets take, both ways at once. What is kept is bounded, and given back. */
static void test_much(int version)
{
	enum { TOTAL = 2 * 1000 * 1000 };
	const size_t bound = CHUNK + 4096;
	struct two t;
	const struct tls *c, *s;
	bool bounded = true;

	begin_two(&t, version);
	c = tls_of(&t.client.conn);
	s = tls_of(&t.server.conn);
	fill(&t.client.out, TOTAL);
	fill(&t.server.out, TOTAL);
	conn_watch(t.loop, &t.client.conn, EV_READ | EV_WRITE);
	conn_watch(t.loop, &t.server.conn, EV_READ | EV_WRITE);
	for (int i = 0; i < 100000 && (t.client.got.len < TOTAL || t.server.got.len < TOTAL); i++) {
		turn(t.loop, 1);
		carry(t.from_client, t.from_server, 50000);
		carry(t.from_server, t.from_client, 3000 + (size_t)i % 90000);
		bounded =
		    bounded && c->out.len <= bound && s->out.len <= bound && c->in.len <= bound && s->in.len <= bound;
	}
	CU_ASSERT(bounded);
	CU_ASSERT(is_filled(&t.server.got, TOTAL));
	CU_ASSERT(is_filled(&t.client.got, TOTAL));
	CU_ASSERT(c->out.cap == 0 && s->out.cap == 0 && c->in.cap == 0 && s->in.cap == 0);
	end_two(&t);
}

/* The end is behind bytes that the socket does not take yet; the user waits for nothing. */
static void test_end_goes_later(int version)
{
	struct two t;
	size_t said = 0;

	begin_two(&t, version);
	run(&t, 65536);
	fill(&t.server.out, 65536);
	for (ssize_t n; (n = conn_write(&t.server.conn, t.server.out.data, 65536)) > 0;)
		said += (size_t)n;
	conn_watch(t.loop, &t.server.conn, 0);
	conn_shut(&t.server.conn);
	run(&t, 65536);
	CU_ASSERT(said > 65536);
	CU_ASSERT_EQUAL(t.client.got.len, said);
	CU_ASSERT_EQUAL(t.client.end, 0);
	end_two(&t);
}

/* What was written before arrives, and its end is a cut; what comes the other way is read on. */
static void test_break_off(int version)
{
	struct two t;

	begin_two(&t, version);
	run(&t, 65536);
	say(&t.server, "part of");
	conn_break_off(&t.server.conn);
	conn_break_off(&t.server.conn);
	conn_shut(&t.server.conn); /* too late */
	run(&t, 65536);
	expect(&t.client, "part of");
	CU_ASSERT_EQUAL(t.client.end, CONN_CUT);
	CU_ASSERT_STRING_EQUAL(t.client.why, "ended without close_notify");
	say(&t.client, "still here");
	run(&t, 65536);
	expect(&t.server, "still here");
	end_two(&t);
}

static void test_peek(int version)
{
	struct two t;
	char buf[8];

	begin_two(&t, version);
	run(&t, 65536);
	conn_watch(t.loop, &t.server.conn, 0);
	CU_ASSERT_EQUAL(conn_peek(&t.server.conn, buf, 1), CONN_LATER);
	say(&t.client, "abc");
	say(&t.client, "def");
	carry(t.from_client, t.from_server, 65536);
	CU_ASSERT_EQUAL(conn_peek(&t.server.conn, buf, 1), 1);
	CU_ASSERT_EQUAL(buf[0], 'a');
	CU_ASSERT_EQUAL(conn_peek(&t.server.conn, buf, sizeof(buf)), 3);
	CU_ASSERT_EQUAL(conn_read(&t.server.conn, buf, 1), 1);
	conn_watch(t.loop, &t.server.conn, EV_READ);
	turn(t.loop, 3);
	expect(&t.server, "bcdef");
	conn_watch(t.loop, &t.server.conn, 0);
	conn_shut(&t.client.conn);
	carry(t.from_client, t.from_server, 65536);
	CU_ASSERT_EQUAL(conn_peek(&t.server.conn, buf, 1), 0);
	CU_ASSERT_EQUAL(conn_peek(&t.server.conn, buf, 1), 0);
	conn_watch(t.loop, &t.server.conn, EV_READ);
	turn(t.loop, 3);
	CU_ASSERT_EQUAL(t.server.end, 0);
	end_two(&t);
}

static void other_event(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	CU_FAIL("the old callback was called");
}

/* With bytes inside, and with a handshake that is not done. */
static void test_take_over(int version)
{
	struct two t;
	struct conn other;

	begin_two(&t, version);
	carry(t.from_client, t.from_server, 100);
	turn(t.loop, 1);
	conn_take_over(t.loop, &other, other_event, NULL, &t.server.conn);
	conn_take_over(t.loop, &t.server.conn, on_event, &t.server, &other);
	conn_watch(t.loop, &t.server.conn, EV_READ);
	run(&t, 65536);
	t.server.room = 2;
	say(&t.client, "first");
	carry(t.from_client, t.from_server, 65536);
	turn(t.loop, 1);
	conn_take_over(t.loop, &other, other_event, NULL, &t.server.conn);
	turn(t.loop, 3);
	CU_ASSERT_FALSE(conn_is_open(&t.server.conn));
	conn_take_over(t.loop, &t.server.conn, on_event, &t.server, &other);
	conn_watch(t.loop, &t.server.conn, EV_READ);
	turn(t.loop, 10);
	expect(&t.server, "first");
	end_two(&t);
}

/* --- system calls --- */

/* A user who waits to write: its first bytes and the tickets leave together; then a call each for what comes and
 * goes. */
static void test_calls(int version)
{
	struct two t;

	begin_two(&t, version);
	str_adds(&t.server.out, "* OK ready\r\n");
	conn_watch(t.loop, &t.server.conn, EV_WRITE);
	sends = 0;
	run(&t, 65536);
	expect(&t.client, "* OK ready\r\n");
	/* The client's hello is out already. */
	CU_ASSERT_EQUAL(sends, 3);
	say(&t.client, "NOOP\r\n");
	carry(t.from_client, t.from_server, 65536);
	sends = recvs = 0;
	turn(t.loop, 1);
	expect(&t.server, "NOOP\r\n");
	say(&t.server, "OK\r\n");
	turn(t.loop, 3);
	CU_ASSERT(sends == 1 && recvs == 1);
	end_two(&t);
}

static unsigned tickets;

static int on_ticket(SSL *ssl UNUSED, SSL_SESSION *s UNUSED)
{
	tickets++;
	return 0;
}

/* A user who does not wait to write: what the client waits for leaves at once, and tickets, for which it does not, with
 * the first answer, or with the end. Until then the loop is not called for them. */
static void test_tickets_wait(int version)
{
	const bool waits = version == TLS1_3_VERSION;

	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT);
	SSL_CTX_sess_set_new_cb(client_ctx, on_ticket);
	for (int says = 0; says < 2; says++) {
		struct two t;

		begin_two(&t, version);
		sends = tickets = 0;
		run(&t, 65536);
		CU_ASSERT(conn_is_up(&t.client.conn));
		CU_ASSERT_EQUAL(sends, 3 - waits); /* the client's hello is out already */
		CU_ASSERT_EQUAL(tls_of(&t.server.conn)->out.len != 0, waits);
		CU_ASSERT_FALSE(conn_holds(&t.server.conn));
		CU_ASSERT_EQUAL(t.server.readable + t.server.writable, 0);
		t.server.calls = sends = 0;
		turn(t.loop, 3);
		CU_ASSERT_EQUAL(t.server.calls, 0);
		CU_ASSERT(!waits || tickets == 0);
		if (says)
			say(&t.server, "OK");
		else
			conn_shut(&t.server.conn);
		CU_ASSERT_EQUAL(sends, 1);
		run(&t, 65536);
		CU_ASSERT(!waits || tickets != 0);
		expect(&t.client, says ? "OK" : "");
		CU_ASSERT_EQUAL(tls_of(&t.server.conn)->out.cap, 0);
		end_two(&t);
	}
	SSL_CTX_sess_set_new_cb(client_ctx, NULL);
	SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_OFF);
}

/* A part of a record is nothing to be told of, and the loop waits for the rest of it. Room for the longest record is
 * there from its first byte on, and is counted. */
static void test_part_of_record(int version)
{
	char record[100];
	struct two t;
	ssize_t n;

	begin_two(&t, version);
	run(&t, 65536);
	say(&t.client, "hello");
	n = read(t.from_client, record, sizeof(record));
	CU_ASSERT_FATAL(n > 20);
	for (ssize_t i = 0; i < n; i++) {
		t.server.calls = 0;
		CU_ASSERT(conn_memory(&t.server.conn) < 20000 || i != 0);
		CU_ASSERT_EQUAL(write(t.from_server, record + i, 1), 1);
		turn(t.loop, 5);
		CU_ASSERT_EQUAL(t.server.calls, 1);
		CU_ASSERT(conn_memory(&t.server.conn) > 33000 || i == n - 1);
	}
	expect(&t.server, "hello");
	CU_ASSERT(conn_memory(&t.server.conn) < 20000);
	end_two(&t);
}

/* Nothing happens, nobody is called; and nothing is kept. */
static void check_empty(EVP_PKEY *key)
{
	CU_ASSERT_PTR_NULL(EVP_PKEY_get0_provider(key));
	EVP_PKEY_free(key);
}

/* What the keys were made of is not kept as long as the connection. */
static void test_keys_forgotten(int version)
{
	struct two t;

	begin_two(&t, version);
	run(&t, 65536);
	for (struct user *u = &t.client; u != NULL; u = u == &t.client ? &t.server : NULL) {
		SSL *ssl = conn_tls_ssl(&u->conn);
		EVP_PKEY *key;

		CU_ASSERT(tls_of(&u->conn)->up);
		if (SSL_get_tmp_key(ssl, &key) == 1)
			check_empty(key);
		if (SSL_get_peer_tmp_key(ssl, &key) == 1)
			check_empty(key);
	}
	say(&t.client, "still here");
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.server.got.len, 10);
	end_two(&t);
}

static void test_idle(int version)
{
	struct two t;
	unsigned calls;

	begin_two(&t, version);
	run(&t, 65536);
	say(&t.client, "x");
	say(&t.server, "y");
	run(&t, 65536);
	calls = t.client.calls + t.server.calls;
	recvs = sends = 0;
	turn(t.loop, 10);
	CU_ASSERT_EQUAL(t.client.calls + t.server.calls, calls);
	CU_ASSERT(recvs == 0 && sends == 0);
	CU_ASSERT(tls_of(&t.server.conn)->in.cap == 0 && tls_of(&t.server.conn)->out.cap == 0);
	end_two(&t);
}

/* --- ends that are failures --- */

/* All that the client says in a session. */
static size_t record_client(int version, char *wire, size_t room)
{
	struct two t;
	size_t len = 0;
	ssize_t n;

	begin_two(&t, version);
	for (int i = 0; i < 10; i++) {
		turn(t.loop, 2);
		carry(t.from_server, t.from_client, 65536);
		n = read(t.from_client, wire + len, room - len);
		if (n > 0) {
			CU_ASSERT_EQUAL_FATAL(write(t.from_server, wire + len, (size_t)n), n);
			len += (size_t)n;
		}
		if (i == 5)
			say(&t.client, "hello");
	}
	expect(&t.server, "hello");
	end_two(&t);
	return len;
}

/* The stream ends behind each byte: what came whole is told, then the cut, or the failure of the handshake, once, never
 * an end. */
static void test_cut_off(int version)
{
	static char wire[65536];
	size_t len = record_client(version, wire, sizeof(wire)), whole = 0;

	for (size_t cut = 0; cut <= len + 20; cut++) {
		struct two t;
		size_t passed = 0;

		begin_two(&t, version);
		for (int i = 0; i < 8; i++) {
			turn(t.loop, 2);
			carry(t.from_server, t.from_client, 65536);
			passed += (size_t)MAX(carry(t.from_client, t.from_server, cut - passed + 1), 0);
			if (i == 5 && tls_of(&t.client.conn)->up)
				say(&t.client, "hello");
			if (passed > cut)
				break;
		}
		shutdown(t.from_server, SHUT_WR);
		turn(t.loop, 5);
		CU_ASSERT(t.server.got.len == 0 || strcmp(t.server.got.data, "hello") == 0);
		whole += t.server.got.len != 0;
		CU_ASSERT_EQUAL(t.server.end, tls_of(&t.server.conn)->up ? CONN_CUT : CONN_FAILED);
		CU_ASSERT_PTR_NOT_NULL(t.server.why);
		if (tls_of(&t.server.conn)->up) {
			CU_ASSERT_STRING_EQUAL(t.server.why, "ended without close_notify");
			say(&t.server, "I still speak");
		}
		t.server.calls = 0;
		turn(t.loop, 5);
		CU_ASSERT_EQUAL(t.server.calls, 0);
		end_two(&t);
	}
	CU_ASSERT(whole >= 1);
}

/* No TLS at all: the user learns of it whatever it waits for, and the peer gets an alert, not an echo. */
static void garbage(const char *text, size_t len, int want)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	char buf[100];
	int fd, far = far_end(&fd);
	ssize_t n;

	begin(&u, loop, fd);
	conn_tls_accept(loop, &u.conn, server_ctx);
	str_adds(&u.out, "greeting");
	conn_watch(loop, &u.conn, want);
	CU_ASSERT_EQUAL(write(far, text, len), (ssize_t)len);
	turn(loop, 5);
	CU_ASSERT_PTR_NOT_NULL(u.why);
	n = read(far, buf, sizeof(buf));
	CU_ASSERT(n <= 7);
	CU_ASSERT_EQUAL(conn_read(&u.conn, buf, 1), CONN_FAILED);
	CU_ASSERT_EQUAL(conn_write(&u.conn, "x", 1), CONN_FAILED);
	u.calls = 0;
	conn_watch(loop, &u.conn, 0);
	turn(loop, 5);
	CU_ASSERT_EQUAL(u.calls, 0);
	conn_shut(&u.conn);
	end(&u);
	close(far);
	ev_loop_destroy(loop);
}

static void test_garbage(void)
{
	static const int wants[] = { EV_READ, EV_WRITE, EV_READ | EV_WRITE };
	static const char get[] = "GET / HTTP/1.0\r\n\r\n", imap[] = "a LOGIN x y\r\n", zero[64];

	for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
		garbage(get, strlen(get), wants[i]);
		garbage(imap, strlen(imap), wants[i]);
		garbage(zero, sizeof(zero), wants[i]);
		garbage("\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00", 10, wants[i]);
	}
}

/* Any byte of a record that comes changed. */
static void test_changed_bytes(int version)
{
	for (size_t at = 0; at < 27; at++) {
		struct two t;
		char record[100];
		ssize_t n;

		begin_two(&t, version);
		run(&t, 65536);
		say(&t.client, "hello");
		n = read(t.from_client, record, sizeof(record));
		CU_ASSERT_FATAL(n >= 27 || version == TLS1_2_VERSION);
		record[MIN((size_t)n - 1, at)] ^= 0x10;
		CU_ASSERT_EQUAL(write(t.from_server, record, (size_t)n), n);
		shutdown(t.from_server, SHUT_WR);
		turn(t.loop, 5);
		expect(&t.server, "");
		CU_ASSERT(t.server.end == CONN_FAILED || t.server.end == CONN_CUT); /* of a longer one */
		conn_shut(&t.server.conn);
		end_two(&t);
	}
}

/* The socket is gone, which a write has met first: what it brought before is still told, and then that it broke. */
static void test_reset(int version)
{
	struct two t;

	begin_two(&t, version);
	run(&t, 65536);
	conn_watch(t.loop, &t.server.conn, 0);
	say(&t.client, "last words");
	carry(t.from_client, t.from_server, 65536);
	close(t.from_server);
	t.from_server = -1;
	CU_ASSERT_EQUAL(conn_write(&t.server.conn, "x", 1), CONN_FAILED);
	CU_ASSERT_STRING_EQUAL(conn_error(&t.server.conn), strerror(EPIPE));
	conn_watch(t.loop, &t.server.conn, EV_READ);
	turn(t.loop, 5);
	expect(&t.server, "last words");
	CU_ASSERT_EQUAL(t.server.end, CONN_FAILED);
	end_two(&t);
}

static int verdict; /* of conn_tls_refused() */

/* The socket breaks within the handshake, when it is read or when it is written to: the user learns of it, whatever it
 * waits for, and is not called for ever. */
static void broken_within(int version, int want, bool unread)
{
	char hello[2000];
	struct two t;
	ssize_t n;

	begin_two(&t, version);
	n = read(t.from_client, hello, sizeof(hello));
	CU_ASSERT_FATAL(n > 100);
	conn_watch(t.loop, &t.server.conn, want);
	str_adds(&t.server.out, "greeting");
	if (unread) { /* what nobody has read makes the end a reset */
		CU_ASSERT_EQUAL(write(t.from_server, hello, (size_t)n), n);
		turn(t.loop, 2);
		CU_ASSERT_EQUAL(t.server.calls, 1); /* for the handshake's own sake */
	} else {
		CU_ASSERT_EQUAL(write(t.from_server, hello, (size_t)n), n);
	}
	close(t.from_server);
	t.from_server = -1;
	turn(t.loop, 5);
	CU_ASSERT_PTR_NOT_NULL(t.server.why);
	CU_ASSERT_FALSE(conn_tls_refused(&t.server.conn, &verdict)); /* it was the network */
	CU_ASSERT_EQUAL(conn_read(&t.server.conn, hello, 1), CONN_FAILED);
	CU_ASSERT_EQUAL(conn_write(&t.server.conn, "x", 1), CONN_FAILED);
	t.server.calls = 0;
	turn(t.loop, 5);
	CU_ASSERT(t.server.calls <= 1);
	end_two(&t);
}

static void test_broken_within(int version)
{
	static const int wants[] = { EV_READ, EV_WRITE, EV_READ | EV_WRITE };

	for (size_t i = 0; i < ARRAY_LEN(wants); i++) {
		broken_within(version, wants[i], true);
		broken_within(version, wants[i], false);
	}
}

/* Shut, or closed, before the handshake is done, and after it has failed. */
static void test_shut_early(int version)
{
	struct two t;

	begin_two(&t, version);
	conn_shut(&t.server.conn);
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.client.end, CONN_FAILED);
	CU_ASSERT_STRING_EQUAL(t.client.why, "ended within the TLS handshake");
	conn_shut(&t.client.conn);
	end_two(&t);
	begin_two(&t, version);
	carry(t.from_client, t.from_server, 65536);
	turn(t.loop, 1);
	conn_close(t.loop, &t.server.conn);
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.client.end, version == TLS1_2_VERSION ? CONN_FAILED : CONN_CUT);
	end_two(&t);
}

/* --- strangers --- */

/* A client that says nothing, or a part of its first message, gets nothing of libssl, and what it has sent is all that
 * is kept; the rest of it may come byte by byte. */
static void test_slow_hello(int version)
{
	struct two t;
	const struct tls *s;
	size_t passed = 0;

	begin_two(&t, version);
	s = tls_of(&t.server.conn);
	turn(t.loop, 3);
	CU_ASSERT(s->ssl == NULL && s->in.cap == 0);
	CU_ASSERT(conn_memory(&t.server.conn) < 1024 && !conn_is_up(&t.server.conn));
	CU_ASSERT_PTR_NULL(conn_tls_ssl(&t.server.conn));
	while (carry(t.from_client, t.from_server, 1) == 1) {
		passed++;
		turn(t.loop, 1);
		if (s->ssl != NULL)
			break;
		CU_ASSERT_EQUAL(s->in.len, passed);
		CU_ASSERT(conn_memory(&t.server.conn) < 1024 + 2 * passed);
	}
	CU_ASSERT_PTR_NOT_NULL(s->ssl);
	CU_ASSERT(conn_memory(&t.server.conn) > 40000 && !conn_is_up(&t.server.conn));
	CU_ASSERT_EQUAL(carry(t.from_client, t.from_server, 1), 0); /* with the last byte, and not before */
	CU_ASSERT_EQUAL(t.server.readable, 0);
	run(&t, 65536);
	say(&t.client, "hello");
	run(&t, 65536);
	expect(&t.server, "hello");
	CU_ASSERT(conn_memory(&t.server.conn) < 20000 && conn_is_up(&t.server.conn));
	end_two(&t);
}

/* The same within the handshake. */
static void test_part_of_handshake(int version)
{
	struct two t;
	ssize_t n = 0;

	begin_two(&t, version);
	turn(t.loop, 2);
	carry(t.from_client, t.from_server, 65536);
	turn(t.loop, 2);
	carry(t.from_server, t.from_client, 65536);
	turn(t.loop, 2);
	CU_ASSERT(conn_memory(&t.server.conn) > 44000 && conn_memory(&t.server.conn) < 50000);
	for (; n < 5; n++) { /* the head of a record */
		CU_ASSERT_EQUAL(carry(t.from_client, t.from_server, 1), 1);
		turn(t.loop, 2);
		CU_ASSERT(conn_memory(&t.server.conn) > 61000);
	}
	run(&t, 65536);
	CU_ASSERT(conn_memory(&t.server.conn) < 20000 && conn_is_up(&t.server.conn));
	end_two(&t);
}

/* Makes tickets too long for one record. */
static int add_much(SSL *ssl, void *arg UNUSED)
{
	static const char much[3000];

	return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), much, sizeof(much));
}

/* The server's tickets stand in several records each. */
static void begin_with_long_tickets(struct two *t)
{
	SSL_CTX_set_session_ticket_cb(server_ctx, add_much, NULL, NULL);
	SSL_CTX_set_max_send_fragment(server_ctx, 512);
	begin_two(t, TLS1_3_VERSION);
	run(t, 65536);
}

static void end_with_long_tickets(struct two *t)
{
	end_two(t);
	SSL_CTX_set_session_ticket_cb(server_ctx, NULL, NULL, NULL);
	SSL_CTX_set_max_send_fragment(server_ctx, SSL3_RT_MAX_PLAIN_LENGTH);
}

/* And behind it, of a message that stands in several records: libssl is as within a handshake until it has the last. */
static void test_part_of_message(void)
{
	struct two t;
	bool seen = false;

	begin_with_long_tickets(&t);
	say(&t.server, "behind tickets");
	for (int i = 0; i < 8000; i++) {
		carry(t.from_server, t.from_client, 1);
		turn(t.loop, 1);
		if (SSL_is_init_finished(conn_tls_ssl(&t.client.conn)))
			continue;
		seen = true;
		CU_ASSERT(conn_memory(&t.client.conn) > 61000);
	}
	expect(&t.client, "behind tickets");
	CU_ASSERT(seen && conn_memory(&t.client.conn) < 20000);
	end_with_long_tickets(&t);
}

/* A client that writes when it has the first MOST bytes of the tickets; READS: what comes, too. Whether that was within
 * one of them. */
static bool write_within_message(struct two *t, int most, bool reads)
{
	unsigned calls;
	bool within;

	begin_with_long_tickets(t);
	say(&t->server, "behind tickets");
	for (int i = 0; i < most; i++) {
		carry(t->from_server, t->from_client, 1);
		turn(t->loop, 1);
	}
	within = !SSL_is_init_finished(ssl_of(&t->client));
	str_adds(&t->client.out, "before their end");
	conn_watch(t->loop, &t->client.conn, reads ? EV_READ | EV_WRITE : EV_WRITE);
	calls = t->client.calls;
	turn(t->loop, 10);
	CU_ASSERT_EQUAL(t->client.out.len == 0, !within);
	CU_ASSERT(!within || t->client.calls == calls); /* the loop sleeps */
	return within;
}

/* Then libssl takes nothing (RFC 8446 section 5.1 lets a message stand in several records): it is written when the
 * message is whole. */
static void test_write_within_message(void)
{
	unsigned within = 0;

	for (int i = 0; i < 4000; i += 137) {
		struct two t;

		within += write_within_message(&t, i, i % 2 == 0);
		run(&t, 100);
		expect(&t.server, "before their end");
		expect(&t.client, "behind tickets");
		CU_ASSERT_PTR_NULL(t.client.why);
		end_with_long_tickets(&t);
	}
	CU_ASSERT(within >= 10);
}

/* It never gets whole: the one who waits to write is told. */
static void test_end_within_message(void)
{
	for (int reads = 0; reads < 2; reads++) {
		struct two t;

		CU_ASSERT(write_within_message(&t, 1000, reads != 0));
		shutdown(t.from_client, SHUT_WR);
		turn(t.loop, 10);
		CU_ASSERT_PTR_NOT_NULL_FATAL(t.client.why);
		CU_ASSERT_STRING_EQUAL(t.client.why, "ended without close_notify");
		CU_ASSERT_EQUAL(conn_write(&t.client.conn, "more", 4), CONN_FAILED);
		end_with_long_tickets(&t);
	}
}

/* What never becomes a message is bounded, by length and by records; the user is told. */
static void test_endless_hello(void)
{
	static const char head[] = "\x16\x03\x01\x40\x00\x01\x01\xff\xff", one[] = "\x16\x03\x01\x00\x01\x01";
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);

	for (int many = 0; many < 2; many++) {
		struct user u;
		int fd, far = far_end(&fd);
		size_t sent = 0;

		begin(&u, loop, fd);
		conn_tls_accept(loop, &u.conn, server_ctx);
		conn_watch(loop, &u.conn, EV_READ);
		CU_ASSERT_EQUAL(write(far, many ? "\x16\x03\x01\x00\x04\x01\x00\x3f\x00" : head, 9), 9);
		while (u.end != CONN_FAILED && sent < 100000) {
			sent += (size_t)MAX(write(far, one, 6), 0);
			turn(loop, 2);
		}
		CU_ASSERT(sent <= (many ? 32768 : 6));
		CU_ASSERT_STRING_EQUAL(u.why, "the client's first message is too long");
		CU_ASSERT_PTR_NULL(conn_tls_ssl(&u.conn));
		end(&u);
		close(far);
	}
	ev_loop_destroy(loop);
}

/* --- peers without manners --- */

/* A renegotiation is refused, and costs nothing but its message. */
static void test_renegotiation(void)
{
	struct two t;
	struct tls *c;

	begin_two(&t, TLS1_2_VERSION);
	SSL_clear_options(ssl_of(&t.client), SSL_OP_NO_RENEGOTIATION);
	run(&t, 65536);
	c = tls_of(&t.client.conn);
	CU_ASSERT_EQUAL(SSL_renegotiate(ssl_of(&t.client)), 1);
	ERR_clear_error();
	SSL_do_handshake(ssl_of(&t.client));
	flush(c);
	ERR_clear_error();
	carry(t.from_client, t.from_server, 65536);
	turn(t.loop, 3);
	CU_ASSERT_EQUAL(t.server.end, CONN_LATER);
	CU_ASSERT_EQUAL(tls_of(&t.server.conn)->error, NULL);
	say(&t.server, "no");
	CU_ASSERT(SSL_is_init_finished(ssl_of(&t.server)));
	end_two(&t);
}

/* New keys, asked for now and then, are given. */
static void update_keys(struct two *t, int times)
{
	struct tls *c = tls_of(&t->client.conn);

	for (int i = 0; i < times; i++) {
		if (SSL_key_update(c->ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(c->ssl) != 1)
			break;
	}
	flush(c);
}

static void test_key_updates(void)
{
	struct two t;

	begin_two(&t, TLS1_3_VERSION);
	run(&t, 65536);
	update_keys(&t, 3);
	say(&t.client, "with new keys");
	run(&t, 65536);
	expect(&t.server, "with new keys");
	say(&t.server, "mine are new, too");
	run(&t, 65536);
	expect(&t.client, "mine are new, too");
	update_keys(&t, ASIDES_FREE);
	run(&t, 65536);
	CU_ASSERT_EQUAL(t.server.end, CONN_FAILED);
	CU_ASSERT_STRING_EQUAL(t.server.why, "too many handshake messages after the handshake");
	end_two(&t);
}

static int quick;        /* where what it says goes */
static struct str ready; /* what it has not said yet */

/* The client has more new keys there before the server has read the last of them. */
static void send_at_once(void)
{
	ssize_t n = __real_send(quick, ready.data, MIN(ready.len, (size_t)8192), MSG_NOSIGNAL);

	str_drop(&ready, n > 0 ? (size_t)n : 0);
}

/* ... as fast as it is read: others get their turn, and nothing grows. EARNED: it has sent much before. */
static void endless_key_updates(uint64_t earned)
{
	struct two t;
	struct tls *s;

	begin_two(&t, TLS1_3_VERSION);
	run(&t, 65536);
	s = tls_of(&t.server.conn);
	s->rcvd = earned;
	t.server.room = 1024;
	while (ready.len < 1024 * 1024) {
		char buf[65536];
		ssize_t n;

		update_keys(&t, 100);
		n = read(t.from_client, buf, sizeof(buf));
		str_add(&ready, buf, (size_t)MAX(n, 0));
	}
	quick = t.from_server;
	at_recv = send_at_once;
	send_at_once();
	turn(t.loop, 1);
	at_recv = NULL;
	CU_ASSERT(ready.len > 1024 * 1024 / 2);
	CU_ASSERT(s->out.len < 2 * CHUNK);
	CU_ASSERT_EQUAL(s->in_broken, earned == 0);
	str_fini(&ready);
	end_two(&t);
}

static void test_endless_key_updates(void)
{
	endless_key_updates(0);
	endless_key_updates((uint64_t)1 << 40);
}

/* A peer that asks and takes no answer is not read any more, and nothing grows. */
static void test_unread_answers(void)
{
	struct two t;
	struct tls *s;

	begin_two(&t, TLS1_3_VERSION);
	run(&t, 65536);
	s = tls_of(&t.server.conn);
	while (__real_send(s->fd, "full", 4, MSG_NOSIGNAL) > 0)
		;
	s->rcvd = (uint64_t)1 << 40; /* it has earned them */
	for (int i = 0; i < 3000; i++) {
		update_keys(&t, 10);
		carry(t.from_client, t.from_server, 65536);
		turn(t.loop, 1);
		if (s->answers >= ANSWERS)
			break;
	}
	CU_ASSERT(s->answers >= ANSWERS && s->out.len < 2 * ANSWERS);
	t.server.calls = 0;
	update_keys(&t, 10);
	carry(t.from_client, t.from_server, 65536);
	turn(t.loop, 5);
	CU_ASSERT_EQUAL(t.server.calls, 0);
	CU_ASSERT(s->out.len < 2 * ANSWERS);
	end_two(&t);
}

/* ... nor within a message, whose rest a user has to wait for but that may not be read: the loop sleeps until the
 * peer takes the answers, and then the rest is read. */
static void unread_answers_within_message(int want)
{
	static char said[65536];
	struct two t;
	struct tls *c;
	SSL *server;
	ssize_t len;

	begin_with_long_tickets(&t);
	c = tls_of(&t.client.conn);
	server = ssl_of(&t.server);
	while (__real_send(c->fd, "full", 4, MSG_NOSIGNAL) > 0)
		;
	c->rcvd = (uint64_t)1 << 40; /* the server has earned them */
	to_call(tls_of(&t.server.conn));
	for (int i = 0; i < 1000; i++)
		CU_ASSERT(SSL_key_update(server, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(server) == 1);
	CU_ASSERT(SSL_new_session_ticket(server) == 1 && SSL_do_handshake(server) == 1);
	flush(tls_of(&t.server.conn));
	len = read(t.from_server, said, sizeof(said));
	CU_ASSERT_FATAL(len > 10000);
	CU_ASSERT_EQUAL(write(t.from_client, said, (size_t)len - 600), len - 600);
	turn(t.loop, 3);
	CU_ASSERT(c->answers >= ANSWERS && is_within_message(c));
	str_adds(&t.client.out, "before its end");
	conn_watch(t.loop, &t.client.conn, want);
	CU_ASSERT_EQUAL(write(t.from_client, said + len - 600, 600), 600);
	t.client.calls = 0;
	turn(t.loop, 5);
	CU_ASSERT_EQUAL(t.client.calls, 0);
	while (read(t.from_client, said, sizeof(said)) > 0)
		turn(t.loop, 2);
	turn(t.loop, 5);
	CU_ASSERT(c->answers < ANSWERS && !is_within_message(c));
	CU_ASSERT_EQUAL(t.client.out.len == 0, (want & EV_WRITE) != 0);
	CU_ASSERT_PTR_NULL(t.client.why);
	end_with_long_tickets(&t);
}

static void test_unread_answers_within_message(void)
{
	unread_answers_within_message(EV_READ);
	unread_answers_within_message(EV_WRITE);
	unread_answers_within_message(EV_READ | EV_WRITE);
}

/* --- contexts --- */

static void test_ciphers(void)
{
	static const char *const lists[] = { "ALL", "DEFAULT", "HIGH", "ALL:COMPLEMENTOFALL",
		"AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256" };
	SSL_CTX *ctx = tls_ctx_new(true);

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		STACK_OF(SSL_CIPHER) * have;

		CU_ASSERT(tls_ctx_set_ciphers(ctx, lists[i]));
		have = SSL_CTX_get_ciphers(ctx);
		CU_ASSERT(sk_SSL_CIPHER_num(have) > 0);
		for (int n = 0; n < sk_SSL_CIPHER_num(have); n++) {
			int kx = SSL_CIPHER_get_kx_nid(sk_SSL_CIPHER_value(have, n));

			CU_ASSERT(kx != NID_kx_rsa && kx != NID_kx_psk && kx != NID_kx_rsa_psk && kx != NID_kx_srp);
			CU_ASSERT_NOT_EQUAL(SSL_CIPHER_get_auth_nid(sk_SSL_CIPHER_value(have, n)), NID_auth_null);
		}
	}
	CU_ASSERT_FALSE(tls_ctx_set_ciphers(ctx, "AES128-SHA"));
	CU_ASSERT_FALSE(tls_ctx_set_ciphers(ctx, "nonsense"));
	CU_ASSERT_EQUAL(ERR_peek_error(), 0);
	SSL_CTX_free(ctx);
}

/* --- who the server is --- */

/* A client that wants NAME, and a server that shows CERT: "" if it is believed, or why not. Nothing is said to a server
 * that is not. */
static const char *visit(SSL_CTX *ctx, const char *name, X509 *cert, EVP_PKEY *key)
{
	SSL_CTX *shown = tls_ctx_new(true);
	const char *why;
	struct two t;
	int fd;

	CU_ASSERT_EQUAL(SSL_CTX_use_certificate(shown, cert), 1);
	CU_ASSERT_EQUAL(SSL_CTX_use_PrivateKey(shown, key), 1);
	memset(&t, 0, sizeof(t));
	t.loop = ev_loop_new(EVFLAG_AUTO);
	t.from_client = far_end(&fd);
	begin(&t.client, t.loop, fd);
	t.from_server = far_end(&fd);
	begin(&t.server, t.loop, fd);
	conn_tls_connect(t.loop, &t.client.conn, tls_client_new(ctx, name));
	conn_tls_accept(t.loop, &t.server.conn, shown);
	str_adds(&t.client.out, "secret");
	conn_watch(t.loop, &t.client.conn, EV_READ | EV_WRITE);
	conn_watch(t.loop, &t.server.conn, EV_READ);
	run(&t, 65536);
	why = t.client.why != NULL ? t.client.why : "";
	CU_ASSERT_EQUAL(conn_tls_refused(&t.client.conn, &verdict), why[0] != '\0');
	expect(&t.server, why[0] == '\0' ? "secret" : "");
	end_two(&t);
	SSL_CTX_free(shown);
	return why;
}

static void test_names(void)
{
	static const struct {
		const char *name, *alt, *why;
	} cases[] = {
		{ "a.example", "DNS:a.example", "" },
		{ "A.Example", "DNS:a.example", "" },
		{ "a.example", "DNS:b.example,DNS:a.example", "" },
		{ "b.a.example", "DNS:*.a.example", "" },
		{ "127.0.0.1", "IP:127.0.0.1", "" },
		{ "::1", "IP:::1", "" },
		{ "a.example", "DNS:b.example", "hostname mismatch" },
		{ "a.example", "DNS:*.a.example", "hostname mismatch" },
		{ "c.b.a.example", "DNS:*.a.example", "hostname mismatch" },
		{ "baz.a.example", "DNS:b*.a.example", "hostname mismatch" },
		{ "127.0.0.1", "IP:127.0.0.2", "IP address mismatch" },
		{ "127.0.0.1", "DNS:127.0.0.1", "IP address mismatch" },
		{ "subject.example", NULL, "hostname mismatch" },
	};
	EVP_PKEY *ca_key = tls_test_key("P-256"), *key = tls_test_key("P-256");
	X509 *ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -60, 3600, true);
	SSL_CTX *ctx = tls_ctx_new(false);

	tls_test_believe(ctx, ca);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		X509 *cert = tls_test_signed(key, cases[i].alt, ca, ca_key, -60, 3600, false);

		CU_ASSERT_STRING_EQUAL(visit(ctx, cases[i].name, cert, key), cases[i].why);
		X509_free(cert);
	}
	SSL_CTX_free(ctx);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
}

/* Expired, not valid yet, its own authority, an authority that is none, nobody known. */
static void test_not_believed(void)
{
	EVP_PKEY *ca_key = tls_test_key("P-256"), *key = tls_test_key("P-256"), *other = tls_test_key("P-256");
	X509 *ca = tls_test_signed(ca_key, NULL, NULL, ca_key, -60, 3600, true);
	X509 *expired = tls_test_signed(key, "DNS:a.example", ca, ca_key, -3600, -60, false);
	X509 *early = tls_test_signed(key, "DNS:a.example", ca, ca_key, 1800, 3600, false);
	X509 *own = tls_test_signed(key, "DNS:a.example", NULL, key, -60, 3600, false);
	X509 *forged = tls_test_signed(key, "DNS:a.example", ca, other, -60, 3600, false);
	X509 *good = tls_test_signed(key, "DNS:a.example", ca, ca_key, -60, 3600, false);
	SSL_CTX *ctx = tls_ctx_new(false);

	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", good, key), "unable to get local issuer certificate");
	tls_test_believe(ctx, ca);
	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", good, key), "");
	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", expired, key), "certificate has expired");
	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", early, key), "certificate is not yet valid");
	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", own, key), "self-signed certificate");
	CU_ASSERT_STRING_EQUAL(visit(ctx, "a.example", forged, key), "certificate signature failure");
	SSL_CTX_free(ctx);
	X509_free(ca);
	X509_free(expired);
	X509_free(early);
	X509_free(own);
	X509_free(forged);
	X509_free(good);
	EVP_PKEY_free(ca_key);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* The server chooses; but a client that puts ChaCha20 first has a reason. */
static void test_suites(void)
{
	static const struct {
		const char *offered, *chosen;
	} cases[] = {
		{ "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
		    "TLS_AES_128_GCM_SHA256" },
		{ "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256" },
		{ "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		SSL_CTX *ctx = tls_ctx_new(false);
		SSL *c, *s;

		CU_ASSERT_EQUAL(SSL_CTX_set_ciphersuites(ctx, cases[i].offered), 1);
		tls_test_pair(ctx, server_ctx, &c, &s);
		CU_ASSERT(tls_test_shake(c, s));
		CU_ASSERT_STRING_EQUAL(SSL_get_cipher(c), cases[i].chosen);
		SSL_free(c);
		SSL_free(s);
		SSL_CTX_free(ctx);
	}
}

FOR_BOTH(test_both_ways)
FOR_BOTH(test_server_ends_first)
FOR_BOTH(test_cut_anywhere)
FOR_BOTH(test_little_room)
FOR_BOTH(test_much)
FOR_BOTH(test_end_goes_later)
FOR_BOTH(test_break_off)
FOR_BOTH(test_peek)
FOR_BOTH(test_take_over)
FOR_BOTH(test_calls)
FOR_BOTH(test_tickets_wait)
FOR_BOTH(test_keys_forgotten)
FOR_BOTH(test_idle)
FOR_BOTH(test_cut_off)
FOR_BOTH(test_changed_bytes)
FOR_BOTH(test_reset)
FOR_BOTH(test_shut_early)
FOR_BOTH(test_part_of_record)
FOR_BOTH(test_broken_within)
FOR_BOTH(test_slow_hello)
FOR_BOTH(test_part_of_handshake)

static void test_contexts(void)
{
	server_ctx = tls_test_server("server.example");
	client_ctx = tls_ctx_new(false);
}

static void test_free_contexts(void)
{
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
}

static const struct unit_case cases[] = {
	{ "contexts", test_contexts },
	{ "ciphers", test_ciphers },
	{ "suites", test_suites },
	{ "names of servers", test_names },
	{ "servers that are not believed", test_not_believed },
	{ "both ways", both_test_both_ways },
	{ "the server ends first", both_test_server_ends_first },
	{ "cut anywhere", both_test_cut_anywhere },
	{ "little room", both_test_little_room },
	{ "much", both_test_much },
	{ "an end that has to wait", both_test_end_goes_later },
	{ "an end without a word", both_test_break_off },
	{ "peek", both_test_peek },
	{ "take over", both_test_take_over },
	{ "system calls", both_test_calls },
	{ "tickets wait", both_test_tickets_wait },
	{ "keys of the exchange", both_test_keys_forgotten },
	{ "idle", both_test_idle },
	{ "a part of a record", both_test_part_of_record },
	{ "broken within the handshake", both_test_broken_within },
	{ "cut off", both_test_cut_off },
	{ "no TLS", test_garbage },
	{ "changed bytes", both_test_changed_bytes },
	{ "reset", both_test_reset },
	{ "shut early", both_test_shut_early },
	{ "a slow hello", both_test_slow_hello },
	{ "a part of a handshake", both_test_part_of_handshake },
	{ "a part of a message", test_part_of_message },
	{ "a write within a message", test_write_within_message },
	{ "an end within a message", test_end_within_message },
	{ "an endless hello", test_endless_hello },
	{ "renegotiation", test_renegotiation },
	{ "key updates", test_key_updates },
	{ "endless key updates", test_endless_key_updates },
	{ "unread answers", test_unread_answers },
	{ "unread answers within a message", test_unread_answers_within_message },
	{ "contexts are freed", test_free_contexts },
	{ NULL, NULL },
};
UNIT_MAIN("conn_tls", cases)
