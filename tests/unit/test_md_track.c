/* Modification sequences of an open mailbox: whoever changes it, a client that synchronises ends with what is there. */
#include "tests/unit/md_test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>

#include "maildir/md_track.h"
#include "maildir/md_tree.h"
#include "tests/unit/clock_step.h"
#include "tests/unit/file_calls.h"

enum { UIDS = 4096, STEPS = 400, SEEDS = 10, PROCESSES = 3 };

/* What a client knows: of each UID flags and keywords, +1; 0: no such message. */
struct client {
	uint64_t highest;
	uint32_t uidvalidity;
	uint32_t look[UIDS];
};

static struct md_box *open_in(struct md_root *r, const char *folder, bool readonly)
{
	struct md_changes ch;
	struct md_box *box;

	CU_ASSERT_EQUAL_FATAL(md_box_open(r, folder, readonly, &box), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_box_track(box, &ch), MD_OK);
	return box;
}

static struct md_box *open_box(struct md_root *r)
{
	return open_in(r, "", false);
}

static void sync_box(struct md_box *box)
{
	struct md_changes ch;

	CU_ASSERT_EQUAL_FATAL(md_box_sync(box, &ch), MD_OK);
}

static void forget(uint32_t first, uint32_t last, void *arg)
{
	struct client *c = arg;

	CU_ASSERT(first != 0 && first <= last);
	for (uint32_t uid = first; uid <= last && uid < UIDS; uid++)
		c->look[uid] = 0;
}

static uint32_t look(const struct md_box *box, size_t i)
{
	return md_box_flags(box, i) + 1 + 256 * (uint32_t)(box->msgs[i].kw != NULL ? box->msgs[i].kw->n : 0);
}

/* Synchronises the client as RFC 7162 tells. */
static void synchronise(struct client *c, struct md_box *box)
{
	if (c->uidvalidity != md_box_uidvalidity(box))
		memset(c, 0, sizeof(*c));
	c->uidvalidity = md_box_uidvalidity(box);
	md_box_drop_gone(box, NULL, NULL);
	md_box_expunged_since(box, c->highest, forget, c);
	for (size_t i = 0; i < md_box_count(box); i++) {
		CU_ASSERT(md_box_modseq(box, i) != 0 || box->track->behind);
		if (md_box_modseq(box, i) > c->highest)
			c->look[md_box_uid(box, i)] = look(box, i);
	}
	c->highest = MAX(c->highest, md_box_highest_modseq(box));
}

/* True if the client knows what is there, and nothing else. */
static bool knows_all(const struct client *c, const struct md_box *box)
{
	for (uint32_t uid = 1; uid < UIDS; uid++) {
		size_t i = md_box_find(box, uid);
		bool there = i < md_box_count(box) && md_box_uid(box, i) == uid;

		if (c->look[uid] != (there ? look(box, i) : 0))
			return false;
	}
	return true;
}

static void deliver(struct md_root *r, struct md_test *t)
{
	static unsigned n;
	char name[64];

	(void)r;
	snprintf(name, sizeof(name), "new/%d.P%d_%u.h", 1700000000 + (int)n, (int)getpid(), n);
	n++;
	mt_puts(t, name, "Subject: x\n\nx\n");
}

static void begin(struct md_test *t, int n)
{
	mt_begin(t);
	for (int i = 0; i < n; i++)
		deliver(&t->root, t);
}

