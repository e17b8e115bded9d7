/* How much one sender may log in a minute. */
#ifndef MASTER_LOG_ALLOWANCE_H
#define MASTER_LOG_ALLOWANCE_H

#include "lib/base.h"

struct log_allowance {
	unsigned max_lines; /* in LOG_ALLOWANCE_SECONDS */
	size_t max_bytes;
	uint32_t since; /* clock_seconds() when the present minute began */
	unsigned lines, left_out;
	size_t bytes;
};

enum { LOG_ALLOWANCE_SECONDS = 60 };

/* Takes a line of LEN bytes from A. False: it is too much. Else *LEFT_OUT is how many lines before it were too much and
 * have not been told of; the caller tells. */
bool log_allowance_take(struct log_allowance *a, size_t len, unsigned *left_out);

#endif
