/* The rest of lib/clock.h for a test that stands in for it: its own clock_now() comes before this. */
#ifndef TESTS_FAKE_CLOCK_H
#define TESTS_FAKE_CLOCK_H

#include "lib/clock.h"

int64_t clock_ms(void)
{
	return (int64_t)(clock_now() * 1000);
}

uint32_t clock_seconds(void)
{
	return (uint32_t)clock_now();
}

int64_t clock_cpu_ms(void)
{
	return 0;
}

#endif
