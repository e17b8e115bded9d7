/* The words of the IMAP grammar, read from a buffer of bytes. */
#include "imapd/imap_lex.h"

#include <string.h>
#include <strings.h>

#include "lib/num.h"

enum { LITERAL_HEAD_MAX = 32 }; /* "{" digits "+}" CR LF */

/* --- Where a command ends --- */

/* True, with its size and kind, if the line of LEN bytes (without its line end) announces a literal.
 * A number that does not fit is a literal larger than any limit. */
static bool announces_literal(const char *line, size_t len, uint64_t *size, bool *sync)
{
	size_t end, at, before;

	if (len < 4 || line[len - 1] != '}')
		return false;
	end = len - 1;
	*sync = true;
	if (line[end - 1] == '+') {
		*sync = false;
		end--;
	}
	for (at = end; at > 0 && line[at - 1] >= '0' && line[at - 1] <= '9'; at--)
		continue;
	if (at == end || at < 2 || line[at - 1] != '{')
		return false;
	before = at - 2;
	/* literal8 (RFC 3516): nothing here takes one, but the bytes of this one follow, and are no commands. */
	if (line[before] == '~' && !*sync && before > 0)
		before--;
	if (line[before] != ' ' && line[before] != '(')
		return false;
	if (!num_parse(line + at, end - at, UINT64_MAX / 2, size))
		*size = UINT64_MAX / 2;
	return true;
}

static enum imap_frame_result frame_line_end(struct imap_frame *f, const char *data, size_t end,
    const struct imap_frame_limits *limits)
{
	size_t len = end - f->start - 1;

	if (len > 0 && data[f->start + len - 1] == '\r')
		len--;
	f->text += end - f->start;
	f->pos = end;
	if (f->text > limits->line)
		return IMAP_FRAME_LONG;
	if (!announces_literal(data + f->start, len, &f->literal, &f->sync))
		return IMAP_FRAME_DONE;
	f->start = end;
	if (f->literal > limits->literals - MIN(limits->literals, f->literals))
		return IMAP_FRAME_BIG;
	f->literals += (size_t)f->literal;
	f->skip = (size_t)f->literal;
	return IMAP_FRAME_LITERAL;
}

enum imap_frame_result imap_frame_next(struct imap_frame *f, const char *data, size_t len,
    const struct imap_frame_limits *limits)
{
	const char *nl;

	if (f->skip > 0) {
		size_t n = MIN(f->skip, len - f->pos);

		f->skip -= n;
		f->pos += n;
		if (f->skip > 0)
			return IMAP_FRAME_MORE;
		f->start = f->pos;
	}
	nl = f->pos < len ? memchr(data + f->pos, '\n', len - f->pos) : NULL;
	if (nl != NULL)
		return frame_line_end(f, data, (size_t)(nl - data) + 1, limits);
	f->pos = len;
	return f->text + (len - f->start) > limits->line ? IMAP_FRAME_LONG : IMAP_FRAME_MORE;
}

static void skip_keep(struct imap_skip *k, const char *p, size_t len)
{
	size_t add = MIN(len, sizeof(k->tail)), keep = MIN(k->n, sizeof(k->tail) - add);

	memmove(k->tail, k->tail + k->n - keep, keep);
	memcpy(k->tail + keep, p + len - add, add);
	k->n = keep + add;
}

/* The line in TAIL has ended: true unless a literal follows that the client sends without waiting. */
static bool skip_line_end(struct imap_skip *k)
{
	size_t len = k->n - 1;
	bool sync = true;

	if (len > 0 && k->tail[len - 1] == '\r')
		len--;
	k->n = 0;
	if (announces_literal(k->tail, len, &k->literal, &sync) && !sync)
		return false;
	k->literal = 0;
	return true;
}

size_t imap_skip_next(struct imap_skip *k, const char *data, size_t len, bool *over)
{
	size_t at = 0;

	*over = false;
	while (at < len && !*over) {
		const char *p = data + at, *nl;
		size_t n;

		if (k->literal > 0) {
			n = (size_t)MIN(k->literal, (uint64_t)(len - at));
			k->literal -= n;
			at += n;
			continue;
		}
		nl = memchr(p, '\n', len - at);
		n = nl != NULL ? (size_t)(nl - p) + 1 : len - at;
		skip_keep(k, p, n);
		at += n;
		if (nl != NULL)
			*over = skip_line_end(k);
	}
	k->passed += at;
	return at;
}

