/* The items of FETCH, and the reply for one message. */
#include "imapd/imap_fetch.h"

#include <string.h>

#include "imapd/imap_body.h"
#include "imapd/imap_date.h"
#include "imapd/imap_flags.h"
#include "imapd/imap_msg.h"
#include "lib/mem.h"
#include "maildir/md_parsed.h"

/* --- Items --- */

static const struct {
	const char *name;
	unsigned bits;
} macros[] = {
	{ "ALL", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE | FETCH_ENVELOPE },
	{ "FAST", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE },
	{ "FULL", FETCH_FLAGS | FETCH_INTERNALDATE | FETCH_SIZE | FETCH_ENVELOPE | FETCH_BODY },
}, items[] = {
	{ "UID", FETCH_UID },
	{ "FLAGS", FETCH_FLAGS },
	{ "INTERNALDATE", FETCH_INTERNALDATE },
	{ "RFC822.SIZE", FETCH_SIZE },
	{ "ENVELOPE", FETCH_ENVELOPE },
	{ "BODY", FETCH_BODY },
	{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE },
};

static const struct {
	const char *name;
	enum imap_section_kind kind;
	bool peek;
} old_sections[] = {
	{ "RFC822", IMAP_SECTION_ALL, false },
	{ "RFC822.HEADER", IMAP_SECTION_HEADER, true },
	{ "RFC822.TEXT", IMAP_SECTION_TEXT, false },
};

static struct imap_fetch_section *add_section(struct imap_fetch *f)
{
	if (f->n == IMAP_FETCH_SECTIONS_MAX)
		return NULL;
	if (f->n == f->cap) {
		f->cap = f->cap == 0 ? 4 : f->cap * 2;
		f->sections = mem_grow(f->sections, f->cap * sizeof(*f->sections));
	}
	memset(&f->sections[f->n], 0, sizeof(*f->sections));
	return &f->sections[f->n++];
}

/* Reads "<start.count>", if present. */
static bool read_partial(struct imap_fetch_section *sec, struct imap_lex *l)
{
	uint64_t start, count;

	if (imap_lex_char(l, '<') != 1)
		return true;
	if (imap_lex_number(l, UINT32_MAX, &start) != 1 || imap_lex_char(l, '.') != 1 ||
	    imap_lex_number(l, UINT32_MAX, &count) != 1 || count == 0 || imap_lex_char(l, '>') != 1)
		return false;
	sec->partial = true;
	sec->start = (uint32_t)start;
	sec->count = (uint32_t)count;
	return true;
}

/* Reads a section; L is after "BODY[" or "BODY.PEEK[". */
static const char *read_section(struct imap_fetch *f, struct imap_lex *l, bool peek)
{
	struct imap_fetch_section *sec = add_section(f);

	if (sec == NULL)
		return "Too many sections.";
	if (!imap_section_read(&sec->section, l)) {
		f->n--;
		return "Not a section of a message.";
	}
	if (sec->section.n_names > 0 && ++f->n_lists > IMAP_FETCH_LISTS_MAX)
		return "Too many lists of header names.";
	if (!peek)
		f->sets_seen = true;
	return read_partial(sec, l) ? NULL : "Not a partial like <0.1024>.";
}

static const char *add_old_section(struct imap_fetch *f, size_t i)
{
	struct imap_fetch_section *sec = add_section(f);

	if (sec == NULL)
		return "Too many sections.";
	sec->section.kind = old_sections[i].kind;
	sec->label = old_sections[i].name;
	if (!old_sections[i].peek)
		f->sets_seen = true;
	return NULL;
}

static const char *read_item(struct imap_fetch *f, struct imap_lex *l, bool macro)
{
	struct str name = STR_INIT;
	const char *wrong = "Unknown FETCH item.";
	bool found = imap_lex_name(l, &name) == 1;
	const char *text = str_cstr(&name);

	if (found && (strcmp(text, "BODY") == 0 || strcmp(text, "BODY.PEEK") == 0) && imap_lex_char(l, '[') == 1) {
		wrong = read_section(f, l, name.len > 4);
		found = false;
	}
	for (size_t i = 0; found && i < ARRAY_LEN(items); i++)
		if (strcmp(text, items[i].name) == 0) {
			f->items |= items[i].bits;
			wrong = NULL;
		}
	for (size_t i = 0; found && i < ARRAY_LEN(old_sections); i++)
		if (strcmp(text, old_sections[i].name) == 0)
			wrong = add_old_section(f, i);
	for (size_t i = 0; found && macro && i < ARRAY_LEN(macros); i++)
		if (strcmp(text, macros[i].name) == 0) {
			f->items |= macros[i].bits;
			wrong = NULL;
		}
	str_fini(&name);
	return wrong;
}