static void store(struct md_box *box, size_t i, enum md_store how, unsigned flags)
{
	CU_ASSERT_EQUAL(md_box_store(box, i, how, flags, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
}

static void add_range(uint32_t first, uint32_t last, void *arg)
{
	str_addf(arg, "%u:%u ", first, last);
}

/* What went after SINCE is TEXT. */
static bool expunged(const struct md_box *box, uint64_t since, const char *text)
{
	struct str s = STR_INIT;
	bool same;

	md_box_expunged_since(box, since, add_range, &s);
	same = strcmp(str_cstr(&s), text) == 0;
	if (!same)
		printf("\nexpunged: %s, not %s\n", str_cstr(&s), text);
	str_fini(&s);
	return same;
}

static void test_own(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t first, second, third;
	struct md_changes ch;
	uint32_t kw;

	begin(&t, 4);
	box = open_box(&t.root);
	CU_ASSERT_EQUAL(md_box_track(box, &ch), MD_OK); /* again */
	first = md_box_highest_modseq(box);
	for (size_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(md_box_modseq(box, i), first);
	CU_ASSERT(expunged(box, first, ""));
	CU_ASSERT(expunged(box, first - 1, ""));
	store(box, 1, MD_STORE_ADD, MD_FLAGGED);
	second = md_box_highest_modseq(box);
	CU_ASSERT(second > first);
	CU_ASSERT_EQUAL(md_box_modseq(box, 0), first);
	CU_ASSERT_EQUAL(md_box_modseq(box, 1), second);
	/* The same once more is no change. */
	store(box, 1, MD_STORE_ADD, MD_FLAGGED);
	sync_box(box);
	CU_ASSERT_EQUAL(md_box_highest_modseq(box), second);
	/* Until it is recorded a change has no sequence. */
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(md_box_modseq(box, 0), 0);
	CU_ASSERT_EQUAL(md_box_highest_modseq(box), second);
	sync_box(box);
	third = md_box_highest_modseq(box);
	CU_ASSERT_EQUAL(md_box_modseq(box, 0), third);
	/* A keyword, and another one instead. */
	kw = (uint32_t)md_box_keyword_add(box, "a", 1);
	CU_ASSERT_EQUAL(md_box_store(box, 2, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	CU_ASSERT(md_box_modseq(box, 2) > third);
	third = md_box_modseq(box, 2);
	kw = (uint32_t)md_box_keyword_add(box, "b", 1);
	CU_ASSERT_EQUAL(md_box_store(box, 2, MD_STORE_SET, 0, &kw, 1), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	CU_ASSERT(md_box_modseq(box, 2) > third);
	third = md_box_modseq(box, 2);
	CU_ASSERT_EQUAL(md_box_expunge(box, 3), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(box, 2), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(box, 0), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
	md_box_drop_gone(box, NULL, NULL);
	CU_ASSERT(expunged(box, third, "1:1 3:4 "));
	CU_ASSERT(expunged(box, md_box_highest_modseq(box), ""));
	CU_ASSERT(expunged(box, 0, "1:1 3:4 "));
	third = md_box_highest_modseq(box);
	md_box_close(&box);
	/* All of it is there for the next session, which may read only. */
	box = open_in(&t.root, "", true);
	CU_ASSERT_EQUAL(md_box_highest_modseq(box), third);
	CU_ASSERT_EQUAL(md_box_modseq(box, 0), second);
	CU_ASSERT(expunged(box, second, "1:1 3:4 "));
	md_box_close(&box);
	mt_end(&t);
}

/* A session that asks for no sequence makes no file. */
static void test_unasked(void)
{
	struct md_test t;
	struct md_box *box;

	begin(&t, 2);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	store(box, 0, MD_STORE_ADD, MD_SEEN);
	CU_ASSERT_EQUAL(md_box_expunge(box, 1), MD_OK);
	sync_box(box);
	md_box_close(&box);
	CU_ASSERT_FALSE(mt_exists(&t, MD_STATE_FILE));
	mt_end(&t);
}

/* What others have changed is found by the next who asks; also a message that came and went between. */
static void test_others(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t first, second;

	begin(&t, 3);
	box = open_box(&t.root);
	first = md_box_highest_modseq(box);
	md_box_close(&box);
	deliver(&t.root, &t);
	deliver(&t.root, &t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK); /* UIDs 4 and 5 are told */
	store(box, 1, MD_STORE_ADD, MD_ANSWERED);
	CU_ASSERT_EQUAL(md_box_expunge(box, 0), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(box, 3), MD_OK);
	md_box_close(&box);
	box = open_box(&t.root);
	second = md_box_highest_modseq(box);
	CU_ASSERT(second > first);
	CU_ASSERT_EQUAL(md_box_count(box), 3);
	CU_ASSERT_EQUAL(md_box_modseq(box, 0), second);
	CU_ASSERT_EQUAL(md_box_modseq(box, 1), first);
	CU_ASSERT_EQUAL(md_box_modseq(box, 2), second);
	CU_ASSERT(expunged(box, first, "1:1 4:4 "));
	md_box_close(&box);
	mt_end(&t);
}

/* A message that an open session has never seen: it came and went, and then the state is lost. */
static void test_unseen(void)
{
	struct md_test t;
	struct md_root other;
	struct md_box *a, *b;
	uint64_t first;

	begin(&t, 1);
	CU_ASSERT_EQUAL_FATAL(md_root_init(&other, t.dir), MD_OK);
	a = open_box(&t.root);
	first = md_box_highest_modseq(a);
	deliver(&other, &t);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&other, "", false, &b), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(b, 1), MD_OK);
	md_box_close(&b);
	mt_unlink(&t, MD_STATE_FILE);
	sync_box(a);
	CU_ASSERT(expunged(a, first, "2:2 "));
	md_box_close(&a);
	md_root_fini(&other);
	mt_end(&t);
}

/* Two sessions: one whose view is older records nothing of what it has not seen change, and tells no sequence that
 * would hide it. */
static void test_two(void)
{
	struct md_test t;
	struct md_root other;
	struct md_box *a, *b;
	uint64_t first, second;

	begin(&t, 3);
	CU_ASSERT_EQUAL_FATAL(md_root_init(&other, t.dir), MD_OK);
	a = open_box(&t.root);
	b = open_box(&other);
	first = md_box_highest_modseq(a);
	CU_ASSERT_EQUAL(md_box_highest_modseq(b), first);
	store(a, 0, MD_STORE_ADD, MD_FLAGGED);
	CU_ASSERT_EQUAL(md_box_expunge(a, 1), MD_OK);
	CU_ASSERT_EQUAL(md_box_flush(a), MD_OK);
	second = md_box_highest_modseq(a);
	CU_ASSERT_EQUAL(md_track_record(b), MD_OK);
	CU_ASSERT_TRUE(b->track->behind);
	CU_ASSERT_EQUAL(md_box_modseq(b, 0), 0);
	CU_ASSERT(md_box_highest_modseq(b) < md_box_modseq(a, 0));
	CU_ASSERT(expunged(b, first, "")); /* it is there for this one */
	/* A change of its own does not hide those. */
	CU_ASSERT_EQUAL(md_box_store(b, 2, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT_EQUAL(md_track_record(b), MD_OK);
	CU_ASSERT(md_box_modseq(b, 2) > second);
	CU_ASSERT(md_box_highest_modseq(b) < md_box_modseq(a, 0));
	sync_box(b);
	CU_ASSERT_FALSE(b->track->behind);
	CU_ASSERT_EQUAL(md_box_modseq(b, 0), md_box_modseq(a, 0));
	CU_ASSERT_EQUAL(md_box_highest_modseq(b), md_box_modseq(b, 2));
	CU_ASSERT(expunged(b, first, "2:2 "));
	sync_box(a);
	CU_ASSERT_EQUAL(md_box_highest_modseq(a), md_box_highest_modseq(b));
	CU_ASSERT_EQUAL(a->track->s.highest, b->track->s.highest);
	md_box_close(&a);
	md_box_close(&b);
	md_root_fini(&other);
	mt_end(&t);
}

enum loss { LOST, CUT, OTHER_FOLDER, LOSSES };

/* Lost, damaged, of another UIDVALIDITY: it begins anew, above all that was told, even if the clock was set back while
 * somebody had it open. */
static void test_lost(void)
{
	for (int how = 0; how < LOSSES; how++)
		for (int open = 0; open < (how == OTHER_FOLDER ? 1 : 2); open++) {
			struct md_test t;
			struct md_box *box;
			uint64_t before;
			char path[128];

			begin(&t, 3);
			box = open_box(&t.root);
			CU_ASSERT_EQUAL(md_box_expunge(box, 1), MD_OK);
			CU_ASSERT_EQUAL(md_box_flush(box), MD_OK);
			before = md_box_highest_modseq(box);
			if (open == 0)
				md_box_close(&box);
			snprintf(path, sizeof(path), "%s/" MD_STATE_FILE, t.dir);
			if (how == LOST) {
				CU_ASSERT_EQUAL(unlink(path), 0);
			} else if (how == CUT) {
				CU_ASSERT_EQUAL(truncate(path, 50), 0);
			} else {
				mt_puts(&t, "courierimapuiddb", "1 77 10\n");
			}
			wall_step = open != 0 ? -100000 : 0;
			if (open == 0)
				box = open_box(&t.root);
			else
				sync_box(box);
			CU_ASSERT(md_box_highest_modseq(box) > before);
			for (size_t i = 0; i < md_box_count(box); i++)
				if (!md_box_is_gone(box, i))
					CU_ASSERT_EQUAL(md_box_modseq(box, i), md_box_highest_modseq(box));
			if (how != OTHER_FOLDER)
				CU_ASSERT(expunged(box, before, "2:2 "));
			wall_step = 0;
			md_box_close(&box);
			mt_end(&t);
		}
}

/* A list whose next UID jumps: what was skipped is not listed one by one. */
static void test_jump(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t first;
	uint32_t uidv;
	struct str s = STR_INIT;
	struct stat st;

	begin(&t, 1);
	box = open_box(&t.root);
	first = md_box_highest_modseq(box);
	uidv = md_box_uidvalidity(box);
	str_addf(&s, "1 %u 2000000000\n1 %.*s\n", uidv, (int)box->msgs[0].base_len, box->msgs[0].name);
	md_box_close(&box);
	mt_puts(&t, "courierimapuiddb", s.data);
	deliver(&t.root, &t);
	box = open_box(&t.root);
	CU_ASSERT_EQUAL(md_box_uid(box, 1), 2000000000);
	CU_ASSERT(expunged(box, first, "2:1999999999 "));
	CU_ASSERT(expunged(box, md_box_highest_modseq(box), ""));
	CU_ASSERT_EQUAL(fstatat(t.root.fd, MD_STATE_FILE, &st, 0), 0);
	CU_ASSERT(st.st_size < 1000);
	md_box_close(&box);
	str_fini(&s);
	mt_end(&t);
}

/* The id: made once, kept by RENAME and by sequences, another one for a new folder of the same name. */
static void test_id(void)
{
	char one[MD_MAILBOX_ID_SIZE], two[MD_MAILBOX_ID_SIZE];
	struct md_test t;
	struct md_box *box;

	begin(&t, 1);
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "none", one), MD_NOFOLDER);
	CU_ASSERT_EQUAL_FATAL(md_mailbox_id(&t.root, "A", one), MD_OK);
	CU_ASSERT_EQUAL(strlen(one), MD_MAILBOX_ID_SIZE - 1);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "", two), MD_OK);
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
	box = open_in(&t.root, "A", false);
	md_box_close(&box);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "B"), MD_OK);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "B", two), MD_OK);
	CU_ASSERT_STRING_EQUAL(one, two);
	box = open_in(&t.root, "B", false);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "B", two), MD_OK);
	CU_ASSERT_STRING_EQUAL(one, two);
	/* Lost while it is open: the same again. */
	mt_unlink(&t, ".B/" MD_STATE_FILE);
	sync_box(box);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "B", two), MD_OK);
	CU_ASSERT_STRING_EQUAL(one, two);
	md_box_close(&box);
	/* Cut behind the id: it is kept. */
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B"), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_tree_create(&t.root, "B"), MD_OK);
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "B", two), MD_OK);
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
	mt_puts(&t, ".B/" MD_STATE_FILE, "no state");
	CU_ASSERT_EQUAL(md_mailbox_id(&t.root, "B", one), MD_OK);
	CU_ASSERT_STRING_NOT_EQUAL(one, two);
	mt_end(&t);
}

