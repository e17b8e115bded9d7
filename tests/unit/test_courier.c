/* Queries to Courier's authdaemond and to authpipe's program, and their answers. */
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "authlib/courierdir.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

/* --- questions --- */

static void test_questions(void)
{
	static const char *const none[] = { "", " ", " jo", "jo\nroot", "jo\r", "\n" };
	struct str out = STR_INIT;

	CU_ASSERT_TRUE(courier_pre(&out, "imap", "jo@x"));
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "PRE . imap jo@x\n");
	str_clear(&out);
	CU_ASSERT_TRUE(courier_auth(&out, "imap", "user", "pw"));
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "AUTH 19\nimap\nlogin\nuser\npw\n");
	str_clear(&out);
	CU_ASSERT_TRUE(courier_auth(&out, "pop3", "a b=c", ""));
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "AUTH 18\npop3\nlogin\na b=c\n\n");
	str_clear(&out);
	for (size_t i = 0; i < ARRAY_LEN(none); i++) {
		CU_ASSERT_FALSE(courier_pre(&out, "imap", none[i]));
		CU_ASSERT_FALSE(courier_auth(&out, "imap", none[i], "pw"));
	}
	CU_ASSERT_FALSE(courier_auth(&out, "imap", "jo", "x\ny"));
	CU_ASSERT_EQUAL(out.len, 0);
	str_fini(&out);
}

/* --- answers --- */

