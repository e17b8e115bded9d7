/* Converts line ends, doubles dots, ends TOP. */
#include "pop3d/pop3_dots.h"

#include <string.h>

void pop3_dots_init(struct pop3_dots *d, uint64_t lines)
{
	memset(d, 0, sizeof(*d));
	d->lines = lines;
}

/* The line ended: does the next one belong to what is sent? */
static void end_line(struct pop3_dots *d)
{
	if (!d->in_body)
		d->in_body = !d->line_begun;
	else if (d->lines != UINT64_MAX)
		d->lines--;
	d->done = d->in_body && d->lines == 0;
	d->line_begun = d->after_cr = false;
}

/* Adds LEN bytes of one line, without its LF. */
static char *put_part(struct pop3_dots *d, const char *in, size_t len, char *out)
{
	if (!d->line_begun && !d->after_cr && in[0] == '.')
		*out++ = '.';
	memcpy(out, in, len);
	/* A lone CR is text of the line once something follows it. */
	d->line_begun = d->line_begun || d->after_cr || len > 1 || in[0] != '\r';
	d->after_cr = in[len - 1] == '\r';
	return out + len;
}

size_t pop3_dots_feed(struct pop3_dots *d, const char *in, size_t len, char *out)
{
	const char *end = in + len;
	char *start = out;

	while (in < end && !d->done) {
		const char *lf = memchr(in, '\n', (size_t)(end - in));
		const char *stop = lf != NULL ? lf : end;

		if (stop > in)
			out = put_part(d, in, (size_t)(stop - in), out);
		if (lf == NULL)
			break;
		if (!d->after_cr)
			*out++ = '\r';
		*out++ = '\n';
		end_line(d);
		in = lf + 1;
	}
	return (size_t)(out - start);
}

size_t pop3_dots_end(struct pop3_dots *d, char *out)
{
	char *start = out;

	if (d->line_begun || d->after_cr) {
		if (!d->after_cr)
			*out++ = '\r';
		*out++ = '\n';
	}
	memcpy(out, ".\r\n", 3);
	return (size_t)(out + 3 - start);
}
