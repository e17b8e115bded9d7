/* The costs of the store, counted instead of timed: system calls and comparisons of names. Linked with --wrap for the
 * calls below. */
#include "tests/unit/md_test.h"

#include <fcntl.h>
#include <strings.h>

#include "maildir/md_copy.h"
#include "maildir/md_pop3_private.h"
#include "tests/unit/open_mode.h"

static const char mail[] = "From: a\nSubject: x\n\nhi\n";

/* --- the calls --- */

static struct {
	size_t files;    /* calls that name one file: openat() of a file, fstatat(), faccessat(), rename, unlinkat() */
	size_t reads;    /* directories that were opened to be read */
	size_t compared; /* names */
} count;

/* Called once, before the first file of cur/ is opened. */
static void (*before_first)(void);

static void start_counting(void)
{
	memset(&count, 0, sizeof(count));
}

static void note_open(const char *path, int flags)
{
	void (*fn)(void) = before_first;

	if ((flags & O_DIRECTORY) != 0) {
		count.reads++;
		return;
	}
	count.files++;
	if (fn != NULL && strncmp(path, "cur/", 4) == 0) {
		before_first = NULL;
		fn();
	}
}

int __real_openat(int dirfd, const char *path, int flags, ...);
int __real_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int __real_faccessat(int dirfd, const char *path, int mode, int flags);
int __real_unlinkat(int dirfd, const char *path, int flags);
int __real_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags);
int __real_strncasecmp(const char *a, const char *b, size_t n);
int __real_memcmp(const void *a, const void *b, size_t n);
int __real_strcmp(const char *a, const char *b);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int __wrap_faccessat(int dirfd, const char *path, int mode, int flags);
int __wrap_unlinkat(int dirfd, const char *path, int flags);
int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags);
int __wrap_strncasecmp(const char *a, const char *b, size_t n);
int __wrap_memcmp(const void *a, const void *b, size_t n);
int __wrap_strcmp(const char *a, const char *b);

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(mode, flags);
	note_open(path, flags);
	return __real_openat(dirfd, path, flags, mode);
}

int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	count.files++;
	return __real_fstatat(dirfd, path, st, flags);
}

int __wrap_faccessat(int dirfd, const char *path, int mode, int flags)
{
	count.files++;
	return __real_faccessat(dirfd, path, mode, flags);
}

int __wrap_unlinkat(int dirfd, const char *path, int flags)
{
	count.files++;
	return __real_unlinkat(dirfd, path, flags);
}

int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
	count.files++;
	return __real_renameat2(fromfd, from, tofd, to, flags);
}

int __wrap_strncasecmp(const char *a, const char *b, size_t n)
{
	count.compared++;
	return __real_strncasecmp(a, b, n);
}

int __wrap_memcmp(const void *a, const void *b, size_t n)
{
	count.compared++;
	return __real_memcmp(a, b, n);
}

int __wrap_strcmp(const char *a, const char *b)
{
	count.compared++;
	return __real_strcmp(a, b);
}

/* --- messages that are gone --- */

enum {
	GONE = 300,
	/* For one missing message: new/ and cur/, in a few passes over a directory that is being changed. */
	LOOKS = 12
};

static void name_of(char *name, size_t size, int i)
{
	snprintf(name, size, "cur/%d.x:2,", 1000 + i);
}

static void fill(struct md_test *t, int n)
{
	char name[64];

	mt_begin(t);
	CU_ASSERT_EQUAL(mkdirat(t->root.fd, ".To", 0700), 0);
	mt_mkdir(t, ".To/cur");
	mt_mkdir(t, ".To/new");
	mt_mkdir(t, ".To/tmp");
	for (int i = 0; i < n; i++) {
		name_of(name, sizeof(name), i);
		mt_puts(t, name, mail);
	}
}

/* Another program deletes the messages FROM to N - 1. */
static void lose(const struct md_test *t, int from, int n)
{
	char name[64];

	for (int i = from; i < n; i++) {
		name_of(name, sizeof(name), i);
		mt_unlink(t, name);
	}
}

