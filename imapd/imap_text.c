/* Finds the texts of a SEARCH in one pass over a message. */
#include "imapd/imap_text.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "lib/mem.h"
#include "mime/addr.h"
#include "mime/charset.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/hdr.h"
#include "mime/param.h"
#include "mime/word.h"

enum {
	PIECE = 32 * 1024, /* bytes of a body searched at a time */
	LONG = 4 * PIECE,  /* longer than a piece becomes in UTF-8: only a header field can be */
	SHORT = 512        /* a longer window contains most letters */
};

/* --- the list --- */

/* A bit for each byte in TEXT (four bytes share one): TEXT cannot contain a text with other bits. That saves most
 * searches of a short field for one of many texts. */
static uint64_t letters_of(const char *text, size_t len)
{
	uint64_t letters = 0;

	for (size_t i = 0; i < len; i++)
		letters |= (uint64_t)1 << (text[i] & 63);
	return letters;
}

int imap_texts_add(struct imap_texts *t, enum imap_text_where where, const char *name, const char *p, size_t len)
{
	struct imap_text *x;

	if (t->n == IMAP_TEXTS_MAX)
		return -1;
	if (t->n == t->cap) {
		t->cap = t->cap == 0 ? 4 : t->cap * 2;
		t->text = mem_grow(t->text, t->cap * sizeof(*t->text));
	}
	x = &t->text[t->n];
	memset(x, 0, sizeof(*x));
	x->where = where;
	x->name = mem_strdup(name);
	x->name_len = name != NULL ? strlen(name) : 0;
	mime_fold(&x->folded, p, len);
	x->letters = letters_of(str_cstr(&x->folded), x->folded.len);
	return (int)t->n++;
}

void imap_texts_fini(struct imap_texts *t)
{
	for (size_t i = 0; i < t->n; i++) {
		mem_free(&t->text[i].name);
		str_fini(&t->text[i].folded);
	}
	mem_free(&t->text);
	mem_free(&t->order);
	mem_free(&t->pending);
	memset(t, 0, sizeof(*t));
}

void imap_texts_begin(struct imap_texts *t)
{
	if (!t->read_header && !t->read_body)
		return;
	for (size_t i = 0; i < t->n; i++)
		t->text[i].found = false;
	t->read_header = t->read_body = false;
}

/* Compares the LEN bytes at NAME with the name of X: by length, which usually differs, then by letters. */
static int compare_name(const char *name, size_t len, const struct imap_text *x)
{
	return len != x->name_len ? (len < x->name_len ? -1 : 1) : strncasecmp(name, x->name, len);
}

static int by_name(const void *a, const void *b)
{
	const struct imap_text *x = *(struct imap_text *const *)a, *y = *(struct imap_text *const *)b;

	return compare_name(x->name, x->name_len, y);
}

static void sort_names(struct imap_texts *t)
{
	if (t->order != NULL)
		return;
	t->order = mem_array(t->n, sizeof(struct imap_text *));
	t->pending = mem_array(t->n, sizeof(struct imap_text *));
	for (size_t i = 0; i < t->n; i++)
		if (t->text[i].name != NULL)
			t->order[t->n_named++] = &t->text[i];
	qsort(t->order, t->n_named, sizeof(t->order[0]), by_name);
}

/* --- finding the pending texts --- */

/* One reading of a message. */
struct reading {
	struct imap_texts *t;
	struct mime_msg *m;
	struct work *work;
	bool stopped;
	size_t n_values;   /* texts not found yet in fields of their name */
	size_t keep;       /* bytes at the end of a window that may hold the start of a text */
	struct str text;   /* decoded, in UTF-8 */
	struct str window; /* folded: the end of what was seen, then the new piece */
	uint64_t letters;  /* in the window */
};

static void set_pending(struct reading *r, enum imap_text_where where)
{
	struct imap_texts *t = r->t;

	t->n_pending = 0;
	r->keep = 0;
	for (size_t i = 0; i < t->n; i++) {
		struct imap_text *x = &t->text[i];

		if (x->found || (x->where != where && x->where != IMAP_TEXT_ANY))
			continue;
		t->pending[t->n_pending++] = x;
		r->keep = MAX(r->keep, x->folded.len);
	}
	r->keep -= r->keep > 0;
}

static void reading_fini(struct reading *r)
{
	str_fini(&r->text);
	str_fini(&r->window);
}

static bool is_over(const struct reading *r)
{
	return r->stopped || r->t->n_pending == 0;
}

static void count(struct reading *r, size_t bytes)
{
	if (r->work != NULL && !work_do(r->work, bytes))
		r->stopped = true;
}

static bool has(const struct reading *r, const struct imap_text *x)
{
	const struct str *text = &r->window;

	return x->folded.len == 0 ||
	    (text->len >= x->folded.len && (x->letters & ~r->letters) == 0 &&
	        memmem(text->data, text->len, x->folded.data, x->folded.len) != NULL);
}

