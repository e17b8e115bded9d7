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

enum { POSTED_MAX = 32, POSTED_BYTES = 16 * 1024 };

/* Messages of this turn of the loop. */
struct posted {
	unsigned n;
	size_t len[POSTED_MAX], bytes;
	uint8_t data[POSTED_BYTES];
};

struct chan {
	ev_io in, out;
	ev_prepare flush; /* while something is posted */
	struct posted *posted; /* NULL until the first one */
	struct ev_loop *loop;
	chan_fn *on_msg;
	chan_gone_fn *on_gone;
	void *arg;
	struct queued *first, **last;
	size_t queued;
	bool busy, dead; /* freed in a callback: its memory goes when that has returned */
};

enum { BURST = 64 }; /* messages taken in one turn of the loop, so that other work gets its share */

/* Two sets: chan_drain() is called from within a message of another channel. */
static uint8_t in_buf[MSG_MANY][MSG_SIZE_MAX], drain_buf[MSG_MANY][MSG_SIZE_MAX];

/* Takes MOST messages or a few more (0: all that are there). */
static void take_messages(struct chan *c, unsigned most, uint8_t (*buf)[MSG_SIZE_MAX])
{
	struct msg_in in[MSG_MANY];
	unsigned taken = 0;
	int got = MSG_MANY;

	c->busy = true;
	while (!c->dead && (most == 0 || (taken < most && got == MSG_MANY))) {
		got = msg_recv_many(c->in.fd, buf, in);
		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
			ev_io_stop(c->loop, &c->in);
			c->on_gone(c, c->arg);
		}
		if (got <= 0)
			break;
		for (int i = 0; i < got; i++) {
			size_t len = (size_t)(in[i].r.end - buf[i]);

			if (!c->dead)
				c->on_msg(c, &in[i].r, in[i].fd, c->arg);
			else if (in[i].fd != -1)
				close(in[i].fd);
			mem_wipe(buf[i], len);
		}
		taken += (unsigned)got;
	}
	c->busy = false;
	if (c->dead)
		mem_free(&c);
}

static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	take_messages(io->data, BURST, in_buf);
}

void chan_drain(struct chan *c)
{
	take_messages(c, 0, drain_buf);
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

static void enqueue(struct chan *c, const void *p, size_t len, int fd)
{
	struct queued *q = mem_alloc(sizeof(*q) + len);

	q->fd = fd;
	q->len = len;
	memcpy(q->data, p, len);
	*c->last = q;
	c->last = &q->next;
	c->queued += len + sizeof(*q);
	ev_io_start(c->loop, &c->out);
}

/* Sends what was posted; what finds no room is queued. */
static void flush_posted(struct chan *c)
{
	struct posted *po = c->posted;
	const uint8_t *p;
	unsigned i = 0;

	if (po == NULL || po->n == 0)
		return;
	ev_prepare_stop(c->loop, &c->flush);
	p = po->data;
	while (i < po->n && c->first == NULL) {
		int sent = msg_send_many(c->out.fd, p, po->len + i, po->n - i);

		if (sent == 0)
			break;
		/* An error is the end of the channel, of which the reader tells: one by one they are dropped. */
		for (unsigned end = i + (unsigned)MAX(sent, 1); i < end; i++)
			p += po->len[i];
	}
	for (; i < po->n; p += po->len[i++])
		enqueue(c, p, po->len[i], -1);
	mem_wipe(po->data, po->bytes); /* messages may carry passwords */
	po->n = 0;
	po->bytes = 0;
}

static void on_prepare(struct ev_loop *loop UNUSED, ev_prepare *w, int revents UNUSED)
{
	flush_posted(w->data);
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
	ev_prepare_init(&c->flush, on_prepare);
	c->in.data = c->out.data = c->flush.data = c;
	ev_io_start(loop, &c->in);
	return c;
}

void chan_free(struct chan **cp)
{
	struct chan *c = *cp;

	if (c == NULL)
		return;
	*cp = NULL;
	flush_posted(c);
	mem_free(&c->posted);
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
	int copy = -1;

	if (w->overflow)
		return -1;
	flush_posted(c);
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
	if (fd != -1 && (copy = fcntl(fd, F_DUPFD_CLOEXEC, 3)) == -1) {
		log_error("cannot duplicate a descriptor: %s; raise LimitNOFILE", strerror(errno));
		return -1;
	}
	enqueue(c, w->buf, w->len, copy);
	return 0;
}

int chan_post(struct chan *c, const struct msgw *w)
{
	struct posted *po;

	if (w->overflow || chan_queued(c) + w->len > CHAN_QUEUE_MAX)
		return -1;
	if (c->posted == NULL)
		c->posted = mem_alloc(sizeof(*c->posted));
	po = c->posted;
	if (po->n == POSTED_MAX || w->len > sizeof(po->data) - po->bytes)
		flush_posted(c);
	if (w->len > sizeof(po->data))
		return chan_send(c, w, -1);
	if (po->n == 0)
		ev_prepare_start(c->loop, &c->flush);
	memcpy(po->data + po->bytes, w->buf, w->len);
	po->bytes += w->len;
	po->len[po->n++] = w->len;
	return 0;
}

size_t chan_queued(const struct chan *c)
{
	return c->queued + (c->posted != NULL ? c->posted->bytes : 0);
}