/* Nothing can be written: what is recorded serves as long as nothing changes; a box whose UIDs are not recorded has
 * none. */
static void test_unwritable(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;
	uint64_t first;

	if (geteuid() == 0)
		CU_ASSERT_EQUAL_FATAL(seteuid(65534), 0);
	begin(&t, 2);
	box = open_box(&t.root);
	first = md_box_highest_modseq(box);
	md_box_close(&box);
	CU_ASSERT_EQUAL(fchmodat(t.root.fd, "tmp", 0500, 0), 0);
	box = open_in(&t.root, "", true);
	CU_ASSERT_EQUAL(md_box_highest_modseq(box), first);
	md_box_close(&box);
	mt_rename(&t, "cur", "was"); /* a change by others, of the first message */
	mt_mkdir(&t, "cur");
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", true, &box), MD_OK);
	CU_ASSERT_NOT_EQUAL(md_box_track(box, &ch), MD_OK);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK); /* it goes on without */
	md_box_close(&box);
	CU_ASSERT_EQUAL(fchmodat(t.root.fd, "tmp", 0700, 0), 0);
	mt_end(&t);
	if (getuid() == 0)
		CU_ASSERT_EQUAL_FATAL(seteuid(0), 0);
}

/* A change that is made but not recorded has no sequence, and the client is told none that would hide it. The next
 * comparison gives it one, in this session or in another. */
