/* Lines and bytes of a sender, counted by the minute. */
#include "master/log_allowance.h"

#include "lib/clock.h"

bool log_allowance_take(struct log_allowance *a, size_t len, unsigned *left_out)
{
	if (clock_seconds() - a->since >= LOG_ALLOWANCE_SECONDS) {
		a->since = clock_seconds();
		a->lines = 0;
		a->bytes = 0;
	}
	if (a->lines >= a->max_lines || a->bytes + len > a->max_bytes) {
		a->left_out++;
		return false;
	}
	a->lines++;
	a->bytes += len;
	*left_out = a->left_out;
	a->left_out = 0;
	return true;
}
