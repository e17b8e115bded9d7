/* Reads lines and writes replies, with time limits. */
#include "lib/bio.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"

enum { LINGER_READS = 64 };

static bool is_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0;
}

void bio_init(struct bio *b, int in, int out)
{
	memset(b, 0, sizeof(*b));
	b->in = in;
	b->send_timeout = 60 * 1000;
	b->in_socket = is_socket(in);
	b->in_buf = mem_grow(NULL, BIO_IN_SIZE + 1); /* pages that are never used cost nothing */
	b->out_buf = mem_grow(NULL, BIO_OUT_SIZE);
	bio_set_out(b, out);
}

void bio_set_out(struct bio *b, int out)
{
	b->out = out;
	b->out_socket = is_socket(out);
}

void bio_fini(struct bio *b)
{
	mem_free(&b->in_buf);
	mem_free(&b->out_buf);
	b->in_pos = b->in_len = b->out_len = 0;
}

/* COUNTER is one of B's. */
static void count(struct bio *b, uint64_t *counter, uint64_t n)
{
	if (counter == NULL)
		return;
	*counter += n;
	if (b->figures != NULL)
		*b->figures = (struct bio_figures){ *b->rcvd, *b->sent };
}

void bio_preload(struct bio *b, const void *p, size_t len)
{
	DIE_IF(b->in_len != 0 || len > BIO_IN_SIZE);
	if (len != 0)
		memcpy(b->in_buf, p, len);
	b->in_len = len;
	count(b, b->rcvd, len);
}

/* Waiting. A deadline is a moment in ms of the monotonic clock, or -1. */

static int64_t deadline_in(int timeout)
{
	return timeout < 0 ? -1 : clock_ms() + timeout;
}

static bool stopped(const struct bio *b)
{
	return b->stop != NULL && *b->stop != 0;
}

/* ppoll() until DEADLINE: its result, with -1 and EINTR when a signal came. */
static int wait_fds(const struct bio *b, struct pollfd *p, nfds_t n, int64_t deadline)
{
	struct timespec t, *tp = NULL;

	if (deadline >= 0) {
		int64_t left = MAX(deadline - clock_ms(), 0);

		t.tv_sec = left / 1000;
		t.tv_nsec = (long)(left % 1000) * 1000000;
		tp = &t;
	}
	return ppoll(p, n, tp, b->wait_mask);
}

/* BIO_OK: input (or its end) is there; BIO_OTHER; or why not. */
static int wait_input(struct bio *b, int other, int64_t deadline)
{
	struct pollfd p[2] = { { .fd = b->in, .events = POLLIN }, { .fd = other, .events = POLLIN } };

	for (;;) {
		int n;

		if (stopped(b))
			return BIO_STOP;
		n = wait_fds(b, p, other == -1 ? 1 : 2, deadline);
		if (n == 0)
			return BIO_TIMEOUT;
		if (n > 0)
			return p[0].revents != 0 ? BIO_OK : BIO_OTHER;
		if (errno != EINTR)
			return BIO_ERROR;
	}
}

/* Input */

static ssize_t take_now(struct bio *b, char *p, size_t room)
{
	if (b->in_socket)
		return recv(b->in, p, room, MSG_DONTWAIT);
	if (wait_fds(b, &(struct pollfd){ .fd = b->in, .events = POLLIN }, 1, clock_ms()) <= 0) {
		errno = EAGAIN;
		return -1;
	}
	return read(b->in, p, room);
}

/* More input behind what is there: BIO_OK or why not. Our own output goes first. */
static int fill(struct bio *b, int64_t deadline)
{
	ssize_t n;

	if (!bio_flush(b))
		return BIO_ERROR;
	log_flush();
	if (b->in_pos != 0) {
		memmove(b->in_buf, b->in_buf + b->in_pos, b->in_len - b->in_pos);
		b->in_len -= b->in_pos;
		b->in_pos = 0;
	}
	for (;;) {
		int waited;

		n = take_now(b, b->in_buf + b->in_len, BIO_IN_SIZE - b->in_len);
		if (n == 0)
			return BIO_EOF;
		if (n > 0)
			break;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			return errno == ECONNRESET ? BIO_EOF : BIO_ERROR;
		if ((waited = wait_input(b, -1, deadline)) != BIO_OK)
			return waited;
	}
	b->in_len += (size_t)n;
	count(b, b->rcvd, (uint64_t)n);
	return BIO_OK;
}

