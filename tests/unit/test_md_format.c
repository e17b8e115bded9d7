/* The file formats of the store: names, UID list, keyword list, POP3 list, lock. */
#include "tests/unit/md_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <utime.h>

#include "maildir/md_keyword.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_pop3_private.h"
#include "maildir/md_pop3list.h"
#include "maildir/md_recent.h"

/* In order of delivery. */
static const char *const ordered[] = { "9.M9P1.host", "10.#9R1X5.host", "10.#1aR0X5.host", "10.9_1.host", "10.9_2.host",
	"10.9_10.host:2,S", "10.10_1.host", "10.M7P99Q2.host",
	"10.M50206P31268V000000000000FE00I0000000000A767B9_0.vm,S=9", "10.M339452P7.host:2,", "10.M339452P7Q2.host",
	"10.M339452P7Q10.host", "10.M339452P31268V000000000000FE00I0000000000A767B8_9.vm,S=9:2,RS",
	"10.M339452P31268V000000000000FE00I0000000000A767B7_10.vm,S=9", "10.M339452P31269.a", "10.M339452P31269.a.M1P1",
	"10.M339452P99999999999999999999999.a", "11", "11.M1P1.host" };

static void test_name(void)
{
	static const struct {
		const char *name;
		size_t base;
		unsigned flags;
		uint64_t time;
	} t[] = {
		{ "1.a", 3, 0, 1 },
		{ "1.a:2,", 3, 0, 1 },
		{ "1.a:2,DFRST", 3, MD_FLAGS_ALL, 1 },
		{ "1.a:2,xSy", 3, MD_SEEN, 1 },
		{ "1.a:1,S", 3, 0, 1 },
		{ "a:b:2,S", 3, MD_SEEN, 0 },
		{ "1.a:", 3, 0, 1 },
		{ "99999999999999999999999.x", 25, 0, UINT64_MAX },
		{ "", 0, 0, 0 },
		{ "007", 3, 0, 7 },
	};
	struct str s = STR_INIT;
	uint64_t v;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		CU_ASSERT_EQUAL(md_name_base_len(t[i].name), t[i].base);
		CU_ASSERT_EQUAL(md_name_flags(t[i].name), t[i].flags);
		CU_ASSERT_EQUAL(md_name_time(t[i].name), t[i].time);
	}
	CU_ASSERT(md_name_size("1.a,S=27:2,S", &v) && v == 27);
	CU_ASSERT(md_name_size("1.a,S=27,W=30:2,S", &v) && v == 27);
	CU_ASSERT(md_name_vsize("1.a,S=27,W=30:2,S", &v) && v == 30);
	CU_ASSERT(!md_name_vsize("1.a,S=27:2,W=3", &v));
	CU_ASSERT(!md_name_size("1.a,S=", &v));
	CU_ASSERT(!md_name_size("1.a,S=-5", &v));
	CU_ASSERT(!md_name_size("1.a,S=99999999999999999999", &v));
	CU_ASSERT(!md_name_size("1.a,S=5x", &v));
	CU_ASSERT_EQUAL(md_name_stem_len("1.a,S=27:2,S"), 3);
	CU_ASSERT_EQUAL(md_name_stem_len("1.a:2,S"), 3);
	md_name_with_flags(&s, "1.a,S=1:2,zF", MD_SEEN | MD_DRAFT);
	CU_ASSERT_STRING_EQUAL(s.data, "1.a,S=1:2,DSz");
	str_clear(&s);
	md_name_new(&s, "1795297453.M211585P31268_0.vm", 0xfe00, 0xa767b8, 9);
	CU_ASSERT_STRING_EQUAL(s.data, "1795297453.M211585P31268V000000000000FE00I0000000000A767B8_0.vm,S=9");
	str_fini(&s);
	CU_ASSERT(md_name_order("9.z", "10.a") < 0);
	CU_ASSERT(md_name_order("10.a:2,S", "10.a:2,") == 0);
	CU_ASSERT(md_name_order("10.a", "10.ab") < 0);
	for (size_t i = 0; i < ARRAY_LEN(ordered); i++)
		for (size_t k = 0; k < ARRAY_LEN(ordered); k++) {
			int d = md_name_order(ordered[i], ordered[k]);

			CU_ASSERT(i < k ? d < 0 : i > k ? d > 0 : d == 0);
		}
	CU_ASSERT(!md_name_valid("") && !md_name_valid(".x") && !md_name_valid("a\nb") && !md_name_valid(":2,S") &&
	    md_name_valid("a"));
}

