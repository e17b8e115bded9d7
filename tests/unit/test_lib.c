/* The small parts of lib/: strings, numbers, hex, base64, addresses, messages. */
#include "tests/unit/unit.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/b64.h"
#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/hex.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/msg.h"
#include "lib/net.h"
#include "lib/num.h"
#include "lib/rnd.h"
#include "lib/text.h"
#include "lib/utf8.h"

static void test_str(void)
{
	struct str s = STR_INIT;

	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "");
	str_adds(&s, "abc");
	str_addf(&s, "%d", 42);
	str_addc(&s, '!');
	CU_ASSERT_STRING_EQUAL(s.data, "abc42!");
	str_drop(&s, 3);
	CU_ASSERT_STRING_EQUAL(s.data, "42!");
	str_drop(&s, 100);
	CU_ASSERT_EQUAL(s.len, 0);
	for (int i = 0; i < 1000; i++)
		str_add(&s, "0123456789", 10);
	CU_ASSERT_EQUAL(s.len, 10000);
	str_fini(&s);
	/* Formatted text that just fits with its NUL, and that is one or two bytes longer. */
	for (int len = 1; len < 200; len++) {
		str_fini(&s);
		str_adds(&s, "ab");
		str_addf(&s, "%0*d", len, 7);
		str_addf(&s, "%s", "");
		CU_ASSERT(s.len == 2 + (size_t)len && strlen(s.data) == s.len && s.len < s.cap);
		CU_ASSERT(memcmp(s.data, "ab", 2) == 0 && strspn(s.data + 2, "0") == (size_t)len - 1 &&
		    s.data[s.len - 1] == '7');
	}
	CU_ASSERT_EQUAL(s.data[s.len], '\0');
	str_fini(&s);
}

static void test_num(void)
{
	static const struct {
		const char *in;
		uint64_t limit;
		bool ok;
		uint64_t out;
	} t[] = {
		{ "0", 10, true, 0 },
		{ "10", 10, true, 10 },
		{ "11", 10, false, 0 },
		{ "", 10, false, 0 },
		{ "-1", 10, false, 0 },
		{ "+1", 10, false, 0 },
		{ " 1", 10, false, 0 },
		{ "1 ", 10, false, 0 },
		{ "18446744073709551615", UINT64_MAX, true, UINT64_MAX },
		{ "18446744073709551616", UINT64_MAX, false, 0 },
		{ "0x1", 10, false, 0 },
		{ "00000000000000000000000000007", 10, true, 7 },
	};
	static const uint64_t numbers[] = { 0, 9, 10, 99, 100, 0xffffffff, 0x123456789abcdef0, UINT64_MAX };
	char text[NUM_TEXT_MAX], hex[NUM_HEX_MAX], is[32];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		uint64_t v = 0;

		CU_ASSERT_EQUAL(num_parse_str(t[i].in, t[i].limit, &v), t[i].ok);
		CU_ASSERT_EQUAL(v, t[i].out);
	}
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		snprintf(is, sizeof(is), "%llu", (unsigned long long)numbers[i]);
		CU_ASSERT_STRING_EQUAL(num_text(numbers[i], text), is);
		snprintf(is, sizeof(is), "%016llx", (unsigned long long)numbers[i]);
		CU_ASSERT_STRING_EQUAL(num_hex(numbers[i], hex), is);
	}
}

static void test_b64(void)
{
	static const struct {
		const char *in;
		bool ok;
		const char *out;
	} t[] = {
		{ "", true, "" },
		{ "Zg==", true, "f" },
		{ "Zm8=", true, "fo" },
		{ "Zm9v", true, "foo" },
		{ "Zg=", false, "" },
		{ "Zg", false, "" },
		{ "=Zg=", false, "" },
		{ "Z===", false, "" },
		{ "Zm9v\n", false, "" },
		{ "Zm 9", false, "" },
		{ "Zg==Zg==", false, "" },
		{ "====", false, "" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&s);
		CU_ASSERT_EQUAL(b64_decode(&s, t[i].in, strlen(t[i].in)), t[i].ok);
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].out);
	}
	for (size_t n = 0; n < 70; n++) {
		struct str e = STR_INIT;
		uint8_t raw[70];

		for (size_t i = 0; i < n; i++)
			raw[i] = (uint8_t)(i * 37 + n);
		b64_encode(&e, raw, n);
		str_clear(&s);
		CU_ASSERT(b64_decode(&s, str_cstr(&e), e.len));
		CU_ASSERT_EQUAL(s.len, n);
		CU_ASSERT(n == 0 || memcmp(s.data, raw, n) == 0);
		str_fini(&e);
	}
	str_fini(&s);
}

