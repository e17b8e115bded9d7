/* The walk over header fields. */
#include "mime/hdr.h"

#include <string.h>

#include "lib/text.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* The start of the line after that at P. */
static const char *line_end(const char *p, const char *end)
{
	const char *nl = memchr(p, '\n', (size_t)(end - p));

	return nl != NULL ? nl + 1 : end;
}

static bool is_empty_line(const char *p, const char *end)
{
	return p < end && (*p == '\n' || (*p == '\r' && end - p > 1 && p[1] == '\n'));
}

size_t mime_hdr_len(const char *text, size_t len)
{
	const char *p = text, *end;

	if (len == 0)
		return 0;
	for (end = text + len; p < end; p = line_end(p, end))
		if (is_empty_line(p, end))
			return (size_t)(line_end(p, end) - text);
	return len;
}

void mime_hdr_begin(struct mime_hdr_iter *it, const char *text, size_t len)
{
	it->p = text;
	it->end = len != 0 ? text + len : text;
}

/* Finds the name before the colon of the line from P to EOL; a name has no blank inside ("From joe Mon ... 10:00"). */
static void find_name(struct mime_hdr *h, const char *p, const char *eol)
{
	const char *colon = memchr(p, ':', (size_t)(eol - p)), *e;

	h->name = p;
	h->name_len = 0;
	if (colon == NULL)
		return;
	for (e = colon; e > p && is_blank(e[-1]);)
		e--;
	for (const char *q = p; q < e; q++)
		if (is_blank(*q))
			return;
	h->name_len = (size_t)(e - p);
	h->value = colon + 1;
}

static void trim_value(struct mime_hdr *h, const char *end)
{
	while (h->value < end && (is_blank(*h->value) || *h->value == '\r' || *h->value == '\n'))
		h->value++;
	while (end > h->value && (is_blank(end[-1]) || end[-1] == '\r' || end[-1] == '\n'))
		end--;
	h->value_len = (size_t)(end - h->value);
}

bool mime_hdr_next(struct mime_hdr_iter *it, struct mime_hdr *out)
{
	const char *p = it->p, *first, *end;

	if (p >= it->end || is_empty_line(p, it->end)) {
		it->p = it->end;
		return false;
	}
	first = end = line_end(p, it->end);
	while (end < it->end && is_blank(*end))
		end = line_end(end, it->end);
	out->start = p;
	out->len = (size_t)(end - p);
	out->value = p;
	find_name(out, p, first);
	trim_value(out, end);
	it->p = end;
	return true;
}

bool mime_hdr_is(const struct mime_hdr *h, const char *name)
{
	return text_is_word(h->name, h->name_len, name);
}

bool mime_hdr_find(const char *text, size_t len, const char *name, struct mime_hdr *out)
{
	struct mime_hdr_iter it;

	mime_hdr_begin(&it, text, len);
	while (mime_hdr_next(&it, out))
		if (mime_hdr_is(out, name))
			return true;
	return false;
}

void mime_hdr_unfold(struct str *out, const char *p, size_t len)
{
	const char *end = p + len;

	if (len == 0)
		return;
	while (p < end) {
		size_t n = 0;

		while (p + n < end && p[n] != '\r' && p[n] != '\n' && p[n] != '\0')
			n++;
		str_add(out, p, n);
		p += n;
		if (p == end)
			break;
		n = end - p > 1 && p[0] == '\r' && p[1] == '\n' ? 2 : 1;
		if (*p == '\0' || p + n >= end || !is_blank(p[n]))
			str_addc(out, ' ');
		p += n;
	}
}
