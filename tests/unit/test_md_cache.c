/* waypostcache: what a box says with it and without it is the same, and no damaged one is believed. Linked with --wrap
 * for the clock: what is to be settled need not be waited for; and for the system calls, so that each can fail. */
#include "tests/unit/md_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>

#include "maildir/md_cache.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_recent.h"
#include "tests/unit/open_mode.h"
#include "tests/unit/wall_ahead.h"

enum { MANY = 80 };

int __real_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name);
int __wrap_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name);

static int64_t server_behind_s; /* of the file system's clock behind ours */
static bool no_modes;           /* the file system knows none */
static bool no_new_name;        /* it is full: no file gets another name */

int __real_md_rename_new(int fromfd, const char *from, int tofd, const char *to);
int __wrap_md_rename_new(int fromfd, const char *from, int tofd, const char *to);

int __wrap_md_rename_new(int fromfd, const char *from, int tofd, const char *to)
{
	if (!no_new_name)
		return __real_md_rename_new(fromfd, from, tofd, to);
	errno = ENOSPC;
	return -1;
}

int __wrap_md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name)
{
	int fd = __real_md_tmp_create(r, dirfd, mode, name);
	struct timespec t[2];

	__real_clock_gettime(CLOCK_REALTIME, &t[0]);
	t[0].tv_sec += ahead_s - server_behind_s;
	t[1] = t[0];
	if (fd >= 0)
		futimens(fd, t);
	if (fd >= 0 && no_modes)
		fchmod(fd, 0666);
	return fd;
}

/* --- calls that fail --- */

static unsigned calls, fail_at; /* so far; the number of the one that fails, 0: none */
static int fail_errno;
static bool short_first; /* a write that fails has written half before */

static bool fails(void)
{
	if (++calls != fail_at)
		return false;
	errno = fail_errno;
	return true;
}

int __real_openat(int dirfd, const char *path, int flags, ...);
int __real_fstat(int fd, struct stat *st);
int __real_fstatat(int dirfd, const char *path, struct stat *st, int flags);
ssize_t __real_read(int fd, void *p, size_t len);
ssize_t __real_write(int fd, const void *p, size_t len);
int __real_close(int fd);
int __real_renameat(int fromfd, const char *from, int tofd, const char *to);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __wrap_fstat(int fd, struct stat *st);
int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags);
ssize_t __wrap_read(int fd, void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);
int __wrap_close(int fd);
int __wrap_renameat(int fromfd, const char *from, int tofd, const char *to);

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(mode, flags);
	return fails() ? -1 : __real_openat(dirfd, path, flags, mode);
}

int __wrap_fstat(int fd, struct stat *st)
{
	return fails() ? -1 : __real_fstat(fd, st);
}

int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	return fails() ? -1 : __real_fstatat(dirfd, path, st, flags);
}

ssize_t __wrap_read(int fd, void *p, size_t len)
{
	return fails() ? -1 : __real_read(fd, p, len);
}

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	if (!fails())
		return __real_write(fd, p, len);
	if (!short_first)
		return -1;
	fail_at++; /* the next one fails, too */
	return __real_write(fd, p, len / 2);
}

int __wrap_close(int fd)
{
	int rc = __real_close(fd);

	return fails() ? -1 : rc;
}

int __wrap_renameat(int fromfd, const char *from, int tofd, const char *to)
{
	return fails() ? -1 : __real_renameat(fromfd, from, tofd, to);
}

static void fail_next(unsigned n, int err, bool half)
{
	calls = 0;
	fail_at = n;
	fail_errno = err;
	short_first = half;
}

/* True if the call has failed; from now on none does. */
static bool has_failed(void)
{
	bool failed = fail_at != 0 && calls >= fail_at;

	fail_at = 0;
	return failed;
}

