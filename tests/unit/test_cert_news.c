/* What the operator hears of certificates: each change once, whatever the key processes say. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/tls_cert.h"
#include "master/cert_news.h"
#include "tests/unit/compared.h"
#include "tests/unit/logged.h"

enum { NOW = 1796045100 /* 2026-11-30 13:25 UTC */, DAY = 24 * 3600 };

time_t __wrap_time(time_t *t);
time_t __wrap_time(time_t *t UNUSED)
{
	return NOW;
}

static void expect_log(const char *want)
{
	if (strcmp(str_cstr(&logged), want) != 0)
		printf("\nlogged: %swanted: %s", str_cstr(&logged), want);
	CU_ASSERT_STRING_EQUAL(str_cstr(&logged), want);
	str_clear(&logged);
}

static void expect_status(int64_t now, const char *want)
{
	struct str out = STR_INIT;

	cert_news_describe(&out, now);
	if (strcmp(str_cstr(&out), want) != 0)
		printf("\nstatus: %swanted: %s", str_cstr(&out), want);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), want);
	str_fini(&out);
}

/* The key process of SLOT. */
static void say_from(unsigned slot, uint32_t number, int64_t until, const char *why)
{
	struct control_key_news m = { .key = number, .refused = why != NULL, .until = until };

	str_copy(m.why, sizeof(m.why), why != NULL ? why : "");
	cert_news_take(slot, &m);
}

static void say(uint32_t number, int64_t until, const char *why)
{
	say_from(0, number, until, why);
}

static void forget_all(void)
{
	cert_news_begin();
	cert_news_end();
	expect_status(NOW, "");
	str_fini(&logged);
}

#define COUNTS(refused, ending, ended) COUNTS5(refused, "0", "0", ending, ended)
#define COUNTS5(refused, faulty, unstapled, ending, ended) \
	"count\tcertificates_refused\t" refused "\ncount\tcertificates_faulty\t" faulty \
	"\ncount\tcertificates_unstapled\t" unstapled "\ncount\tcertificates_ending\t" ending \
	"\ncount\tcertificates_ended\t" ended "\n"

/* Two key processes, a renewal that fails and one that does not. */
static void test_renewal(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	expect_status(NOW, "note\tcertificate\t/x.pem: not read yet\n" COUNTS("0", "0", "0"));
	say(1, NOW + 90 * DAY, NULL);
	say(1, NOW + 90 * DAY, NULL);
	expect_log("I: certificate /x.pem is in use, valid until 2027-02-28 13:25 UTC\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-02-28 13:25 UTC\n" COUNTS("0", "0", "0"));
	cert_news_given("imapd_ssl", "/x.pem", 2);
	say(1, 0, "late word of a number that is over");
	say(2, 0, "there is no private key");
	say(2, 0, "there is no private key");
	expect_log("E: certificate /x.pem is refused: there is no private key; the one before stays in use\n");
	expect_status(NOW + DAY,
	    "note\tcertificate\t/x.pem: refused since 2026-11-30 13:25 UTC (there is no private key); the one before "
	    "stays in use, valid until 2027-02-28 13:25 UTC\n" COUNTS("1", "0", "0"));
	cert_news_given("imapd_ssl", "/x.pem", 3);
	say(3, NOW + 180 * DAY, NULL);
	expect_log("I: certificate /x.pem is in use, valid until 2027-05-29 13:25 UTC\n");
	forget_all();
}

/* One process has read it earlier than the other, or lacks memory. */
static void test_some_refuse(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	say_from(0, 1, NOW + 90 * DAY, NULL);
	str_clear(&logged);
	say_from(1, 1, 0, "half of the file");
	say_from(1, 1, 0, "half of the file");
	CU_ASSERT_FALSE(cert_news_is_taken(1)); /* a reload passes it again */
	say_from(3, 1, 0, "no\nmemory");
	expect_log(
	    "E: certificate /x.pem is in use, but refused by the key process of login worker 1: half of the file; "
	    "clients there get the one before, or are turned away. Touch the file to have it tried again\n"
	    "E: certificate /x.pem is in use, but refused by the key process of login workers 1, 3: no.memory; "
	    "clients there get the one before, or are turned away. Touch the file to have it tried again\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-02-28 13:25 UTC; refused by the key process of login "
	    "workers 1, 3 since 2026-11-30 13:25 UTC (no.memory), where clients get the one before, or are turned "
	    "away\n" COUNTS("1", "0", "0"));
	cert_news_ended(1);
	say_from(3, 1, NOW + 90 * DAY, NULL);
	CU_ASSERT(cert_news_is_taken(1));
	say_from(256, 1, 0, "there is no such slot");
	say_from(UINT32_MAX, 1, 0, "there is no such slot");
	expect_log("");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-02-28 13:25 UTC\n" COUNTS("0", "0", "0"));
	/* The other one is the first to speak. */
	cert_news_given("imapd_ssl", "/x.pem", 2);
	say_from(1, 2, 0, "half");
	say_from(0, 2, NOW + 99 * DAY, NULL);
	expect_log("E: certificate /x.pem is refused: half; the one before stays in use\n"
	           "I: certificate /x.pem is in use, valid until 2027-03-09 13:25 UTC\n"
	           "E: certificate /x.pem is in use, but refused by the key process of login worker 1: half; "
	           "clients there get the one before, or are turned away. Touch the file to have it tried again\n");
	forget_all();
}

