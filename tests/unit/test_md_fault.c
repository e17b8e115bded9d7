/* The state after a file system failed once, at any call; and the order in which things reach the disk. Linked with
 * --wrap for the calls below, so that each can fail or be recorded. */
#include "tests/unit/md_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <time.h>

#include "maildir/md_copy.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_tree.h"
#include "tests/unit/open_mode.h"

static const char mail[] = "From: a\nSubject: x\n\nhi\n";

/* --- the calls --- */

static unsigned calls;                       /* so far */
static unsigned fail_at;                     /* the number of the one that fails; 0: none */
static bool no_moves;                        /* no message can be moved from cur/ to another folder */
static bool other_fs;                        /* link and rename between directories fail */
static const char *fail_sync;                /* the directory (last part of its path) whose fsync() fails; NULL: none */
static void (*before_fail)(void);            /* what another session does at that moment */
static void (*after_stat)(const char *path); /* what another session does after we have checked PATH; NULL: nothing */
static char steps[65536];                    /* what was synced and renamed: "sync NAME\n", "rename NAME\n" */

static bool fails(void)
{
	if (++calls != fail_at)
		return false;
	errno = EIO;
	return true;
}

static bool leaves_fs(int fromfd, int tofd)
{
	if (!other_fs || fromfd == tofd)
		return false;
	errno = EXDEV;
	return true;
}

static void note(const char *what, const char *name)
{
	size_t at = strlen(steps);

	if (at + 300 < sizeof(steps))
		snprintf(steps + at, sizeof(steps) - at, "%s %.250s\n", what, name);
}

static bool fd_path(int fd, char *path, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, size - 1);
	path[n > 0 ? n : 0] = '\0';
	return n > 0;
}

/* The last part of the path of FD. */
static void note_fd(const char *what, int fd)
{
	char path[512], *slash;

	if (!fd_path(fd, path, sizeof(path)))
		return;
	slash = strrchr(path, '/');
	note(what, slash != NULL ? slash + 1 : path);
}

static bool sync_fails(int fd)
{
	char path[512];
	size_t len = fail_sync != NULL ? strlen(fail_sync) : 0;

	if (len == 0 || !fd_path(fd, path, sizeof(path)) || strlen(path) < len ||
	    strcmp(path + strlen(path) - len, fail_sync) != 0)
		return false;
	fail_sync = NULL;
	before_fail();
	errno = EIO;
	return true;
}

int __real_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int __real_openat(int dirfd, const char *path, int flags, ...);
int __real_linkat(int fromfd, const char *from, int tofd, const char *to, int flags);
int __real_unlinkat(int dirfd, const char *path, int flags);
int __real_renameat(int fromfd, const char *from, int tofd, const char *to);
int __real_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags);
int __real_fdatasync(int fd);
int __real_fsync(int fd);
int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags);
int __wrap_openat(int dirfd, const char *path, int flags, ...);
int __wrap_linkat(int fromfd, const char *from, int tofd, const char *to, int flags);
int __wrap_unlinkat(int dirfd, const char *path, int flags);
int __wrap_renameat(int fromfd, const char *from, int tofd, const char *to);
int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags);
int __wrap_fdatasync(int fd);
int __wrap_fsync(int fd);

/* Another session that changes flags of the message "1.a" just before each of the next RENAMES calls that name its
 * file. */
static unsigned renames;

static void rename_first(int dirfd, const char *path)
{
	static const char *const flags[] = { "", "S", "F", "RS", "FS" };
	char to[64];

	if (renames == 0 || strncmp(path, "cur/1.a", 7) != 0)
		return;
	renames--;
	snprintf(to, sizeof(to), "cur/1.a:2,%s", flags[renames % ARRAY_LEN(flags)]);
	if (strcmp(to, path) != 0)
		__real_renameat2(dirfd, path, dirfd, to, 0);
}

