/* maildir/md_recent: who has mail as \Recent while locks are busy and UIDVALIDITY changes. */
#include "tests/unit/md_test.h"

#include <utime.h>

#include "maildir/md_recent.h"
#include "maildir/md_save.h"
#include "maildir/md_tree.h"

enum { ASKED_MAX = 20 };

static const char mail[] = "From: a\nSubject: x\n\nhi\n";
static const char busy[] = "tmp/courier.lock";

static struct md_box *open_box(struct md_test *t, const char *folder, size_t n, size_t recent)
{
	struct md_box *box = NULL;

	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, folder, false, &box), MD_OK);
	CU_ASSERT_EQUAL(md_box_count(box), n);
	CU_ASSERT_EQUAL(md_box_count_recent(box), recent);
	return box;
}

static void append(struct md_test *t, const char *folder)
{
	struct md_save *s;
	uint32_t uid, uidv;

	CU_ASSERT_EQUAL_FATAL(md_save_begin(&t->root, folder, &s), MD_OK);
	CU_ASSERT_EQUAL(md_save_write(s, mail, strlen(mail)), MD_OK);
	CU_ASSERT_EQUAL(md_save_commit(&s, 0, NULL, 0, NULL, &uid, &uidv), MD_OK);
}

/* cur/ changed long ago: one that changed just now needs the lock to be read. */
static void settle(const struct md_test *t)
{
	struct utimbuf ut = { 1234567890, 1234567890 };
	char path[128];

	snprintf(path, sizeof(path), "%s/cur", t->dir);
	CU_ASSERT_EQUAL(utime(path, &ut), 0);
}

/* Who waits for a lock asks it again and again; it gives up in the end. */
static bool count_asked(void *arg, size_t messages, size_t bytes)
{
	unsigned *asked = arg;

	(void)messages;
	(void)bytes;
	return ++*asked < ASKED_MAX;
}

static unsigned recent_status(struct md_test *t, const char *folder)
{
	struct md_status st;

	CU_ASSERT_EQUAL(md_status(&t->root, folder, &st), MD_OK);
	return st.recent;
}

/* A mark of another UIDVALIDITY, or one that nobody can read, goes with the first look. */
static void test_old_mark_goes(void)
{
	static const char *const old[] = { "1 76 1\n", "garbage", "", "1 77 4294967295\n" };
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 2\n1 1.a\n");
	mt_puts(&t, "cur/1.a:2,", mail);
	for (size_t i = 0; i < ARRAY_LEN(old); i++) {
		mt_puts(&t, MD_RECENT_FILE, old[i]);
		box = open_box(&t, "", 1, 0);
		CU_ASSERT(!mt_exists(&t, MD_RECENT_FILE));
		md_box_close(&box);
	}
	mt_end(&t);
}

/* A folder that gets another UIDVALIDITY with its name keeps what is recent. */
static void test_rename_raises_uidvalidity(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "f"), MD_OK);
	append(&t, "f");
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "g"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "g"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "f", "g"), MD_OK);
	CU_ASSERT_EQUAL(recent_status(&t, "g"), 1);
	box = open_box(&t, "g", 1, 1);
	CU_ASSERT(!mt_exists(&t, ".g/" MD_RECENT_FILE));
	md_box_close(&box);
	mt_end(&t);
}

/* So does one whose UIDs are used up. */
static void test_renumbered(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 4294967294\n3 1.a\n4294967290 2.b\n");
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	mt_puts(&t, MD_RECENT_FILE, "1 77 4294967290\n");
	box = open_box(&t, "", 2, 1);
	CU_ASSERT(md_box_uid(box, 1) == 2 && md_box_is_recent(box, 1) && !mt_exists(&t, MD_RECENT_FILE));
	md_box_close(&box);
	mt_end(&t);
}

/* A busy lock is worth no wait for \Recent, and takes it from nobody: it is there for the first session that has the
 * lock, and for no other, whatever is delivered meanwhile. */
