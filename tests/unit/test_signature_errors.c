/* Whether an invalid signature is an error of a node, or noise of a stranger. */
#include <stdio.h>
#include <string.h>

#include "authd/signature_errors.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

static struct signature_errors *all;
static struct str list;

static struct net_addr ip(const char *text)
{
	struct net_addr a;

	CU_ASSERT_FATAL(net_addr_parse(&a, text, 4711));
	return a;
}

static bool bad(const char *from, enum signature_check check, const char *account, double now)
{
	struct net_addr a = ip(from);

	return signature_errors_bad(all, &a, check, account, now);
}

static unsigned troubles; /* nodes among what was listed last */

static const char *fronts(double now)
{
	str_clear(&list);
	troubles = signature_errors_list(all, SIGNATURE_ERRORS_FRONTS, now, &list);
	return str_cstr(&list);
}

static const char *mailhosts(double now)
{
	str_clear(&list);
	troubles = signature_errors_list(all, SIGNATURE_ERRORS_MAILHOSTS, now, &list);
	return str_cstr(&list);
}

static void begin(void)
{
	all = signature_errors_new();
}

static void end(void)
{
	signature_errors_free(&all);
	CU_ASSERT_PTR_NULL(all);
	signature_errors_free(&all);
	str_fini(&list);
}

static void test_known_node(void)
{
	struct net_addr a = ip("192.0.2.7");

	begin();
	CU_ASSERT_FALSE(signature_errors_known(all, &a));
	signature_errors_know(all, &a);
	a.port = 1;
	CU_ASSERT(signature_errors_known(all, &a));
	CU_ASSERT(bad("192.0.2.7", SIGNATURE_WRONG, NULL, 1000)); /* by a token: only nodes have them */
	CU_ASSERT_STRING_EQUAL(fronts(1000), "192.0.2.7(secret)");
	CU_ASSERT_EQUAL(troubles, 1);
	CU_ASSERT_STRING_EQUAL(fronts(1000 + SIGNATURE_ERRORS_SHOWN - 1), "192.0.2.7(secret)");
	CU_ASSERT_STRING_EQUAL(fronts(1000 + SIGNATURE_ERRORS_SHOWN), "");
	CU_ASSERT_FALSE(
	    bad("192.0.2.7", SIGNATURE_WRONG, "u", 1000 + SIGNATURE_ERRORS_HOUR - 1)); /* logged within the hour */
	CU_ASSERT(bad("192.0.2.7", SIGNATURE_WRONG, "u", 1000 + SIGNATURE_ERRORS_HOUR));
	CU_ASSERT(bad("192.0.2.7", SIGNATURE_CLOCK, "u", 1001 + SIGNATURE_ERRORS_HOUR)); /* this is another error */
	CU_ASSERT_STRING_EQUAL(fronts(1001 + SIGNATURE_ERRORS_HOUR), "192.0.2.7(clock)");
	signature_errors_forget(all);
	CU_ASSERT_STRING_EQUAL(fronts(1002 + SIGNATURE_ERRORS_HOUR), "");
	CU_ASSERT(signature_errors_known(all, &a)); /* that it is a node is not logged */
	end();
}

static void test_ipv6(void)
{
	struct net_addr a = ip("2001:db8::7");

	begin();
	CU_ASSERT_FALSE(bad("2001:db8::7", SIGNATURE_WRONG, NULL, 1));
	signature_errors_know(all, &a);
	CU_ASSERT_FALSE(bad("2001:db8::8", SIGNATURE_WRONG, NULL, 1));
	CU_ASSERT(bad("2001:db8::7", SIGNATURE_WRONG, NULL, 1));
	CU_ASSERT_STRING_EQUAL(fronts(1), "2001:db8::7(secret)");
	end();
}

