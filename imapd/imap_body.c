/* A parsed message as ENVELOPE, BODY and BODYSTRUCTURE. */
#include "imapd/imap_body.h"

#include <string.h>
#include <strings.h>

#include "mime/addr.h"
#include "mime/ctype.h"
#include "mime/hdr.h"
#include "mime/param.h"

/* Addresses, parameters (MIME_PARAMS_MAX) and languages of two bytes become some twenty bytes of output. Each has a
 * limit, so that no sender can make a reply many times the size of the message; the rest is left out. */
enum {
	QUOTED_MAX = 1000,     /* longer strings go as literals: some clients read lines into small buffers */
	ADDRESSES_MAX = 20000, /* in all lists of one reply together */
	LANGUAGES_MAX = 100,   /* in one field */
};

static bool can_quote(const char *p, size_t len)
{
	if (len > QUOTED_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] > 127 || p[i] == '\r' || p[i] == '\n')
			return false;
	return true;
}

static void add_quoted(struct str *out, const char *p, size_t len)
{
	str_addc(out, '"');
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '"' || p[i] == '\\')
			str_addc(out, '\\');
		if (p[i] != '\0')
			str_addc(out, p[i]);
	}
	str_addc(out, '"');
}

void imap_string_add(struct str *out, const char *p, size_t len)
{
	size_t nuls = 0;

	if (can_quote(p, len)) {
		add_quoted(out, p, len);
		return;
	}
	for (size_t i = 0; i < len; i++)
		nuls += p[i] == '\0';
	str_addf(out, "{%zu}\r\n", len - nuls);
	for (size_t i = 0; i < len; i++)
		if (p[i] != '\0')
			str_addc(out, p[i]);
}

void imap_nstring_add(struct str *out, const char *p, size_t len)
{
	if (p == NULL)
		str_adds(out, "NIL");
	else
		imap_string_add(out, p, len);
}

static void add_str(struct str *out, const struct str *s)
{
	imap_string_add(out, str_cstr(s), s->len);
}

/* A field value as one unfolded string, or NIL if the message has no such field. */
static void add_text(struct str *out, const struct mime_text *t)
{
	struct str s = STR_INIT;

	if (t->p == NULL) {
		str_adds(out, "NIL");
		return;
	}
	mime_hdr_unfold(&s, t->p, t->len);
	add_str(out, &s);
	str_fini(&s);
}

/* --- ENVELOPE --- */

static void add_address(struct str *out, const struct mime_addr *a)
{
	bool box = a->kind == MIME_ADDR_BOX;

	str_addc(out, '(');
	imap_nstring_add(out, a->have_name ? str_cstr(&a->name) : NULL, a->name.len);
	str_addc(out, ' ');
	imap_nstring_add(out, a->have_adl ? str_cstr(&a->adl) : NULL, a->adl.len);
	str_addc(out, ' ');
	imap_nstring_add(out, a->have_mailbox || box ? str_cstr(&a->mailbox) : NULL, a->mailbox.len);
	str_addc(out, ' ');
	/* NIL would mean a group: without a host it is "" */
	imap_nstring_add(out, a->have_host || box ? str_cstr(&a->host) : NULL, a->host.len);
	str_addc(out, ')');
}

/* A list of addresses that is being written. */
struct list {
	struct str *out;
	size_t n;
	size_t *left; /* addresses that the reply may still have */
};

/* Adds the addresses of one field; the first one opens the list. */
static void add_field_addresses(struct list *l, const struct mime_text *field)
{
	struct mime_addr a = { .kind = MIME_ADDR_BOX };
	struct mime_addr_iter it;

	mime_addr_begin(&it, field->p, field->len);
	while (*l->left > 0 && mime_addr_next(&it, &a)) {
		if (l->n++ == 0)
			str_addc(l->out, '(');
		--*l->left;
		add_address(l->out, &a);
	}
	if (it.in_group) { /* the list was cut within a group */
		mime_addr_begin(&it, "", 0);
		it.in_group = true;
		if (mime_addr_next(&it, &a))
			add_address(l->out, &a);
	}
	mime_addr_fini(&a);
}