int __wrap_fstatat(int dirfd, const char *path, struct stat *st, int flags)
{
	rename_first(dirfd, path);
	int rc = fails() ? -1 : __real_fstatat(dirfd, path, st, flags), err = errno;

	if (after_stat != NULL)
		after_stat(path);
	errno = err;
	return rc;
}

int __wrap_openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode;

	OPEN_MODE(mode, flags);
	return fails() ? -1 : __real_openat(dirfd, path, flags, mode);
}

int __wrap_linkat(int fromfd, const char *from, int tofd, const char *to, int flags)
{
	rename_first(fromfd, from);
	if (fails() || leaves_fs(fromfd, tofd))
		return -1;
	return __real_linkat(fromfd, from, tofd, to, flags);
}

int __wrap_unlinkat(int dirfd, const char *path, int flags)
{
	if (fails())
		return -1;
	if (strncmp(path, "cur/", 4) == 0)
		note("unlink", path);
	return __real_unlinkat(dirfd, path, flags);
}

int __wrap_renameat(int fromfd, const char *from, int tofd, const char *to)
{
	if (fails())
		return -1;
	note("rename", to);
	return __real_renameat(fromfd, from, tofd, to);
}

int __wrap_renameat2(int fromfd, const char *from, int tofd, const char *to, unsigned flags)
{
	rename_first(fromfd, from);
	if (no_moves && strncmp(from, "cur/", 4) == 0 && fromfd != tofd) {
		errno = EIO;
		return -1;
	}
	if (fails() || leaves_fs(fromfd, tofd))
		return -1;
	note("rename", to);
	return __real_renameat2(fromfd, from, tofd, to, flags);
}

int __wrap_fdatasync(int fd)
{
	if (fails())
		return -1;
	note_fd("sync", fd);
	return __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
	if (fails() || sync_fails(fd))
		return -1;
	note_fd("sync", fd);
	return __real_fsync(fd);
}

static void forget_steps(void)
{
	steps[0] = '\0';
}

/* Do the steps contain A and, later, B? */
static bool in_order(const char *a, const char *b)
{
	const char *p = strstr(steps, a);

	return p != NULL && strstr(p, b) != NULL;
}

/* --- what is done --- */

static enum md_err do_save(struct md_root *r)
{
	const time_t when = 1000000000;

	return mt_save(r, mail, &when);
}

static enum md_err do_open(struct md_root *r)
{
	struct md_box *box;
	enum md_err e = md_box_open(r, "", false, &box);

	md_box_close(&box);
	return e;
}

static enum md_err do_store(struct md_root *r)
{
	struct md_box *box;
	enum md_err e = md_box_open(r, "", false, &box);
	uint32_t kw;

	if (e != MD_OK)
		return e;
	kw = (uint32_t)md_box_keyword_add(box, "stored", 6);
	if (box->n != 0)
		e = md_box_store(box, 0, MD_STORE_ADD, MD_FLAGGED, &kw, 1);
	md_box_close(&box);
	return e;
}

static enum md_err do_expunge(struct md_root *r)
{
	struct md_box *box;
	enum md_err e = md_box_open(r, "", false, &box);

	if (e != MD_OK)
		return e;
	if (box->n != 0)
		e = md_box_expunge(box, 0);
	md_box_close(&box);
	return e;
}

static enum md_err do_pop3(struct md_root *r)
{
	struct md_pop3 *p;
	enum md_err e = md_pop3_open(r, &p);

	md_pop3_close(&p);
	return e;
}

/* One run of DO on a fresh Maildir with the N-th call failing; true if there was such a call. Afterwards there must be
 * no lock, and the same process must be able to do it at once. */
