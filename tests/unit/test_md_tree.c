/* maildir/md_tree: folders and subscriptions. */
#include "tests/unit/md_test.h"

#include <time.h>

#include "maildir/md_dir.h"
#include "maildir/md_save.h"
#include "maildir/md_subscribe.h"
#include "maildir/md_uidlist.h"
#include "maildir/md_tree.h"

static void test_valid(void)
{
	static const struct {
		const char *name;
		bool ok;
	} t[] = {
		{ "", true },
		{ "A", true },
		{ "A.B", true },
		{ "d\303\251j\303\240", true },
		{ "a b", true },
		{ "a&b", true },
		{ ".A", false },
		{ "A.", false },
		{ "A..B", false },
		{ ".", false },
		{ "a/b", false },
		{ "../x", false },
		{ "a\nb", false },
		{ "a\177", false },
		{ "\377", false },
		{ "\303", false },
		{ "\300\257", false },
		{ "\355\240\200", false },
		{ "\364\220\200\200", false },
		{ "\302\205", false },
		{ "\360\237\230\200", true },
	};
	char longer[MD_FOLDER_MAX + 2];

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_EQUAL(md_tree_valid(t[i].name), t[i].ok);
	memset(longer, 'x', sizeof(longer));
	longer[MD_FOLDER_MAX] = '\0';
	CU_ASSERT(md_tree_valid(longer));
	longer[MD_FOLDER_MAX] = 'x';
	longer[MD_FOLDER_MAX + 1] = '\0';
	CU_ASSERT(!md_tree_valid(longer));
}

/* All folders in one text; "-": it does not exist, "+": it has children, "!": it has new mail. */
static void check_tree(struct md_test *t, const char *want)
{
	struct md_folders l;
	struct str s = STR_INIT;

	CU_ASSERT_EQUAL(md_tree_list(&t->root, true, &l), MD_OK);
	for (size_t i = 0; i < l.n; i++) {
		str_addf(&s, "%s%s%s%s,", *l.f[i].name != '\0' ? l.f[i].name : "INBOX", l.f[i].exists ? "" : "-",
		    l.f[i].has_children ? "+" : "", l.f[i].has_new ? "!" : "");
		CU_ASSERT_PTR_EQUAL(md_folders_find(&l, l.f[i].name), &l.f[i]);
	}
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), want);
	str_fini(&s);
	md_folders_fini(&l);
}

static void test_create(void)
{
	struct md_test t;

	mt_begin(&t);
	check_tree(&t, "INBOX,");
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, ""), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "a/b"), MD_BADNAME);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A.C.D"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A-z"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "X.Y"), MD_OK);
	mt_mkdir(&t, ".notafolder");
	mt_mkdir(&t, ".bad\377");
	mt_mkdir(&t, ".bad\377/cur");
	mt_puts(&t, ".file", "");
	CU_ASSERT(mt_exists(&t, ".A/maildirfolder") && mt_exists(&t, ".A/cur") && mt_exists(&t, ".A/new") &&
	    mt_exists(&t, ".A/tmp"));
	mt_puts(&t, ".A.C.D/new/1.x", "x");
	mt_puts(&t, "new/1.x", "x");
	check_tree(&t, "INBOX+!,A+,A.C-+,A.C.D!,A-z,X-+,X.Y,");
	mt_end(&t);
}

static uint32_t uidvalidity(struct md_test *t, const char *folder)
{
	struct md_status st;

	CU_ASSERT_EQUAL(md_status(&t->root, folder, &st), MD_OK);
	return st.uidvalidity;
}

static void test_delete(void)
{
	struct md_test t;
	uint32_t before;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A.B"), MD_OK);
	mt_puts(&t, ".A/cur/1.x:2,", "x");
	before = uidvalidity(&t, "A");
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, ""), MD_REFUSED);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "None"), MD_NOFOLDER);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_OK);
	check_tree(&t, "INBOX+,A-+,A.B,");
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_REFUSED);
	/* A new folder of that name is a different folder to every client. */
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT(uidvalidity(&t, "A") > before);
	mt_end(&t);
}

