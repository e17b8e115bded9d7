/* A hash table from a message's base name to its index. */
#include <string.h>

#include "lib/mem.h"
#include "maildir/md_scan.h"

static uint32_t hash_of(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)p[i]) * 0x100000001b3u;
	return (uint32_t)(h ^ (h >> 32));
}

static void place(struct md_hash *h, uint32_t hash, uint32_t val)
{
	uint32_t i = hash & h->mask;

	while (h->slot[i].val != 0)
		i = (i + 1) & h->mask;
	h->slot[i].hash = hash;
	h->slot[i].val = val;
}

void md_hash_init(struct md_hash *h, size_t expected)
{
	size_t size = 16;

	while (size < expected * 2)
		size *= 2;
	h->slot = mem_array(size, sizeof(*h->slot));
	h->mask = (uint32_t)(size - 1);
	h->used = 0;
}

void md_hash_fini(struct md_hash *h)
{
	mem_free(&h->slot);
	h->mask = h->used = 0;
}

static void grow(struct md_hash *h)
{
	struct md_hslot *old = h->slot;
	uint32_t n = h->mask + 1;

	h->slot = mem_array((size_t)n * 2, sizeof(*h->slot));
	h->mask = n * 2 - 1;
	for (uint32_t i = 0; i < n; i++)
		if (old[i].val != 0)
			place(h, old[i].hash, old[i].val);
	mem_free(&old);
}

void md_hash_add(struct md_hash *h, const char *name, size_t len, uint32_t val)
{
	if ((h->used + 1) * 3ull > (h->mask + 1ull) * 2)
		grow(h);
	place(h, hash_of(name, len), val + 1);
	h->used++;
}

uint32_t md_hash_find(const struct md_hash *h, const char *name, size_t len, md_hash_name_fn *fn, const void *arg)
{
	uint32_t hash = hash_of(name, len);

	for (uint32_t i = hash & h->mask; h->slot[i].val != 0; i = (i + 1) & h->mask) {
		const char *other;
		size_t other_len;

		if (h->slot[i].hash != hash)
			continue;
		other = fn(arg, h->slot[i].val - 1, &other_len);
		if (other_len == len && memcmp(other, name, len) == 0)
			return h->slot[i].val - 1;
	}
	return MD_HASH_NONE;
}

static const char *msg_name(const void *arg, uint32_t val, size_t *len_out)
{
	const struct md_box *box = arg;

	*len_out = box->msgs[val].base_len;
	return box->msgs[val].name;
}

void md_hash_box(struct md_hash *h, const struct md_box *box)
{
	md_hash_init(h, box->n);
	for (size_t i = 0; i < box->n; i++)
		md_hash_add(h, box->msgs[i].name, box->msgs[i].base_len, (uint32_t)i);
}

uint32_t md_hash_find_msg(const struct md_hash *h, const struct md_box *box, const char *name, size_t len)
{
	return md_hash_find(h, name, len, msg_name, box);
}
