/* One walk over the lines of the message. All open parts form a chain from `cur` up to the root; `bounds` holds the
 * boundaries of the open multiparts. A line that is a boundary closes all parts below its multipart.
 *
 * Sizes on the wire come from two running counters (line ends, line ends without CR): a span has the difference between
 * its end and its start, so no byte is read again for the enclosing parts. */
#include "mime/part.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "mime/ctype.h"
#include "mime/hdr.h"
#include "mime/param.h"

struct mime_part_block {
	struct mime_part_block *next;
	size_t used, room;
	struct mime_part parts[];
};

/* A place in the text and the line ends before it. */
struct mark {
	size_t off;
	uint64_t lines; /* LF */
	uint64_t bare;  /* LF without CR */
};

struct bound {
	struct str text;
	struct mime_part *part;
};

struct scan {
	struct mime_msg *m;
	struct mark at;     /* start of the line */
	struct mark before; /* before the line end in front of it, which belongs to the boundary if the line is one */
	struct mime_part *cur;
	bool in_header; /* of cur */
	int depth;      /* parts from the root to cur */
	struct bound bounds[MIME_DEPTH_MAX];
	int n_bounds;
};

void mime_msg_init(struct mime_msg *m, const char *text, size_t len)
{
	memset(m, 0, sizeof(*m));
	m->text = len != 0 ? text : "";
	m->len = len;
}

void mime_msg_fini(struct mime_msg *m)
{
	while (m->blocks != NULL) {
		struct mime_part_block *b = m->blocks;

		m->blocks = b->next;
		mem_free(&b);
	}
	mem_free(&m->bare);
	m->root = NULL;
	m->parts = 0;
}

/* Moves MARK past the LEN bytes at P and counts their line ends. P is at the start of a line. */
static void pass_lines(struct mark *mark, const char *p, size_t len)
{
	const char *end = p + len, *start = p;
	const char *nl;

	while (p < end && (nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		mark->lines++;
		mark->bare += nl == start || nl[-1] != '\r';
		p = nl + 1;
	}
	mark->off += len;
}

uint64_t mime_wire_size(const char *text, size_t len)
{
	struct mark mark = { 0, 0, 0 };

	if (len != 0)
		pass_lines(&mark, text, len);
	return len + mark.bare;
}

static struct mime_part *new_part(struct mime_msg *m, struct mime_part *parent)
{
	struct mime_part_block *b = m->blocks;
	struct mime_part *p;

	if (b == NULL || b->used == b->room) {
		size_t room = b == NULL ? 8 : 64;

		b = mem_alloc(sizeof(*b) + room * sizeof(b->parts[0]));
		b->room = room;
		b->next = m->blocks;
		m->blocks = b;
	}
	p = &b->parts[b->used++];
	p->parent = parent;
	m->parts++;
	return p;
}

/* While a span is open, wire and lines hold the counters at its start. */
static void span_open(struct mime_span *s, const struct mark *at)
{
	s->off = at->off;
	s->wire = at->bare;
	s->lines = at->lines;
}

static void span_close(struct mime_span *s, const struct mark *at)
{
	if (at->off < s->off) { /* the line end in front of the boundary does not belong to the part: it is empty */
		s->len = s->wire = s->lines = 0;
		return;
	}
	s->len = at->off - s->off;
	s->wire = s->len + (at->bare - s->wire);
	s->lines = at->lines - s->lines;
}

static void open_part(struct scan *s, struct mime_part *p)
{
	s->cur = p;
	s->in_header = true;
	s->depth++;
	span_open(&p->hdr, &s->at);
}

static void note_field(struct mime_part *p, const struct mime_hdr *h)
{
	static const struct {
		const char *name;
		size_t off;
	} fields[] = {
		{ "Content-Type", offsetof(struct mime_part, type) },
		{ "Content-Transfer-Encoding", offsetof(struct mime_part, encoding) },
		{ "Content-ID", offsetof(struct mime_part, id) },
		{ "Content-Description", offsetof(struct mime_part, description) },
		{ "Content-MD5", offsetof(struct mime_part, md5) },
		{ "Content-Disposition", offsetof(struct mime_part, disposition) },
		{ "Content-Language", offsetof(struct mime_part, language) },
		{ "Content-Location", offsetof(struct mime_part, location) },
	};

	if (h->name_len < 10 || strncasecmp(h->name, "Content-", 8) != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		struct mime_text *t = (struct mime_text *)(void *)((char *)p + fields[i].off);

		if (t->p == NULL && mime_hdr_is(h, fields[i].name)) {
			t->p = h->value;
			t->len = h->value_len;
			return;
		}
	}
}

static void read_fields(struct mime_msg *m, struct mime_part *p)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, m->text + p->hdr.off, p->hdr.len);
	while (mime_hdr_next(&it, &h))
		note_field(p, &h);
}

