/* Relays bytes both ways, until both sides are done. */
#include "proxy/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "lib/loop.h"
#include "lib/mem.h"

enum { CLIENT, SERVER };    /* index of a side */
enum { CHUNK = 64 * 1024 }; /* bytes read at a time */
enum {
	QUIET_SECONDS = 2, /* without a byte: nothing is under way */
	IDLE_CHECK_SECONDS = 10,
	HALF_OPEN_SECONDS = 300, /* without a byte, once one side has closed */
	OVER_SECONDS = 20        /* the same, when only what a connection holds is left to be taken */
};
enum {
	PIPE_SIZE = 1024 * 1024, /* asked for; the system may give less */
	PIPES_KEPT = 32,         /* empty pipes kept for the next large read */
	MUCH = 16 * 1024,        /* bytes of a large read: after it the next one goes through a pipe */
	/* So many small reads in a row end that: the last piece of a body is small, and so are replies between
	 * bodies. */
	MUCH_FOR = 3
};

/* A pipe through which much data is spliced where both sides are raw: the bytes never come into this process. */
struct bulk {
	struct bulk *next; /* while it is kept */
	int rd, wr;
	uint32_t size, held;
};

/* One direction, named after the side that it reads from. */
struct stream {
	union {                    /* what the other side has not taken yet, or NULL: */
		struct kept *kept; /* in memory, */
		struct bulk *bulk; /* or in a pipe: in_pipe */
	};
	uint64_t bytes : 54;
	uint64_t said : 1; /* it has brought a byte */
	uint64_t done : 1; /* its end was passed on as a half-close, or the other side takes no more */
	uint64_t much : 4; /* how many of the next reads are worth a pipe */
	uint64_t in_pipe : 1;
	uint64_t broken : 1; /* the other side takes no more */
};

struct kept {
	uint32_t off, len;
	char data[];
};

struct relay {
	struct relay *next, **prev;
	struct relay_pool *pool;
	void *session;
	struct conn conn[2];
	struct stream from[2];
	struct relay *due; /* the next one whose turn it is, see on_turn() */
	uint32_t active;   /* loop time of the last byte, seconds */
	uint8_t told[2];   /* EV_READ, EV_WRITE: what each side is ready for, as the loop said */
	uint8_t first_end; /* enum relay_end: who closed first */
	bool some_end;
	bool is_due;
	bool usual; /* both sides are watched for reading only */
	bool quiet; /* for some seconds, until this turn */
};

struct relay_pool {
	struct ev_loop *loop;
	struct relay *first, *due;
	unsigned count, idle_seconds;
	relay_end_fn *on_end;
	bool (*room)(void *arg); /* for one more pipe; NULL: always */
	relay_orphan_fn *orphan; /* may be NULL */
	void *arg;
	ev_timer idle;
	ev_check turn;
};

static char shared[CHUNK];
static struct bulk *idle_pipes;
static unsigned idle_pipes_count, pipes; /* kept; in all */

static bool waiting(const struct stream *s)
{
	return s->kept != NULL;
}

/* --- pipes --- */

static struct bulk *take_pipe(const struct relay_pool *pool)
{
	struct bulk *b = idle_pipes;
	int fd[2], size;