static void end_addresses(const struct list *l)
{
	str_adds(l->out, l->n > 0 ? ")" : "NIL");
}

/* Adds a list from one field; from FALLBACK if there is none or it is empty. */
static void add_addresses(struct str *out, const struct mime_text *field, const struct mime_text *fallback,
    size_t *left)
{
	struct list l = { out, 0, left };

	if (field->p != NULL)
		add_field_addresses(&l, field);
	if (l.n == 0 && fallback != NULL && fallback->p != NULL)
		add_field_addresses(&l, fallback);
	end_addresses(&l);
}

/* Adds a list from all fields named NAME: some programs write one for each recipient. */
static void add_all_addresses(struct str *out, const char *text, size_t len, const char *name, size_t *left)
{
	struct list l = { out, 0, left };
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, text, len);
	while (mime_hdr_next(&it, &h)) {
		struct mime_text value = { h.value, h.value_len };

		if (mime_hdr_is(&h, name))
			add_field_addresses(&l, &value);
	}
	end_addresses(&l);
}

enum { ENV_DATE, ENV_SUBJECT, ENV_FROM, ENV_SENDER, ENV_REPLY_TO, ENV_IN_REPLY_TO, ENV_MESSAGE_ID, ENV_COUNT };

/* Finds the first field of each kind that an envelope has once. */
static void find_fields(struct mime_text fields[ENV_COUNT], const char *text, size_t len)
{
	static const char *const names[ENV_COUNT] = { "Date", "Subject", "From", "Sender", "Reply-To", "In-Reply-To",
		"Message-ID" };
	struct mime_hdr_iter it;
	struct mime_hdr h;

	memset(fields, 0, ENV_COUNT * sizeof(fields[0]));
	mime_hdr_begin(&it, text, len);
	while (mime_hdr_next(&it, &h))
		for (int i = 0; i < ENV_COUNT; i++)
			if (fields[i].p == NULL && mime_hdr_is(&h, names[i]))
				fields[i] = (struct mime_text){ h.value, h.value_len };
}

static void add_envelope(struct str *out, const char *text, size_t len, size_t *left)
{
	struct mime_text f[ENV_COUNT];

	len = mime_hdr_len(text, len);
	find_fields(f, text, len);
	str_addc(out, '(');
	add_text(out, &f[ENV_DATE]);
	str_addc(out, ' ');
	add_text(out, &f[ENV_SUBJECT]);
	str_addc(out, ' ');
	add_addresses(out, &f[ENV_FROM], NULL, left);
	str_addc(out, ' ');
	add_addresses(out, &f[ENV_SENDER], &f[ENV_FROM], left);
	str_addc(out, ' ');
	add_addresses(out, &f[ENV_REPLY_TO], &f[ENV_FROM], left);
	str_addc(out, ' ');
	add_all_addresses(out, text, len, "To", left);
	str_addc(out, ' ');
	add_all_addresses(out, text, len, "Cc", left);
	str_addc(out, ' ');
	add_all_addresses(out, text, len, "Bcc", left);
	str_addc(out, ' ');
	add_text(out, &f[ENV_IN_REPLY_TO]);
	str_addc(out, ' ');
	add_text(out, &f[ENV_MESSAGE_ID]);
	str_addc(out, ')');
}

void imap_envelope_add(struct str *out, const char *text, size_t len)
{
	size_t left = ADDRESSES_MAX;

	add_envelope(out, text, len, &left);
}

/* --- BODY, BODYSTRUCTURE --- */

/* The output for all parts of a message. */
struct body {
	struct str *out;
	const char *text; /* of the message */
	bool extended;
	size_t addresses; /* that its envelopes may still have */
};