const char *imap_fetch_read(struct imap_fetch *f, struct imap_lex *l)
{
	const char *wrong;

	if (imap_lex_space(l) != 1)
		return "FETCH needs a list of items.";
	if (imap_lex_char(l, '(') != 1)
		return read_item(f, l, true);
	do {
		wrong = read_item(f, l, false);
	} while (wrong == NULL && imap_lex_space(l) == 1);
	if (wrong == NULL && imap_lex_char(l, ')') != 1)
		wrong = "The list of items has no end.";
	return wrong;
}

void imap_fetch_fini(struct imap_fetch *f)
{
	for (size_t i = 0; i < f->n; i++)
		imap_section_fini(&f->sections[i].section);
	mem_free(&f->sections);
	f->n = f->cap = 0;
}

/* --- The reply --- */

/* Adds a blank before each item but the first; after a literal there is one already. */
static void begin_item(struct str *out, const char *name)
{
	char last = out->data[out->len - 1];

	if (last != '(' && last != ' ')
		str_addc(out, ' ');
	str_adds(out, name);
}

static enum md_err add_date(struct str *out, struct imap_msg *msg)
{
	time_t t;
	enum md_err e = md_box_date(msg->box, msg->i, &t);

	if (e != MD_OK)
		return e;
	begin_item(out, "INTERNALDATE ");
	imap_date_print(out, t);
	return MD_OK;
}

static enum md_err add_size(struct str *out, struct imap_msg *msg)
{
	uint64_t octets;
	enum md_err e = imap_msg_octets(msg, &octets);

	if (e != MD_OK)
		return e;
	begin_item(out, "RFC822.SIZE ");
	str_addf(out, "%llu", (unsigned long long)octets);
	return MD_OK;
}

/* Adds BODY or BODYSTRUCTURE, from what was parsed before or from the text. */
static enum md_err add_body(struct str *out, struct imap_msg *msg, bool extended)
{
	enum md_parsed_kind kind = extended ? MD_PARSED_BODYSTRUCTURE : MD_PARSED_BODY;
	const char *p;
	size_t len, start;
	enum md_err e;

	begin_item(out, extended ? "BODYSTRUCTURE " : "BODY ");
	if (md_parsed_get(msg->box, msg->i, kind, &p, &len) && imap_body_valid(p, len)) {
		str_add(out, p, len);
		return MD_OK;
	}
	e = imap_msg_load(msg);
	if (e != MD_OK)
		return e;
	start = out->len;
	imap_body_add(out, &msg->mime, extended);
	md_parsed_put(msg->box, msg->i, kind, out->data + start, out->len - start);
	return MD_OK;
}

/* Adds all items that are not sections. */
static enum md_err add_items(struct imap_session *s, struct str *out, unsigned want, struct imap_msg *msg)
{
	enum md_err e = MD_OK;

	if ((want & FETCH_UID) != 0) {
		begin_item(out, "UID ");
		str_addf(out, "%u", md_box_uid(s->box, msg->i));
	}
	if ((want & FETCH_FLAGS) != 0) {
		begin_item(out, "FLAGS ");
		imap_flags_add(out, s->box, msg->i);
	}
	if ((want & FETCH_INTERNALDATE) != 0 && (e = add_date(out, msg)) != MD_OK)
		return e;
	if ((want & FETCH_SIZE) != 0 && (e = add_size(out, msg)) != MD_OK)
		return e;
	if ((want & FETCH_ENVELOPE) != 0) {
		begin_item(out, "ENVELOPE ");
		imap_envelope_add(out, msg->mime.text, msg->mime.len);
	}
	if ((want & FETCH_BODY) != 0 && (e = add_body(out, msg, false)) != MD_OK)
		return e;
	return (want & FETCH_BODYSTRUCTURE) != 0 ? add_body(out, msg, true) : MD_OK;
}