static void test_rename(void)
{
	struct md_test t;
	uint32_t uid, uidv;
	struct md_save *s;
	struct md_status st;
	char longer[250];

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A.B"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "AB"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "X.Y"), MD_OK);
	uidv = uidvalidity(&t, "A");
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "None", "N"), MD_NOFOLDER);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "AB"), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "A"), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", ""), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "b/c"), MD_BADNAME);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "New"), MD_OK);
	check_tree(&t, "INBOX+,AB,New+,New.B,X-+,X.Y,");
	CU_ASSERT_EQUAL(uidvalidity(&t, "New"), uidv);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK); /* not that of the folder renamed a moment ago */
	CU_ASSERT(uidvalidity(&t, "A") > uidv);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "X", "Z"), MD_OK); /* it does not exist itself */
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "New", "New.Deep"), MD_OK);
	check_tree(&t, "INBOX+,AB,New-+,New.Deep+,New.Deep.B,Z-+,Z.Y,");
	/* The name of a child would get too long: nothing is renamed. */
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "New", longer), MD_BADNAME);
	check_tree(&t, "INBOX+,AB,New-+,New.Deep+,New.Deep.B,Z-+,Z.Y,");

	CU_ASSERT_EQUAL(md_save_begin(&t.root, "", &s), MD_OK);
	CU_ASSERT_EQUAL(md_save_write(s, "a\r\n", 3), MD_OK);
	CU_ASSERT_EQUAL(md_save_commit(&s, 0, NULL, 0, NULL, &uid, &uidv), MD_OK);
	mt_puts(&t, "new/1.x", "x");
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "AB"), MD_EXISTS);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "Old"), MD_OK);
	CU_ASSERT_EQUAL(md_status(&t.root, "Old", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 2);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 0);
	CU_ASSERT_EQUAL(st.uidvalidity, uidv);
	mt_end(&t);
}

/* Folders made in the same second would have the same UIDVALIDITY, and clients would take the second for the first,
 * with its UIDs. */
static void test_name_is_used_again(void)
{
	static const char list[] = "1 1000 2\n1 1.x\n";
	struct md_test t;

	mt_begin(&t);
	for (const char *const *f = (const char *const[]){ "A", "B", "C", "D", NULL }; *f != NULL; f++) {
		char path[64];

		CU_ASSERT_EQUAL(md_tree_create(&t.root, *f), MD_OK);
		snprintf(path, sizeof(path), ".%s/" MD_UIDLIST_FILE, *f);
		mt_puts(&t, path, list);
		snprintf(path, sizeof(path), ".%s/cur/1.x:2,", *f);
		mt_puts(&t, path, *f);
	}
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "B", "A"), MD_OK);
	CU_ASSERT(uidvalidity(&t, "A") > 1000);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "C", "Away"), MD_OK);
	CU_ASSERT_EQUAL(uidvalidity(&t, "Away"), 1000);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "D", "C"), MD_OK);
	CU_ASSERT(uidvalidity(&t, "C") > 1000);
	/* Nor an older UIDVALIDITY, which some client may remember. */
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "C"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "Away", "C"), MD_OK);
	CU_ASSERT(uidvalidity(&t, "C") > 1001);
	mt_end(&t);
}

/* After the highest UIDVALIDITY there is none left for a name that clients may remember: it is refused, and nothing
 * changes. */
static void test_uidvalidity_is_used_up(void)
{
	struct md_test t;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "B.C"), MD_OK);
	mt_puts(&t, ".A/" MD_UIDLIST_FILE, "1 4294967295 2\n");
	mt_puts(&t, ".B.C/" MD_UIDLIST_FILE, "1 4294967294 2\n");
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "A", "Away"), MD_OK);
	CU_ASSERT_EQUAL(uidvalidity(&t, "Away"), UINT32_MAX);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_LIMIT);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "tmp/uidv.A"));
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "Away", "A"), MD_LIMIT);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "", "A"), MD_LIMIT);
	check_tree(&t, "INBOX+,Away,B-+,B.C,");
	CU_ASSERT_EQUAL(uidvalidity(&t, "Away"), UINT32_MAX);
	/* One is left for this name, then none, not even for a child of another name. */
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B.C"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "B.C"), MD_OK);
	CU_ASSERT_EQUAL(uidvalidity(&t, "B.C"), UINT32_MAX);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B.C"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "X.C"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t.root, "X", "B"), MD_LIMIT);
	check_tree(&t, "INBOX+,Away,X-+,X.C,");
	mt_end(&t);
}

/* A UIDVALIDITY ahead of the clock (a Maildir from another server) is remembered until the clock has passed it; others
 * as long as other leftovers. */