static void test_scan(void)
{
	static const struct {
		const char *text;
		enum courier_state state;
		size_t used;
	} t[] = {
		{ "FAIL\n", COURIER_REFUSED, 5 },
		{ "FAIL\nUID=1\n", COURIER_REFUSED, 5 },
		{ ".\n", COURIER_ACCOUNT, 2 },
		{ "UID=1\n.\n", COURIER_ACCOUNT, 8 },
		{ "UID=1\n.\nFAIL\n", COURIER_ACCOUNT, 8 },
		{ "UID=1\nHOME=.\n.\n", COURIER_ACCOUNT, 15 },
		{ "FAILURE=1\n.\n", COURIER_ACCOUNT, 12 },
		{ "=\n.\n", COURIER_ACCOUNT, 4 },
		{ "UID=1\n.x=\n.\n", COURIER_ACCOUNT, 12 },
		{ "hello\n", COURIER_NONSENSE, 0 },
		{ "\n", COURIER_NONSENSE, 0 },
		{ "UID=1\n\n.\n", COURIER_NONSENSE, 0 },
		{ "UID=1\nFAIL\n", COURIER_NONSENSE, 0 },
		{ "fail\n", COURIER_NONSENSE, 0 },
		{ "FAIL\r\n", COURIER_NONSENSE, 0 },
		{ "UID=1\n.\r\n", COURIER_NONSENSE, 0 },
		{ "UID=1\n", COURIER_MORE, 0 },
		{ "UID=1\n.", COURIER_MORE, 0 },
		{ "hello", COURIER_MORE, 0 },
		{ "", COURIER_MORE, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		size_t used = 0, whole = t[i].state == COURIER_NONSENSE ? strlen(t[i].text) : t[i].used;

		CU_ASSERT_EQUAL(courier_scan(t[i].text, strlen(t[i].text), &used), t[i].state);
		CU_ASSERT_EQUAL(used, t[i].used);
		/* Cut at every byte before the end it is incomplete; garbage may be rejected earlier. */
		for (size_t n = 0; n < whole; n++) {
			enum courier_state s = courier_scan(t[i].text, n, &used);

			CU_ASSERT_TRUE(s == COURIER_MORE || (s == COURIER_NONSENSE && t[i].state == COURIER_NONSENSE));
		}
	}
}

static void test_scan_limit(void)
{
	char *big = mem_array(1, COURIER_ANSWER_MAX);
	size_t used;

	memset(big, '=', COURIER_ANSWER_MAX);
	CU_ASSERT_EQUAL(courier_scan(big, COURIER_ANSWER_MAX - 1, &used), COURIER_MORE);
	CU_ASSERT_EQUAL(courier_scan(big, COURIER_ANSWER_MAX, &used), COURIER_NONSENSE);
	memcpy(big + COURIER_ANSWER_MAX - 3, "\n.\n", 3);
	CU_ASSERT_EQUAL(courier_scan(big, COURIER_ANSWER_MAX, &used), COURIER_ACCOUNT);
	CU_ASSERT_EQUAL(used, COURIER_ANSWER_MAX);
	mem_free(&big);
}

#define IDS "UID=1000\nGID=1001\n"

static enum auth_result record(const char *text, struct account *a, struct str *why)
{
	account_fini(a);
	account_init(a);
	str_clear(why);
	return courier_record(text, strlen(text), "typed", a, why);
}

static void test_records(void)
{
	static const struct {
		const char *text, *why;
	} broken[] = {
		{ ".\n", "its uid is missing" },
		{ "UID=1000\nHOME=/h\n.\n", "its gid is missing" },
		{ "GID=1000\nHOME=/h\n.\n", "its uid is missing" },
		{ "UID=0\nGID=1000\nHOME=/h\n.\n", "its uid is 0, which is never allowed" },
		{ "UID=1000\nGID=0\nHOME=/h\n.\n", "its gid is 0, which is never allowed" },
		{ "UID=-1\nGID=1000\nHOME=/h\n.\n", "its uid is not a number" },
		{ "UID=4294967296\nGID=1000\nHOME=/h\n.\n", "its uid is not a number" },
		{ IDS ".\n", "its home folder is not an absolute path" },
		{ IDS "HOME=h\n.\n", "its home folder is not an absolute path" },
		{ IDS "HOME=/h\r\n.\n", "its home folder contains a control character" },
		{ IDS "HOME=/h\nADDRESS=a\tb\n.\n", "its name contains a control character" },
		{ "USERNAME=root\nHOME=/h\n.\n", "it has no uid or gid" },
		{ "USERNAME=no such user\nHOME=/h\n.\n", "its system user does not exist here" },
		{ "USERNAME=0123456789012345678901234567890123456789012345678901234567890123456789\nHOME=/h\n.\n",
		    "its system user has no valid name" },
	};
	const struct passwd *nobody = getpwnam("nobody");
	struct account a;
	struct str why = STR_INIT;

	account_init(&a);
	CU_ASSERT_EQUAL(record(IDS "HOME=/home/jo\nADDRESS=jo@x\nNAME=Jo, room "
	                           "5\nMAILDIR=mail\nQUOTA=5S\nPASSWD=$1$x\nPASSWD2=clear=\n"
	                           "OPTIONS=mailhost=a,b=c\nNEW=x\n.\n",
	                    &a, &why),
	    AUTH_OK);
	CU_ASSERT_EQUAL(a.uid, 1000);
	CU_ASSERT_EQUAL(a.gid, 1001);
	CU_ASSERT_STRING_EQUAL(a.home, "/home/jo");
	CU_ASSERT_STRING_EQUAL(a.name, "jo@x");
	CU_ASSERT_STRING_EQUAL(a.fullname, "Jo");
	CU_ASSERT_STRING_EQUAL(a.maildir, "mail");
	CU_ASSERT_STRING_EQUAL(a.quota, "5S");
	CU_ASSERT_STRING_EQUAL(a.hash, "$1$x");
	CU_ASSERT_STRING_EQUAL(a.clear, "clear=");
	CU_ASSERT_STRING_EQUAL(a.options, "mailhost=a,b=c");
	CU_ASSERT_EQUAL(record(IDS "HOME=/h\n.\n", &a, &why), AUTH_OK);
	CU_ASSERT_STRING_EQUAL(a.name, "typed");
	CU_ASSERT_STRING_EQUAL(a.hash, "");
	CU_ASSERT_EQUAL(record("UID=0\nUID=1000\nGID=7\nHOME=/h\n.\n", &a, &why), AUTH_OK);
	CU_ASSERT_EQUAL(a.uid, 1000);
	CU_ASSERT_PTR_NOT_NULL_FATAL(nobody);
	CU_ASSERT_EQUAL(record("USERNAME=nobody\n.\n", &a, &why), AUTH_OK);
	nobody = getpwnam("nobody");
	CU_ASSERT_PTR_NOT_NULL_FATAL(nobody);
	CU_ASSERT_EQUAL(a.uid, nobody->pw_uid);
	CU_ASSERT_EQUAL(a.gid, nobody->pw_gid);
	CU_ASSERT_STRING_EQUAL(a.home, nobody->pw_dir);
	CU_ASSERT_EQUAL(record("USERNAME=nobody\nUID=5\nGID=77\nHOME=/h\n.\n", &a, &why), AUTH_OK);
	CU_ASSERT_EQUAL(a.uid, getpwnam("nobody")->pw_uid);
	CU_ASSERT_EQUAL(a.gid, 77);
	CU_ASSERT_STRING_EQUAL(a.home, "/h");
	CU_ASSERT_EQUAL(record("USERNAME=nobody\nGID=0\nHOME=/h\n.\n", &a, &why), AUTH_BROKEN);
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		CU_ASSERT_EQUAL(record(broken[i].text, &a, &why), AUTH_BROKEN);
		CU_ASSERT_STRING_EQUAL(str_cstr(&why), broken[i].why);
	}
	account_fini(&a);
	str_fini(&why);
}