static bool put_piece(void *ctx, const char *p, size_t len)
{
	return bio_put(ctx, p, len);
}

static void count_served(struct imap_session *s, const struct imap_section *section, uint64_t size)
{
	bool body = section->kind == IMAP_SECTION_ALL || section->kind == IMAP_SECTION_TEXT;

	*(body ? &s->start->counters->body : &s->start->counters->headers) += size;
}

/* Puts one section: first what was collected in OUT, then the text, which is not collected. */
static void put_section(struct imap_session *s, struct str *out, struct imap_fetch_section *sec, struct imap_msg *msg)
{
	uint64_t start = sec->partial ? sec->start : 0, count = sec->partial ? sec->count : UINT64_MAX, size;
	struct imap_wire wire = { 0 };

	begin_item(out, sec->label != NULL ? sec->label : "BODY");
	if (sec->label == NULL)
		imap_section_print(out, &sec->section);
	if (sec->partial)
		str_addf(out, "<%u>", sec->start);
	if (!imap_section_find(&msg->mime, &sec->section, &wire)) {
		str_adds(out, " NIL");
		return;
	}
	size = imap_wire_part_size(&wire, start, count);
	str_addf(out, " {%llu}\r\n", (unsigned long long)size);
	imap_put(s, out);
	str_clear(out);
	imap_wire_write(&wire, start, count, put_piece, &s->io);
	count_served(s, &sec->section, size);
	str_addc(out, ' '); /* begin_item() needs a last byte; removed at the end */
}

static void put_sections(struct imap_session *s, struct str *out, const struct imap_fetch *f, struct imap_msg *msg)
{
	for (size_t k = 0; k < f->n && !s->io.out_failed; k++)
		put_section(s, out, &f->sections[k], msg);
}

/* Sets \Seen if the items imply it. True if that changed it. */
static bool set_seen(struct imap_session *s, const struct imap_fetch *f, size_t i)
{
	enum md_err e;

	if (!f->sets_seen || s->examine || (md_box_flags(s->box, i) & MD_SEEN) != 0)
		return false;
	e = md_box_store(s->box, i, MD_STORE_ADD, MD_SEEN, NULL, 0);
	if (e != MD_OK && e != MD_GONE && !s->trouble_said) {
		s->trouble_said = true;
		imap_md_log(s, e, "setting \\Seen");
	}
	if (e == MD_OK)
		(void)md_box_take_changed(s->box, i); /* the reply shows the flags */
	return e == MD_OK;
}

static bool is_of_header(const struct imap_section *s)
{
	return s->n_path == 0 &&
	    (s->kind == IMAP_SECTION_HEADER || s->kind == IMAP_SECTION_FIELDS || s->kind == IMAP_SECTION_FIELDS_NOT);
}

/* Loads what the items other than BODY and BODYSTRUCTURE need of the text. */
static enum md_err load(const struct imap_fetch *f, struct imap_msg *msg)
{
	for (size_t k = 0; k < f->n; k++)
		if (!is_of_header(&f->sections[k].section))
			return imap_msg_load(msg);
	return f->n != 0 || (f->items & FETCH_ENVELOPE) != 0 ? imap_msg_load_header(msg) : MD_OK;
}

enum md_err imap_fetch_put(struct imap_session *s, const struct imap_fetch *f, size_t i)
{
	unsigned want = f->items | (s->uid ? FETCH_UID : 0);
	struct str out = STR_INIT;
	struct imap_msg msg;
	enum md_err e;

	imap_msg_init(&msg, s->box, i);
	e = load(f, &msg);
	work_do(&s->work, msg.len); /* if this says stop, the caller stops between messages */
	if (e == MD_OK && set_seen(s, f, i))
		want |= FETCH_FLAGS;
	if (e == MD_OK) {
		str_addf(&out, "* %zu FETCH (", i + 1);
		e = add_items(s, &out, want, &msg);
	}
	if (e == MD_OK) {
		put_sections(s, &out, f, &msg);
		if (out.data[out.len - 1] == ' ')
			out.len--;
		str_adds(&out, ")\r\n");
		imap_put(s, &out);
	}
	imap_msg_fini(&msg);
	str_fini(&out);
	return e;
}
