/* The second kind: hello, records, an end of its own. */
#include "tests/unit/coded.h"

#include <CUnit/CUnit.h>
#include <string.h>

#include "lib/mem.h"

enum { HEAD = 2, CODE = 0x5a, IN_SIZE = 4 * (HEAD + CODED_RECORD) };

static const char hello[] = "CODE";

struct coded {
	struct conn_state base;
	struct conn under;                  /* the same descriptor, plain; never watched */
	unsigned char in[IN_SIZE];          /* as it came */
	size_t in_len, have;                /* bytes in it; bytes of the first record, whose head was removed */
	struct str out;                     /* to be sent; the hello at first */
	unsigned char record[CODED_RECORD]; /* what the user wrote last, until all of it is sent */
	size_t record_len;
	bool greeted, end_seen, end_told, shut;
	bool in_broken, out_broken;
	const char *error; /* the first error */
};

static unsigned count;

static struct coded *coded_of(const struct conn *c)
{
	return (struct coded *)c->state;
}

static void drop(struct coded *s, size_t n)
{
	s->in_len -= n;
	memmove(s->in, s->in + n, s->in_len);
}

static ssize_t failed(struct coded *s, const char *why)
{
	if (s->error == NULL)
		s->error = why;
	return CONN_FAILED;
}

/* Parses what has arrived completely: a hello, the head of a record, the end. */
static bool parse(struct coded *s)
{
	size_t len;

	if (!s->greeted) {
		s->greeted = s->in_len >= strlen(hello) && memcmp(s->in, hello, strlen(hello)) == 0;
		if (s->greeted)
			drop(s, strlen(hello));
		return s->greeted;
	}
	if (s->have != 0 || s->end_seen || s->in_len < HEAD)
		return false;
	len = (size_t)s->in[0] << 8 | s->in[1];
	if (s->in_len < HEAD + len)
		return false;
	drop(s, HEAD);
	s->have = len;
	s->end_seen = len == 0;
	return true;
}

/* Reads more from the socket; returns the result of read(). */
static ssize_t fill(struct coded *s)
{
	ssize_t n = s->in_len < IN_SIZE ? conn_read(&s->under, s->in + s->in_len, IN_SIZE - s->in_len) : CONN_LATER;

	if (n == 0 || n == CONN_FAILED) {
		s->in_broken = true;
		return failed(s, n == 0 ? "the code was broken" : conn_error(&s->under));
	}
	if (n > 0) {
		s->in_len += (size_t)n;
		while (parse(s))
			;
	}
	return n;
}

static ssize_t flush(struct coded *s)
{
	ssize_t n = s->out_broken ? CONN_FAILED : conn_flush(&s->under, &s->out);

	if (n == 0 && s->shut)
		conn_shut(&s->under);
	if (n == CONN_FAILED) {
		failed(s, conn_error(&s->under));
		s->out_broken = true;
		str_fini(&s->out);
	}
	return n;
}

static ssize_t take(struct conn *c, unsigned char *p, size_t room, bool peek)
{
	struct coded *s = coded_of(c);
	size_t n;

	while (s->have == 0 && !s->end_seen) {
		ssize_t more = s->in_broken ? CONN_FAILED : fill(s);

		if (more < 0)
			return more;
	}
	if (s->have == 0) {
		s->end_told = s->end_told || !peek;
		return 0;
	}
	n = MIN(room, s->have);
	for (size_t i = 0; i < n; i++)
		p[i] = s->in[i] ^ CODE;
	if (!peek) {
		drop(s, n);
		s->have -= n;
		parse(s);
	}
	return (ssize_t)n;
}

static ssize_t coded_read(struct conn *c, void *p, size_t room)
{
	return take(c, p, room, false);
}

static ssize_t coded_peek(struct conn *c, void *p, size_t room)
{
	return take(c, p, room, true);
}

