/* The floor: accepts, connects, and carries bytes both ways until both sides have ended. No login, no log, no limits.
 *   bench/relay LISTEN-ADDRESS:PORT TARGET-ADDRESS:PORT [splice [PIPE-BYTES]]
 * One process, level-triggered epoll, 64 KiB at a time by recv and send, or by splice. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/wire.h"
#include "lib/die.h"
#include "lib/mem.h"
#include "lib/num.h"

struct side {
	int fd;
	struct side *peer;
	int pipe[2];  /* splice: what was read here; made when the first bytes come */
	char *kept;   /* copy: what the peer could not take yet */
	size_t waits; /* bytes in KEPT or in the pipe */
	bool ended;   /* nothing more comes from here */
};

static int ep;
static bool use_splice;
static uint64_t pipe_bytes = 64 * 1024;
static char buffer[64 * 1024];

/* A side is read while the peer keeps up, and waited for while it cannot take what it should. */
static void set_events(struct side *s)
{
	struct epoll_event e = { .data.ptr = s };

	if (!s->ended && s->waits == 0)
		e.events |= EPOLLIN;
	if (s->peer->waits != 0)
		e.events |= EPOLLOUT;
	if (epoll_ctl(ep, EPOLL_CTL_MOD, s->fd, &e) == -1)
		die_errno("epoll_ctl");
}

static void close_side(struct side *s)
{
	close(s->fd);
	if (s->pipe[0] != -1) {
		close(s->pipe[0]);
		close(s->pipe[1]);
	}
	mem_free(&s->kept);
}

static struct side *new_side(int fd)
{
	struct side *s = mem_alloc(sizeof(*s));

	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->pipe[0] = s->pipe[1] = -1;
	return s;
}

/* Sends what S has for its peer; false if the pair is broken. */
static bool flush(struct side *s)
{
	size_t before = s->waits;
	ssize_t n;

	while (s->waits != 0) {
		if (use_splice)
			n = splice(s->pipe[0], NULL, s->peer->fd, NULL, s->waits, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		else
			n = send(s->peer->fd, s->kept, s->waits, MSG_NOSIGNAL);
		if (n <= 0)
			return n == -1 && errno == EAGAIN;
		s->waits -= (size_t)n;
		if (!use_splice)
			memmove(s->kept, s->kept + n, s->waits);
	}
	if (before != 0) {
		set_events(s);
		set_events(s->peer);
	}
	return true;
}

static bool pass_by_copy(struct side *s, size_t len)
{
	ssize_t n = send(s->peer->fd, buffer, len, MSG_NOSIGNAL);

	if (n == -1 && errno != EAGAIN)
		return false;
	n = MAX(n, 0);
	if ((size_t)n == len)
		return true;
	if (s->kept == NULL)
		s->kept = mem_alloc(sizeof(buffer));
	s->waits = len - (size_t)n;
	memcpy(s->kept, buffer + n, s->waits);
	return true;
}

static bool pass_by_splice(struct side *s, size_t len)
{
	ssize_t n = splice(s->pipe[0], NULL, s->peer->fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n == -1 && errno != EAGAIN)
		return false;
	s->waits = len - (size_t)MAX(n, 0);
	return true;
}

static ssize_t take(struct side *s)
{
	if (!use_splice)
		return recv(s->fd, buffer, sizeof(buffer), 0);
	if (s->pipe[0] == -1) {
		if (pipe2(s->pipe, O_NONBLOCK | O_CLOEXEC) == -1)
			die_errno("pipe2");
		if (pipe_bytes != 64 * 1024)
			fcntl(s->pipe[1], F_SETPIPE_SZ, (int)pipe_bytes);
	}
	return splice(s->fd, NULL, s->pipe[1], NULL, pipe_bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

/* False: the pair is done with. */
static bool on_side(struct side *s, uint32_t events)
{
	ssize_t n;

	if ((events & EPOLLOUT) != 0 && !flush(s->peer))
		return false;
	if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) == 0 || s->waits != 0 || s->ended)
		return (events & EPOLLERR) == 0;
	n = take(s);
	if (n == -1)
		return errno == EAGAIN;
	if (n == 0) {
		s->ended = true;
		if (s->peer->ended)
			return false;
		shutdown(s->peer->fd, SHUT_WR);
		set_events(s);
		return true;
	}
	if (!(use_splice ? pass_by_splice(s, (size_t)n) : pass_by_copy(s, (size_t)n)))
		return false;
	if (s->waits != 0) {
		set_events(s);
		set_events(s->peer);
	}
	return true;
}

static void on_accept(int listener, const struct net_addr *target)
{
	int fd, to;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) != -1) {
		struct side *a = new_side(fd), *b;

		to = net_connect(target);
		if (to == -1)
			die_errno("connect");
		b = new_side(to);
		a->peer = b;
		b->peer = a;
		wire_watch(ep, a->fd, EPOLLIN, a);
		wire_watch(ep, b->fd, EPOLLIN, b);
	}
}

/* Events of a pair that were fetched together with the one that ended it mean nothing any more. */
static void forget(struct epoll_event *e, int n, const struct side *s)
{
	for (int i = 0; i < n; i++)
		if (e[i].data.ptr == s || e[i].data.ptr == s->peer)
			e[i].data.ptr = &ep;
}

static void end_pair(struct side *s)
{
	struct side *peer = s->peer;

	close_side(s);
	close_side(peer);
	mem_free(&s);
	mem_free(&peer);
}

int main(int argc, char **argv)
{
	struct epoll_event e[256];
	struct net_addr from, to;
	int listener, n;

	if (argc < 3 || argc > 5 || (argc > 3 && strcmp(argv[3], "splice") != 0) ||
	    (argc > 4 && !num_parse_str(argv[4], 1 << 20, &pipe_bytes)))
		die_fatal("usage: relay LISTEN-ADDRESS:PORT TARGET-ADDRESS:PORT [splice [PIPE-BYTES]]");
	use_splice = argc > 3;
	signal(SIGPIPE, SIG_IGN); /* splice() has no flag for it */
	from = wire_addr(argv[1]);
	to = wire_addr(argv[2]);
	wire_raise_files();
	ep = wire_epoll();
	listener = wire_listen(&from);
	wire_watch(ep, listener, EPOLLIN, NULL);
	for (;;) {
		n = epoll_wait(ep, e, (int)ARRAY_LEN(e), -1);
		for (int i = 0; i < n; i++) {
			struct side *s = e[i].data.ptr;

			if (s == NULL) {
				on_accept(listener, &to);
			} else if ((void *)s != (void *)&ep && !on_side(s, e[i].events)) {
				forget(e + i + 1, n - i - 1, s);
				end_pair(s);
			}
		}
	}
}
