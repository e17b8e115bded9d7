/* lib/bio: lines, time limits, peers that do not read. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/bio.h"
#include "lib/mem.h"
#include "lib/str.h"

static int sock[2]; /* 0: the client, 1: ours */

static void open_bio(struct bio *b)
{
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, sock), 0);
	bio_init(b, sock[1], sock[1]);
}

static void close_bio(struct bio *b)
{
	bio_fini(b);
	close(sock[0]);
	close(sock[1]);
}

static void client_says(const char *p, size_t len)
{
	CU_ASSERT_EQUAL(write(sock[0], p, len), (ssize_t)len);
}

/* What bio_line() returns: the lines, each followed by '|', then the last result. */
static void lines(struct bio *b, size_t max, struct str *out)
{
	char *line;
	size_t len;
	int got;

	while ((got = bio_line(b, max, 10000, &line, &len)) == BIO_OK) {
		str_add(out, line, len);
		str_addc(out, '|');
	}
	str_addf(out, "%d", got);
}

/* The same input in every pair of pieces, preloaded or sent, gives the same lines. */
static void test_cut(void)
{
	static const char in[] = "one\r\ntwo\n\r\n\nfi\0ve\r\nlast\rword\r\nunfinished";
	static const char want[] = "one|two|||fi\0ve|last\rword|0";
	struct str out = STR_INIT;
	struct bio b;

	for (size_t cut = 0; cut <= sizeof(in) - 1; cut++) {
		uint64_t rcvd = 0, sent = 0;
		struct bio_figures figures = { 0 };

		open_bio(&b);
		b.rcvd = &rcvd;
		b.sent = &sent;
		b.figures = &figures;
		bio_preload(&b, in, cut);
		client_says(in + cut, sizeof(in) - 1 - cut);
		shutdown(sock[0], SHUT_WR);
		str_clear(&out);
		lines(&b, 100, &out);
		CU_ASSERT(out.len == sizeof(want) - 1 && memcmp(out.data, want, out.len) == 0);
		CU_ASSERT(bio_puts(&b, "bye") && bio_flush(&b));
		CU_ASSERT_EQUAL(rcvd, sizeof(in) - 1);
		CU_ASSERT(figures.rcvd == sizeof(in) - 1 && figures.sent == 3);
		close_bio(&b);
	}
	for (size_t size = 1; size < 4; size++) { /* and in small pieces, from another process */
		pid_t pid;

		open_bio(&b);
		if ((pid = fork()) == 0) {
			for (size_t i = 0; i < sizeof(in) - 1; i += size) {
				client_says(in + i, MIN(size, sizeof(in) - 1 - i));
				usleep(200);
			}
			_exit(0);
		}
		close(sock[0]);
		str_clear(&out);
		lines(&b, 100, &out);
		CU_ASSERT(out.len == sizeof(want) - 1 && memcmp(out.data, want, out.len) == 0);
		close_bio(&b);
	}
	str_fini(&out);
}

static void test_limit(void)
{
	struct bio b;
	char *line;
	size_t len;

	open_bio(&b);
	client_says("12345678\r\n", 10);
	CU_ASSERT_EQUAL(bio_line(&b, 9, 20, &line, &len), BIO_TOO_LONG);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &line, &len), BIO_OK);
	CU_ASSERT_STRING_EQUAL(line, "12345678");
	client_says("123456789012", 12); /* too long, although its end has not arrived */
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &line, &len), BIO_TOO_LONG);
	client_says("345\r\nnext\r\n", 11);
	CU_ASSERT_EQUAL(bio_skip_line(&b, 1000, 20), BIO_OK);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &line, &len), BIO_OK);
	CU_ASSERT_STRING_EQUAL(line, "next");
	client_says("0123456789", 10);
	CU_ASSERT_EQUAL(bio_skip_line(&b, 5, 20), BIO_TOO_LONG);
	close_bio(&b);
}

