/* master/tickets: once, in time, on the right channel. */
#include "tests/unit/unit.h"

#include <string.h>
#include <unistd.h>

#include "lib/mem.h"
#include "master/tickets.h"

static void set_id(uint8_t id[TICKET_LEN], unsigned n)
{
	memset(id, 0, TICKET_LEN);
	id[0] = (uint8_t)n;
	id[5] = (uint8_t)(n >> 8); /* many share a bucket */
	id[15] = (uint8_t)(n >> 16);
}

static bool add(struct tickets *t, unsigned n, uint32_t slot, uint64_t generation, int64_t now)
{
	struct ticket *tk = ticket_new();

	set_id(tk->grant.id, n);
	tk->grant.session = n;
	tk->grant.slot = slot;
	tk->grant.generation = generation;
	if (tickets_add(t, tk, now))
		return true;
	ticket_free(&tk);
	return false;
}

/* The session of the ticket that was taken; -1 if none was. */
static int64_t take(struct tickets *t, unsigned n, uint32_t slot, uint64_t generation, int64_t now)
{
	uint8_t id[TICKET_LEN];
	struct ticket *tk;
	int64_t session;

	set_id(id, n);
	if ((tk = tickets_take(t, id, slot, generation, now)) == NULL)
		return -1;
	session = (int64_t)tk->grant.session;
	ticket_free(&tk);
	return session;
}

static void test_single_use(void)
{
	struct tickets *t = tickets_new();
	uint8_t id[TICKET_LEN];

	CU_ASSERT(add(t, 1, 0, 7, 0));
	CU_ASSERT(!add(t, 1, 0, 7, 0));           /* the same id twice */
	CU_ASSERT_EQUAL(take(t, 1, 1, 7, 1), -1); /* of another worker: refused, and still there for its owner */
	CU_ASSERT_EQUAL(take(t, 1, 0, 6, 1), -1); /* an older worker of that slot */
	CU_ASSERT_EQUAL(take(t, 2, 0, 7, 1), -1);
	CU_ASSERT_EQUAL(take(t, 1, 0, 7, 1), 1);
	CU_ASSERT_EQUAL(take(t, 1, 0, 7, 1), -1);
	CU_ASSERT(add(t, 3, 0, 7, 0));
	set_id(id, 3);
	tickets_void(t, id);
	tickets_void(t, id);
	CU_ASSERT_EQUAL(take(t, 3, 0, 7, 1), -1);
	CU_ASSERT_EQUAL(tickets_count(t), 0);
	tickets_free(&t);
}

static void test_expiry(void)
{
	struct tickets *t = tickets_new();

	CU_ASSERT(add(t, 1, 0, 1, 0));
	CU_ASSERT(add(t, 2, 0, 1, 1000));
	CU_ASSERT_EQUAL(take(t, 1, 0, 1, TICKETS_LIFE), -1);
	CU_ASSERT_EQUAL(take(t, 2, 0, 1, TICKETS_LIFE), 2);
	CU_ASSERT_EQUAL(tickets_count(t), 1);
	tickets_expire(t, TICKETS_LIFE - 1);
	CU_ASSERT_EQUAL(tickets_count(t), 1);
	tickets_expire(t, TICKETS_LIFE);
	CU_ASSERT_EQUAL(tickets_count(t), 0);
	tickets_free(&t);
}

static void test_bound(void)
{
	struct tickets *t = tickets_new();

	for (unsigned i = 0; i < TICKETS_MAX; i++)
		CU_ASSERT_FATAL(add(t, i, i % 3, 1, 0));
	CU_ASSERT(!add(t, TICKETS_MAX, 0, 1, 1));
	CU_ASSERT_EQUAL(take(t, 5000, 5000 % 3, 1, 1), 5000);
	CU_ASSERT(add(t, TICKETS_MAX, 0, 1, 1));
	CU_ASSERT(!add(t, TICKETS_MAX + 1, 0, 1, 1));
	tickets_drop_worker(t, 1, 1);
	CU_ASSERT_EQUAL(take(t, 4, 1, 1, 1), -1);
	CU_ASSERT_EQUAL(take(t, 3, 0, 1, 1), 3);
	CU_ASSERT(add(t, TICKETS_MAX + 1, 0, 1, TICKETS_LIFE)); /* the old ones make room */
	CU_ASSERT_EQUAL(tickets_count(t), 2);
	tickets_free(&t);
}

