/* Answers of memcached, whole, in pieces and invalid; and a server that drips, hangs up, or is silent. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authd/memcached_text.h"
#include "authd/store.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static const char got[] = "VALUE abc 0 5\r\nhe\r\no\r\nEND\r\n";

static enum memcached_answer get(const char *text, size_t len)
{
	const char *value = NULL;
	size_t value_len = 0;
	char *copy = mem_memdup(text, len); /* exact size, for the sanitizer */
	enum memcached_answer a = memcached_get_answer(copy, len, "abc", &value, &value_len);

	if (a == MEMCACHED_VALUE)
		CU_ASSERT(value_len == 5 && memcmp(value, "he\r\no", 5) == 0);
	mem_free(&copy);
	return a;
}

static void test_cut_anywhere(void)
{
	CU_ASSERT_EQUAL(get(got, strlen(got)), MEMCACHED_VALUE);
	for (size_t i = 1; i < strlen(got); i++)
		CU_ASSERT_EQUAL(get(got, i), MEMCACHED_MORE);
	for (size_t i = 1; i < 5; i++)
		CU_ASSERT_EQUAL(get("END\r\n", i), MEMCACHED_MORE);
	CU_ASSERT_EQUAL(get("END\r\n", 5), MEMCACHED_DONE);
	for (size_t i = 1; i < 8; i++)
		CU_ASSERT_EQUAL(memcached_set_answer("STORED\r\n", i), MEMCACHED_MORE);
	CU_ASSERT_EQUAL(memcached_set_answer("STORED\r\n", 8), MEMCACHED_DONE);
	CU_ASSERT_EQUAL(memcached_set_answer("NOT_STORED\r\n", 12), MEMCACHED_DONE);
	CU_ASSERT_EQUAL(memcached_set_answer("SERVER_ERROR out of memory storing object\r\n", 43), MEMCACHED_DONE);
}

static void test_nonsense(void)
{
	static const char *const gets[] = { "VALUE abd 0 5\r\nhello\r\nEND\r\n", "VALUE abcd 0 5\r\nhello\r\nEND\r\n",
		"VALUE abc 0\r\n", "VALUE abc\r\n", "VALUE abc 0 102401\r\n", "VALUE abc 0 -1\r\n", "VALUE abc x 5\r\n",
		"VALUE abc 0 5 77\r\nhello\r\nEND\r\n", "VALUE abc 0 5\r\nhello!\nEND\r\n",
		"VALUE abc 0 5\r\nhello\r\nEND\r\nEND\r\n", "END\r\nEND\r\n", "END\n", "ERROR\r\n", "\r\n", "\n",
		"STORED\r\n", "HTTP/1.1 400\r\n" };
	static const char *const sets[] = { "ERROR\r\n", "CLIENT_ERROR bad\r\n", "STORED\r\nSTORED\r\n",
		"SERVER_ERROR\r\n", "STORED \r\n", "END\r\n" };
	char line[600];

	for (size_t i = 0; i < ARRAY_LEN(gets); i++)
		CU_ASSERT_EQUAL(get(gets[i], strlen(gets[i])), MEMCACHED_NONSENSE);
	for (size_t i = 0; i < ARRAY_LEN(sets); i++)
		CU_ASSERT_EQUAL(memcached_set_answer(sets[i], strlen(sets[i])), MEMCACHED_NONSENSE);
	memset(line, 'x', sizeof(line));
	CU_ASSERT_EQUAL(get(line, 511), MEMCACHED_MORE);
	CU_ASSERT_EQUAL(get(line, 512), MEMCACHED_NONSENSE);
	CU_ASSERT_EQUAL(memcached_set_answer(line, sizeof(line)), MEMCACHED_NONSENSE);
}

/* --- with a server: a child that gives each connection its piece of the script --- */

enum { TIMEOUT_MS = 300 };

struct script {
	const char *say;
	size_t len;
	enum { CLOSES, STAYS, DRIPS } then;
};

static char path[64];
static pid_t child;

static void serve(int fd, const struct script *s)
{
	char c;

	for (; s->len != 0 || s->say != NULL; s++) {
		int conn = accept(fd, NULL, NULL);

		if (recv(conn, &c, 1, 0) == 1 && send(conn, s->say, s->len, MSG_NOSIGNAL) < 0)
			_exit(1);
		while (s->then == DRIPS && send(conn, "x", 1, MSG_NOSIGNAL) == 1)
			usleep(20000);
		while (s->then == STAYS && recv(conn, &c, 1, 0) > 0)
			;
		close(conn);
	}
	_exit(0);
}

static void *open_with(const struct script *s)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(path, sizeof(path), "/tmp/test_memcached.%ld", (long)getpid());
	unlink(path);
	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	CU_ASSERT_EQUAL_FATAL(bind(fd, (const struct sockaddr *)&sun, sizeof(sun)), 0);
	CU_ASSERT_EQUAL_FATAL(listen(fd, 5), 0);
	if ((child = fork()) == 0)
		serve(fd, s);
	close(fd);
	return memcached_store.open(path, TIMEOUT_MS);
}

static void end(void *store)
{
	memcached_store.close(store);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	unlink(path);
}

static void test_drip(void)
{
	static const char head[] = "VALUE abc 0 100000\r\n";
	const struct script script[] = { { head, sizeof(head) - 1, DRIPS }, { NULL, 0, CLOSES } };
	void *store = open_with(script);
	struct str out = STR_INIT;

	CU_ASSERT_FALSE(memcached_store.get(store, "abc", &out)); /* returns at all */
	CU_ASSERT_EQUAL(out.len, 0);
	memcached_store.set(store, "abc", "x", 1, 1); /* not contacted now */
	end(store);
	str_fini(&out);
}

static void test_silent(void)
{
	const struct script script[] = { { "", 0, STAYS }, { NULL, 0, CLOSES } };
	void *store = open_with(script);
	struct str out = STR_INIT;

	CU_ASSERT_FALSE(memcached_store.get(store, "abc", &out));
	end(store);
	str_fini(&out);
}

/* It was restarted, or closed an old connection: tried once more. */
static void test_hangs_up(void)
{
	const struct script script[] = { { got, sizeof(got) - 1, CLOSES }, { got, sizeof(got) - 1, STAYS },
		{ NULL, 0, CLOSES } };
	void *store = open_with(script);
	struct str out = STR_INIT;

	CU_ASSERT_TRUE(memcached_store.get(store, "abc", &out));
	usleep(50000);
	CU_ASSERT_TRUE(memcached_store.get(store, "abc", &out));
	CU_ASSERT_EQUAL(out.len, 10);
	end(store);
	str_fini(&out);
}

static void test_gone(void)
{
	void *store = memcached_store.open("/nonexistent/socket 127.0.0.1:1", TIMEOUT_MS);
	struct str out = STR_INIT;

	for (char key[] = "a"; key[0] <= 'z'; key[0]++) {
		memcached_store.set(store, key, "x", 1, 1);
		CU_ASSERT_FALSE(memcached_store.get(store, key, &out));
		memcached_store.distrust(store, key);
	}
	memcached_store.close(store);
	str_fini(&out);
}

static const struct unit_case cases[] = {
	{ "cut anywhere", test_cut_anywhere },
	{ "nonsense", test_nonsense },
	{ "drip", test_drip },
	{ "silent", test_silent },
	{ "hangs up", test_hangs_up },
	{ "gone", test_gone },
	{ NULL, NULL },
};
UNIT_MAIN("memcached", cases)