static bool one_fault(enum md_err (*fn)(struct md_root *), unsigned n)
{
	struct md_test t;
	bool hit;
	enum md_err e;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "new/2.b", mail);
	mt_mkdir(&t, "courierimapkeywords");
	calls = 0;
	fail_at = n;
	e = fn(&t.root);
	fail_at = 0;
	hit = calls >= n;
	CU_ASSERT(e == MD_OK || t.root.why[0] != '\0');
	CU_ASSERT_FALSE(mt_exists(&t, "tmp/courier.lock"));
	if (!mt_exists(&t, "tmp/courier.lock"))
		CU_ASSERT_EQUAL(fn(&t.root), MD_OK);
	mt_end(&t);
	return hit;
}

static void test_one_fault(void)
{
	enum md_err (*const all[])(struct md_root *) = { do_save, do_open, do_store, do_expunge, do_pop3 };

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		unsigned n = 1;

		while (n < 500 && one_fault(all[i], n))
			n++;
		CU_ASSERT(n > 10 && n < 500);
	}
}

/* QUIT with one failing call: messages that still exist are still marked, and no others. True if there was an N-th
 * call. */
static bool one_fault_in_quit(unsigned n, size_t *failed, size_t *unsure)
{
	struct md_test t;
	struct md_pop3 *p;
	size_t deleted, there = 0;
	enum md_err e;
	bool hit;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	for (size_t i = 0; i < 3; i++)
		md_pop3_mark(p, i, true);
	calls = 0;
	fail_at = n;
	e = md_pop3_commit(p, &deleted);
	fail_at = 0;
	hit = calls >= n;
	for (size_t i = 0; i < 3; i++) {
		char path[300];
		bool is;

		snprintf(path, sizeof(path), "cur/%.250s", md_pop3_file_name(p, i));
		is = mt_exists(&t, path);
		CU_ASSERT_EQUAL(md_pop3_marked(p, i), is);
		there += is;
	}
	CU_ASSERT(deleted == 3 - there && (e != MD_OK || there == 0));
	*failed += there != 0;
	*unsure += e != MD_OK && there == 0;
	md_pop3_close(&p);
	mt_end(&t);
	return hit;
}

static void test_one_fault_in_quit(void)
{
	size_t failed = 0, unsure = 0;
	unsigned n = 1;

	while (n < 100 && one_fault_in_quit(n, &failed, &unsure))
		n++;
	CU_ASSERT(n < 100 && failed == 3 && unsure == 2); /* cur/ is opened and synced */
}

/* --- power cuts --- */

/* An announced UID is on disk: first the bytes of the list, then its name, and only then is it announced. */
static void test_uids_synced(void)
{
	struct md_test t;
	const char *dir;
	char sync_dir[128];

	mt_begin(&t);
	mt_puts(&t, "new/1.a", mail);
	dir = strrchr(t.dir, '/') + 1;
	snprintf(sync_dir, sizeof(sync_dir), "sync %s\n", dir);
	forget_steps();
	CU_ASSERT_EQUAL(do_open(&t.root), MD_OK);
	CU_ASSERT(in_order("sync ", "rename courierimapuiddb\n"));
	CU_ASSERT(in_order("rename courierimapuiddb\n", sync_dir));
	forget_steps();
	CU_ASSERT_EQUAL(do_open(&t.root), MD_OK);
	CU_ASSERT_STRING_EQUAL(steps, ""); /* nothing new: nothing to sync */
	forget_steps();
	CU_ASSERT_EQUAL(do_pop3(&t.root), MD_OK);
	CU_ASSERT(in_order("sync ", "rename courierpop3dsizelist\n"));
	CU_ASSERT(in_order("rename courierpop3dsizelist\n", sync_dir));
	forget_steps();
	CU_ASSERT_EQUAL(do_pop3(&t.root), MD_OK);
	CU_ASSERT_STRING_EQUAL(steps, "");
	mt_end(&t);
}

