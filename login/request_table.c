/* Numbers of requests. */
#include "login/request_table.h"

#include <string.h>

#include "lib/die.h"
#include "lib/mem.h"

enum { FIRST = 64 };

struct slot {
	void *owner; /* NULL: it is free */
	uint32_t uses;
};

struct request_table {
	struct slot *slots;
	uint32_t nslots, *free_slots, nfree;
};

struct request_table *request_table_new(void)
{
	return mem_alloc(sizeof(struct request_table));
}

void request_table_free(struct request_table **t)
{
	DIE_IF((*t)->nfree != (*t)->nslots);
	mem_free(&(*t)->slots);
	mem_free(&(*t)->free_slots);
	mem_free(t);
}

static uint32_t number(const struct request_table *t, uint32_t slot)
{
	return (t->slots[slot].uses << REQUEST_TABLE_BITS) | slot;
}

static bool grow(struct request_table *t)
{
	uint32_t n = t->nslots != 0 ? t->nslots * 2 : FIRST;

	if (n > REQUEST_TABLE_MAX)
		return false;
	t->slots = mem_grow(t->slots, n * sizeof(*t->slots));
	t->free_slots = mem_grow(t->free_slots, n * sizeof(*t->free_slots));
	memset(t->slots + t->nslots, 0, (n - t->nslots) * sizeof(*t->slots));
	for (uint32_t k = n; k > t->nslots; k--)
		t->free_slots[t->nfree++] = k - 1;
	t->nslots = n;
	return true;
}

bool request_table_take(struct request_table *t, void *owner, uint32_t *request)
{
	uint32_t i;

	request_table_drop(t, request);
	if (t->nfree == 0 && !grow(t))
		return false;
	i = t->free_slots[--t->nfree];
	t->slots[i].owner = owner;
	if ((++t->slots[i].uses << REQUEST_TABLE_BITS) == 0)
		t->slots[i].uses++; /* no request has the number 0 */
	*request = number(t, i);
	return true;
}

void *request_table_find(const struct request_table *t, uint32_t request)
{
	uint32_t i = request & (REQUEST_TABLE_MAX - 1);

	return i < t->nslots && request == number(t, i) ? t->slots[i].owner : NULL;
}

void request_table_drop(struct request_table *t, uint32_t *request)
{
	uint32_t i = *request & (REQUEST_TABLE_MAX - 1);

	if (request_table_find(t, *request) != NULL) {
		t->slots[i].owner = NULL;
		t->free_slots[t->nfree++] = i;
	}
	*request = 0;
}