static void test_strangers(void)
{
	begin();
	CU_ASSERT_FALSE(bad("192.0.2.7", SIGNATURE_WRONG, NULL, 0));
	for (int i = 0; i < 100; i++)
		CU_ASSERT_FALSE(bad("192.0.2.7", SIGNATURE_WRONG, "u", i));
	CU_ASSERT_STRING_EQUAL(fronts(100), "");
	/* Another account an hour later does not count. */
	CU_ASSERT_FALSE(bad("192.0.2.7", SIGNATURE_WRONG, "v", 99 + SIGNATURE_ERRORS_HOUR));
	CU_ASSERT_FALSE(bad("192.0.2.8", SIGNATURE_WRONG, "u", 99 + SIGNATURE_ERRORS_HOUR));
	CU_ASSERT_STRING_EQUAL(fronts(99 + SIGNATURE_ERRORS_HOUR), "");
	CU_ASSERT(bad("192.0.2.7", SIGNATURE_WRONG, "u", 100 + SIGNATURE_ERRORS_HOUR));
	CU_ASSERT_STRING_EQUAL(fronts(100 + SIGNATURE_ERRORS_HOUR), "192.0.2.7(secret)");
	end();
}

/* The owner of several accounts, or of one behind a proxy on this machine, makes no trouble of the node's. An address
 * that becomes known as a node's does. */
static void test_several_accounts(void)
{
	struct net_addr a = ip("192.0.2.7");

	begin();
	bad("192.0.2.7", SIGNATURE_WRONG, "u", 0);
	CU_ASSERT(bad("192.0.2.7", SIGNATURE_WRONG, "v", 0));
	CU_ASSERT(bad("127.0.0.1", SIGNATURE_WRONG, "u", 0));
	CU_ASSERT_EQUAL(strlen(fronts(0)), strlen("192.0.2.7(secret) 127.0.0.1(secret)"));
	CU_ASSERT_EQUAL(troubles, 0);
	for (int i = 0; i < 100; i++)
		CU_ASSERT_FALSE(bad("192.0.2.7", SIGNATURE_WRONG, i % 2 ? "u" : "v", i));
	fronts(100);
	CU_ASSERT_EQUAL(troubles, 0);
	signature_errors_know(all, &a);
	CU_ASSERT_FALSE(bad("192.0.2.7", SIGNATURE_WRONG, "u", 100)); /* logged within the hour */
	fronts(100);
	CU_ASSERT_EQUAL(troubles, 1);
	CU_ASSERT(bad("192.0.2.9", SIGNATURE_CLOCK, "u", 100)); /* whose clock is another one has the secret */
	fronts(100);
	CU_ASSERT_EQUAL(troubles, 2);
	end();
}

static void test_this_machine(void)
{
	begin();
	CU_ASSERT_FALSE(bad("127.0.0.1", SIGNATURE_MISSING, NULL, 0));
	CU_ASSERT_FALSE(bad("127.0.0.9", SIGNATURE_MISSING, "u", 0));
	CU_ASSERT(bad("127.0.0.1", SIGNATURE_MISSING, "u", 0));
	CU_ASSERT(bad("::1", SIGNATURE_UNKNOWN, "u", 0));
	CU_ASSERT_EQUAL(strlen(fronts(0)), strlen("127.0.0.1(unsigned) ::1(no-secret)"));
	end();
}

