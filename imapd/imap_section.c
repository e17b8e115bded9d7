/* BODY[...]: the text between the brackets, and the bytes that it names. */
#include "imapd/imap_section.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "imapd/imap_body.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"
#include "mime/hdr.h"
#include "mime/wire.h"

/* --- the text between the brackets --- */

static const struct {
	const char *word;
	enum imap_section_kind kind;
} kinds[] = {
	{ "HEADER", IMAP_SECTION_HEADER },
	{ "HEADER.FIELDS", IMAP_SECTION_FIELDS },
	{ "HEADER.FIELDS.NOT", IMAP_SECTION_FIELDS_NOT },
	{ "TEXT", IMAP_SECTION_TEXT },
	{ "MIME", IMAP_SECTION_MIME },
};

static bool has_list(const struct imap_section *s)
{
	return s->kind == IMAP_SECTION_FIELDS || s->kind == IMAP_SECTION_FIELDS_NOT;
}

/* A part number: not 0, no sign, no leading zero. */
static bool add_number(struct imap_section *s, const char *p, size_t len)
{
	uint64_t v;

	if (s->n_path == IMAP_SECTION_PATH_MAX || *p == '0' || !num_parse(p, len, UINT32_MAX, &v))
		return false;
	s->path = mem_grow(s->path, (s->n_path + 1) * sizeof(s->path[0]));
	s->path[s->n_path++] = (uint32_t)v;
	return true;
}

static bool read_kind(struct imap_section *s, const char *p, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (text_is_word(p, len, kinds[i].word)) {
			s->kind = kinds[i].kind;
			return s->kind != IMAP_SECTION_MIME || s->n_path > 0;
		}
	return false;
}

static bool read_spec(struct imap_section *s, const char *p, size_t len)
{
	const char *end = p + len;

	if (len == 0)
		return true;
	while (p < end && *p >= '0' && *p <= '9') {
		const char *dot = memchr(p, '.', (size_t)(end - p)), *stop = dot != NULL ? dot : end;

		if (!add_number(s, p, (size_t)(stop - p)))
			return false;
		if (dot == NULL)
			return true;
		p = dot + 1;
	}
	return read_kind(s, p, (size_t)(end - p));
}

/* Parses SPEC, the text before the list or the "]" ("HEADER.FIELDS", "1.2", ""), without blanks and brackets; false for
 * bad syntax. FIELDS and FIELDS.NOT then need one imap_section_add_name() or more, the others none. */
static bool imap_section_parse_spec(struct imap_section *out, const char *spec, size_t len)
{
	memset(out, 0, sizeof(*out));
	if (read_spec(out, spec, len))
		return true;
	imap_section_fini(out);
	return false;
}

/* Adds a header name (copied). False if it cannot be one (empty, control characters, blanks, colon) or there are too
 * many. */
static bool imap_section_add_name(struct imap_section *s, const char *name, size_t len)
{
	if (len == 0 || s->n_names == IMAP_SECTION_NAMES_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (name[i] == ' ' || text_is_control(name[i]) || name[i] == ':')
			return false;
	s->names = mem_grow(s->names, (s->n_names + 1) * sizeof(s->names[0]));
	s->names[s->n_names++] = mem_memdup(name, len);
	return true;
}

void imap_section_fini(struct imap_section *s)
{
	for (size_t i = 0; i < s->n_names; i++)
		mem_free(&s->names[i]);
	mem_free(&s->names);
	mem_free(&s->sorted);
	mem_free(&s->path);
	memset(s, 0, sizeof(*s));
}

/* Reads the list of header names with its parentheses. */
static bool read_names(struct imap_section *s, struct imap_lex *l)
{
	struct str name = STR_INIT;
	bool ok = imap_lex_space(l) == 1 && imap_lex_char(l, '(') == 1;

	while (ok) {
		ok = imap_lex_astring(l, &name) == 1 && imap_section_add_name(s, str_cstr(&name), name.len);
		if (ok && imap_lex_char(l, ')') == 1)
			break;
		ok = ok && imap_lex_space(l) == 1;
	}
	str_fini(&name);
	return ok;
}

bool imap_section_read(struct imap_section *out, struct imap_lex *l)
{
	size_t from = l->pos, to = from;

	while (to < l->len && l->data[to] != ' ' && l->data[to] != ']')
		to++;
	if (!imap_section_parse_spec(out, l->data + from, to - from))
		return false;
	l->pos = to;
	if ((!has_list(out) || read_names(out, l)) && imap_lex_char(l, ']') == 1)
		return true;
	l->pos = from;
	imap_section_fini(out);
	return false;
}

static void print_names(struct str *out, const struct imap_section *s)
{
	for (size_t i = 0; i < s->n_names; i++) {
		size_t len = strlen(s->names[i]);

		str_adds(out, i == 0 ? " (" : " ");
		if (imap_is_atom(s->names[i], len))
			str_add(out, s->names[i], len);
		else
			imap_string_add(out, s->names[i], len);
	}
	str_addc(out, ')');
}

void imap_section_print(struct str *out, const struct imap_section *s)
{
	str_addc(out, '[');
	for (size_t i = 0; i < s->n_path; i++)
		str_addf(out, i == 0 ? "%u" : ".%u", (unsigned)s->path[i]);
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].kind == s->kind) {
			str_adds(out, s->n_path > 0 ? "." : "");
			str_adds(out, kinds[i].word);
		}
	if (s->n_names > 0)
		print_names(out, s);
	str_addc(out, ']');
}