static void fill_folder(const struct md_test *t)
{
	char path[64];

	for (int i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "cur/1000%04d.M1P1.host:2,%s", i, i % 3 == 0 ? "S" : "");
		mt_puts(t, path, "Subject: x\n\nhi\n");
	}
	mt_mkdir(t, "courierimapkeywords");
	mt_puts(t, "courierimapkeywords/:list", "Work\nHome\n\n10000003.M1P1.host:0 1\n10000007.M1P1.host:1\n");
}

/* All that the box says. */
static char *dump(const struct md_box *box)
{
	struct str s = STR_INIT;

	str_addf(&s, "%u %u recent %zu\n", box->uidvalidity, box->uidnext, box->n_recent);
	for (size_t i = 0; i < box->n; i++) {
		size_t n;
		const uint32_t *kw = md_box_keywords(box, i, &n);

		str_addf(&s, "%u %s %x %d%d%d %u:", box->msgs[i].uid, box->msgs[i].name, box->msgs[i].flags,
		    box->msgs[i].recent, box->msgs[i].in_new, box->msgs[i].gone, box->msgs[i].base_len);
		for (size_t k = 0; k < n; k++)
			str_addf(&s, " %s", md_box_keyword_name(box, kw[k]));
		str_addc(&s, '\n');
	}
	return str_steal(&s);
}

/* Waits until what changes next gets another time than what changed before. */
static void tick(void)
{
	struct timespec was, now;

	__real_clock_gettime(CLOCK_REALTIME_COARSE, &was);
	do {
		usleep(1000);
		__real_clock_gettime(CLOCK_REALTIME_COARSE, &now);
	} while (now.tv_sec == was.tv_sec && now.tv_nsec == was.tv_nsec);
}

/* Opens INBOX, says whether the cache served, and closes it. The text of dump() is the caller's. */
static char *look(struct md_test *t, bool readonly, bool *cached)
{
	struct md_box *box;
	char *text;

	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "", readonly, &box), MD_OK);
	*cached = box->at_cur.settled;
	text = dump(box);
	md_box_close(&box);
	tick();
	return text;
}

static bool served(struct md_test *t, bool readonly)
{
	bool cached;
	char *text = look(t, readonly, &cached);

	mem_free(&text);
	return cached;
}

/* As md_cache_read_bytes(), of LEN bytes at P. */
static bool parse(struct md_box *box, const char *p, size_t len)
{
	int fd = memfd_create("cache", MFD_CLOEXEC);
	bool ok;

	CU_ASSERT_TRUE_FATAL(fd >= 0 && write(fd, p, len) == (ssize_t)len && lseek(fd, 0, SEEK_SET) == 0);
	ok = md_cache_read_bytes(box, fd);
	close(fd);
	return ok;
}

/* A folder of many messages with a cache that counts. */
static void begin(struct md_test *t)
{
	mt_begin(t);
	fill_folder(t);
	ahead_s = 3;
	CU_ASSERT_FALSE(served(t, false)); /* gives the UIDs */
	ahead_s = 3;
	CU_ASSERT_FALSE(served(t, false));
	CU_ASSERT_TRUE_FATAL(mt_exists(t, MD_CACHE_FILE));
}

static void test_unchanged(void)
{
	struct md_test t;
	struct md_status with, without;
	bool cached;
	char *a, *b;
	struct stat st;

	begin(&t);
	a = look(&t, false, &cached);
	CU_ASSERT_TRUE(cached);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_CACHE_FILE, &st, 0), 0);
	CU_ASSERT_EQUAL(st.st_mode & 07777, 0600);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &with), MD_OK);
	mt_unlink(&t, MD_CACHE_FILE);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &without), MD_OK);
	CU_ASSERT_EQUAL(memcmp(&with, &without, sizeof(with)), 0);
	CU_ASSERT_EQUAL(with.messages, MANY);
	mt_unlink(&t, MD_CACHE_FILE);
	b = look(&t, false, &cached);
	CU_ASSERT_FALSE(cached);
	CU_ASSERT_STRING_EQUAL(a, b);
	mem_free(&a);
	mem_free(&b);
	mt_end(&t);
}

