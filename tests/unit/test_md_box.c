/* maildir/md_box: UIDs, flags, keywords, expunge. */
#include "tests/unit/md_test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <time.h>
#include <utime.h>

#include "maildir/md_copy.h"
#include "maildir/md_dir.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_save.h"
#include "maildir/md_tree.h"
#include "maildir/md_watch.h"

static const char mail[] = "From: a\nSubject: x\n\nhi\n";

static struct md_box *open_box(struct md_test *t, const char *folder, bool readonly)
{
	struct md_box *box = NULL;
	enum md_err e = md_box_open(&t->root, folder, readonly, &box);

	CU_ASSERT_EQUAL_FATAL(e, MD_OK);
	return box;
}

static void sync_box(struct md_box *box, size_t added, size_t gone, size_t flagged)
{
	struct md_changes ch;

	CU_ASSERT_EQUAL_FATAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT_EQUAL(ch.added, added);
	CU_ASSERT_EQUAL(ch.gone, gone);
	CU_ASSERT_EQUAL(ch.flagged, flagged);
}

static void check_file(struct md_test *t, const char *path, const char *want)
{
	char *text = mt_read(t, path);

	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_STRING_EQUAL(text, want);
	mem_free(&text);
}

/* New mail is moved and gets UIDs in Courier's order; the list is identical to Courier's. */
static void test_first_open(void)
{
	struct md_test t;
	struct md_box *box;
	struct stat st;
	char path[128], want[256];

	mt_begin(&t);
	mt_puts(&t, "new/1000000009.M9P1.host,S=27", mail);
	mt_puts(&t, "new/999999999.Z.host", mail);
	mt_puts(&t, "cur/1000000001.M1P1.host:2,FS", mail);
	mt_puts(&t, "cur/.hidden", mail);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 3);
	CU_ASSERT_STRING_EQUAL(box->msgs[0].name, "999999999.Z.host:2,");
	CU_ASSERT_STRING_EQUAL(box->msgs[1].name, "1000000001.M1P1.host:2,FS");
	CU_ASSERT_EQUAL(box->msgs[1].flags, MD_FLAGGED | MD_SEEN);
	CU_ASSERT_STRING_EQUAL(box->msgs[2].name, "1000000009.M9P1.host,S=27:2,");
	CU_ASSERT(box->msgs[0].recent && !box->msgs[1].recent && box->msgs[2].recent);
	CU_ASSERT_EQUAL(box->n_recent, 2);
	CU_ASSERT_EQUAL(box->uidnext, 4);
	CU_ASSERT(mt_exists(&t, "cur/1000000009.M9P1.host,S=27:2,"));
	snprintf(path, sizeof(path), "%s/courierimapuiddb", t.dir);
	CU_ASSERT_EQUAL(stat(path, &st), 0);
	CU_ASSERT(llabs((long long)st.st_mtime - 1000000000 - box->uidvalidity) <= 1);
	snprintf(want, sizeof(want),
	    "1 %u 4\n1 999999999.Z.host\n2 1000000001.M1P1.host\n3 1000000009.M9P1.host,S=27\n", box->uidvalidity);
	check_file(&t, "courierimapuiddb", want);
	CU_ASSERT(!mt_exists(&t, "tmp/courier.lock"));
	md_box_close(&box);
	mt_end(&t);
}

/* Courier's list is kept; a message whose ",S=" changed is found by its stem. */
static void test_take_over(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb",
	    "1 795290828 9\n4 1000000009.M9P1.host,S=27\n6 1000000001.M1P1.host\n7 5.gone\n");
	mt_puts(&t, "cur/1000000009.M9P1.host,S=27:2,S", mail);
	mt_puts(&t, "cur/1000000001.M1P1.host,S=23:2,", mail);
	mt_puts(&t, "cur/1.new:2,", mail);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 3);
	CU_ASSERT_EQUAL(box->uidvalidity, 795290828);
	CU_ASSERT_EQUAL(box->msgs[0].uid, 4);
	CU_ASSERT_EQUAL(box->msgs[1].uid, 6);
	CU_ASSERT_EQUAL(box->msgs[2].uid, 9);
	CU_ASSERT_STRING_EQUAL(box->msgs[2].name, "1.new:2,");
	check_file(&t, "courierimapuiddb",
	    "1 795290828 10\n4 1000000009.M9P1.host,S=27\n6 1000000001.M1P1.host,S=23\n9 1.new\n");
	md_box_close(&box);
	mt_end(&t);
}

/* Mail of the same second is ordered by number, both for POP3 and for new UIDs. */
static void test_order_within_a_second(void)
{
	static const char *const files[] = { "cur/7.M339452P9.host:2,", "new/7.M50206P9.host",
		"cur/7.M50206P10.host:2,S" };
	static const char *const order[] = { "7.M50206P9", "7.M50206P10", "7.M339452P9" };
	struct md_test t;
	struct md_box *pop3, *imap;

	mt_begin(&t);
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		mt_puts(&t, files[i], mail);
	CU_ASSERT_EQUAL_FATAL(md_box_open_files(&t.root, &pop3), MD_OK);
	imap = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(pop3->n, 3);
	CU_ASSERT_EQUAL_FATAL(imap->n, 3);
	for (size_t i = 0; i < ARRAY_LEN(order); i++) {
		CU_ASSERT_EQUAL(strncmp(pop3->msgs[i].name, order[i], strlen(order[i])), 0);
		CU_ASSERT_EQUAL(strncmp(imap->msgs[i].name, order[i], strlen(order[i])), 0);
	}
	md_box_close(&pop3);
	md_box_close(&imap);
	mt_end(&t);
}

