/* Commands out of the stream: lines and literals, bounded in size and time. */
#include <string.h>

#include "imapd/imap_session.h"
#include "imapd/cmd.h"
#include "lib/clock.h"

static const struct imap_frame_limits limits = { IMAP_LINES_MAX, IMAP_LITERALS_MAX };

/* The tag at the start of LEN bytes at P, for a command that cannot be read whole. */
static void guess_tag(struct imap_session *s, const char *p, size_t len)
{
	struct imap_lex l;

	imap_lex_init(&l, p, len);
	if (imap_lex_tag(&l, &s->tag) != 1 || imap_lex_peek(&l) != ' ') {
		str_clear(&s->tag);
		str_addc(&s->tag, '*');
	}
}

/* The line does not end: nothing behind it can be understood. */
static void refuse_long(struct imap_session *s)
{
	char *p = s->line.data;
	size_t len = s->line.len;

	if (len == 0 && bio_some(&s->io, IMAP_TAG_MAX + 1, 0, &p, &len) != BIO_OK)
		len = 0;
	guess_tag(s, p, len);
	bio_printf(&s->io, "%s BAD [TOOBIG] Command line is longer than %d bytes.\r\n", s->tag.data, IMAP_LINES_MAX);
	imap_end(s, SESSION_END_PROTOCOL, "[TOOBIG] Command line too long.");
}

/* A literal beyond the limit. If the client waits for our word it is simply not asked to go on; if not, its bytes are on their
 * way and would have to be read to find the next command. */
static void refuse_literal(struct imap_session *s, bool sync)
{
	guess_tag(s, s->line.data, s->line.len);
	bio_printf(&s->io, "%s BAD [TOOBIG] Literals of a command may have %d bytes.\r\n", s->tag.data, IMAP_LITERALS_MAX);
	if (sync)
		s->errors++;
	else
		imap_end(s, SESSION_END_PROTOCOL, "[TOOBIG] Literal too large.");
}

/* LEFT bytes of a literal into s->line. */
static bool read_literal(struct imap_session *s, size_t left)
{
	while (left > 0) {
		char *p;
		size_t len;
		int got = bio_some(&s->io, left, IMAP_LITERAL_TIMEOUT, &p, &len);

		if (got != BIO_OK) {
			imap_end_read(s, got);
			return false;
		}
		str_add(&s->line, p, len);
		left -= len;
	}
	return true;
}

static bool read_line(struct imap_session *s, int64_t deadline)
{
	int64_t left = deadline - clock_seconds();
	char *line;
	size_t len;
	int got = bio_line(&s->io, IMAP_LINES_MAX, left > 0 ? (int)left * 1000 : 0, &line, &len);

	if (got == BIO_TOO_LONG)
		refuse_long(s);
	else if (got != BIO_OK)
		imap_end_read(s, got);
	if (got != BIO_OK)
		return false;
	str_add(&s->line, line, len);
	str_adds(&s->line, "\r\n");
	return true;
}

bool imap_read_command(struct imap_session *s)
{
	int64_t deadline = clock_seconds() + s->set->imapd_IMAP_INACTIVITY_TIMEOUT;
	struct imap_frame f = { 0 };

	if (s->line.cap > 4096)
		str_fini(&s->line);
	str_clear(&s->line);
	s->message.pending = false;
	for (;;) {
		enum imap_frame_result got;

		if (!read_line(s, deadline))
			return false;
		got = imap_frame_next(&f, s->line.data, s->line.len, &limits);
		if (got == IMAP_FRAME_DONE)
			return true;
		if (got == IMAP_FRAME_LONG) {
			refuse_long(s);
			return false;
		}
		if (imap_takes_message(s->line.data, s->line.len)) {
			s->message = (struct imap_message){ true, f.literal, f.sync };
			return true;
		}
		if (got == IMAP_FRAME_BIG) {
			refuse_literal(s, f.sync);
			return false;
		}
		if (f.sync)
			bio_puts(&s->io, "+ Go ahead\r\n");
		if (!read_literal(s, (size_t)f.literal))
			return false;
		imap_frame_next(&f, s->line.data, s->line.len, &limits); /* passes over the literal */
	}
}

int imap_read_message(struct imap_session *s, uint64_t want, char **p_out, size_t *len_out)
{
	int got = bio_some(&s->io, (size_t)MIN(want, (uint64_t)BIO_IN_SIZE), IMAP_LITERAL_TIMEOUT, p_out, len_out);

	if (got != BIO_OK)
		imap_end_read(s, got);
	return got;
}

static bool drop_bytes(struct imap_session *s, uint64_t left)
{
	while (left > 0) {
		char *p;
		size_t len;

		if (imap_read_message(s, left, &p, &len) != BIO_OK)
			return false;
		left -= len;
	}
	return true;
}

int imap_read_rest(struct imap_session *s)
{
	int clean = 1;

	s->message.pending = false;
	for (;;) {
		struct imap_frame f = { 0 };
		enum imap_frame_result got;
		struct imap_lex l;

		str_clear(&s->line);
		if (!read_line(s, clock_seconds() + IMAP_LITERAL_TIMEOUT / 1000))
			return -1;
		imap_lex_init(&l, s->line.data, s->line.len);
		if (imap_lex_end(&l) != 1)
			clean = 0;
		got = imap_frame_next(&f, s->line.data, s->line.len, &limits);
		if (got == IMAP_FRAME_DONE || f.sync)
			return clean;
		if (!drop_bytes(s, f.literal))
			return -1;
	}
}

bool imap_drop_message(struct imap_session *s, uint64_t left)
{
	return drop_bytes(s, left) && imap_read_rest(s) >= 0;
}
