/* What servers have in common; and the file that keeps it: cut, damaged, too large. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authd/pool_capability.h"
#include "authd/pool_file.h"
#include "lib/mem.h"
#include "node/msg_auth.h"
#include "tests/unit/logged.h"
#include "tests/unit/unit.h"

enum { NOW = 1900000000, DAY = 24 * 3600 };

static struct pool_capability *p;

static void routed(const char *host)
{
	pool_capability_routed(p, PROTOCOL_IMAP, host, 143, NOW);
}

static void told(const char *host, const char *list)
{
	pool_capability_told(p, PROTOCOL_IMAP, host, 143, list, NOW);
}

static void common_is(uint64_t now, const char *want)
{
	pool_capability_tick(p, now);
	CU_ASSERT_STRING_EQUAL(pool_capability_common(p, PROTOCOL_IMAP), want);
	if (strcmp(pool_capability_common(p, PROTOCOL_IMAP), want) != 0)
		printf("\ngot: %s\nwant: %s\n", pool_capability_common(p, PROTOCOL_IMAP), want);
}

static void test_lists(void)
{
	static const struct {
		const char *said, *taken;
	} t[] = {
		{ "", "" },
		{ "  IMAP4rev1\tIDLE ", "IMAP4rev1 IDLE" },
		{ "IMAP4rev1 AUTH=PLAIN auth=x STARTTLS LOGINDISABLED SASL-IR X-WAYPOST-TOKEN ID", "IMAP4rev1 ID" },
		{ "a\x01 b\xe4 c] {3} d\"e f* (g) h%", "" },
		{ "AUTHx THREAD=REFS QUOTA=RES-STORAGE", "AUTHx THREAD=REFS QUOTA=RES-STORAGE" },
	};
	static const struct {
		const char *a, *b, *both;
	} c[] = {
		{ "IMAP4rev1 IDLE MOVE", "move imap4REV1", "IMAP4rev1 MOVE" },
		{ "LITERAL+ ID", "LITERAL- ID", "LITERAL- ID" },
		{ "LITERAL- ID", "ID LITERAL+", "LITERAL- ID" },
		{ "LITERAL+", "LITERAL+", "LITERAL+" },
		{ "A B", "", "" },
		{ "", "A B", "" },
		{ "AB", "A B ABC", "" },
	};
	struct str s = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		str_clear(&s);
		capability_take(&s, t[i].said);
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), t[i].taken);
		CU_ASSERT(capability_list_ok(t[i].taken));
		CU_ASSERT_EQUAL(capability_list_ok(t[i].said), strcmp(t[i].said, t[i].taken) == 0);
	}
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		str_clear(&s);
		str_adds(&s, c[i].a);
		capability_keep_common(&s, c[i].b);
		CU_ASSERT_STRING_EQUAL(str_cstr(&s), c[i].both);
	}
	/* A hostile list is cut between words. */
	str_clear(&s);
	for (int i = 0; i < 1000; i++)
		capability_take(&s, "ABCDEFGHIJ KLM");
	CU_ASSERT(s.len <= CAPABILITY_LIST_MAX && s.len > CAPABILITY_LIST_MAX - 12);
	CU_ASSERT(capability_list_ok(s.data));
	str_adds(&s, " AAAAAAAAAAAAAA");
	CU_ASSERT_FALSE(capability_list_ok(s.data));
	str_fini(&s);
	CU_ASSERT_NOT_EQUAL(capability_hash("A"), capability_hash("B"));
	CU_ASSERT(capability_hash("") > AUTH_LIST_ASK);
	CU_ASSERT(capability_is_auto("auto") && capability_is_auto("AUTH=PLAIN Auto") && !capability_is_auto("AUTO=1"));
	CU_ASSERT(
	    capability_is_ours("literal+", 8) && !capability_is_ours("LITERAL-", 8) && !capability_is_ours("X", 1));
	CU_ASSERT_STRING_EQUAL(capability_pop3_name("utf8 user"), "UTF8");
	CU_ASSERT_PTR_NULL(capability_pop3_name("EXPIRE 30"));
	CU_ASSERT_PTR_NULL(capability_pop3_name("UTF8"));
	CU_ASSERT_STRING_EQUAL(capability_pop3_line("expire", 6), "EXPIRE NEVER");
}

