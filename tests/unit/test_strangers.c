/* Who gives way when there is no room for more clients that have not logged in. */
#include "tests/unit/unit.h"

#include "lib/mem.h"
#include "login/strangers.h"

enum { MANY = STRANGERS_PREFIX_MAX + 3 };

static struct strangers all;
static struct stranger who[MANY];
static struct stranger *trusted;

static bool is_exempt(struct stranger *s, void *arg)
{
	CU_ASSERT_PTR_EQUAL(arg, &all);
	return s == trusted;
}

static struct net_addr at(const char *text)
{
	struct net_addr a = { 0 };

	CU_ASSERT(net_addr_parse(&a, text, 1));
	return a;
}

static void add(unsigned i, const char *from, uint32_t now)
{
	struct net_addr a = at(from);

	strangers_add(&all, &who[i], &a, now);
}

/* The number of the one that gives way to a newcomer, or -1. */
static int yields(const char *newcomer, uint32_t now)
{
	struct net_addr a = at(newcomer);
	struct stranger *s = strangers_yield(&all, &a, now);

	return s != NULL ? (int)(s - who) : -1;
}

static void begin(void)
{
	memset(who, 0, sizeof(who));
	trusted = NULL;
	strangers_init(&all, is_exempt, &all);
}

static void end(void)
{
	for (unsigned i = 0; i < MANY; i++) {
		strangers_remove(&all, &who[i]);
		CU_ASSERT_PTR_NULL(who[i].prefix);
	}
	CU_ASSERT_EQUAL(all.count, 0);
	CU_ASSERT(all.top == 0 && all.weight == 0);
	CU_ASSERT_PTR_NULL(all.prefixes);
	strangers_fini(&all);
}

/* The oldest of the prefix with most; a /64 is one prefix, a neighbouring IPv4 address another. */
static void test_most_and_oldest(void)
{
	begin();
	CU_ASSERT_EQUAL(yields("192.0.2.1", 9), -1);
	add(0, "192.0.2.1", 0);
	add(1, "2001:db8:0:1::1", 0);
	add(2, "2001:db8:0:1:ffff::", 0);
	add(3, "192.0.2.2", 0);
	add(4, "2001:db8:0:2::1", 0);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 0), 1);
	add(5, "192.0.2.2", 0);
	add(6, "192.0.2.2", 0);
	CU_ASSERT_EQUAL(strangers_beside(&who[5]), 3);
	CU_ASSERT_EQUAL(yields("192.0.2.1", 0), 3);
	strangers_remove(&all, &who[3]);
	strangers_remove(&all, &who[3]);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 0), 1); /* two have as many: the one that has had them longer */
	strangers_remove(&all, &who[6]);
	strangers_remove(&all, &who[1]);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 9), 0);
	end();
}

/* A newcomer whose prefix has no fewer than any other displaces nobody who had no time to log in. */
static void test_grace(void)
{
	begin();
	add(0, "192.0.2.1", 10);
	CU_ASSERT_EQUAL(yields("192.0.2.2", 11), -1);
	CU_ASSERT_EQUAL(yields("192.0.2.2", 10 + STRANGERS_GRACE), 0);
	add(1, "192.0.2.1", 20);
	CU_ASSERT_EQUAL(yields("192.0.2.2", 10), 0);
	CU_ASSERT_EQUAL(yields("192.0.2.1", 11), -1);
	CU_ASSERT_EQUAL(yields("192.0.2.1", 12), 0);
	add(2, "192.0.2.2", 20);
	CU_ASSERT_EQUAL(yields("192.0.2.2", 11), -1);
	end();
}

/* Peers and the like: none of their prefix gives way, and the next one does. */
static void test_exempt(void)
{
	begin();
	trusted = &who[0];
	add(0, "192.0.2.1", 0);
	add(1, "192.0.2.1", 0);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 9), -1);
	add(2, "192.0.2.2", 0);
	add(3, "192.0.2.1", 0);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 9), 2);
	strangers_remove(&all, &who[0]);
	CU_ASSERT_EQUAL(yields("192.0.2.9", 9), 2);
	end();
}

