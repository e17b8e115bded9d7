/* One login at a peer: connecting to its addresses in turn, the dialogue, the deadline. */
#include "proxy/backend.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/clock.h"
#include "lib/conn_tls.h"
#include "lib/die.h"
#include "lib/loop.h"
#include "lib/mem.h"

enum {
	ADDRS_MAX = 8,
	LINES_MAX = 100,
	LOGIN_SIZE_HINT = 400 /* bytes of the client's identity and the login */
};

#define SHARE_MIN 0.2 /* seconds: silence for less time says nothing about an address */

struct backend {
	struct ev_loop *loop;
	struct conn conn;
	ev_timer timeout; /* this address's share of the time, until the login is begun; then the whole rest */
	double share;     /* how much that is */
	double until;     /* its end; of loop_timer_start() */
	double deadline;  /* loop_now() */
	double began;     /* clock_now() when this address was connected to */
	struct net_addr addr[ADDRS_MAX];
	unsigned naddrs, at;
	const char *text; /* what it leads to, if that has no address */
	bool opening;     /* what goes before all else is not sent yet */
	bool begun;       /* the peer may have something of the login */
	unsigned lines;
	const char *why; /* what we say is wrong with the peer's lines; NULL: ask the dialogue */
	uint64_t skip;
	struct str in, out;
	const struct backend_fns *fns;
	void *arg;
	bool untrusted[ADDRS_MAX];
	int verdict[ADDRS_MAX]; /* of those */
	struct str errors;      /* a text for each address that failed, in their order, each with its NUL */
};

static void stop_watching(struct backend *b)
{
	conn_watch(b->loop, &b->conn, 0);
	ev_timer_stop(b->loop, &b->timeout);
}

static void done(struct backend *b, enum backend_result result)
{
	stop_watching(b);
	b->fns->done(b, result, b->arg);
}

static void connect_next(struct backend *b);

static void add_error(struct backend *b, const char *kind, const char *what)
{
	char ip[NET_IP_TEXT_MAX];

	if (b->text != NULL)
		str_addf(&b->errors, "%s: ", b->text);
	else
		str_addf(&b->errors, "%s port %u: ", net_addr_text(&b->addr[b->at], ip), b->addr[b->at].port);
	str_adds(&b->errors, kind);
	str_adds(&b->errors, what);
	str_addc(&b->errors, '\0');
}

/* This address failed, because of KIND and WHAT: tries the next one, if there is one and the login was not begun. */
static void give_up(struct backend *b, const char *kind, const char *what)
{
	add_error(b, kind, what);
	conn_close(b->loop, &b->conn);
	if (b->begun) {
		done(b, BACKEND_SILENT);
		return;
	}
	b->at++;
	connect_next(b);
}

static void tell_health(struct backend *b, enum peer_result result)
{
	if (b->fns->health != NULL)
		b->fns->health(b->at, result, (uint32_t)((clock_now() - b->began) * 1000), b->arg);
}

/* Once the login was begun the cause may be this login alone. */
static void address_failed(struct backend *b, const char *what)
{
	tell_health(b, b->begun ? PEER_SLOW : PEER_DOWN);
	give_up(b, "", what);
}

/* The connection is broken. That TLS with this address is not possible is no question of its health: it is there, and
 * no login gets further until somebody acts. */
static void conn_failed(struct backend *b)
{
	const char *error = conn_error(&b->conn);

	if (b->begun || !conn_tls_refused(&b->conn, &b->verdict[b->at])) {
		address_failed(b, error);
		return;
	}
	b->untrusted[b->at] = true;
	give_up(b, "TLS: ", error);
}

/* There is no socket, or connecting failed at once, because of WHY or else ERROR. If this node is out of resources,
 * that is not the peer's fault. */
static void connect_failed(struct backend *b, int error, const char *why)
{
	if (why == NULL)
		why = strerror(error);
	if (error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM || error == EADDRNOTAVAIL ||
	    error == EAGAIN)
		give_up(b, "", why);
	else
		address_failed(b, why);
}

/* Sends what waits; it may be a password. False: the connection is broken. */
static bool flush_out(struct backend *b)
{
	ssize_t left = conn_flush(&b->conn, &b->out);

	if (left == 0)
		str_fini_secret(&b->out);
	return left != CONN_FAILED;
}