/* Two sessions and outside deliveries. */
static void test_sync(void)
{
	struct md_test t;
	struct md_box *a, *b;
	size_t seq = 0;

	mt_begin(&t);
	mt_puts(&t, "new/1.a", mail);
	mt_puts(&t, "new/2.b", mail);
	mt_puts(&t, "new/3.c", mail);
	a = open_box(&t, "", false);
	b = open_box(&t, "", false);
	CU_ASSERT_EQUAL(a->n_recent, 3);
	CU_ASSERT_EQUAL(b->n_recent, 0);
	sync_box(a, 0, 0, 0);
	mt_puts(&t, "new/4.d", mail);
	sync_box(b, 1, 0, 0);
	sync_box(a, 1, 0, 0);
	CU_ASSERT_EQUAL(b->n_recent, 1);
	CU_ASSERT_EQUAL(a->msgs[3].uid, 4);
	CU_ASSERT(!a->msgs[3].recent);

	CU_ASSERT_EQUAL(md_box_store(a, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,S"));
	/* B does not know yet that the file has another name. */
	CU_ASSERT_EQUAL(md_box_store(b, 0, MD_STORE_ADD, MD_FLAGGED, NULL, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,FS"));
	CU_ASSERT(b->msgs[0].changed);
	sync_box(b, 0, 0, 1);
	sync_box(a, 0, 0, 1);
	CU_ASSERT(a->msgs[0].changed);
	CU_ASSERT_EQUAL(a->msgs[0].flags, MD_FLAGGED | MD_SEEN);
	a->msgs[0].changed = false;

	CU_ASSERT_EQUAL(md_box_expunge(a, 1), MD_OK);
	mt_unlink(&t, "cur/3.c:2,");
	sync_box(a, 0, 1, 0);
	sync_box(b, 0, 2, 0);
	CU_ASSERT_EQUAL(b->n, 4);
	CU_ASSERT_EQUAL(b->n_gone, 2);
	CU_ASSERT_EQUAL(md_box_store(b, 1, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_GONE);
	CU_ASSERT_EQUAL(md_box_drop_gone(b, NULL, &seq), 2);
	CU_ASSERT_EQUAL(b->n, 2);
	CU_ASSERT_EQUAL(b->msgs[1].uid, 4);
	CU_ASSERT_EQUAL(md_box_find(b, 2), 1);
	CU_ASSERT_EQUAL(md_box_find(b, 5), 2);
	md_box_close(&a);
	md_box_close(&b);
	/* UIDs are never reused. */
	mt_puts(&t, "new/5.e", mail);
	mt_unlink(&t, "cur/4.d:2,");
	a = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(a->n, 2);
	CU_ASSERT_EQUAL(a->msgs[1].uid, 5);
	md_box_close(&a);
	mt_end(&t);
}

static char seqs[64];

static void note(uint32_t seq, uint32_t uid, void *arg)
{
	(void)arg;
	snprintf(seqs + strlen(seqs), sizeof(seqs) - strlen(seqs), "%u/%u ", seq, uid);
}

static void test_drop_gone(void)
{
	struct md_test t;
	struct md_box *box;
	char name[32];

	mt_begin(&t);
	for (int i = 1; i <= 6; i++) {
		snprintf(name, sizeof(name), "cur/%d.x:2,", i);
		mt_puts(&t, name, mail);
	}
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL(md_box_expunge(box, 1), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(box, 2), MD_OK);
	CU_ASSERT_EQUAL(md_box_expunge(box, 5), MD_OK);
	seqs[0] = '\0';
	CU_ASSERT_EQUAL(md_box_drop_gone(box, note, NULL), 3);
	CU_ASSERT_STRING_EQUAL(seqs, "2/2 2/3 4/6 ");
	CU_ASSERT_EQUAL(box->n, 3);
	sync_box(box, 0, 0, 0);
	CU_ASSERT_EQUAL(box->n, 3);
	md_box_close(&box);
	mt_end(&t);
}

/* EXAMINE moves and changes nothing. */
static void test_readonly(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_status st;

	mt_begin(&t);
	mt_puts(&t, "new/1.a", mail);
	mt_puts(&t, "cur/2.b:2,S", mail);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT(st.messages == 2 && st.recent == 1 && st.unseen == 1 && st.uidnext == 3);
	box = open_box(&t, "", true);
	CU_ASSERT_EQUAL(box->n, 2);
	CU_ASSERT_EQUAL(box->n_recent, 1);
	CU_ASSERT_EQUAL(box->uidvalidity, st.uidvalidity);
	CU_ASSERT(mt_exists(&t, "new/1.a"));
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_READONLY);
	CU_ASSERT_EQUAL(md_box_expunge(box, 0), MD_READONLY);
	mt_rename(&t, "new/1.a", "cur/1.a:2,F");
	sync_box(box, 0, 0, 1);
	CU_ASSERT_EQUAL(box->msgs[0].flags, MD_FLAGGED);
	CU_ASSERT(!box->msgs[0].in_new);
	md_box_close(&box);
	mt_end(&t);
}

static void test_read(void)
{
	struct md_test t;
	struct md_box *box;
	uint64_t octets;
	time_t when;
	char buf[8], path[128];
	struct utimbuf ut = { 1234567890, 1234567890 };
	int fd;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", "a\nb\r\nc\n");
	mt_puts(&t, "cur/2.b,S=9,W=12:2,", "");
	snprintf(path, sizeof(path), "%s/cur/1.a:2,", t.dir);
	CU_ASSERT_EQUAL(utime(path, &ut), 0);
	mt_puts(&t, "cur/3.link:2,", "soon a link");
	mt_puts(&t, "cur/4.dir:2,", "soon a directory");
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 4);
	mt_unlink(&t, "cur/3.link:2,");
	snprintf(path, sizeof(path), "%s/cur/3.link:2,", t.dir);
	CU_ASSERT_EQUAL(symlink("/etc/passwd", path), 0);
	mt_unlink(&t, "cur/4.dir:2,");
	mt_mkdir(&t, "cur/4.dir:2,");
	mt_rename(&t, "cur/1.a:2,", "cur/1.a:2,RS");
	CU_ASSERT_EQUAL(md_box_octets(box, 0, &octets), MD_OK);
	CU_ASSERT_EQUAL(octets, 9);
	CU_ASSERT_EQUAL(box->msgs[0].flags, MD_ANSWERED | MD_SEEN);
	CU_ASSERT_EQUAL(md_box_date(box, 0, &when), MD_OK);
	CU_ASSERT_EQUAL(when, 1234567890);
	CU_ASSERT_EQUAL(md_box_octets(box, 1, &octets), MD_OK);
	CU_ASSERT_EQUAL(octets, 12);
	CU_ASSERT_EQUAL(md_box_read(box, 2, &fd), MD_PERM);
	CU_ASSERT_EQUAL(md_box_read(box, 3, &fd), MD_PERM);
	CU_ASSERT_EQUAL(md_box_read(box, 0, &fd), MD_OK);
	CU_ASSERT_EQUAL(read(fd, buf, sizeof(buf)), 7);
	close(fd);
	mt_unlink(&t, "cur/1.a:2,RS");
	CU_ASSERT_EQUAL(md_box_read(box, 0, &fd), MD_GONE);
	CU_ASSERT(box->msgs[0].gone);
	md_box_close(&box);
	mt_end(&t);
}

/* Unknown flag letters are kept; two files with one base are two messages. */
static void test_odd_names(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,Pa", mail);
	mt_puts(&t, "cur/2.b:2,", "one");
	mt_puts(&t, "cur/2.b:2,S", "two");
	mt_puts(&t, "cur/3.c", mail);
	mt_puts(&t, "cur/4.d\001\377 e:2,S", mail);
	mt_puts(&t, "new/5.n:2,F", mail);
	mt_puts(&t, "cur/6.dup:2,", "one");
	mt_puts(&t, "new/6.dup", "two");
	mt_puts(&t, "cur/line\nfeed:2,F", mail);
	mt_puts(&t, "new/:2,", mail);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 10);
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_SET, MD_SEEN | MD_DRAFT, NULL, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,DPSa"));
	CU_ASSERT(mt_exists(&t, "cur/5.n:2,F"));
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, MD_FLAGGED, NULL, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/3.c:2,F"));
	sync_box(box, 0, 0, 0);
	CU_ASSERT_EQUAL(box->n, 10);
	md_box_close(&box);
	mt_end(&t);
}

static void test_keywords(void)
{
	struct md_test t;
	struct md_box *a, *b;
	uint32_t kw[2];

	mt_begin(&t);
	mt_mkdir(&t, "courierimapkeywords");
	mt_puts(&t, "courierimapkeywords/:list", "$Bar\nkw2\nfoo\n\n1.a:0 2\n2.b,S=28:1\n9.gone:0\n");
	mt_puts(&t, "courierimapkeywords/2.b,S=28", "FOO\nbad(one\n");
	mt_puts(&t, "courierimapkeywords/.1.1.a", "zzz\n");
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b,S=28:2,", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	a = open_box(&t, "", false);
	b = open_box(&t, "", false);
	CU_ASSERT_EQUAL(a->n_keywords, 4);
	CU_ASSERT_PTR_NOT_NULL_FATAL(a->msgs[0].kw);
	CU_ASSERT_EQUAL(a->msgs[0].kw->n, 2);
	CU_ASSERT(md_box_has_keyword(a, 0, (uint32_t)md_box_keyword(a, "$bar", 4)));
	CU_ASSERT(md_box_has_keyword(a, 1, (uint32_t)md_box_keyword(a, "bad_one", 7)));
	CU_ASSERT(md_box_has_keyword(a, 1, (uint32_t)md_box_keyword(a, "foo", 3)));
	CU_ASSERT(!md_box_has_keyword(a, 1, (uint32_t)md_box_keyword(a, "kw2", 3)));
	CU_ASSERT_PTR_NULL(a->msgs[2].kw);
	CU_ASSERT_EQUAL(md_box_keyword_add(a, "a b", 3), -1);
	CU_ASSERT_EQUAL(md_box_keyword_add(a, "", 0), -1);

	kw[0] = (uint32_t)md_box_keyword_add(a, "new", 3);
	CU_ASSERT_EQUAL(md_box_store(a, 2, MD_STORE_ADD, 0, kw, 1), MD_OK);
	check_file(&t, "courierimapkeywords/3.c", "new\n");
	/* B adds to what A stored, although it has not seen it yet. */
	kw[0] = (uint32_t)md_box_keyword_add(b, "other", 5);
	CU_ASSERT_EQUAL(md_box_store(b, 2, MD_STORE_ADD, MD_SEEN, kw, 1), MD_OK);
	CU_ASSERT_EQUAL_FATAL(b->msgs[2].kw->n, 2);
	sync_box(a, 0, 0, 1);
	CU_ASSERT_EQUAL(a->msgs[2].kw->n, 2);
	CU_ASSERT_EQUAL(md_box_store(a, 2, MD_STORE_SET, 0, NULL, 0), MD_OK);
	CU_ASSERT_PTR_NULL(a->msgs[2].kw);
	check_file(&t, "courierimapkeywords/3.c", "");
	sync_box(b, 0, 0, 1);
	CU_ASSERT_PTR_NULL(b->msgs[2].kw);
	md_box_close(&a);
	md_box_close(&b);
	mt_end(&t);
}

/* Many changes are merged into ":list", in Courier's format. */
static void test_keyword_fold(void)
{
	struct md_test t;
	struct md_box *box;
	char name[64];
	uint32_t kw;
	char *text;

	mt_begin(&t);
	for (int i = 100; i < 200; i++) {
		snprintf(name, sizeof(name), "cur/%d.x:2,", i);
		mt_puts(&t, name, mail);
	}
	box = open_box(&t, "", false);
	kw = (uint32_t)md_box_keyword_add(box, "first", 5);
	kw = (uint32_t)md_box_keyword_add(box, "$Fwd", 4);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	sync_box(box, 0, 0, 0);
	text = mt_read(&t, "courierimapkeywords/:list");
	CU_ASSERT_PTR_NOT_NULL_FATAL(text);
	CU_ASSERT_EQUAL(strncmp(text, "$Fwd\n\n100.x:0\n101.x:0\n", 22), 0);
	mem_free(&text);
	CU_ASSERT(!mt_exists(&t, "courierimapkeywords/100.x"));
	snprintf(name, sizeof(name), "courierimapkeywords/.%lld.100.x", (long long)time(NULL) / 300 + 1);
	CU_ASSERT(mt_exists(&t, name));
	md_box_close(&box);
	box = open_box(&t, "", true);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_PTR_NOT_NULL(box->msgs[i].kw);
	md_box_close(&box);
	mt_end(&t);
}

/* As many keywords as a folder may have, on many messages: found regardless of case, not confused with those that only
 * begin alike. test_md_cost counts the cost of finding them. */
static void test_many_keywords(void)
{
	enum { N = MD_KEYWORDS_MAX, MESSAGES = 60 };
	struct md_test t;
	struct md_box *box;
	uint32_t *kw = mem_array(N, sizeof(*kw));
	char name[64];

	mt_begin(&t);
	for (int i = 0; i < MESSAGES; i++) {
		snprintf(name, sizeof(name), "cur/%d.x:2,", 100 + i);
		mt_puts(&t, name, mail);
	}
	box = open_box(&t, "", false);
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "Word%u", i * 2654435761u);
		kw[i] = (uint32_t)md_box_keyword_add(box, name, strlen(name));
		CU_ASSERT_EQUAL(kw[i], i);
	}
	CU_ASSERT_EQUAL(md_box_keyword(box, "wORD0", 5), 0);
	CU_ASSERT_EQUAL(md_box_keyword(box, "word0", 4), -1);
	CU_ASSERT_EQUAL(md_box_keyword(box, "zzz", 3), -1);
	CU_ASSERT_EQUAL(md_box_keyword_add(box, "WORD0", 5), 0);
	CU_ASSERT_EQUAL(md_box_keyword_add(box, "onemore", 7), -1);
	for (int i = 0; i < N; i++)
		CU_ASSERT_EQUAL(md_box_keyword(box, box->keywords[i], strlen(box->keywords[i])), i);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_ADD, 0, kw, N), MD_OK);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_store(box, i, MD_STORE_REMOVE, 0, kw, N / 2), MD_OK);
	md_box_close(&box);
	box = open_box(&t, "", true);
	for (size_t i = 0; i < box->n; i++) {
		CU_ASSERT_PTR_NOT_NULL_FATAL(box->msgs[i].kw);
		CU_ASSERT_EQUAL(box->msgs[i].kw->n, N / 2);
	}
	CU_ASSERT_EQUAL(box->n_keywords, N / 2);
	md_box_close(&box);
	mem_free(&kw);
	mt_end(&t);
}