/* Nothing is promised that one lacks, or may lack; a list that changes changes what is announced. */
static void test_common(void)
{
	p = pool_capability_new();
	common_is(NOW, "IMAP4rev1");
	CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "A.example", 143, NOW), AUTH_LIST_ASK);
	common_is(NOW, "IMAP4rev1");
	told("a.EXAMPLE", "IMAP4rev1 IDLE MOVE");
	CU_ASSERT_EQUAL(pool_capability_tick(p, NOW), 1U << PROTOCOL_IMAP);
	CU_ASSERT_EQUAL(pool_capability_tick(p, NOW), 0);
	common_is(NOW, "IMAP4rev1 IDLE MOVE");
	CU_ASSERT_STRING_EQUAL(pool_capability_common(p, PROTOCOL_POP3), "");
	CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "a.example", 143, NOW + 5),
	    capability_hash("IMAP4rev1 IDLE MOVE"));
	CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "a.example", 143, NOW + POOL_CAPABILITY_ASK_AGAIN + 1),
	    AUTH_LIST_ASK);
	/* A new one, of which nothing is known. */
	routed("b");
	common_is(NOW, "IMAP4rev1");
	told("b", "IMAP4rev1 MOVE ID");
	common_is(NOW, "IMAP4rev1 MOVE");
	/* Another port, another protocol are other servers. */
	pool_capability_routed(p, PROTOCOL_IMAP, "b", 144, NOW);
	pool_capability_told(p, PROTOCOL_IMAP, "b", 144, "IMAP4rev1 MOVE X", NOW);
	pool_capability_routed(p, PROTOCOL_POP3, "b", 143, NOW);
	pool_capability_told(p, PROTOCOL_POP3, "b", 143, "TOP", NOW);
	common_is(NOW, "IMAP4rev1 MOVE");
	CU_ASSERT_STRING_EQUAL(pool_capability_common(p, PROTOCOL_POP3), "TOP");
	/* One that was upgraded; one that has no list; one that speaks of nothing. */
	told("a.example", "IMAP4rev1 IDLE");
	common_is(NOW, "IMAP4rev1");
	told("a.example", "IMAP4rev1 IDLE MOVE");
	common_is(NOW, "IMAP4rev1 MOVE");
	told("a.example", "");
	common_is(NOW, "IMAP4rev1");
	told("a.example", "MOVE");
	common_is(NOW, "IMAP4rev1");
	/* What only concerns logins is not kept: our own list, as a session server's, has some of it. */
	told("a.example", "IMAP4rev1 SASL-IR MOVE AUTH=PLAIN");
	common_is(NOW, "IMAP4rev1 MOVE");
	/* To one that no login was routed to, a worker only pretends to have been. */
	told("c", "X");
	CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "c", 143, NOW), AUTH_LIST_ASK);
	pool_capability_free(&p);
}

/* A mistake in one mailhost reduces what is announced for a day, not for ever; one that is used no more is
 * forgotten. */
static void test_time(void)
{
	struct str unknown = STR_INIT;

	p = pool_capability_new();
	routed("a");
	told("a", "IMAP4rev1 IDLE");
	routed("tpyo");
	common_is(NOW, "IMAP4rev1");
	CU_ASSERT_EQUAL(pool_capability_list_unknown(p, NOW, &unknown), 1);
	CU_ASSERT_STRING_EQUAL(unknown.data, "imap:tpyo:143");
	common_is(NOW + DAY - 1, "IMAP4rev1");
	common_is(NOW + DAY, "IMAP4rev1 IDLE");
	/* Its user goes on to try. */
	pool_capability_routed(p, PROTOCOL_IMAP, "tpyo", 143, NOW + DAY + 5);
	common_is(NOW + DAY + 5, "IMAP4rev1 IDLE");
	CU_ASSERT_EQUAL(pool_capability_list_unknown(p, NOW + DAY + 5, &unknown), 0);
	/* It is there after all. */
	pool_capability_told(p, PROTOCOL_IMAP, "tpyo", 143, "IMAP4rev1", NOW + DAY + 6);
	common_is(NOW + DAY + 6, "IMAP4rev1");
	pool_capability_routed(p, PROTOCOL_IMAP, "a", 143, NOW + 20 * DAY);
	common_is(NOW + 31 * DAY, "IMAP4rev1");
	common_is(NOW + 31 * DAY + 5, "IMAP4rev1 IDLE");
	common_is(NOW + 50 * DAY - 1, "IMAP4rev1 IDLE");
	common_is(NOW + 50 * DAY, "IMAP4rev1");
	/* The clock goes back: nothing lasts longer for that. */
	pool_capability_routed(p, PROTOCOL_IMAP, "a", 143, NOW + 500 * DAY);
	common_is(NOW, "IMAP4rev1");
	pool_capability_told(p, PROTOCOL_IMAP, "a", 143, "IMAP4rev1 IDLE", NOW);
	common_is(NOW + 30 * DAY - 1, "IMAP4rev1 IDLE");
	common_is(NOW + 30 * DAY, "IMAP4rev1");
	str_fini(&unknown);
	pool_capability_free(&p);
}