/* STATUS with a cache reads only its header: the body may be damaged. */
static void test_status_reads_the_header(void)
{
	struct md_test t;
	struct md_status st;
	int fd;

	begin(&t);
	fd = openat(t.root.fd, MD_CACHE_FILE, O_WRONLY);
	CU_ASSERT_EQUAL(pwrite(fd, "#", 1, MD_CACHE_HEADER_BYTES + 99), 1);
	close(fd);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, MANY);
	CU_ASSERT_EQUAL(st.unseen, MANY - (MANY + 2) / 3);
	CU_ASSERT_FALSE(t.root.said_cache);
	CU_ASSERT_FALSE(served(&t, true));
	CU_ASSERT_TRUE(t.root.said_cache);
	CU_ASSERT_TRUE(served(&t, true)); /* made anew */
	mt_end(&t);
}

/* What was read within two seconds of a change is not written. */
static void test_young(void)
{
	struct md_test t;

	begin(&t);
	mt_unlink(&t, MD_CACHE_FILE);
	mt_puts(&t, "cur/20000001.M1P1.host:2,", "Subject: y\n\nhi\n");
	CU_ASSERT_FALSE(served(&t, false));
	ahead_s = 0; /* the true time: everything has just changed */
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_FALSE(mt_exists(&t, MD_CACHE_FILE));
	ahead_s = 3;
	server_behind_s = 2; /* by the server's clock it has still just changed */
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_FALSE(mt_exists(&t, MD_CACHE_FILE));
	server_behind_s = 0;
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_TRUE(mt_exists(&t, MD_CACHE_FILE));
	CU_ASSERT_TRUE(served(&t, false));
	ahead_s = -60; /* the clock was set back */
	CU_ASSERT_FALSE(served(&t, false));
	ahead_s = 3;
	mt_end(&t);
}

/* A time that was set to what it was is no proof: the inode's own time tells. */
static void test_mtime_set_back(void)
{
	struct md_test t;
	struct stat st;
	struct timespec times[2];

	begin(&t);
	CU_ASSERT_EQUAL(fstatat(t.root.fd, "cur", &st, 0), 0);
	mt_unlink(&t, "cur/10000004.M1P1.host:2,");
	times[0] = times[1] = st.st_mtim;
	CU_ASSERT_EQUAL(utimensat(t.root.fd, "cur", times, 0), 0);
	CU_ASSERT_FALSE(served(&t, false));
	mt_end(&t);
}

static void test_each_change(void)
{
	struct md_test t;

	begin(&t);
	mt_rename(&t, "cur/10000004.M1P1.host:2,", "cur/10000004.M1P1.host:2,F");
	CU_ASSERT_FALSE(served(&t, true));
	CU_ASSERT_TRUE(served(&t, true));
	mt_puts(&t, "new/20000001.M1P1.host", "Subject: y\n\nhi\n");
	CU_ASSERT_FALSE(served(&t, true));
	ahead_s = 3;
	CU_ASSERT_FALSE(served(&t, true));
	CU_ASSERT_TRUE(served(&t, true));
	CU_ASSERT_FALSE(served(&t, false)); /* it must be moved to cur/ */
	CU_ASSERT_FALSE(mt_exists(&t, "new/20000001.M1P1.host"));
	ahead_s = 3;
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_TRUE(served(&t, false));
	mt_puts(&t, "courierimapkeywords/10000005.M1P1.host", "Third\n");
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_TRUE(served(&t, false));
	mt_rename(&t, "courierimapuiddb", "courierimapuiddb.old");
	CU_ASSERT_FALSE(served(&t, false)); /* all get new UIDs */
	ahead_s = 3;
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_TRUE(served(&t, false));
	md_recent_add(&t.root, t.root.fd, 1, 1);
	CU_ASSERT_FALSE(served(&t, false)); /* the mark is taken under the lock */
	CU_ASSERT_TRUE(served(&t, false));
	mt_end(&t);
}