static void test_list_lines(void)
{
	static const struct {
		const char *text;
		bool told;
		enum auth_result r;
		const char *why;
	} t[] = {
		{ "", false, AUTH_OK, "" },
		{ "# authuserdb", false, AUTH_OK, "" },
		{ "jo@x\t1000\t1001\t/h\tmail\ta=b", true, AUTH_OK, "" },
		{ "jo@x\t1000\t1001\t/h\t\t", true, AUTH_OK, "" },
		{ "jo@x\t1000\t1001\t/h", true, AUTH_OK, "" },
		{ "jo@x\t1000\t1001\t/h\tm\to\tmore", true, AUTH_OK, "" },
		{ "jo@x\t1000\t1001", true, AUTH_BROKEN, "its home folder is not an absolute path" },
		{ "jo@x\t0\t1001\t/h\t\t", true, AUTH_BROKEN, "its uid is 0, which is never allowed" },
		{ "jo@x\t1\t0\t/h\t\t", true, AUTH_BROKEN, "its gid is 0, which is never allowed" },
		{ "jo@x", true, AUTH_BROKEN, "its uid is missing" },
		{ "\t1\t1\t/h", true, AUTH_BROKEN, "its name is empty" },
		{ "a\rb\t1\t1\t/h", true, AUTH_BROKEN, "its name contains a control character" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct account a;
		struct str why = STR_INIT;
		enum auth_result r = AUTH_OK;

		account_init(&a);
		CU_ASSERT_EQUAL(courier_list_line(t[i].text, strlen(t[i].text), &r, &a, &why), t[i].told);
		CU_ASSERT_EQUAL(r, t[i].r);
		CU_ASSERT_STRING_EQUAL(str_cstr(&why), t[i].why);
		if (t[i].told && r == AUTH_OK) {
			CU_ASSERT_STRING_EQUAL(a.name, "jo@x");
			CU_ASSERT_EQUAL(a.gid, 1001);
			CU_ASSERT_STRING_EQUAL(a.home, "/h");
		}
		account_fini(&a);
		str_fini(&why);
	}
}

/* --- a whole query; the other side is a script of answers --- */

struct fake {
	struct courierdir dir;
	const char *const *answers; /* one for each connection; after NULL nobody answers */
	size_t cut;                 /* each answer is cut there */
	bool old;                   /* the first connection counts as an old one */
	bool mute;                  /* the answer has no end: the other side stays open */
	int ours, theirs;
	unsigned opened, closed;
	struct str asked; /* all queries that we got */
};

static void collect(struct fake *f)
{
	char buf[4096];
	ssize_t n;

	while (f->theirs != -1 && (n = recv(f->theirs, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		str_add(&f->asked, buf, (size_t)n);
}

static void fake_close(void *conn, struct str *why UNUSED)
{
	struct fake *f = conn;

	collect(f);
	if (f->ours != -1) {
		close(f->ours);
		f->closed++;
	}
	if (f->theirs != -1)
		close(f->theirs);
	f->ours = f->theirs = -1;
}

static enum courier_open fake_open(void *conn, int *to, int *from, int64_t deadline UNUSED, struct str *why)
{
	struct fake *f = conn;
	const char *answer = f->answers[f->opened];
	int pair[2];

	if (answer == NULL) {
		str_adds(why, "nobody is there");
		return COURIER_CLOSED;
	}
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
	f->ours = pair[0];
	f->theirs = pair[1];
	CU_ASSERT_EQUAL(write(f->theirs, answer, MIN(strlen(answer), f->cut)), (ssize_t)MIN(strlen(answer), f->cut));
	if (!f->mute)
		shutdown(f->theirs, SHUT_WR);
	*to = *from = f->ours;
	return f->opened++ == 0 && f->old ? COURIER_OLD : COURIER_NEW;
}

static const struct courier_kind fake_kind = { .open = fake_open, .close = fake_close, .takes_client = true };

static void fake_init(struct fake *f, const char *const *answers)
{
	memset(f, 0, sizeof(*f));
	f->dir.kind = &fake_kind;
	f->dir.conn = f;
	f->dir.timeout = 5000;
	directory_init(&f->dir.servers, "authtest");
	directory_add(&f->dir.servers, "fake", 4);
	f->answers = answers;
	f->cut = SIZE_MAX;
	f->ours = f->theirs = -1;
}

static void fake_fini(struct fake *f)
{
	CU_ASSERT_EQUAL(f->opened, f->closed);
	fake_close(f, NULL);
	directory_fini(&f->dir.servers);
	str_fini(&f->asked);
}

#define RECORD "UID=1000\nGID=1001\nHOME=/h\nADDRESS=jo@x\nPASSWD2=pw\n.\n"

static void test_verdicts(void)
{
	static const struct {
		const char *answers[3];
		enum auth_result verify, lookup;
	} t[] = {
		{ { RECORD, NULL }, AUTH_OK, AUTH_OK },
		{ { RECORD "FAIL\n", NULL }, AUTH_OK, AUTH_OK },
		{ { "FAIL\n", RECORD, NULL }, AUTH_MISMATCH, AUTH_UNKNOWN },
		{ { "FAIL\n", "FAIL\n", NULL }, AUTH_UNKNOWN, AUTH_UNKNOWN },
		/* A directory that failed answers FAIL to a password, and nothing to a name. */
		{ { "FAIL\n", "", NULL }, AUTH_TRY_LATER, AUTH_UNKNOWN },
		{ { "FAIL\n", NULL }, AUTH_TRY_LATER, AUTH_UNKNOWN },
		{ { "FAIL\n", "UID=0\n.\n", NULL }, AUTH_BROKEN, AUTH_UNKNOWN },
		{ { "UID=0\nGID=0\nHOME=/\n.\n", NULL }, AUTH_BROKEN, AUTH_BROKEN },
		{ { "", NULL }, AUTH_TRY_LATER, AUTH_TRY_LATER },
		{ { NULL }, AUTH_TRY_LATER, AUTH_TRY_LATER },
		{ { "nonsense\n", NULL }, AUTH_TRY_LATER, AUTH_TRY_LATER },
	};
	const struct net_addr nobody = { .family = 0 };

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		for (int with_password = 0; with_password < 2; with_password++) {
			struct fake f;
			struct account a;
			enum auth_result r;

			fake_init(&f, t[i].answers);
			account_init(&a);
			r = with_password ?
			    courierdir_verify(&f.dir, &(struct auth_question){ "imap", "jo", "pw", nobody }, &a) :
			    courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "jo" }, &a);
			CU_ASSERT_EQUAL(r, with_password ? t[i].verify : t[i].lookup);
			CU_ASSERT_STRING_EQUAL(a.name, r == AUTH_OK || r == AUTH_MISMATCH ? "jo@x" : "");
			account_fini(&a);
			fake_fini(&f);
		}
	}
}

/* An answer that is cut anywhere counts as none. */
static void test_cut_answers(void)
{
	static const char *const answers[] = { RECORD, RECORD, NULL };
	struct account a;

	for (size_t cut = 0; cut <= strlen(RECORD); cut++) {
		struct fake f;

		fake_init(&f, answers);
		f.cut = cut;
		account_init(&a);
		CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "jo" },
		                    &a),
		    cut == strlen(RECORD) ? AUTH_OK : AUTH_TRY_LATER);
		CU_ASSERT_EQUAL(f.opened, 1);
		account_fini(&a);
		fake_fini(&f);
	}
}