static void add_pair(struct str *out, const struct str *name, const struct str *value, bool first)
{
	str_addc(out, first ? '(' : ' ');
	add_str(out, name);
	str_addc(out, ' ');
	add_str(out, value);
}

/* Adds the parameters of a field value, or NIL. NEED_CHARSET: adds a charset if it has none. */
static void add_params(struct str *out, const struct mime_text *value, bool need_charset)
{
	struct mime_params params;
	bool first = true;

	mime_params_read(&params, value);
	for (size_t i = 0; i < params.n; i++) {
		const char *name = str_cstr(&params.v[i].name);

		add_pair(out, &params.v[i].name, &params.v[i].value, first);
		first = false;
		if (strcasecmp(name, "charset") == 0 || strcasecmp(name, "charset*") == 0)
			need_charset = false;
	}
	mime_params_fini(&params);
	if (need_charset) {
		str_adds(out, first ? "(" : " ");
		str_adds(out, "\"charset\" \"us-ascii\"");
		first = false;
	}
	str_adds(out, first ? "NIL" : ")");
}

static void add_disposition(struct str *out, const struct mime_text *value)
{
	struct str word = STR_INIT;
	struct mime_ctype c;

	mime_ctype_begin(&c, value);
	if (value->p == NULL || !mime_ctype_word(&c, &word)) {
		str_adds(out, "NIL");
	} else {
		str_addc(out, '(');
		add_str(out, &word);
		str_addc(out, ' ');
		add_params(out, value, false);
		str_addc(out, ')');
	}
	str_fini(&word);
}

/* NIL, one string, or a list of them. */
static void add_language(struct str *out, const struct mime_text *value)
{
	struct str word = STR_INIT;
	struct mime_ctype c;
	size_t start = out->len, n = 0;

	mime_ctype_begin(&c, value);
	while (n < LANGUAGES_MAX && mime_ctype_next_word(&c, &word)) {
		if (n++ > 0)
			str_addc(out, ' ');
		else
			str_addc(out, '(');
		add_str(out, &word);
	}
	if (n == 0)
		str_adds(out, "NIL");
	else if (n > 1)
		str_addc(out, ')');
	else { /* a single one has no parentheses */
		memmove(out->data + start, out->data + start + 1, out->len - start);
		out->len--;
	}
	str_fini(&word);
}

static void add_encoding(struct str *out, const struct mime_text *value)
{
	struct str word = STR_INIT;
	struct mime_ctype c;

	mime_ctype_begin(&c, value);
	if (value->p == NULL || !mime_ctype_word(&c, &word) || word.len == 0) {
		str_clear(&word);
		str_adds(&word, "7bit");
	}
	add_str(out, &word);
	str_fini(&word);
}

/* Disposition, language and location: the end of both kinds of extension data. */
static void add_extension(struct str *out, const struct mime_part *p)
{
	str_addc(out, ' ');
	add_disposition(out, &p->disposition);
	str_addc(out, ' ');
	add_language(out, &p->language);
	str_addc(out, ' ');
	add_text(out, &p->location);
}

static void add_part(struct body *b, const struct mime_part *p);

static void add_multipart(struct body *b, const struct mime_part *p)
{
	struct str type = STR_INIT, subtype = STR_INIT, *out = b->out;

	mime_part_type(p, &type, &subtype);
	for (const struct mime_part *c = p->child; c != NULL; c = c->next)
		add_part(b, c);
	str_addc(out, ' ');
	add_str(out, &subtype);
	if (b->extended) {
		str_addc(out, ' ');
		add_params(out, &p->type, false);
		add_extension(out, p);
	}
	str_fini(&type);
	str_fini(&subtype);
}

/* Adds what follows the size of a text or a message. */
static void add_inner(struct body *b, const struct mime_part *p, bool is_text)
{
	if (p->kind == MIME_MESSAGE) {
		str_addc(b->out, ' ');
		add_envelope(b->out, b->text + p->child->hdr.off, p->child->hdr.len, &b->addresses);
		str_addc(b->out, ' ');
		add_part(b, p->child);
	}
	if (is_text || p->kind == MIME_MESSAGE)
		str_addf(b->out, " %llu", (unsigned long long)p->body.lines);
}