/* Decodes the LEN characters at TEXT with both functions, in memory of exact size; they agree. */
static bool read_hex(const char *text, size_t len, uint8_t out[64])
{
	char *exact = mem_alloc(MAX(len, 1));
	struct str s = STR_INIT;
	bool good;

	memcpy(exact, text, len);
	str_adds(&s, "ab");
	good = hex_decode(&s, exact, len);
	CU_ASSERT_EQUAL(hex_bytes(out, exact, len), good);
	CU_ASSERT_EQUAL_FATAL(s.len, good ? 2 + len / 2 : 2);
	CU_ASSERT(memcmp(s.data, "ab", 2) == 0 && memcmp(s.data + 2, out, s.len - 2) == 0 && s.data[s.len] == '\0');
	str_fini(&s);
	mem_free(&exact);
	return good;
}

static void test_hex(void)
{
	static const char good[] = "00010f107f80a9badcfeFF0aBcDEf9", bad[] = "/:@G`gxX -+.\n\xb0\xff";
	static const uint8_t bytes[] = { 0, 1, 0x0f, 0x10, 0x7f, 0x80, 0xa9, 0xba, 0xdc, 0xfe, 0xff, 0x0a, 0xbc, 0xde,
		0xf9 };
	struct str all = STR_INIT;
	uint8_t out[64];

	for (int c = 0; c < 256; c++) {
		char one[2] = { (char)c, '\0' }, is[3], text[3];
		uint8_t byte = (uint8_t)c;

		CU_ASSERT_EQUAL(hex_value((char)c), isxdigit(c) ? (int)strtol(one, NULL, 16) : -1);
		snprintf(is, sizeof(is), "%02x", (unsigned)c);
		CU_ASSERT_STRING_EQUAL(hex_text(text, &byte, 1), is);
		CU_ASSERT(read_hex(is, 2, out) && out[0] == byte);
		hex_encode(&all, &byte, 1);
		CU_ASSERT(all.len == 2 * (size_t)c + 2 && strcmp(all.data + all.len - 2, is) == 0);
	}
	str_clear(&all);
	hex_encode(&all, bytes, sizeof(bytes));
	CU_ASSERT_STRING_EQUAL(all.data, "00010f107f80a9badcfeff0abcdef9");
	str_clear(&all);
	hex_encode(&all, bytes, 0);
	CU_ASSERT_STRING_EQUAL(all.data, "");
	str_fini(&all);
	for (size_t cut = 0; cut < sizeof(good); cut++) {
		CU_ASSERT_EQUAL(read_hex(good, cut, out), cut % 2 == 0);
		CU_ASSERT(memcmp(out, bytes, cut / 2) == 0);
	}
	for (size_t at = 0; at < sizeof(good) - 1; at++)
		for (size_t i = 0; i < sizeof(bad); i++) { /* with the NUL, too */
			char text[sizeof(good)];

			memcpy(text, good, sizeof(good));
			text[at] = bad[i];
			CU_ASSERT_FALSE(read_hex(text, sizeof(good) - 1, out));
		}
}

static void test_secret(void)
{
	CU_ASSERT(mem_equal_secret("abc", 3, "abc", 3));
	CU_ASSERT(!mem_equal_secret("abc", 3, "abd", 3));
	CU_ASSERT(!mem_equal_secret("abc", 3, "ab", 2));
}

