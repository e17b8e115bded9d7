/* Reads commands from the stream: lines and literals, bounded in size and time. */
#include <malloc.h>
#include <string.h>

#include "imapd/imap_session.h"
#include "imapd/cmd.h"
#include "lib/clock.h"

static const struct imap_frame_limits limits = { IMAP_LINES_MAX, IMAP_LITERALS_MAX };

enum {
	LINE_KEPT_MAX = 4096,     /* bytes of memory that a session keeps for the next command */
	LINE_TRIM_MIN = 64 * 1024 /* larger commands are rare: their memory is returned to the system */
};

/* Takes the tag at the start of LEN bytes at P, for a command that cannot be read completely. */
static void guess_tag(struct imap_session *s, const char *p, size_t len)
{
	struct imap_lex l;

	imap_lex_init(&l, p, len);
	if (imap_lex_tag(&l, &s->tag) != 1 || imap_lex_peek(&l) != ' ') {
		str_clear(&s->tag);
		str_addc(&s->tag, '*');
	}
}

/* Milliseconds from now to DEADLINE. */
static int left_until(int64_t deadline_ms)
{
	return (int)MAX(deadline_ms - clock_ms(), (int64_t)0);
}

/* A literal begins. */
static void pace_begin(struct imap_session *s)
{
	s->pace.deadline_ms = clock_ms() + IMAP_LITERAL_TIMEOUT;
	s->pace.bytes = 0;
}

/* LEN bytes of it came: it may take any time as long as enough bytes keep coming. */
static void pace_came(struct imap_session *s, size_t len)
{
	s->pace.bytes += len;
	if (s->pace.bytes >= IMAP_LITERAL_STEP)
		pace_begin(s);
}

/* Reads the next piece of a line, until DEADLINE_MS. False: the session is over. */
static bool read_piece(struct imap_session *s, int64_t deadline_ms, char **p_out, size_t *len_out)
{
	int got = bio_piece(&s->io, BIO_IN_SIZE, left_until(deadline_ms), p_out, len_out);

	if (got != BIO_OK)
		imap_end_read(s, got);
	return got == BIO_OK;
}

/* Skips the rest of a refused command, after what K has skipped: lines and literals at the pace of literals. False: the
 * session is over. */
static bool pass_over(struct imap_session *s, struct imap_skip *k)
{
	bool over = false;

	pace_begin(s);
	while (!over) {
		char *p;
		size_t len;

		if (!read_piece(s, s->pace.deadline_ms, &p, &len))
			return false;
		pace_came(s, len);
		imap_skip_next(k, p, len, &over); /* a piece ends where a line does */
	}
	return true;
}

static void refuse(struct imap_session *s, const char *what, int max)
{
	bio_printf(&s->io, "%s BAD [TOOBIG] The %s of a command may have at most %d bytes.\r\n", s->tag.data, what,
	    max);
	s->errors++;
}

/* Refuses lines that are too long. What was read of the last one begins at START in s->line. */
static bool refuse_long(struct imap_session *s, size_t start)
{
	struct imap_skip k = { 0 };
	bool over;

	guess_tag(s, s->line.data, s->line.len);
	imap_skip_next(&k, s->line.data + start, s->line.len - start, &over);
	str_fini(&s->line);
	if (!over && !pass_over(s, &k))
		return false;
	refuse(s, "lines", IMAP_LINES_MAX);
	return false;
}

/* Refuses a literal beyond the limit. If the client waits for "+", it is simply not asked to continue; if not, its
 * bytes are on their way. */
static bool refuse_literal(struct imap_session *s, const struct imap_frame *f)
{
	struct imap_skip k = { .literal = f->literal };

	guess_tag(s, s->line.data, s->line.len);
	if (!f->sync && !pass_over(s, &k))
		return false;
	refuse(s, "literals", IMAP_LITERALS_MAX);
	return false;
}

