/* The base subject. */
#include "mime/subject.h"

#include <strings.h>

#include "mime/word.h"

/* The part of the subject that is left: blanks are single spaces, also in what was taken off. */
struct rest {
	const char *p, *end;
	bool reply;
};

static bool begins(const char *p, const char *end, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(end - p) >= n && strncasecmp(p, word, n) == 0;
}

static bool ends(const struct rest *r, const char *word)
{
	size_t n = strlen(word);

	return (size_t)(r->end - r->p) >= n && strncasecmp(r->end - n, word, n) == 0;
}

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && *p == ' ')
		p++;
	return p;
}

/* Behind the "[...]" at P with the blanks after it; P if there is none. */
static const char *skip_blob(const char *p, const char *end)
{
	const char *q = p;

	if (q == end || *q != '[')
		return p;
	for (q++; q < end && *q != '[' && *q != ']'; q++)
		continue;
	return q < end && *q == ']' ? skip_blanks(q + 1, end) : p;
}

/* Behind "re:", "fw:", "fwd:", with a blob before the colon or not; P if there is none. */
static const char *skip_refwd(const char *p, const char *end)
{
	static const char *const words[] = { "re", "fwd", "fw" };

	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		if (begins(p, end, words[i])) {
			const char *q = skip_blob(skip_blanks(p + strlen(words[i]), end), end);

			return q < end && *q == ':' ? q + 1 : p;
		}
	return p;
}

/* subj-trailer, as often as it is there. */
static void drop_trailers(struct rest *r)
{
	for (;;) {
		while (r->end > r->p && r->end[-1] == ' ')
			r->end--;
		if (!ends(r, "(fwd)"))
			return;
		r->end -= 5;
		r->reply = true;
	}
}

/* subj-leader: blanks, or blobs and "re:". Blobs alone stay. False: there is none. */
static bool drop_leader(struct rest *r)
{
	const char *p = skip_blanks(r->p, r->end), *q = p, *next;

	if (p != r->p) {
		r->p = p;
		return true;
	}
	while ((next = skip_blob(q, r->end)) != q)
		q = next;
	next = skip_refwd(q, r->end);
	if (next == q)
		return false;
	r->p = next;
	r->reply = true;
	return true;
}

/* The blobs in front, unless nothing would be left: then the last one stays. */
static bool drop_blobs(struct rest *r)
{
	const char *start = r->p, *p;

	while ((p = skip_blob(r->p, r->end)) != r->p && p != r->end)
		r->p = p;
	return r->p != start;
}

/* subj-fwd: "[fwd: ...]". */
static bool unwrap(struct rest *r)
{
	if (!begins(r->p, r->end, "[fwd:") || !ends(r, "]"))
		return false;
	r->p += 5;
	r->end--;
	r->reply = true;
	return true;
}

/* Makes each run of blanks in S from FROM on one space. */
static void join_blanks(struct str *s, size_t from)
{
	size_t to = from;

	for (size_t i = from; i < s->len; i++) {
		bool blank = memchr(" \t\r\n", s->data[i], 5) != NULL; /* words may hold them, NUL too */

		if (!blank || to == from || s->data[to - 1] != ' ')
			s->data[to++] = blank ? ' ' : s->data[i];
	}
	s->len = to;
	if (s->data != NULL)
		s->data[to] = '\0';
}

bool mime_base_subject(struct str *out, const char *p, size_t len, struct mime_charsets *set)
{
	size_t from = out->len;
	struct rest r = { NULL, NULL, false };

	mime_word_decode(out, p, len, set);
	join_blanks(out, from);
	if (out->len == from)
		return false;
	r.p = out->data + from;
	r.end = out->data + out->len;
	do {
		drop_trailers(&r);
		while (drop_leader(&r) || drop_blobs(&r))
			continue;
	} while (unwrap(&r));
	out->len = from + (size_t)(r.end - r.p);
	memmove(out->data + from, r.p, (size_t)(r.end - r.p));
	out->data[out->len] = '\0';
	return r.reply;
}