static void test_uidlist(void)
{
	static const char text[] = "1 795290828 5\n4 1000000009.M9P1.host,S=27\n";
	struct md_uidlist l = { 0 };
	struct str s = STR_INIT;

	CU_ASSERT(md_uidlist_parse(&l, text, sizeof(text) - 1));
	CU_ASSERT_EQUAL(l.uidvalidity, 795290828);
	CU_ASSERT_EQUAL(l.uidnext, 5);
	CU_ASSERT_EQUAL_FATAL(l.n, 1);
	CU_ASSERT_STRING_EQUAL(md_uidlist_name(&l, 0), "1000000009.M9P1.host,S=27");
	md_uidlist_format(&l, &s);
	CU_ASSERT_STRING_EQUAL(s.data, text);
	/* Cut anywhere, whole lines are used and no UID is given twice. */
	for (size_t cut = 0; cut < sizeof(text) - 1; cut++) {
		bool ok = md_uidlist_parse(&l, text, cut);

		CU_ASSERT_EQUAL(ok, cut >= 14);
		CU_ASSERT_EQUAL(l.n, 0);
		CU_ASSERT(!ok || l.uidnext == 5);
	}
	CU_ASSERT(md_uidlist_parse(&l, "1 2 3\n5 a\n4 b\n", 14));
	CU_ASSERT(l.n == 1 && l.uidnext == 6);
	CU_ASSERT(md_uidlist_parse(&l, "1 2 3\n5 a/b\n7 \n8 c\n", 20));
	CU_ASSERT(l.n == 1 && l.uidnext == 9);
	CU_ASSERT(!md_uidlist_parse(&l, "1 2 4294967296\n", 15));
	str_fini(&s);
	md_uidlist_fini(&l);
}

static void test_kwlist(void)
{
	static const char text[] = "$Bar\nkw2\nfoo\n\n1000000001.M1P1.host:0 2\nx:y,S=9:1\nnone:\n:1\nbad:7 1x 1\n";
	struct md_kwlist l = { STR_INIT, 0, 0, 0, NULL, NULL, NULL };

	md_kwlist_parse(&l, text, sizeof(text) - 1);
	CU_ASSERT_EQUAL(l.n_names, 3);
	CU_ASSERT_EQUAL_FATAL(l.n_msgs, 3);
	CU_ASSERT_STRING_EQUAL(l.text.data + l.name[1], "kw2");
	CU_ASSERT_STRING_EQUAL(l.text.data + l.msg[0].base, "1000000001.M1P1.host");
	CU_ASSERT(l.msg[0].n == 2 && l.idx[l.msg[0].first] == 0 && l.idx[l.msg[0].first + 1] == 2);
	CU_ASSERT_STRING_EQUAL(l.text.data + l.msg[1].base, "x:y,S=9");
	CU_ASSERT(l.msg[2].n == 1 && l.idx[l.msg[2].first] == 1);
	md_kwlist_fini(&l);
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		md_kwlist_parse(&l, text, cut);
		CU_ASSERT(l.n_names <= 3 && l.n_msgs <= 3);
		md_kwlist_fini(&l);
	}
}

