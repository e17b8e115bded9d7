/* When to log that something does not answer: once when it fails, and once when it has answered again for a while. If
 * it fails now and then, that is one outage, not a line for each change. All fields 0 at first; NOW is of any clock
 * that does not step, in seconds. */
#ifndef AUTHD_OUTAGE_H
#define AUTHD_OUTAGE_H

#include "lib/base.h"

#define OUTAGE_STEADY 5.0 /* seconds without a failure */

struct outage {
	bool logged;   /* the log says that there is one */
	bool answered; /* it has answered since it failed last */
	double failed; /* when it last did */
};

/* It failed, at NOW. True: log it. */
static inline bool outage_failed(struct outage *o, double now)
{
	bool logged = o->logged;

	*o = (struct outage){ .logged = true, .failed = now };
	return !logged;
}

/* To be called at NOW; ANSWERED: it has answered. True: log that it answers again. */
static inline bool outage_over(struct outage *o, bool answered, double now)
{
	o->answered = o->answered || answered;
	if (!o->logged || !o->answered || now - o->failed < OUTAGE_STEADY)
		return false;
	o->logged = false;
	return true;
}

#endif
