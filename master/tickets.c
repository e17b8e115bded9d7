/* The tables of tickets and of clients that wait for theirs. */
#include "master/tickets.h"

#include <string.h>
#include <unistd.h>

#include "lib/mem.h"

enum { BUCKETS = 4096 }; /* a power of two */

struct tickets {
	struct ticket *bucket[BUCKETS];
	struct ticket *oldest, *newest; /* all are valid equally long, so this is also the order in which they expire */
	size_t count;
	struct handoff *first, **last; /* likewise */
	size_t waiting;
};

struct tickets *tickets_new(void)
{
	struct tickets *t = mem_alloc(sizeof(*t));

	t->last = &t->first;
	return t;
}

struct ticket *ticket_new(void)
{
	struct ticket *tk = mem_alloc(sizeof(*tk));

	account_init(&tk->grant.account);
	return tk;
}

void ticket_free(struct ticket **tkp)
{
	if (*tkp == NULL)
		return;
	account_fini(&(*tkp)->grant.account);
	mem_wipe((*tkp)->grant.id, TICKET_LEN);
	mem_free(tkp);
}

struct handoff *handoff_new(void)
{
	struct handoff *h = mem_alloc(sizeof(*h));

	h->fd = -1;
	return h;
}

void handoff_free(struct handoff **hp)
{
	if (*hp == NULL)
		return;
	if ((*hp)->fd != -1)
		close((*hp)->fd);
	mem_free(&(*hp)->leftover);
	mem_free(hp);
}

static bool same_id(const uint8_t a[TICKET_LEN], const uint8_t b[TICKET_LEN])
{
	return mem_equal_secret(a, TICKET_LEN, b, TICKET_LEN);
}

/* Ids are random, so any of their bits will do. */
static struct ticket **bucket_of(struct tickets *t, const uint8_t id[TICKET_LEN])
{
	return &t->bucket[(id[0] | id[1] << 8) & (BUCKETS - 1)];
}

static struct ticket *find(struct tickets *t, const uint8_t id[TICKET_LEN])
{
	struct ticket *found = NULL;

	for (struct ticket *tk = *bucket_of(t, id); tk != NULL; tk = tk->next_in_bucket)
		if (same_id(tk->grant.id, id))
			found = tk;
	return found;
}

static void unlink_ticket(struct tickets *t, struct ticket *tk)
{
	struct ticket **p = bucket_of(t, tk->grant.id);

	while (*p != tk)
		p = &(*p)->next_in_bucket;
	*p = tk->next_in_bucket;
	*(tk->older != NULL ? &tk->older->newer : &t->oldest) = tk->newer;
	*(tk->newer != NULL ? &tk->newer->older : &t->newest) = tk->older;
	t->count--;
}

static void drop(struct tickets *t, struct ticket *tk)
{
	unlink_ticket(t, tk);
	ticket_free(&tk);
}

bool tickets_add(struct tickets *t, struct ticket *tk, int64_t now)
{
	struct ticket **bucket = bucket_of(t, tk->grant.id);

	tickets_expire(t, now);
	if (t->count >= TICKETS_MAX || find(t, tk->grant.id) != NULL)
		return false;
	tk->expires = now + TICKETS_LIFE;
	tk->next_in_bucket = *bucket;
	*bucket = tk;
	tk->newer = NULL;
	tk->older = t->newest;
	*(t->newest != NULL ? &t->newest->newer : &t->oldest) = tk;
	t->newest = tk;
	t->count++;
	return true;
}

struct ticket *tickets_take(struct tickets *t, const uint8_t id[TICKET_LEN], uint32_t slot, uint64_t generation,
    int64_t now)
{
	struct ticket *tk = find(t, id);

	if (tk == NULL || tk->expires <= now || tk->grant.slot != slot || tk->grant.generation != generation)
		return NULL;
	unlink_ticket(t, tk);
	return tk;
}

void tickets_void(struct tickets *t, const uint8_t id[TICKET_LEN])
{
	struct ticket *tk = find(t, id);

	if (tk != NULL)
		drop(t, tk);
}

static struct handoff *unlink_handoff(struct tickets *t, struct handoff **p)
{
	struct handoff *h = *p;

	*p = h->next;
	if (t->last == &h->next)
		t->last = p;
	t->waiting--;
	return h;
}

bool tickets_hold(struct tickets *t, struct handoff *h, int64_t now)
{
	size_t of_worker = 0;

	for (const struct handoff *o = t->first; o != NULL; o = o->next)
		of_worker += o->slot == h->slot && o->generation == h->generation;
	if (t->waiting >= HANDOFFS_MAX || of_worker >= HANDOFFS_PER_WORKER)
		return false;
	h->expires = now + HANDOFFS_LIFE;
	h->next = NULL;
	*t->last = h;
	t->last = &h->next;
	t->waiting++;
	return true;
}

struct handoff *tickets_held(struct tickets *t, const struct ticket *tk)
{
	for (struct handoff **p = &t->first; *p != NULL; p = &(*p)->next)
		if (same_id((*p)->id, tk->grant.id) && (*p)->slot == tk->grant.slot &&
		    (*p)->generation == tk->grant.generation)
			return unlink_handoff(t, p);
	return NULL;
}

struct handoff *tickets_overdue(struct tickets *t, int64_t now)
{
	return t->first != NULL && t->first->expires <= now ? unlink_handoff(t, &t->first) : NULL;
}

void tickets_expire(struct tickets *t, int64_t now)
{
	while (t->oldest != NULL && t->oldest->expires <= now)
		drop(t, t->oldest);
}

void tickets_drop_worker(struct tickets *t, uint32_t slot, uint64_t generation)
{
	for (struct ticket *tk = t->oldest, *next; tk != NULL; tk = next) {
		next = tk->newer;
		if (tk->grant.slot == slot && tk->grant.generation == generation)
			drop(t, tk);
	}
	for (struct handoff **p = &t->first; *p != NULL;) {
		if ((*p)->slot == slot && (*p)->generation == generation) {
			struct handoff *h = unlink_handoff(t, p);

			handoff_free(&h);
		} else {
			p = &(*p)->next;
		}
	}
}

size_t tickets_count(const struct tickets *t)
{
	return t->count;
}

size_t tickets_waiting(const struct tickets *t)
{
	return t->waiting;
}

void tickets_free(struct tickets **tp)
{
	struct tickets *t = *tp;

	if (t == NULL)
		return;
	while (t->oldest != NULL)
		drop(t, t->oldest);
	while (t->first != NULL) {
		struct handoff *h = unlink_handoff(t, &t->first);

		handoff_free(&h);
	}
	mem_free(tp);
}
