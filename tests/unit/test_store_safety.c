/* Changes of a Maildir while the n-th file system call fails, or the process is killed there, for all n: afterwards no
 * message is lost or doubled, no UID and no UIDVALIDITY has changed, and the next change is not held up. */
#include "tests/unit/md_test.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "maildir/md_copy.h"
#include "maildir/md_pop3.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_tree.h"
#include "tests/unit/file_calls.h"

enum { MESSAGES = 3, CALLS_MAX = 600 };

/* What may happen to the first of the messages; the others stay as they are. */
enum fate { STAYS, MOVES, LEAVES };

static enum md_err do_append(struct md_root *r)
{
	return mt_save(r, "Subject: 9\n\nnew\n", NULL);
}

static enum md_err on_first(struct md_root *r, enum md_err (*fn)(struct md_box *box))
{
	struct md_box *box;
	enum md_err e = md_box_open(r, "", false, &box);

	if (e == MD_OK)
		e = box->n != 0 ? fn(box) : MD_GONE;
	if (e == MD_OK)
		e = md_box_flush(box);
	md_box_close(&box);
	return e;
}

static enum md_err store(struct md_box *box)
{
	uint32_t kw = (uint32_t)md_box_keyword_add(box, "stored", 6);

	return md_box_store(box, 0, MD_STORE_ADD, MD_FLAGGED, &kw, 1);
}

static enum md_err expunge(struct md_box *box)
{
	return md_box_expunge(box, 0);
}

static enum md_err move(struct md_box *box)
{
	static const size_t first[] = { 0 };
	struct md_copied c;
	enum md_err e = md_move(box, first, 1, "To", &c);

	md_copied_fini(&c);
	return e;
}

static enum md_err do_store(struct md_root *r)
{
	return on_first(r, store);
}

static enum md_err do_expunge(struct md_root *r)
{
	return on_first(r, expunge);
}

static enum md_err do_move(struct md_root *r)
{
	return on_first(r, move);
}

static enum md_err do_quit(struct md_root *r)
{
	struct md_pop3 *p;
	size_t deleted;
	enum md_err e = md_pop3_open(r, &p);

	if (e == MD_OK) { /* a message that cannot be read is left out */
		e = MD_GONE;
		if (md_pop3_count(p) != 0 && strncmp(md_pop3_file_name(p, 0), "1.x", 3) == 0) {
			md_pop3_mark(p, 0, true);
			e = md_pop3_commit(p, &deleted);
		}
	}
	md_pop3_close(&p);
	return e;
}

static enum md_err do_subscribe(struct md_root *r)
{
	return md_subscribe(r, "To");
}

static enum md_err do_create(struct md_root *r)
{
	return md_tree_create(r, "New");
}

static enum md_err do_rename(struct md_root *r)
{
	return md_tree_rename(r, "To", "There");
}

static const struct change {
	const char *name;
	enum md_err (*run)(struct md_root *r);
	enum fate fate;
} changes[] = { { "APPEND", do_append, STAYS }, { "STORE", do_store, STAYS }, { "EXPUNGE", do_expunge, LEAVES },
	{ "MOVE", do_move, MOVES }, { "QUIT", do_quit, LEAVES }, { "SUBSCRIBE", do_subscribe, STAYS },
	{ "CREATE", do_create, STAYS }, { "RENAME", do_rename, STAYS } };

/* How many messages of FOLDER are the one numbered K; *UID and *UIDVALIDITY as shown. */
static unsigned find(struct md_root *r, const char *folder, int k, uint32_t *uid, uint32_t *uidvalidity)
{
	struct md_box *box;
	unsigned found = 0;
	char text[16];

	if (md_box_open(r, folder, true, &box) != MD_OK)
		return 0;
	*uidvalidity = md_box_uidvalidity(box);
	for (size_t i = 0; i < md_box_count(box); i++) {
		int fd;

		memset(text, 0, sizeof(text));
		if (md_box_read(box, i, &fd) != MD_OK)
			continue;
		if (read(fd, text, 10) == 10 && text[9] == '0' + k) {
			found++;
			*uid = md_box_uid(box, i);
		}
		close(fd);
	}
	md_box_close(&box);
	return found;
}