static void test_pop3list(void)
{
	static const char text[] =
	    "/3 5 1795290829\n1000000001.M1P1.host:2,RS 32 1:1795290829:0\n999.x y.host:2, 22 3:1795290829:1\n";
	struct md_pop3list l;

	CU_ASSERT(md_pop3list_parse(&l, text, sizeof(text) - 1));
	CU_ASSERT(l.next == 5 && l.uidv == 1795290829 && l.n == 2 && !l.upgrade);
	CU_ASSERT_STRING_EQUAL(l.line[1].name, "999.x y.host:2,");
	CU_ASSERT(l.line[1].octets == 22 && l.line[1].n == 3 && l.line[1].utf8);
	md_pop3list_fini(&l);
	for (size_t cut = 0; cut < sizeof(text); cut++) {
		bool ok = md_pop3list_parse(&l, text, cut);

		CU_ASSERT(ok == (cut >= 16) && l.n <= 2);
		md_pop3list_fini(&l);
	}
	CU_ASSERT(md_pop3list_parse(&l, "/2 7 55\na 26 3:55\nb 26 4:0\nc x 3:5\nd 5 99999999999:5\n 5 5:5\n", 61));
	CU_ASSERT(l.upgrade && l.n == 2 && l.line[1].uidv == 0);
	md_pop3list_fini(&l);
	CU_ASSERT(!md_pop3list_parse(&l, "/1 7\na 1 2\n", 11));
}

static struct md_pop3 *open_pop3(struct md_test *t)
{
	struct md_pop3 *p = NULL;

	CU_ASSERT_EQUAL_FATAL(md_pop3_open(&t->root, &p), MD_OK);
	return p;
}

static void check_uidl(const struct md_pop3 *p, size_t i, const char *want)
{
	struct str s = STR_INIT;

	md_pop3_uidl(p, i, &s);
	CU_ASSERT_STRING_EQUAL(str_cstr(&s), want);
	str_fini(&s);
}

static void check_list(struct md_test *t, const char *want)
{
	char *text = mt_read(t, MD_POP3_FILE);

	CU_ASSERT_STRING_EQUAL(text, want);
	mem_free(&text);
}

/* As Debian's courierpop3d wrote it for these files. */
static void test_pop3(void)
{
	struct md_test t;
	struct md_pop3 *p;
	size_t deleted;
	char want[512];
	int fd;

	mt_begin(&t);
	mt_puts(&t, "courierpop3dsizelist",
	    "/2 7 55\n1000000001.M1P1.host:2, 26 3:55\n1000000003.M1P1.host:2,S 26 4:0\n"
	    "5.gone 4 5:6\n1000000004.M1P1.host 26 0:55\n");
	for (int i = 1; i <= 4; i++) {
		snprintf(want, sizeof(want), "cur/100000000%d.M1P1.host:2,%s", i, i == 2 ? "T" : "S");
		mt_puts(&t, want, "From: a\nSubject: x\n\nhi\n");
	}
	mt_puts(&t, "new/999.x y.host", "From: \303\251\n\nb\n.\n");
	p = open_pop3(&t);
	CU_ASSERT_STRING_EQUAL(t.root.why, "");
	CU_ASSERT_EQUAL_FATAL(p->n, 5);
	check_uidl(p, 0, "UID7-55");
	check_uidl(p, 1, "UID3-55");
	check_uidl(p, 2, "UID8-55");
	check_uidl(p, 3, "UID4");
	check_uidl(p, 4, "1000000004.M1P1.host");
	CU_ASSERT(p->msgs[0].utf8 && p->msgs[0].octets == 18);
	CU_ASSERT(mt_exists(&t, "cur/999.x y.host:2,"));
	check_list(&t,
	    "/3 9 55\n999.x y.host:2, 18 7:55:1\n1000000001.M1P1.host:2,S 26 3:55:0\n"
	    "1000000002.M1P1.host:2,T 27 8:55:0\n1000000003.M1P1.host:2,S 26 4:0:0\n1000000004.M1P1.host:2,S 26 "
	    "0:55:0\n");
	CU_ASSERT_EQUAL(md_pop3_read(p, 0, &fd), MD_OK);
	close(fd);
	CU_ASSERT_EQUAL(md_pop3_seen(p, 0), MD_OK);
	CU_ASSERT(mt_exists(&t, "cur/999.x y.host:2,S"));
	/* Meanwhile another program flags one and deletes another. */
	mt_rename(&t, "cur/1000000001.M1P1.host:2,S", "cur/1000000001.M1P1.host:2,FS");
	mt_unlink(&t, "cur/1000000003.M1P1.host:2,S");
	CU_ASSERT_EQUAL(md_pop3_read(p, 3, &fd), MD_GONE);
	for (size_t i = 0; i < 4; i++)
		md_pop3_mark(p, i, i != 2);
	mt_rename(&t, "cur/1000000001.M1P1.host:2,FS", "cur/1000000001.M1P1.host:2,RS");
	CU_ASSERT_EQUAL(md_pop3_commit(p, &deleted), MD_OK);
	CU_ASSERT_EQUAL(deleted, 3);
	md_pop3_close(&p);
	p = open_pop3(&t);
	CU_ASSERT_EQUAL_FATAL(p->n, 2);
	check_uidl(p, 0, "UID8-55");
	check_list(&t, "/3 9 55\n1000000002.M1P1.host:2,T 27 8:55:0\n1000000004.M1P1.host:2,S 26 0:55:0\n");
	md_pop3_close(&p);
	mt_end(&t);
}