static void test_text(void)
{
	char s[40];

	/* Each character at each place, whatever is behind it. */
	for (unsigned c = 0; c < 256; c++)
		for (size_t at = 0; at < 20; at++) {
			bool control = c < 0x20 || c == 0x7f;

			memset(s, 'x', sizeof(s));
			s[at] = (char)c;
			CU_ASSERT_EQUAL(text_plain(s, 20), control ? at : 20);
			CU_ASSERT_EQUAL(text_plain(s, at), at);
			s[20] = '\0';
			CU_ASSERT_EQUAL(text_is_plain(s), !control || c == 0);
			text_make_plain(s, '.');
			CU_ASSERT(text_is_plain(s));
			CU_ASSERT_EQUAL(s[at], control && c != 0 ? '.' : (char)c);
		}
	CU_ASSERT(text_is_plain(""));
	for (int c = -128; c < 128; c++) {
		CU_ASSERT_EQUAL(text_is_control((char)c), (c >= 0 && c < 32) || c == 127);
		CU_ASSERT_EQUAL(text_is_printable((char)c), c >= 32 && c < 127);
	}
	CU_ASSERT(text_is_word("LoginX", 5, "lOGIN") && text_is_word("", 0, ""));
	CU_ASSERT(
	    !text_is_word("LOGIN", 5, "LOGI") && !text_is_word("LOGIN", 4, "LOGIN") && !text_is_word("A\0C", 3, "A"));
}

/* Every character, cut at every byte; what only looks like one. */
static void test_utf8(void)
{
	static const char *const none[] = { "\x80", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\xaf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80", "\xff",
		"\xc3(" };
	struct str s = STR_INIT;
	uint32_t c;

	for (uint32_t want = 0; want < 0x110000; want += want < 0x3000 ? 1 : 0x7f) {
		bool half = want >= 0xd800 && want < 0xe000;

		str_clear(&s);
		utf8_add(&s, want);
		CU_ASSERT(utf8_valid(s.data, s.len));
		CU_ASSERT_EQUAL(utf8_get(s.data, s.len, &c), s.len);
		CU_ASSERT_EQUAL(c, half ? 0xfffd : want);
		for (size_t cut = 1; cut < s.len; cut++)
			CU_ASSERT(utf8_get(s.data, cut, &c) == 0 && !utf8_valid(s.data, cut));
		CU_ASSERT_EQUAL(utf8_is_control(want), want < 0x20 || (want > 0x7e && want < 0xa0));
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		CU_ASSERT(utf8_get(none[i], strlen(none[i]), &c) == 0 && !utf8_valid(none[i], strlen(none[i])));
	str_clear(&s);
	utf8_add(&s, 0x110000);
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), "\xef\xbf\xbd");
	str_fini(&s);
}

static void read_all(struct msgr *r)
{
	char text[8];

	(void)msgr_u8(r);
	(void)msgr_u16(r);
	(void)msgr_u32(r);
	(void)msgr_u64(r);
	msgr_str(r, text, sizeof(text));
}

/* A byte for a choice must be within its range. */
static void test_msg_choices(void)
{
	static struct msgw w;
	struct msgr r;

	for (unsigned v = 0; v < 256; v++) {
		msgw_begin(&w, 7);
		msgw_u8(&w, (uint8_t)v);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(msgr_bool(&r), v == 1);
		CU_ASSERT_EQUAL(msgr_end(&r), v < 2);
		msgr_begin(&r, w.buf, w.len);
		CU_ASSERT_EQUAL(msgr_below(&r, 9), v < 9 ? v : 0);
		CU_ASSERT_EQUAL(msgr_end(&r), v < 9);
	}
	msgr_begin(&r, w.buf, 2);
	CU_ASSERT(!msgr_bool(&r) && !msgr_end(&r));
}