static enum md_err read_it(struct md_box *box, size_t i)
{
	int fd;
	enum md_err e = md_box_read(box, i, &fd);

	if (fd >= 0)
		close(fd);
	return e;
}

static enum md_err date_it(struct md_box *box, size_t i)
{
	time_t when;

	return md_box_date(box, i, &when);
}

static enum md_err count_it(struct md_box *box, size_t i)
{
	uint64_t octets;

	return md_box_octets(box, i, &octets);
}

static enum md_err store_it(struct md_box *box, size_t i)
{
	return md_box_store(box, i, MD_STORE_ADD, MD_SEEN, NULL, 0);
}

static enum md_err expunge_it(struct md_box *box, size_t i)
{
	return md_box_expunge(box, i);
}

/* Another program deleted hundreds of messages: asking for the first one finds all of them. The folder is read a few
 * times, not a few times for each. */
static void test_many_gone(void)
{
	enum md_err (*const all[])(struct md_box *, size_t) = { read_it, date_it, count_it, store_it, expunge_it };

	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct md_test t;
		struct md_box *box;

		fill(&t, GONE);
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
		lose(&t, 1, GONE);
		start_counting();
		for (size_t i = 0; i < box->n; i++) {
			enum md_err e = all[k](box, i);

			CU_ASSERT(e == (i == 0 ? MD_OK : MD_GONE) || all[k] == expunge_it);
		}
		CU_ASSERT(count.reads >= 2 && count.reads <= 2 * LOOKS);
		CU_ASSERT(count.files <= 4 * GONE);
		CU_ASSERT_EQUAL(md_box_drop_gone(box, NULL, NULL), all[k] == expunge_it ? GONE : GONE - 1);
		md_box_close(&box);
		mt_end(&t);
	}
}

/* The same in COPY and MOVE: existing messages are copied, the folders are read a few times. */
static void test_many_gone_in_copy(void)
{
	enum md_err (*const all[])(struct md_box *, const size_t *, size_t, const char *,
	    struct md_copied *) = { md_copy, md_move };

	for (size_t k = 0; k < ARRAY_LEN(all); k++) {
		struct md_test t;
		struct md_box *box;
		struct md_copied c;
		size_t idx[GONE];

		fill(&t, GONE);
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
		lose(&t, 1, GONE);
		for (size_t i = 0; i < GONE; i++)
			idx[i] = i;
		start_counting();
		CU_ASSERT_EQUAL(all[k](box, idx, GONE, "To", &c), MD_OK);
		CU_ASSERT(c.n == 1 && c.missed == GONE - 1);
		CU_ASSERT(count.reads >= 2 && count.reads <= 4 * LOOKS);
		CU_ASSERT(count.files <= 4 * GONE);
		md_copied_fini(&c);
		md_box_close(&box);
		mt_end(&t);
	}
}

/* --- POP3 --- */

static struct md_test *pop3_test;

static void lose_all_but_one(void)
{
	lose(pop3_test, 1, GONE);
}

/* Another program deletes messages while they are measured at the first login: the folder is not read again for
 * each. */
static void test_pop3_many_gone_unmeasured(void)
{
	struct md_test t;
	struct md_pop3 *p;

	fill(&t, GONE);
	pop3_test = &t;
	start_counting();
	before_first = lose_all_but_one;
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	CU_ASSERT_PTR_NULL(before_first);
	CU_ASSERT_EQUAL(md_pop3_count(p), 1);
	CU_ASSERT(count.reads >= 2 && count.reads <= 3 * LOOKS);
	CU_ASSERT(count.files <= 4 * GONE);
	md_pop3_close(&p);
	mt_end(&t);
}

static void read_all(struct md_pop3 *p, size_t there)
{
	for (size_t i = 0; i < GONE; i++) {
		int fd;

		CU_ASSERT_EQUAL(md_pop3_read(p, i, &fd), i < there ? MD_OK : MD_GONE);
		if (fd >= 0)
			close(fd);
	}
}

