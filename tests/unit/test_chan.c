/* lib/chan: queues, full sockets, descriptors. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/chan.h"
#include "lib/mem.h"
#include "tests/unit/logged.h"

/* Socket pairs of this program have the system's default buffer, or the smallest possible one. */
static bool little_room;

int socketpair(int family, int type, int protocol, int fd[2])
{
	int result = (int)syscall(SYS_socketpair, family, type, protocol, fd), least = 1;

	for (int i = 0; i < 2 && result == 0 && little_room; i++)
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &least, sizeof(least));
	return result;
}

/* What sending fails with; 0: it does not. */
static int refusal;

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	if (refusal == 0)
		return syscall(SYS_sendmsg, fd, m, flags);
	errno = refusal;
	return -1;
}

/* A channel (ours) and the bare socket at its other end. */
static struct ev_loop *loop;
static struct chan *ours;
static int other;
static struct msgw w;

/* What came in. */
static uint32_t got[4096];
static unsigned ngot, nfds, gone, bad;
static unsigned free_at;      /* the channel is freed in this message, counted from 1; 0 = never */
static struct chan *drain_in; /* drained in each message of ours */

static void on_msg(struct chan *c, struct msgr *r, int fd, void *arg)
{
	uint32_t v;

	CU_ASSERT_STRING_EQUAL(arg, "arg");
	if (fd != -1) {
		nfds++;
		close(fd);
	}
	if (drain_in != NULL && c == ours)
		chan_drain(drain_in);
	v = msgr_u32(r);
	msgr_bytes(r, MSG_SIZE_MAX, &(size_t){ 0 });
	if (!msgr_end(r) || r->type != 7) {
		bad++;
		return;
	}
	CU_ASSERT_FATAL(ngot < ARRAY_LEN(got));
	got[ngot++] = v;
	if (ngot == free_at)
		chan_free(&ours);
}

static void on_gone(struct chan *c UNUSED, void *arg UNUSED)
{
	gone++;
	chan_free(&ours);
}

static void start(void)
{
	int fd[2];

	loop = ev_default_loop(0);
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	fcntl(fd[1], F_SETFL, O_NONBLOCK);
	ours = chan_new(loop, fd[0], on_msg, on_gone, (void *)(uintptr_t) "arg");
	other = fd[1];
	ngot = nfds = gone = bad = free_at = 0;
	drain_in = NULL;
}

static void finish(void)
{
	CU_ASSERT_EQUAL(bad, 0);
	chan_free(&ours);
	CU_ASSERT_PTR_NULL(ours);
	if (other != -1)
		close(other);
	ev_run(loop, EVRUN_NOWAIT);
}

