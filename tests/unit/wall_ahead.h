/* The wall clock of the code under test, put forward: for tests linked with --wrap=clock_gettime. */
#ifndef TESTS_UNIT_WALL_AHEAD_H
#define TESTS_UNIT_WALL_AHEAD_H

#include <stdint.h>
#include <time.h>

static int64_t ahead_s; /* our clock and the file system's are ahead of the kernel's: 3: all is settled */

int __real_clock_gettime(clockid_t id, struct timespec *ts);
int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int __wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int rc = __real_clock_gettime(id, ts);

	if (id == CLOCK_REALTIME)
		ts->tv_sec += ahead_s;
	return rc;
}

#endif