/* Content-Type as written, or the default; one that cannot be parsed is text/plain (RFC 2045 section 5.2). */
static bool declared_type(const struct mime_part *p, struct str *type, struct str *subtype)
{
	struct mime_ctype c;

	mime_ctype_begin(&c, &p->type);
	if (p->type.p != NULL && mime_ctype_type(&c, type, subtype))
		return true;
	str_clear(type);
	str_clear(subtype);
	str_adds(type, p->type.p == NULL && p->in_digest ? "message" : "text");
	str_adds(subtype, p->type.p == NULL && p->in_digest ? "rfc822" : "plain");
	return false;
}

static bool is_type(const struct str *type, const struct str *subtype, const char *t, const char *sub)
{
	return strcasecmp(str_cstr(type), t) == 0 && (sub == NULL || strcasecmp(str_cstr(subtype), sub) == 0);
}

bool mime_part_type(const struct mime_part *p, struct str *type, struct str *subtype)
{
	bool ok = declared_type(p, type, subtype);
	const char *instead = NULL;

	if (p->kind == MIME_LEAF && is_type(type, subtype, "message", "rfc822"))
		instead = "application";
	else if (p->kind == MIME_LEAF && is_type(type, subtype, "multipart", NULL))
		instead = "text";
	if (instead == NULL)
		return ok;
	str_clear(type);
	str_clear(subtype);
	str_adds(type, instead);
	str_adds(subtype, *instead == 't' ? "plain" : "octet-stream");
	return false;
}

static bool has_room(const struct scan *s)
{
	return s->depth < MIME_DEPTH_MAX && s->m->parts < MIME_PARTS_MAX;
}

/* Makes CUR a multipart if it has a boundary. */
static void begin_multipart(struct scan *s, bool digest)
{
	struct bound *b = &s->bounds[s->n_bounds];

	memset(b, 0, sizeof(*b));
	if (!mime_param_find(&s->cur->type, "boundary", &b->text) || b->text.len == 0) {
		str_fini(&b->text);
		return;
	}
	/* blanks at the end of a boundary cannot be told from padding (RFC 2046 section 5.1.1) */
	while (b->text.len > 1 && (b->text.data[b->text.len - 1] == ' ' || b->text.data[b->text.len - 1] == '\t'))
		b->text.len--;
	b->part = s->cur;
	s->cur->kind = MIME_MULTIPART;
	s->cur->digest = digest;
	s->n_bounds++;
}

/* The header of CUR has ended where the line starts: what kind of part is it? */
static void end_header(struct scan *s)
{
	struct str type = STR_INIT, subtype = STR_INIT;
	struct mime_part *p = s->cur;

	span_close(&p->hdr, &s->at);
	span_open(&p->body, &s->at);
	s->in_header = false;
	read_fields(s->m, p);
	declared_type(p, &type, &subtype);
	if (has_room(s)) {
		if (is_type(&type, &subtype, "multipart", NULL)) {
			begin_multipart(s, is_type(&type, &subtype, "multipart", "digest"));
		} else if (is_type(&type, &subtype, "message", "rfc822")) {
			p->kind = MIME_MESSAGE;
			p->child = new_part(s->m, p);
			open_part(s, p->child);
		}
	}
	str_fini(&type);
	str_fini(&subtype);
}

/* Ends P at END, which may be before the start of its body: an empty line that ends the header and stands in front of a
 * boundary is the line end of that boundary. */
static void end_part(struct mime_part *p, const struct mark *end)
{
	span_close(&p->body, end);
	if (p->body.off <= end->off)
		return;
	p->body.off = end->off;
	if (p->hdr.off < end->off) {
		p->hdr.len = end->off - p->hdr.off;
		p->hdr.wire -= 2;
		p->hdr.lines--;
	} else {
		p->hdr = (struct mime_span){ .off = end->off };
	}
}

/* The grammar of BODYSTRUCTURE demands at least one part in a multipart: adds an empty text at its end. */
static void add_empty_part(struct scan *s, struct mime_part *multi)
{
	struct mime_part *p = new_part(s->m, multi);

	p->hdr.off = p->body.off = multi->body.off + multi->body.len;
	multi->child = p;
}

