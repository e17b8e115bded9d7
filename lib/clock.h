/* Time for measuring durations. It never jumps, so that nobody is disconnected because the machine's clock was set.
 * (ev_now() is wall-clock time and can jump.) Resolution: a few ms. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include "lib/base.h"

/* Time since some moment in the past, in milliseconds, seconds and whole seconds. */
int64_t clock_ms(void);
double clock_now(void);
uint32_t clock_seconds(void);
/* CPU time that this process has used, in milliseconds. Costs a system call. */
int64_t clock_cpu_ms(void);

#endif
