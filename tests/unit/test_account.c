/* node/account: records and their options. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/mem.h"
#include "node/account.h"

static struct account sample(void)
{
	struct account a;

	account_init(&a);
	account_set(&a.name, "alice@example.com");
	account_set(&a.home, "/home/alice");
	account_set(&a.maildir, "Maildir");
	account_set(&a.quota, "1000S");
	account_set(&a.fullname, "Alice, \"the\" first");
	account_set(&a.options, "mailhost=b.example.com,disablepop3=1");
	account_set(&a.hash, "$6$x$y");
	account_set(&a.clear, "secret");
	a.uid = 1001;
	a.gid = 1002;
	return a;
}

static void test_init(void)
{
	struct account a;

	account_init(&a);
	CU_ASSERT_STRING_EQUAL(a.name, "");
	CU_ASSERT_STRING_EQUAL(a.clear, "");
	CU_ASSERT_EQUAL(a.uid, 0);
	account_set(&a.name, NULL);
	CU_ASSERT_STRING_EQUAL(a.name, "");
	account_set_bytes(&a.name, "alice@", 5);
	CU_ASSERT_STRING_EQUAL(a.name, "alice");
	account_set(&a.name, a.name + 2);
	CU_ASSERT_STRING_EQUAL(a.name, "ice");
	CU_ASSERT_STRING_EQUAL(a.home, "");
	account_set_bytes(&a.name, NULL, 0);
	CU_ASSERT_STRING_EQUAL(a.name, "");
	account_default_options(&a.options, "");
	CU_ASSERT_STRING_EQUAL(a.options, "");
	account_default_options(&a.options, "x=1");
	CU_ASSERT_STRING_EQUAL(a.options, "x=1");
	account_fini(&a);
	CU_ASSERT_PTR_NULL(a.name);
}

/* A control character in any text makes a record bad, whether it comes from a driver's process, an auth worker, or
 * memcached. */
static void test_read_controls(void)
{
	static struct msgw w;
	struct msgr r;

	for (int i = 0; i <= 9; i++) {
		struct account a = sample(), b;
		char **const member[] = { &a.name, &a.home, &a.maildir, &a.quota, &a.fullname, &a.options, &a.hash,
			&a.clear, &a.hmac };

		if (i < 9)
			account_set(member[i], "x\r\nX LOGOUT");
		msgw_begin(&w, 1);
		account_write(&w, &a, true);
		msgr_begin(&r, w.buf, w.len);
		account_read(&r, &b);
		CU_ASSERT_EQUAL(msgr_end(&r), i == 9);
		account_fini(&a);
		account_fini(&b);
	}
}

static void test_copy(void)
{
	struct account a = sample(), b;

	account_copy(&b, &a);
	CU_ASSERT_STRING_EQUAL(b.options, a.options);
	CU_ASSERT_PTR_NOT_EQUAL(b.options, a.options);
	CU_ASSERT_STRING_EQUAL(b.hash, "$6$x$y");
	CU_ASSERT_EQUAL(b.uid, 1001);
	CU_ASSERT_EQUAL(b.gid, 1002);
	account_fini(&a);
	account_fini(&b);
}

static struct msgw w;

static void test_message(void)
{
	for (int secrets = 0; secrets < 2; secrets++) {
		struct account a = sample(), b;
		struct msgr r;

		msgw_begin(&w, 7);
		account_write(&w, &a, secrets != 0);
		CU_ASSERT_FALSE(w.overflow);
		msgr_begin(&r, w.buf, w.len);
		account_read(&r, &b);
		CU_ASSERT(msgr_end(&r));
		CU_ASSERT_STRING_EQUAL(b.name, a.name);
		CU_ASSERT_STRING_EQUAL(b.home, a.home);
		CU_ASSERT_STRING_EQUAL(b.maildir, a.maildir);
		CU_ASSERT_STRING_EQUAL(b.quota, a.quota);
		CU_ASSERT_STRING_EQUAL(b.fullname, a.fullname);
		CU_ASSERT_STRING_EQUAL(b.options, a.options);
		CU_ASSERT_STRING_EQUAL(b.hash, secrets != 0 ? a.hash : "");
		CU_ASSERT_STRING_EQUAL(b.clear, secrets != 0 ? a.clear : "");
		CU_ASSERT_EQUAL(b.uid, 1001);
		CU_ASSERT_EQUAL(b.gid, 1002);
		account_fini(&a);
		account_fini(&b);
	}
}