static void test_save(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_save *s;
	uint32_t uid, uidv;
	const char *kw[] = { "$Label1", "work" };
	const char text[] = "a: b\r\n\r\nx\r\r\ny\rz\r\n\r";
	char path[512];
	struct stat st;

	mt_begin(&t);
	mt_puts(&t, "cur/9.old:2,", mail);
	/* Cut at every byte. */
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		/* The second before 1970 is a valid time. */
		const time_t when = cut % 2 == 0 ? 1000000000 : -1;

		CU_ASSERT_EQUAL_FATAL(md_save_begin(&t.root, "", &s), MD_OK);
		CU_ASSERT_EQUAL(md_save_write(s, text, cut), MD_OK);
		CU_ASSERT_EQUAL(md_save_write(s, text + cut, sizeof(text) - 1 - cut), MD_OK);
		CU_ASSERT_EQUAL(md_save_commit(&s, MD_SEEN | MD_DRAFT, kw, 2, &when, &uid, &uidv), MD_OK);
		CU_ASSERT_PTR_NULL(s);
		CU_ASSERT_EQUAL(uid, cut + 2);
	}
	CU_ASSERT_EQUAL(md_save_begin(&t.root, "", &s), MD_OK);
	md_save_abort(&s);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, sizeof(text) + 1);
	CU_ASSERT_EQUAL(box->uidvalidity, uidv);
	for (size_t i = 1; i < box->n; i++) {
		CU_ASSERT_EQUAL(box->msgs[i].flags, MD_SEEN | MD_DRAFT);
		CU_ASSERT_PTR_NOT_NULL_FATAL(box->msgs[i].kw);
		CU_ASSERT_EQUAL(box->msgs[i].kw->n, 2);
		CU_ASSERT_PTR_NOT_NULL(strstr(box->msgs[i].name, ",S=13:2,DS"));
		snprintf(path, sizeof(path), "cur/%s", box->msgs[i].name);
		check_file(&t, path, "a: b\n\nx\ny\rz\n\r");
		snprintf(path, sizeof(path), "%s/cur/%s", t.dir, box->msgs[i].name);
		CU_ASSERT_EQUAL(stat(path, &st), 0);
		CU_ASSERT_EQUAL(st.st_mtime, i % 2 != 0 ? 1000000000 : -1);
	}
	CU_ASSERT_EQUAL(rmdir((snprintf(path, sizeof(path), "%s/tmp", t.dir), path)), 0); /* nothing left in it */
	CU_ASSERT_EQUAL(md_save_begin(&t.root, "", &s), MD_NOTMAILDIR);
	CU_ASSERT_EQUAL(md_save_begin(&t.root, "No", &s), MD_NOFOLDER);
	md_box_close(&box);
	mt_end(&t);
}