static void add_leaf(struct body *b, const struct mime_part *p)
{
	static const struct mime_text none = { NULL, 0 };
	struct str type = STR_INIT, subtype = STR_INIT, *out = b->out;
	bool declared = mime_part_type(p, &type, &subtype), is_text = strcasecmp(str_cstr(&type), "text") == 0;

	add_str(out, &type);
	str_addc(out, ' ');
	add_str(out, &subtype);
	str_addc(out, ' ');
	add_params(out, declared ? &p->type : &none, is_text);
	str_addc(out, ' ');
	add_text(out, &p->id);
	str_addc(out, ' ');
	add_text(out, &p->description);
	str_addc(out, ' ');
	add_encoding(out, &p->encoding);
	str_addf(out, " %llu", (unsigned long long)p->body.wire);
	add_inner(b, p, is_text);
	if (b->extended) {
		str_addc(out, ' ');
		add_text(out, &p->md5);
		add_extension(out, p);
	}
	str_fini(&type);
	str_fini(&subtype);
}

static void add_part(struct body *b, const struct mime_part *p)
{
	str_addc(b->out, '(');
	if (p->kind == MIME_MULTIPART)
		add_multipart(b, p);
	else
		add_leaf(b, p);
	str_addc(b->out, ')');
}

void imap_body_add(struct str *out, struct mime_msg *m, bool extended)
{
	struct body b = { out, m->text, extended, ADDRESSES_MAX };

	add_part(&b, mime_msg_root(m));
}

/* --- a body structure from outside --- */

/* The bytes of the quoted string at P, with its quotes; 0: it is none. */
static size_t quoted_len(const char *p, size_t len)
{
	for (size_t i = 1; i < len; i++) {
		if (p[i] == '"')
			return i + 1;
		if (p[i] == '\\' && (++i == len || (p[i] != '"' && p[i] != '\\')))
			return 0;
		if (p[i] == '\r' || p[i] == '\n' || p[i] == '\0')
			return 0;
	}
	return 0;
}

/* The bytes of the literal at P; 0: it is none. */
static size_t literal_len(const char *p, size_t len)
{
	uint64_t n = 0;
	size_t i = 1;

	while (i < len && p[i] >= '0' && p[i] <= '9' && n <= len)
		n = n * 10 + (uint64_t)(p[i++] - '0');
	if (i == 1 || len - i < 3 || memcmp(p + i, "}\r\n", 3) != 0 || n > len - i - 3 ||
	    memchr(p + i + 3, '\0', (size_t)n) != NULL)
		return 0;
	return i + 3 + (size_t)n;
}

/* The bytes of the string, number or NIL at P; 0: it is none of them. */
static size_t atom_len(const char *p, size_t len)
{
	size_t n = 0;

	if (*p == '"')
		return quoted_len(p, len);
	if (*p == '{')
		return literal_len(p, len);
	if (len >= 3 && memcmp(p, "NIL", 3) == 0)
		return 3;
	while (n < len && p[n] >= '0' && p[n] <= '9')
		n++;
	return n;
}

bool imap_body_valid(const char *p, size_t len)
{
	size_t depth = 0, i = 0, n;

	if (len == 0 || p[0] != '(')
		return false;
	while (i < len) {
		if (p[i] == '(') {
			depth++;
			n = 1;
		} else if (p[i] == ')') {
			if (--depth == 0)
				return i + 1 == len;
			n = 1;
		} else if (p[i] == ' ' && p[i - 1] != '(' && p[i - 1] != ' ') {
			n = 1;
		} else {
			n = atom_len(p + i, len - i);
		}
		if (n == 0)
			return false;
		i += n;
	}
	return false;
}