/* Cut at any byte, or with any byte changed, it is not believed. */
static void test_damaged(void)
{
	struct md_test t;
	struct md_box *box;
	struct str s = STR_INIT;
	struct md_box other;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", true, &box), MD_OK);
	md_cache_format(box, &s);
	memset(&other, 0, sizeof(other));
	CU_ASSERT_TRUE(parse(&other, s.data, s.len));
	CU_ASSERT_EQUAL(other.n, MANY);
	other.root = &t.root;
	other.fd = dup(t.root.fd);
	other.folder = mem_strdup("");
	{
		struct md_box *copy = mem_alloc(sizeof(*copy));
		char *a = dump(box), *b = dump(&other);

		CU_ASSERT_STRING_EQUAL(a, b);
		mem_free(&a);
		mem_free(&b);
		*copy = other;
		copy->cache_due = false;
		md_box_close(&copy);
	}
	memset(&other, 0, sizeof(other));
	for (size_t i = 0; i < s.len; i++)
		if (parse(&other, s.data, i)) {
			CU_FAIL("a cut cache was believed");
			break;
		}
	for (size_t i = 0; i < s.len; i++) {
		s.data[i] ^= (char)(1 << i % 8);
		if (parse(&other, s.data, s.len)) {
			CU_FAIL("a damaged cache was believed");
			break;
		}
		s.data[i] ^= (char)(1 << i % 8);
	}
	CU_ASSERT_EQUAL(other.n, 0);
	CU_ASSERT_EQUAL(other.n_keywords, 0);
	str_fini(&s);
	md_box_close(&box);
	mt_end(&t);
}

/* With right checksums over any damage: whatever is taken holds what the box promises. */
static void test_forged(void)
{
	struct md_test t;
	struct md_box *box;
	struct str s = STR_INIT;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", true, &box), MD_OK);
	md_cache_format(box, &s);
	for (size_t i = 24; i < s.len; i++) {
		struct md_box *o = mem_alloc(sizeof(*o));
		char *copy = mem_memdup(s.data, s.len), keep = (char)(i % 3 == 0 ? 0 : i % 3 == 1 ? 0xff : '/');

		copy[i] = keep;
		md_cache_seal(copy, s.len);
		o->fd = -1;
		o->root = &t.root;
		if (parse(o, copy, s.len)) {
			for (size_t k = 0; k < o->n; k++)
				if (strchr(o->msgs[k].name, '/') != NULL || o->msgs[k].uid >= o->uidnext ||
				    (k != 0 && o->msgs[k].uid <= o->msgs[k - 1].uid))
					CU_FAIL("an impossible message");
		} else {
			CU_ASSERT_EQUAL(o->n, 0);
		}
		md_box_close(&o);
		mem_free(&copy);
	}
	str_fini(&s);
	md_box_close(&box);
	mt_end(&t);
}

/* A file that another may write, or a link, is not read. */
static void test_foreign(void)
{
	struct md_test t;
	char path[128];

	begin(&t);
	snprintf(path, sizeof(path), "%s/" MD_CACHE_FILE, t.dir);
	CU_ASSERT_EQUAL(chmod(path, 0620), 0);
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_TRUE(t.root.said_cache);
	CU_ASSERT_TRUE(served(&t, false));
	mt_rename(&t, MD_CACHE_FILE, "elsewhere");
	CU_ASSERT_EQUAL(symlinkat("elsewhere", t.root.fd, MD_CACHE_FILE), 0);
	CU_ASSERT_FALSE(served(&t, false));
	mt_end(&t);
}