/* No space: nothing is stored, nothing is left behind, and the message says what to do. */
static void test_full(void)
{
	struct md_test t;
	struct md_save *s;
	struct md_status st;
	struct rlimit keep, small;
	char text[20000], path[128];

	mt_begin(&t);
	memset(text, 'x', sizeof(text));
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &keep), 0);
	small = keep;
	small.rlim_cur = 10000;
	CU_ASSERT_EQUAL(md_save_begin(&t.root, "", &s), MD_OK);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &small), 0);
	CU_ASSERT_EQUAL(md_save_write(s, text, sizeof(text)), MD_FULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "make room"));
	md_save_abort(&s);
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &keep), 0);
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 0);
	snprintf(path, sizeof(path), "%s/tmp", t.dir);
	CU_ASSERT_EQUAL(rmdir(path), 0);
	mt_end(&t);
}

static void make_folder(struct md_test *t, const char *dir)
{
	static const char *const sub[] = { "", "/cur", "/new", "/tmp" };
	char path[128];

	for (size_t i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "%s%s", dir, sub[i]);
		mt_mkdir(t, path);
	}
}

/* A folder is opened for the first time on a full disk: it is served, the session continues when mail comes, and once
 * there is space the recorded UIDs are those that were announced. */
static void test_first_open_without_room(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;
	struct rlimit keep, none;
	uint32_t uid[3];

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	signal(SIGXFSZ, SIG_IGN);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_FSIZE, &keep), 0);
	none = keep;
	none.rlim_cur = 0;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 2);
	CU_ASSERT(!box->uid_sticky);
	for (int i = 0; i < 3; i++) {
		CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &keep), 0);
		if (i == 0)
			mt_puts(&t, "new/3.c", mail);
		else
			mt_rename(&t, i == 1 ? "cur/1.a:2," : "cur/1.a:2,S", i == 1 ? "cur/1.a:2,S" : "cur/1.a:2,FS");
		CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &none), 0);
		box->retry_ms = 0;
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		CU_ASSERT_EQUAL_FATAL(box->n, 3);
		CU_ASSERT(ch.gone == 0 && !box->uid_sticky);
	}
	for (int i = 0; i < 3; i++)
		uid[i] = box->msgs[i].uid;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_FSIZE, &keep), 0);
	box->retry_ms = 0;
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(box->uid_sticky);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(box->msgs[i].uid, uid[i]);
	md_box_close(&box);
	box = open_box(&t, "", false);
	for (int i = 0; i < 3; i++)
		CU_ASSERT_EQUAL(box->msgs[i].uid, uid[i]);
	md_box_close(&box);
	mt_end(&t);
}

