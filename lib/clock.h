/* Time for measuring durations. It never steps, whatever happens to the wall clock: nobody is
 * disconnected because the machine's time was set. (ev_now() is wall-clock time, and steps.) Resolution: a few ms. */
#ifndef LIB_CLOCK_H
#define LIB_CLOCK_H

#include "lib/base.h"

/* Since some moment in the past, in milliseconds; in seconds; in whole seconds. */
int64_t clock_ms(void);
double clock_now(void);
uint32_t clock_seconds(void);
/* CPU time that this process has used, in milliseconds. A system call. */
int64_t clock_cpu_ms(void);

#endif
