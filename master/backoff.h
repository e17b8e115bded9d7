/* When to restart a role that died: at once, then after longer and longer pauses while it keeps dying young. Pure
 * arithmetic; an all-zero struct is a role that never died. */
#ifndef MASTER_BACKOFF_H
#define MASTER_BACKOFF_H

#include "lib/base.h"

enum {
	BACKOFF_YOUNG = 10, /* seconds: a role that lived shorter died young */
	BACKOFF_MAX = 30    /* seconds between two starts at most */
};

struct backoff {
	unsigned young_deaths;
};

/* The role died after LIVED seconds. Returns the seconds to wait before its next start: 0 the first time and whenever
 * it had lived long enough, then 1, 2, 4, 8, 16, 30, 30, ... */
unsigned backoff_after(struct backoff *b, double lived);

#endif
