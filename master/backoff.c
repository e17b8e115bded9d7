/* How long a role that died waits for its next start. */
#include "master/backoff.h"

unsigned backoff_after(struct backoff *b, double lived)
{
	unsigned n;

	if (lived >= BACKOFF_YOUNG)
		b->young_deaths = 0;
	n = b->young_deaths++;
	if (n == 0)
		return 0;
	return n > 5 ? BACKOFF_MAX : MIN(1U << (n - 1), (unsigned)BACKOFF_MAX);
}
