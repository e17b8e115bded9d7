/* The clients that have not logged in, by prefix. All but the search for an exempt prefix takes constant time. */
#include "login/strangers.h"

#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/rnd.h"

/* Strangers choose the keys: the seed keeps them from choosing those that collide. */
static unsigned mix(const struct net_addr *key, const uint64_t seed[2])
{
	uint64_t h;

	memcpy(&h, key->ip, sizeof(h)); /* the rest is zero */
	h = (h ^ seed[0]) * (seed[1] | 1);
	h ^= h >> 32;
	return (unsigned)((h * 0x9e3779b97f4a7c15) >> 32);
}

struct stranger_prefix {
	struct net_addr key;
	unsigned count, weight;
	bool exempt;                         /* stands in no level */
	struct stranger *oldest;             /* the first of them, in order of age */
	struct stranger_prefix *next, *prev; /* of the level */
	UT_hash_handle hh;
};

static struct stranger_prefix *find(const struct strangers *s, const struct net_addr *key)
{
	struct stranger_prefix *p;

	_Static_assert(sizeof(*key) == 24, "a key has no padding");
	HASH_FIND_BYHASHVALUE(hh, s->prefixes, key, sizeof(*key), mix(key, s->seed), p);
	return p;
}

/* --- levels --- */

static void leave_level(struct strangers *s, struct stranger_prefix *p)
{
	DL_DELETE(s->level[p->weight], p);
	while (s->top != 0 && s->level[s->top] == NULL)
		s->top--;
}

static void enter_level(struct strangers *s, struct stranger_prefix *p)
{
	if (p->weight >= s->nlevels) {
		unsigned n = MAX(p->weight + 1, s->nlevels * 2);

		s->level = mem_grow(s->level, n * sizeof(struct stranger_prefix *));
		memset(s->level + s->nlevels, 0, (n - s->nlevels) * sizeof(struct stranger_prefix *));
		s->nlevels = n;
	}
	DL_APPEND(s->level[p->weight], p);
	s->top = MAX(s->top, p->weight);
}

/* P has WHO, which weighs something else now: 0 before it came, and once it has left. */
static void set_weight(struct strangers *s, struct stranger_prefix *p, struct stranger *who, uint32_t weight)
{
	if (!p->exempt && p->weight != 0)
		leave_level(s, p);
	p->weight += weight - who->weight;
	s->weight += weight;
	s->weight -= who->weight;
	who->weight = weight;
	if (!p->exempt && p->weight != 0)
		enter_level(s, p);
}

/* P gives way, unless its oldest member is exempt: then nobody of it ever does. */
static bool gives_way(struct strangers *s, struct stranger_prefix *p)
{
	if (!p->exempt && s->exempt(p->oldest, s->arg)) {
		leave_level(s, p);
		p->exempt = true;
	}
	return !p->exempt;
}

/* --- the strangers --- */

void strangers_init(struct strangers *s, bool (*exempt)(struct stranger *who, void *arg), void *arg)
{
	memset(s, 0, sizeof(*s));
	s->exempt = exempt;
	s->arg = arg;
	rnd_bytes(s->seed, sizeof(s->seed));
}

void strangers_fini(struct strangers *s)
{
	DIE_IF(s->count != 0);
	mem_free(&s->level);
	s->nlevels = s->top = 0;
}

void strangers_add(struct strangers *s, struct stranger *who, const struct net_addr *addr, uint32_t now)
{
	const struct net_addr key = net_addr_client(addr);
	struct stranger_prefix *p = find(s, &key);

	DIE_IF(who->prefix != NULL);
	if (p == NULL) {
		p = mem_alloc(sizeof(*p));
		p->key = key;
		HASH_ADD_BYHASHVALUE(hh, s->prefixes, key, sizeof(p->key), mix(&key, s->seed), p);
	}
	who->prefix = p;
	who->since = now;
	DL_APPEND(p->oldest, who);
	p->count++;
	s->count++;
	set_weight(s, p, who, 1);
}

void strangers_weigh(struct strangers *s, struct stranger *who, uint32_t weight)
{
	DIE_IF(who->prefix == NULL || weight == 0);
	if (who->weight != weight)
		set_weight(s, who->prefix, who, weight);
}

void strangers_remove(struct strangers *s, struct stranger *who)
{
	struct stranger_prefix *p = who->prefix;

	if (p == NULL)
		return;
	DL_DELETE(p->oldest, who);
	who->prefix = NULL;
	s->count--;
	set_weight(s, p, who, 0);
	if (--p->count == 0) {
		HASH_DEL(s->prefixes, p);
		mem_free(&p);
	}
}

struct stranger *strangers_heaviest(struct strangers *s)
{
	struct stranger_prefix *most;

	do {
		if (s->top == 0)
			return NULL;
		most = s->level[s->top];
	} while (!gives_way(s, most));
	return most->oldest;
}

struct stranger *strangers_yield(struct strangers *s, const struct net_addr *addr, uint32_t now)
{
	const struct net_addr key = net_addr_client(addr);
	const struct stranger_prefix *own = find(s, &key);
	struct stranger *oldest = strangers_heaviest(s);

	if (oldest == NULL)
		return NULL;
	if ((own != NULL ? own->weight : 0) + 1 < oldest->prefix->weight || now - oldest->since >= STRANGERS_GRACE)
		return oldest;
	return NULL;
}

struct stranger *strangers_above_share(struct strangers *s, const struct stranger *who)
{
	struct stranger_prefix *p = who->prefix;

	return p->count > STRANGERS_PREFIX_MAX && gives_way(s, p) ? p->oldest : NULL;
}

unsigned strangers_beside(const struct stranger *who)
{
	return who->prefix->count;
}