	if (b != NULL) {
		idle_pipes = b->next;
		idle_pipes_count--;
		return b;
	}
	if ((pool->room != NULL && !pool->room(pool->arg)) || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
		return NULL; /* copying does as well */
	pipes++;
	b = mem_alloc(sizeof(*b));
	b->rd = fd[0];
	b->wr = fd[1];
	size = fcntl(fd[1], F_SETPIPE_SZ, PIPE_SIZE);
	if (size <= 0)
		size = fcntl(fd[1], F_GETPIPE_SZ);
	b->size = size > 0 ? (uint32_t)size : 4096;
	return b;
}

static void close_pipe(struct bulk *b)
{
	close(b->rd);
	close(b->wr);
	pipes--;
	mem_free(&b);
}

static void put_pipe(struct bulk *b)
{
	if (b->held == 0 && idle_pipes_count < PIPES_KEPT) {
		b->next = idle_pipes;
		idle_pipes = b;
		idle_pipes_count++;
		return;
	}
	close_pipe(b);
}

/* Frees what waits in S. */
static void drop_waiting(struct stream *s)
{
	if (s->in_pipe)
		put_pipe(s->bulk);
	else
		mem_free(&s->kept);
	s->kept = NULL;
	s->in_pipe = false;
}

/* --- the end --- */

/* Removes R from the list of relays that are due in this turn of the loop. */
static void leave_due(struct relay *r)
{
	struct relay **p = &r->pool->due;

	if (!r->is_due)
		return;
	while (*p != r)
		p = &(*p)->due;
	*p = r->due;
	r->is_due = false;
}

static void finish(struct relay *r, enum relay_end end)
{
	struct relay_pool *pool = r->pool;

	leave_due(r);
	for (int i = 0; i < 2; i++)
		conn_close(pool->loop, &r->conn[i]);
	*r->prev = r->next;
	if (r->next != NULL)
		r->next->prev = r->prev;
	pool->count--;
	pool->on_end(r, end, r->session, pool->arg);
	for (int i = 0; i < 2; i++)
		drop_waiting(&r->from[i]);
	mem_free(&r);
}

/* Watches each side for what the streams need. A source that has ended stays readable for ever: it is watched until it
 * has been reported IN_VAIN (the side, or -1) once more, because mostly the other side ends before and the relay is
 * over. */
static void watch(struct relay *r, int in_vain)
{
	bool usual = !r->some_end && !waiting(&r->from[CLIENT]) && !waiting(&r->from[SERVER]);

	if (usual && r->usual)
		return;
	r->usual = usual;
	for (int i = 0; i < 2; i++) {
		const struct stream *in = &r->from[i], *out = &r->from[!i];
		int want = 0;

		if (in->done ? i != in_vain && (conn_wants(&r->conn[i]) & EV_READ) != 0 : !waiting(in))
			want |= EV_READ;
		if (waiting(out))
			want |= EV_WRITE;
		conn_watch(r->pool->loop, &r->conn[i], want);
	}
}

static void note_end(struct relay *r, int side)
{
	if (r->some_end)
		return;
	r->some_end = true;
	r->first_end = side == CLIENT ? RELAY_END_CLIENT : RELAY_END_SERVER;
}

/* SIDE takes no more bytes: what was meant for it is dropped. */
static void sink_broken(struct relay *r, int side)
{
	struct stream *s = &r->from[!side];

	note_end(r, side);
	drop_waiting(s);
	s->done = true;
	s->broken = true;
}

/* SIDE has ended; the other one would be told that this is the END, or be cut. True: nobody needs to tell the client,
 * and the relay is over. */
static bool leaves_client(struct relay *r, int side, bool end)
{
	struct conn *client = &r->conn[CLIENT];

	if (side != SERVER || r->pool->orphan == NULL || !r->quiet || r->some_end || waiting(&r->from[CLIENT]) ||
	    waiting(&r->from[SERVER]) || conn_holds(client) || conn_holds(&r->conn[SERVER]) ||
	    !r->pool->orphan(client, end, r->session, r->pool->arg))
		return false;
	note_end(r, SERVER);
	r->from[CLIENT].done = r->from[SERVER].done = true;
	return true;
}

/* SIDE has sent its last byte, and has said so or not (ANNOUNCED). Nothing is left to write: a stream is read only when
 * all before it was written. If the other one has ended too, the relay is over: closing says so at once for a raw
 * connection, but a word may have to wait until there is room for it (is_over()). */
static void source_ended(struct relay *r, int side, bool announced)
{
	if (leaves_client(r, side, announced && !r->from[!side].broken))
		return;
	note_end(r, side);
	r->from[side].done = true;
	if (!announced || r->from[!side].broken) /* a failed write takes the error, and the read finds a plain end */
		conn_break_off(&r->conn[!side]);
	else if (!r->from[!side].done || conn_raw_fd(&r->conn[!side]) == -1)
		conn_shut(&r->conn[!side]);
}

/* Neither side is told that it has heard the end: it may have heard a part of something. */
static void break_off(struct relay *r)
{
	conn_break_off(&r->conn[CLIENT]);
	conn_break_off(&r->conn[SERVER]);
}

/* The connection to SIDE is broken: nothing can be sent there any more, and what came from there may not be all. */
static void side_broken(struct relay *r, int side)
{
	if (leaves_client(r, side, false))
		return;
	note_end(r, side);
	r->from[side].done = true;
	sink_broken(r, side);
	break_off(r);
}

static void keep(struct stream *s, const char *p, size_t len)
{
	s->kept = mem_alloc(sizeof(*s->kept) + len);
	s->kept->len = (uint32_t)len;
	memcpy(s->kept->data, p, len);
}

/* Writes the LEN bytes at P to SIDE; what it does not take is kept. */
static void send_or_keep(struct relay *r, int side, const char *p, size_t len)
{
	ssize_t sent = conn_write(&r->conn[side], p, len);

	if (sent == CONN_FAILED) {
		sink_broken(r, side);
		return;
	}
	sent = MAX(sent, 0);
	if ((size_t)sent < len)
		keep(&r->from[!side], p + sent, len - (size_t)sent);
}

/* Moves what the pipe holds to SIDE, as far as SIDE takes it. */
static void drain_pipe(struct relay *r, int side)
{
	struct bulk *b = r->from[!side].bulk;
	ssize_t n;

	while (b->held != 0) {
		n = splice(b->rd, NULL, conn_raw_fd(&r->conn[side]), NULL, b->held, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return;
		if (n <= 0) {
			sink_broken(r, side);
			return;
		}
		b->held -= (uint32_t)n;
	}
	drop_waiting(&r->from[!side]);
}

static void send_kept(struct relay *r, int side)
{
	struct stream *s = &r->from[!side];
	ssize_t n = conn_write(&r->conn[side], s->kept->data + s->kept->off, s->kept->len - s->kept->off);

	if (n == CONN_FAILED) {
		sink_broken(r, side);
		return;
	}
	s->kept->off += (uint32_t)MAX(n, 0);
	if (s->kept->off == s->kept->len)
		drop_waiting(s);
}

static void on_can_write(struct relay *r, int side)
{
	if (r->from[!side].in_pipe)
		drain_pipe(r, side);
	else
		send_kept(r, side);
}

/* Handles the result N of a conn_read() from SIDE. True if there are bytes; else its end, if it has come, was
 * handled. */
static bool got_bytes(struct relay *r, int side, ssize_t n)
{
	struct stream *s = &r->from[side];

	if (n > 0) {
		s->bytes += (uint64_t)n;
		s->said = true;
		r->quiet = false;
		if (n >= MUCH)
			s->much = MUCH_FOR;
		else if (s->much != 0)
			s->much--;
		return true;
	}
	if (n == CONN_LATER)
		return false;
	if (n == CONN_FAILED)
		side_broken(r, side);
	else
		source_ended(r, side, n != CONN_CUT);
	return false;
}

static void splice_from(struct relay *r, int side, struct bulk *b)
{
	ssize_t n = splice(conn_raw_fd(&r->conn[side]), NULL, b->wr, NULL, b->size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0)
		n = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? CONN_LATER : CONN_FAILED;
	if (!got_bytes(r, side, n)) {
		put_pipe(b);
		return;
	}
	b->held = (uint32_t)n;
	r->from[side].bulk = b;
	r->from[side].in_pipe = true;
	drain_pipe(r, !side);
}

static void copy_from(struct relay *r, int side)
{
	ssize_t n = conn_read(&r->conn[side], shared, sizeof(shared));

	if (got_bytes(r, side, n))
		send_or_keep(r, !side, shared, (size_t)n);
}

static void read_from(struct relay *r, int side)
{
	bool raw = conn_raw_fd(&r->conn[CLIENT]) != -1 && conn_raw_fd(&r->conn[SERVER]) != -1;
	struct bulk *b = raw && r->from[side].much != 0 ? take_pipe(r->pool) : NULL;

	if (b != NULL)
		splice_from(r, side, b);
	else
		copy_from(r, side);
}

static bool both_done(const struct relay *r)
{
	return r->from[CLIENT].done && r->from[SERVER].done;
}

/* Nothing more will come, and all that came was passed on: what a connection holds is lost when it is closed. */
static bool is_over(const struct relay *r)
{
	return both_done(r) && !conn_holds(&r->conn[CLIENT]) && !conn_holds(&r->conn[SERVER]);
}

static void carry(struct relay *r)
{
	uint32_t now = loop_seconds();
	int in_vain = -1;

	r->quiet = now - r->active > QUIET_SECONDS;
	r->active = now;
	for (int side = 0; side < 2; side++) {
		int told = r->told[side];

		r->told[side] = 0;
		if ((told & EV_WRITE) != 0 && waiting(&r->from[!side]))
			on_can_write(r, side);
		if ((told & EV_READ) != 0 && r->from[side].done)
			in_vain = side;
		else if ((told & EV_READ) != 0 && !waiting(&r->from[side]))
			read_from(r, side);
	}
	if (is_over(r))
		finish(r, (enum relay_end)r->first_end);
	else
		watch(r, in_vain);
}

/* libev calls back for the newest event first, so that the relay that has waited longest would be last. So here they
 * are only put in a list, each in front of the one before, ... */
static void on_event(struct ev_loop *loop UNUSED, ev_io *io, int revents)
{
	struct relay *r = io->data;
	int side = io == &r->conn[CLIENT].io ? CLIENT : SERVER;

	r->told[side] |= (uint8_t)conn_ready(&r->conn[side], revents);
	if (r->is_due)
		return;
	r->is_due = true;
	r->due = r->pool->due;
	r->pool->due = r;
}

/* ... and run here, after the loop has made all its calls. */
static void on_turn(struct ev_loop *loop UNUSED, ev_check *w, int revents UNUSED)
{
	struct relay_pool *pool = w->data;

	while (pool->due != NULL) {
		struct relay *r = pool->due;

		leave_due(r);
		carry(r);
	}
}

/* Ends R, of which nobody knows what is under way. */
static void cut(struct relay *r, enum relay_end end)
{
	break_off(r);
	finish(r, end);
}

static void on_idle_check(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct relay_pool *pool = t->data;
	uint32_t now = loop_seconds();

	for (struct relay *r = pool->first, *next; r != NULL; r = next) {
		uint32_t idle = now - r->active;

		next = r->next;
		if (r->some_end && idle >= (both_done(r) ? OVER_SECONDS : HALF_OPEN_SECONDS))
			cut(r, (enum relay_end)r->first_end);
		else if (pool->idle_seconds != 0 && idle >= pool->idle_seconds)
			cut(r, RELAY_END_IDLE);
	}
}

struct relay_pool *relay_pool_new(struct ev_loop *loop, unsigned idle_seconds, relay_end_fn *on_end, void *arg)
{
	struct relay_pool *pool = mem_alloc(sizeof(*pool));
	double every = idle_seconds != 0 && idle_seconds < IDLE_CHECK_SECONDS ? 1 : IDLE_CHECK_SECONDS;

	pool->loop = loop;
	pool->on_end = on_end;
	pool->arg = arg;
	pool->idle_seconds = idle_seconds;
	signal(SIGPIPE, SIG_IGN); /* splice() has no flag for it */
	ev_timer_init(&pool->idle, on_idle_check, every, every);
	pool->idle.data = pool;
	ev_timer_start(loop, &pool->idle);
	ev_unref(loop);
	ev_check_init(&pool->turn, on_turn);
	ev_set_priority(&pool->turn, EV_MINPRI);
	pool->turn.data = pool;
	ev_check_start(loop, &pool->turn);
	ev_unref(loop);
	return pool;
}

void relay_pool_free(struct relay_pool **pool)
{
	if (*pool != NULL) {
		ev_ref((*pool)->loop);
		ev_timer_stop((*pool)->loop, &(*pool)->idle);
		ev_ref((*pool)->loop);
		ev_check_stop((*pool)->loop, &(*pool)->turn);
	}
	mem_free(pool);
}

void relay_pool_set_room(struct relay_pool *pool, bool (*room)(void *arg))
{
	pool->room = room;
}

void relay_pool_set_orphan(struct relay_pool *pool, relay_orphan_fn *fn)
{
	pool->orphan = fn;
}

unsigned relay_pipe_descriptors(void)
{
	return 2 * pipes;
}

void relay_drop_idle_pipes(void)
{
	while (idle_pipes != NULL) {
		struct bulk *b = idle_pipes;

		idle_pipes = b->next;
		close_pipe(b);
	}
	idle_pipes_count = 0;
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

/* Sends the first bytes to SIDE. */
static void start_with(struct relay *r, int side, struct str *first)
{
	r->from[!side].bytes = first->len;
	if (first->len != 0)
		send_or_keep(r, side, first->data, first->len);
	str_fini(first);
}

struct relay *relay_new(struct relay_pool *pool, struct conn *client, struct conn *server, struct str *to_client,
    struct str *to_server, void *session)
{
	struct relay *r = mem_alloc(sizeof(*r));

	r->pool = pool;
	r->session = session;
	r->active = loop_seconds();
	conn_take_over(pool->loop, &r->conn[CLIENT], on_event, r, client);
	conn_take_over(pool->loop, &r->conn[SERVER], on_event, r, server);
	r->next = pool->first;
	r->prev = &pool->first;
	if (r->next != NULL)
		r->next->prev = &r->next;
	pool->first = r;
	pool->count++;
	start_with(r, CLIENT, to_client);
	start_with(r, SERVER, to_server);
	watch(r, -1);
	/* Both may be closed already; then no event would ever come. */
	if (both_done(r))
		ev_feed_event(pool->loop, &r->conn[CLIENT].io, EV_CUSTOM);
	return r;
}

void relay_server_has_spoken(struct relay *r)
{
	r->from[SERVER].said = true;
}

bool relay_last_words(struct relay *r, const char *p, size_t len)
{
	const struct stream *s = &r->from[SERVER];
	struct conn *client = &r->conn[CLIENT];

	if (s->said || s->done || waiting(s) || conn_write(client, p, len) != (ssize_t)len)
		return false;
	conn_shut(client);
	conn_read(client, shared, sizeof(shared)); /* closing with its bytes unread would reset the connection */
	return !conn_holds(client);
}

void relay_stop(struct relay *r, enum relay_end end)
{
	cut(r, end);
}

uint64_t relay_rcvd(const struct relay *r)
{
	return r->from[CLIENT].bytes;
}

uint64_t relay_sent(const struct relay *r)
{
	return r->from[SERVER].bytes;
}