/* Keywords: no file gets its name before its bytes are on disk; that of an APPEND is there before the OK. */
static void test_keywords_synced(void)
{
	struct md_test t;

	mt_begin(&t);
	mt_mkdir(&t, "courierimapkeywords");
	mt_puts(&t, "cur/1.a:2,", mail);
	CU_ASSERT_EQUAL(do_open(&t.root), MD_OK);
	forget_steps();
	CU_ASSERT_EQUAL(do_store(&t.root), MD_OK);
	CU_ASSERT(in_order("sync ", "rename courierimapkeywords/1.a\n"));
	forget_steps();
	CU_ASSERT_EQUAL(do_save(&t.root), MD_OK);
	CU_ASSERT(in_order("rename courierimapkeywords/", "sync courierimapkeywords\n"));
	mt_end(&t);
}

/* Old keywords are on disk in ":list" before the files that had them are renamed. */
static void test_fold_synced(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;
	char name[64];
	uint32_t kw;

	mt_begin(&t);
	for (int i = 100; i < 170; i++) {
		snprintf(name, sizeof(name), "cur/%d.x:2,", i);
		mt_puts(&t, name, mail);
	}
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	kw = (uint32_t)md_box_keyword_add(box, "$Fwd", 4);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	forget_steps();
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(in_order("sync ", "rename courierimapkeywords/:list\n"));
	CU_ASSERT(in_order("rename courierimapkeywords/:list\nsync courierimapkeywords\n", ".100.x\n"));
	md_box_close(&box);
	mt_end(&t);
}

/* How often the steps contain A. */
static size_t count_steps(const char *a)
{
	size_t n = 0;

	for (const char *p = steps; (p = strstr(p, a)) != NULL; p += strlen(a))
		n++;
	return n;
}

static void nobody(void) { }

/* What STORE, EXPUNGE and QUIT change is synced behind the last change, once for all messages. */
static void test_changes_synced(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_pop3 *p;
	size_t deleted;
	uint32_t kw;

	mt_begin(&t);
	for (int i = 1; i <= 3; i++) {
		char name[32];

		snprintf(name, sizeof(name), "cur/%d.x:2,", i);
		mt_puts(&t, name, mail);
	}
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	kw = (uint32_t)md_box_keyword_add(box, "work", 4);
	forget_steps();
	for (size_t i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, MD_FLAGGED, &kw, 1), MD_OK);
	CU_ASSERT_EQUAL(count_steps("sync cur\n") + count_steps("sync courierimapkeywords\n"), 0);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	CU_ASSERT(in_order("rename cur/3.x:2,F\n", "sync cur\n") && count_steps("sync cur\n") == 1);
	CU_ASSERT(in_order("rename courierimapkeywords/3.x\n", "sync courierimapkeywords\n"));
	CU_ASSERT_EQUAL(count_steps("sync courierimapkeywords\n"), 1);
	forget_steps();
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	CU_ASSERT_STRING_EQUAL(steps, ""); /* nothing changed since */
	CU_ASSERT_EQUAL(md_box_expunge(box, 0), MD_OK);
	fail_sync = "/cur";
	before_fail = nobody;
	CU_ASSERT_EQUAL(md_box_flush(box), MD_IO);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "cannot sync cur/"));
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK); /* it is still due */
	CU_ASSERT(in_order("unlink cur/1.x", "sync cur\n") && count_steps("sync cur\n") == 1);
	md_box_close(&box);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	md_pop3_mark(p, 0, true);
	forget_steps();
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_OK);
	CU_ASSERT(in_order("unlink cur/2.x", "sync cur\n"));
	md_pop3_mark(p, 1, true);
	fail_sync = "/cur";
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_IO);
	CU_ASSERT_EQUAL(deleted, 1);
	md_pop3_close(&p);
	mt_end(&t);
}

