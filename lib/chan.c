#include "lib/chan.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"

struct queued {
	struct queued *next;
	int fd;
	size_t len;
	uint8_t data[];
};

struct chan {
	ev_io in, out;
	struct ev_loop *loop;
	chan_fn *on_msg;
	chan_gone_fn *on_gone;
	void *arg;
	struct queued *first, **last;
	size_t queued;
	bool busy, dead; /* freed in a callback: its memory goes when that has returned */
};

enum { BURST = 64 }; /* messages taken in one turn of the loop, so that other work gets its share */

static uint8_t in_buf[MSG_SIZE_MAX];

/* Takes at most MOST messages (0: all that are there). */
static void take_messages(struct chan *c, unsigned most)
{
	c->busy = true;
	for (unsigned i = 0; (most == 0 || i < most) && !c->dead; i++) {
		struct msgr r;
		int fd, got = msg_recv(c->in.fd, in_buf, &r, &fd);

		if (got == 1) {
			c->on_msg(c, &r, fd, c->arg);
			continue;
		}
		if (fd != -1)
			close(fd);
		if (got == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) {
			ev_io_stop(c->loop, &c->in);
			c->on_gone(c, c->arg);
		}
		break;
	}
	c->busy = false;
	if (c->dead)
		mem_free(&c);
}

static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	take_messages(io->data, BURST);
}

void chan_drain(struct chan *c)
{
	take_messages(c, 0);
}

static void free_queued(struct queued *q)
{
	if (q->fd != -1)
		close(q->fd);
	mem_wipe(q->data, q->len); /* messages may carry passwords */
	mem_free(&q);
}

static void on_writable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	static struct msgw w;
	struct chan *c = io->data;

	while (c->first != NULL) {
		struct queued *q = c->first;

		w.len = q->len;
		w.overflow = false;
		memcpy(w.buf, q->data, q->len);
		if (msg_send(c->out.fd, &w, q->fd) == 1)
			return;
		/* An error here is seen by the reader as the end of the channel. */
		c->first = q->next;
		if (c->first == NULL)
			c->last = &c->first;
		c->queued -= q->len + sizeof(*q);
		free_queued(q);
	}
	ev_io_stop(c->loop, &c->out);
}

struct chan *chan_new(struct ev_loop *loop, int sock, chan_fn *on_msg, chan_gone_fn *on_gone, void *arg)
{
	struct chan *c = mem_alloc(sizeof(*c));

	fcntl(sock, F_SETFL, fcntl(sock, F_GETFL) | O_NONBLOCK);
	c->loop = loop;
	c->on_msg = on_msg;
	c->on_gone = on_gone;
	c->arg = arg;
	c->last = &c->first;
	ev_io_init(&c->in, on_readable, sock, EV_READ);
	ev_io_init(&c->out, on_writable, sock, EV_WRITE);
	c->in.data = c->out.data = c;
	ev_io_start(loop, &c->in);
	return c;
}

void chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	ev_io_stop(c->loop, &c->in);
	ev_io_stop(c->loop, &c->out);
	close(c->in.fd);
	while (c->first != NULL) {
		struct queued *q = c->first;

		c->first = q->next;
		free_queued(q);
	}
	c->dead = true;
	if (!c->busy)
		mem_free(&c);
}

int chan_send(struct chan *c, const struct msgw *w, int fd)
{
	struct queued *q;

	if (w->overflow)
		return -1;
	if (c->first == NULL) {
		int r = msg_send(c->out.fd, w, fd);

		/* That the other side is gone is told by the reader; anything else is this message's failure. */
		if (r == 0 || (r == -1 && (errno == EPIPE || errno == ECONNRESET)))
			return 0;
		if (r == -1)
			return -1;
	}
	if (c->queued + w->len > CHAN_QUEUE_MAX)
		return -1;
	q = mem_alloc(sizeof(*q) + w->len);
	q->fd = -1;
	if (fd != -1 && (q->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) == -1) {
		log_error("cannot duplicate a descriptor: %s; raise LimitNOFILE", strerror(errno));
		mem_free(&q);
		return -1;
	}
	q->len = w->len;
	memcpy(q->data, w->buf, w->len);
	*c->last = q;
	c->last = &q->next;
	c->queued += w->len + sizeof(*q);
	ev_io_start(c->loop, &c->out);
	return 0;
}

size_t chan_queued(const struct chan *c)
{
	return c->queued;
}
