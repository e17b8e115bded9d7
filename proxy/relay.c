#include "proxy/relay.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/mem.h"

enum { CLIENT, SERVER };                     /* index of a side */
enum { CHUNK = 64 * 1024 };                  /* bytes read at a time */
enum { IDLE_CHECK_SECONDS = 10 };

/* One direction; named by the side that it reads from. */
enum stream_state {
	STREAM_OPEN,
	STREAM_DRAIN, /* its source has ended; bytes are still kept for the other side */
	STREAM_DONE   /* passed on as a half-close, or the other side takes no more */
};

struct stream {
	char *kept; /* what the other side has not taken yet, or NULL */
	uint32_t kept_off, kept_len;
	uint64_t bytes;
	uint8_t state;
};

struct relay {
	struct relay *next, **prev;
	struct relay_pool *pool;
	void *session;
	ev_io io[2];
	struct stream from[2];
	uint32_t active; /* loop time of the last byte, seconds */
	uint8_t first_end; /* enum relay_end: who closed first */
	bool some_end;
};

struct relay_pool {
	struct ev_loop *loop;
	struct relay *first;
	unsigned count, idle_seconds;
	relay_end_fn *on_end;
	ev_timer idle;
};

static char shared[CHUNK];

static void finish(struct relay *r, enum relay_end end)
{
	struct relay_pool *pool = r->pool;

	for (int i = 0; i < 2; i++) {
		ev_io_stop(pool->loop, &r->io[i]);
		close(r->io[i].fd);
	}
	*r->prev = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	pool->count--;
	pool->on_end(r, end, r->session);
	mem_free(&r->from[CLIENT].kept);
	mem_free(&r->from[SERVER].kept);
	mem_free(&r);
}

/* What each watcher should wait for follows from the streams alone. */
static void watch(struct relay *r)
{
	for (int i = 0; i < 2; i++) {
		const struct stream *in = &r->from[i], *out = &r->from[!i];
		int want = 0;

		if (in->state == STREAM_OPEN && in->kept == NULL)
			want |= EV_READ;
		if (out->kept != NULL)
			want |= EV_WRITE;
		if (want == (r->io[i].events & (EV_READ | EV_WRITE)) && (want == 0 || ev_is_active(&r->io[i])))
			continue;
		ev_io_stop(r->pool->loop, &r->io[i]);
		ev_io_modify(&r->io[i], want);
		if (want != 0)
			ev_io_start(r->pool->loop, &r->io[i]);
	}
}

static void note_end(struct relay *r, int side)
{
	if (r->some_end)
		return;
	r->some_end = true;
	r->first_end = side == CLIENT ? RELAY_END_CLIENT : RELAY_END_SERVER;
}

static void drop_kept(struct stream *s)
{
	mem_free(&s->kept);
	s->kept_off = s->kept_len = 0;
}

/* SIDE takes no more bytes: what was meant for it is lost with it. */
static void sink_broken(struct relay *r, int side)
{
	struct stream *s = &r->from[!side];

	note_end(r, side);
	drop_kept(s);
	s->state = STREAM_DONE;
}

/* SIDE has said its last byte; that is passed on once everything before it is gone. */
static void source_ended(struct relay *r, int side)
{
	struct stream *s = &r->from[side];

	note_end(r, side);
	if (s->state == STREAM_DONE)
		return;
	s->state = s->kept != NULL ? STREAM_DRAIN : STREAM_DONE;
	/* If the other stream is done too, the relay is, and the descriptors are closed right away. */
	if (s->state == STREAM_DONE && r->from[!side].state != STREAM_DONE)
		shutdown(r->io[!side].fd, SHUT_WR);
}

