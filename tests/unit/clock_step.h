/* The wall clock of the test's program can be set, also for its libraries; the other one jumps. */
#ifndef TESTS_UNIT_CLOCK_STEP_H
#define TESTS_UNIT_CLOCK_STEP_H

#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t wall_step, jump; /* seconds */

int clock_gettime(clockid_t id, struct timespec *t)
{
	int result = (int)syscall(SYS_clock_gettime, id, t);

	if (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)
		t->tv_sec += wall_step;
	if (id == CLOCK_MONOTONIC || id == CLOCK_MONOTONIC_COARSE)
		t->tv_sec += jump;
	return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone UNUSED)
{
	struct timespec now;
	int result = clock_gettime(CLOCK_REALTIME, &now);

	t->tv_sec = now.tv_sec;
	t->tv_usec = now.tv_nsec / 1000;
	return result;
}

#endif