/* Sizes and dates that were asked for are there the next time. */
static void test_learned(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t octets;
	time_t date;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_octets(box, i, &octets), MD_OK);
	md_box_close(&box);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_TRUE(box->at_cur.settled);
	for (size_t i = 0; i < box->n; i++) {
		CU_ASSERT_TRUE(md_box_octets_known(box, i));
		CU_ASSERT_EQUAL(md_box_octets(box, i, &octets), MD_OK);
		CU_ASSERT_EQUAL(octets, 18);
		CU_ASSERT_NOT_EQUAL(box->msgs[i].mtime, MD_UNKNOWN);
		CU_ASSERT_EQUAL(md_box_date(box, i, &date), MD_OK);
	}
	md_box_close(&box);
	mt_end(&t);
}

/* A box that was opened from the cache follows changes as any other. */
static void test_sync_after(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_TRUE(box->at_cur.settled);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT_EQUAL(ch.added + ch.gone + ch.flagged, 0);
	CU_ASSERT_TRUE(box->at_cur.settled); /* nothing was read */
	mt_rename(&t, "cur/10000004.M1P1.host:2,", "cur/10000004.M1P1.host:2,F");
	mt_unlink(&t, "cur/10000005.M1P1.host:2,");
	mt_puts(&t, "new/20000001.M1P1.host", "Subject: y\n\nhi\n");
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT_EQUAL(ch.added, 1);
	CU_ASSERT_EQUAL(ch.gone, 1);
	CU_ASSERT_EQUAL(ch.flagged, 1);
	CU_ASSERT_EQUAL(box->msgs[MANY].uid, MANY + 1);
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_FLAGGED, NULL, 0), MD_OK);
	md_box_close(&box);
	CU_ASSERT_FALSE(served(&t, false));
	mt_end(&t);
}

/* One of a newer version, or of another program, is replaced; that is said once. */
static void test_other_version(void)
{
	struct md_test t;
	struct md_status st;
	int fd;

	begin(&t);
	fd = openat(t.root.fd, MD_CACHE_FILE, O_WRONLY);
	CU_ASSERT_EQUAL(pwrite(fd, "WPcache2", 8, 0), 8);
	close(fd);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, MANY);
	CU_ASSERT_TRUE(t.root.said_cache);
	CU_ASSERT_TRUE(served(&t, true));
	mt_puts(&t, MD_CACHE_FILE, "");
	CU_ASSERT_FALSE(served(&t, true));
	CU_ASSERT_TRUE(served(&t, true));
	mt_end(&t);
}

/* A keyword file that cannot be read now may be readable later: no cache says that there are no keywords. */
static void test_unreadable_keywords(void)
{
	struct md_test t;
	bool cached;
	char *text;

	begin(&t);
	mt_puts(&t, "courierimapkeywords/10000005.M1P1.host", "Third\n");
	CU_ASSERT_FALSE(served(&t, true));
	mt_unlink(&t, MD_CACHE_FILE);
	for (unsigned n = 1;; n++) {
		fail_next(n, EIO, false);
		text = NULL;
		{
			struct md_box *box;
			enum md_err e = md_box_open(&t.root, "", true, &box);
			bool failed = has_failed();

			if (e == MD_OK)
				md_box_close(&box);
			if (!failed)
				break;
		}
		text = look(&t, true, &cached);
		if (strstr(text, "Third") == NULL)
			CU_FAIL("a cache was made of what could not be read");
		mem_free(&text);
		(void)unlinkat(t.root.fd, MD_CACHE_FILE, 0);
	}
	mt_end(&t);
}