/* Folders and subscriptions: the root is synced behind the change; one that could not be synced is no success. */
static void test_folders_synced(void)
{
	struct md_test t;
	char sync_root[128], root[64];

	mt_begin(&t);
	snprintf(root, sizeof(root), "%s", strrchr(t.dir, '/'));
	snprintf(sync_root, sizeof(sync_root), "sync %s\n", root + 1);
	before_fail = nobody;
	forget_steps();
	CU_ASSERT_EQUAL(md_subscribe(&t.root, "A"), MD_OK);
	CU_ASSERT(in_order("rename courierimapsubscribed\n", sync_root) && count_steps(sync_root) == 1);
	fail_sync = root;
	CU_ASSERT_EQUAL(md_unsubscribe(&t.root, "A"), MD_IO);
	forget_steps();
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT(in_order("rename .A\n", sync_root));
	forget_steps();
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "B"), MD_OK);
	CU_ASSERT(in_order("rename .B\n", sync_root));
	fail_sync = root;
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "B", "C"), MD_IO);
	CU_ASSERT(mt_exists(&t, ".B/cur") && !mt_exists(&t, ".C"));
	mt_puts(&t, ".B/cur/1.a:2,", mail);
	fail_sync = root;
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B"), MD_IO);
	CU_ASSERT(mt_exists(&t, ".B/cur/1.a:2,"));
	forget_steps();
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B"), MD_OK);
	CU_ASSERT(in_order("rename tmp/", sync_root) && !mt_exists(&t, ".B"));
	mt_end(&t);
}

/* MOVE: the target is synced, then the source; if either fails, all is where it was. */
static void test_move_synced(void)
{
	static const size_t idx[] = { 0, 1 };
	struct md_test t;
	struct md_box *box;
	struct md_copied c;
	char cur[96];

	mt_begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&t.root, "To"), MD_OK);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	snprintf(cur, sizeof(cur), "%s/cur", strrchr(t.dir, '/'));
	fail_sync = cur;
	before_fail = nobody;
	CU_ASSERT_EQUAL(md_move(box, idx, 2, "To", &c), MD_IO);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,") && mt_exists(&t, "cur/2.b:2,") && box->n_gone == 0);
	md_copied_fini(&c);
	forget_steps();
	CU_ASSERT_EQUAL(md_move(box, idx, 2, "To", &c), MD_OK);
	CU_ASSERT_EQUAL(count_steps("sync cur\n"), 2);
	md_copied_fini(&c);
	md_box_close(&box);
	mt_end(&t);
}

/* --- undoing --- */

static struct md_test *undo_test;

/* The names in directory SUB of the Maildir, sorted, each followed by a line feed. */
static char *names_in(const struct md_test *t, const char *sub)
{
	char path[512];
	struct str out = STR_INIT;
	struct dirent **e;
	int n;

	snprintf(path, sizeof(path), "%s/%s", t->dir, sub);
	n = scandir(path, &e, NULL, alphasort);
	CU_ASSERT_FATAL(n >= 0);
	for (int i = 0; i < n; i++) {
		if (e[i]->d_name[0] != '.')
			str_addf(&out, "%s\n", e[i]->d_name);
		free(e[i]);
	}
	free(e);
	str_addc(&out, '\0');
	return str_steal(&out);
}

/* Another session flags all new messages of folder To. */
static void flag_all_in_to(void)
{
	char *names = names_in(undo_test, ".To/cur"), from[512], to[512], *save = NULL;

	for (char *n = strtok_r(names, "\n", &save); n != NULL; n = strtok_r(NULL, "\n", &save)) {
		snprintf(from, sizeof(from), ".To/cur/%s", n);
		snprintf(to, sizeof(to), ".To/cur/%sS", n);
		mt_rename(undo_test, from, to);
	}
	mem_free(&names);
}

/* COPY or MOVE fails after all files are in place, and another session has renamed them by then: nothing stays in the
 * target, and everything is where it was. */