/* A line as long as the buffer, and one that is a byte longer. */
static void test_longest(void)
{
	char *big = mem_alloc(BIO_IN_SIZE + 1), *line;
	struct bio b;
	size_t len;
	pid_t pid;

	memset(big, 'x', BIO_IN_SIZE);
	big[BIO_IN_SIZE - 1] = '\n';
	open_bio(&b);
	if ((pid = fork()) == 0) {
		client_says(big, BIO_IN_SIZE);
		big[BIO_IN_SIZE - 1] = 'x';
		client_says(big, BIO_IN_SIZE);
		_exit(0);
	}
	CU_ASSERT_EQUAL(bio_line(&b, BIO_IN_SIZE, 1000, &line, &len), BIO_OK);
	CU_ASSERT_EQUAL(len, BIO_IN_SIZE - 1);
	CU_ASSERT_EQUAL(bio_line(&b, BIO_IN_SIZE, 1000, &line, &len), BIO_TOO_LONG);
	close_bio(&b);
	mem_free(&big);
}

static void test_some_and_wait(void)
{
	struct bio b;
	char *p, byte;
	size_t len;
	int pipefd[2];

	open_bio(&b);
	CU_ASSERT_EQUAL_FATAL(pipe(pipefd), 0);
	CU_ASSERT_EQUAL(bio_wait(&b, pipefd[0], 10), BIO_TIMEOUT);
	CU_ASSERT_EQUAL(write(pipefd[1], "x", 1), 1);
	CU_ASSERT_EQUAL(bio_wait(&b, pipefd[0], 10), BIO_OTHER);
	CU_ASSERT_EQUAL(read(pipefd[0], &byte, 1), 1);
	client_says("a\r\n0123456789b\r\n", 16);
	CU_ASSERT_EQUAL(bio_wait(&b, pipefd[0], 10), BIO_OK);
	CU_ASSERT_EQUAL(bio_line(&b, 100, 20, &p, &len), BIO_OK);
	CU_ASSERT_EQUAL(bio_some(&b, 4, 20, &p, &len), BIO_OK);
	CU_ASSERT(len == 4 && memcmp(p, "0123", 4) == 0);
	CU_ASSERT_EQUAL(bio_pending(&b), 9);
	CU_ASSERT_EQUAL(bio_some(&b, 6, 20, &p, &len), BIO_OK);
	CU_ASSERT(len == 6 && memcmp(p, "456789", 6) == 0);
	CU_ASSERT_EQUAL(bio_line(&b, 100, 20, &p, &len), BIO_OK);
	CU_ASSERT_STRING_EQUAL(p, "b");
	CU_ASSERT_EQUAL(bio_some(&b, 6, 20, &p, &len), BIO_TIMEOUT);
	close(sock[0]);
	CU_ASSERT_EQUAL(bio_some(&b, 6, 20, &p, &len), BIO_EOF);
	close_bio(&b);
	close(pipefd[0]);
	close(pipefd[1]);
}

/* Output is sent before a wait, in order, whatever the sizes. */
static void test_output(void)
{
	struct str got = STR_INIT, want = STR_INIT;
	uint64_t sent = 0;
	struct bio b;
	pid_t pid;
	int status, pipefd[2];

	CU_ASSERT_EQUAL_FATAL(pipe(pipefd), 0);
	open_bio(&b);
	b.sent = &sent;
	for (unsigned i = 0; i < 400; i++)
		str_addf(&want, "%0*u\r\n", 1 + (int)(i * 37 % 5000), i);
	if ((pid = fork()) == 0) {
		char buf[5000];
		ssize_t n;

		close(sock[1]);
		while ((n = read(sock[0], buf, sizeof(buf))) > 0)
			str_add(&got, buf, (size_t)n);
		_exit(got.len == want.len && memcmp(got.data, want.data, want.len) == 0 ? 0 : 1);
	}
	for (unsigned i = 0; i < 400; i++)
		CU_ASSERT(bio_printf(&b, "%0*u\r\n", 1 + (int)(i * 37 % 5000), i));
	CU_ASSERT(bio_flush(&b));
	CU_ASSERT_EQUAL(sent, want.len);
	close_bio(&b);
	(void)pid;
	wait(&status);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	str_fini(&want);
	str_fini(&got);
}

static void test_send_timeout(void)
{
	static char big[4 * 1024 * 1024];
	struct bio b;
	char *p;
	size_t len;

	open_bio(&b);
	b.send_timeout = 50;
	CU_ASSERT(!bio_put(&b, big, sizeof(big))); /* the client takes nothing */
	CU_ASSERT(!bio_puts(&b, "x"));
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &p, &len), BIO_ERROR);
	close_bio(&b);
	open_bio(&b);
	close(sock[0]);
	CU_ASSERT(bio_puts(&b, "x"));
	CU_ASSERT(!bio_flush(&b));
	close_bio(&b);
}