static void test_pop3_unsaved(void)
{
	struct md_test t;
	struct md_pop3 *p;
	char path[128];

	if (geteuid() == 0 && setegid(65534) == 0 && seteuid(65534) != 0)
		return;
	mt_begin(&t);
	mt_puts(&t, "cur/1.a:2,", "x\n");
	mt_puts(&t, "cur/2.b:2,", "x\n");
	snprintf(path, sizeof(path), "%s/tmp", t.dir);
	CU_ASSERT_EQUAL(chmod(path, 0500), 0);
	p = open_pop3(&t);
	CU_ASSERT_NOT_EQUAL(t.root.why[0], '\0');
	CU_ASSERT_EQUAL_FATAL(p->n, 1);
	CU_ASSERT(strncmp(p->msgs[0].uidl, "ENOMEM-", 7) == 0);
	md_pop3_close(&p);
	mt_puts(&t, MD_POP3_FILE, "/3 2 9\n2.b 3 1:9:0\n");
	p = open_pop3(&t);
	CU_ASSERT_EQUAL_FATAL(p->n, 1);
	check_uidl(p, 0, "UID1-9");
	md_pop3_close(&p);
	CU_ASSERT_EQUAL(chmod(path, 0700), 0);
	mt_end(&t);
	if (geteuid() != getuid()) {
		CU_ASSERT_EQUAL(seteuid(0), 0);
		CU_ASSERT_EQUAL(setegid(0), 0);
	}
}

/* A mailbox whose UIDs cannot be recorded stays usable, with a message. */
static void test_unwritable(void)
{
	struct md_test t;
	struct md_box *box;
	struct md_changes ch;
	char path[128];

	if (geteuid() == 0 && setegid(65534) == 0 && seteuid(65534) != 0)
		return;
	mt_begin(&t);
	mt_puts(&t, "courierimapuiddb", "1 77 5\n2 1.a\n");
	mt_puts(&t, "cur/1.a:2,", "x\n");
	mt_puts(&t, "cur/2.b:2,", "x\n");
	snprintf(path, sizeof(path), "%s/tmp", t.dir);
	CU_ASSERT_EQUAL(chmod(path, 0500), 0);
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT(!box->uid_sticky && !box->readonly);
	CU_ASSERT_EQUAL_FATAL(box->n, 2);
	CU_ASSERT(box->msgs[0].uid == 2 && box->msgs[1].uid == 5 && box->uidvalidity == 77);
	CU_ASSERT_EQUAL(chmod(path, 0700), 0);
	box->retry_ms = 0;
	CU_ASSERT_EQUAL(md_box_sync(box, &ch), MD_OK);
	CU_ASSERT(box->uid_sticky);
	md_box_close(&box);
	/* cur/ is not writable: the mailbox is read-only. */
	snprintf(path, sizeof(path), "%s/cur", t.dir);
	CU_ASSERT_EQUAL(chmod(path, 0500), 0);
	mt_puts(&t, "new/3.c", "x\n");
	CU_ASSERT_EQUAL_FATAL(md_box_open(&t.root, "", false, &box), MD_OK);
	CU_ASSERT(box->readonly && box->n == 3);
	CU_ASSERT_NOT_EQUAL(t.root.why[0], '\0');
	CU_ASSERT_EQUAL(md_box_store(box, 0, MD_STORE_ADD, MD_SEEN, NULL, 0), MD_READONLY);
	md_box_close(&box);
	CU_ASSERT_EQUAL(chmod(path, 0), 0);
	CU_ASSERT_EQUAL(md_box_open(&t.root, "", false, &box), MD_PERM);
	CU_ASSERT_EQUAL(chmod(path, 0700), 0);
	mt_end(&t);
	if (geteuid() != getuid()) {
		CU_ASSERT_EQUAL(seteuid(0), 0);
		CU_ASSERT_EQUAL(setegid(0), 0);
	}
}

