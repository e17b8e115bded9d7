/* Connections of the plain kind and of the coded one: every function, with short and delayed input, cut off and
 * broken. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/coded.h"

/* A connection and its user, which reads when the loop says so, ROOM bytes at a time. */
struct user {
	struct ev_loop *loop;
	struct conn conn;
	size_t room;         /* 0: reads nothing */
	struct str got, out; /* `out` waits to be written */
	int calls, readable, writable;
	ssize_t end; /* the last result of conn_read() that was not a number of bytes; 1 before */
	bool close_at_once;
};

static void on_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct user *u = io->data;
	int ready = conn_ready(&u->conn, revents);
	char buf[4096];
	ssize_t n;

	u->calls++;
	u->readable += (ready & EV_READ) != 0;
	u->writable += (ready & EV_WRITE) != 0;
	CU_ASSERT_EQUAL(ready & ~conn_wants(&u->conn), 0);
	if (u->close_at_once) {
		conn_close(loop, &u->conn);
		return;
	}
	if ((ready & EV_WRITE) != 0 && conn_flush(&u->conn, &u->out) != CONN_LATER)
		conn_watch(loop, &u->conn, EV_READ);
	if ((ready & EV_READ) == 0 || u->room == 0)
		return;
	n = conn_read(&u->conn, buf, MIN(u->room, sizeof(buf)));
	if (n > 0)
		str_add(&u->got, buf, (size_t)n);
	else if (n != CONN_LATER)
		conn_watch(loop, &u->conn, 0);
	if (n <= 0)
		u->end = n;
}

static void begin(struct user *u, struct ev_loop *loop, int fd)
{
	memset(u, 0, sizeof(*u));
	u->loop = loop;
	u->room = 4096;
	u->end = 1;
	conn_open(&u->conn, fd, on_event, u);
}

static void end(struct user *u)
{
	conn_close(u->loop, &u->conn);
	str_fini(&u->got);
	str_fini(&u->out);
}

static void pair(int fd[2])
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
}

static void turn(struct ev_loop *loop, int times)
{
	for (int i = 0; i < times; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

/* U sends TEXT, all of which the system takes. */
static void say(struct user *u, const char *text)
{
	CU_ASSERT_EQUAL(conn_write(&u->conn, text, strlen(text)), (ssize_t)strlen(text));
}

static void expect(const struct user *u, const char *text)
{
	CU_ASSERT_STRING_EQUAL(str_cstr(&u->got), text);
}

static unsigned char pattern(size_t i)
{
	return (unsigned char)(i * 31 + i / 251);
}

/* --- plain --- */

static void test_plain(void)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	char buf[16];
	int fd[2];

	pair(fd);
	begin(&u, loop, fd[0]);
	CU_ASSERT(conn_is_open(&u.conn));
	CU_ASSERT_EQUAL(conn_raw_fd(&u.conn), fd[0]);
	CU_ASSERT_EQUAL(conn_wants(&u.conn), 0);
	CU_ASSERT_EQUAL(conn_read(&u.conn, buf, sizeof(buf)), CONN_LATER);
	CU_ASSERT_EQUAL(conn_peek(&u.conn, buf, sizeof(buf)), CONN_LATER);
	CU_ASSERT_EQUAL(write(fd[1], "hello", 5), 5);
	turn(loop, 2);
	CU_ASSERT_EQUAL(u.calls, 0); /* not watched */
	CU_ASSERT_EQUAL(conn_peek(&u.conn, buf, 1), 1);
	CU_ASSERT_EQUAL(conn_peek(&u.conn, buf, sizeof(buf)), 5);
	CU_ASSERT_EQUAL(conn_read(&u.conn, buf, 2), 2);
	CU_ASSERT(memcmp(buf, "he", 2) == 0);
	conn_watch(loop, &u.conn, EV_READ);
	CU_ASSERT_EQUAL(conn_wants(&u.conn), EV_READ);
	turn(loop, 2);
	expect(&u, "llo");
	CU_ASSERT_EQUAL(u.calls, 1);
	conn_watch(loop, &u.conn, EV_READ | EV_WRITE);
	turn(loop, 1);
	CU_ASSERT(u.calls == 2 && u.writable == 1 && u.readable == 1);
	conn_watch(loop, &u.conn, 0);
	CU_ASSERT_EQUAL(write(fd[1], "more", 4), 4);
	turn(loop, 2);
	CU_ASSERT_EQUAL(u.calls, 2);
	say(&u, "bye");
	conn_shut(&u.conn);
	CU_ASSERT_EQUAL(read(fd[1], buf, sizeof(buf)), 3);
	CU_ASSERT_EQUAL(read(fd[1], buf, sizeof(buf)), 0);
	CU_ASSERT_EQUAL(conn_write(&u.conn, "x", 1), CONN_FAILED);
	CU_ASSERT_STRING_EQUAL(conn_error(&u.conn), strerror(EPIPE));
	CU_ASSERT_EQUAL(conn_read(&u.conn, buf, sizeof(buf)), 4); /* the other direction is not shut */
	close(fd[1]);
	CU_ASSERT_EQUAL(conn_read(&u.conn, buf, sizeof(buf)), 0);
	end(&u);
	CU_ASSERT_FALSE(conn_is_open(&u.conn));
	CU_ASSERT(fcntl(fd[0], F_GETFD) == -1);
	CU_ASSERT_EQUAL(conn_raw_fd(&u.conn), -1);
	conn_close(loop, &u.conn); /* it is closed already: does nothing */
	ev_loop_destroy(loop);
}

/* The other side closes with bytes unread: a reset. It is noticed without reading, too; a half-close is not a reset. */
static void test_plain_reset(void)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	char c;
	int fd[2];

	pair(fd);
	begin(&u, loop, fd[0]);
	CU_ASSERT_FALSE(conn_is_cut(&u.conn));
	shutdown(fd[1], SHUT_WR);
	CU_ASSERT_FALSE(conn_is_cut(&u.conn));
	say(&u, "unread");
	close(fd[1]);
	CU_ASSERT(conn_is_cut(&u.conn));
	CU_ASSERT_EQUAL(conn_read(&u.conn, &c, 1), CONN_FAILED);
	CU_ASSERT_STRING_EQUAL(conn_error(&u.conn), strerror(ECONNRESET));
	end(&u);
	ev_loop_destroy(loop);
}