/* --- Words --- */

void imap_lex_init(struct imap_lex *l, const char *data, size_t len)
{
	l->data = data;
	l->len = len;
	l->pos = 0;
}

int imap_lex_peek(const struct imap_lex *l)
{
	return l->pos < l->len ? (unsigned char)l->data[l->pos] : -1;
}

static bool is_atom_char(int c)
{
	switch (c) {
	/* clang-format off */
	case '(': case ')': case '{': case '%': case '*': case '"': case '\\': case ']':
		/* clang-format on */
		return false;
	default:
		return c > 0x20 && c < 0x7f;
	}
}

static bool is_astring_char(int c)
{
	return c == ']' || is_atom_char(c);
}

static bool is_tag_char(int c)
{
	return c != '+' && is_astring_char(c);
}

static bool is_pattern_char(int c)
{
	return c == '%' || c == '*' || is_astring_char(c);
}

static bool is_name_char(int c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
	    c == '_';
}

static bool is_set_char(int c)
{
	return (c >= '0' && c <= '9') || c == '*' || c == ':' || c == ',';
}

/* Takes a word of 1 to MAX characters that OK accepts. */
static int take_word(struct imap_lex *l, bool (*ok)(int), size_t max, struct str *out)
{
	size_t n = 0, left = l->len - l->pos;
	const char *p = l->data + l->pos;

	while (n < left && n <= max && ok((unsigned char)p[n]))
		n++;
	if (n > max)
		return -1;
	if (n == left)
		return 0;
	if (n == 0)
		return -1;
	str_clear(out);
	str_add(out, p, n);
	l->pos += n;
	return 1;
}

int imap_lex_tag(struct imap_lex *l, struct str *out)
{
	return take_word(l, is_tag_char, IMAP_TAG_MAX, out);
}

int imap_lex_atom(struct imap_lex *l, struct str *out)
{
	return take_word(l, is_atom_char, IMAP_WORD_MAX, out);
}

int imap_lex_name(struct imap_lex *l, struct str *out)
{
	int got = take_word(l, is_name_char, IMAP_NAME_MAX, out);

	for (size_t i = 0; got == 1 && i < out->len; i++)
		if (out->data[i] >= 'a' && out->data[i] <= 'z')
			out->data[i] -= 'a' - 'A';
	return got;
}

int imap_lex_set(struct imap_lex *l, struct str *out)
{
	return take_word(l, is_set_char, SIZE_MAX - 1, out);
}

int imap_lex_char(struct imap_lex *l, char c)
{
	if (l->pos == l->len)
		return 0;
	if (l->data[l->pos] != c)
		return -1;
	l->pos++;
	return 1;
}

int imap_lex_space(struct imap_lex *l)
{
	return imap_lex_char(l, ' ');
}

int imap_lex_end(struct imap_lex *l)
{
	size_t at = l->pos;

	while (at < l->len && l->data[at] == ' ')
		at++;
	if (at < l->len && l->data[at] == '\r')
		at++;
	if (at == l->len)
		return 0;
	if (l->data[at] != '\n')
		return -1;
	l->pos = at + 1;
	return 1;
}

static int take_quoted(struct imap_lex *l, struct str *out)
{
	const char *p = l->data + l->pos + 1, *end = l->data + l->len, *start = p;
	size_t n = 0;
	char *to;

	for (; p < end && *p != '"'; p++, n++) {
		if (*p == '\\') {
			if (++p == end)
				return 0;
			if (*p != '"' && *p != '\\')
				return -1;
		}
		if (*p == '\r' || *p == '\n' || *p == '\0' || n == IMAP_WORD_MAX)
			return -1;
	}
	if (p == end)
		return 0;
	str_clear(out);
	to = str_room(out, n);
	for (const char *from = start; from < p; from++)
		*to++ = *from == '\\' ? *++from : *from;
	*to = '\0';
	out->len = n;
	l->pos = (size_t)(p + 1 - l->data);
	return 1;
}