/* --- what it names --- */

/* The part with these numbers. A message that is no multipart is its own part 1. */
static const struct mime_part *find_part(struct mime_msg *m, const struct imap_section *s)
{
	const struct mime_part *p = mime_msg_root(m);
	bool is_message = true; /* p is a message, not a part of one */

	for (size_t i = 0; i < s->n_path && p != NULL; i++) {
		uint32_t n = s->path[i];

		if (!is_message && p->kind == MIME_MESSAGE) {
			p = p->child;
			is_message = true;
		}
		if (p->kind == MIME_MULTIPART) {
			for (p = p->child; p != NULL && n > 1; n--)
				p = p->next;
		} else if (!is_message || n != 1) {
			return NULL;
		}
		is_message = false;
	}
	return p;
}

static void set_span(struct imap_wire *w, const struct mime_span *span)
{
	w->off = span->off;
	w->len = span->len;
	w->size = span->wire;
	w->have_size = true;
}

static bool find_in_part(struct mime_msg *m, const struct imap_section *s, struct imap_wire *w)
{
	const struct mime_part *p = find_part(m, s);

	if (p == NULL)
		return false;
	if (s->kind == IMAP_SECTION_ALL) {
		set_span(w, &p->body);
	} else if (s->kind == IMAP_SECTION_MIME) {
		set_span(w, &p->hdr);
	} else if (p->kind == MIME_MESSAGE) {
		set_span(w, s->kind == IMAP_SECTION_TEXT ? &p->child->body : &p->child->hdr);
	} else {
		return false;
	}
	return true;
}

static void find_flat(struct mime_msg *m, const struct imap_section *s, struct imap_wire *w)
{
	w->len = m->len;
	if (s->kind == IMAP_SECTION_TEXT) {
		w->off = mime_wire_header(m);
		w->len -= w->off;
	} else if (s->kind != IMAP_SECTION_ALL) {
		w->len = mime_wire_header(m);
	}
}

static int compare_names(const void *a, const void *b)
{
	return strcasecmp(*(char *const *)a, *(char *const *)b);
}

static void sort_names(struct imap_section *s)
{
	if (s->sorted != NULL || s->n_names == 0)
		return;
	s->sorted = mem_array(s->n_names, sizeof(s->sorted[0]));
	memcpy(s->sorted, s->names, s->n_names * sizeof(s->sorted[0]));
	qsort(s->sorted, s->n_names, sizeof(s->sorted[0]), compare_names);
}

bool imap_section_find(struct mime_msg *m, struct imap_section *s, struct imap_wire *out)
{
	memset(out, 0, sizeof(*out));
	out->m = m;
	if (s->n_path == 0)
		find_flat(m, s, out);
	else if (!find_in_part(m, s, out))
		return false;
	if (has_list(s)) {
		sort_names(s);
		out->fields = s;
		out->have_size = false;
	}
	return true;
}

/* --- header fields by name --- */

static int compare_field(const void *key, const void *member)
{
	const struct mime_hdr *h = key;
	const char *name = *(char *const *)member;
	size_t len = strlen(name);
	int c = strncasecmp(h->name, name, MIN(len, h->name_len));

	return c != 0 ? c : h->name_len < len ? -1 : h->name_len > len; /* the field's name may hold a NUL */
}

/* Lines that are no field have no name, so that they can be neither requested nor excluded. */
static bool wants_field(const struct imap_section *s, const struct mime_hdr *h)
{
	bool named;

	if (h->name_len == 0)
		return false;
	named = s->n_names > 0 && bsearch(h, s->sorted, s->n_names, sizeof(s->sorted[0]), compare_field) != NULL;
	return named == (s->kind == IMAP_SECTION_FIELDS);
}

