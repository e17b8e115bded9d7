/* Wrong passwords, counted by address and account. */
#include <stdio.h>
#include <string.h>

#include "authd/guesses.h"
#include "tests/unit/unit.h"

static struct guesses *g;

static unsigned count_of(const char *ip, const char *name, bool is_right, double now)
{
	struct net_addr a;
	struct guesser who = { .client = &a, .name = name };

	CU_ASSERT_FATAL(net_addr_parse(&a, ip, 4711));
	return guesses_count(g, &who, is_right, now);
}

/* Of the right password. */
static unsigned count(const char *ip, const char *name, double now)
{
	return count_of(ip, name, true, now);
}

static void wrong(const char *ip, const char *name, unsigned password, double now)
{
	struct net_addr a;
	struct guesser who = { .client = &a, .name = name };
	char text[16];

	CU_ASSERT_FATAL(net_addr_parse(&a, ip, 4712));
	snprintf(text, sizeof(text), "%u", password);
	guesses_wrong(g, &who, text, now);
}

static void right(const char *ip, const char *name, double now)
{
	struct net_addr a;
	struct guesser who = { .client = &a, .name = name };

	CU_ASSERT_FATAL(net_addr_parse(&a, ip, 4713));
	guesses_right(g, &who, now);
}

static void begin(void)
{
	g = guesses_new();
}

static void end(void)
{
	guesses_free(&g);
	CU_ASSERT_PTR_NULL(g);
	guesses_free(&g);
}

static void test_delay(void)
{
	static const double at[] = { [0] = 0, [5] = 0, [6] = 2, [10] = 2, [11] = 4, [16] = 8, [21] = 15, [30] = 15 };

	for (unsigned i = 0; i < ARRAY_LEN(at); i++)
		if (at[i] != 0 || i <= GUESSES_FREE)
			CU_ASSERT_EQUAL(guesses_delay(i, 2, 15), at[i]);
	CU_ASSERT_EQUAL(guesses_delay(4000000000U, 2, 15), 15);
	CU_ASSERT_EQUAL(guesses_delay(6, 60, 15), 15);
	CU_ASSERT_EQUAL(guesses_delay(30, 0, 15), 0);
}

/* By address, an IPv6 one by its /64, and by account; the higher count applies. */
static void test_counts(void)
{
	begin();
	for (unsigned i = 0; i < 3; i++)
		wrong("2001:db8::1", "ann", i, 100);
	wrong("192.0.2.1", "ann", 3, 100);
	CU_ASSERT_EQUAL(count("2001:db8::2:1", "jo", 100), 3);
	CU_ASSERT_EQUAL(count("2001:db8:0:1::1", "jo", 100), 0);
	CU_ASSERT_EQUAL(count("192.0.2.2", "ANN", 100), 4);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100), 4);
	CU_ASSERT_EQUAL(count("192.0.2.1", "", 100), 1);
	CU_ASSERT_EQUAL(count("192.0.2.2", "", 100), 0);
	wrong("192.0.2.2", "", 1, 100); /* no account has an empty name */
	CU_ASSERT_EQUAL(count("192.0.2.3", "", 100), 0);
	CU_ASSERT_EQUAL(count("192.0.2.2", "", 100), 1);
	end();
}

/* The same password again is no guess: neither at once nor after two others, nor with another spelling of the name. */
static void test_repeated(void)
{
	begin();
	for (unsigned i = 0; i < 30; i++)
		wrong("192.0.2.1", i % 2 == 0 ? "ann" : "Ann", i % 3, 100);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100), 3);
	wrong("192.0.2.1", "jo", 0, 100); /* another account's is another */
	CU_ASSERT_EQUAL(count("192.0.2.1", "x", 100), 4);
	end();
}

/* Counts end, and are forgotten one by one. */
static void test_ageing(void)
{
	begin();
	for (unsigned i = 0; i < 1000; i++)
		wrong("192.0.2.1", "ann", i, 100);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100), GUESSES_MOST);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100 + 10 * GUESSES_FORGET), GUESSES_MOST - 10);
	wrong("192.0.2.1", "ann", 1000, 100 + 10 * GUESSES_FORGET);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100 + 10 * GUESSES_FORGET), GUESSES_MOST - 9);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100 + GUESSES_MOST * GUESSES_FORGET), 1);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100 + (GUESSES_MOST + 1) * GUESSES_FORGET), 0);
	end();
}