static void undo_renamed(enum md_err (*fn)(struct md_box *, const size_t *, size_t, const char *, struct md_copied *))
{
	struct md_test t;
	struct md_box *box;
	struct md_copied c;
	size_t idx[] = { 0, 1, 2 };
	char *names;

	mt_begin(&t);
	undo_test = &t;
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "To"), MD_OK);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,S", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	fail_sync = "/.To/cur";
	before_fail = flag_all_in_to;
	CU_ASSERT_EQUAL(fn(box, idx, 3, "To", &c), MD_IO);
	CU_ASSERT_PTR_NULL(fail_sync);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "sync"));
	md_copied_fini(&c);
	md_box_close(&box);
	names = names_in(&t, ".To/cur");
	CU_ASSERT_STRING_EQUAL(names, "");
	mem_free(&names);
	names = names_in(&t, "cur");
	CU_ASSERT_STRING_EQUAL(names, "1.a:2,\n2.b:2,S\n3.c:2,\n");
	mem_free(&names);
	mt_end(&t);
}

static void test_undo_renamed(void)
{
	undo_renamed(md_copy);
	undo_renamed(md_move);
}

static void forbid_moves(void)
{
	no_moves = true;
}

/* INBOX cannot be renamed, and its mail cannot be moved back: the new folder is not deleted with it. */
static void test_inbox_not_renamed(void)
{
	struct md_test t;
	char *names;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	fail_sync = "/.To/cur";
	before_fail = forbid_moves;
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "To"), MD_IO);
	no_moves = false;
	CU_ASSERT_PTR_NULL(fail_sync);
	CU_ASSERT_FATAL(mt_exists(&t, ".To/cur"));
	names = names_in(&t, ".To/cur");
	CU_ASSERT_STRING_NOT_EQUAL(names, "");
	mem_free(&names);
	fail_sync = "/.Other/cur"; /* nothing to move back: it goes */
	before_fail = nobody;
	mt_puts(&t, "cur/2.b:2,", mail);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "Other"), MD_IO);
	CU_ASSERT(mt_exists(&t, "cur/2.b:2,") && !mt_exists(&t, ".Other"));
	mt_end(&t);
}

/* --- two names of one file --- */

static struct md_test *twin_test;

/* Another session flags the message when we check one of its names, and unflags it when we check the other. */
static void swap_names(const char *path)
{
	if (strcmp(path, "cur/1.a:2,") == 0)
		mt_rename(twin_test, "cur/1.a:2,", "cur/1.a:2,S");
	else if (strcmp(path, "cur/1.a:2,S") == 0)
		mt_rename(twin_test, "cur/1.a:2,S", "cur/1.a:2,");
}

/* Only one name is left when reading starts; renamed by link, as some programs do. */
static void drop_first(const char *path)
{
	if (strncmp(path, "cur/1.a:2,", 10) != 0)
		return;
	mt_unlink(twin_test, strcmp(path, "cur/1.a:2,S") == 0 ? "cur/1.a:2," : "cur/1.a:2,S");
	after_stat = swap_names;
	swap_names(path);
}

/* cur/ lists a message under two names, and each exists when we check it: it is one file that another session renames
 * back and forth, and neither name is deleted. */
static void test_two_names(void)
{
	struct md_test t;
	struct md_box *box;
	char a[128], b[128];

	mt_begin(&t);
	twin_test = &t;
	mt_puts(&t, "cur/1.a:2,", mail);
	snprintf(a, sizeof(a), "%s/cur/1.a:2,", t.dir);
	snprintf(b, sizeof(b), "%s/cur/1.a:2,S", t.dir);
	CU_ASSERT_EQUAL_FATAL(link(a, b), 0);
	after_stat = drop_first;
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_PTR_EQUAL(after_stat, swap_names);
	after_stat = NULL;
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,") || mt_exists(&t, "cur/1.a:2,S"));
	md_box_close(&box);
	/* An interrupted rename by link and unlink has left two names. */
	if (link(a, b) != 0)
		CU_ASSERT_EQUAL(link(b, a), 0);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_EQUAL(box->n, 1);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,") != mt_exists(&t, "cur/1.a:2,S"));
	md_box_close(&box);
	mt_end(&t);
}

