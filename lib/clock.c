#include "lib/clock.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
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

bool clock_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;

	while ((left = deadline - clock_ms()) > 0) {
		int n = poll(&p, 1, (int)MIN(left, INT_MAX));

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
	errno = ETIMEDOUT;
	return false;
}
