/* imapd/imap_seq: sequence sets. */
#include <string.h>

#include "imapd/imap_seq.h"
#include "tests/unit/unit.h"

static const struct {
	const char *in;
	uint32_t star;
	const char *out;
} sets[] = {
	{ "1", 9, "1" },
	{ "1:3", 9, "1:3" },
	{ "3:1", 9, "1:3" },
	{ "*", 9, "9" },
	{ "7:*", 9, "7:9" },
	{ "*:7", 9, "7:9" },
	{ "20:*", 9, "9:20" },
	{ "*:*", 9, "9" },
	{ "2,4:7,9,12:15", 99, "2,4:7,9,12:15" },
	{ "5,4,3,2,1", 9, "1:5" },
	{ "1:4,2:3,4:6", 9, "1:6" },
	{ "4294967295", 9, "4294967295" },
	{ "1:4294967295,4294967295", 9, "1:4294967295" },
	{ "*", 0, "" },
	{ "1:*", 0, "" },
	{ "1:*,4", 0, "4" },
	{ "0", 9, NULL },
	{ "", 9, NULL },
	{ ",", 9, NULL },
	{ "1,", 9, NULL },
	{ ",1", 9, NULL },
	{ "1::2", 9, NULL },
	{ ":", 9, NULL },
	{ "1:", 9, NULL },
	{ "4294967296", 9, NULL },
	{ "99999999999999999999999999", 9, NULL },
	{ "**", 9, NULL },
	{ "1:2:3", 9, NULL },
	{ "a", 9, NULL },
	{ "-1", 9, NULL },
	{ "0:5", 9, NULL },
};

static void print(struct str *out, const struct imap_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		str_addf(out, "%s%u", i > 0 ? "," : "", (unsigned)set->ranges[i].low);
		if (set->ranges[i].high != set->ranges[i].low)
			str_addf(out, ":%u", (unsigned)set->ranges[i].high);
	}
}

static void test_sets(void)
{
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		struct imap_set set = { 0 };
		struct str out = STR_INIT;
		bool ok = imap_set_parse(&set, sets[i].in, strlen(sets[i].in), sets[i].star);

		CU_ASSERT_EQUAL(ok, sets[i].out != NULL);
		print(&out, &set);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), sets[i].out != NULL ? sets[i].out : "");
		imap_set_fini(&set);
		str_fini(&out);
	}
}

static void test_has(void)
{
	struct imap_set set = { 0 };

	CU_ASSERT_EQUAL(imap_set_max(&set), 0);
	CU_ASSERT_FALSE(imap_set_has(&set, 1));
	CU_ASSERT(imap_set_parse(&set, "10,20:22,5", 10, 1));
	for (uint32_t n = 1; n < 30; n++)
		CU_ASSERT_EQUAL(imap_set_has(&set, n), n == 5 || n == 10 || (n >= 20 && n <= 22));
	CU_ASSERT_EQUAL(imap_set_max(&set), 22);
	imap_set_fini(&set);
}

/* As many members as a command line can hold, in the worst order, are read quickly. */
static void test_large(void)
{
	struct imap_set set = { 0 };
	struct str in = STR_INIT;

	for (unsigned i = 9999; i > 0; i--)
		str_addf(&in, "%u%s", i * 2, i > 1 ? "," : "");
	CU_ASSERT(imap_set_parse(&set, in.data, in.len, 1));
	CU_ASSERT_EQUAL(set.n, 9999);
	CU_ASSERT(imap_set_has(&set, 19998));
	CU_ASSERT_FALSE(imap_set_has(&set, 19997));
	imap_set_fini(&set);
	str_fini(&in);
}

static void test_list(void)
{
	static const uint32_t list[] = { 3, 4, 5, 9, 2, 3, 1 };
	struct str out = STR_INIT;

	imap_list_print(&out, list, ARRAY_LEN(list));
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "3:5,9,2:3,1");
	str_fini(&out);
	imap_list_print(&out, list, 0);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "");
}

static const struct unit_case cases[] = { { "sets", test_sets }, { "members", test_has }, { "large", test_large },
	{ "lists", test_list }, { NULL, NULL } };
UNIT_MAIN("imap_seq", cases)