static void turn(int times)
{
	for (int i = 0; i < times; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static const struct msgw *message(uint32_t v, size_t fill)
{
	static const uint8_t zeros[MSG_SIZE_MAX];

	msgw_begin(&w, 7);
	msgw_u32(&w, v);
	msgw_bytes(&w, zeros, fill);
	return &w;
}

/* Reads what has arrived at the other end; checks that the numbers continue from FIRST. Returns the next number. */
static uint32_t take(uint32_t first, unsigned *with_fd)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int fd;

	while (msg_recv(other, buf, &r, &fd) == 1) {
		do {
			struct msgr one = r;

			if (r.type == 0xffff) {
				size_t len;
				const void *p = msgr_bytes(&r, MSG_SIZE_MAX, &len);

				msgr_begin(&one, p, len);
			} else {
				r.p = r.end;
			}
			CU_ASSERT(!r.bad && one.type == 7);
			CU_ASSERT_EQUAL(msgr_u32(&one), first);
			first++;
		} while (r.p != r.end);
		if (fd != -1) {
			++*with_fd;
			close(fd);
		}
	}
	return first;
}

/* Posted messages wait for the end of the turn; sending one sends them first, so that none overtakes another. */
static void test_post(void)
{
	unsigned fds = 0;

	start();
	CU_ASSERT_EQUAL(chan_post(ours, message(0, 0)), 0);
	CU_ASSERT_EQUAL(chan_post(ours, message(1, 5)), 0);
	CU_ASSERT(chan_queued(ours) != 0);
	CU_ASSERT_EQUAL(take(0, &fds), 0);
	CU_ASSERT_EQUAL(chan_send(ours, message(2, 0), STDERR_FILENO), 0);
	CU_ASSERT_EQUAL(chan_queued(ours), 0);
	CU_ASSERT_EQUAL(chan_post(ours, message(3, 0)), 0);
	CU_ASSERT_EQUAL(take(0, &fds), 3);
	turn(1);
	CU_ASSERT_EQUAL(take(3, &fds), 4);
	CU_ASSERT_EQUAL(fds, 1);
	/* What was posted before the channel is freed is sent as well. */
	CU_ASSERT_EQUAL(chan_post(ours, message(4, 0)), 0);
	chan_free(&ours);
	CU_ASSERT_EQUAL(take(4, &fds), 5);
	finish();
}

/* More than the socket takes, in all sizes: queued, and sent later, in order. */
static void test_post_much(void)
{
	static const size_t sizes[] = { 0, 1, 100, 8 * 1024, 16 * 1024 - 10, 16 * 1024 - 9, 60 * 1024 };
	unsigned fds = 0;
	uint32_t sent = 0, seen = 0;

	start();
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 40; i++) {
			size_t size = sizes[(i * 7 + round) % ARRAY_LEN(sizes)];

			int r = i % 11 == 10 ? chan_send(ours, message(sent, size), i % 2 ? STDERR_FILENO : -1) :
			                       chan_post(ours, message(sent, i % 5 ? size % 1000 : size));

			CU_ASSERT_EQUAL(r, 0);
			sent++;
		}
		turn(1);
		if (round % 3 == 0)
			seen = take(seen, &fds);
	}
	for (int i = 0; i < 1000 && seen < sent; i++) {
		turn(1);
		seen = take(seen, &fds);
	}
	CU_ASSERT_EQUAL(seen, sent);
	CU_ASSERT_EQUAL(chan_queued(ours), 0);
	finish();
}

/* A system whose sockets have less room (net.core.wmem_default) than a message may need. */
static void test_little_room(void)
{
	unsigned fds = 0;
	uint32_t seen = 0;

	little_room = true;
	start();
	little_room = false;
	for (uint32_t i = 0; i < 64; i++)
		CU_ASSERT_EQUAL(chan_post(ours, message(i, 400)), 0);
	CU_ASSERT_EQUAL(chan_send(ours, message(64, MSG_SIZE_MAX - 10), STDERR_FILENO), 0);
	for (int i = 0; i < 20; i++) {
		turn(1);
		seen = take(seen, &fds);
	}
	CU_ASSERT(seen == 65 && fds == 1);
	finish();
}

/* The kernel does not pass on a message that has waited: it is lost, which the log tells, and those behind it are not.
 * That the other side is gone is told by reading. */
static void test_refused(void)
{
	uint32_t sent = 0, lost, seen;
	unsigned fds = 0;

	start();
	while (chan_queued(ours) == 0)
		CU_ASSERT_EQUAL_FATAL(chan_send(ours, message(sent++, 10000), STDERR_FILENO), 0);
	lost = sent - 1;
	seen = take(0, &fds);
	refusal = EPIPE;
	turn(1);
	CU_ASSERT(seen == lost && logged.len == 0);
	for (refusal = 0; chan_queued(ours) == 0;)
		CU_ASSERT_EQUAL_FATAL(chan_send(ours, message(sent++, 10000), STDERR_FILENO), 0);
	take(lost + 1, &fds);
	refusal = ETOOMANYREFS;
	turn(1);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&logged), "E: a message that had to wait could not be sent"));
	refusal = 0;
	CU_ASSERT_EQUAL(chan_queued(ours), 0);
	CU_ASSERT_EQUAL(chan_send(ours, message(sent, 0), -1), 0);
	CU_ASSERT_EQUAL(take(sent, &fds), sent + 1);
	str_fini(&logged);
	finish();
}