/* A message cut anywhere is bad, and what was read of it can still be freed. */
static void test_message_cut(void)
{
	struct account a = sample();
	size_t whole;

	msgw_begin(&w, 7);
	account_write(&w, &a, true);
	whole = w.len;
	for (size_t n = 0; n < whole; n++) {
		struct account b;
		struct msgr r;

		msgr_begin(&r, w.buf, n);
		account_read(&r, &b);
		CU_ASSERT_FALSE(msgr_end(&r));
		CU_ASSERT_PTR_NOT_NULL(b.name);
		account_fini(&b);
	}
	account_fini(&a);
}

static void test_message_long(void)
{
	struct account a = sample(), b;
	char name[ACCOUNT_NAME_MAX + 1];
	struct msgr r;

	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	account_set(&a.name, name);
	msgw_begin(&w, 7);
	account_write(&w, &a, true);
	msgr_begin(&r, w.buf, w.len);
	account_read(&r, &b);
	CU_ASSERT_FALSE(msgr_end(&r));
	account_fini(&a);
	account_fini(&b);
}

static void test_option(void)
{
	static const struct {
		const char *options, *name;
		bool there;
		const char *value;
	} t[] = {
		{ "", "mailhost", false, NULL },
		{ "mailhost=a", "mailhost", true, "a" },
		{ "mailhost=", "mailhost", true, "" },
		{ "mailhost", "mailhost", true, "" },
		{ "mailhosts=a", "mailhost", false, NULL },
		{ "x=1,mailhost=a b", "mailhost", true, "a b" },
		{ "mailhost=a,mailhost=b", "mailhost", true, "a" },
		{ "MAILHOST=a", "mailhost", false, NULL },
		{ ",,mailhost=a,", "mailhost", true, "a" },
		{ "x=mailhost=a", "mailhost", false, NULL },
		{ "mailhost=a=b", "mailhost", true, "a=b" },
	};
	char v[64];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		CU_ASSERT_EQUAL(options_get(t[i].options, t[i].name, v, sizeof(v)), t[i].there);
		if (t[i].there)
			CU_ASSERT_STRING_EQUAL(v, t[i].value);
	}
	CU_ASSERT(options_get("mailhost=0123456789", "mailhost", v, 4));
	CU_ASSERT_STRING_EQUAL(v, "012");
}

static void test_option_on(void)
{
	static const struct {
		const char *options;
		bool on;
	} t[] = {
		{ "", false },
		{ "disableimap", false },
		{ "disableimap=0", false },
		{ "disableimap=1", true },
		{ "disableimap=2", true },
		{ "disableimap=yes", true },
		{ "disableimap=True", true },
		{ "disableimap=no", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		CU_ASSERT_EQUAL(options_is_on(t[i].options, "disableimap"), t[i].on);
}

static void test_default_options(void)
{
	static const struct {
		const char *options, *defaults, *out;
	} t[] = {
		{ "", "", "" },
		{ "a=1", "", "a=1" },
		{ "", "a=1,b", "a=1,b" },
		{ "a=1", "a=2,b=3", "a=1,b=3" },
		{ "a", "a=2", "a" },
		{ "x=1", ",,y=2,,", "x=1,y=2" },
		{ "x=1", "=3,=,y", "x=1,y" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		char *options = mem_strdup(t[i].options);

		account_default_options(&options, t[i].defaults);
		CU_ASSERT_STRING_EQUAL(options, t[i].out);
		mem_free(&options);
	}
}

static const struct unit_case cases[] = { { "control characters in a message", test_read_controls },
	{ "init", test_init }, { "copy", test_copy }, { "message", test_message }, { "message cut", test_message_cut },
	{ "message too long", test_message_long }, { "option", test_option }, { "option on", test_option_on },
	{ "default options", test_default_options }, { NULL, NULL } };
UNIT_MAIN("account", cases)