/* Another program has removed a message from the list and given it a new UID: sessions that know the old one see it
 * expunged, and a new message. */
static void test_list_contradicts(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 4\n1 1.a\n2 2.b\n3 3.c\n");
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	box = open_box(&t, "", false);
	mt_puts(&t, "courierimapuiddb", "1 77 6\n1 1.a\n3 3.c\n4 2.b\n");
	mt_puts(&t, "new/4.d", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.added == 1 && ch.gone == 1);
	CU_ASSERT_EQUAL(md_box_drop_gone(box, NULL, NULL), 1);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	/* 4 sorts before 6, which the client knows already: it appears when the folder is opened again. */
	CU_ASSERT_EQUAL_FATAL(box->n, 3);
	CU_ASSERT(box->msgs[0].uid == 1 && box->msgs[1].uid == 3 && box->msgs[2].uid == 6);
	md_box_close(&box);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 4);
	CU_ASSERT(box->msgs[2].uid == 4 && strncmp(box->msgs[2].name, "2.b", 3) == 0);
	md_box_close(&box);
	mt_end(&t);
}

/* A list that names files twice: the first line of each counts, in open and in new sessions, and no message counts as
 * expunged. */
static void test_list_names_twice(void)
{
	struct md_test t;
	struct md_box *box, *other;
	struct md_changes ch;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	mt_puts(&t, "courierimapuiddb", "1 77 5\n1 1.a\n2 2.b\n3 1.a\n4 2.b\n");
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 2);
	mt_puts(&t, "new/3.c", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.gone == 0 && ch.added == 1);
	/* Another program writes such a list under an open box. */
	mt_puts(&t, "courierimapuiddb", "1 77 9\n1 1.a\n2 2.b\n5 3.c\n6 1.a\n7 2.b\n8 3.c\n");
	mt_puts(&t, "new/4.d", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(ch.gone == 0 && ch.added == 1);
	CU_ASSERT_EQUAL(md_box_drop_gone(box, NULL, NULL), 0);
	other = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 4);
	CU_ASSERT_EQUAL_FATAL(other->n, 4);
	for (size_t i = 0; i < 4; i++)
		CU_ASSERT_EQUAL(box->msgs[i].uid, other->msgs[i].uid);
	md_box_close(&other);
	md_box_close(&box);
	mt_end(&t);
}

static void append_to(struct md_test *t, const char *folder, enum md_err want, uint32_t *uid, uint32_t *uidvalidity)
{
	struct md_save *s;

	CU_ASSERT_EQUAL_FATAL(md_save_begin(&t->root, folder, &s), MD_OK);
	CU_ASSERT_EQUAL(md_save_write(s, mail, strlen(mail)), MD_OK);
	CU_ASSERT_EQUAL(md_save_commit(&s, 0, NULL, 0, NULL, uid, uidvalidity), want);
}

/* UIDs run out while a folder is open: that session continues with what it has; the next one to open the folder gets
 * all mail under a new UIDVALIDITY (RFC 3501 section 2.3.1.1). */
static void uids_run_out(const char *list, bool readonly)
{
	struct md_test t;
	struct md_box *box;
	struct md_status st;
	struct md_changes ch;
	uint32_t uid, uidv, n = 2;
	char name[64];

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,S", mail);
	mt_puts(&t, "courierimapuiddb", "1 77 3\n1 1.a\n2 2.b\n");
	box = open_box(&t, "", readonly);
	mt_puts(&t, "courierimapuiddb", list); /* so much mail came, or another program wrote so */
	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "new/%d.c", 3 + i);
		mt_puts(&t, name, mail);
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
		CU_ASSERT_EQUAL(ch.gone, 0);
		n += ch.added;
		CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	}
	CU_ASSERT_EQUAL(box->n, n);
	CU_ASSERT(box->uidvalidity == 77 && box->msgs[0].uid == 1);
	append_to(&t, "", MD_LIMIT, &uid, &uidv);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	if (!readonly)
		CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_FLAGGED, NULL, 0), MD_OK);
	/* Looking at the folder is enough to repair it. */
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT(st.messages == 6 && st.uidvalidity > 77 && st.uidnext == 7);
	append_to(&t, "", MD_OK, &uid, &uidv);
	CU_ASSERT(uid == 7 && uidv == st.uidvalidity);
	mt_puts(&t, "new/8.d", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_RESET);
	md_box_close(&box);
	mt_end(&t);
}

static void test_uids_run_out(void)
{
	uids_run_out("1 77 4294967295\n1 1.a\n2 2.b\n", false);
	uids_run_out("1 77 4294967294\n1 1.a\n2 2.b\n", false);
	uids_run_out("1 77 4294967295\n1 1.a\n2 2.b\n", true);
	uids_run_out("1 77 3\n1 1.a\n2 2.b\n4294967294 old\n", false);
}

/* A folder whose UIDs are used up gets new ones when it is opened, before one is needed. */
static void test_open_with_uids_used_up(void)
{
	struct md_test t;
	struct md_box *box;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "courierimapuiddb", "1 77 4294967295\n1 1.a\n");
	box = open_box(&t, "", false);
	CU_ASSERT(box->uidvalidity > 77 && box->uidnext == 2);
	mt_puts(&t, "new/2.b", mail);
	sync_box(box, 1, 0, 0);
	CU_ASSERT_EQUAL(box->msgs[1].uid, 2);
	md_box_close(&box);
	/* So does one whose numbers are all used by messages. */
	mt_puts(&t, "courierimapuiddb", "1 4294967294 4294967295\n4294967293 1.a\n4294967294 2.b\n");
	box = open_box(&t, "", false);
	CU_ASSERT(box->uidvalidity == UINT32_MAX && box->uidnext == 3);
	md_box_close(&box);
	mt_end(&t);
}

/* A UIDVALIDITY never decreases: if both are used up, the folder keeps its UIDs, and new mail waits until somebody
 * repairs it. */