static void test_busy_lock(void)
{
	struct md_changes ch;
	struct md_test t;
	struct md_box *box, *later;
	unsigned asked = 0;

	mt_begin(&t);
	append(&t, "");
	settle(&t);
	mt_puts(&t, busy, "1:another.host");
	t.root.goes_on = count_asked;
	t.root.goes_on_arg = &asked;
	box = open_box(&t, "", 1, 0);
	CU_ASSERT(asked < ASKED_MAX / 2 && t.root.why[0] == '\0');
	mt_unlink(&t, busy);
	append(&t, "");
	mt_puts(&t, "new/9.x", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.added == 2 && ch.flagged == 1 && md_box_count_recent(box) == 3 && md_box_take_changed(box, 0));
	later = open_box(&t, "", 3, 0);
	append(&t, "");
	CU_ASSERT_EQUAL(md_box_sync(later, &ch), MD_OK);
	CU_ASSERT(ch.added == 1 && md_box_count_recent(later) == 1);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.added == 1 && ch.flagged == 0 && md_box_count_recent(box) == 3);
	md_box_close(&box);
	md_box_close(&later);
	mt_end(&t);
}

/* If another session has the lock first, it has the mark. */
static void test_busy_lock_and_another_session(void)
{
	struct md_changes ch;
	struct md_test t;
	struct md_box *box, *later;

	mt_begin(&t);
	append(&t, "");
	settle(&t);
	mt_puts(&t, busy, "1:another.host");
	box = open_box(&t, "", 1, 0);
	mt_unlink(&t, busy);
	later = open_box(&t, "", 1, 1);
	mt_puts(&t, "new/9.x", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.added == 1 && md_box_count_recent(box) == 1 && !md_box_is_recent(box, 0));
	CU_ASSERT_EQUAL(md_box_sync(later, &ch), MD_OK);
	CU_ASSERT(ch.added == 1 && md_box_count_recent(later) == 1);
	md_box_close(&box);
	md_box_close(&later);
	mt_end(&t);
}

/* What was delivered stays in new/ when the lock that its UID needs is busy. */
static void test_busy_lock_and_new_mail(void)
{
	struct md_test t;
	struct md_box *box;
	unsigned asked = 0;

	mt_begin(&t);
	mt_puts(&t, "new/1.a", mail);
	mt_puts(&t, busy, "1:another.host");
	t.root.goes_on = count_asked;
	t.root.goes_on_arg = &asked;
	CU_ASSERT_EQUAL(md_box_open(&t.root, "", false, &box), MD_STOPPED);
	CU_ASSERT(mt_exists(&t, "new/1.a"));
	mt_unlink(&t, busy);
	CU_ASSERT_EQUAL(recent_status(&t, ""), 1);
	/* It has a UID by now: whoever sees it without the lock needs none. */
	mt_puts(&t, busy, "1:another.host");
	box = open_box(&t, "", 1, 1);
	CU_ASSERT(mt_exists(&t, "new/1.a"));
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,S"));
	mt_unlink(&t, busy);
	md_box_close(&box);
	box = open_box(&t, "", 1, 0);
	md_box_close(&box);
	mt_end(&t);
}

/* A lock that nobody holds any more is broken, also by who does not wait. */
static void test_stale_lock(void)
{
	struct md_test t;
	struct md_box *box;
	char host[256], text[300];

	mt_begin(&t);
	append(&t, "");
	CU_ASSERT_EQUAL(gethostname(host, sizeof(host)), 0);
	snprintf(text, sizeof(text), "%d:%s", 0x7ffffff0, host); /* no process has this number */
	mt_puts(&t, busy, text);
	box = open_box(&t, "", 1, 1);
	CU_ASSERT(!mt_exists(&t, busy));
	md_box_close(&box);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "an old mark goes", test_old_mark_goes },
	{ "a rename raises UIDVALIDITY", test_rename_raises_uidvalidity }, { "UIDs are used up", test_renumbered },
	{ "the lock is busy", test_busy_lock },
	{ "the lock is busy and another session comes", test_busy_lock_and_another_session },
	{ "the lock is busy and there is new mail", test_busy_lock_and_new_mail },
	{ "the lock is stale", test_stale_lock }, { NULL, NULL } };

UNIT_MAIN("md_recent", cases)