/* Copies of the descriptor are cut, too. */
static void test_cut(void)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	char c;
	int fd[2], copy;

	pair(fd);
	copy = dup(fd[0]);
	begin(&u, loop, fd[0]);
	conn_cut(&u.conn);
	CU_ASSERT(conn_is_open(&u.conn));
	CU_ASSERT_EQUAL(read(copy, &c, 1), 0);
	CU_ASSERT_EQUAL(read(fd[1], &c, 1), 0);
	end(&u);
	close(copy);
	close(fd[1]);
	ev_loop_destroy(loop);
}

/* --- any kind --- */

/* Two users at the ends of one connection; at CODED, both are of that kind. */
struct two {
	struct user a, b;
	struct ev_loop *loop;
};

static void begin_two(struct two *t, bool is_coded)
{
	int fd[2];

	pair(fd);
	t->loop = ev_loop_new(EVFLAG_AUTO);
	begin(&t->a, t->loop, fd[0]);
	begin(&t->b, t->loop, fd[1]);
	if (is_coded) {
		conn_use(t->loop, &t->a.conn, coded_new(fd[0]));
		conn_use(t->loop, &t->b.conn, coded_new(fd[1]));
	}
	conn_watch(t->loop, &t->a.conn, EV_READ);
	conn_watch(t->loop, &t->b.conn, EV_READ);
	turn(t->loop, 3);
	CU_ASSERT(t->a.end == 1 || t->a.end == CONN_LATER);
}

static void end_two(struct two *t)
{
	end(&t->a);
	end(&t->b);
	CU_ASSERT_EQUAL(coded_count(), 0);
	ev_loop_destroy(t->loop);
}

static void both_ways(bool is_coded)
{
	struct two t;

	begin_two(&t, is_coded);
	say(&t.a, "ping");
	say(&t.b, "pong");
	say(&t.b, "!");
	turn(t.loop, 4);
	expect(&t.a, "pong!");
	expect(&t.b, "ping");
	conn_shut(&t.a.conn);
	turn(t.loop, 4);
	CU_ASSERT_EQUAL(t.b.end, 0);
	say(&t.b, " bye");
	turn(t.loop, 4);
	expect(&t.a, "pong! bye");
	conn_close(t.loop, &t.b.conn);
	turn(t.loop, 4);
	CU_ASSERT_EQUAL(t.a.end, 0);
	end_two(&t);
}