static void test_uidvalidity_ahead_is_remembered(void)
{
	time_t later = time(NULL) + 40 * 3600;
	struct md_test t;
	char text[64];

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "B"), MD_OK);
	snprintf(text, sizeof(text), "1 %lld 2\n", (long long)later);
	mt_puts(&t, ".A/" MD_UIDLIST_FILE, text);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "B"), MD_OK);
	md_clean_tmp(t.root.fd, later);
	CU_ASSERT(mt_exists(&t, "tmp/uidv.A") && !mt_exists(&t, "tmp/uidv.B"));
	CU_ASSERT_EQUAL(md_tree_create(&t.root, "A"), MD_OK);
	CU_ASSERT_EQUAL(uidvalidity(&t, "A"), later + 1);
	mt_end(&t);
}

static void append(struct md_test *t, const char *folder)
{
	struct md_save *s;
	uint32_t uid, uidv;

	CU_ASSERT_EQUAL_FATAL(md_save_begin(&t->root, folder, &s), MD_OK);
	CU_ASSERT_EQUAL(md_save_write(s, "a\r\n", 3), MD_OK);
	CU_ASSERT_EQUAL(md_save_commit(&s, 0, NULL, 0, NULL, &uid, &uidv), MD_OK);
}

/* Opens f with two messages, one of them expunged, and renames it to g, which had another UIDVALIDITY. */
static struct md_box *renamed_under(struct md_test *t, bool all_gone)
{
	struct md_changes ch;
	struct md_box *box;
	uint32_t before;

	CU_ASSERT_EQUAL(md_tree_create(&t->root, "f"), MD_OK);
	append(t, "f");
	append(t, "f");
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t->root, "f", false, &box), MD_OK);
	before = md_box_uidvalidity(box);
	for (size_t i = 0; i < (all_gone ? 2 : 1); i++)
		CU_ASSERT_EQUAL(md_box_expunge(box, i), MD_OK);
	md_box_drop_gone(box, NULL, NULL);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT_EQUAL(md_tree_create(&t->root, "g"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_delete(&t->root, "g"), MD_OK);
	CU_ASSERT_EQUAL(md_tree_rename(&t->root, "f", "g"), MD_OK);
	CU_ASSERT(uidvalidity(t, "g") > before);
	return box;
}

/* A session that has a folder open keeps it when another session renames it, even if the new name brings another
 * UIDVALIDITY: the UIDs are the same. */
static void test_rename_under_open_box(void)
{
	struct md_changes ch;
	struct md_box *box;
	struct md_test t;

	for (int all_gone = 0; all_gone < 2; all_gone++) {
		size_t n = all_gone ? 0 : 1;

		mt_begin(&t);
		box = renamed_under(&t, all_gone);
		append(&t, "g");
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		CU_ASSERT(ch.added == 1 && ch.gone == 0);
		CU_ASSERT_EQUAL_FATAL(md_box_count(box), n + 1);
		CU_ASSERT_EQUAL(md_box_uid(box, n), 3);
		CU_ASSERT_EQUAL(md_box_store(box, n, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
		CU_ASSERT_EQUAL(md_box_uidvalidity(box), uidvalidity(&t, "g"));
		md_box_close(&box);
		mt_end(&t);
	}
}

/* A list with other UIDs is another mailbox. */
static void test_other_list_under_open_box(void)
{
	struct md_changes ch;
	struct md_box *box;
	struct md_test t;

	for (const char *const *list = (const char *const[]){ "1 4000000000 9\n7 1.a\n", /* another UID for it */
	         "1 4000000000 2\n1 1.a\n",                                              /* the next UID goes back */
	         "1 4000000000 9\n5 other\n", NULL };                                    /* the message has none */
	     *list != NULL; list++) {
		mt_begin(&t);
		mt_puts(&t, "courierimapuiddb", "1 77 3\n1 1.a\n");
		mt_puts(&t, "cur/1.a:2,", "x");
		CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
		mt_puts(&t, "courierimapuiddb", *list);
		mt_puts(&t, "cur/2.b:2,", "x");
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_RESET);
		md_box_close(&box);
		mt_end(&t);
	}
}

/* UIDs 2 to 5 were told to clients under 77. A list with another UIDVALIDITY may give them to new messages; an open box
 * that still shows 77 may not show those. */
static void test_used_uids_under_open_box(void)
{
	struct md_changes ch;
	struct md_box *box;
	struct md_test t;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 6\n1 1.a\n");
	mt_puts(&t, "cur/1.a:2,", "x");
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	mt_puts(&t, "courierimapuiddb", "1 4000000000 7\n1 1.a\n3 2.b\n6 3.c\n");
	mt_puts(&t, "cur/2.b:2,", "x");
	mt_puts(&t, "cur/3.c:2,", "x");
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT_EQUAL_FATAL(md_box_count(box), 2);
	CU_ASSERT(md_box_uid(box, 0) == 1 && md_box_uid(box, 1) == 6);
	md_box_close(&box);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT_EQUAL(md_box_count(box), 3);
	md_box_close(&box);
	mt_end(&t);
}

static void test_symlink(void)
{
	struct md_test t, other;
	char path[128];
	struct md_status st;

	mt_begin(&t);
	mt_begin(&other);
	mt_puts(&other, "cur/1.x:2,", "x");
	snprintf(path, sizeof(path), "%s/.Linked", t.dir);
	CU_ASSERT_EQUAL(symlink(other.dir, path), 0);
	check_tree(&t, "INBOX+,Linked,");
	CU_ASSERT_EQUAL(md_status(&t.root, "Linked", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 1);
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "Linked"), MD_OK);
	CU_ASSERT(mt_exists(&other, "cur/1.x:2,"));
	check_tree(&t, "INBOX,");
	mt_end(&other);
	mt_end(&t);
}