static void add_record(struct coded *s, const unsigned char *p, size_t len)
{
	str_addc(&s->out, (char)(len >> 8));
	str_addc(&s->out, (char)len);
	for (size_t i = 0; i < len; i++)
		str_addc(&s->out, (char)(p[i] ^ CODE));
}

static ssize_t coded_write(struct conn *c, const void *p, size_t len)
{
	struct coded *s = coded_of(c);
	ssize_t n;

	CU_ASSERT_FATAL(!s->shut && len != 0);
	if (s->record_len != 0) {
		CU_ASSERT_FATAL(len >= s->record_len && memcmp(p, s->record, s->record_len) == 0);
	} else {
		if ((n = flush(s)) != 0)
			return n;
		while (!s->greeted)
			if ((n = s->in_broken ? CONN_FAILED : fill(s)) < 0)
				return n;
		s->record_len = MIN(len, (size_t)CODED_RECORD);
		memcpy(s->record, p, s->record_len);
		add_record(s, p, s->record_len);
	}
	if ((n = flush(s)) != 0)
		return n;
	n = (ssize_t)s->record_len;
	s->record_len = 0;
	return n;
}

static void coded_shut(struct conn *c, bool end)
{
	struct coded *s = coded_of(c);

	CU_ASSERT_FATAL(s->record_len == 0 || !end);
	if (s->shut)
		return;
	s->shut = true;
	if (end)
		add_record(s, NULL, 0);
	flush(s);
}

static const char *coded_error(const struct conn *c)
{
	return coded_of(c)->error;
}

static int coded_events(const struct conn *c, int want)
{
	const struct coded *s = coded_of(c);
	int events = want & EV_READ;

	if (s->out.len != 0)
		events |= EV_WRITE;
	if ((want & EV_WRITE) != 0)
		events |= s->greeted || s->out_broken ? EV_WRITE : EV_READ;
	return events;
}

static int coded_ready(struct conn *c, int revents)
{
	struct coded *s = coded_of(c);
	int ready = revents & EV_READ;

	if ((revents & EV_WRITE) != 0 && s->out.len != 0 && s->record_len == 0)
		flush(s);
	if (!s->greeted && (revents & EV_READ) != 0 && fill(s) > 0 && s->greeted)
		ready |= EV_WRITE; /* what it waited for, if anything */
	if ((revents & EV_WRITE) != 0 && s->greeted)
		ready |= EV_WRITE;
	return s->in_broken || s->out_broken ? EV_READ | EV_WRITE : ready;
}

static bool coded_holds(const struct conn *c)
{
	const struct coded *s = coded_of(c);

	return s->out.len != 0 && !s->out_broken;
}

static bool coded_pending(const struct conn *c)
{
	const struct coded *s = coded_of(c);

	return s->have != 0 || (s->end_seen && !s->end_told);
}

static void coded_close(struct conn *c)
{
	struct coded *s = coded_of(c);

	if (s->record_len == 0)
		coded_shut(c, true);
	str_fini(&s->out);
	mem_free(&s);
	count--;
}

static bool coded_is_up(const struct conn *c UNUSED)
{
	return true;
}

static size_t coded_memory(const struct conn *c UNUSED)
{
	return sizeof(struct coded);
}

static const struct conn_kind coded = {
	.read = coded_read,
	.peek = coded_peek,
	.write = coded_write,
	.shut = coded_shut,
	.error = coded_error,
	.events = coded_events,
	.ready = coded_ready,
	.pending = coded_pending,
	.is_up = coded_is_up,
	.memory = coded_memory,
	.holds = coded_holds,
	.close = coded_close,
};

struct conn_state *coded_new(int fd)
{
	struct coded *s = mem_alloc(sizeof(*s));

	s->base.kind = &coded;
	conn_open(&s->under, fd, NULL, NULL);
	str_adds(&s->out, hello);
	count++;
	return &s->base;
}

unsigned coded_count(void)
{
	return count;
}
