/* How many clients that have not logged in a worker serves, and how much memory they may make it hold: who gives way if
 * there are too many of one prefix, if descriptors are short, or if they hold too much together. */
#ifndef LOGIN_STRANGER_LIMITS_H
#define LOGIN_STRANGER_LIMITS_H

#include <stddef.h>

#include "login/strangers.h"
#include "settings/settings.h"

struct login;

struct stranger_limits {
	struct strangers all, holders; /* by their number; those that hold much, by that */
	uint64_t yielded;              /* who had to give way */
	/* private */
	const struct settings *set;
	void (*yield)(struct login *l);
	uint32_t quiet_until;
};

/* YIELD(L) ends a login that gives way. What comes from PROXY_TRUSTED of SET never does: it is many clients in one. */
void stranger_limits_init(struct stranger_limits *s, const struct settings *set, void (*yield)(struct login *l));
/* Frees S's tables; nobody may be left in them. */
void stranger_limits_fini(struct stranger_limits *s);
/* L, which has just come, is a stranger. If it is one too many of its prefix, the oldest of these gives way. */
void stranger_limits_add(struct stranger_limits *s, struct login *l);
/* L is a stranger (IS), or is none for now: then it does not have to give way, whatever it holds. Nothing changes if it
 * was that already. */
void stranger_limits_set(struct stranger_limits *s, struct login *l, bool is);
/* L, if it is a stranger, holds BYTES of memory. */
void stranger_limits_weigh(struct stranger_limits *s, struct login *l, size_t bytes);
/* If strangers hold too much together, ends those of the prefix that holds most. */
void stranger_limits_shed(struct stranger_limits *s);
/* Descriptors are short: somebody gives way to CLIENT. False: nobody does. */
bool stranger_limits_displace(struct stranger_limits *s, const struct net_addr *client);

#endif