static void test_msg(void)
{
	static struct msgw w;
	struct msgr r;
	char *s;

	msgw_begin(&w, 7);
	msgw_u8(&w, 1);
	msgw_u16(&w, 2);
	msgw_u32(&w, 3);
	msgw_u64(&w, 4);
	msgw_str(&w, "hello");
	msgr_begin(&r, w.buf, w.len);
	CU_ASSERT_EQUAL(r.type, 7);
	read_all(&r);
	CU_ASSERT(msgr_end(&r));
	for (size_t cut = 0; cut < w.len; cut++) { /* cut at every byte: never accepted */
		msgr_begin(&r, w.buf, cut);
		read_all(&r);
		CU_ASSERT(!msgr_end(&r));
	}
	msgw_u8(&w, 9); /* a byte too many is refused too */
	msgr_begin(&r, w.buf, w.len);
	read_all(&r);
	CU_ASSERT(!msgr_end(&r));
	msgw_begin(&w, 7);
	msgw_bytes(&w, "a\0b", 3); /* a NUL within a string */
	msgr_begin(&r, w.buf, w.len);
	s = msgr_strdup(&r, 100);
	CU_ASSERT(!msgr_end(&r));
	mem_free(&s);
	/* Control characters within a string: only where lines are meant. */
	for (unsigned c = 0; c < 256; c++) {
		const char text[] = { 'a', (char)c, 'b' };
		char dst[8];

		msgw_begin(&w, 7);
		msgw_bytes(&w, text, sizeof(text));
		msgr_begin(&r, w.buf, w.len);
		msgr_str(&r, dst, sizeof(dst));
		CU_ASSERT_EQUAL(msgr_end(&r), c >= 0x20 && c != 0x7f);
		CU_ASSERT_EQUAL(dst[0], c >= 0x20 && c != 0x7f ? 'a' : '\0');
		msgr_begin(&r, w.buf, w.len);
		s = msgr_strdup(&r, 3);
		CU_ASSERT_EQUAL(msgr_end(&r), c >= 0x20 && c != 0x7f);
		mem_free(&s);
		msgr_begin(&r, w.buf, w.len);
		msgr_lines(&r, dst, sizeof(dst));
		CU_ASSERT_EQUAL(msgr_end(&r), c != 0);
		msgr_begin(&r, w.buf, w.len);
		s = msgr_linesdup(&r, 3);
		CU_ASSERT_EQUAL(msgr_end(&r), c != 0);
		mem_free(&s);
	}
	msgw_begin(&w, 7);
	msgw_str(&w, "12345678"); /* longer than its destination */
	msgr_begin(&r, w.buf, w.len);
	char small[8];
	msgr_str(&r, small, sizeof(small));
	CU_ASSERT(!msgr_end(&r));
	CU_ASSERT_STRING_EQUAL(small, "");
	msgw_begin(&w, 7);
	for (int i = 0; i < MSG_SIZE_MAX; i++)
		msgw_u8(&w, 0);
	CU_ASSERT(w.overflow);
	CU_ASSERT_EQUAL(msg_send(-1, &w, -1), -1);
}

static void test_msg_fd(void)
{
	static struct msgw w;
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int pair[2], pipefd[2], fd;
	char c = 0;

	CU_ASSERT_EQUAL_FATAL(msg_pair(pair), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(pipefd), 0);
	msgw_begin(&w, 3);
	msgw_str(&w, "x");
	CU_ASSERT_EQUAL(msg_send(pair[0], &w, pipefd[1]), 0);
	close(pipefd[1]);
	CU_ASSERT_EQUAL_FATAL(msg_recv(pair[1], buf, &r, &fd), 1);
	CU_ASSERT_EQUAL(r.type, 3);
	CU_ASSERT_EQUAL(write(fd, "y", 1), 1);
	close(fd);
	CU_ASSERT_EQUAL(read(pipefd[0], &c, 1), 1);
	CU_ASSERT_EQUAL(c, 'y');
	CU_ASSERT_EQUAL(read(pipefd[0], &c, 1), 0); /* no copy is left open */
	close(pair[0]);
	CU_ASSERT_EQUAL(msg_recv(pair[1], buf, &r, &fd), 0);
	close(pair[1]);
	close(pipefd[0]);
}

static int open_descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) != -1;
	return n;
}