static void watch(struct backend *b)
{
	conn_watch(b->loop, &b->conn, EV_READ | (b->out.len != 0 ? EV_WRITE : 0));
}

static void set_timer(struct backend *b, double seconds)
{
	b->share = seconds;
	loop_timer_start(b->loop, &b->timeout, seconds, &b->until);
}

static enum backend_step stop(struct backend *b, enum backend_step step, const char *why)
{
	b->why = why;
	return step;
}

static enum backend_step too_long(struct backend *b)
{
	return stop(b, BACKEND_STEP_INVALID, "a line that is too long");
}

/* STEP says what the dialogue has added to what waited to be sent, of which BEFORE bytes were there. */
static enum backend_step take_step(struct backend *b, enum backend_step step, size_t before)
{
	switch (step) {
	case BACKEND_STEP_TLS:
		return before == 0 ? step : stop(b, BACKEND_STEP_NO_TLS, "an answer to what was not asked yet");
	case BACKEND_STEP_ASK:
		return step;
	case BACKEND_STEP_MORE: /* it gets all the time that is left */
		if (!b->begun)
			set_timer(b, b->deadline - loop_now());
		b->begun = true;
		return step;
	default:
		b->out.len = before; /* nothing more is said; wiped with the rest */
		return step;
	}
}

static enum backend_step take_line(struct backend *b, char *line, size_t len)
{
	size_t before = b->out.len;

	if (++b->lines > LINES_MAX)
		return stop(b, BACKEND_STEP_INVALID, "too many lines");
	if (len != 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	str_room(&b->out, LOGIN_SIZE_HINT);
	return take_step(b, b->fns->line(line, len, &b->out, &b->skip, b->arg), before);
}

static bool goes_on(enum backend_step step)
{
	return step == BACKEND_STEP_ASK || step == BACKEND_STEP_MORE;
}

/* Processes the whole lines of what was read. *USED is the number of bytes consumed. */
static enum backend_step take_lines(struct backend *b, char *p, size_t len, size_t *used)
{
	enum backend_step step = BACKEND_STEP_ASK;