/* Notes the letters of a complete window. */
static void know_letters(struct reading *r)
{
	r->letters = r->window.len > SHORT ? UINT64_MAX : letters_of(str_cstr(&r->window), r->window.len);
}

/* Counts a long window before each text: so work on a field of megabytes can stop between thousands of texts. */
static void count_long(struct reading *r)
{
	if (r->window.len > LONG)
		count(r, r->window.len / PIECE);
}

static void look(struct reading *r)
{
	struct imap_texts *t = r->t;

	for (size_t i = 0; i < t->n_pending && !r->stopped;) {
		count_long(r);
		t->pending[i]->found = has(r, t->pending[i]);
		if (t->pending[i]->found)
			t->pending[i] = t->pending[--t->n_pending];
		else
			i++;
	}
}

/* Searches the next LEN bytes of UTF-8 of a body that comes in pieces. */
static void add_piece(struct reading *r, const char *p, size_t len)
{
	mime_fold(&r->window, p, len);
	know_letters(r);
	look(r);
	if (r->window.len > r->keep)
		str_drop(&r->window, r->window.len - r->keep);
}

/* --- headers --- */

/* Makes raw header text, decoded and folded, the window. */
static void set_window(struct reading *r, const char *p, size_t len)
{
	str_clear(&r->text);
	str_clear(&r->window);
	mime_word_decode(&r->text, p, len, &r->m->charsets);
	mime_fold(&r->window, str_cstr(&r->text), r->text.len);
	know_letters(r);
}

/* The texts to find in fields with the name of H: the first, and how many. */
static struct imap_text **named(const struct imap_texts *t, const struct mime_hdr *h, size_t *n_out)
{
	size_t low = 0, high = t->n_named, n = 0;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare_name(h->name, h->name_len, t->order[mid]) > 0)
			low = mid + 1;
		else
			high = mid;
	}
	while (low + n < t->n_named && compare_name(h->name, h->name_len, t->order[low + n]) == 0)
		n++;
	*n_out = n;
	return t->order + low;
}

static void add_address(struct str *out, const struct mime_addr *a)
{
	if (a->kind == MIME_ADDR_GROUP_END)
		return;
	if (out->len > 0)
		str_adds(out, ", ");
	str_add(out, str_cstr(&a->name), a->name.len);
	if (!a->have_mailbox)
		return;
	if (a->have_name)
		str_addc(out, ' ');
	if (a->kind == MIME_ADDR_BOX)
		str_addc(out, '<');
	str_add(out, str_cstr(&a->mailbox), a->mailbox.len);
	if (a->have_host) {
		str_addc(out, '@');
		str_add(out, str_cstr(&a->host), a->host.len);
	}
	str_addc(out, a->kind == MIME_ADDR_BOX ? '>' : ':');
}

/* Makes what IMAP_TEXT_ADDRESS searches the window. */
static void set_addresses(struct reading *r, const struct mime_hdr *h)
{
	struct mime_addr a = { .kind = MIME_ADDR_BOX };
	struct str out = STR_INIT;
	struct mime_addr_iter it;

	mime_addr_begin(&it, h->value, h->value_len);
	while (mime_addr_next(&it, &a))
		add_address(&out, &a);
	mime_addr_fini(&a);
	if (h->value_len > 0 && memmem(h->value, h->value_len, "=?", 2) != NULL) {
		str_addc(&out, '\n');
		str_add(&out, h->value, h->value_len);
	}
	set_window(r, str_cstr(&out), out.len);
	str_fini(&out);
}

/* A quick upper bound of the letters in the window of set_addresses(): nearly all fields lack a letter of the texts,
 * and need not be parsed. */
static uint64_t letters_of_addresses(const struct mime_hdr *h)
{
	uint64_t letters = letters_of(" <>@,:", 6); /* what is put between them */

	for (size_t i = 0; i < h->value_len; i++) {
		unsigned char c = (unsigned char)h->value[i];

		if (c > 127 || c == '=') /* decodes to other letters */
			return UINT64_MAX;
		letters |= (uint64_t)1 << ((c >= 'A' && c <= 'Z' ? c | 0x20 : c) & 63);
	}
	return letters;
}

/* Searches H for those of the N texts at X that are of the kind WHERE. */
static void look_for_named(struct reading *r, const struct mime_hdr *h, enum imap_text_where where,
    struct imap_text **x, size_t n)
{
	uint64_t letters = where == IMAP_TEXT_ADDRESS && n > 0 ? letters_of_addresses(h) : UINT64_MAX;
	size_t missing = 0;

	for (size_t i = 0; i < n; i++)
		missing += x[i]->where == where && !x[i]->found && (x[i]->letters & ~letters) == 0;
	if (missing == 0)
		return;
	if (where == IMAP_TEXT_ADDRESS)
		set_addresses(r, h);
	else
		set_window(r, h->value, h->value_len);
	for (size_t i = 0; i < n && !r->stopped; i++) {
		count_long(r);
		if (x[i]->where == where && !x[i]->found && has(r, x[i])) {
			x[i]->found = true;
			r->n_values--;
		}
	}
}