/* A malicious sender puts several descriptors into one message: none may stay open here. */
static void test_msg_many_fds(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(8 * sizeof(int))];
	} ctl;
	char text[2] = { 3, 0 };
	struct iovec iov = { text, sizeof(text) };
	struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &ctl };
	int pair[2], fds[8] = { 0, 1, 2, 0, 1, 2, 0, 1 }, fd, before;
	struct msgr r;

	CU_ASSERT_EQUAL_FATAL(msg_pair(pair), 0);
	for (size_t n = 2; n <= 8; n++) {
		memset(&ctl, 0, sizeof(ctl));
		ctl.head.cmsg_len = CMSG_LEN(n * sizeof(int));
		ctl.head.cmsg_level = SOL_SOCKET;
		ctl.head.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&ctl.head), fds, n * sizeof(int));
		mh.msg_controllen = CMSG_SPACE(n * sizeof(int));
		CU_ASSERT_EQUAL_FATAL(sendmsg(pair[0], &mh, 0), 2);
		before = open_descriptors();
		CU_ASSERT_EQUAL(msg_recv(pair[1], buf, &r, &fd), 1);
		CU_ASSERT(fd != -1);
		close(fd);
		CU_ASSERT_EQUAL(open_descriptors(), before);
	}
	close(pair[0]);
	close(pair[1]);
}

static void test_log_value(void)
{
	char dst[64];

	CU_ASSERT_STRING_EQUAL(log_value(dst, sizeof(dst), "x, ip=[192.0.2.1],\n\xc3"), "x. ip=[192.0.2.1]...");
	CU_ASSERT_STRING_EQUAL(log_value(dst, 4, ",,,,,,"), "...");
}

/* What comes in pieces, up to its end; less than was asked for; and from where nothing can be read. */
static void test_read_all(void)
{
	enum { SIZE = 1 << 20, MORE = 10 };
	char *text = mem_alloc(SIZE), *got = mem_alloc(SIZE);
	int fd[2], status = -1;

	for (size_t i = 0; i < SIZE; i++)
		text[i] = (char)(i * 7 + i / 256);
	CU_ASSERT_FATAL(pipe(fd) == 0);
	if (fork() == 0) {
		close(fd[0]);
		_exit(fd_write_all(fd[1], text, SIZE) && fd_write_all(fd[1], text, MORE) ? 0 : 1);
	}
	close(fd[1]);
	CU_ASSERT(fd_read_all(fd[0], got, SIZE) == SIZE && memcmp(text, got, SIZE) == 0);
	CU_ASSERT(fd_read_all(fd[0], got, 0) == 0);
	CU_ASSERT(fd_read_all(fd[0], got, SIZE) == MORE && memcmp(text, got, MORE) == 0);
	CU_ASSERT(fd_read_all(fd[0], got, SIZE) == 0);
	CU_ASSERT(wait(&status) > 0 && status == 0);
	close(fd[0]);
	errno = 0;
	CU_ASSERT(fd_read_all(fd[0], got, 1) == -1 && errno == EBADF);
	mem_free(&text);
	mem_free(&got);
}

/* A file, wherever it was read before; one with too much; and what is none. */
static void test_read_file(void)
{
	FILE *f = tmpfile();
	struct str s = STR_INIT;
	int fd[2];

	CU_ASSERT_FATAL(f != NULL && pipe(fd) == 0);
	CU_ASSERT(fd_read_file(fileno(f), 0, &s) && s.len == 0 && s.data != NULL && s.data[0] == '\0');
	CU_ASSERT(fputs("0123", f) >= 0 && fflush(f) == 0);
	CU_ASSERT(fd_read_file(fileno(f), 4, &s) && strcmp(str_cstr(&s), "0123") == 0);
	CU_ASSERT(fd_read_file(fileno(f), 4, &s) && strcmp(str_cstr(&s), "01230123") == 0);
	errno = 0;
	CU_ASSERT(!fd_read_file(fileno(f), 3, &s) && errno == EFBIG && s.len == 8);
	CU_ASSERT(!fd_read_file(fd[0], 3, &s) && errno == EINVAL);
	CU_ASSERT(!fd_read_file(-1, 3, &s) && errno == EBADF && s.len == 8);
	fclose(f);
	close(fd[0]);
	close(fd[1]);
	str_fini(&s);
}