static void test_unrecorded(void)
{
	static const int errs[] = { ENOSPC, EDQUOT, EIO };

	for (unsigned run = 0; run < 2 * ARRAY_LEN(errs); run++) {
		bool refused = true;
		unsigned failed = 0;

		for (unsigned n = 1; refused; n++) {
			struct md_test t;
			struct md_box *box;
			uint64_t first;
			enum md_err e;

			begin(&t, 2);
			box = open_box(&t.root);
			first = md_box_highest_modseq(box);
			CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_FLAGGED, NULL, 0), MD_OK);
			file_calls_begin(FILE_ONCE, n, errs[run / 2]);
			e = md_box_flush(box);
			refused = file_calls_end() >= n;
			if (e != MD_OK) {
				failed++;
				CU_ASSERT((md_box_flags(box, 0) & MD_FLAGGED) != 0);
				CU_ASSERT_EQUAL(md_box_modseq(box, 0), 0);
				CU_ASSERT_EQUAL(md_box_highest_modseq(box), first);
				if (run % 2 == 0) {
					sync_box(box);
				} else {
					md_box_close(&box);
					box = open_box(&t.root);
				}
			}
			CU_ASSERT(md_box_modseq(box, 0) > first);
			CU_ASSERT_EQUAL(md_box_highest_modseq(box), md_box_modseq(box, 0));
			CU_ASSERT_EQUAL(md_box_modseq(box, 1), first);
			md_box_close(&box);
			mt_end(&t);
		}
		CU_ASSERT(failed > 2);
	}
}