static void test_lock(void)
{
	struct md_test t;
	struct md_lock a = MD_LOCK_INIT, b = MD_LOCK_INIT;
	char host[128] = "", text[256], path[128], *have;
	struct utimbuf ut = { time(NULL) - 400, time(NULL) - 400 };
	pid_t pid;

	mt_begin(&t);
	gethostname(host, sizeof(host) - 1);
	CU_ASSERT_EQUAL(md_lock_take(&t.root, t.root.fd, "", &a), MD_OK);
	snprintf(text, sizeof(text), "%ld:%s", (long)getpid(), host); /* as Courier writes it */
	have = mt_read(&t, "tmp/courier.lock");
	CU_ASSERT_STRING_EQUAL(have, text);
	mem_free(&have);
	md_lock_drop(&a);
	CU_ASSERT(!mt_exists(&t, "tmp/courier.lock"));
	/* A dead owner of this host. */
	pid = fork();
	if (pid == 0)
		_exit(0);
	waitpid(pid, NULL, 0);
	snprintf(text, sizeof(text), "%ld:%s", (long)pid, host);
	mt_puts(&t, "tmp/courier.lock", text);
	CU_ASSERT_EQUAL(md_lock_take(&t.root, t.root.fd, "", &a), MD_OK);
	/* Another process breaks our lock and takes it: dropping ours must not remove it. */
	mt_unlink(&t, "tmp/courier.lock");
	CU_ASSERT_EQUAL(md_lock_take(&t.root, t.root.fd, "", &b), MD_OK);
	md_lock_drop(&a);
	CU_ASSERT(mt_exists(&t, "tmp/courier.lock"));
	md_lock_drop(&b);
	/* An old lock of another host. */
	mt_puts(&t, "tmp/courier.lock", "1234:elsewhere.example");
	snprintf(path, sizeof(path), "%s/tmp/courier.lock", t.dir);
	CU_ASSERT_EQUAL(utime(path, &ut), 0);
	CU_ASSERT_EQUAL(md_lock_take(&t.root, t.root.fd, "", &a), MD_OK);
	md_lock_drop(&a);
	mt_end(&t);
}

static void test_recent(void)
{
	static const char text[] = "1 795290828 17\n";

	CU_ASSERT_EQUAL(md_recent_parse(text, strlen(text), 795290828), 17);
	CU_ASSERT_EQUAL(md_recent_parse(text, strlen(text), 795290829), MD_RECENT_NONE);
	for (size_t cut = 0; cut < strlen(text); cut++)
		CU_ASSERT_EQUAL(md_recent_parse(text, cut, 795290828), MD_RECENT_NONE);
	CU_ASSERT_EQUAL(md_recent_parse("2 1 17\n", 7, 1), MD_RECENT_NONE);
	CU_ASSERT_EQUAL(md_recent_parse("1 1 0\n", 6, 1), MD_RECENT_NONE);
	CU_ASSERT_EQUAL(md_recent_parse("1 1 7\nx", 7, 1), MD_RECENT_NONE);
	CU_ASSERT_EQUAL(md_recent_parse("1 1 4294967296\n", 15, 1), MD_RECENT_NONE);
	CU_ASSERT_EQUAL(md_recent_parse("1  1 7\n", 7, 1), MD_RECENT_NONE);
}

static const struct unit_case cases[] = { { "recent", test_recent }, { "file names", test_name },
	{ "UID list", test_uidlist }, { "keyword list", test_kwlist }, { "POP3 list", test_pop3list },
	{ "POP3 maildrop", test_pop3 }, { "POP3 list not saved", test_pop3_unsaved },
	{ "UID list not saved", test_unwritable }, { "lock", test_lock }, { NULL, NULL } };

UNIT_MAIN("md_format", cases)