static void test_none_before(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_refuse(1, 0, "/x.pem: No such file or directory");
	cert_news_refuse(1, 0, "/x.pem: No such file or directory");
	expect_log(
	    "E: certificate /x.pem is refused: /x.pem: No such file or directory; none is in use, and clients that "
	    "need it are turned away\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: refused since 2026-11-30 13:25 UTC (/x.pem: No such file or directory); none "
	    "is "
	    "in use\n" COUNTS("1", "0", "0"));
	forget_all();
}

/* The settings name another file, which is refused: what key processes go on to use is of the one before. */
static void test_other_file(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_given("pop3d_ssl", "/x.pem", 2);
	say(1, NOW + 14 * DAY, NULL);
	say(2, NOW + 14 * DAY, NULL);
	str_clear(&logged);
	cert_news_begin();
	cert_news_keep("imapd_ssl");
	cert_news_keep("pop3d_ssl");
	cert_news_end();
	cert_news_given("imapd_ssl", "/y.pem", 3);
	say(3, 0, "no");
	expect_log("E: certificate /y.pem is refused: no; the one before stays in use\n");
	expect_status(NOW,
	    "note\tcertificate\t/y.pem: refused since 2026-11-30 13:25 UTC (no); the one before stays in use, valid "
	    "until 2026-12-14 13:25 UTC\n"
	    "note\tcertificate\t/x.pem: in use, valid until 2026-12-14 13:25 UTC\n" COUNTS("1", "0", "0"));
	say(3, NOW + 90 * DAY, NULL);
	expect_log("I: certificate /y.pem is in use, valid until 2027-02-28 13:25 UTC\n");
	forget_all();
}

/* A key process that begins while a file is refused has nothing of what was before: it is not said to be in use. */
static void test_begun(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_begun(0);
	say(1, NOW + 90 * DAY, NULL);
	cert_news_begun(0);
	str_clear(&logged);
	cert_news_given("imapd_ssl", "/x.pem", 2);
	say(2, 0, "no");
	str_clear(&logged);
	cert_news_begun(2);
	cert_news_begun(2);
	expect_log(
	    "E: certificate /x.pem: a key process begins without it, since its file is refused; clients of login "
	    "worker 2 are turned away until the file is mended\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: refused since 2026-11-30 13:25 UTC (no); the one before stays in use, valid "
	    "until "
	    "2027-02-28 13:25 UTC; there is none for clients of login worker 2\n" COUNTS("1", "0", "0"));
	cert_news_given("imapd_ssl", "/x.pem", 3);
	say(3, NOW + 90 * DAY, NULL);
	expect_log("I: certificate /x.pem is in use, valid until 2027-02-28 13:25 UTC\n");
	forget_all();
}

