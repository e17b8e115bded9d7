/* The event loop of a process: libev's, plus what libev has no call for.
 * libev leaves a stopped descriptor registered with epoll and counts on close() to take it out. That does not
 * happen while another process holds the same socket: for a descriptor that was passed on, epoll would go on
 * reporting what the other process is served, and libev would rebuild its whole table each time. */
#ifndef LIB_LOOP_H
#define LIB_LOOP_H

#include <ev.h>

#include "lib/base.h"

/* The process's one loop, on epoll. Ends the process if the system has none. */
struct ev_loop *loop_new(void);
/* Takes FD, whose watchers are stopped, out of the kernel's table: before a copy of it is given away. */
void loop_forget(struct ev_loop *loop, int fd);
/* Watches the descriptor of W for WANT (EV_READ, EV_WRITE, both, or 0: not at all), if it is not so watched already.
 * What W is watched for is w->events as long as nothing but this, ev_io_start() after ev_io_init(), and
 * loop_take_over() have changed it. */
void loop_watch(struct ev_loop *loop, ev_io *w, int want);
/* Sets up W with callback FN, and no events, for the descriptor that FROM watches or has watched; FROM is stopped and
 * forgets the descriptor (-1). The loop knows it already: if W is started in the same turn with what FROM was watched
 * for, that costs no system call. */
void loop_take_over(struct ev_loop *loop, ev_io *w, void (*fn)(struct ev_loop *, ev_io *, int), ev_io *from);

#endif