/* One that says something else each time, or a worker that says so, fills no log. */
static void test_fickle(void)
{
	unsigned lines = 0;

	p = pool_capability_new();
	routed("a");
	routed("b");
	str_clear(&logged);
	for (int i = 0; i < 1000; i++)
		told("a", i % 2 == 0 ? "IMAP4rev1 IDLE" : "IMAP4rev1");
	told("b", "IMAP4rev1 MOVE"); /* another's line is its own */
	for (const char *l = str_cstr(&logged); (l = strchr(l, '\n')) != NULL; l++)
		lines++;
	CU_ASSERT_EQUAL(lines, 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&logged), "mailhost b, port 143, IMAP"));
	common_is(NOW, "IMAP4rev1");
	str_fini(&logged);
	pool_capability_free(&p);
}

static void fill(void)
{
	char host[32];

	p = pool_capability_new();
	for (int i = 0; i < POOL_CAPABILITY_SERVERS; i++) {
		snprintf(host, sizeof(host), "h%d", i);
		routed(host);
		told(host, "IMAP4rev1 IDLE");
	}
}

/* With more servers than there is room for, those without room may lack anything. */
static void test_full(void)
{
	struct str file = STR_INIT;

	fill();
	common_is(NOW, "IMAP4rev1 IDLE");
	CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "one more", 143, NOW), AUTH_LIST_ASK);
	told("one more", "IMAP4rev1 IDLE");
	common_is(NOW, "IMAP4rev1");
	for (int i = 0; i < 30; i++)
		pool_capability_routed(p, PROTOCOL_IMAP, "h7", 143, NOW + i * DAY + i);
	common_is(NOW + 30 * DAY + 40, "IMAP4rev1 IDLE");
	pool_capability_free(&p);
	fill();
	pool_capability_write(p, &file);
	CU_ASSERT(file.len <= POOL_CAPABILITY_FILE_MAX);
	pool_capability_free(&p);
	p = pool_capability_new();
	CU_ASSERT(pool_capability_read(p, file.data, file.len, NOW));
	common_is(NOW, "IMAP4rev1 IDLE");
	pool_capability_free(&p);
	str_fini(&file);
}

static bool read_text(const char *text, size_t len)
{
	char *copy = mem_memdup(text, len); /* exact size, for the sanitizer */
	bool ok;

	p = pool_capability_new();
	ok = pool_capability_read(p, copy, len, NOW);
	pool_capability_tick(p, NOW);
	mem_free(&copy);
	return ok;
}