/* Where an account has logged in it has its own count, which neither others there nor guesses from elsewhere raise. A
 * right password does not clear it. Wrong ones there are counted as elsewhere, too. */
static void test_known(void)
{
	begin();
	right("192.0.2.1", "ann", 100);
	for (unsigned i = 0; i < 20; i++) {
		wrong("192.0.2.1", "jo", i, 100);
		wrong("192.0.2.2", "ann", i, 100);
	}
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100), 0);
	CU_ASSERT_EQUAL(count_of("192.0.2.1", "ann", false, 100), 20);
	CU_ASSERT_EQUAL(count("192.0.2.3", "ann", 100), 20);
	for (unsigned i = 50; i < 58; i++)
		wrong("192.0.2.1", "ann", i, 100);
	right("192.0.2.1", "ann", 100);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 100), 8);
	CU_ASSERT_EQUAL(count("192.0.2.1", "jo", 100), 28);
	CU_ASSERT_EQUAL(count("192.0.2.3", "ann", 100), 28);
	end();
}

/* A crowd's address has no count. */
static void test_crowd(void)
{
	struct net_addr a;
	struct guesser who = { .client = &a, .name = "ann", .crowd = true };

	begin();
	CU_ASSERT_FATAL(net_addr_parse(&a, "192.0.2.1", 1));
	for (unsigned i = 0; i < 7; i++) {
		char text[2] = { (char)('a' + i), '\0' };

		guesses_wrong(g, &who, text, 100);
	}
	CU_ASSERT_EQUAL(guesses_count(g, &who, true, 100), 7);
	who.name = "jo";
	CU_ASSERT_EQUAL(guesses_count(g, &who, true, 100), 0);
	CU_ASSERT_EQUAL(count("192.0.2.1", "jo", 100), 0);
	end();
}

/* Names and addresses without end displace neither a guesser nor who logged in before. */
static void test_flood(void)
{
	char ip[32], name[16];

	begin();
	right("192.0.2.1", "ann", 100);
	for (unsigned i = 0; i < 20; i++)
		wrong("192.0.2.66", "jo", i, 100);
	for (unsigned i = 0; i < 4 * GUESSES_OTHERS; i++) {
		snprintf(ip, sizeof(ip), "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
		snprintf(name, sizeof(name), "no%u", i);
		wrong(ip, name, i, 101);
	}
	CU_ASSERT_EQUAL(count("192.0.2.66", "x", 101), 20);
	CU_ASSERT_EQUAL(count("192.0.2.2", "jo", 101), 20);
	CU_ASSERT_EQUAL(count("192.0.2.66", "ann", 101), 20);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 101), 0);
	for (unsigned i = 0; i < 20; i++)
		wrong("192.0.2.66", "ann", i, 101);
	CU_ASSERT_EQUAL(count("192.0.2.1", "ann", 101), 0);
	end();
}

/* The longest name and password, and one byte more, as no caller has. */
static void test_long(void)
{
	char name[600], password[1100];
	struct net_addr a;
	struct guesser who = { .client = &a, .name = name };

	begin();
	CU_ASSERT_FATAL(net_addr_parse(&a, "192.0.2.1", 1));
	memset(name, 'n', sizeof(name) - 1);
	memset(password, 'p', sizeof(password) - 1);
	name[sizeof(name) - 1] = password[sizeof(password) - 1] = '\0';
	guesses_wrong(g, &who, password, 1);
	guesses_right(g, &who, 1);
	name[511] = password[1023] = '\0';
	guesses_wrong(g, &who, password, 1);
	CU_ASSERT_EQUAL(guesses_count(g, &who, true, 1), 2);
	end();
}

static const struct unit_case cases[] = { { "delay", test_delay }, { "counts", test_counts },
	{ "repeated", test_repeated }, { "ageing", test_ageing }, { "known", test_known }, { "crowd", test_crowd },
	{ "flood", test_flood }, { "long", test_long }, { NULL, NULL } };
UNIT_MAIN("guesses", cases)