	*used = 0;
	while (goes_on(step) && *used < len) {
		size_t left = len - *used;
		char *end;

		if (b->skip != 0) {
			size_t n = b->skip < left ? (size_t)b->skip : left;

			b->skip -= n;
			*used += n;
			continue;
		}
		if ((end = memchr(p + *used, '\n', left)) == NULL) {
			if (left > BACKEND_LINE_MAX)
				step = too_long(b);
			break;
		}
		left = (size_t)(end - (p + *used));
		if (left > BACKEND_LINE_MAX)
			return too_long(b);
		step = take_line(b, p + *used, left);
		*used += left + 1;
	}
	return step;
}

/* What STEP, which is the end at this address, says of it. Once the login was begun, it may be about this login alone:
 * also what says that the peer takes none. If only this one confuses it, others may work. */
static enum peer_result health_of(const struct backend *b, enum backend_step step)
{
	if (step == BACKEND_STEP_NEXT)
		return b->begun ? PEER_LATER : PEER_BUSY;
	if (step == BACKEND_STEP_LATER)
		return PEER_LATER;
	return step != BACKEND_STEP_INVALID || b->begun ? PEER_ANSWERS : PEER_DOWN;
}

static void decided(struct backend *b, enum backend_step step)
{
	static const struct {
		enum backend_result result;
		const char *kind; /* what is said if the next address is tried; NULL: none is */
	} ends[] = {
		[BACKEND_STEP_NEXT] = { BACKEND_REFUSED, "it takes no logins now: " },
		[BACKEND_STEP_NO_TLS] = { BACKEND_REFUSED, "it does not begin TLS: " },
		[BACKEND_STEP_INVALID] = { BACKEND_INVALID, "an invalid answer: " },
		[BACKEND_STEP_OK] = { BACKEND_OK, NULL },
		[BACKEND_STEP_REFUSED] = { BACKEND_REFUSED, NULL },
		[BACKEND_STEP_LATER] = { BACKEND_REFUSED, NULL },
	};

	/* A reply to a command that was not sent yet is not valid; and the rest would never be sent. */
	if (step == BACKEND_STEP_OK && b->out.len != 0)
		step = BACKEND_STEP_INVALID;
	if (step == BACKEND_STEP_NO_TLS)
		b->untrusted[b->at] = true;
	else
		tell_health(b, health_of(b, step));
	if (!b->begun && ends[step].kind != NULL) {
		give_up(b, ends[step].kind, b->why != NULL ? b->why : b->fns->why(b->arg));
		return;
	}
	if (b->why != NULL)
		add_error(b, "", b->why);
	done(b, ends[step].result);
}

/* How long this address may take until the login is begun. */
static void set_share(struct backend *b)
{
	set_timer(b, (b->deadline - loop_now()) / (b->naddrs - b->at));
}

static void use_tls(struct backend *b, bool is_new)
{
	SSL *ssl = b->fns->tls != NULL ? b->fns->tls(b->at, is_new, b->arg) : NULL;

	DIE_IF(ssl == NULL && !is_new); /* it would go on in clear */
	if (ssl != NULL)
		conn_tls_connect(b->loop, &b->conn, ssl);
}

/* What came in clear behind the line before TLS was not said by the peer, or not to be read within TLS. */
static void begin_tls(struct backend *b)
{
	if (b->in.len != 0) {
		decided(b, stop(b, BACKEND_STEP_NO_TLS, "bytes in clear before it"));
		return;
	}
	use_tls(b, false);
	set_share(b); /* it is there: a handshake and its answers within TLS need as long again */
	watch(b);
}

static void on_input(struct backend *b, char *p, size_t n)
{
	enum backend_step step;
	size_t used;

	if (b->in.len != 0) {
		str_add(&b->in, p, n);
		step = take_lines(b, b->in.data, b->in.len, &used);
		str_drop(&b->in, used);
	} else {
		step = take_lines(b, p, n, &used);
		if (used < n)
			str_add(&b->in, p + used, n - used);
	}
	if (step == BACKEND_STEP_TLS)
		begin_tls(b);
	else if (!goes_on(step))
		decided(b, step);
	else if (!flush_out(b))
		conn_failed(b);
	else
		watch(b);
}

static void expect_greeting(struct backend *b)
{
	b->opening = false;
	use_tls(b, true);
	conn_watch(b->loop, &b->conn, EV_READ);
}

/* If connecting has failed, writing returns the error. */
static void on_opening(struct backend *b)
{
	if (!flush_out(b))
		conn_failed(b);
	else if (b->out.len == 0)
		expect_greeting(b);
}

static void on_event(struct ev_loop *loop UNUSED, ev_io *io, int revents)
{
	static char buf[16 * 1024];
	struct backend *b = io->data;
	int ready = conn_ready(&b->conn, revents);
	ssize_t n;

	if (b->opening) {
		on_opening(b);
		return;
	}
	if ((ready & EV_WRITE) != 0 && !flush_out(b)) {
		conn_failed(b);
		return;
	}
	n = conn_read(&b->conn, buf, sizeof(buf) - 1);
	if (n > 0)
		on_input(b, buf, (size_t)n);
	else if (n == 0)
		address_failed(b,
		    b->begun          ? "it closed the connection during the login" :
		        b->lines != 0 ? "it closed the connection before the login" :
		                        "it closed the connection without a greeting");
	else if (n == CONN_LATER)
		watch(b);
	else
		conn_failed(b);
}

/* What has not come in time. */
static const char *late(const struct backend *b)
{
	const SSL *ssl = conn_tls_ssl(&b->conn);

	if (b->begun)
		return "no answer to the login in time";
	if (ssl != NULL && !SSL_is_init_finished(ssl))
		return "no end of the TLS handshake in time";
	return b->lines != 0 ? "no answer before the login in time" : "no greeting in time";
}

static void on_time(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct backend *b = t->data;

	if (loop_timer_early(b->loop, t, b->until))
		return;
	if (!conn_is_open(&b->conn)) /* the first connect failed at once */
		connect_next(b);
	else if (!b->begun && b->share < SHARE_MIN)
		give_up(b, "", "no greeting in the remaining time");
	else
		address_failed(b, late(b));
}

/* Waits for the greeting on the new connection. If connecting fails, the socket is readable too, and reading returns
 * the error. */
static void await_greeting(struct backend *b, int fd)
{
	conn_open(&b->conn, fd, on_event, b);
	if (b->fns->first != NULL)
		b->fns->first(b->at, &b->out, b->arg);
	b->opening = b->out.len != 0;
	if (b->opening)
		conn_watch(b->loop, &b->conn, EV_WRITE);
	else
		expect_greeting(b);
	set_share(b);
}

/* Nothing of the address before is left for the next one. */
static void forget_said(struct backend *b)
{
	str_clear(&b->in);
	str_fini_secret(&b->out);
	b->skip = 0;
	b->lines = 0;
	b->why = NULL;
}

static int begin_connect(struct backend *b, const char **why)
{
	const struct net_addr *to = &b->addr[b->at];

	*why = NULL;
	return b->fns->connect != NULL ? b->fns->connect(to, why, b->arg) : net_connect(to);
}

static void connect_next(struct backend *b)
{
	const char *why;
	int fd;

	forget_said(b);
	if (b->at == b->naddrs || b->deadline <= loop_now()) {
		if (b->at == b->naddrs)
			b->at--;
		done(b, BACKEND_UNREACHABLE);
		return;
	}
	b->began = clock_now();
	if ((fd = begin_connect(b, &why)) == -1) {
		connect_failed(b, errno, why);
		return;
	}
	await_greeting(b, fd);
}

static struct backend *backend_new(struct ev_loop *loop, double timeout, const struct backend_fns *fns, void *arg)
{
	struct backend *b = mem_alloc(sizeof(*b));