static void test_all_used_up(void)
{
	struct md_test t;
	struct md_box *box;
	uint32_t uid, uidv;
	char *text;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	mt_puts(&t, "courierimapuiddb", "1 4294967295 4294967294\n4294967290 1.a\n4294967293 2.b\n");
	mt_puts(&t, "new/3.c", mail);
	mt_puts(&t, "new/4.d", mail);
	for (int i = 0; i < 2; i++) {
		box = open_box(&t, "", i == 0);
		CU_ASSERT_EQUAL_FATAL(box->n, 3);
		CU_ASSERT(
		    box->uidvalidity == UINT32_MAX && box->msgs[0].uid == 4294967290 && box->msgs[2].uid == 4294967294);
		sync_box(box, 0, 0, 0);
		md_box_close(&box);
	}
	append_to(&t, "", MD_LIMIT, &uid, &uidv);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "remove courierimapuiddb"));
	text = mt_read(&t, "courierimapuiddb");
	CU_ASSERT_STRING_EQUAL(text, "1 4294967295 4294967295\n4294967290 1.a\n4294967293 2.b\n4294967294 3.c\n");
	mem_free(&text);
	mt_unlink(&t, "courierimapuiddb");
	box = open_box(&t, "", false);
	CU_ASSERT(box->n == 4 && box->uidnext == 5 && box->uidvalidity < UINT32_MAX);
	md_box_close(&box);
	mt_end(&t);
}

