/* Changes of a Maildir while the n-th file system call fails, for all n, or the process is killed there: afterwards
 * all is as it was, or as it was to be, and what was acknowledged is so; nothing is lost, doubled or damaged, no
 * UID and no UIDVALIDITY has changed, and the same change is not held up. */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "maildir/md_box.h"
#include "maildir/md_tree.h"
#include "tests/unit/file_calls.h"
#include "tests/unit/store_world.h"
#include "tests/unit/unit.h"

enum { CALLS_MAX = 2000, WAITS_MAX = 100, CACHED_STEP = 7, SHORT_STEP = 3 };

/* What can be seen before and after each change, without a fault. */
static char *before[CHANGES_MAX], *after[CHANGES_MAX];

static unsigned descriptors(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	while (d != NULL && readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static void complain(const struct change *c, const char *what, unsigned n, int err, const char *told, const char *seen)
{
	printf("\n%s: call %u, %s (%s): %s\n%s", c->name, n, what, strerror(err), told, seen);
	CU_FAIL("a fault leaves something behind");
}

/* One lock that is left behind would hold up the next command for 30 s. */
static bool not_held_up(void *arg, size_t messages UNUSED, size_t bytes UNUSED)
{
	unsigned *waits = arg;

	return ++*waits < WAITS_MAX;
}

/* The same change, refused once, goes well without the fault, in the same process. */
static void again(size_t i, struct world *w, unsigned n, int err)
{
	unsigned waits = 0;
	enum md_err e;

	w->root.goes_on = not_held_up;
	w->root.goes_on_arg = &waits;
	e = changes[i].run(w);
	w->root.goes_on = NULL;
	if (e != MD_OK)
		complain(&changes[i], "and then without a fault", n, err, w->root.why, "");
}

/* True if there was an N-th call. */
static bool one_fault(size_t i, enum file_fault fault, int err, unsigned n, bool cached)
{
	const struct change *c = &changes[i];
	struct world w;
	unsigned calls, open_before;
	enum md_err e;
	char *text;
	bool was, is;

	world_begin(&w, cached);
	if (c->prepare != NULL)
		c->prepare(&w);
	open_before = descriptors();
	w.root.why[0] = '\0';
	file_calls_begin(fault, n, err);
	e = c->run(&w);
	calls = file_calls_end();
	if (descriptors() > open_before + 1) /* one lock file that could not be removed may be */
		complain(c, "a descriptor is left open", n, err, "", "");
	if (e != MD_OK && w.root.why[0] == '\0' && e != MD_GONE)
		complain(c, "refused without a reason", n, err, md_err_text(e), "");
	text = world_seen(&w);
	if (fault == FILE_FROM)
		world_forget(text, WORLD_RAISED);
	was = strcmp(text, before[i]) == 0;
	is = strcmp(text, after[i]) == 0;
	if (!is && (e == MD_OK || !was))
		complain(c, "fails", n, err, md_err_text(e), text);
	if (is && !was && e != MD_OK && c->refused == AS_BEFORE && fault == FILE_ONCE)
		complain(c, "fails, and it is done", n, err, w.root.why, text);
	if (e != MD_OK && was)
		again(i, &w, n, err);
	free(text);
	world_end(&w);
	return calls >= n;
}

/* Every STEP-th call. */
static void all_calls(size_t i, enum file_fault fault, int err, bool cached, unsigned step)
{
	unsigned n = 1 + (unsigned)i % step;

	while (n < CALLS_MAX && one_fault(i, fault, err, n, cached))
		n += step;
	CU_ASSERT(n > 5 && n < CALLS_MAX);
}

static void test_faults(void)
{
	static const struct {
		enum file_fault fault;
		int err;
	} how[] = { { FILE_ONCE, EIO }, { FILE_ONCE, EINTR }, { FILE_HALF, 0 }, { FILE_FROM, ENOSPC },
		{ FILE_FROM, EIO }, { FILE_ONCE, ENOSPC }, { FILE_ONCE, EDQUOT }, { FILE_ONCE, ESTALE },
		{ FILE_FROM, EROFS }, { FILE_FROM, EDQUOT } };
	bool all = getenv("WAYPOST_LONG") != NULL;
	size_t n = all ? ARRAY_LEN(how) : 5;

	world_learn(before, after, false);
	for (size_t i = 0; i < n_changes; i++)
		for (size_t k = 0; k < n; k++)
			all_calls(i, how[k].fault, how[k].err, false, all || k == 0 ? 1 : SHORT_STEP);
}

static void test_caches(void)
{
	world_learn(before, after, true);
	for (size_t i = 0; i < n_changes; i++)
		all_calls(i, FILE_ONCE, EIO, true, CACHED_STEP);
}

static bool one_kill(size_t i, unsigned n)
{
	struct world w;
	int status;
	char *text;
	pid_t pid;

	world_begin(&w, false);
	if (changes[i].prepare != NULL)
		changes[i].prepare(&w);
	fflush(NULL);
	if ((pid = fork()) == 0) {
		file_calls_begin(FILE_KILL, n, 0);
		_exit(changes[i].run(&w) == MD_OK ? 0 : 1);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	text = world_seen(&w);
	world_forget(text, WORLD_RAISED);
	if (strcmp(text, after[i]) != 0 && (!WIFSIGNALED(status) || strcmp(text, before[i]) != 0))
		complain(&changes[i], "killed", n, 0, "", text);
	free(text);
	world_end(&w);
	return WIFSIGNALED(status);
}

static void test_kills(void)
{
	world_learn(before, after, false);
	for (size_t i = 0; i < n_changes; i++) {
		unsigned n = 1;

		while (n < CALLS_MAX && one_kill(i, n))
			n++;
		CU_ASSERT(n > 5 && n < CALLS_MAX);
	}
}

/* A folder that was deleted on a full disk, and made again at once, has another UIDVALIDITY. */
static void test_name_again(void)
{
	for (unsigned n = 1, calls = n; n <= calls; n++) {
		struct world w;
		struct md_status st;

		world_begin(&w, false);
		unlinkat(w.root.fd, "tmp/uidv.Old", 0); /* Courier, or an older version of ours, has made the folder */
		file_calls_begin(FILE_FROM, n, ENOSPC);
		CU_ASSERT(md_tree_delete(&w.root, "Old") < MD_ERR_COUNT);
		calls = file_calls_end();
		if (md_tree_create(&w.root, "Old") == MD_OK) {
			CU_ASSERT_EQUAL(md_status(&w.root, "Old", &st), MD_OK);
			CU_ASSERT(st.uidvalidity > w.told.uidvalidity[2]);
		}
		world_end(&w);
	}
}

static const struct unit_case cases[] = { { "a name that is used again", test_name_again },
	{ "a call fails", test_faults }, { "a call fails, with caches", test_caches },
	{ "killed at a call", test_kills }, { NULL, NULL } };

UNIT_MAIN("store_safety", cases)