/* What could not be read of keywords that others changed is read at the next look. */
static void test_keywords_read_later(void)
{
	bool failed = true;

	for (unsigned n = 1; failed; n++) {
		struct md_changes ch;
		struct md_test t;
		struct md_box *box;
		enum md_err e;
		char *text;

		begin(&t);
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
		mt_unlink(&t, "courierimapkeywords/:list");
		mt_puts(&t, "courierimapkeywords/:list", "Other\n\n10000005.M1P1.host:0\n");
		ahead_s += 3;
		fail_next(n, EIO, false);
		e = md_box_sync(box, &ch);
		CU_ASSERT_TRUE(e == MD_OK || calls >= n);
		failed = has_failed();
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		text = dump(box);
		CU_ASSERT_PTR_NOT_NULL(strstr(text, " Other\n"));
		CU_ASSERT_PTR_NULL(strstr(text, " Work"));
		mem_free(&text);
		md_box_close(&box);
		mt_end(&t);
	}
}

/* Mail that could not be moved out of new/ is for a session that can. */
static void test_in_new(void)
{
	struct md_test t;
	struct md_box *box;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_TRUE(box->at_cur.settled);
	box->msgs[0].in_new = true;
	box->cache_due = true;
	md_box_close(&box);
	CU_ASSERT_TRUE(served(&t, true));
	CU_ASSERT_FALSE(served(&t, false));
	mt_end(&t);
}

/* What a read-only session has learned does not make the cache one for read-only sessions. */
static void test_examine_keeps(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t octets;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", true, &box), MD_OK);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_octets(box, i, &octets), MD_OK);
	md_box_close(&box);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_TRUE(box->at_cur.settled);
	CU_ASSERT_TRUE(md_box_octets_known(box, 0));
	md_box_close(&box);
	/* One that has scanned may have left work. */
	mt_rename(&t, "cur/10000004.M1P1.host:2,", "cur/10000004.M1P1.host:2,F");
	tick();
	CU_ASSERT_FALSE(served(&t, true));
	CU_ASSERT_TRUE(served(&t, true));
	CU_ASSERT_FALSE(served(&t, false));
	mt_end(&t);
}

/* Where every file can be written by all, nobody would believe the cache: there is none, and nothing to say. */
static void test_no_modes(void)
{
	struct md_test t;

	mt_begin(&t);
	fill_folder(&t);
	ahead_s = 3;
	no_modes = true;
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_FALSE(served(&t, false));
	CU_ASSERT_FALSE(mt_exists(&t, MD_CACHE_FILE));
	CU_ASSERT_FALSE(t.root.said_cache);
	no_modes = false;
	mt_end(&t);
}

/* Of two files of one base the second could not get a name of its own: a view without it is not for others. */
static void test_hidden(void)
{
	struct md_test t;
	struct md_box *box;

	begin(&t);
	mt_puts(&t, "cur/10000004.M1P1.host:2,F", "Subject: another\n\nhi\n");
	tick();
	no_new_name = true;
	CU_ASSERT_FALSE(served(&t, false));
	no_new_name = false;
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_EQUAL(box->n, MANY + 1);
	md_box_close(&box);
	mt_end(&t);
}

/* Each word of the header is the worst there is, and the checksums are right. */
static void test_forged_header(void)
{
	const int64_t worst = INT64_MIN;
	struct md_changes ch;
	struct md_box *box;
	struct md_test t;
	struct str whole = STR_INIT, forged = STR_INIT;
	struct stat st;

	begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_read_file(t.root.fd, MD_CACHE_FILE, 1 << 20, &whole, &st), 0);
	for (size_t at = 0; at < MD_CACHE_HEADER_BYTES; at += sizeof(worst)) {
		int fd = openat(t.root.fd, MD_CACHE_FILE, O_WRONLY | O_TRUNC);

		str_clear(&forged);
		str_add(&forged, whole.data, whole.len);
		memcpy(forged.data + at, &worst, sizeof(worst));
		md_cache_seal(forged.data, forged.len);
		CU_ASSERT_EQUAL(write(fd, forged.data, forged.len), (ssize_t)forged.len);
		close(fd);
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", true, &box), MD_OK);
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		CU_ASSERT_EQUAL(box->n, MANY);
		box->cache_due = false;
		md_box_close(&box);
	}
	str_fini(&whole);
	str_fini(&forged);
	mt_end(&t);
}

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static bool tmp_is_empty(const struct md_test *t)
{
	struct md_root r = t->root;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	bool none = md_dirlist_read(&r, t->root.fd, "", "tmp", MD_LIST_ALL, &l) == MD_OK && l.n == 0;

	md_dirlist_fini(&l);
	return none;
}

