/* libev's loop, and how a descriptor that other processes hold is removed from it. */
#include "lib/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"

#define LOOP_LOOKS 1.0  /* seconds between two looks of a loop that keeps time, at most */
#define LOOP_SLACK 0.05 /* seconds; the clocks of libev and lib/clock.h differ by some ms */

static int epoll_fd = -1;
static double looked, held; /* clock_now() of the last look; the time left out */

/* epoll_ctl() on an epoll descriptor says that a file is not (or cannot be) in its table; any other descriptor gives
 * another error. */
static bool is_epoll(int fd)
{
	struct epoll_event unused = { 0 };

	if (epoll_ctl(fd, EPOLL_CTL_DEL, STDERR_FILENO, &unused) == 0)
		return true;
	return errno == ENOENT || errno == EPERM;
}

struct ev_loop *loop_new(void)
{
	struct ev_loop *loop;
	int next;

	/* The loop's descriptor will be the lowest free one. */
	if ((next = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) == -1)
		die_errno("no descriptor for the event loop");
	close(next);
	if ((loop = ev_default_loop(EVBACKEND_EPOLL | EVFLAG_NOENV)) == NULL)
		die_errno("no event loop can be made");
	epoll_fd = is_epoll(next) ? next : -1;
	return loop;
}

void loop_forget(struct ev_loop *loop UNUSED, int fd)
{
	struct epoll_event unused = { 0 };

	if (epoll_fd != -1)
		epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, &unused);
}

void loop_watch(struct ev_loop *loop, ev_io *w, int want)
{
	if ((w->events & (EV_READ | EV_WRITE)) == want)
		return;
	ev_io_stop(loop, w);
	ev_io_modify(w, want);
	if (want != 0)
		ev_io_start(loop, w);
}

void loop_take_over(struct ev_loop *loop, ev_io *w, void (*fn)(struct ev_loop *, ev_io *, int), ev_io *from)
{
	ev_io_stop(loop, from);
	/* Unlike ev_io_set(), this does not say that another file may have the number now. */
	ev_init(w, fn);
	w->fd = from->fd;
	w->events = 0;
	from->fd = -1;
}

/* The tick only makes the loop look. */
static void on_tick(struct ev_loop *loop UNUSED, ev_timer *t UNUSED, int revents UNUSED) { }

/* Before all that has come of this look, timers too. */
static void on_look(struct ev_loop *loop UNUSED, ev_check *c UNUSED, int revents UNUSED)
{
	double now = clock_now(), since = now - looked;

	looked = now;
	if (since >= LOOP_HELD)
		held += since;
}

void loop_keep_time(struct ev_loop *loop)
{
	static ev_timer tick;
	static ev_check look;

	looked = clock_now();
	ev_timer_init(&tick, on_tick, LOOP_LOOKS, LOOP_LOOKS);
	ev_timer_start(loop, &tick);
	ev_unref(loop);
	ev_check_init(&look, on_look);
	ev_set_priority(&look, EV_MAXPRI);
	ev_check_start(loop, &look);
	ev_unref(loop);
}

double loop_now(void)
{
	static double last;

	/* What passed between the last look and the hold is left out too: that must not turn the time back. */
	return last = MAX(last, clock_now() - held);
}

uint32_t loop_seconds(void)
{
	return (uint32_t)loop_now();
}

void loop_timer_start(struct ev_loop *loop, ev_timer *t, double seconds, double *until)
{
	*until = loop_now() + seconds;
	t->repeat = MAX(seconds, 0.001);
	ev_timer_again(loop, t);
}

bool loop_timer_early(struct ev_loop *loop, ev_timer *t, double until)
{
	double left = until - loop_now();

	if (left < LOOP_SLACK)
		return false;
	loop_timer_start(loop, t, left, &until);
	return true;
}
