/* Keys of which somebody is to be told, by number: who has the rest of them is asked when it is their turn. */
#ifndef NODE_KEY_QUEUE_H
#define NODE_KEY_QUEUE_H

#include "lib/base.h"

/* All zeros: an empty one. */
struct key_queue {
	uint32_t *key;
	size_t first, end, room; /* key[first] to key[end - 1] */
};

void key_queue_add(struct key_queue *q, uint32_t key);
/* Takes the one that was added first. False: it is empty. */
bool key_queue_take(struct key_queue *q, uint32_t *key);
/* Empties it, and frees what it holds. */
void key_queue_clear(struct key_queue *q);

#endif
