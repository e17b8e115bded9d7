/* The event loop of a process: libev's, plus what libev has no call for. libev leaves a stopped descriptor registered
 * with epoll and relies on close() to remove it. That does not happen while another process holds the same socket: for
 * a descriptor that was passed on, epoll would go on reporting the other process's events, and libev would rebuild its
 * whole table each time. */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <ev.h>

#include "lib/base.h"

/* The process's one loop, on epoll. Ends the process if the system has none. */
struct ev_loop *loop_new(void);
/* Removes FD, whose watchers are stopped, from the kernel's table: call it before giving a copy of FD away. */
void loop_forget(struct ev_loop *loop, int fd);
/* Watches the descriptor of W for WANT (EV_READ, EV_WRITE, both, or 0: not at all), unless it already does. It trusts
 * w->events, so change that only by this function, by loop_take_over(), or by ev_io_start() after ev_io_init(). */
void loop_watch(struct ev_loop *loop, ev_io *w, int want);
/* Sets up W with callback FN, and no events, for the descriptor that FROM watches or has watched; FROM is stopped and
 * forgets the descriptor (-1). The loop knows it already: if W is started in the same turn with what FROM was watched
 * for, that costs no system call. */
void loop_take_over(struct ev_loop *loop, ev_io *w, void (*fn)(struct ev_loop *, ev_io *, int), ev_io *from);

/* The time of the loop is that of lib/clock.h without the time during which this process was held: stopped by a
 * signal, frozen, busy with one thing. What others have sent meanwhile waits unread, so a wait for them must not end
 * then. */

/* From now on LOOP looks at least every second, and notices when it was held for LOOP_HELD seconds or more. Before, and
 * where this is not called, no time is left out. */
void loop_keep_time(struct ev_loop *loop);
#define LOOP_HELD 3.0
double loop_now(void);
uint32_t loop_seconds(void);
/* Starts T, whose callback is set, to end after SECONDS of that time; *UNTIL is for loop_timer_early(). */
void loop_timer_start(struct ev_loop *loop, ev_timer *t, double seconds, double *until);
/* For T's callback: true if the time was not over, as the process was held. T is started for the rest then. */
bool loop_timer_early(struct ev_loop *loop, ev_timer *t, double until);

#endif
