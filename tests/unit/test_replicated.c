/* Which node may serve a Maildir: the option replicated, and the marker file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "node/session.h"
#include "settings/replicated.h"
#include "tests/unit/unit.h"

static char folder[] = "/tmp/test_replicated.XXXXXX";
static int dirfd_of_it;
static struct settings *set;

static void test_words(void)
{
	static const struct {
		const char *options;
		enum replicated is;
	} t[] = {
		{ "", REPLICATED_NO },
		{ "mailhost=a b", REPLICATED_NO },
		{ "replicated=shared", REPLICATED_SHARED },
		{ "mailhost=a b,replicated=Single", REPLICATED_SINGLE },
		{ "replicated", REPLICATED_MISTAKE },
		{ "replicated=", REPLICATED_MISTAKE },
		{ "replicated=yes", REPLICATED_MISTAKE },
		{ "replicated=shared ", REPLICATED_MISTAKE },
		{ "replicated=sharedsharedsharedshared", REPLICATED_MISTAKE },
		{ "unreplicated=shared", REPLICATED_NO },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_EQUAL(replicated_of(t[i].options), t[i].is);
}

/* The marker has the LEN bytes at TEXT; NULL: there is none. */
static void mark(const char *text, size_t len)
{
	int fd;

	unlinkat(dirfd_of_it, SESSION_MARKER, 0);
	if (text == NULL)
		return;
	fd = openat(dirfd_of_it, SESSION_MARKER, O_WRONLY | O_CREAT, 0600);
	CU_ASSERT_FATAL(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	close(fd);
}

/* Whether it is served, with these OPTIONS, by a node that is LATER than the first. */
static bool serves(const char *options, bool later)
{
	struct session_start start = { .options = options, .later = later, .set = set };
	char why[SESSION_WHY_MAX] = "";
	bool may = session_may_serve(&start, dirfd_of_it, why);

	CU_ASSERT_EQUAL(may, why[0] == '\0');
	CU_ASSERT(strlen(why) < sizeof(why) - 1);
	return may;
}

static bool serves_marked(const char *text)
{
	bool later, first;

	mark(text, strlen(text));
	later = serves("replicated=single", true);
	first = serves("replicated=single", false);
	CU_ASSERT_EQUAL(later, first);                                     /* a marker counts for both */
	CU_ASSERT(serves("replicated=shared", true) && serves("", false)); /* ... with that word alone */
	return later;
}

static void test_marker(void)
{
	char big[2000];

	mark(NULL, 0);
	CU_ASSERT(serves("replicated=single", false));
	CU_ASSERT_FALSE(serves("replicated=single", true));
	CU_ASSERT(serves_marked("nodeb.example.com\n"));
	CU_ASSERT(serves_marked("nodeb.example.com"));
	CU_ASSERT(serves_marked(" NodeB.Example.com. \r\nchanged by drbd\n"));
	CU_ASSERT(serves_marked("box\n")); /* its other name */
	CU_ASSERT_FALSE(serves_marked("nodea.example.com\n"));
	CU_ASSERT_FALSE(serves_marked("nodeb.example.co"));
	CU_ASSERT_FALSE(serves_marked("nodeb.example.com.org\n"));
	CU_ASSERT_FALSE(serves_marked(""));
	CU_ASSERT_FALSE(serves_marked("\nnodeb.example.com\n"));
	CU_ASSERT_FALSE(serves_marked(".\n"));
	CU_ASSERT_FALSE(serves_marked("\x01\x02%s\n"));
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	CU_ASSERT_FALSE(serves_marked(big));
}

/* A node without a second name does not answer to the name "". */
static void test_no_second_name(void)
{
	unit_set(&set->self[1], "");
	CU_ASSERT_FALSE(serves_marked("."));
	CU_ASSERT_FALSE(serves_marked("\n"));
	unit_set(&set->self[1], "box");
}

/* What is there cannot be read, or is no file: nobody serves it. */
static void test_strange_markers(void)
{
	mark(NULL, 0);
	CU_ASSERT_EQUAL(symlinkat("nowhere", dirfd_of_it, SESSION_MARKER), 0);
	CU_ASSERT_FALSE(serves("replicated=single", false));
	mark(NULL, 0);
	CU_ASSERT_EQUAL(mkdirat(dirfd_of_it, SESSION_MARKER, 0700), 0);
	CU_ASSERT_FALSE(serves("replicated=single", false));
	CU_ASSERT_EQUAL(unlinkat(dirfd_of_it, SESSION_MARKER, AT_REMOVEDIR), 0);
	CU_ASSERT_EQUAL(mkfifoat(dirfd_of_it, SESSION_MARKER, 0600), 0); /* nobody waits for its writer */
	CU_ASSERT_FALSE(serves("replicated=single", false));
	mark(NULL, 0);
}

/* The first case makes the folder, the last one removes it. */
static void begin(void)
{
	CU_ASSERT_FATAL(mkdtemp(folder) != NULL && (dirfd_of_it = open(folder, O_RDONLY | O_DIRECTORY)) != -1);
	set = settings_defaults();
	unit_set(&set->self[0], "nodeb.example.com");
	unit_set(&set->self[1], "box");
}

static void end(void)
{
	settings_free(&set);
	close(dirfd_of_it);
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct unit_case cases[] = {
	{ "begin", begin },
	{ "words", test_words },
	{ "marker", test_marker },
	{ "no second name", test_no_second_name },
	{ "strange markers", test_strange_markers },
	{ "end", end },
	{ NULL, NULL },
};
UNIT_MAIN("replicated", cases)
