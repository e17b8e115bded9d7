/* Clients that have not logged in and whose next move it is, or that wait for long, ordered by where they come from: an
 * IPv4 address or an IPv6 /64, which is what one subscriber has. When there is no room for more, the oldest of the
 * prefix that has most gives way, so that nobody can keep the others out from there. What "most" counts is the weight
 * of each: 1 where connections are counted, and memory where that is. */
#ifndef LOGIN_STRANGERS_H
#define LOGIN_STRANGERS_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/net.h"

enum {
	/* Of one prefix, for each worker: no office or webmail server waits for so many clients at a time. */
	STRANGERS_PREFIX_MAX = 1000,
	STRANGERS_GRACE = 2, /* seconds to log in, before one from a prefix that has no fewer may take the place */
	/* Memory: what those that hold much may hold together, in each worker. It is enough for 1,400 handshakes of
	 * TLS that are under way: more than a processor begins in the time that a client needs for its part. */
	STRANGERS_HELD_MAX = 64 * 1024 * 1024,
	STRANGERS_HELD_UNIT = 4 * 1024 /* bytes; who holds less is not counted */
};

struct stranger_prefix;

/* Part of the client's own structure, zeroed at first. */
struct stranger {
	struct stranger *next, *prev;
	struct stranger_prefix *prefix; /* NULL: it is none, or no longer */
	uint32_t weight;
	uint32_t since; /* loop time, seconds */
};

struct strangers {
	unsigned count;
	uint64_t weight; /* of all */
	/* private */
	bool (*exempt)(struct stranger *who, void *arg);
	void *arg;
	struct stranger_prefix *prefixes; /* a hash table */
	struct stranger_prefix **level;   /* by their weight: lists, in the order of arrival there */
	unsigned nlevels, top;            /* no prefix weighs more than TOP */
	uint64_t seed[2];
};

/* EXEMPT(WHO, ARG) is asked before WHO is to give way: true for many clients in one, as a peer is. Nobody of its prefix
 * is chosen then. */
void strangers_init(struct strangers *s, bool (*exempt)(struct stranger *who, void *arg), void *arg);
/* Frees S's tables; nobody may be left in them. */
void strangers_fini(struct strangers *s);
/* WHO, at ADDR, is a stranger since NOW (loop time, seconds), of weight 1. */
void strangers_add(struct strangers *s, struct stranger *who, const struct net_addr *addr, uint32_t now);
/* WHO, which is a stranger, weighs WEIGHT (1 or more) from now on. */
void strangers_weigh(struct strangers *s, struct stranger *who, uint32_t weight);
/* WHO is none any more; nothing happens if it was none. */
void strangers_remove(struct strangers *s, struct stranger *who);
/* The one that gives way to a newcomer at ADDR, because there is room for no more: at once if the newcomer's prefix has
 * fewer, else only after its grace. NULL: nobody. */
struct stranger *strangers_yield(struct strangers *s, const struct net_addr *addr, uint32_t now);
/* The oldest of the prefix that weighs most. NULL: there is none that is not exempt. */
struct stranger *strangers_heaviest(struct strangers *s);
/* The oldest of WHO's prefix, if that has more than STRANGERS_PREFIX_MAX. NULL: it has not, or is exempt. */
struct stranger *strangers_above_share(struct strangers *s, const struct stranger *who);
/* How many strangers WHO's prefix has, with WHO. */
unsigned strangers_beside(const struct stranger *who);

#endif