/* More than a pipe holds at once; then to a full disk. */
static void test_write_all(void)
{
	enum { SIZE = 1 << 20 };
	char *text = mem_alloc(SIZE), *got = mem_alloc(SIZE);
	size_t n = 0;
	ssize_t some;
	int fd[2], full, status = -1;

	for (size_t i = 0; i < SIZE; i++)
		text[i] = (char)(i * 7 + i / 256);
	CU_ASSERT_FATAL(pipe(fd) == 0);
	if (fork() == 0) {
		close(fd[0]);
		_exit(fd_write_all(fd[1], text, SIZE) && fd_write_all(fd[1], text, 0) ? 0 : 1);
	}
	close(fd[1]);
	while (n < SIZE && (some = read(fd[0], got + n, SIZE - n)) > 0)
		n += (size_t)some;
	CU_ASSERT(n == SIZE && memcmp(text, got, SIZE) == 0);
	CU_ASSERT(read(fd[0], got, 1) == 0);
	CU_ASSERT(wait(&status) > 0 && status == 0);
	close(fd[0]);
	full = open("/dev/full", O_WRONLY);
	errno = 0;
	CU_ASSERT(full != -1 && !fd_write_all(full, text, 10) && errno == ENOSPC);
	close(full);
	mem_free(&text);
	mem_free(&got);
}

static void on_alarm(int sig)
{
	(void)sig;
}

/* A descriptor that is ready, one that never is, and signals meanwhile. */
static void test_wait(void)
{
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };
	struct sigaction sa = { .sa_handler = on_alarm }, before;
	int fd[2];
	int64_t end;

	CU_ASSERT_FATAL(pipe(fd) == 0);
	CU_ASSERT_TRUE(fd_wait(fd[1], POLLOUT, clock_ms() + 60000));
	CU_ASSERT_TRUE(fd_wait(fd[1], POLLOUT, clock_ms() + (int64_t)INT_MAX + 60000));
	errno = 0;
	CU_ASSERT_FALSE(fd_wait(fd[1], POLLOUT, clock_ms()));
	CU_ASSERT_EQUAL(errno, ETIMEDOUT);
	CU_ASSERT_FATAL(sigaction(SIGALRM, &sa, &before) == 0 && setitimer(ITIMER_REAL, &often, NULL) == 0);
	end = clock_ms() + 30;
	errno = 0;
	CU_ASSERT_FALSE(fd_wait(fd[0], POLLIN, end));
	CU_ASSERT_EQUAL(errno, ETIMEDOUT);
	CU_ASSERT(clock_ms() >= end);
	CU_ASSERT_FATAL(setitimer(ITIMER_REAL, &never, NULL) == 0 && sigaction(SIGALRM, &before, NULL) == 0);
	CU_ASSERT(write(fd[1], "x", 1) == 1);
	CU_ASSERT_TRUE(fd_wait(fd[0], POLLIN, clock_ms() + 60000));
	CU_ASSERT(read(fd[0], &(char){ 0 }, 1) == 1);
	close(fd[1]);
	CU_ASSERT_TRUE(fd_wait(fd[0], POLLIN, clock_ms() + 60000)); /* its end is something to read, too */
	close(fd[0]);
}

/* Long and short requests, over several refills: no eight bytes repeat. A forked child does not get its parent's
 * bytes. */
static void test_rnd(void)
{
	static uint64_t seen[4096];
	static uint8_t many[8192], zeros[8];
	uint64_t here, there = 0;
	int fd[2];
	size_t n = 0;

	for (size_t len = 8; len <= sizeof(many); len *= 2) {
		memset(many, 0, sizeof(many));
		rnd_bytes(many, len);
		for (size_t i = 0; i < len / 8; i++)
			memcpy(&seen[n++], many + 8 * i, 8);
	}
	while (n < ARRAY_LEN(seen))
		rnd_bytes(&seen[n++], 8);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++)
			if (seen[i] == seen[k])
				CU_FAIL("bytes that were there before");
	for (size_t i = 0; i < n; i++)
		CU_ASSERT(memcmp(&seen[i], zeros, sizeof(zeros)) != 0);
	CU_ASSERT_FATAL(pipe(fd) == 0);
	if (fork() == 0) {
		rnd_bytes(&here, sizeof(here));
		_exit(write(fd[1], &here, sizeof(here)) != (ssize_t)sizeof(here));
	}
	rnd_bytes(&here, sizeof(here));
	CU_ASSERT(read(fd[0], &there, sizeof(there)) == (ssize_t)sizeof(there) && there != here && there != 0);
	CU_ASSERT(wait(NULL) > 0);
	close(fd[0]);
	close(fd[1]);
}