static struct handoff *client(unsigned n, uint32_t slot)
{
	struct handoff *h = handoff_new();

	set_id(h->id, n);
	h->request = n;
	h->slot = slot;
	h->generation = 1;
	h->leftover = mem_memdup("x", 1);
	h->leftover_len = 1;
	return h;
}

static void test_waiting(void)
{
	struct tickets *t = tickets_new();
	struct ticket *tk = ticket_new();
	struct handoff *h;
	int pipefd[2];
	char c;

	CU_ASSERT_EQUAL_FATAL(pipe(pipefd), 0);
	for (unsigned i = 1; i <= 4; i++)
		CU_ASSERT(tickets_hold(t, client(i, 0), 100 * i));
	set_id(tk->grant.id, 3);
	tk->grant.slot = 1;
	tk->grant.generation = 1;
	CU_ASSERT_PTR_NULL(tickets_held(t, tk)); /* another worker's */
	tk->grant.slot = 0;
	CU_ASSERT_PTR_NOT_NULL_FATAL(h = tickets_held(t, tk));
	CU_ASSERT_EQUAL(h->request, 3);
	handoff_free(&h);
	set_id(tk->grant.id, 4); /* the last in its bucket: the next one must find its place */
	CU_ASSERT_PTR_NOT_NULL_FATAL(h = tickets_held(t, tk));
	handoff_free(&h);
	CU_ASSERT(tickets_hold(t, client(5, 0), 500));
	CU_ASSERT_PTR_NULL(tickets_overdue(t, 99 + HANDOFFS_LIFE));
	CU_ASSERT_PTR_NOT_NULL_FATAL(h = tickets_overdue(t, 200 + HANDOFFS_LIFE));
	CU_ASSERT_EQUAL(h->request, 1);
	handoff_free(&h);
	CU_ASSERT_PTR_NOT_NULL_FATAL(h = tickets_overdue(t, 200 + HANDOFFS_LIFE));
	CU_ASSERT_EQUAL(h->request, 2);
	handoff_free(&h);
	CU_ASSERT_PTR_NULL(tickets_overdue(t, 200 + HANDOFFS_LIFE));
	CU_ASSERT_EQUAL(tickets_waiting(t), 1);
	h = client(6, 9);
	h->fd = pipefd[1];
	CU_ASSERT(tickets_hold(t, h, 600));
	tickets_drop_worker(t, 9, 1); /* closes what it waited with */
	CU_ASSERT_EQUAL(read(pipefd[0], &c, 1), 0);
	CU_ASSERT_EQUAL(tickets_waiting(t), 1);
	CU_ASSERT(tickets_hold(t, client(7, 0), 700));
	close(pipefd[0]);
	ticket_free(&tk);
	tickets_free(&t);
}

static void test_waiting_bound(void)
{
	struct tickets *t = tickets_new();
	struct handoff *h;
	unsigned n = 0;

	for (uint32_t slot = 0; slot < HANDOFFS_MAX / HANDOFFS_PER_WORKER; slot++) {
		for (unsigned i = 0; i < HANDOFFS_PER_WORKER; i++)
			CU_ASSERT_FATAL(tickets_hold(t, client(n++, slot), 0));
		h = client(n, slot);
		CU_ASSERT(!tickets_hold(t, h, 0));
		handoff_free(&h);
	}
	h = client(n, 99);
	CU_ASSERT(!tickets_hold(t, h, 0));
	handoff_free(&h);
	tickets_free(&t);
}

static const struct unit_case cases[] = {
	{ "single use, one worker", test_single_use },
	{ "expiry", test_expiry },
	{ "bound", test_bound },
	{ "clients before their ticket", test_waiting },
	{ "bound of those", test_waiting_bound },
	{ NULL, NULL },
};
UNIT_MAIN("tickets", cases)