/* --- stopping --- */

static unsigned asked, stop_at;

static bool goes_on(void *arg, size_t messages, size_t bytes)
{
	(void)arg;
	(void)messages;
	(void)bytes;
	return ++asked != stop_at;
}

static char *state_of(const struct md_test *t)
{
	static const char *const sub[] = { "cur", "new", "tmp", ".To/cur", ".To/new", ".To/tmp" };
	struct str all = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
		char *names = names_in(t, sub[i]);

		str_addf(&all, "%s: %s\n", sub[i], names);
		mem_free(&names);
	}
	return str_steal(&all);
}

/* COPY or MOVE is stopped at the N-th check of its owner: nothing was added or removed. False: there were fewer checks,
 * and it was done. */
static bool stopped_at(enum md_err (*fn)(struct md_box *, const size_t *, size_t, const char *, struct md_copied *),
    unsigned n)
{
	struct md_test t;
	struct md_box *box;
	struct md_copied c;
	size_t idx[] = { 0, 1, 2 };
	uint32_t kw;
	char *before, *after, *kept;
	enum md_err e;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "To"), MD_OK);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,S", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	kw = (uint32_t)md_box_keyword_add(box, "work", 4);
	CU_ASSERT_EQUAL(md_box_store(box, 1, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	before = state_of(&t);
	t.root.goes_on = goes_on;
	asked = 0;
	stop_at = n;
	e = fn(box, idx, 3, "To", &c);
	after = state_of(&t);
	CU_ASSERT_EQUAL(e, asked < n ? MD_OK : MD_STOPPED);
	CU_ASSERT_EQUAL(c.n, e == MD_OK ? 3 : 0);
	CU_ASSERT_EQUAL(strcmp(before, after) == 0, e != MD_OK);
	CU_ASSERT_EQUAL(box->n_gone, e == MD_OK && fn == md_move ? 3 : 0);
	kept = names_in(&t, "courierimapkeywords");
	CU_ASSERT(fn == md_move && e == MD_OK ? kept[0] == '\0' : strcmp(kept, "2.b\n") == 0);
	mem_free(&kept);
	mem_free(&before);
	mem_free(&after);
	md_copied_fini(&c);
	md_box_close(&box);
	mt_end(&t);
	return e == MD_STOPPED;
}

static void test_stopped(void)
{
	enum md_err (*const all[])(struct md_box *, const size_t *, size_t, const char *,
	    struct md_copied *) = { md_copy, md_move };

	for (int k = 0; k < 4; k++) {
		unsigned n = 1;

		other_fs = k >= 2;
		while (n < 100 && stopped_at(all[k % 2], n))
			n++;
		CU_ASSERT(n > 6 && n < 100);
	}
	other_fs = false;
}

/* Measuring mail for POP3 is stopped: no list is written, and the next login does all of it. */
static void test_stopped_measuring(void)
{
	struct md_test t;
	struct md_pop3 *p;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "new/2.b", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	t.root.goes_on = goes_on;
	for (stop_at = 1; stop_at <= 3; stop_at++) {
		asked = 0;
		CU_ASSERT_EQUAL(md_pop3_open(&t.root, &p), MD_STOPPED);
		CU_ASSERT_PTR_NULL(p);
		CU_ASSERT_EQUAL(asked, stop_at);
		CU_ASSERT_FALSE(mt_exists(&t, "courierpop3dsizelist"));
		CU_ASSERT_FALSE(mt_exists(&t, "tmp/courier.lock"));
	}
	asked = 0;
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	CU_ASSERT_EQUAL(p->n, 3);
	md_pop3_close(&p);
	asked = 0; /* what is in the list is not measured again */
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	CU_ASSERT_EQUAL(asked, 0);
	md_pop3_close(&p);
	mt_end(&t);
}

/* Whatever others rename meanwhile: every existing message is copied and moved, and if one cannot be searched for, that
 * is an error. */
static void test_renamed_meanwhile(void)
{
	enum md_err (*const all[])(struct md_box *, const size_t *, size_t, const char *,
	    struct md_copied *) = { md_copy, md_move };

	for (int k = 0; k < 2; k++)
		for (unsigned n = 0; n < 12; n++) {
			static const size_t both[] = { 0, 1 };
			struct md_test t;
			struct md_box *box;
			struct md_copied done;
			enum md_err e;

			mt_begin(&t);
			mt_puts(&t, "cur/1.a:2,", mail);
			mt_puts(&t, "cur/2.b:2,", mail);
			CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
			CU_ASSERT_EQUAL_FATAL(md_tree_create(&t.root, "To"), MD_OK);
			renames = n;
			e = all[k](box, both, 2, "To", &done);
			renames = 0;
			CU_ASSERT(e == MD_OK ? done.n == 2 && done.missed == 0 : n >= 8 && done.n == 0);
			CU_ASSERT_FALSE(box->msgs[0].gone && k == 0);
			md_copied_fini(&done);
			md_box_close(&box);
			mt_end(&t);
		}
}

/* The record of the used UIDVALIDITY, for the next folder of the same name, is on disk before the folder is deleted. */
static void test_uidvalidity_synced(void)
{
	struct md_test t;

	mt_begin(&t);
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&t.root, "A"), MD_OK);
	forget_steps();
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_OK);
	CU_ASSERT(in_order("sync ", "rename tmp/uidv.A\n") || in_order("sync ", "rename uidv.A\n"));
	CU_ASSERT(in_order("uidv.A\n", "sync tmp\n"));
	mt_end(&t);
}