int bio_line(struct bio *b, size_t max, int timeout, char **line_out, size_t *len_out)
{
	int64_t deadline = -2; /* the clock is not read for lines that are there */
	size_t seen = 0;

	max = MIN(max, (size_t)BIO_IN_SIZE);
	for (;;) {
		char *start = b->in_buf + b->in_pos;
		size_t have = b->in_len - b->in_pos;
		char *lf = have > seen ? memchr(start + seen, '\n', have - seen) : NULL;
		size_t len = lf != NULL ? (size_t)(lf - start) : have;
		int got;

		if (len >= max)
			return BIO_TOO_LONG;
		if (lf != NULL) {
			b->in_pos += len + 1;
			if (len != 0 && start[len - 1] == '\r')
				len--;
			start[len] = '\0';
			*line_out = start;
			*len_out = len;
			return BIO_OK;
		}
		seen = have;
		if (deadline == -2)
			deadline = deadline_in(timeout);
		if ((got = fill(b, deadline)) != BIO_OK)
			return got;
	}
}

int bio_skip_line(struct bio *b, size_t max, int timeout)
{
	int64_t deadline = deadline_in(timeout);

	for (size_t skipped = 0;;) {
		char *start = b->in_buf + b->in_pos;
		size_t have = b->in_len - b->in_pos;
		char *lf = memchr(start, '\n', have);
		int got;

		if (lf != NULL) {
			b->in_pos += (size_t)(lf - start) + 1;
			return BIO_OK;
		}
		b->in_pos = b->in_len;
		if ((skipped += have) > max)
			return BIO_TOO_LONG;
		if ((got = fill(b, deadline)) != BIO_OK)
			return got;
	}
}

/* The input that is there, after a wait if there is none. */
static int look(struct bio *b, int timeout, char **p_out, size_t *len_out)
{
	int got;

	if (b->in_pos == b->in_len && (got = fill(b, deadline_in(timeout))) != BIO_OK)
		return got;
	*p_out = b->in_buf + b->in_pos;
	*len_out = b->in_len - b->in_pos;
	return BIO_OK;
}

int bio_some(struct bio *b, size_t max, int timeout, char **p_out, size_t *len_out)
{
	int got = look(b, timeout, p_out, len_out);

	if (got != BIO_OK)
		return got;
	*len_out = MIN(max, *len_out);
	b->in_pos += *len_out;
	return BIO_OK;
}

int bio_piece(struct bio *b, size_t max, int timeout, char **p_out, size_t *len_out)
{
	int got = look(b, timeout, p_out, len_out);
	const char *lf;

	if (got != BIO_OK)
		return got;
	*len_out = MIN(max, *len_out);
	lf = memchr(*p_out, '\n', *len_out);
	if (lf != NULL)
		*len_out = (size_t)(lf - *p_out) + 1;
	b->in_pos += *len_out;
	return BIO_OK;
}

int bio_wait(struct bio *b, int other, int timeout)
{
	if (bio_pending(b) != 0)
		return BIO_OK;
	if (!bio_flush(b))
		return BIO_ERROR;
	log_flush();
	return wait_input(b, other, deadline_in(timeout));
}

enum bio_peer bio_peer(const struct bio *b)
{
	struct pollfd p = { .fd = b->out, .events = POLLRDHUP };

