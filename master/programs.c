/* Streams of programs that are watched without having a descriptor of them. */
#include "master/programs.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "lib/die.h"
#include "lib/log.h"

enum { QUIET_SECONDS = 60, EVENTS_MAX = 32 };

/* An epoll of our own: libev's watchers end with the descriptor. The kernel's stay as long as any process has the
 * socket, so spawn keeps none, and the worker notices at once that a program closed it. */
static struct {
	ev_io io;
	programs_alone_fn *alone;
} programs;

/* What the kernel keeps for us: the process, and so much of the session that a process with the same number is not
 * taken for it. */
static uint64_t key_of(pid_t pid, uint64_t session)
{
	return (uint64_t)(uint32_t)pid << 32 | (uint32_t)session;
}

static void on_alone(struct ev_loop *loop UNUSED, ev_io *w, int revents UNUSED)
{
	struct epoll_event e[EVENTS_MAX];
	int n = epoll_wait(w->fd, e, EVENTS_MAX, 0);

	for (int i = 0; i < n; i++)
		programs.alone((pid_t)(e[i].data.u64 >> 32), (uint32_t)e[i].data.u64);
}

void programs_init(struct ev_loop *loop, programs_alone_fn *alone)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd == -1)
		die_errno("cannot watch the streams of programs");
	programs.alone = alone;
	ev_io_init(&programs.io, on_alone, fd, EV_READ);
	ev_io_start(loop, &programs.io);
}

void programs_watch(int stream, pid_t pid, uint64_t session)
{
	static uint32_t quiet_until;
	/* Told of the end alone, and once: it cannot be taken out again. */
	struct epoll_event e = { .events = EPOLLONESHOT, .data.u64 = key_of(pid, session) };

	if (epoll_ctl(programs.io.fd, EPOLL_CTL_ADD, stream, &e) != 0 && log_due(&quiet_until, QUIET_SECONDS))
		log_error("cannot watch the stream of a program: %s; one that overlooks the end of its client is not "
		          "ended",
		    strerror(errno));
}