static void test_questions_asked(void)
{
	static const char *const answers[] = { "FAIL\n", "FAIL\n", NULL };
	struct net_addr client;
	struct account a;
	struct fake f;

	CU_ASSERT_TRUE(net_addr_parse(&client, "192.0.2.7", 4711));
	fake_init(&f, answers);
	account_init(&a);
	CU_ASSERT_EQUAL(courierdir_verify(&f.dir, &(struct auth_question){ "imap", "user", "pw", client }, &a),
	    AUTH_UNKNOWN);
	CU_ASSERT_STRING_EQUAL(str_cstr(&f.asked),
	    "TCPREMOTEIP=::ffff:192.0.2.7\nAUTH 19\nimap\nlogin\nuser\npw\nPRE . imap user\n");
	fake_fini(&f);
	/* Names that cannot be queried are unknown, and nothing is sent. */
	fake_init(&f, answers);
	CU_ASSERT_EQUAL(courierdir_verify(&f.dir, &(struct auth_question){ "imap", " user", "pw", client }, &a),
	    AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "" }, &a),
	    AUTH_UNKNOWN);
	CU_ASSERT_EQUAL(f.opened, 0);
	fake_fini(&f);
	account_fini(&a);
}

/* Losing an old connection is not a failure; waiting in vain is. */
static void test_again_and_waits(void)
{
	static const char *const lost[] = { "", RECORD, NULL };
	struct account a;
	struct fake f;
	int64_t start;

	account_init(&a);
	fake_init(&f, lost);
	f.old = true;
	CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "jo" }, &a),
	    AUTH_OK);
	CU_ASSERT_EQUAL(f.opened, 2);
	fake_fini(&f);
	fake_init(&f, lost);
	CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "jo" }, &a),
	    AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(f.opened, 1);
	fake_fini(&f);
	fake_init(&f, lost);
	f.old = f.mute = true;
	f.dir.timeout = DIRECTORY_SLOW_MS + 100;
	start = clock_ms();
	CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "jo" }, &a),
	    AUTH_TRY_LATER);
	CU_ASSERT_TRUE(clock_ms() - start >= f.dir.timeout);
	CU_ASSERT_EQUAL(f.opened, 1);
	/* It may have been this query alone: another one is sent. */
	CU_ASSERT_EQUAL(courierdir_lookup(&f.dir, &(struct auth_question){ .service = "imap", .user = "kim" }, &a),
	    AUTH_OK);
	CU_ASSERT_EQUAL(f.opened, 2);
	fake_fini(&f);
	account_fini(&a);
}