static void test_both_ways(void)
{
	both_ways(false);
	both_ways(true);
}

/* More than the system takes: conn_flush() leaves the rest, the loop calls when it can go on, every byte arrives, and
 * what was sent is dropped. */
static void much(bool is_coded, size_t room)
{
	enum { TOTAL = 3 * 1000 * 1000 };
	struct two t;
	bool same = true;

	begin_two(&t, is_coded);
	t.b.room = room;
	for (size_t i = 0; i < TOTAL; i++)
		str_addc(&t.a.out, (char)pattern(i));
	CU_ASSERT_EQUAL(conn_flush(&t.a.conn, &t.a.out), CONN_LATER);
	CU_ASSERT(t.a.out.len != 0 && t.a.out.len < TOTAL);
	conn_watch(t.loop, &t.a.conn, EV_READ | EV_WRITE);
	for (int i = 0; i < 2000000 && t.b.got.len < TOTAL; i++)
		turn(t.loop, 1);
	CU_ASSERT_EQUAL_FATAL(t.b.got.len, TOTAL);
	for (size_t i = 0; i < TOTAL; i++)
		same = same && (unsigned char)t.b.got.data[i] == pattern(i);
	CU_ASSERT(same);
	CU_ASSERT_EQUAL(t.a.out.len, 0);
	CU_ASSERT_EQUAL(conn_flush(&t.a.conn, &t.a.out), 0);
	end_two(&t);
}

static void test_much(void)
{
	much(false, 4096);
	much(true, 4096);
	much(true, 300);
}

static void other_event(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	CU_FAIL("the old callback was called");
}

/* Bytes held inside are moved as well; the old connection is closed, and its watcher stopped. */
static void take_over(bool is_coded)
{
	struct two t;
	struct conn from;
	int fd;

	begin_two(&t, is_coded);
	conn_watch(t.loop, &t.b.conn, 0);
	say(&t.a, "first ");
	say(&t.a, "second ");
	say(&t.a, "third");
	turn(t.loop, 3);
	t.b.room = 3;
	if (is_coded)
		on_event(t.loop, &t.b.conn.io, EV_READ);
	expect(&t.b, ""); /* it does not want any: it is not called */
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 1);
	CU_ASSERT_EQUAL(t.b.got.len % 3, 0);
	fd = t.b.conn.io.fd;
	conn_take_over(t.loop, &from, other_event, &t, &t.b.conn);
	CU_ASSERT_FALSE(conn_is_open(&t.b.conn));
	CU_ASSERT_EQUAL(conn_wants(&from), 0);
	conn_take_over(t.loop, &t.b.conn, on_event, &t.b, &from);
	CU_ASSERT(!conn_is_open(&from) && t.b.conn.io.fd == fd);
	turn(t.loop, 3);
	CU_ASSERT(t.b.got.len < 10);
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 10);
	expect(&t.b, "first second third");
	conn_close(t.loop, &from);
	end_two(&t);
}

static void test_take_over(void)
{
	take_over(false);
	take_over(true);
}

/* Its user closes it in the callback. */
static void closed_in_callback(bool is_coded)
{
	struct two t;

	begin_two(&t, is_coded);
	say(&t.a, "x");
	t.b.close_at_once = true;
	turn(t.loop, 3);
	CU_ASSERT_FALSE(conn_is_open(&t.b.conn));
	end_two(&t);
}

static void test_closed_in_callback(void)
{
	closed_in_callback(false);
	closed_in_callback(true);
}

/* --- what plain connections cannot do --- */

static int descriptor_of(const struct user *u)
{
	return u->conn.io.fd;
}

/* Bytes are held inside, the socket is empty: the user is still called, once in each turn, and only while it wants
 * them. */
static void test_inside(void)
{
	struct two t;
	struct pollfd p;

	begin_two(&t, true);
	conn_watch(t.loop, &t.b.conn, 0);
	say(&t.a, "abc");
	say(&t.a, "def");
	t.b.room = 1;
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 1);
	expect(&t.b, "a");
	p = (struct pollfd){ .fd = descriptor_of(&t.b), .events = POLLIN };
	CU_ASSERT_EQUAL(poll(&p, 1, 0), 0);
	turn(t.loop, 1);
	expect(&t.b, "ab");
	conn_watch(t.loop, &t.b.conn, 0);
	turn(t.loop, 5);
	expect(&t.b, "ab");
	conn_watch(t.loop, &t.b.conn, EV_WRITE);
	turn(t.loop, 1);
	expect(&t.b, "ab");
	CU_ASSERT_EQUAL(t.b.writable, 1);
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 1);
	expect(&t.b, "abc");
	ev_run(t.loop, EVRUN_ONCE); /* would wait for ever if the loop did not know */
	expect(&t.b, "abcd");
	turn(t.loop, 5);
	expect(&t.b, "abcdef");
	t.b.calls = 0;
	turn(t.loop, 5);
	CU_ASSERT_EQUAL(t.b.calls, 0);
	CU_ASSERT_EQUAL(conn_raw_fd(&t.b.conn), -1);
	end_two(&t);
}