static size_t deletions_left;

static bool stop_after_some(void *arg UNUSED, size_t messages UNUSED, size_t bytes UNUSED)
{
	return deletions_left-- > 0;
}

/* A kick during QUIT stops it: what is not deleted yet stays, and the client is told. */
static void test_stopped_deletions(void)
{
	struct md_test t;
	struct md_pop3 *p;
	size_t deleted;

	mt_begin(&t);
	for (int i = 0; i < 5; i++) {
		char name[32];

		snprintf(name, sizeof(name), "cur/%d.x:2,", i);
		mt_puts(&t, name, mail);
	}
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	for (size_t i = 0; i < 5; i++)
		md_pop3_mark(p, i, true);
	t.root.goes_on = stop_after_some;
	deletions_left = 2;
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_STOPPED);
	CU_ASSERT_EQUAL(deleted, 2);
	CU_ASSERT(!mt_exists(&t, "cur/1.x:2,") && mt_exists(&t, "cur/2.x:2,") && mt_exists(&t, "cur/4.x:2,"));
	t.root.goes_on = NULL;
	md_pop3_close(&p);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "messages that others rename are copied and moved",
	                                      test_renamed_meanwhile },
	{ "one call fails", test_one_fault }, { "one call fails in QUIT", test_one_fault_in_quit },
	{ "UIDs reach the disk", test_uids_synced }, { "keywords reach the disk", test_keywords_synced },
	{ "folded keywords reach the disk", test_fold_synced }, { "changes reach the disk", test_changes_synced },
	{ "folders reach the disk", test_folders_synced }, { "a move reaches the disk", test_move_synced },
	{ "what is undone was renamed by others", test_undo_renamed },
	{ "INBOX is not renamed and keeps its mail", test_inbox_not_renamed },
	{ "one file under two names", test_two_names }, { "COPY and MOVE are stopped", test_stopped },
	{ "POP3's measuring is stopped", test_stopped_measuring },
	{ "the memory of UIDVALIDITY reaches the disk", test_uidvalidity_synced },
	{ "QUIT's deletions are stopped", test_stopped_deletions }, { NULL, NULL } };

UNIT_MAIN("md_fault", cases)