static void test_file(void)
{
#define FIRST "waypost capabilities 1\n"
	static const char *const bad[] = { "", "\n", FIRST, "end\n", FIRST "end", FIRST "end\nend\n", FIRST "end\n\n",
		"waypost capabilities 2\nend\n", FIRST "imap a 143 1 1 1 X\nimap a 143 1 1 1 X\nend\n",
		FIRST "imap A 143 1 1 1 X\nimap a 143 1 1 1 X\nend\n", FIRST "smtp a 143 1 1 1 X\nend\n",
		FIRST "imap  143 1 1 1 X\nend\n", FIRST "imap a 65536 1 1 1 X\nend\n", FIRST "imap a -1 1 1 1 X\nend\n",
		FIRST "imap a 143 1 1 1 X AUTH=PLAIN\nend\n", FIRST "imap a 143 1 1 0 X\nend\n",
		FIRST "imap a 143 1 1 1 X  Y\nend\n", FIRST "imap a 143 1 1 1\nend\n", FIRST "imap a 143 1 1 X\nend\n",
		FIRST "imap a\x01 143 1 1 1 X\nend\n", FIRST "imap a 143 1 1 99999999999999999999 X\nend\n" };
	static const char nul[] = FIRST "imap a\0b 143 1 1 1 X\nend\n";
	static const char future[] = FIRST "imap a 143 5000000000 5000000000 5000000000 IMAP4rev1 X\nend\n";
	struct str file = STR_INIT, again = STR_INIT;

	p = pool_capability_new();
	CU_ASSERT_FALSE(pool_capability_is_new(p));
	routed("a");
	told("a", "IMAP4rev1 IDLE");
	routed("unknown");
	pool_capability_routed(p, PROTOCOL_POP3, "a", 110, NOW);
	pool_capability_told(p, PROTOCOL_POP3, "a", 110, "", NOW);
	CU_ASSERT(pool_capability_is_new(p));
	pool_capability_write(p, &file);
	CU_ASSERT_FALSE(pool_capability_is_new(p));
	routed("a");
	told("a", "IMAP4rev1 IDLE");
	CU_ASSERT_FALSE(pool_capability_is_new(p)); /* nothing that a file would not have */
	pool_capability_free(&p);

	CU_ASSERT(read_text(file.data, file.len));
	CU_ASSERT_FALSE(pool_capability_is_new(p));
	pool_capability_write(p, &again);
	CU_ASSERT_STRING_EQUAL(again.data, file.data);
	common_is(NOW, "IMAP4rev1");
	common_is(NOW + DAY, "IMAP4rev1 IDLE");
	pool_capability_free(&p);
	for (size_t cut = 0; cut < file.len; cut++) {
		CU_ASSERT_FALSE(read_text(file.data, cut));
		CU_ASSERT(pool_capability_is_new(p));
		common_is(NOW, "IMAP4rev1");
		CU_ASSERT_EQUAL(pool_capability_routed(p, PROTOCOL_IMAP, "a", 143, NOW), AUTH_LIST_ASK);
		pool_capability_free(&p);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		CU_ASSERT_FALSE(read_text(bad[i], strlen(bad[i])));
		pool_capability_free(&p);
	}
	CU_ASSERT_FALSE(read_text(nul, sizeof(nul) - 1));
	pool_capability_free(&p);
	CU_ASSERT(read_text(future, sizeof(future) - 1));
	common_is(NOW + 30 * DAY - 1, "IMAP4rev1 X");
	common_is(NOW + 30 * DAY, "IMAP4rev1");
	pool_capability_free(&p);
	str_fini(&file);
	str_fini(&again);
}

/* What an auth worker writes is there as a whole, or what was there before. */
static void test_written(void)
{
	char path[] = "/tmp/unit-pool-XXXXXX", name[64], text[64];
	int content = memfd_create("content", MFD_CLOEXEC), fd;
	struct settings *set = settings_defaults();
	struct stat st;

	CU_ASSERT_EQUAL_FATAL(write(content, "hello", 5), 5);
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(path));
	snprintf(name, sizeof(name), "%s/capabilities", path);
	unit_set(&set->node_STATEDIR, path);
	CU_ASSERT(pool_file_write(set, content));
	CU_ASSERT((fd = open(name, O_RDONLY)) != -1);
	CU_ASSERT_EQUAL(read(fd, text, sizeof(text)), 5);
	CU_ASSERT_EQUAL(fstat(fd, &st), 0);
	CU_ASSERT_EQUAL(st.st_mode & 0777, 0600);
	close(fd);
	CU_ASSERT_EQUAL(ftruncate(content, POOL_CAPABILITY_FILE_MAX + 1), 0);
	CU_ASSERT_FALSE(pool_file_write(set, content));
	CU_ASSERT_EQUAL(stat(name, &st), 0);
	CU_ASSERT_EQUAL(st.st_size, 5);
	close(content);
	unlink(name);
	CU_ASSERT_EQUAL(rmdir(path), 0); /* nothing else is left */
	CU_ASSERT_FALSE(pool_file_write(set, -1));
	settings_free(&set);
}

static const struct unit_case cases[] = {
	{ "lists", test_lists },
	{ "what all have in common", test_common },
	{ "who counts, and how long", test_time },
	{ "a server that says something else each time", test_fickle },
	{ "more servers than there is room for", test_full },
	{ "the file's text", test_file },
	{ "the file", test_written },
	{ NULL, NULL },
};

UNIT_MAIN("pool_capability", cases)