static struct net_addr counted(const char *text)
{
	struct net_addr a;

	CU_ASSERT(net_addr_parse(&a, text, 143));
	return net_addr_client(&a);
}

/* Where clients are counted, an IPv6 customer is a /64. */
static void test_net_client(void)
{
	const struct net_addr a = counted("2001:db8:0:1::1"), b = counted("2001:db8:0:1:ffff::"),
	                      c = counted("2001:db8:0:2::1"), v4 = counted("192.0.2.1"), next = counted("192.0.2.2"),
	                      mapped = counted("::ffff:192.0.2.1"), none = { 0 };
	char text[NET_IP_TEXT_MAX];

	CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(&a, &c, sizeof(a)), 0);
	CU_ASSERT_NOT_EQUAL(memcmp(&v4, &next, sizeof(v4)), 0);
	CU_ASSERT_EQUAL(memcmp(&v4, &mapped, sizeof(v4)), 0);
	CU_ASSERT_STRING_EQUAL(net_addr_text(&b, text), "2001:db8:0:1::");
	CU_ASSERT_EQUAL(net_addr_client(&none).family, 0);
	CU_ASSERT(a.port == 0 && v4.port == 0);
}

static void test_net(void)
{
	static const struct {
		const char *in, *text, *log;
	} good[] = {
		{ "127.0.0.1", "127.0.0.1", "::ffff:127.0.0.1" },
		{ "::1", "::1", "::1" },
		{ "[2001:db8::1]", "2001:db8::1", "2001:db8::1" },
		{ "::ffff:192.0.2.7", "192.0.2.7", "::ffff:192.0.2.7" },
		{ "0.9.10.99", "0.9.10.99", "::ffff:0.9.10.99" },
		{ "100.109.255.200", "100.109.255.200", "::ffff:100.109.255.200" },
	};
	static const char *const bad[] = { "", "host", "1.2.3", "1.2.3.4.5", "[::1", "::g", "[]" };
	static const struct {
		const char *ip, *net;
		bool in;
	} nets[] = {
		{ "10.1.2.3", "10.0.0.0/8", true },
		{ "11.1.2.3", "10.0.0.0/8", false },
		{ "10.1.2.3", "10.1.2.3", true },
		{ "192.0.2.130", "192.0.2.128/25", true },
		{ "192.0.2.127", "192.0.2.128/25", false },
		{ "2001:db8::5", "2001:db8::/32", true },
		{ "2001:db9::5", "2001:db8::/32", false },
		{ "10.1.2.3", "::/0", false },
		{ "10.1.2.3", "0.0.0.0/0", true },
		{ "10.1.2.3", "10.0.0.0/33", false },
		{ "10.1.2.3", "x/8", false },
	};
	static struct msgw w;
	struct msgr r;
	char text[NET_IP_TEXT_MAX];
	struct sockaddr_storage ss;
	struct net_addr a, b;

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		CU_ASSERT(net_addr_parse(&a, good[i].in, 143));
		CU_ASSERT_STRING_EQUAL(net_addr_text(&a, text), good[i].text);
		CU_ASSERT_STRING_EQUAL(net_addr_log(&a, text), good[i].log);
		net_addr_to(&a, &ss);
		net_addr_from(&b, &ss);
		CU_ASSERT(net_addr_same_ip(&a, &b) && b.port == 143);
		msgw_begin(&w, 1);
		net_addr_write(&w, &a);
		msgr_begin(&r, w.buf, w.len);
		net_addr_read(&r, &b);
		CU_ASSERT(msgr_end(&r) && memcmp(&a, &b, sizeof(a)) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		CU_ASSERT(!net_addr_parse(&a, bad[i], 1));
	for (size_t i = 0; i < ARRAY_LEN(nets); i++) {
		net_addr_parse(&a, nets[i].ip, 0);
		CU_ASSERT_EQUAL(net_addr_in(&a, nets[i].net), nets[i].in);
		CU_ASSERT_EQUAL(net_is_network(nets[i].net),
		    strcmp(nets[i].net, "10.0.0.0/33") != 0 && strcmp(nets[i].net, "x/8") != 0);
	}
}

/* Each byte at each place in lines of each length: no control character passes, and nothing else is changed. */
static void test_log_controls(void)
{
	char got[LOG_LINE_MAX], want[LOG_LINE_MAX];
	int fd[2];

	CU_ASSERT_FATAL(msg_pair(fd) == 0);
	log_set_socket(fd[0]);
	for (size_t len = 1; len < 26; len++)
		for (size_t at = 0; at < len; at++)
			for (int c = 0; c < 256; c++) {
				char text[32];
				bool control = c < 0x20 || c == 0x7f;

				memset(text, 'a', len);
				text[at] = (char)c;
				memcpy(want, "2prog: ", 7);
				memcpy(want + 7, text, len);
				want[7 + at] = control ? '.' : (char)c;
				want[7 + len] = '\n';
				log_text("prog", LOG_LEVEL_INFO, text, len);
				log_flush();
				if (recv(fd[1], got, sizeof(got), MSG_DONTWAIT) != (ssize_t)len + 8 ||
				    memcmp(got, want, len + 8) != 0)
					CU_FAIL_FATAL("a line was changed wrongly");
			}
	log_set_socket(-1);
	close(fd[0]);
	close(fd[1]);
}

static void test_log_parse(void)
{
	char text[] = "2imapd: LOGIN, user=a\n0x: y: z\n", bad1[] = "9x: y\n", bad2[] = "2x: y", bad3[] = "2xy\n",
	     bad4[] = "2a: b\0c\n";
	size_t len = sizeof(text) - 1;
	struct log_record rec;
	char *p = text, clean[8];

	CU_ASSERT(log_parse(&p, &len, &rec));
	CU_ASSERT_EQUAL(rec.level, LOG_LEVEL_INFO);
	CU_ASSERT_STRING_EQUAL(rec.program, "imapd");
	CU_ASSERT_STRING_EQUAL(rec.text, "LOGIN, user=a");
	CU_ASSERT(log_parse(&p, &len, &rec));
	CU_ASSERT_STRING_EQUAL(rec.text, "y: z");
	CU_ASSERT(!log_parse(&p, &len, &rec));
	p = bad1, len = sizeof(bad1) - 1;
	CU_ASSERT(!log_parse(&p, &len, &rec));
	p = bad2, len = sizeof(bad2) - 1;
	CU_ASSERT(!log_parse(&p, &len, &rec));
	p = bad3, len = sizeof(bad3) - 1;
	CU_ASSERT(!log_parse(&p, &len, &rec));
	p = bad4, len = sizeof(bad4) - 1;
	CU_ASSERT(!log_parse(&p, &len, &rec));
	CU_ASSERT_STRING_EQUAL(log_clean(clean, sizeof(clean), "a\nb\377cdefghi"), "a.b.cde");
}

static const struct unit_case cases[] = {
	{ "str", test_str },
	{ "num", test_num },
	{ "b64", test_b64 },
	{ "hex", test_hex },
	{ "secrets", test_secret },
	{ "control characters and words", test_text },
	{ "utf8", test_utf8 },
	{ "messages", test_msg },
	{ "choices in messages", test_msg_choices },
	{ "messages with a descriptor", test_msg_fd },
	{ "messages with many descriptors", test_msg_many_fds },
	{ "addresses", test_net },
	{ "clients of an address", test_net_client },
	{ "random bytes", test_rnd },
	{ "waiting", test_wait },
	{ "writing all", test_write_all },
	{ "reading all", test_read_all },
	{ "a file is read", test_read_file },
	{ "log values", test_log_value },
	{ "control characters in log lines", test_log_controls },
	{ "log lines", test_log_parse },
	{ NULL, NULL },
};
UNIT_MAIN("lib", cases)