static void test_copy_move(void)
{
	struct md_test t;
	struct md_box *box, *to;
	struct md_copied c;
	uint32_t kw;
	size_t idx[] = { 0, 1, 2 };

	mt_begin(&t);
	make_folder(&t, ".To");
	mt_puts(&t, "cur/1.a:2,Sx", mail);
	mt_puts(&t, "cur/2.b,S=23:2,", mail);
	mt_puts(&t, "cur/3.c:2,", mail);
	mt_puts(&t, ".To/cur/9.old:2,", mail);
	box = open_box(&t, "", false);
	kw = (uint32_t)md_box_keyword_add(box, "kw", 2);
	CU_ASSERT_EQUAL(md_box_store(box, 1, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	mt_unlink(&t, "cur/3.c:2,");
	mt_rename(&t, "cur/1.a:2,Sx", "cur/1.a:2,FSx");
	CU_ASSERT_EQUAL(md_copy(box, idx, 3, "To", &c), MD_OK);
	CU_ASSERT_EQUAL_FATAL(c.n, 2);
	CU_ASSERT_EQUAL(c.missed, 1);
	CU_ASSERT(c.from[0] == 1 && c.from[1] == 2 && c.to[0] == 2 && c.to[1] == 3);
	md_copied_fini(&c);
	to = open_box(&t, "To", false);
	CU_ASSERT_EQUAL_FATAL(to->n, 3);
	CU_ASSERT_PTR_NOT_NULL(strstr(to->msgs[1].name, ",S=23:2,FSx"));
	CU_ASSERT(to->msgs[2].kw != NULL && strcmp(to->keywords[to->msgs[2].kw->idx[0]], "kw") == 0);

	CU_ASSERT_EQUAL(md_move(box, idx, 3, "To", &c), MD_OK);
	CU_ASSERT_EQUAL_FATAL(c.n, 2);
	CU_ASSERT(c.to[0] == 4 && c.to[1] == 5 && c.missed == 1);
	md_copied_fini(&c);
	CU_ASSERT_EQUAL(box->n_gone, 3);
	CU_ASSERT_EQUAL(md_box_drop_gone(box, NULL, NULL), 3);
	sync_box(box, 0, 0, 1); /* the rename above */
	sync_box(to, 2, 0, 0);
	CU_ASSERT(to->msgs[4].kw != NULL);
	/* Into itself. */
	CU_ASSERT_EQUAL(md_copy(to, idx, 1, "To", &c), MD_OK);
	CU_ASSERT_EQUAL(c.to[0], 6);
	md_copied_fini(&c);
	CU_ASSERT_EQUAL(md_copy(to, idx, 1, "None", &c), MD_NOFOLDER);
	md_copied_fini(&c);
	md_box_close(&box);
	md_box_close(&to);
	mt_end(&t);
}

/* All or nothing: a target that cannot take keywords. */
static void test_copy_undo(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_copied c;
	struct md_status st;
	uint32_t kw;
	size_t idx[] = { 0, 1 };

	mt_begin(&t);
	make_folder(&t, ".To");
	mt_puts(&t, ".To/courierimapkeywords", "in the way");
	mt_puts(&t, "cur/1.a:2,S", mail);
	mt_puts(&t, "cur/2.b:2,", mail);
	box = open_box(&t, "", false);
	kw = (uint32_t)md_box_keyword_add(box, "kw", 2);
	CU_ASSERT_EQUAL(md_box_store(box, 1, MD_STORE_ADD, 0, &kw, 1), MD_OK);
	CU_ASSERT_NOT_EQUAL(md_move(box, idx, 2, "To", &c), MD_OK);
	md_copied_fini(&c);
	CU_ASSERT_NOT_EQUAL(md_copy(box, idx, 2, "To", &c), MD_OK);
	md_copied_fini(&c);
	CU_ASSERT_EQUAL(box->n_gone, 0);
	CU_ASSERT(mt_exists(&t, "cur/1.a:2,S") && mt_exists(&t, "cur/2.b:2,"));
	mt_unlink(&t, ".To/courierimapkeywords");
	CU_ASSERT_EQUAL(md_status(&t.root, "To", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 0);
	CU_ASSERT_EQUAL(st.uidnext, 5);
	md_box_close(&box);
	mt_end(&t);
}

static void test_reset(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;
	char *text;

	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 5\n1 1.a\n");
	mt_puts(&t, "cur/1.a:2,", mail);
	box = open_box(&t, "", false);
	/* The list is deleted: what the client knows stays valid. */
	mt_unlink(&t, "courierimapuiddb");
	mt_puts(&t, "new/2.b", mail);
	sync_box(box, 1, 0, 0);
	CU_ASSERT_EQUAL(box->msgs[1].uid, 5);
	text = mt_read(&t, "courierimapuiddb");
	CU_ASSERT_STRING_EQUAL(text, "1 77 6\n1 1.a\n5 2.b\n");
	mem_free(&text);
	/* Another one in its place. */
	mt_puts(&t, "courierimapuiddb", "1 78 5\n1 1.a\n");
	mt_puts(&t, "new/3.c", mail);
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_RESET);
	md_box_close(&box);
	mt_end(&t);
}

static void test_errors(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_root r;

	mt_begin(&t);
	CU_ASSERT_EQUAL(md_box_open(&t.root, "None", false, &box), MD_NOFOLDER);
	CU_ASSERT_PTR_NULL(box);
	CU_ASSERT_NOT_EQUAL(t.root.why[0], '\0');
	CU_ASSERT_EQUAL(md_box_open(&t.root, "../x", false, &box), MD_BADNAME);
	mt_mkdir(&t, ".Bare");
	CU_ASSERT_EQUAL(md_box_open(&t.root, "Bare", false, &box), MD_NOTMAILDIR);
	CU_ASSERT_EQUAL(md_root_init(&r, "/nonexistent/x"), MD_NOFOLDER);
	md_root_fini(&r);
	CU_ASSERT_EQUAL(md_root_init(&r, "/usr"), MD_NOTMAILDIR);
	md_root_fini(&r);
	mt_end(&t);
}

static void test_garbage_list(void)
{
	static const char *const text[] = { "", "1", "1 2", "2 5 5\n1 a\n", "1 0 5\n", "1 5 0\n", "x\n",
		"1 99999999999 5\n", "1 7 4294967295\n", "1 5 5\n1 1.a\n1 1.a\n", "1 5 3\n9 1.a\n",
		"1 5 5\n4294967295 1.a\n", "1 5 5\n2 1.a" };

	for (size_t i = 0; i < ARRAY_LEN(text); i++) {
		struct md_test t;
		struct md_box *box;

		mt_begin(&t);
		mt_puts(&t, "courierimapuiddb", text[i]);
		mt_puts(&t, "cur/1.a:2,", mail);
		mt_puts(&t, "new/2.b", mail);
		box = open_box(&t, "", false);
		CU_ASSERT_EQUAL(box->n, 2);
		CU_ASSERT(box->uidvalidity != 0 && box->msgs[0].uid != 0 && box->msgs[0].uid < box->msgs[1].uid);
		CU_ASSERT(box->uidnext > box->msgs[1].uid);
		CU_ASSERT(box->uid_sticky);
		md_box_close(&box);
		mt_end(&t);
	}
}

static void test_clean_tmp(void)
{
	struct md_test t;
	struct md_box *box;
	char path[128], host[65], living[160], dead[160], elsewhere[160];
	time_t now = time(NULL);
	struct utimbuf ut = { now - 37 * 3600, now - 37 * 3600 };

	mt_begin(&t);
	/* A message with an old date that is being stored right now. */
	mt_puts(&t, "tmp/dated", "x");
	snprintf(path, sizeof(path), "%s/tmp/dated", t.dir);
	CU_ASSERT_EQUAL(utime(path, &ut), 0);
	box = open_box(&t, "", false);
	md_box_close(&box);
	CU_ASSERT(mt_exists(&t, "tmp/dated"));
	/* Later: files untouched for 36 hours are removed, unless the process that made them still exists. */
	CU_ASSERT_EQUAL(gethostname(host, sizeof(host)), 0);
	snprintf(living, sizeof(living), "tmp/%lld.M1P%ld_0.%s", (long long)now, (long)getpid(), host);
	snprintf(dead, sizeof(dead), "tmp/%lld.M1P%d_0.%s", (long long)now, 0x3fffffff, host);
	snprintf(elsewhere, sizeof(elsewhere), "tmp/%lld.M1P%ld_0.other%s", (long long)now, (long)getpid(), host);
	mt_puts(&t, living, "x");
	mt_puts(&t, dead, "x");
	mt_puts(&t, elsewhere, "x");
	md_clean_tmp(t.root.fd, now + 35 * 3600);
	CU_ASSERT(
	    mt_exists(&t, "tmp/dated") && mt_exists(&t, living) && mt_exists(&t, dead) && mt_exists(&t, elsewhere));
	md_clean_tmp(t.root.fd, now + 37 * 3600);
	CU_ASSERT(mt_exists(&t, living));
	CU_ASSERT(!mt_exists(&t, "tmp/dated") && !mt_exists(&t, dead) && !mt_exists(&t, elsewhere));
	mt_end(&t);
}

/* Only regular files are messages, in IMAP and in POP3. */
static void test_no_regular_files(void)
{
	static const char *const sub[] = { "new", "cur" };
	char path[128];
	struct md_test t;
	struct md_status st;
	struct md_box *box;
	struct md_pop3 *p;

	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", mail);
	mt_puts(&t, "new/2.b", mail);
	for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
		snprintf(path, sizeof(path), "%s/3.dir%s", sub[i], i == 1 ? ":2,S" : "");
		mt_mkdir(&t, path);
		snprintf(path, sizeof(path), "%s/%s/4.link%s", t.dir, sub[i], i == 1 ? ":2,S" : "");
		CU_ASSERT_EQUAL(symlink("1.a:2,", path), 0);
		snprintf(path, sizeof(path), "%s/%s/5.dangling", t.dir, sub[i]);
		CU_ASSERT_EQUAL(symlink("nowhere", path), 0);
		snprintf(path, sizeof(path), "%s/%s/6.pipe:2,T", t.dir, sub[i]);
		CU_ASSERT_EQUAL(mkfifo(path, 0600), 0);
	}
	CU_ASSERT_EQUAL(md_status(&t.root, "", &st), MD_OK);
	CU_ASSERT_EQUAL(st.messages, 2);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL_FATAL(box->n, 2);
	sync_box(box, 0, 0, 0);
	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t.root, &p), MD_OK);
	CU_ASSERT_EQUAL(p->n, 2);
	md_pop3_close(&p);
	for (size_t i = 0; i < box->n; i++)
		CU_ASSERT_EQUAL(md_box_expunge(box, i), MD_OK);
	md_box_close(&box);
	for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
		snprintf(path, sizeof(path), "%s/3.dir%s", sub[i], i == 1 ? ":2,S" : "");
		CU_ASSERT(mt_exists(&t, path));
	}
	CU_ASSERT(!md_tree_has_new(&t.root, ""));
	mt_end(&t);
}

/* Counts the files of a directory, and those that still have their first name. */
static void count_files(const struct md_test *t, const char *dir, size_t *n, size_t *same)
{
	char path[512];
	struct dirent *de;
	DIR *d;

	*n = *same = 0;
	snprintf(path, sizeof(path), "%s/%s", t->dir, dir);
	d = opendir(path);
	CU_ASSERT_PTR_NOT_NULL_FATAL(d);
	while ((de = readdir(d)) != NULL) {
		*n += de->d_name[0] != '.';
		*same += strcmp(de->d_name, "1.a:2,S") == 0 || strcmp(de->d_name, "2.b:2,") == 0;
	}
	closedir(d);
}

