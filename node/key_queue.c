/* Numbers of keys in an array that grows. */
#include "node/key_queue.h"

#include <string.h>

#include "lib/mem.h"

enum { ROOM_FIRST = 64 };

/* What was taken is room again, if it is half of all. */
static void make_room(struct key_queue *q)
{
	if (q->first >= q->room / 2 && q->first != 0) {
		memmove(q->key, q->key + q->first, (q->end - q->first) * sizeof(*q->key));
		q->end -= q->first;
		q->first = 0;
		return;
	}
	q->room = MAX(2 * q->room, (size_t)ROOM_FIRST);
	q->key = mem_grow(q->key, q->room * sizeof(*q->key));
}

void key_queue_add(struct key_queue *q, uint32_t key)
{
	if (q->end == q->room)
		make_room(q);
	q->key[q->end++] = key;
}

static bool is_empty(const struct key_queue *q)
{
	return q->first == q->end;
}

bool key_queue_take(struct key_queue *q, uint32_t *key)
{
	if (is_empty(q))
		return false;
	*key = q->key[q->first++];
	if (is_empty(q))
		key_queue_clear(q);
	return true;
}

void key_queue_clear(struct key_queue *q)
{
	mem_free(&q->key);
	memset(q, 0, sizeof(*q));
}