static void test_post_full(void)
{
	uint32_t sent = 0, seen = 0;
	unsigned fds = 0;

	start();
	while (chan_post(ours, message(sent, 10000)) == 0)
		sent++;
	CU_ASSERT(chan_queued(ours) > CHAN_QUEUE_MAX - 100000 && chan_queued(ours) <= CHAN_QUEUE_MAX + 100000);
	CU_ASSERT_EQUAL(chan_send(ours, message(sent, 10000), -1), -1);
	for (int i = 0; i < 100000 && seen < sent; i++) {
		seen = take(seen, &fds);
		turn(1);
	}
	CU_ASSERT_EQUAL(seen, sent);
	CU_ASSERT_EQUAL(chan_post(ours, message(sent++, 10000)), 0);
	turn(1);
	CU_ASSERT_EQUAL(take(seen, &fds), sent);
	finish();
}

static void test_gone(void)
{
	start();
	for (uint32_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(msg_send(other, message(i, 0), -1), 0);
	CU_ASSERT_EQUAL(chan_post(ours, message(0, 0)), 0);
	close(other);
	other = -1;
	CU_ASSERT_EQUAL(chan_post(ours, message(1, 0)), 0);
	turn(4);
	CU_ASSERT(ngot == 3 && gone == 1 && ours == NULL); /* all messages from before the end */
	finish();
}

/* A bundle of N messages from FIRST, each with FILL bytes, into W. */
static void bundle(uint32_t first, unsigned n, size_t fill)
{
	static struct msgw all;

	msgw_begin(&all, 0xffff);
	for (uint32_t i = first; i < first + n; i++) {
		message(i, fill);
		msgw_bytes(&all, w.buf, w.len);
	}
	w = all;
}

/* What was posted comes out one by one, in order. From a bundle that is cut anywhere, too large, contains another one
 * or comes with a descriptor, the whole messages before the fault are delivered, then one of unknown type. */
static void test_bundle(void)
{
	int probe = dup(STDERR_FILENO), after;
	struct msgw whole;
	struct chan *from;

	close(probe);
	start();
	from = chan_new(loop, dup(other), on_msg, on_gone, NULL);
	for (uint32_t i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(chan_post(from, message(i, i * 10)), 0);
	chan_free(&from);
	turn(20);
	CU_ASSERT_EQUAL(ngot, 100);
	for (uint32_t i = 0; i < 100; i++)
		CU_ASSERT_EQUAL(got[i], i);
	bundle(0, 3, 2);
	whole = w;
	for (size_t len = 2; len <= whole.len; len++) {
		size_t each = (whole.len - 2) / 3;

		ngot = bad = 0;
		memcpy(w.buf, whole.buf, len);
		w.len = len;
		CU_ASSERT_EQUAL(msg_send(other, &w, -1), 0);
		turn(1);
		CU_ASSERT(ngot == (len - 2) / each && bad == ((len - 2) % each != 0));
	}
	bad = ngot = 0;
	bundle(0, 33, 0);
	CU_ASSERT_EQUAL(msg_send(other, &w, -1), 0);
	turn(1);
	CU_ASSERT(ngot == 32 && bad == 1);
	bad = ngot = 0;
	bundle(0, 2, 0);
	CU_ASSERT_EQUAL(msg_send(other, &w, STDERR_FILENO), 0);
	turn(1);
	CU_ASSERT(ngot == 0 && bad == 1 && nfds == 1);
	whole = w;
	msgw_begin(&w, 0xffff);
	msgw_bytes(&w, whole.buf, whole.len);
	CU_ASSERT_EQUAL(msg_send(other, &w, -1), 0);
	turn(1);
	CU_ASSERT(ngot == 0 && bad == 2);
	bad = 0;
	/* Freed by the second of five. */
	free_at = 2;
	bundle(0, 5, 0);
	CU_ASSERT_EQUAL(msg_send(other, &w, -1), 0);
	turn(2);
	CU_ASSERT(ngot == 2 && bad == 0 && ours == NULL);
	finish();
	after = dup(STDERR_FILENO);
	close(after);
	CU_ASSERT_EQUAL(after, probe);
}

/* One message in one turn; with descriptors; freed in the middle: the rest is dropped, with its descriptors. */
static void test_receive(void)
{
	int probe, after;

	start();
	for (uint32_t i = 0; i < 150; i++)
		CU_ASSERT_EQUAL(msg_send(other, message(i, i % 50), i % 3 == 0 ? STDERR_FILENO : -1), 0);
	turn(1);
	CU_ASSERT(ngot == 1);
	turn(149);
	CU_ASSERT(ngot == 150 && nfds == 50);
	for (uint32_t i = 0; i < 150; i++)
		CU_ASSERT_EQUAL(got[i], i);
	finish();
	for (unsigned at = 1; at <= 9; at++) {
		probe = dup(STDERR_FILENO);
		close(probe);
		start();
		free_at = at;
		for (uint32_t i = 0; i < 10; i++)
			CU_ASSERT_EQUAL(msg_send(other, message(i, 0), STDERR_FILENO), 0);
		turn(12);
		CU_ASSERT(ngot == at && nfds == at && gone == 0 && ours == NULL);
		finish();
		after = dup(STDERR_FILENO);
		close(after);
		CU_ASSERT_EQUAL(after, probe); /* no descriptor is left */
	}
}

/* The callback of one channel drains another one: both are read completely. */
static void test_nested(void)
{
	int fd[2];

	start();
	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	drain_in = chan_new(loop, fd[0], on_msg, on_gone, (void *)(uintptr_t) "arg");
	for (uint32_t i = 0; i < 20; i++) {
		CU_ASSERT_EQUAL(msg_send(other, message(i, 100), -1), 0);
		CU_ASSERT_EQUAL(msg_send(fd[1], message(1000 + i, 3), -1), 0);
	}
	turn(20);
	CU_ASSERT_EQUAL(ngot, 40);
	for (uint32_t i = 0; i < 20; i++)
		/* All of the drained one within the first message. */
		CU_ASSERT(got[i] == 1000 + i && got[20 + i] == i);
	chan_free(&drain_in);
	close(fd[1]);
	finish();
}

extern char __data_start[], _end[];

/* TEXT is somewhere in the static memory of this program, which is read as a file because of the sanitizer's guards. */
static bool in_memory(const char *text)
{
	size_t len = (size_t)(_end - __data_start);
	char *copy = mem_alloc(len);
	int fd = open("/proc/self/mem", O_RDONLY);
	bool found;

	CU_ASSERT_EQUAL_FATAL(pread(fd, copy, len, (off_t)(uintptr_t)__data_start), (ssize_t)len);
	found = memmem(copy, len, text, strlen(text)) != NULL;
	close(fd);
	mem_free(&copy);
	return found;
}

/* A password that was received, posted, sent and queued is left in no buffer that the channels share. */
static void test_wiped(void)
{
	static const char *const secret = "correct horse battery staple";
	struct chan *from;

	start();
	from = chan_new(loop, dup(other), on_msg, on_gone, (void *)(uintptr_t) "arg");
	for (uint32_t i = 0; i < 3000; i++) {
		msgw_begin(&w, 7);
		msgw_u32(&w, i);
		msgw_str(&w, secret);
		CU_ASSERT_EQUAL(i % 100 == 99 ? chan_send(from, &w, -1) : chan_post(from, &w), 0);
	}
	CU_ASSERT(in_memory(secret));
	mem_wipe(w.buf, w.len);
	CU_ASSERT(chan_queued(from) != 0);
	turn(1000);
	CU_ASSERT_EQUAL(ngot, 3000);
	CU_ASSERT_EQUAL(chan_queued(from), 0);
	CU_ASSERT(!in_memory(secret));
	chan_free(&from);
	finish();
}

static unsigned greeted;

static void on_greeted(struct chan *c UNUSED, struct msgr *r UNUSED, int fd UNUSED, void *arg UNUSED)
{
	greeted++;
}

/* The version of the other end comes before its first message, and does not look like one. */
static void test_greeting(void)
{
	struct ev_loop *l = ev_loop_new(0);
	static struct msgw m;
	struct chan *c;
	int fd[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(fd), 0);
	greeted = 0;
	c = chan_new(l, fd[0], on_greeted, NULL, NULL);
	CU_ASSERT_EQUAL(chan_version(c), 0);
	msgw_begin(&m, 0xfffe);
	msgw_u16(&m, 3);
	CU_ASSERT_EQUAL(msg_send(fd[1], &m, -1), 0);
	ev_run(l, EVRUN_ONCE);
	CU_ASSERT(chan_version(c) == 3 && greeted == 0);
	CU_ASSERT_EQUAL(msg_send(fd[1], &m, -1), 0); /* only once: later it is a message of unknown type */
	ev_run(l, EVRUN_ONCE);
	CU_ASSERT(chan_version(c) == 3 && greeted == 1);
	chan_greet(c, 4);
	chan_free(&c);
	c = chan_new(l, fd[1], on_greeted, NULL, NULL);
	ev_run(l, EVRUN_ONCE);
	CU_ASSERT_EQUAL(chan_version(c), 4);
	chan_free(&c);
	ev_loop_destroy(l);
}

static uint32_t fed, enough;

static bool feed(struct chan *c, void *arg)
{
	CU_ASSERT_STRING_EQUAL(arg, "arg");
	CU_ASSERT_EQUAL(chan_queued(c), 0);
	if (fed == enough)
		return false;
	CU_ASSERT_EQUAL(chan_send(c, message(fed++, 40 * 1024), -1), 0);
	return true;
}

/* More than the queue holds: each message is made when there is room for it; what is sent meanwhile goes between. */
static void test_feed(void)
{
	uint32_t next = 0;
	unsigned with_fd = 0;

	start();
	fed = 0;
	enough = 300;
	CU_ASSERT(enough * 40 * 1024 > CHAN_QUEUE_MAX);
	chan_feed(ours, feed);
	turn(100);
	CU_ASSERT(fed > 0 && fed < 100);
	CU_ASSERT(chan_queued(ours) < 3 * 40 * 1024);
	CU_ASSERT_EQUAL(chan_send(ours, message(fed++, 4), -1), 0);
	for (int i = 0; i < 1000; i++) {
		turn(1);
		next = take(next, &with_fd);
	}
	CU_ASSERT_EQUAL(next, enough);
	enough++;
	chan_feed(ours, feed);
	turn(2);
	CU_ASSERT_EQUAL(take(next, &with_fd), enough);
	finish();
}

static const struct unit_case cases[] = {
	{ "greeting", test_greeting },
	{ "posted messages", test_post },
	{ "bundles", test_bundle },
	{ "more than there is room for", test_post_much },
	{ "little room", test_little_room },
	{ "a full queue", test_post_full },
	{ "a message that the kernel refuses", test_refused },
	{ "the other side is gone", test_gone },
	{ "many messages", test_receive },
	{ "more than the queue holds", test_feed },
	{ "one channel within another", test_nested },
	{ "secrets are wiped", test_wiped },
	{ NULL, NULL },
};
UNIT_MAIN("chan", cases)