/* Reads some of a literal, WANT bytes at most. False: the session is over. */
static bool read_some(struct imap_session *s, size_t want, char **p_out, size_t *len_out)
{
	int got = bio_some(&s->io, want, left_until(s->pace.deadline_ms), p_out, len_out);

	if (got == BIO_OK)
		pace_came(s, *len_out);
	else
		imap_end_read(s, got);
	return got == BIO_OK;
}

/* Reads LEFT bytes of a literal into s->line. */
static bool read_literal(struct imap_session *s, size_t left)
{
	pace_begin(s);
	while (left > 0) {
		char *p;
		size_t len;

		if (!read_some(s, left, &p, &len))
			return false;
		str_add(&s->line, p, len);
		left -= len;
	}
	return true;
}

/* Appends a line to s->line, with CRLF. False: there is none, or it is too long and was refused. */
static bool read_line(struct imap_session *s, const struct imap_frame *f, int64_t deadline_ms)
{
	struct str *line = &s->line;
	size_t start = line->len, len;
	char *p;

	do {
		if (!read_piece(s, deadline_ms, &p, &len))
			return false;
		str_add(line, p, len);
		if (f->text + (line->len - start) > limits.line)
			return refuse_long(s, start);
	} while (p[len - 1] != '\n');
	if (line->len - start < 2 || line->data[line->len - 2] != '\r') {
		line->len--;
		str_adds(line, "\r\n");
	}
	return true;
}

/* An idle session keeps no memory for commands. */
static void forget_line(struct imap_session *s)
{
	bool trim = s->line.cap > LINE_TRIM_MIN;

	if (s->line.cap > LINE_KEPT_MAX)
		str_fini(&s->line);
	if (trim)
		malloc_trim(0);
	str_clear(&s->line);
}

bool imap_read_command(struct imap_session *s)
{
	int64_t deadline_ms = clock_ms() + (int64_t)s->set->imapd_IMAP_INACTIVITY_TIMEOUT * 1000;
	struct imap_frame f = { 0 };

	forget_line(s);
	s->message.pending = false;
	for (;;) {
		enum imap_frame_result got;

		if (!read_line(s, &f, deadline_ms))
			return false;
		got = imap_frame_next(&f, s->line.data, s->line.len, &limits);
		if (got == IMAP_FRAME_DONE)
			return true;
		if (got == IMAP_FRAME_LONG) /* because of the CR added before an LF */
			return refuse_long(s, f.start);
		if (imap_takes_message(s->line.data, s->line.len)) {
			s->message = (struct imap_message){ true, f.literal, f.sync };
			return true;
		}
		if (got == IMAP_FRAME_BIG)
			return refuse_literal(s, &f);
		if (f.sync)
			bio_puts(&s->io, "+ Go ahead\r\n");
		if (!read_literal(s, (size_t)f.literal))
			return false;
		imap_frame_next(&f, s->line.data, s->line.len, &limits); /* skips the literal */
	}
}

void imap_ask_message(struct imap_session *s)
{
	if (s->message.sync)
		bio_puts(&s->io, "+ Go ahead\r\n");
	s->message.pending = false;
	pace_begin(s);
}

bool imap_read_message(struct imap_session *s, uint64_t want, char **p_out, size_t *len_out)
{
	return read_some(s, (size_t)MIN(want, (uint64_t)BIO_IN_SIZE), p_out, len_out);
}

int imap_read_rest(struct imap_session *s)
{
	int64_t deadline_ms = clock_ms() + IMAP_LITERAL_TIMEOUT;
	struct imap_skip k = { 0 };
	struct imap_lex l;
	bool over = false;

	str_clear(&s->line);
	while (!over) {
		char *p;
		size_t len;

		if (!read_piece(s, deadline_ms, &p, &len))
			return -1;
		imap_skip_next(&k, p, len, &over);
		if (s->line.len < IMAP_SKIP_TAIL)
			str_add(&s->line, p, len);
	}
	imap_lex_init(&l, s->line.data, s->line.len);
	return imap_lex_end(&l) == 1 && l.pos == l.len;
}

bool imap_drop_message(struct imap_session *s, uint64_t left)
{
	struct imap_skip k = { .literal = left };

	return pass_over(s, &k);
}