static void test_share(void)
{
	begin();
	for (unsigned i = 0; i < STRANGERS_PREFIX_MAX; i++) {
		add(i, "2001:db8::1", 0);
		CU_ASSERT_PTR_NULL(strangers_above_share(&all, &who[i]));
	}
	add(STRANGERS_PREFIX_MAX, "2001:db8:0:1::", 0);
	CU_ASSERT_PTR_NULL(strangers_above_share(&all, &who[STRANGERS_PREFIX_MAX]));
	add(MANY - 1, "2001:db8::ffff", 0);
	CU_ASSERT_PTR_EQUAL(strangers_above_share(&all, &who[MANY - 1]), &who[0]);
	trusted = &who[0];
	CU_ASSERT_PTR_NULL(strangers_above_share(&all, &who[MANY - 1]));
	end();
}

/* Where what each has is weighed, the number does not count; a weight may change. */
static void test_weight(void)
{
	begin();
	CU_ASSERT_PTR_NULL(strangers_heaviest(&all));
	add(0, "192.0.2.1", 0);
	add(1, "192.0.2.1", 0);
	add(2, "192.0.2.1", 0);
	add(3, "192.0.2.2", 0);
	add(4, "192.0.2.2", 0);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[0]);
	strangers_weigh(&all, &who[4], 11);
	CU_ASSERT_EQUAL(all.weight, 15);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[3]);
	strangers_weigh(&all, &who[1], 100000);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[0]);
	strangers_remove(&all, &who[0]);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[1]);
	strangers_weigh(&all, &who[1], 3);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[3]);
	CU_ASSERT_EQUAL(all.weight, 16);
	trusted = &who[3];
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[1]);
	strangers_weigh(&all, &who[4], 50);
	CU_ASSERT_PTR_EQUAL(strangers_heaviest(&all), &who[1]);
	strangers_remove(&all, &who[1]);
	strangers_remove(&all, &who[2]);
	CU_ASSERT_PTR_NULL(strangers_heaviest(&all));
	CU_ASSERT_EQUAL(all.weight, 51);
	end();
}

/* Against a search of them all, for coming and going at random. */
static void test_against_a_search(void)
{
	enum { N = 200, PREFIXES = 23 };
	unsigned from[N] = { 0 }, n[PREFIXES] = { 0 }, state = 1;

	begin();
	for (unsigned turn = 0; turn < 20000; turn++) {
		unsigned i, most = 0, p = (state = state * 1103515245 + 12345) >> 16;
		struct net_addr a = at("10.0.0.0"), other = at("10.0.1.0");
		struct stranger *s;

		i = p % N;
		p = p / N % PREFIXES;
		if (who[i].prefix != NULL) {
			strangers_remove(&all, &who[i]);
			n[from[i]]--;
		} else {
			a.ip[3] = (uint8_t)p;
			strangers_add(&all, &who[i], &a, turn);
			n[from[i] = p]++;
		}
		for (p = 0; p < PREFIXES; p++)
			most = MAX(most, n[p]);
		s = strangers_yield(&all, &other, turn + STRANGERS_GRACE);
		CU_ASSERT_EQUAL_FATAL(s == NULL, most == 0);
		if (s == NULL)
			continue;
		CU_ASSERT_EQUAL(n[from[s - who]], most);
		CU_ASSERT_EQUAL(strangers_beside(s), most);
		for (i = 0; i < N; i++)
			CU_ASSERT(who[i].prefix == NULL || from[i] != from[s - who] || who[i].since >= s->since);
	}
	end();
}

static const struct unit_case cases[] = { { "the oldest of those with most", test_most_and_oldest },
	{ "grace", test_grace }, { "exempt", test_exempt }, { "the share of a prefix", test_share },
	{ "weights", test_weight }, { "against a search", test_against_a_search }, { NULL, NULL } };

UNIT_MAIN("strangers", cases)
