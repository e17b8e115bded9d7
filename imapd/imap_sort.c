/* Sorts messages. */
#include "imapd/imap_sort.h"

#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "mime/addr.h"
#include "mime/collate.h"
#include "mime/date.h"
#include "mime/hdr.h"
#include "mime/subject.h"
#include "mime/word.h"

/* In the order of their names. */
static const struct {
	const char *name;
	const char *field; /* of the header; NULL: the header is not needed */
} criteria[IMAP_SORT_COUNT] = {
	[IMAP_SORT_ARRIVAL] = { "ARRIVAL", NULL },
	[IMAP_SORT_CC] = { "CC", "Cc" },
	[IMAP_SORT_DATE] = { "DATE", "Date" },
	[IMAP_SORT_DISPLAYFROM] = { "DISPLAYFROM", "From" },
	[IMAP_SORT_DISPLAYTO] = { "DISPLAYTO", "To" },
	[IMAP_SORT_FROM] = { "FROM", "From" },
	[IMAP_SORT_SIZE] = { "SIZE", NULL },
	[IMAP_SORT_SUBJECT] = { "SUBJECT", "Subject" },
	[IMAP_SORT_TO] = { "TO", "To" },
};

/* What a criterion compares: a number, or a text in struct imap_sort's texts. */
struct value {
	int64_t number; /* of a text: where it is */
	uint32_t len;
};

struct imap_sort {
	struct imap_sort_program program;
	bool needs_header;
	uint32_t *index;      /* in the mailbox, of each message; sorted at the end */
	struct value *values; /* program.n of each message */
	size_t n, cap;
	struct str texts;
	uint32_t *result;
};

bool imap_sort_program_add(struct imap_sort_program *program, const char *name, bool reverse)
{
	size_t by = 0;

	while (by < IMAP_SORT_COUNT && strcmp(criteria[by].name, name) != 0)
		by++;
	if (by == IMAP_SORT_COUNT)
		return false;
	for (size_t i = 0; i < program->n; i++)
		if (program->keys[i].by == (enum imap_sort_by)by)
			return true;
	program->keys[program->n].by = (enum imap_sort_by)by;
	program->keys[program->n++].reverse = reverse;
	return true;
}

struct imap_sort *imap_sort_new(const struct imap_sort_program *program)
{
	struct imap_sort *sort = mem_alloc(sizeof(*sort));

	sort->program = *program;
	for (size_t i = 0; i < program->n; i++)
		sort->needs_header |= criteria[program->keys[i].by].field != NULL;
	return sort;
}

void imap_sort_free(struct imap_sort **sort)
{
	if (*sort == NULL)
		return;
	mem_free(&(*sort)->index);
	mem_free(&(*sort)->values);
	mem_free(&(*sort)->result);
	str_fini(&(*sort)->texts);
	mem_free(sort);
}

/* --- what is compared --- */

enum md_err imap_sent_date(struct imap_msg *msg, int64_t *sent)
{
	struct mime_date d;
	struct mime_hdr h;
	time_t t = 0;
	enum md_err e;

	if (mime_hdr_find(msg->mime.text, msg->mime.len, "Date", &h) && mime_date_parse(h.value, h.value_len, &d)) {
		*sent = mime_date_time(&d);
		return MD_OK;
	}
	e = md_box_date(msg->box, msg->i, &t);
	*sent = t;
	return e;
}

/* Adds what a client shows of the address (RFC 5957): its name, or else the address. */
static void add_display(struct str *out, const struct mime_addr *a, struct mime_charsets *set)
{
	if (a->have_name && a->name.len > 0) {
		mime_word_decode(out, a->name.data, a->name.len, set);
		return;
	}
	str_add(out, str_cstr(&a->mailbox), a->mailbox.len);
	if (a->have_host) {
		str_addc(out, '@');
		str_add(out, str_cstr(&a->host), a->host.len);
	}
}

/* Adds what the criterion BY compares of the first address in H. */
static void add_address(struct str *out, const struct mime_hdr *h, enum imap_sort_by by, struct mime_charsets *set)
{
	struct mime_addr a = { .kind = MIME_ADDR_BOX };
	struct mime_addr_iter it;

	mime_addr_begin(&it, h->value, h->value_len);
	if (mime_addr_next(&it, &a)) {
		if (by == IMAP_SORT_DISPLAYFROM || by == IMAP_SORT_DISPLAYTO)
			add_display(out, &a, set);
		else
			str_add(out, str_cstr(&a.mailbox), a.mailbox.len);
	}
	mime_addr_fini(&a);
}