static void check(struct md_test *t, const struct change *c, enum md_err e, bool killed, unsigned n, uint32_t was)
{
	struct md_root r;
	bool ok = true;

	CU_ASSERT_EQUAL_FATAL(md_root_init(&r, t->dir), MD_OK);
	for (int k = 1; k <= MESSAGES; k++) {
		uint32_t uid = 0, uidv = was, other_uid = 0, other = 0;
		unsigned here = find(&r, "", k, &uid, &uidv), there = find(&r, "To", k, &other_uid, &other);
		bool may_go = k == 1 && c->fate != STAYS;

		ok = ok && here + there <= 1 && uidv == was && (here == 0 || uid == (uint32_t)k);
		ok = ok && (here + there == 1 || (may_go && c->fate == LEAVES));
		ok = ok && (may_go || here == 1);
		if (may_go && !killed && e == MD_OK)
			ok = ok && here == 0;
	}
	if (!ok)
		printf("\n%s: call %u, %s\n", c->name, n, killed ? "killed" : md_err_text(e));
	CU_ASSERT(ok);
	md_root_fini(&r);
}

static uint32_t fill(struct md_test *t)
{
	struct md_box *box;
	uint32_t uidv;

	mt_begin(t);
	for (int k = 1; k <= MESSAGES; k++) {
		char name[32], text[64];

		snprintf(name, sizeof(name), "cur/%d.x:2,", k);
		snprintf(text, sizeof(text), "Subject: %d\n\nbody\n", k);
		mt_puts(t, name, text);
	}
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&t->root, "To"), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "", false, &box), MD_OK);
	uidv = md_box_uidvalidity(box);
	md_box_close(&box);
	return uidv;
}

/* True if there was an N-th call. */
static bool one_fault(const struct change *c, enum file_fault fault, int err, unsigned n)
{
	struct md_test t;
	uint32_t uidv = fill(&t);
	unsigned calls;
	enum md_err e;

	file_calls_begin(fault, n, err);
	e = c->run(&t.root);
	calls = file_calls_end();
	check(&t, c, e, false, n, uidv);
	mt_end(&t);
	return calls >= n;
}

static bool one_kill(const struct change *c, unsigned n)
{
	struct md_test t;
	uint32_t uidv = fill(&t);
	int status;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		file_calls_begin(FILE_KILL, n, 0);
		_exit(c->run(&t.root) == MD_OK ? 0 : 1);
	}
	CU_ASSERT_EQUAL_FATAL(waitpid(pid, &status, 0), pid);
	check(&t, c, MD_OK, WIFSIGNALED(status), n, uidv);
	mt_end(&t);
	return WIFSIGNALED(status);
}

static void test_faults(void)
{
	static const int errs[] = { EIO, ENOSPC, EDQUOT };

	for (size_t i = 0; i < ARRAY_LEN(changes); i++)
		for (size_t k = 0; k < ARRAY_LEN(errs); k++) {
			unsigned n = 1;

			while (n < CALLS_MAX && one_fault(&changes[i], FILE_ONCE, errs[k], n))
				n++;
			CU_ASSERT(n > 5 && n < CALLS_MAX);
		}
}

static void test_kills(void)
{
	for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
		unsigned n = 1;

		while (n < CALLS_MAX && one_kill(&changes[i], n))
			n++;
		CU_ASSERT(n > 5 && n < CALLS_MAX);
	}
}

static const struct unit_case cases[] = { { "a call fails", test_faults }, { "killed at a call", test_kills },
	{ NULL, NULL } };

UNIT_MAIN("store_safety", cases)