/* The empty line that ends a header, if present, belongs to every selection of its fields. */
static bool has_empty_line(const struct imap_wire *w)
{
	const char *p = w->m->text + w->off;
	size_t n = w->len;

	if (n == 0 || p[n - 1] != '\n')
		return false;
	n--;
	if (n > 0 && p[n - 1] == '\r')
		n--;
	return n == 0 || p[n - 1] == '\n';
}

static uint64_t fields_size(const struct imap_wire *w)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;
	uint64_t size = has_empty_line(w) ? 2 : 0;

	mime_hdr_begin(&it, w->m->text + w->off, w->len);
	while (mime_hdr_next(&it, &h))
		if (wants_field(w->fields, &h))
			size += mime_wire_size(h.start, h.len);
	return size;
}

uint64_t imap_wire_size(struct imap_wire *w)
{
	if (!w->have_size) {
		w->size = w->fields != NULL ? fields_size(w) :
		                              mime_wire_at(w->m, w->off + w->len) - mime_wire_at(w->m, w->off);
		w->have_size = true;
	}
	return w->size;
}

uint64_t imap_wire_part_size(struct imap_wire *w, uint64_t start, uint64_t count)
{
	uint64_t size = imap_wire_size(w);

	return start >= size ? 0 : MIN(count, size - start);
}

/* --- writing --- */

struct output {
	imap_wire_fn fn;
	void *ctx;
	uint64_t skip; /* wire bytes still to skip */
	uint64_t left; /* wire bytes still to write */
	size_t used;
	bool ok;
	char buf[16 * 1024];
};

static void flush(struct output *o)
{
	if (o->used > 0 && o->ok)
		o->ok = o->fn(o->ctx, o->buf, o->used);
	o->used = 0;
}

static void put(struct output *o, const char *p, size_t len)
{
	size_t n = (size_t)MIN(o->skip, len);

	o->skip -= n;
	p += n;
	len = (size_t)MIN(o->left, len - n);
	o->left -= len;
	while (len > 0 && o->ok) {
		if (o->used == sizeof(o->buf))
			flush(o);
		n = MIN(len, sizeof(o->buf) - o->used);
		memcpy(o->buf + o->used, p, n);
		for (char *nul = o->buf + o->used;
		     (nul = memchr(nul, '\0', (size_t)(o->buf + o->used + n - nul))) != NULL;)
			*nul = '\x80'; /* a literal may not hold NUL */
		o->used += n;
		p += n;
		len -= n;
	}
}

/* Writes LEN bytes at P with CRLF line ends; START is where their line starts, or a line before it. */
static void put_lines(struct output *o, const char *start, const char *p, size_t len)
{
	const char *end = p + len;

	while (p < end && o->left > 0 && o->ok) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));

		if (nl == NULL) {
			put(o, p, (size_t)(end - p));
			return;
		}
		if (nl > start && nl[-1] == '\r') {
			put(o, p, (size_t)(nl + 1 - p));
		} else {
			put(o, p, (size_t)(nl - p));
			put(o, "\r\n", 2);
		}
		p = nl + 1;
	}
}

static void put_fields(struct output *o, const struct imap_wire *w)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, w->m->text + w->off, w->len);
	while (o->left > 0 && o->ok && mime_hdr_next(&it, &h))
		if (wants_field(w->fields, &h))
			put_lines(o, h.start, h.start, h.len);
	if (has_empty_line(w))
		put(o, "\r\n", 2);
}

/* Starts after what is to be skipped, without reading it. */
static void put_text(struct output *o, const struct imap_wire *w)
{
	const char *text = w->m->text;
	size_t at = w->off;

	if (o->skip > 0)
		at = mime_wire_seek(w->m, w->off, o->skip, &o->skip);
	if (at < w->off + w->len)
		put_lines(o, text + w->off, text + at, w->off + w->len - at);
}

bool imap_wire_write(const struct imap_wire *w, uint64_t start, uint64_t count, imap_wire_fn fn, void *ctx)
{
	struct output o;

	o.fn = fn;
	o.ctx = ctx;
	o.skip = start;
	o.left = count;
	o.used = 0;
	o.ok = true;
	if (w->fields != NULL)
		put_fields(&o, w);
	else if (w->len > 0)
		put_text(&o, w);
	flush(&o);
	return o.ok;
}
