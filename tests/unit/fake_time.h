/* Time that the test sets: clocks and libev's timers. For tests with the rig of a worker (tests/unit/worker_rig.h),
 * linked with --wrap=ev_timer_start,--wrap=ev_timer_stop,--wrap=ev_timer_again and --wrap=clock_ms,--wrap=clock_now,
 * --wrap=clock_seconds. */
#ifndef TESTS_FAKE_TIME_H
#define TESTS_FAKE_TIME_H

#include "tests/unit/worker_rig.h"

static double now = 1000;
static struct {
	ev_timer *timer;
	double due;
} timers[64];
static unsigned ntimers;

void __wrap_ev_timer_start(struct ev_loop *loop, ev_timer *t);
void __wrap_ev_timer_stop(struct ev_loop *loop, ev_timer *t);
void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *t);
int64_t __wrap_clock_ms(void);
double __wrap_clock_now(void);
uint32_t __wrap_clock_seconds(void);

/* One step a line. */
/* clang-format off */
int64_t __wrap_clock_ms(void) { return (int64_t)(now * 1000); }
double __wrap_clock_now(void) { return now; }
uint32_t __wrap_clock_seconds(void) { return (uint32_t)now; }
/* clang-format on */

static void timer_is_set(ev_timer *t, double after)
{
	CU_ASSERT_FATAL(ntimers < ARRAY_LEN(timers));
	timers[ntimers].timer = t;
	timers[ntimers++].due = now + after;
	t->active = 1;
}

void __wrap_ev_timer_start(struct ev_loop *loop UNUSED, ev_timer *t)
{
	if (!ev_is_active(t))
		timer_is_set(t, t->at);
}

/* The others keep their order: of those that are due at the same time the oldest is first. */
void __wrap_ev_timer_stop(struct ev_loop *loop UNUSED, ev_timer *t)
{
	for (unsigned i = 0; i < ntimers; i++)
		if (timers[i].timer == t) {
			memmove(&timers[i], &timers[i + 1], (--ntimers - i) * sizeof(timers[0]));
			break;
		}
	t->active = 0;
}

void __wrap_ev_timer_again(struct ev_loop *loop, ev_timer *t)
{
	__wrap_ev_timer_stop(loop, t);
	if (t->repeat > 0)
		timer_is_set(t, t->repeat);
}

/* Calls the timer that is due first, if one is by UNTIL. */
static bool fire(double until)
{
	unsigned first = 0;
	ev_timer *t;

	for (unsigned i = 1; i < ntimers; i++)
		if (timers[i].due < timers[first].due)
			first = i;
	if (ntimers == 0 || timers[first].due > until)
		return false;
	t = timers[first].timer;
	now = MAX(now, timers[first].due);
	__wrap_ev_timer_again(w->ctx.loop, t);
	ev_invoke(w->ctx.loop, t, EV_TIMER);
	turns();
	return true;
}

static void pass(double seconds)
{
	double until = now + seconds;

	while (fire(until))
		continue;
	now = until;
}

#endif