	b->loop = loop;
	b->began = clock_now();
	b->deadline = loop_now() + timeout;
	conn_open(&b->conn, -1, on_event, b);
	b->fns = fns;
	b->arg = arg;
	ev_timer_init(&b->timeout, on_time, 0, 0);
	b->timeout.data = b;
	return b;
}

struct backend *backend_start(struct ev_loop *loop, const struct net_addr *addrs, unsigned n, double timeout,
    const struct backend_fns *fns, void *arg)
{
	struct backend *b = backend_new(loop, timeout, fns, arg);
	const char *why; /* asked for again by connect_next() */
	int fd;

	b->naddrs = MIN(n, ADDRS_MAX);
	memcpy(b->addr, addrs, b->naddrs * sizeof(*addrs));
	/* The first connect is made here; an immediate failure is reported from the loop. */
	if ((fd = begin_connect(b, &why)) == -1)
		set_timer(b, 0);
	else
		await_greeting(b, fd);
	return b;
}

struct backend *backend_start_on(struct ev_loop *loop, int fd, const char *text, double timeout,
    const struct backend_fns *fns, void *arg)
{
	struct backend *b = backend_new(loop, timeout, fns, arg);

	b->naddrs = 1;
	b->text = text;
	await_greeting(b, fd);
	return b;
}

const char *backend_text(const struct backend *b)
{
	return b->text;
}

const struct net_addr *backend_addr(const struct backend *b)
{
	return &b->addr[backend_index(b)];
}

unsigned backend_index(const struct backend *b)
{
	return MIN(b->at, b->naddrs - 1);
}

const char *backend_error(const struct backend *b, unsigned i)
{
	const char *text = str_cstr(&b->errors), *end = text + b->errors.len;

	while (i-- > 0 && text < end)
		text += strlen(text) + 1;
	return text < end ? text : "";
}

bool backend_is_untrusted(const struct backend *b, unsigned i, int *verdict)
{
	*verdict = b->verdict[i];
	return b->untrusted[i];
}

struct conn *backend_take(struct backend *b, struct str *leftover)
{
	stop_watching(b);
	if (b->in.len != 0)
		str_add(leftover, b->in.data, b->in.len);
	return &b->conn;
}

void backend_free(struct backend **bp)
{
	struct backend *b = *bp;

	if (b == NULL)
		return;
	*bp = NULL;
	stop_watching(b);
	conn_close(b->loop, &b->conn);
	str_fini(&b->in);
	str_fini(&b->errors);
	str_fini_secret(&b->out);
	mem_free(&b);
}