static struct value text_value(struct imap_sort *sort, struct imap_msg *msg, enum imap_sort_by by)
{
	struct value v = { (int64_t)sort->texts.len, 0 };
	struct str text = STR_INIT;
	struct mime_hdr h;

	if (mime_hdr_find(msg->mime.text, msg->mime.len, criteria[by].field, &h)) {
		if (by == IMAP_SORT_SUBJECT)
			(void)mime_base_subject(&text, h.value, h.value_len, &msg->mime.charsets);
		else
			add_address(&text, &h, by, &msg->mime.charsets);
		mime_collate(&sort->texts, str_cstr(&text), text.len);
	}
	str_fini(&text);
	v.len = (uint32_t)MIN(sort->texts.len - (size_t)v.number, (size_t)UINT32_MAX);
	return v;
}

static enum md_err find_value(struct imap_sort *sort, struct imap_msg *msg, enum imap_sort_by by, struct value *v)
{
	uint64_t octets = 0;
	time_t t = 0;
	enum md_err e;

	v->len = 0;
	switch (by) {
	case IMAP_SORT_ARRIVAL:
		e = md_box_date(msg->box, msg->i, &t);
		v->number = t;
		return e;
	case IMAP_SORT_SIZE:
		e = imap_msg_octets(msg, &octets);
		v->number = (int64_t)octets;
		return e;
	case IMAP_SORT_DATE:
		return imap_sent_date(msg, &v->number);
	default:
		*v = text_value(sort, msg, by);
		return MD_OK;
	}
}

enum md_err imap_sort_add(struct imap_sort *sort, struct imap_msg *msg)
{
	enum md_err e = sort->needs_header ? imap_msg_load_header(msg) : MD_OK;

	if (sort->n == sort->cap) {
		sort->cap = sort->cap == 0 ? 256 : sort->cap * 2;
		sort->index = mem_grow(sort->index, sort->cap * sizeof(*sort->index));
		sort->values = mem_grow(sort->values, (sort->cap * sort->program.n + 1) * sizeof(*sort->values));
	}
	for (size_t k = 0; e == MD_OK && k < sort->program.n; k++)
		e = find_value(sort, msg, sort->program.keys[k].by, &sort->values[sort->n * sort->program.n + k]);
	if (e == MD_OK)
		sort->index[sort->n++] = (uint32_t)msg->i;
	return e;
}

/* --- the order --- */

static bool is_number(enum imap_sort_by by)
{
	return by == IMAP_SORT_ARRIVAL || by == IMAP_SORT_DATE || by == IMAP_SORT_SIZE;
}

static int compare(const struct imap_sort *sort, enum imap_sort_by by, const struct value *x, const struct value *y)
{
	const char *texts = str_cstr(&sort->texts);
	int c;

	if (is_number(by))
		return (x->number > y->number) - (x->number < y->number);
	c = memcmp(texts + x->number, texts + y->number, MIN(x->len, y->len));
	return c != 0 ? c : (x->len > y->len) - (x->len < y->len);
}

static int by_program(const void *a, const void *b, void *arg)
{
	const struct imap_sort *sort = arg;
	uint32_t i = *(const uint32_t *)a, k = *(const uint32_t *)b;
	const struct value *x = sort->values + i * sort->program.n, *y = sort->values + k * sort->program.n;

	for (size_t at = 0; at < sort->program.n; at++) {
		int c = compare(sort, sort->program.keys[at].by, &x[at], &y[at]);

		if (c != 0)
			return sort->program.keys[at].reverse ? -c : c;
	}
	return (i > k) - (i < k);
}

const uint32_t *imap_sort_result(struct imap_sort *sort, size_t *n)
{
	mem_free(&sort->result);
	sort->result = mem_array(sort->n + 1, sizeof(*sort->result));
	for (size_t i = 0; i < sort->n; i++)
		sort->result[i] = (uint32_t)i;
	qsort_r(sort->result, sort->n, sizeof(*sort->result), by_program, sort);
	for (size_t i = 0; i < sort->n; i++)
		sort->result[i] = sort->index[sort->result[i]];
	*n = sort->n;
	return sort->result;
}
