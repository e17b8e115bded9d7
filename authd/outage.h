/* What the log says of something that answers or does not: once that it does not, and once that it does again, when
 * that has held for a while. What fails now and then is one outage, not a line for each change. All fields 0 at first;
 * NOW is of any clock that does not step, in seconds. */
#ifndef AUTHD_OUTAGE_H
#define AUTHD_OUTAGE_H

#include "lib/base.h"

#define OUTAGE_STEADY 5.0 /* seconds without a failure */

struct outage {
	bool logged;   /* the log says that there is one */
	bool answered; /* it has answered since it failed last */
	double failed; /* when it last did */
};

/* It failed, at NOW. True: the log must be told. */
static inline bool outage_failed(struct outage *o, double now)
{
	bool logged = o->logged;

	*o = (struct outage){ .logged = true, .failed = now };
	return !logged;
}

/* It is NOW, and it has ANSWERED if that is true. True: the log must be told that it does again. */
static inline bool outage_over(struct outage *o, bool answered, double now)
{
	o->answered = o->answered || answered;
	if (!o->logged || !o->answered || now - o->failed < OUTAGE_STEADY)
		return false;
	o->logged = false;
	return true;
}

#endif