/* --- at random --- */

static unsigned seed;

static unsigned rnd(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

static void change_by_session(struct md_box *box)
{
	size_t n = md_box_count(box);
	uint32_t kw;
	enum md_err e = MD_OK;

	if (n == 0)
		return;
	for (unsigned k = rnd(3) + 1; k > 0; k--) {
		size_t i = rnd((unsigned)n);

		kw = (uint32_t)md_box_keyword_add(box, rnd(2) != 0 ? "x" : "Y", 1);
		if (rnd(8) == 0)
			e = md_box_expunge(box, i);
		else
			e = md_box_store(box, i, (enum md_store)rnd(3), 1U << rnd(5), &kw, rnd(2));
		CU_ASSERT(e == MD_OK || e == MD_GONE);
	}
	if (rnd(2) != 0)
		CU_ASSERT(md_box_flush(box) == MD_OK || !md_box_uid_sticky(box));
}

/* As another program would. */
static void change_outside(struct md_test *t)
{
	static const char *const flags[] = { "", "S", "F", "FS" };
	struct md_box *box;
	struct md_root r;
	char to[400];
	size_t i;

	CU_ASSERT_EQUAL_FATAL(md_root_init(&r, t->dir), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&r, "", true, &box), MD_OK);
	if (md_box_count(box) != 0 && rnd(3) != 0) {
		struct md_msg *m = &box->msgs[i = rnd((unsigned)box->n)];
		char from[400];

		(void)i;
		snprintf(from, sizeof(from), "%s/%s", m->in_new ? "new" : "cur", m->name);
		snprintf(to, sizeof(to), "cur/%.*s:2,%s", (int)m->base_len, m->name, flags[rnd(4)]);
		if (rnd(6) == 0)
			(void)unlinkat(r.fd, from, 0);
		else
			(void)renameat(r.fd, from, r.fd, to);
	} else if (md_box_uidnext(box) < UIDS - 2) {
		deliver(&r, t);
	}
	md_box_close(&box);
	md_root_fini(&r);
}

/* Sessions that ask and that do not, other programs, clients that synchronise with one or another; now and then the
 * state is lost, or cannot be written. */
