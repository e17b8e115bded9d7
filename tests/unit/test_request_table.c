/* Numbers of requests: each finds its owner until it is taken back, and never anybody else. */
#include "login/request_table.h"
#include "tests/unit/unit.h"

#include "lib/mem.h"

static int anna, bea;

static void test_find(void)
{
	struct request_table *t = request_table_new();
	uint32_t a = 0, b = 0;

	CU_ASSERT_PTR_NULL(request_table_find(t, 0));
	CU_ASSERT(request_table_take(t, &anna, &a));
	CU_ASSERT(request_table_take(t, &bea, &b));
	CU_ASSERT(a != 0 && b != 0 && a != b);
	CU_ASSERT_PTR_EQUAL(request_table_find(t, a), &anna);
	CU_ASSERT_PTR_EQUAL(request_table_find(t, b), &bea);
	request_table_drop(t, &a);
	CU_ASSERT_EQUAL(a, 0);
	request_table_drop(t, &a);
	CU_ASSERT_PTR_EQUAL(request_table_find(t, b), &bea);
	request_table_drop(t, &b);
	CU_ASSERT_PTR_NULL(request_table_find(t, 0));
	CU_ASSERT_PTR_NULL(request_table_find(t, UINT32_MAX));
	request_table_free(&t);
}

/* A late answer finds nobody, though the place is in use again; the count of uses starts again without a number 0. */
static void test_late_answer(void)
{
	struct request_table *t = request_table_new();
	uint32_t r = 0, old, nobody;

	CU_ASSERT(request_table_take(t, &anna, &r));
	for (unsigned i = 0; i < 3U << (32 - REQUEST_TABLE_BITS); i++) {
		old = nobody = r;
		CU_ASSERT(request_table_take(t, &bea, &r)); /* the old one is dropped */
		CU_ASSERT(r != 0 && r != old);
		CU_ASSERT_PTR_NULL(request_table_find(t, old));
		request_table_drop(t, &nobody); /* changes nothing for others */
		CU_ASSERT_PTR_EQUAL(request_table_find(t, r), &bea);
	}
	request_table_drop(t, &r);
	request_table_free(&t);
}

static void test_full(void)
{
	struct request_table *t = request_table_new();
	uint32_t *r = mem_alloc((REQUEST_TABLE_MAX + 1) * sizeof(*r)), more = 0;
	unsigned n = 0;

	while (request_table_take(t, &anna, &r[n]))
		n++;
	CU_ASSERT_EQUAL(n, REQUEST_TABLE_MAX);
	CU_ASSERT(!request_table_take(t, &bea, &more));
	CU_ASSERT_EQUAL(more, 0);
	request_table_drop(t, &r[7]);
	CU_ASSERT(request_table_take(t, &bea, &more));
	CU_ASSERT_PTR_EQUAL(request_table_find(t, more), &bea);
	request_table_drop(t, &more);
	while (n != 0)
		request_table_drop(t, &r[--n]);
	mem_free(&r);
	request_table_free(&t);
}

static const struct unit_case cases[] = {
	{ "a number finds its owner", test_find },
	{ "a late answer finds nobody", test_late_answer },
	{ "there are only so many", test_full },
	{ NULL, NULL },
};

UNIT_MAIN("request_table", cases)