/* The end is held inside after the last bytes: it is reported, once. */
static void test_end_inside(void)
{
	struct two t;

	begin_two(&t, true);
	conn_watch(t.loop, &t.b.conn, 0);
	say(&t.a, "last");
	conn_shut(&t.a.conn);
	conn_shut(&t.a.conn);
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 3);
	expect(&t.b, "last");
	CU_ASSERT_EQUAL(t.b.end, 0);
	t.b.calls = 0;
	turn(t.loop, 5);
	CU_ASSERT_EQUAL(t.b.calls, 0);
	end_two(&t);
}

/* A peek shows what is inside, and takes nothing. */
static void test_peek_inside(void)
{
	struct two t;
	char buf[8];

	begin_two(&t, true);
	conn_watch(t.loop, &t.b.conn, 0);
	say(&t.a, "abc");
	CU_ASSERT_EQUAL(conn_peek(&t.b.conn, buf, 1), 1);
	CU_ASSERT_EQUAL(buf[0], 'a');
	CU_ASSERT_EQUAL(conn_peek(&t.b.conn, buf, sizeof(buf)), 3);
	conn_watch(t.loop, &t.b.conn, EV_READ);
	turn(t.loop, 2);
	expect(&t.b, "abc");
	conn_watch(t.loop, &t.b.conn, 0);
	conn_shut(&t.a.conn);
	CU_ASSERT_EQUAL(conn_peek(&t.b.conn, buf, 1), 0);
	CU_ASSERT_EQUAL(conn_peek(&t.b.conn, buf, 1), 0);
	end_two(&t);
}

/* Nothing can be written before the other side's hello: the user who waits to write is called only after it arrives.
 * Our own hello is sent even if the user only reads. */
static void test_write_needs_read(void)
{
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	char buf[16];
	int fd[2];

	pair(fd);
	begin(&u, loop, fd[0]);
	conn_watch(loop, &u.conn, EV_READ);
	conn_use(loop, &u.conn, coded_new(fd[0]));
	CU_ASSERT_EQUAL(conn_wants(&u.conn), EV_READ);
	turn(loop, 2);
	CU_ASSERT_EQUAL(read(fd[1], buf, sizeof(buf)), 4);
	CU_ASSERT_EQUAL(u.readable + u.writable, 0);
	str_adds(&u.out, "text");
	CU_ASSERT_EQUAL(conn_flush(&u.conn, &u.out), CONN_LATER);
	conn_watch(loop, &u.conn, EV_WRITE);
	u.calls = 0;
	turn(loop, 5);
	CU_ASSERT_EQUAL(u.calls, 0); /* the socket has room, but that is not what it waits for */
	CU_ASSERT_EQUAL(write(fd[1], "CODE", 4), 4);
	turn(loop, 2);
	CU_ASSERT_EQUAL(u.out.len, 0);
	CU_ASSERT_EQUAL(read(fd[1], buf, sizeof(buf)), 2 + 4);
	end(&u);
	close(fd[1]);
	ev_loop_destroy(loop);
}