/* Sends LEN bytes towards SIDE: the number taken (0 if there is no room), or -1 if it takes no more. */
static ssize_t send_some(struct relay *r, int side, const char *p, size_t len)
{
	ssize_t n;

	do
		n = send(r->io[side].fd, p, len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : -1;
}

static void keep(struct stream *s, const char *p, size_t len)
{
	s->kept = mem_memdup(p, len);
	s->kept_off = 0;
	s->kept_len = (uint32_t)len;
}

static void on_can_write(struct relay *r, int side)
{
	struct stream *s = &r->from[!side];
	ssize_t n = send_some(r, side, s->kept + s->kept_off, s->kept_len - s->kept_off);

	if (n < 0) {
		sink_broken(r, side);
		return;
	}
	s->kept_off += (uint32_t)n;
	if (s->kept_off < s->kept_len)
		return;
	drop_kept(s);
	if (s->state == STREAM_DRAIN) {
		s->state = STREAM_DONE;
		shutdown(r->io[side].fd, SHUT_WR);
	}
}

static void on_can_read(struct relay *r, int side)
{
	struct stream *s = &r->from[side];
	ssize_t n = recv(r->io[side].fd, shared, sizeof(shared), 0), sent;

	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return;
	if (n <= 0) {
		source_ended(r, side);
		/* A reset takes both directions: nothing can be sent there any more. */
		if (n < 0)
			sink_broken(r, side);
		return;
	}
	s->bytes += (uint64_t)n;
	sent = send_some(r, !side, shared, (size_t)n);
	if (sent < 0)
		sink_broken(r, !side);
	else if (sent < n)
		keep(s, shared + sent, (size_t)(n - sent));
}

static void on_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct relay *r = io->data;
	int side = io == &r->io[CLIENT] ? CLIENT : SERVER;

	r->active = (uint32_t)ev_now(loop);
	if ((revents & EV_WRITE) != 0 && r->from[!side].kept != NULL)
		on_can_write(r, side);
	if ((revents & EV_READ) != 0 && r->from[side].state == STREAM_OPEN && r->from[side].kept == NULL)
		on_can_read(r, side);
	if (r->from[CLIENT].state == STREAM_DONE && r->from[SERVER].state == STREAM_DONE)
		finish(r, (enum relay_end)r->first_end);
	else
		watch(r);
}

static void on_idle_check(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct relay_pool *pool = t->data;
	uint32_t now = (uint32_t)ev_now(loop);

	for (struct relay *r = pool->first, *next; r != NULL; r = next) {
		next = r->next;
		if (now - r->active >= pool->idle_seconds)
			finish(r, RELAY_END_IDLE);
	}
}

struct relay_pool *relay_pool_new(struct ev_loop *loop, unsigned idle_seconds, relay_end_fn *on_end)
{
	struct relay_pool *pool = mem_alloc(sizeof(*pool));
	double every = idle_seconds < IDLE_CHECK_SECONDS ? 1 : IDLE_CHECK_SECONDS;

	pool->loop = loop;
	pool->on_end = on_end;
	pool->idle_seconds = idle_seconds;
	ev_timer_init(&pool->idle, on_idle_check, every, every);
	pool->idle.data = pool;
	if (idle_seconds != 0) {
		ev_timer_start(loop, &pool->idle);
		ev_unref(loop);
	}
	return pool;
}

void relay_pool_free(struct relay_pool **pool)
{
	if (*pool != NULL && (*pool)->idle_seconds != 0) {
		ev_ref((*pool)->loop);
		ev_timer_stop((*pool)->loop, &(*pool)->idle);
	}
	mem_free(pool);
}

unsigned relay_pool_count(const struct relay_pool *pool)
{
	return pool->count;
}

void relay_pool_each(struct relay_pool *pool, void (*fn)(struct relay *r, void *session, void *arg), void *arg)
{
	for (struct relay *r = pool->first, *next; r != NULL; r = next) {
		next = r->next;
		fn(r, r->session, arg);
	}
}

static void start_with(struct stream *s, struct str *first)
{
	s->bytes = first->len;
	if (first->len != 0)
		keep(s, first->data, first->len);
	str_fini(first);
}

struct relay *relay_new(struct relay_pool *pool, int client, int server, struct str *to_client, struct str *to_server, void *session)
{
	struct relay *r = mem_alloc(sizeof(*r));

	r->pool = pool;
	r->session = session;
	r->active = (uint32_t)ev_now(pool->loop);
	ev_io_init(&r->io[CLIENT], on_event, client, 0);
	ev_io_init(&r->io[SERVER], on_event, server, 0);
	r->io[CLIENT].data = r->io[SERVER].data = r;
	start_with(&r->from[SERVER], to_client);
	start_with(&r->from[CLIENT], to_server);
	r->next = pool->first;
	r->prev = &pool->first;
	if (r->next != NULL)
		r->next->prev = &r->next;
	pool->first = r;
	pool->count++;
	for (int side = 0; side < 2; side++)
		if (r->from[!side].kept != NULL)
			on_can_write(r, side);
	watch(r);
	/* Both may be gone already; then nothing else would ever call us. */
	if (r->from[CLIENT].state == STREAM_DONE && r->from[SERVER].state == STREAM_DONE)
		ev_feed_event(pool->loop, &r->io[CLIENT], EV_CUSTOM);
	return r;
}

void relay_stop(struct relay *r, enum relay_end end)
{
	finish(r, end);
}

uint64_t relay_rcvd(const struct relay *r)
{
	return r->from[CLIENT].bytes;
}

uint64_t relay_sent(const struct relay *r)
{
	return r->from[SERVER].bytes;
}