int imap_lex_literal(struct imap_lex *l, uint64_t *size, bool *sync)
{
	const char *p = l->data + l->pos, *nl;
	size_t left = l->len - l->pos, max = MIN(left, (size_t)LITERAL_HEAD_MAX), n;

	if (left > 0 && p[0] != '{')
		return -1;
	nl = max > 0 ? memchr(p, '\n', max) : NULL;
	if (nl == NULL)
		return max < LITERAL_HEAD_MAX ? 0 : -1;
	n = (size_t)(nl - p);
	if (n > 0 && p[n - 1] == '\r')
		n--;
	if (n < 3 || p[n - 1] != '}')
		return -1;
	*sync = p[n - 2] != '+';
	if (!num_parse(p + 1, n - (*sync ? 2 : 3), UINT64_MAX / 2, size))
		return -1;
	l->pos += (size_t)(nl - p) + 1;
	return 1;
}

static int take_literal(struct imap_lex *l, struct str *out)
{
	struct imap_lex at = *l;
	uint64_t size;
	bool sync;
	int got = imap_lex_literal(&at, &size, &sync);

	if (got != 1)
		return got;
	if (size > IMAP_WORD_MAX)
		return -1;
	if (size > at.len - at.pos)
		return 0;
	if (size > 0 && memchr(at.data + at.pos, '\0', (size_t)size) != NULL)
		return -1;
	str_clear(out);
	str_add(out, at.data + at.pos, (size_t)size);
	l->pos = at.pos + (size_t)size;
	return 1;
}

int imap_lex_string(struct imap_lex *l, struct str *out)
{
	switch (imap_lex_peek(l)) {
	case -1:
		return 0;
	case '"':
		return take_quoted(l, out);
	case '{':
		return take_literal(l, out);
	default:
		return -1;
	}
}

int imap_lex_astring(struct imap_lex *l, struct str *out)
{
	int got = imap_lex_string(l, out);

	return got >= 0 ? got : take_word(l, is_astring_char, IMAP_WORD_MAX, out);
}

int imap_lex_pattern(struct imap_lex *l, struct str *out)
{
	int got = imap_lex_string(l, out);

	return got >= 0 ? got : take_word(l, is_pattern_char, IMAP_WORD_MAX, out);
}

int imap_lex_nstring(struct imap_lex *l, struct str *out, bool *nil)
{
	struct imap_lex at = *l;
	struct str word = STR_INIT;
	int got = imap_lex_string(l, out);

	*nil = false;
	if (got >= 0)
		return got;
	got = imap_lex_atom(&at, &word);
	if (got == 1 && !imap_word_is(&word, "NIL"))
		got = -1;
	if (got == 1) {
		*l = at;
		*nil = true;
		str_clear(out);
	}
	str_fini(&word);
	return got;
}

int imap_lex_flag(struct imap_lex *l, struct str *out)
{
	struct imap_lex at = *l;
	struct str word = STR_INIT;
	bool system = imap_lex_peek(&at) == '\\';
	int got;

	if (system)
		at.pos++;
	got = imap_lex_atom(&at, &word);
	if (got == 1) {
		*l = at;
		str_clear(out);
		if (system)
			str_addc(out, '\\');
		str_add(out, word.data, word.len);
	}
	str_fini(&word);
	return got;
}

int imap_lex_number(struct imap_lex *l, uint64_t limit, uint64_t *out)
{
	size_t n = 0, left = l->len - l->pos;
	const char *p = l->data + l->pos;

	while (n < left && n < 21 && p[n] >= '0' && p[n] <= '9')
		n++;
	if (n == left && n < 21)
		return 0;
	if (n == 0 || !num_parse(p, n, limit, out))
		return -1;
	l->pos += n;
	return 1;
}

bool imap_word_is(const struct str *text, const char *word)
{
	return text->len == strlen(word) && strcasecmp(str_cstr(text), word) == 0;
}

bool imap_is_atom(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!is_atom_char((unsigned char)s[i]))
			return false;
	return len > 0;
}