/* Whichever call fails while the cache is written: the session goes on, nothing is left, and no open says anything
 * else. The number of calls. */
static unsigned write_failing(struct md_test *t, const char *want, int err, bool half)
{
	for (unsigned n = 1;; n++) {
		struct md_box *box;
		unsigned files;
		bool failed, cached;
		char *text;

		if (n % 2 == 0) /* there was one, or none */
			(void)unlinkat(t->root.fd, MD_CACHE_FILE, 0);
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "", true, &box), MD_OK);
		box->cache_due = true;
		files = open_files();
		fail_next(n, err, half);
		md_cache_save(box);
		failed = has_failed();
		CU_ASSERT_EQUAL(open_files(), files);
		CU_ASSERT_TRUE(tmp_is_empty(t));
		text = dump(box);
		CU_ASSERT_STRING_EQUAL(text, want);
		mem_free(&text);
		box->cache_due = false;
		md_box_close(&box);
		text = look(t, true, &cached);
		CU_ASSERT_STRING_EQUAL(text, want);
		mem_free(&text);
		if (!failed)
			return n;
	}
}

static unsigned read_failing(struct md_test *t, const char *want, const struct md_status *st, int err)
{
	for (unsigned n = 1;; n++) {
		struct md_status now;
		struct md_box *box = mem_alloc(sizeof(*box));
		bool failed, ok;

		box->root = &t->root;
		box->folder = mem_strdup("");
		box->fd = dup(t->root.fd);
		box->readonly = box->uid_sticky = true;
		fail_next(n, err, false);
		ok = md_cache_load(box);
		failed = has_failed();
		if (ok) {
			char *text = dump(box);

			CU_ASSERT_STRING_EQUAL(text, want);
			mem_free(&text);
		} else {
			CU_ASSERT_TRUE(failed && box->n == 0 && box->n_keywords == 0 && box->names == NULL);
		}
		md_box_close(&box);
		fail_next(n, err, false);
		if (md_cache_status(&t->root, t->root.fd, "", &now))
			CU_ASSERT_EQUAL(memcmp(&now, st, sizeof(now)), 0);
		(void)has_failed();
		if (!failed)
			return n;
	}
}

static void test_calls_fail(void)
{
	static const int errs[] = { EIO, ENOSPC, EDQUOT, EACCES, EMFILE, EINTR };
	struct md_test t;
	struct md_status st;
	bool cached;
	char *want;

	begin(&t);
	want = look(&t, true, &cached);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	for (size_t i = 0; i < ARRAY_LEN(errs); i++) {
		CU_ASSERT_TRUE(write_failing(&t, want, errs[i], false) > 10);
		CU_ASSERT_TRUE(served(&t, true));
		CU_ASSERT_TRUE(read_failing(&t, want, &st, errs[i]) > 10);
	}
	CU_ASSERT_TRUE(write_failing(&t, want, ENOSPC, true) > 10);
	mem_free(&want);
	mt_end(&t);
}

/* --- random changes by another program, and our own: a box with the cache says what one without it says --- */

static unsigned seed;

