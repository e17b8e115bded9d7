/* Reads the monotonic clock. */
#include "lib/clock.h"

#include <time.h>

static struct timespec now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return t;
}

int64_t clock_ms(void)
{
	struct timespec t = now();

	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

double clock_now(void)
{
	struct timespec t = now();

	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

uint32_t clock_seconds(void)
{
	return (uint32_t)now().tv_sec;
}

int64_t clock_cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