static void check_subscribed(struct md_test *t, const char *want)
{
	struct md_names n;
	struct str s = STR_INIT;

	CU_ASSERT_EQUAL(md_subscribed(&t->root, &n), MD_OK);
	for (size_t i = 0; i < n.n; i++) {
		str_addf(&s, "%s,", n.name[i]);
		CU_ASSERT(md_names_has(&n, n.name[i]));
	}
	CU_ASSERT(!md_names_has(&n, "none"));
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), want);
	str_fini(&s);
	md_names_fini(&n);
}

static void check_file(struct md_test *t, const char *want)
{
	char *text = mt_read(t, "courierimapsubscribed");

	CU_ASSERT_STRING_EQUAL(text, want);
	mem_free(&text);
}

static void test_subscribe(void)
{
	struct md_test t;

	mt_begin(&t);
	check_subscribed(&t, "");
	CU_ASSERT_EQUAL(md_unsubscribe(&t.root, "A"), MD_OK);
	CU_ASSERT(!mt_exists(&t, "courierimapsubscribed"));
	CU_ASSERT_EQUAL(md_subscribe(&t.root, "d\303\251j\303\240.B"), MD_OK);
	check_file(&t, "INBOX.d\303\251j\303\240.B\n");
	mt_puts(&t, "courierimapsubscribed", "INBOX.Z\n#shared.x\ninbox.A\nINBOX\nINBOX.\nINBOXx\nINBOX.A\nINBOX.last");
	check_subscribed(&t, ",A,Z,last,");
	CU_ASSERT_EQUAL(md_subscribe(&t.root, "Z"), MD_OK);
	CU_ASSERT_EQUAL(md_unsubscribe(&t.root, "A"), MD_OK);
	check_file(&t, "INBOX.Z\n#shared.x\nINBOX\nINBOX.\nINBOXx\nINBOX.last\n");
	CU_ASSERT_EQUAL(md_unsubscribe(&t.root, ""), MD_OK);
	CU_ASSERT_EQUAL(md_subscribe(&t.root, "A"), MD_OK);
	check_file(&t, "INBOX.Z\n#shared.x\nINBOX.\nINBOXx\nINBOX.last\nINBOX.A\n");
	CU_ASSERT_EQUAL(md_subscribe(&t.root, "a/b"), MD_BADNAME);
	CU_ASSERT(!mt_exists(&t, "tmp/courier.lock"));
	mt_end(&t);
}

static const struct unit_case cases[] = { { "valid names", test_valid }, { "create and list", test_create },
	{ "delete", test_delete }, { "rename", test_rename }, { "a name that is used again", test_name_is_used_again },
	{ "UIDVALIDITY is used up", test_uidvalidity_is_used_up },
	{ "UIDVALIDITY ahead of the clock", test_uidvalidity_ahead_is_remembered },
	{ "renamed under an open box", test_rename_under_open_box },
	{ "another list under an open box", test_other_list_under_open_box },
	{ "UIDs that were used, under an open box", test_used_uids_under_open_box }, { "symbolic links", test_symlink },
	{ "subscribe", test_subscribe }, { NULL, NULL } };

UNIT_MAIN("md_tree", cases)