/* One that clients refuse is used if there was none before: the log and status say so, until it is better. */
static void test_faulty(void)
{
	struct control_key_news m = { .key = 1, .until = NOW + 99 * DAY, .fault = "it\nis", .fault_until = NOW + DAY };

	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_given("pop3d_ssl", "/x.pem", 2);
	cert_news_take(0, &m);
	m.key = 2;
	cert_news_take(0, &m);
	expect_log("I: certificate /x.pem is in use, valid until 2027-03-09 13:25 UTC\n"
	           "E: certificate /x.pem: clients refuse it: it.is\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC; clients refuse it: it.is\n" COUNTS5(
	        "0", "1", "0", "0", "0"));
	expect_status(NOW + DAY,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC\n" COUNTS("0", "0", "0"));
	m = (struct control_key_news){ .key = 3, .until = NOW - DAY, .fault = "old", .fault_until = INT64_MAX };
	cert_news_begin();
	cert_news_given("imapd_ssl", "/x.pem", 3);
	cert_news_end();
	cert_news_take(0, &m);
	expect_log(
	    "I: certificate /x.pem is in use, valid until 2026-11-29 13:25 UTC\n"
	    "E: certificate /x.pem has expired on 2026-11-29 13:25 UTC: clients refuse it; renew it, no reload is "
	    "needed\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2026-11-29 13:25 UTC\n" COUNTS("0", "0", "1"));
	cert_news_given("imapd_ssl", "/x.pem", 4);
	say(4, NOW + 99 * DAY, NULL);
	str_clear(&logged);
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC\n" COUNTS("0", "0", "0"));
	forget_all();
}

/* One file for two listeners is one certificate. */
static void test_shared(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_given("pop3d_ssl", "/x.pem", 2);
	say(1, NOW + 9 * DAY, NULL);
	say(2, NOW + 9 * DAY, NULL);
	expect_log("I: certificate /x.pem is in use, valid until 2026-12-09 13:25 UTC\n"
	           "W: certificate /x.pem expires on 2026-12-09 13:25 UTC; renew it, no reload is needed\n");
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2026-12-09 13:25 UTC\n" COUNTS("0", "1", "0"));
	cert_news_given("imapd_ssl", "/x.pem", 3);
	cert_news_given("pop3d_ssl", "/x.pem", 4);
	say(3, 0, "no");
	say(4, 0, "no");
	expect_log("E: certificate /x.pem is refused: no; the one before stays in use\n");
	cert_news_begin();
	cert_news_given("pop3d_ssl", "/x.pem", 5);
	cert_news_end();
	say(3, NOW + 99 * DAY, NULL);
	expect_log("");
	forget_all();
}

/* At the start and then once a day, until there is another one. */
static void test_end(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	say(1, NOW + 14 * DAY, NULL);
	str_clear(&logged);
	cert_news_tick(NOW);
	expect_log("");
	for (int hour = 1; hour < 3 * 24; hour++)
		cert_news_tick(NOW + hour * 3600);
	expect_log("W: certificate /x.pem expires on 2026-12-14 13:25 UTC; renew it, no reload is needed\n"
	           "W: certificate /x.pem expires on 2026-12-14 13:25 UTC; renew it, no reload is needed\n"
	           "W: certificate /x.pem expires on 2026-12-14 13:25 UTC; renew it, no reload is needed\n");
	cert_news_given("imapd_ssl", "/x.pem", 2); /* touched */
	say(2, NOW + 14 * DAY, NULL);
	str_clear(&logged);
	cert_news_tick(NOW + 3 * DAY);
	expect_log("");
	cert_news_tick(NOW + 14 * DAY);
	cert_news_tick(NOW + 14 * DAY + 5);
	expect_log(
	    "E: certificate /x.pem has expired on 2026-12-14 13:25 UTC: clients refuse it; renew it, no reload is "
	    "needed\n");
	expect_status(NOW + 14 * DAY,
	    "note\tcertificate\t/x.pem: in use, valid until 2026-12-14 13:25 UTC\n" COUNTS("0", "0", "1"));
	forget_all();
}

/* Files that are on their way are refused once without a word; in the end it counts. */
static void test_trial(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	say(1, NOW + 99 * DAY, NULL);
	str_clear(&logged);
	cert_news_given("imapd_ssl", "/x.pem", 2);
	cert_news_begin_trial(2);
	say(2, 0, "half");
	expect_log("");
	CU_ASSERT_FALSE(cert_news_is_taken(2));
	CU_ASSERT(cert_news_end_trial(2)); /* to be passed again */
	say(2, 0, "half");
	expect_log("E: certificate /x.pem is refused: half; the one before stays in use\n");
	cert_news_given("imapd_ssl", "/x.pem", 3);
	cert_news_begin_trial(3);
	say_from(1, 3, 0, "half"); /* by one key process that was quicker than the other file */
	say_from(0, 3, NOW + 99 * DAY, NULL);
	str_clear(&logged);
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC\n" COUNTS("0", "0", "0"));
	CU_ASSERT(cert_news_end_trial(3)); /* for that one */
	say_from(1, 3, 0, "half");
	expect_log("E: certificate /x.pem is in use, but refused by the key process of login worker 1: half; "
	           "clients there get the one before, or are turned away. Touch the file to have it tried again\n");
	say_from(1, 3, NOW + 99 * DAY, NULL);
	CU_ASSERT(cert_news_is_taken(3));
	CU_ASSERT_FALSE(cert_news_end_trial(3));
	CU_ASSERT_FALSE(cert_news_end_trial(7));
	expect_log("");
	cert_news_begin();
	cert_news_keep("imapd_ssl");
	cert_news_keep("pop3d_ssl");
	cert_news_end();
	CU_ASSERT(cert_news_is_taken(3));
	forget_all();
	CU_ASSERT_FALSE(cert_news_is_taken(3));
}

/* Once for a file, also if it is for several uses. */
static void test_ocsp(void)
{
	struct control_key_news m = { .key = 1, .until = NOW + 99 * DAY, .ocsp_until = NOW + DAY };

	cert_news_given("imapd_ssl", "/x.pem", 1);
	cert_news_given("pop3d_ssl", "/x.pem", 2);
	cert_news_take(0, &m);
	m.key = 2;
	cert_news_take(0, &m);
	cert_news_take(0, &m);
	str_clear(&logged);
	cert_news_tick(NOW + DAY - 1);
	expect_log("");
	cert_news_tick(NOW + DAY);
	cert_news_tick(NOW + 2 * DAY);
	expect_log("W: OCSP response /x.pem.ocsp is not sent to clients: it has expired; get a new one\n");
	expect_status(NOW + DAY,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC; its OCSP response is not sent to "
	    "clients: it has expired; get a new one\n" COUNTS5("0", "0", "1", "0", "0"));
	for (uint32_t key = 3; key < 5; key++) {
		cert_news_given(key == 3 ? "imapd_ssl" : "pop3d_ssl", "/x.pem", key);
		m = (struct control_key_news){ .key = key, .until = NOW + 99 * DAY, .why = "it is\nbad" };
		cert_news_take(0, &m);
		cert_news_take(0, &m);
	}
	expect_log("W: OCSP response /x.pem.ocsp is not sent to clients: it is.bad\n");
	cert_news_given("imapd_ssl", "/x.pem", 5);
	cert_news_given("pop3d_ssl", "/x.pem", 6);
	say(5, NOW + 99 * DAY, NULL);
	say(6, NOW + 99 * DAY, NULL);
	str_clear(&logged);
	expect_status(NOW,
	    "note\tcertificate\t/x.pem: in use, valid until 2027-03-09 13:25 UTC\n" COUNTS("0", "0", "0"));
	forget_all();
}

/* A key process that was taken over lies, but forges no line and does not flood. */
static void test_liar(void)
{
	cert_news_given("imapd_ssl", "/x.pem", 1);
	say(7, 5, NULL);
	say(0, 0, "x");
	for (int i = 0; i < 1000; i++) {
		say(1, INT64_MIN + i, NULL);
		say(1, 0, "x\nnote\tcertificate\t/x.pem: fine");
	}
	CU_ASSERT_EQUAL(strncmp(str_cstr(&logged), "I: ", 3), 0);
	CU_ASSERT_PTR_NOT_NULL(strstr(str_cstr(&logged), "worker 0: x.note.certificate./x.pem: fine; clients"));
	CU_ASSERT(logged.len < 700);
	say(1, INT64_MAX, NULL);
	forget_all();
}

/* A round of all, and what is said of each, cost as much as they are many. */
static void test_many(void)
{
	enum { MANY = 2000 };
	char use[64], file[64];

	compared = 0;
	for (unsigned round = 0; round < 3; round++) {
		cert_news_begin();
		for (unsigned i = 1; i <= MANY; i++) {
			snprintf(use, sizeof(use), "imapd_ssl its-own h%u.pem", i);
			snprintf(file, sizeof(file), "/etc/tls/h%u.pem", i);
			if (round == 1)
				cert_news_keep(use);
			else
				cert_news_given(use, file, i + round * MANY);
		}
		cert_news_end();
		for (uint32_t i = 1; i <= MANY; i++)
			say(i + (round == 2) * 2 * MANY, NOW + DAY, i % 2 != 0 ? NULL : "no");
		CU_ASSERT(cert_news_is_taken(1 + (round == 2) * 2 * MANY));
		cert_news_tick(NOW);
	}
	CU_ASSERT(compared < 3 * MANY * 40);
	str_clear(&logged);
	forget_all();
}

static const struct unit_case cases[] = {
	{ "many", test_many },
	{ "one that clients refuse", test_faulty },
	{ "renewal", test_renewal },
	{ "none before", test_none_before },
	{ "some refuse", test_some_refuse },
	{ "begun", test_begun },
	{ "another file", test_other_file },
	{ "shared", test_shared },
	{ "end", test_end },
	{ "trial", test_trial },
	{ "OCSP", test_ocsp },
	{ "liar", test_liar },
	{ NULL, NULL },
};
UNIT_MAIN("cert_news", cases)