static void look_in_value(struct reading *r, const struct mime_hdr *h)
{
	size_t n;
	struct imap_text **x = named(r->t, h, &n);

	look_for_named(r, h, IMAP_TEXT_HEADER, x, n);
	look_for_named(r, h, IMAP_TEXT_ADDRESS, x, n);
}

static void look_in_field(struct reading *r, const struct mime_hdr *h)
{
	if (r->t->n_pending == 0)
		return;
	set_window(r, h->start, h->len); /* the whole line, so that "Subject: x" is found */
	look(r);
}

static void read_header(struct reading *r, const char *text, size_t len)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, text, len);
	while (!r->stopped && (r->n_values > 0 || r->t->n_pending > 0) && mime_hdr_next(&it, &h)) {
		count(r, h.len);
		if (r->n_values > 0)
			look_in_value(r, &h);
		look_in_field(r, &h);
	}
}

/* --- bodies --- */

/* True for parts that people read: text/, and reports of message/ that are not messages. */
static bool is_readable(const struct mime_part *p, struct str *charset)
{
	struct str type = STR_INIT, subtype = STR_INIT;
	bool declared = mime_part_type(p, &type, &subtype);
	bool yes = strcasecmp(str_cstr(&type), "text") == 0 || strcasecmp(str_cstr(&type), "message") == 0;

	if (!yes || !declared || !mime_param_find(&p->type, "charset", charset))
		str_clear(charset);
	str_fini(&type);
	str_fini(&subtype);
	return yes;
}

static void read_content(struct reading *r, const struct mime_part *p, const char *charset)
{
	const char *text = r->m->text + p->body.off;
	struct mime_decoder decoder;
	struct mime_charset cs;
	struct str bytes = STR_INIT;

	str_clear(&r->window);
	mime_decoder_init(&decoder, mime_encoding_of(&p->encoding));
	mime_charset_begin(&cs, charset, &r->m->charsets);
	for (size_t at = 0, n; !is_over(r) && at < p->body.len; at += n) {
		n = MIN((size_t)PIECE, p->body.len - at);
		count(r, n);
		str_clear(&bytes);
		str_clear(&r->text);
		mime_decoder_add(&decoder, &bytes, text + at, n);
		if (at + n == p->body.len)
			mime_decoder_end(&decoder, &bytes);
		mime_charset_add(&cs, &r->text, str_cstr(&bytes), bytes.len);
		if (at + n < p->body.len)
			add_piece(r, str_cstr(&r->text), r->text.len);
	}
	mime_charset_end(&cs, &r->text);
	if (!is_over(r))
		add_piece(r, str_cstr(&r->text), r->text.len);
	str_fini(&bytes);
}

static void read_part(struct reading *r, const struct mime_part *p)
{
	struct str charset = STR_INIT;

	if (p->parent != NULL)
		read_header(r, r->m->text + p->hdr.off, p->hdr.len);
	if (p->kind == MIME_LEAF && p->body.len > 0 && !is_over(r) && is_readable(p, &charset))
		read_content(r, p, str_cstr(&charset));
	str_fini(&charset);
	for (const struct mime_part *c = p->child; c != NULL && !is_over(r); c = c->next)
		read_part(r, c);
}

/* --- results --- */

static void read_head(struct imap_texts *t, struct mime_msg *m, struct work *work)
{
	struct reading r = { .t = t, .m = m, .work = work };

	if (t->read_header)
		return;
	t->read_header = true;
	sort_names(t);
	set_pending(&r, IMAP_TEXT_ANY);
	r.n_values = t->n_named; /* none was found before */
	read_header(&r, m->text, m->len);
	reading_fini(&r);
}

static void read_body(struct imap_texts *t, struct mime_msg *m, struct work *work)
{
	struct reading r = { .t = t, .m = m, .work = work };

	if (t->read_body)
		return;
	t->read_body = true;
	sort_names(t);
	set_pending(&r, IMAP_TEXT_BODY);
	read_part(&r, mime_msg_root(m));
	reading_fini(&r);
}

bool imap_texts_find(struct imap_texts *t, struct mime_msg *m, size_t i, struct work *work)
{
	struct imap_text *x = &t->text[i];

	if (x->name == NULL && x->folded.len == 0)
		return true;
	if (!x->found && x->where != IMAP_TEXT_BODY)
		read_head(t, m, work);
	if (!x->found && x->name == NULL)
		read_body(t, m, work);
	return x->found;
}

bool imap_text_sent_day(const struct mime_msg *m, int64_t *day_out)
{
	struct mime_date d;
	struct mime_hdr h;

	if (!mime_hdr_find(m->text, m->len, "Date", &h) || !mime_date_parse(h.value, h.value_len, &d))
		return false;
	*day_out = mime_date_days(d.year, d.month, d.day);
	return true;
}
