/* Connections of any kind: the plain one, and what others need from the loop. */
#include "lib/conn.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/loop.h"
#include "lib/mem.h"

enum { BOTH = EV_READ | EV_WRITE };

/* --- the plain kind --- */

static ssize_t receive(const struct conn *c, void *p, size_t room, int flags)
{
	ssize_t n;

	do
		n = recv(c->io.fd, p, room, flags);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK ? CONN_LATER : CONN_FAILED;
}

static ssize_t plain_read(struct conn *c, void *p, size_t room)
{
	return receive(c, p, room, 0);
}

static ssize_t plain_peek(struct conn *c, void *p, size_t room)
{
	return receive(c, p, room, MSG_PEEK);
}

static ssize_t plain_write(struct conn *c, const void *p, size_t len)
{
	ssize_t n;

	do
		n = send(c->io.fd, p, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? CONN_LATER : CONN_FAILED;
}

static void plain_shut(struct conn *c, bool end UNUSED)
{
	shutdown(c->io.fd, SHUT_WR);
}

static const char *plain_error(const struct conn *c UNUSED)
{
	return strerror(errno);
}

/* It has no state and no needs of its own: the other functions are never called. */
static const struct conn_kind plain = {
	.read = plain_read,
	.peek = plain_peek,
	.write = plain_write,
	.shut = plain_shut,
	.error = plain_error,
};

static const struct conn_kind *kind_of(const struct conn *c)
{
	return c->state != NULL ? c->state->kind : &plain;
}

/* --- what other kinds need --- */

/* Makes the loop call when the user can go on, wherever the bytes come from. */
static void settle(struct conn *c)
{
	struct conn_state *s = c->state;

	if (s == NULL)
		return;
	loop_watch(s->loop, &c->io, s->kind->events(c, s->want));
	if ((s->want & EV_READ) != 0 && s->kind->pending(c))
		ev_idle_start(s->loop, &s->more);
	else
		ev_idle_stop(s->loop, &s->more);
}

/* Once in each turn of the loop, which does not sleep meanwhile, so that other connections get their turn. */
static void on_more(struct ev_loop *loop, ev_idle *w, int revents UNUSED)
{
	const struct conn_state *s = w->data;

	ev_idle_stop(loop, w);
	ev_invoke(loop, &s->conn->io, EV_READ);
}

void conn_use(struct ev_loop *loop, struct conn *c, struct conn_state *s)
{
	DIE_IF(c->state != NULL);
	s->conn = c;
	s->loop = loop;
	s->want = conn_wants(c);
	ev_idle_init(&s->more, on_more);
	ev_set_priority(&s->more, EV_MAXPRI); /* or an endless stream of events would starve it */
	s->more.data = s;
	c->state = s;
	settle(c);
}

/* --- for all --- */

void conn_open(struct conn *c, int fd, void (*fn)(struct ev_loop *, ev_io *, int), void *data)
{
	ev_io_init(&c->io, fn, fd, 0);
	c->io.data = data;
	c->state = NULL;
}

bool conn_is_open(const struct conn *c)
{
	return c->io.fd != -1;
}

void conn_close(struct ev_loop *loop, struct conn *c)
{
	ev_io_stop(loop, &c->io);
	if (c->state != NULL) {
		ev_idle_stop(loop, &c->state->more);
		c->state->kind->close(c);
		c->state = NULL;
	}
	if (c->io.fd != -1)
		close(c->io.fd);
	c->io.fd = -1;
}

void conn_take_over(struct ev_loop *loop, struct conn *to, void (*fn)(struct ev_loop *, ev_io *, int), void *data,
    struct conn *from)
{
	loop_take_over(loop, &to->io, fn, &from->io);
	to->io.data = data;
	to->state = from->state;
	from->state = NULL;
	if (to->state != NULL) {
		to->state->conn = to;
		conn_watch(loop, to, 0);
	}
}

void conn_watch(struct ev_loop *loop, struct conn *c, int want)
{
	if (c->state == NULL) {
		loop_watch(loop, &c->io, want);
		return;
	}
	c->state->want = want;
	settle(c);
}

int conn_wants(const struct conn *c)
{
	return c->state != NULL ? c->state->want : c->io.events & BOTH;
}

int conn_ready(struct conn *c, int revents)
{
	struct conn_state *s = c->state;
	int ready;

	if (s == NULL)
		return revents & BOTH;
	ready = s->kind->ready(c, revents & BOTH);
	if (s->kind->pending(c))
		ready |= EV_READ;
	settle(c);
	return ready & s->want;
}

ssize_t conn_read(struct conn *c, void *p, size_t room)
{
	ssize_t n = kind_of(c)->read(c, p, room);

	settle(c);
	return n;
}

ssize_t conn_peek(struct conn *c, void *p, size_t room)
{
	ssize_t n = kind_of(c)->peek(c, p, room);

	settle(c);
	return n;
}

ssize_t conn_write(struct conn *c, const void *p, size_t len)
{
	ssize_t n = kind_of(c)->write(c, p, len);

	DIE_IF(n == 0); /* its user would retry for ever */
	settle(c);
	return n;
}

ssize_t conn_flush(struct conn *c, struct str *out)
{
	while (out->len != 0) {
		ssize_t n = conn_write(c, out->data, out->len);

		if (n < 0)
			return n;
		mem_wipe(out->data, (size_t)n);
		str_drop(out, (size_t)n);
	}
	return 0;
}

void conn_shut(struct conn *c)
{
	kind_of(c)->shut(c, true);
	settle(c);
}

void conn_break_off(struct conn *c)
{
	kind_of(c)->shut(c, false);
	settle(c);
}

bool conn_holds(const struct conn *c)
{
	return c->state != NULL && c->state->kind->holds(c);
}

void conn_cut(struct conn *c)
{
	shutdown(c->io.fd, SHUT_RDWR);
}

bool conn_is_cut(const struct conn *c)
{
	struct pollfd p = { .fd = c->io.fd };

	return poll(&p, 1, 0) == 1;
}

const char *conn_error(const struct conn *c)
{
	return kind_of(c)->error(c);
}

bool conn_is_up(const struct conn *c)
{
	return c->state == NULL || c->state->kind->is_up(c);
}

size_t conn_memory(const struct conn *c)
{
	return c->state == NULL ? 0 : c->state->kind->memory(c);
}

int conn_raw_fd(const struct conn *c)
{
	return c->state == NULL ? c->io.fd : -1;
}