/* The owner of one account, with many addresses, displaces no node; the log is limited. */
static void test_many(void)
{
	struct net_addr node = ip("198.51.100.1");
	unsigned lines = 0;
	char text[32];

	begin();
	signature_errors_know(all, &node);
	lines += bad("198.51.100.1", SIGNATURE_WRONG, "u", 0);
	for (int i = 1; i < 1000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		lines += bad(text, SIGNATURE_WRONG, "u", i / 1000.0);
	}
	CU_ASSERT_EQUAL(lines, 1);
	CU_ASSERT_STRING_EQUAL(fronts(1), "198.51.100.1(secret)");
	CU_ASSERT_EQUAL(troubles, 1);
	for (int i = 1; i < 1000; i++) {
		snprintf(text, sizeof(text), "10.0.%d.%d", i / 256, i % 256);
		lines += bad(text, SIGNATURE_WRONG, "u", 1);
		lines += bad(text, SIGNATURE_WRONG, "v", 1);
	}
	CU_ASSERT_EQUAL(lines, SIGNATURE_ERRORS_LINES / 2);
	for (int i = 1; i < 1000; i++)
		lines += bad("198.51.100.1", i % 2 ? SIGNATURE_CLOCK : SIGNATURE_WRONG, "u", 1);
	CU_ASSERT_EQUAL(lines, SIGNATURE_ERRORS_LINES);
	fronts(1);
	CU_ASSERT(list.len < 64 * 32); /* it does not grow */
	CU_ASSERT_EQUAL(troubles, 1);
	end();
}

static void test_mailhosts(void)
{
	begin();
	CU_ASSERT_FALSE(signature_errors_suspect(all, "nodeb"));
	CU_ASSERT(signature_errors_reported(all, "nodeb", SIGNATURE_WRONG, 10));
	CU_ASSERT_FALSE(signature_errors_reported(all, "NodeB", SIGNATURE_WRONG, 11));
	CU_ASSERT(signature_errors_reported(all, "nodec", SIGNATURE_CLOCK, 11));
	CU_ASSERT_STRING_EQUAL(mailhosts(11), "nodeb(secret) nodec(clock)");
	CU_ASSERT_EQUAL(troubles, 2);
	CU_ASSERT_STRING_EQUAL(fronts(11), "");
	CU_ASSERT(signature_errors_suspect(all, "NODEB"));
	CU_ASSERT_FALSE(signature_errors_reported(all, "nodeb", SIGNATURE_NONE, 12)); /* it accepts our signature now */
	CU_ASSERT_FALSE(signature_errors_suspect(all, "nodeb"));
	CU_ASSERT_STRING_EQUAL(mailhosts(12), "nodec(clock)");
	CU_ASSERT_STRING_EQUAL(mailhosts(11 + SIGNATURE_ERRORS_SHOWN), "");
	end();
}

/* The note is recognised at the end of a line, and nowhere else; cut anywhere, it is no note, or a shorter one. */
static void test_note(void)
{
	for (enum signature_check c = SIGNATURE_NONE; c < SIGNATURE_COUNT; c++) {
		char *line = mem_printf("+OK done.%s", signature_check_note(c)), *longer = mem_printf("%s ", line);
		size_t len = strlen(line);

		CU_ASSERT_EQUAL(signature_check_bad(c), c > SIGNATURE_GOOD);
		CU_ASSERT_EQUAL(signature_check_bad(c), signature_check_note(c)[0] == ' ');
		CU_ASSERT_EQUAL(signature_check_read(line), signature_check_bad(c) ? c : SIGNATURE_NONE);
		CU_ASSERT_EQUAL(signature_check_read(longer), SIGNATURE_NONE);
		for (size_t cut = 0; cut < len; cut++) {
			char *part = mem_memdup(line, cut);

			CU_ASSERT_EQUAL(signature_check_read(part), SIGNATURE_NONE);
			CU_ASSERT_EQUAL(signature_check_read(line + cut),
			    signature_check_bad(c) && cut <= strlen("+OK done.") ? c : SIGNATURE_NONE);
			mem_free(&part);
		}
		mem_free(&line);
		mem_free(&longer);
	}
}

static const struct unit_case cases[] = { { "known node", test_known_node }, { "IPv6", test_ipv6 },
	{ "strangers", test_strangers }, { "several accounts", test_several_accounts },
	{ "this machine", test_this_machine }, { "many", test_many }, { "mailhosts", test_mailhosts },
	{ "note", test_note }, { NULL, NULL } };
UNIT_MAIN("signature_errors", cases)