/* Closes all parts below STOP (NULL: the root too): their bodies end at END. */
static void close_parts(struct scan *s, const struct mime_part *stop, const struct mark *end)
{
	while (s->in_header) /* it ended in its header; so an rfc822 part contains an empty message, and so on */
		end_header(s);
	while (s->cur != stop) {
		end_part(s->cur, end);
		if (s->cur->kind == MIME_MULTIPART && s->cur->child == NULL)
			add_empty_part(s, s->cur);
		if (s->n_bounds > 0 && s->bounds[s->n_bounds - 1].part == s->cur)
			str_fini(&s->bounds[--s->n_bounds].text);
		s->cur = s->cur->parent;
		s->depth--;
	}
}

/* Moves past the line of LEN bytes at P. */
static void pass_line(struct scan *s, const char *p, size_t len)
{
	s->before = s->at;
	pass_lines(&s->at, p, len);
	s->before.off = s->at.off - (p[len - 1] == '\n') - (len > 1 && p[len - 1] == '\n' && p[len - 2] == '\r');
}

static bool is_text(const char *p, const char *end, const struct bound *b)
{
	return (size_t)(end - p) >= b->text.len && memcmp(p, b->text.data, b->text.len) == 0;
}

/* The multipart with whose boundary the line at P (after "--") begins: that with the longest, of equal ones the
 * innermost (RFC 2046 section 5.1.2); -1 if there is none. */
static int find_bound(const struct scan *s, const char *p, const char *end)
{
	int best = -1;

	for (int i = s->n_bounds - 1; i >= 0; i--)
		if ((best < 0 || s->bounds[i].text.len > s->bounds[best].text.len) && is_text(p, end, &s->bounds[i]))
			best = i;
	return best;
}

static void append_child(struct scan *s, struct mime_part *parent, struct mime_part **last)
{
	struct mime_part *p = new_part(s->m, parent);

	p->in_digest = parent->digest;
	if (*last == NULL)
		parent->child = p;
	else
		(*last)->next = p;
	*last = p;
}

/* The line at P is a boundary of multipart number I. LAST: the newest part of each open multipart. */
static void at_boundary(struct scan *s, int i, const char *p, const char *end, struct mime_part **last)
{
	struct mime_part *multi = s->bounds[i].part;
	const char *rest = p + s->bounds[i].text.len;

	close_parts(s, multi, &s->before);
	pass_line(s, p - 2, (size_t)(end - (p - 2)));
	if (end - rest >= 2 && rest[0] == '-' && rest[1] == '-') {
		str_fini(&s->bounds[--s->n_bounds].text); /* an epilogue follows */
	} else if (has_room(s)) {
		append_child(s, multi, &last[i]);
		open_part(s, last[i]);
	}
}

static bool is_empty_line(const char *p, size_t len)
{
	return (len == 1 && *p == '\n') || (len == 2 && p[0] == '\r' && p[1] == '\n');
}

static void take_line(struct scan *s, const char *p, size_t len, struct mime_part **last)
{
	int i = -1;

	if (s->n_bounds > 0 && len > 2 && p[0] == '-' && p[1] == '-')
		i = find_bound(s, p + 2, p + len);
	if (i >= 0) {
		at_boundary(s, i, p + 2, p + len, last);
		return;
	}
	pass_line(s, p, len);
	if (s->in_header && is_empty_line(p, len)) {
		int n = s->n_bounds;

		end_header(s);
		if (s->n_bounds > n)
			last[n] = NULL;
	}
}

static void scan_message(struct scan *s)
{
	struct mime_part *last[MIME_DEPTH_MAX] = { NULL };
	const char *text = s->m->text;

	while (s->at.off < s->m->len) {
		const char *p = text + s->at.off;
		size_t left = s->m->len - s->at.off;
		const char *nl;

		if (!s->in_header && s->n_bounds == 0) { /* nothing more can begin: only count */
			pass_lines(&s->at, p, left);
			break;
		}
		nl = memchr(p, '\n', left);
		take_line(s, p, nl != NULL ? (size_t)(nl + 1 - p) : left, last);
	}
	close_parts(s, NULL, &s->at);
}

struct mime_part *mime_msg_root(struct mime_msg *m)
{
	if (m->root == NULL) {
		struct scan s = { .m = m };

		m->root = new_part(m, NULL);
		open_part(&s, m->root);
		scan_message(&s);
	}
	return m->root;
}
