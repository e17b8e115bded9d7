/* libev's loop, and how a descriptor that other processes hold is removed from it. */
#include "lib/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "lib/die.h"

static int epoll_fd = -1;

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