/* The end of our direction does not fit into the socket: it is sent later, whatever the user waits for. */
static void end_goes_later(int want)
{
	static char buf[65536];
	struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
	struct user u;
	ssize_t n, last = 0;
	int fd[2];

	pair(fd);
	begin(&u, loop, fd[0]);
	conn_use(loop, &u.conn, coded_new(fd[0]));
	CU_ASSERT_EQUAL(write(fd[1], "CODE", 4), 4);
	while (conn_write(&u.conn, "0123456789", 10) > 0)
		;
	/* The record that did not fit is sent before the end. */
	while ((n = conn_write(&u.conn, "0123456789", 10)) == CONN_LATER)
		CU_ASSERT_FATAL(read(fd[1], buf, 100) > 0);
	while (send(fd[0], "", 1, MSG_NOSIGNAL) > 0) /* full to the last byte; the test does not read further */
		;
	conn_watch(loop, &u.conn, want);
	conn_shut(&u.conn);
	turn(loop, 3);
	CU_ASSERT_EQUAL(u.readable + u.writable, 0);
	for (int i = 0; i < 100000; i++) {
		if ((n = read(fd[1], buf, sizeof(buf))) == 0)
			break;
		last = n > 0 ? n : last;
		turn(loop, 1);
	}
	CU_ASSERT_EQUAL(n, 0);
	CU_ASSERT(last >= 2 && buf[last - 1] == 0 && buf[last - 2] == 0);
	end(&u);
	close(fd[1]);
	ev_loop_destroy(loop);
}

static void test_end_goes_later(void)
{
	end_goes_later(0);
	end_goes_later(EV_READ);
}

/* The stream is cut at every byte: whole records are returned, then the failure. */
static void test_cut_off(void)
{
	static const char all[] = "CODE\0\3"
	                          "\x3b\x38\071\0\2"
	                          "\x3e\x3f"; /* "abc", "de" */

	for (size_t cut = 0; cut < sizeof(all); cut++) {
		struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
		struct user u;
		int fd[2];

		pair(fd);
		begin(&u, loop, fd[0]);
		conn_use(loop, &u.conn, coded_new(fd[0]));
		CU_ASSERT_EQUAL(write(fd[1], all, cut), (ssize_t)cut);
		shutdown(fd[1], SHUT_WR);
		conn_watch(loop, &u.conn, EV_READ);
		turn(loop, 5);
		expect(&u, cut < 9 ? "" : cut < 13 ? "abc" : "abcde");
		CU_ASSERT_EQUAL(u.end, CONN_FAILED);
		CU_ASSERT_STRING_EQUAL(conn_error(&u.conn), "the code was broken");
		end(&u);
		close(fd[1]);
		ev_loop_destroy(loop);
	}
	CU_ASSERT_EQUAL(coded_count(), 0);
}

static int others;

static void on_other(struct ev_loop *loop UNUSED, ev_io *io UNUSED, int revents UNUSED)
{
	others++;
}

/* One connection has bytes inside, the other's socket is always readable: both get their turn. */
static void test_fair(void)
{
	struct two t;
	ev_io other;
	int fd[2];

	begin_two(&t, true);
	pair(fd);
	CU_ASSERT_EQUAL(write(fd[1], "x", 1), 1);
	ev_io_init(&other, on_other, fd[0], EV_READ);
	ev_set_priority(&other, 1);
	ev_io_start(t.loop, &other);
	conn_watch(t.loop, &t.b.conn, 0);
	say(&t.a, "abcdef");
	t.b.room = 1;
	conn_watch(t.loop, &t.b.conn, EV_READ);
	others = 0;
	turn(t.loop, 6);
	expect(&t.b, "abcdef");
	CU_ASSERT_EQUAL(others, 6);
	ev_io_stop(t.loop, &other);
	close(fd[0]);
	close(fd[1]);
	end_two(&t);
}

/* Closed, or taken over, while bytes are inside and the loop is about to call. */
static void test_closed_with_bytes_inside(void)
{
	struct two t;

	begin_two(&t, true);
	say(&t.a, "abc");
	t.b.room = 1;
	turn(t.loop, 1);
	conn_close(t.loop, &t.b.conn);
	t.b.calls = 0;
	turn(t.loop, 3);
	CU_ASSERT_EQUAL(t.b.calls, 0);
	end_two(&t);
}

static const struct unit_case cases[] = {
	{ "plain", test_plain },
	{ "plain: reset", test_plain_reset },
	{ "cut", test_cut },
	{ "both ways", test_both_ways },
	{ "much", test_much },
	{ "take over", test_take_over },
	{ "closed in the callback", test_closed_in_callback },
	{ "bytes inside", test_inside },
	{ "an end inside", test_end_inside },
	{ "a peek at what is inside", test_peek_inside },
	{ "writing needs reading", test_write_needs_read },
	{ "an end that has to wait", test_end_goes_later },
	{ "cut off", test_cut_off },
	{ "fair", test_fair },
	{ "closed with bytes inside", test_closed_with_bytes_inside },
	{ NULL, NULL },
};
UNIT_MAIN("conn", cases)