/* Directory LINK of FOLDER is a link to its TARGET: the folder is refused with a reason, and no file is touched, old
 * ones in particular. */
static void one_directory_twice(const char *dir, const char *folder, const char *link, const char *target)
{
	struct timespec old[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	struct md_test t;
	struct md_box *box;
	struct md_status st;
	struct md_save *s;
	struct md_pop3 *p;
	char path[256], whole[512];
	size_t n, same;

	mt_begin(&t);
	make_folder(&t, ".To");
	snprintf(path, sizeof(path), "%s/%s%s", t.dir, dir, link);
	CU_ASSERT_EQUAL(rmdir(path), 0);
	CU_ASSERT_EQUAL(symlink(target, path), 0);
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s%s/%s", dir, target, i == 0 ? "1.a:2,S" : "2.b:2,");
		mt_puts(&t, path, mail);
		snprintf(whole, sizeof(whole), "%s/%s", t.dir, path);
		CU_ASSERT_EQUAL(utimensat(AT_FDCWD, whole, old, 0), 0);
	}
	for (int i = 0; i < 2; i++) {
		CU_ASSERT_EQUAL(md_box_open(&t.root, folder, i == 1, &box), MD_NOTMAILDIR);
		CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "directories of their own"));
		md_box_close(&box);
	}
	CU_ASSERT_EQUAL(md_status(&t.root, folder, &st), MD_NOTMAILDIR);
	CU_ASSERT_EQUAL(md_save_begin(&t.root, folder, &s), MD_NOTMAILDIR);
	if (folder[0] == '\0') {
		CU_ASSERT_EQUAL(md_pop3_open(&t.root, &p), MD_NOTMAILDIR);
		md_pop3_close(&p);
	}
	snprintf(path, sizeof(path), "%s%s", dir, target);
	count_files(&t, path, &n, &same);
	CU_ASSERT(n == 2 && same == 2);
	if (folder[0] != '\0')
		CU_ASSERT_EQUAL(md_tree_delete(&t.root, folder), MD_OK);
	mt_end(&t);
}

static void test_one_directory_twice(void)
{
	static const char *const pairs[][2] = { { "new", "cur" }, { "tmp", "cur" }, { "cur", "new" }, { "tmp", "new" },
		{ "new", "tmp" }, { "cur", "tmp" } };

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		one_directory_twice("", "", pairs[i][0], pairs[i][1]);
		one_directory_twice(".To/", "To", pairs[i][0], pairs[i][1]);
	}
}

static void watch_sees_mail(struct md_test *t, struct md_watch *w, const char *name)
{
	CU_ASSERT(!md_watch_drain(w));
	mt_puts(t, name, mail);
	CU_ASSERT(md_watch_drain(w));
	CU_ASSERT(!md_watch_drain(w));
}

static void test_watch(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_watch w;

	mt_begin(&t);
	box = open_box(&t, "", false);
	for (int i = 0; i < 2; i++) { /* ... and again: nothing is left of the first watch */
		CU_ASSERT_FATAL(md_watch_init(&w, box));
		watch_sees_mail(&t, &w, i == 0 ? "new/1.a" : "cur/2.b:2,");
		mt_puts(&t, "new/3.c", mail); /* not drained */
		mt_rename(&t, "new/3.c", "cur/3.c:2,S");
		CU_ASSERT(md_watch_drain(&w));
		mt_unlink(&t, "cur/3.c:2,S");
		md_watch_fini(&w);
	}
	md_box_close(&box);
	mt_end(&t);
}

static void test_watch_of_deleted_folder(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_watch w;

	mt_begin(&t);
	make_folder(&t, ".To");
	box = open_box(&t, "To", false);
	CU_ASSERT_FATAL(md_watch_init(&w, box));
	CU_ASSERT(!md_watch_drain(&w));
	CU_ASSERT_EQUAL(md_tree_delete(&t.root, "To"), MD_OK);
	CU_ASSERT(md_watch_drain(&w));
	md_watch_fini(&w);
	md_box_close(&box);
	mt_end(&t);
}

/* With one descriptor left inotify is used, which needs no more; with none, there is a reason. */
static void test_watch_without_descriptors(void)
{
	struct rlimit old, few;
	struct md_test t;
	struct md_box *box;
	struct md_watch w;
	int next;

	mt_begin(&t);
	box = open_box(&t, "", false);
	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &old), 0);
	CU_ASSERT_NOT_EQUAL_FATAL(next = dup(0), -1);
	close(next);
	few = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = old.rlim_max };
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
	CU_ASSERT(!md_watch_init(&w, box));
	CU_ASSERT_EQUAL(w.fd, -1);
	CU_ASSERT_PTR_NOT_NULL(strstr(t.root.why, "LimitNOFILE"));
	md_watch_fini(&w);
	few.rlim_cur++;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &few), 0);
	CU_ASSERT(md_watch_init(&w, box));
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &old), 0);
	watch_sees_mail(&t, &w, "new/1.a");
	md_watch_fini(&w);
	md_box_close(&box);
	mt_end(&t);
}

static const struct unit_case cases[] = { { "first open", test_first_open },
	{ "take over from Courier", test_take_over }, { "order within a second", test_order_within_a_second },
	{ "sync", test_sync }, { "drop gone", test_drop_gone }, { "read-only", test_readonly }, { "read", test_read },
	{ "odd names", test_odd_names }, { "keywords", test_keywords }, { "keyword fold", test_keyword_fold },
	{ "many keywords", test_many_keywords }, { "save", test_save }, { "no room", test_full },
	{ "first open without room", test_first_open_without_room }, { "the list contradicts", test_list_contradicts },
	{ "the list names files twice", test_list_names_twice }, { "UIDs run out", test_uids_run_out },
	{ "opened with UIDs used up", test_open_with_uids_used_up }, { "all numbers are used up", test_all_used_up },
	{ "copy and move", test_copy_move }, { "copy undone", test_copy_undo }, { "reset", test_reset },
	{ "errors", test_errors }, { "garbage list", test_garbage_list }, { "clean tmp", test_clean_tmp },
	{ "no regular files", test_no_regular_files }, { "one directory under two names", test_one_directory_twice },
	{ "watch", test_watch }, { "watch of a folder that is deleted", test_watch_of_deleted_folder },
	{ "watch without descriptors", test_watch_without_descriptors }, { NULL, NULL } };

UNIT_MAIN("md_box", cases)