static volatile sig_atomic_t flag;

static void on_alarm(int sig)
{
	flag = sig;
}

static void test_stop(void)
{
	struct sigaction sa = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { 0, 30000 } };
	sigset_t block, old;
	struct bio b;
	char *p;
	size_t len;

	sigaction(SIGALRM, &sa, NULL);
	sigemptyset(&block);
	sigaddset(&block, SIGALRM);
	sigprocmask(SIG_BLOCK, &block, &old);
	open_bio(&b);
	b.stop = &flag;
	b.wait_mask = &old;
	setitimer(ITIMER_REAL, &soon, NULL);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 5000, &p, &len), BIO_STOP);
	client_says("a\r\nb", 4);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 5000, &p, &len), BIO_OK); /* what is there is still read */
	CU_ASSERT_EQUAL(bio_line(&b, 10, 5000, &p, &len), BIO_STOP);
	CU_ASSERT(bio_puts(&b, "bye\r\n") && bio_flush(&b)); /* and a goodbye goes out */
	close_bio(&b);
	flag = 0;
	raise(SIGALRM); /* it came before the wait, and is not missed */
	open_bio(&b);
	b.stop = &flag;
	b.wait_mask = &old;
	CU_ASSERT_EQUAL(bio_wait(&b, -1, 5000), BIO_STOP);
	close_bio(&b);
	sigprocmask(SIG_SETMASK, &old, NULL);
}

/* Pipes have no recv(): the same results. */
static void test_pipe(void)
{
	int in[2], out[2];
	struct bio b;
	char *p, buf[16];
	size_t len;

	CU_ASSERT_EQUAL_FATAL(pipe(in), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(out), 0);
	bio_init(&b, in[0], out[1]);
	CU_ASSERT_EQUAL(write(in[1], "a\nb", 3), 3);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &p, &len), BIO_OK);
	CU_ASSERT(bio_puts(&b, "+OK\r\n"));
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &p, &len), BIO_TIMEOUT);
	CU_ASSERT_EQUAL(read(out[0], buf, sizeof(buf)), 5);
	close(in[1]);
	CU_ASSERT_EQUAL(bio_line(&b, 10, 20, &p, &len), BIO_EOF);
	bio_fini(&b);
	close(in[0]);
	close(out[0]);
	close(out[1]);
}

/* The last reply arrives although the client is still sending. */
static void test_linger(void)
{
	static const char noise[100000];
	struct bio b;
	char buf[16];
	pid_t pid;

	open_bio(&b);
	if ((pid = fork()) == 0) {
		close(sock[0]);
		bio_puts(&b, "bye\r\n");
		bio_flush(&b);
		bio_linger(&b, 5000);
		_exit(0);
	}
	close(sock[1]);
	CU_ASSERT_EQUAL(write(sock[0], noise, sizeof(noise)), (ssize_t)sizeof(noise));
	CU_ASSERT_EQUAL(recv(sock[0], buf, sizeof(buf), MSG_WAITALL), 5);
	bio_fini(&b);
	close(sock[0]);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
}

/* A client that sends its bytes one by one has the same time. */
static void test_linger_small(void)
{
	struct bio b;
	pid_t pid;
	char c;

	open_bio(&b);
	if ((pid = fork()) == 0) {
		close(sock[1]);
		for (int i = 0; i < 300; i++) {
			if (send(sock[0], "x", 1, MSG_NOSIGNAL) != 1)
				_exit(1);
			usleep(1000);
		}
		_exit(0);
	}
	close(sock[0]);
	bio_linger(&b, 10000);
	CU_ASSERT_EQUAL(recv(sock[1], &c, 1, MSG_DONTWAIT), 0);
	bio_fini(&b);
	close(sock[1]);
	CU_ASSERT_EQUAL(waitpid(pid, NULL, 0), pid);
}

static const struct unit_case cases[] = {
	{ "lines, cut at every byte", test_cut },
	{ "line limit", test_limit },
	{ "longest line", test_longest },
	{ "pieces and waits", test_some_and_wait },
	{ "output", test_output },
	{ "client takes nothing", test_send_timeout },
	{ "stop flag", test_stop },
	{ "pipes", test_pipe },
	{ "last words", test_linger },
	{ "last words to one that sends in small pieces", test_linger_small },
	{ NULL, NULL },
};
UNIT_MAIN("bio", cases)