	if (b->out_failed)
		return BIO_PEER_GONE;
	if (poll(&p, 1, 0) <= 0 || p.revents == 0)
		return BIO_PEER_THERE;
	return (p.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? BIO_PEER_GONE : BIO_PEER_SILENT;
}

size_t bio_pending(const struct bio *b)
{
	return b->in_len - b->in_pos;
}

/* Output */

/* Waits until the client takes something; false: it does not, or not soon enough. */
static bool wait_room(struct bio *b)
{
	struct pollfd p = { .fd = b->out, .events = POLLOUT };
	int64_t deadline = deadline_in(b->send_timeout);

	for (;;) {
		int n;

		if (stopped(b)) {
			int64_t grace = deadline_in(BIO_STOP_GRACE);

			deadline = deadline < 0 ? grace : MIN(deadline, grace);
		}
		n = wait_fds(b, &p, 1, deadline);
		if (n > 0)
			return true;
		if (n == 0 || errno != EINTR)
			return false;
	}
}

/* Sends what fits at once of the two pieces; their bytes, or -1 with errno. */
static ssize_t send_now(struct bio *b, struct iovec iov[2])
{
	struct msghdr mh = { .msg_iov = iov, .msg_iovlen = 2 };

	if (b->out_socket)
		return sendmsg(b->out, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	return writev(b->out, iov, 2);
}

/* Sends what was collected, then LEN bytes at P. */
static bool send_all(struct bio *b, const void *p, size_t len)
{
	struct iovec iov[2] = { { b->out_buf, b->out_len }, { (void *)(uintptr_t)p, len } };

	b->out_len = 0;
	while (!b->out_failed && iov[0].iov_len + iov[1].iov_len != 0) {
		ssize_t n = send_now(b, iov);

		if (n < 0) {
			if (errno != EINTR && ((errno != EAGAIN && errno != EWOULDBLOCK) || !wait_room(b)))
				b->out_failed = true;
			continue;
		}
		count(b, b->sent, (uint64_t)n);
		for (int i = 0; i < 2; i++) {
			size_t part = MIN((size_t)n, iov[i].iov_len);

			if (part == 0) /* its base may be NULL */
				continue;
			iov[i].iov_base = (char *)iov[i].iov_base + part;
			iov[i].iov_len -= part;
			n -= (ssize_t)part;
		}
	}
	return !b->out_failed;
}

bool bio_put(struct bio *b, const void *p, size_t len)
{
	if (b->out_failed)
		return false;
	if (len > BIO_OUT_SIZE - b->out_len)
		return send_all(b, p, len);
	if (len != 0)
		memcpy(b->out_buf + b->out_len, p, len);
	b->out_len += len;
	return true;
}

bool bio_puts(struct bio *b, const char *text)
{
	return bio_put(b, text, strlen(text));
}

bool bio_printf(struct bio *b, const char *fmt, ...)
{
	char text[1024], *big = NULL;
	va_list ap, again;
	bool ok;
	int n;

	va_start(ap, fmt);
	va_copy(again, ap);
	n = vsnprintf(text, sizeof(text), fmt, ap);
	DIE_IF(n < 0);
	if ((size_t)n >= sizeof(text)) {
		big = mem_alloc((size_t)n + 1);
		vsnprintf(big, (size_t)n + 1, fmt, again);
	}
	va_end(again);
	va_end(ap);
	ok = bio_put(b, big != NULL ? big : text, (size_t)n);
	mem_free(&big);
	return ok;
}

bool bio_flush(struct bio *b)
{
	return b->out_len == 0 ? !b->out_failed : send_all(b, "", 0);
}

void bio_linger(struct bio *b, int ms)
{
	int64_t deadline = deadline_in(ms);

	if (!b->in_socket || !b->out_socket || b->out_failed || shutdown(b->out, SHUT_WR) != 0)
		return;
	for (int reads = 0; reads < LINGER_READS && clock_ms() < deadline;) {
		ssize_t n = recv(b->in, b->in_buf, BIO_IN_SIZE, MSG_DONTWAIT);

		if (n > 0) {
			/* What comes in small pieces gathers meanwhile: the reads are enough for the whole time. */
			if (++reads < LINGER_READS && wait_fds(b, NULL, 0, clock_ms() + ms / LINGER_READS) < 0)
				return;
			continue;
		}
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK) ||
		    wait_fds(b, &(struct pollfd){ .fd = b->in, .events = POLLIN }, 1, deadline) <= 0)
			return;
	}
}