/* --- lists --- */

struct listed {
	unsigned good, bad, most;
};

static bool on_account(void *arg, const struct account *acct, const char *why)
{
	struct listed *l = arg;

	l->good += why == NULL;
	l->bad += why != NULL;
	CU_ASSERT_TRUE(why != NULL || strcmp(acct->home, "/h") == 0);
	return l->good + l->bad < l->most;
}

static void test_lists(void)
{
	static const char text[] = "# authuserdb\n\njo\t1\t1\t/h\t\t\nzero\t0\t1\t/h\t\t\nkim\t2\t2\t/h\t\ta=b\n.\n";
	static const char *const answers[] = { text, NULL };

	for (size_t cut = 0; cut < sizeof(text); cut++) {
		struct listed l = { .most = 99 };
		struct str why = STR_INIT;
		struct fake f;
		bool all = cut == strlen(text);

		fake_init(&f, answers);
		f.cut = cut;
		CU_ASSERT_EQUAL(courierdir_enumerate(&f.dir, on_account, &l, &why), all);
		CU_ASSERT_EQUAL(why.len == 0, all);
		CU_ASSERT_STRING_EQUAL(str_cstr(&f.asked), "ENUMERATE\n");
		CU_ASSERT_TRUE(!all || (l.good == 2 && l.bad == 1));
		str_fini(&why);
		fake_fini(&f);
	}
	for (unsigned most = 1; most <= 3; most++) {
		struct listed l = { .most = most };
		struct str why = STR_INIT;
		struct fake f;

		fake_init(&f, answers);
		CU_ASSERT_FALSE(courierdir_enumerate(&f.dir, on_account, &l, &why));
		CU_ASSERT_EQUAL(l.good + l.bad, most);
		CU_ASSERT_EQUAL(why.len, 0);
		str_fini(&why);
		fake_fini(&f);
	}
}

static const struct unit_case cases[] = { { "questions", test_questions }, { "the end of an answer", test_scan },
	{ "answers that are too long", test_scan_limit }, { "records", test_records },
	{ "lines of a list", test_list_lines }, { "verdicts", test_verdicts },
	{ "answers cut at every byte", test_cut_answers }, { "questions as they are asked", test_questions_asked },
	{ "lost connections and silence", test_again_and_waits }, { "lists", test_lists }, { NULL, NULL } };

UNIT_MAIN("courier", cases)
