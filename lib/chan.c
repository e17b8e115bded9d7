/* A message socket on the event loop. */
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

/* What is posted in one turn of the loop travels as one message of this type, with the others as `bytes` fields. */
enum { BUNDLE = 0xffff, BUNDLE_MAX = 32, BUNDLE_BYTES = 16 * 1024 };

/* The first message of a channel: u16 version. */
enum { HELLO = 0xfffe };

struct posted {
	unsigned n;
	struct msgw w;
};

struct chan {
	ev_io in, out;
	ev_prepare flush;      /* while something is posted */
	struct posted *posted; /* NULL until the first one */
	struct ev_loop *loop;
	chan_fn *on_msg;
	chan_gone_fn *on_gone;
	chan_feed_fn *feed; /* NULL: it has nothing to send */
	void *arg;
	struct queued *first, **last;
	size_t queued;
	uint16_t version; /* of the other end */
	bool busy, dead;  /* freed in a callback: its memory goes when that has returned */
};

enum { QUIET_SECONDS = 60 }; /* between two log lines about messages that are lost */

/* Two, because chan_drain() may be called from the callback of another channel. */
static uint8_t in_buf[MSG_SIZE_MAX], drain_buf[MSG_SIZE_MAX];

/* A malformed bundle, or one within another, is passed to on_msg, which does not know its type. */
static void deliver(struct chan *c, struct msgr *r, int fd)
{
	if (r->type == HELLO && fd == -1 && c->version == 0) {
		uint16_t version = msgr_u16(r);

		if (msgr_end(r) && version != 0) {
			c->version = version;
			return;
		}
	}
	if (r->type != BUNDLE || r->bad || fd != -1) {
		c->on_msg(c, r, fd, c->arg);
		return;
	}
	for (unsigned n = 0; !c->dead && r->p != r->end; n++) {
		struct msgr one;
		size_t len;
		const void *p = msgr_bytes(r, MSG_SIZE_MAX, &len);

		if (r->bad || n == BUNDLE_MAX) {
			r->bad = true;
			c->on_msg(c, r, -1, c->arg);
			return;
		}
		msgr_begin(&one, p, len);
		c->on_msg(c, &one, -1, c->arg);
	}
}

/* True if there was a message: C may be dead then, or know no more messages. */
static bool take_message(struct chan *c, uint8_t *buf)
{
	struct msgr r;
	int fd, got = msg_recv(c->in.fd, buf, &r, &fd);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) {
		ev_io_stop(c->loop, &c->in);
		c->on_gone(c, c->arg);
	}
	if (got <= 0)
		return false;
	deliver(c, &r, fd);
	mem_wipe(buf, (size_t)(r.end - buf));
	return true;
}

static void end_taking(struct chan *c)
{
	c->busy = false;
	if (c->dead)
		mem_free(&c);
}

/* One at a time, so that other channels get their turn; the loop reports the rest again. */
static void on_readable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct chan *c = io->data;

	c->busy = true;
	take_message(c, in_buf);
	end_taking(c);
}

void chan_drain(struct chan *c)
{
	c->busy = true;
	while (!c->dead && take_message(c, drain_buf))
		continue;
	end_taking(c);
}

static void free_queued(struct queued *q)
{
	if (q->fd != -1)
		close(q->fd);
	mem_wipe(q->data, q->len); /* messages may carry passwords */
	mem_free(&q);
}

/* The other side is gone, or the kernel does not pass that message on, which is lost then. */
static void not_sent(int error)
{
	static uint32_t quiet_until;

	if (error != EPIPE && error != ECONNRESET && log_due(&quiet_until, QUIET_SECONDS))
		log_error("a message that had to wait could not be sent: %s", strerror(error));
}

static void on_writable(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	static struct msgw w;
	struct chan *c = io->data;

	while (c->first != NULL) {
		struct queued *q = c->first;
		int sent, error;

		w.len = q->len;
		w.overflow = false;
		memcpy(w.buf, q->data, q->len);
		sent = msg_send(c->out.fd, &w, q->fd);
		error = errno;
		mem_wipe(w.buf, w.len);
		if (sent == 1)
			return;
		if (sent != 0)
			not_sent(error);
		c->first = q->next;
		if (c->first == NULL)
			c->last = &c->first;
		c->queued -= q->len + sizeof(*q);
		free_queued(q);
	}
	if (c->feed != NULL && !c->feed(c, c->arg))
		c->feed = NULL;
	if (c->feed == NULL && c->first == NULL)
		ev_io_stop(c->loop, &c->out);
}

void chan_feed(struct chan *c, chan_feed_fn *fn)
{
	c->feed = fn;
	ev_io_start(c->loop, &c->out);
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

/* 0: sent, or the other side is gone, which the reader reports; 1: no room for it now; -1: it cannot be sent. */
static int send_now(struct chan *c, const struct msgw *w, int fd)
{
	int r = c->first != NULL ? 1 : msg_send(c->out.fd, w, fd);

	return r == -1 && (errno == EPIPE || errno == ECONNRESET) ? 0 : r;
}

static void flush_posted(struct chan *c)
{
	struct posted *po = c->posted;

	if (po == NULL || po->n == 0)
		return;
	ev_prepare_stop(c->loop, &c->flush);
	po->n = 0;
	if (send_now(c, &po->w, -1) != 0)
		enqueue(c, po->w.buf, po->w.len, -1);
	mem_wipe(po->w.buf, po->w.len); /* messages may carry passwords */
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
	int copy = -1, sent;

	if (w->overflow)
		return -1;
	flush_posted(c);
	if ((sent = send_now(c, w, fd)) != 1)
		return sent;
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
	if (w->len > BUNDLE_BYTES)
		return chan_send(c, w, -1);
	if (c->posted == NULL)
		c->posted = mem_alloc(sizeof(*c->posted));
	po = c->posted;
	if (po->n == BUNDLE_MAX || (po->n != 0 && w->len > BUNDLE_BYTES - MIN(BUNDLE_BYTES, po->w.len)))
		flush_posted(c);
	if (po->n == 0) {
		msgw_begin(&po->w, BUNDLE);
		ev_prepare_start(c->loop, &c->flush);
	}
	msgw_bytes(&po->w, w->buf, w->len);
	po->n++;
	return 0;
}

size_t chan_queued(const struct chan *c)
{
	return c->queued + (c->posted != NULL && c->posted->n != 0 ? c->posted->w.len : 0);
}

void chan_greet(struct chan *c, uint16_t version)
{
	static struct msgw w;

	msgw_begin(&w, HELLO);
	msgw_u16(&w, version);
	if (chan_send(c, &w, -1) != 0)
		log_error("the first message of a channel could not be sent");
}

uint16_t chan_version(const struct chan *c)
{
	return c->version;
}