static unsigned rnd(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static void change(struct md_test *t, unsigned round)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	char from[600], to[600];
	struct md_box *box;
	const char *name;

	CU_ASSERT_EQUAL_FATAL(md_dirlist_read(&t->root, t->root.fd, "", "cur", MD_LIST_MESSAGES, &l), MD_OK);
	name = md_dirlist_name(&l, rnd((unsigned)l.n));
	snprintf(from, sizeof(from), "cur/%s", name);
	switch (rnd(7)) {
	case 0:
		snprintf(to, sizeof(to), "cur/%.*s:2,%s", (int)strcspn(name, ":"), name, rnd(2) != 0 ? "S" : "FR");
		if (strcmp(from, to) != 0)
			mt_rename(t, from, to);
		break;
	case 1:
		if (l.n > MD_CACHE_MESSAGES_MIN + 2)
			mt_unlink(t, from);
		break;
	case 2:
		snprintf(to, sizeof(to), "new/3%07u.M1P1.host", round);
		mt_puts(t, to, "Subject: z\n\nhi\n");
		break;
	case 3:
		snprintf(to, sizeof(to), "courierimapkeywords/%.*s", (int)strcspn(name, ":"), name);
		mt_puts(t, "tmp/kw", rnd(2) != 0 ? "Work\nNew\n" : "Home\n");
		mt_rename(t, "tmp/kw", to);
		break;
	case 4:
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "", false, &box), MD_OK);
		CU_ASSERT_EQUAL(md_box_store(box, rnd((unsigned)box->n), MD_STORE_SET, rnd(32), NULL, 0), MD_OK);
		if (box->n > MD_CACHE_MESSAGES_MIN + 2 && rnd(2) != 0)
			CU_ASSERT_EQUAL(md_box_expunge(box, rnd((unsigned)box->n)), MD_OK);
		md_box_close(&box);
		break;
	default:
		break;
	}
	md_dirlist_fini(&l);
}

static void test_random(void)
{
	struct md_test t;
	unsigned n_cached = 0;

	begin(&t);
	for (unsigned round = 0; round < 150; round++) {
		struct md_status sa, sb;
		bool cached, again;
		char *a, *b;

		seed = round * 7919 + 1;
		change(&t, round);
		if (rnd(2) != 0)
			ahead_s = 3;
		else if (rnd(3) == 0)
			ahead_s = 0;
		if (rnd(3) == 0)
			(void)served(&t, rnd(2) != 0);
		a = look(&t, true, &cached);
		CU_ASSERT_EQUAL(md_status(&t.root, "", &sa), MD_OK);
		n_cached += cached;
		(void)unlinkat(t.root.fd, "aside", 0);
		(void)renameat(t.root.fd, MD_CACHE_FILE, t.root.fd, "aside");
		b = look(&t, true, &again);
		(void)unlinkat(t.root.fd, MD_CACHE_FILE, 0);
		CU_ASSERT_EQUAL(md_status(&t.root, "", &sb), MD_OK);
		(void)renameat(t.root.fd, "aside", t.root.fd, MD_CACHE_FILE);
		CU_ASSERT_FALSE(again);
		if (strcmp(a, b) != 0 || memcmp(&sa, &sb, sizeof(sa)) != 0) {
			printf("round %u differs\n", round);
			CU_FAIL("a cache was believed against the files");
			round = 10000;
		}
		mem_free(&a);
		mem_free(&b);
	}
	CU_ASSERT_TRUE(n_cached > 20);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "unchanged", test_unchanged },
	{ "STATUS reads the header", test_status_reads_the_header }, { "young", test_young },
	{ "mtime set back", test_mtime_set_back }, { "each change", test_each_change }, { "damaged", test_damaged },
	{ "forged", test_forged }, { "foreign", test_foreign }, { "other version", test_other_version },
	{ "keywords read later", test_keywords_read_later }, { "in new/", test_in_new },
	{ "forged header", test_forged_header }, { "unreadable keywords", test_unreadable_keywords },
	{ "calls fail", test_calls_fail }, { "learned", test_learned }, { "sync after", test_sync_after },
	{ "EXAMINE keeps", test_examine_keeps }, { "no modes", test_no_modes }, { "hidden", test_hidden },
	{ "random", test_random }, { NULL, NULL } };

UNIT_MAIN("md_cache", cases)