/* The same after login, for RETR, the flag that it sets, and QUIT. */
static void test_pop3_many_gone(void)
{
	struct md_test t;
	struct md_pop3 *p;
	size_t deleted;

	fill(&t, GONE);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	lose(&t, 1, GONE);
	start_counting();
	read_all(p, 1);
	for (size_t i = 0; i < GONE; i++) {
		CU_ASSERT_EQUAL(md_pop3_seen(p, i), i == 0 ? MD_OK : MD_GONE);
		md_pop3_mark(p, i, true);
	}
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_OK);
	CU_ASSERT_EQUAL(deleted, GONE);
	CU_ASSERT(count.reads >= 2 && count.reads <= 3 * LOOKS);
	CU_ASSERT(count.files <= 8 * GONE);
	md_pop3_close(&p);
	mt_end(&t);
}

/* Another program has flagged messages: reading the folder once finds all their names. */
static void test_pop3_many_renamed(void)
{
	struct md_test t;
	struct md_pop3 *p;
	char name[64], to[80];

	fill(&t, GONE);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	for (int i = 0; i < GONE; i++) {
		name_of(name, sizeof(name), i);
		snprintf(to, sizeof(to), "%sS", name);
		mt_rename(&t, name, to);
	}
	start_counting();
	read_all(p, GONE);
	CU_ASSERT(count.reads >= 1 && count.reads <= LOOKS);
	CU_ASSERT(count.files <= 4 * GONE);
	md_pop3_close(&p);
	mt_end(&t);
}

/* --- keywords --- */

/* As many keywords as a folder may have: finding one takes a few comparisons, not one with each. */
static void test_keyword_search(void)
{
	enum { N = MD_KEYWORDS_MAX, LOG2_N = 12 };
	struct md_test t;
	struct md_box *box;
	char name[64];

	fill(&t, 1);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	start_counting();
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "Word%u", i * 2654435761u);
		CU_ASSERT_EQUAL(md_box_keyword_add(box, name, strlen(name)), i);
	}
	CU_ASSERT(count.compared >= N && count.compared <= N * (LOG2_N + 1));
	start_counting();
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "wORD%u", i * 2654435761u);
		CU_ASSERT_EQUAL(md_box_keyword(box, name, strlen(name)), i);
	}
	CU_ASSERT(count.compared >= N && count.compared <= N * (LOG2_N + 1));
	md_box_close(&box);
	mt_end(&t);
}

/* --- a large folder --- */

/* Opens and syncs a folder of N messages, without a UID list (AGAIN: with it), and counts. */
static void count_open(int n, bool again)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;

	fill(&t, n);
	for (int i = 0; i <= again; i++) {
		start_counting();
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
		CU_ASSERT_EQUAL(box->n, (size_t)n);
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		md_box_close(&box);
	}
	mt_end(&t);
}

/* Opening and syncing a large folder takes as many calls as a small one, not one for each message, and as many
 * comparisons as sorting and hash lookups need. */
static void test_open_costs(void)
{
	enum { SMALL = 10, LARGE = 4096, LOG2_LARGE = 12 };

	for (int again = 0; again < 2; again++) {
		size_t files;

		count_open(SMALL, again != 0);
		files = count.files;
		count_open(LARGE, again != 0);
		CU_ASSERT(count.files <= files + 2 * LOOKS);
		CU_ASSERT(count.reads >= 2 && count.reads <= 2 * LOOKS);
		CU_ASSERT(count.compared >= LARGE && count.compared <= LARGE * (2 * LOG2_LARGE + LOOKS));
	}
}

static const struct unit_case cases[] = { { "many messages are gone", test_many_gone },
	{ "many messages are gone in COPY and MOVE", test_many_gone_in_copy },
	{ "POP3: many messages go while they are measured", test_pop3_many_gone_unmeasured },
	{ "POP3: many messages are gone", test_pop3_many_gone },
	{ "POP3: many messages have other names", test_pop3_many_renamed },
	{ "keywords are found by halves", test_keyword_search }, { "opening a folder", test_open_costs },
	{ NULL, NULL } };

UNIT_MAIN("md_cost", cases)