static void one_history(unsigned s)
{
	enum { BOXES = 3, CLIENTS = 3 };
	struct md_box *box[BOXES] = { NULL };
	struct client *c = mem_array(CLIENTS, sizeof(*c));
	struct md_root roots[BOXES];
	struct md_test t;
	bool ok = true;

	seed = s;
	begin(&t, 5);
	for (int k = 0; k < BOXES; k++)
		CU_ASSERT_EQUAL_FATAL(md_root_init(&roots[k], t.dir), MD_OK);
	for (int step = 0; ok && step < STEPS; step++) {
		unsigned k = rnd(BOXES);

		if (box[k] == NULL) {
			CU_ASSERT_EQUAL_FATAL(md_box_open(&roots[k], "", false, &box[k]), MD_OK);
		} else if (rnd(10) == 0) {
			md_box_close(&box[k]);
		} else if (rnd(3) == 0) {
			change_by_session(box[k]);
		} else if (rnd(3) == 0) {
			change_outside(&t);
		} else if (rnd(100) == 0) {
			(void)unlinkat(t.root.fd, MD_STATE_FILE, 0);
		} else if (rnd(8) == 0) { /* a call fails while it is compared: the next time it is made good */
			struct md_changes ch;

			file_calls_begin(FILE_ONCE, rnd(40) + 1, rnd(2) != 0 ? ENOSPC : EIO);
			(void)!md_box_sync(box[k], &ch);
			(void)file_calls_end();
		} else {
			struct md_changes ch;
			unsigned who = rnd(CLIENTS);

			if (md_box_sync(box[k], &ch) != MD_OK ||
			    (box[k]->track == NULL && rnd(2) != 0 && md_box_track(box[k], &ch) != MD_OK)) {
				CU_ASSERT_FALSE(md_box_uid_sticky(box[k]));
				md_box_close(&box[k]); /* else it tries again after some seconds */
				continue;
			}
			if (box[k]->track == NULL)
				continue;
			synchronise(&c[who], box[k]);
			/* One that cannot show all that is there, see join() in md_assign.c, hides what others told. */
			ok = box[k]->incomplete || knows_all(&c[who], box[k]);
		}
	}
	if (!ok)
		printf("\nseed %u\n", s);
	CU_ASSERT(ok);
	for (int k = 0; k < BOXES; k++) {
		md_box_close(&box[k]);
		md_root_fini(&roots[k]);
	}
	mem_free(&c);
	mt_end(&t);
}

static void test_random(void)
{
	for (unsigned s = 1; s <= SEEDS; s++)
		one_history(s);
}

/* One of several processes: changes, and synchronises a client all the time; at the end, when nobody changes anything
 * any more, once again. */
static int run_process(struct md_test *t, unsigned s, int done, int go)
{
	struct client *c = mem_alloc(sizeof(*c));
	struct md_root r;
	struct md_box *box;
	char byte = 0;
	bool ok;

	seed = s;
	if (md_root_init(&r, t->dir) != MD_OK)
		return 1;
	box = open_box(&r);
	for (int i = 0; i < STEPS / 4; i++) {
		struct md_changes ch;

		if (rnd(20) == 0) {
			md_box_close(&box);
			box = open_box(&r);
		}
		if (rnd(3) == 0)
			change_by_session(box);
		else if (rnd(4) == 0)
			deliver(&r, t);
		if (md_box_sync(box, &ch) != MD_OK)
			return 1;
		synchronise(c, box);
	}
	if (write(done, &byte, 1) != 1 || read(go, &byte, 1) != 0)
		return 1;
	if (s % 2 != 0) {
		md_box_close(&box);
		box = open_box(&r);
	}
	sync_box(box);
	synchronise(c, box);
	ok = knows_all(c, box) && box->track->complete == box->track->s.highest;
	md_box_close(&box);
	md_root_fini(&r);
	mem_free(&c);
	return ok && CU_get_number_of_failures() == 0 ? 0 : 1;
}

static void test_processes(void)
{
	struct md_test t;
	int done[2], go[2], status;
	char byte;

	begin(&t, 20);
	CU_ASSERT_EQUAL_FATAL(pipe(done), 0);
	CU_ASSERT_EQUAL_FATAL(pipe(go), 0);
	fflush(NULL);
	for (unsigned i = 0; i < PROCESSES; i++)
		if (fork() == 0) {
			close(go[1]);
			close(done[0]);
			_exit(run_process(&t, i + 1, done[1], go[0]));
		}
	close(go[0]);
	close(done[1]);
	for (unsigned i = 0; i < PROCESSES; i++)
		CU_ASSERT_EQUAL(read(done[0], &byte, 1), 1);
	close(go[1]);
	close(done[0]);
	for (unsigned i = 0; i < PROCESSES; i++) {
		CU_ASSERT(wait(&status) > 0);
		CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
	mt_end(&t);
}

static const struct unit_case cases[] = { { "own changes", test_own }, { "unasked", test_unasked },
	{ "others' changes", test_others }, { "unseen", test_unseen }, { "two sessions", test_two },
	{ "lost", test_lost }, { "jump", test_jump }, { "id", test_id }, { "unwritable", test_unwritable },
	{ "unrecorded", test_unrecorded }, { "random", test_random }, { "processes", test_processes }, { NULL, NULL } };

UNIT_MAIN("md_track", cases)
