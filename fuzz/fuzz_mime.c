/* A message of any bytes: its tree has valid sizes, every section is as long as announced, a piece of it is part of the
 * whole, and what IMAP sends of it has no NUL. */
#include <stdlib.h>
#include <string.h>

#include "imapd/imap_body.h"
#include "imapd/imap_section.h"
#include "imapd/imap_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(const struct mime_msg *m, const struct mime_span *s)
{
	if (s->off > m->len || s->len > m->len - s->off || s->wire != mime_wire_size(m->text + s->off, s->len))
		abort();
}

static void check_part(const struct mime_msg *m, const struct mime_part *p, int depth)
{
	if (depth > MIME_DEPTH_MAX)
		abort();
	check_span(m, &p->hdr);
	check_span(m, &p->body);
	if ((p->kind != MIME_LEAF) != (p->child != NULL) || p->hdr.off + p->hdr.len != p->body.off)
		abort();
	if (p->kind == MIME_MESSAGE && p->child->hdr.wire + p->child->body.wire != p->body.wire)
		abort();
	for (const struct mime_part *c = p->child; c != NULL; c = c->next)
		check_part(m, c, depth + 1);
}

/* An imap_wire_fn that appends to CTX, a string. */
static bool append(void *ctx, const char *p, size_t len)
{
	str_add(ctx, p, len);
	return true;
}

static void check_section(struct mime_msg *m, const char *spec)
{
	struct imap_section s;
	struct str out = STR_INIT, part = STR_INIT;
	struct imap_wire w;
	struct imap_lex l;
	uint64_t size;

	imap_lex_init(&l, spec, strlen(spec));
	if (!imap_section_read(&s, &l))
		abort();
	if (imap_section_find(m, &s, &w)) {
		size = imap_wire_size(&w);
		imap_wire_write(&w, 0, UINT64_MAX, append, &out);
		if (out.len != size)
			abort();
		imap_wire_write(&w, size / 3, size / 2, append, &part);
		if (part.len != imap_wire_part_size(&w, size / 3, size / 2) ||
		    (part.len != 0 && memcmp(part.data, out.data + size / 3, part.len) != 0))
			abort();
	}
	str_fini(&part);
	str_fini(&out);
	imap_section_fini(&s);
}

static void add_text(struct imap_texts *t, size_t i, const char *text, size_t len)
{
	static const struct {
		enum imap_text_where where;
		const char *name;
	} kinds[] = { { IMAP_TEXT_HEADER, "Subject" }, { IMAP_TEXT_BODY, NULL }, { IMAP_TEXT_ANY, NULL },
		{ IMAP_TEXT_ADDRESS, "From" } };

	imap_texts_add(t, kinds[i % 4].where, kinds[i % 4].name, text, i < 4 ? len : len / 2);
}

static bool found_among(struct imap_texts *t, struct mime_msg *m, size_t i)
{
	m->charsets.n = 0;
	return imap_texts_find(t, m, i, NULL);
}

static void check_search(struct mime_msg *m, const char *text, size_t len)
{
	struct imap_texts all = { 0 };
	int64_t day;

	for (size_t i = 0; i < 8; i++)
		add_text(&all, i, text, len);
	/* Searched together or alone, the texts are found equally, in any order. */
	for (size_t i = 0; i < 8; i++) {
		struct imap_texts one = { 0 };

		m->charsets.n = 0;
		add_text(&one, 7 - i, text, len);
		if (imap_texts_find(&one, m, 0, NULL) != found_among(&all, m, 7 - i))
			abort();
		imap_texts_fini(&one);
	}
	imap_texts_fini(&all);
	imap_text_sent_day(m, &day);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const specs[] = { "]", "HEADER]", "TEXT]", "1]", "1.MIME]", "1.HEADER]", "1.1]", "2.1.TEXT]",
		"HEADER.FIELDS (To Subject Date)]", "1.HEADER.FIELDS.NOT (To)]" };
	struct str out = STR_INIT;
	struct mime_msg m;

	mime_msg_init(&m, (const char *)data, size);
	check_part(&m, mime_msg_root(&m), 1);
	imap_envelope_add(&out, m.text, m.len);
	imap_body_add(&out, &m, true);
	imap_body_add(&out, &m, false);
	if (memchr(out.data, '\0', out.len) != NULL)
		abort();
	for (size_t i = 0; i < ARRAY_LEN(specs); i++)
		check_section(&m, specs[i]);
	check_search(&m, "ab", 2);
	str_fini(&out);
	mime_msg_fini(&m);
	return 0;
}
