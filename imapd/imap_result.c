/* The results of SEARCH and SORT. */
#include "imapd/imap_result.h"

#include <stdlib.h>
#include <string.h>

#include "imapd/imap_body.h"
#include "lib/mem.h"

static const struct {
	const char *name;
	unsigned bit;
} options[] = {
	{ "MIN", IMAP_RETURN_MIN },
	{ "MAX", IMAP_RETURN_MAX },
	{ "ALL", IMAP_RETURN_ALL },
	{ "COUNT", IMAP_RETURN_COUNT },
	{ "SAVE", IMAP_RETURN_SAVE },
	{ "PARTIAL", IMAP_RETURN_PARTIAL },
};

/* --- reading --- */

static bool take_place(struct imap_lex *l, bool from_end, uint32_t *out)
{
	uint64_t n;

	if ((from_end && imap_lex_char(l, '-') != 1) || imap_lex_number(l, UINT32_MAX, &n) != 1 || n == 0)
		return false;
	*out = (uint32_t)n;
	return true;
}

/* Reads "1:50", or "-1:-50". */
static bool take_partial(struct imap_lex *l, struct imap_return *r)
{
	uint32_t a, b;

	r->from_end = imap_lex_peek(l) == '-';
	if (!take_place(l, r->from_end, &a) || imap_lex_char(l, ':') != 1 || !take_place(l, r->from_end, &b))
		return false;
	r->first = MIN(a, b);
	r->last = MAX(a, b);
	str_addf(&r->partial, "%s%u:%s%u", r->from_end ? "-" : "", a, r->from_end ? "-" : "", b);
	return true;
}

/* Why the option is wrong; NULL: it is read. */
static const char *take_option(struct imap_lex *l, struct imap_return *r)
{
	struct str word = STR_INIT;
	size_t i = ARRAY_LEN(options);

	if (imap_lex_name(l, &word) == 1)
		for (i = 0; i < ARRAY_LEN(options) && strcmp(options[i].name, word.data) != 0; i++)
			continue;
	str_fini(&word);
	if (i == ARRAY_LEN(options))
		return "RETURN has MIN, MAX, ALL, COUNT, SAVE and PARTIAL.";
	if ((r->what & options[i].bit) != 0 && options[i].bit == IMAP_RETURN_PARTIAL)
		return "RETURN may have one PARTIAL.";
	r->what |= options[i].bit;
	if (options[i].bit == IMAP_RETURN_PARTIAL && (imap_lex_space(l) != 1 || !take_partial(l, r)))
		return "PARTIAL needs a range like 1:100 or -1:-100.";
	return NULL;
}

static const char *take_options(struct imap_lex *l, struct imap_return *r)
{
	const char *wrong = NULL;

	if (imap_lex_space(l) != 1 || imap_lex_char(l, '(') != 1)
		return "RETURN needs a list in parentheses.";
	if (imap_lex_peek(l) != ')')
		do
			wrong = take_option(l, r);
		while (wrong == NULL && imap_lex_space(l) == 1);
	if (wrong == NULL && imap_lex_char(l, ')') != 1)
		wrong = "The list of RETURN has no end.";
	if (wrong == NULL && (r->what & IMAP_RETURN_ALL) != 0 && (r->what & IMAP_RETURN_PARTIAL) != 0)
		wrong = "RETURN may have ALL or PARTIAL, not both.";
	return wrong;
}

bool imap_return_read(struct imap_session *s, struct imap_lex *l, struct imap_return *r)
{
	struct imap_lex at = *l;
	struct str word = STR_INIT;
	const char *wrong;

	r->given = imap_lex_space(&at) == 1 && imap_lex_name(&at, &word) == 1 && strcmp(word.data, "RETURN") == 0;
	str_fini(&word);
	if (!r->given)
		return true;
	wrong = take_options(&at, r);
	if (wrong != NULL) {
		imap_bad(s, "%s", wrong);
		return false;
	}
	if (r->what == 0) /* RFC 4731 section 3.1 */
		r->what = IMAP_RETURN_ALL;
	*l = at;
	return true;
}

void imap_return_fini(struct imap_return *r)
{
	str_fini(&r->partial);
}

/* --- answering --- */

static uint32_t name_of(const struct imap_session *s, uint32_t i)
{
	return s->uid ? md_box_uid(s->box, i) : i + 1;
}

/* What PARTIAL asks for of N results: from the one at *AT, returns how many. */
static size_t partial(const struct imap_return *r, size_t n, size_t *at)
{
	size_t count;

	*at = 0;
	if (r->first > n)
		return 0;
	count = MIN((size_t)r->last, n) - r->first + 1;
	*at = r->from_end ? n - r->first + 1 - count : r->first - 1;
	return count;
}

static void add_list(const struct imap_session *s, struct str *out, const uint32_t *list, size_t n)
{
	uint32_t *names = mem_array(n + 1, sizeof(*names));

	for (size_t i = 0; i < n; i++)
		names[i] = name_of(s, list[i]);
	imap_list_print(out, names, n);
	mem_free(&names);
}

static void put_classic(struct imap_session *s, const char *name, const uint32_t *list, size_t n)
{
	struct str out = STR_INIT;

	str_addf(&out, "* %s", name);
	for (size_t i = 0; i < n; i++)
		str_addf(&out, " %u", name_of(s, list[i]));
	str_adds(&out, "\r\n");
	imap_put(s, &out);
	str_fini(&out);
}

/* MIN, MAX and ALL are left out if there is no message. */
static void put_extended(struct imap_session *s, const struct imap_return *r, const uint32_t *list, size_t n)
{
	struct str out = STR_INIT;
	size_t at, count;

	str_adds(&out, "* ESEARCH (TAG ");
	imap_string_add(&out, s->tag.data, s->tag.len);
	str_adds(&out, s->uid ? ") UID" : ")");
	if ((r->what & IMAP_RETURN_MIN) != 0 && n > 0)
		str_addf(&out, " MIN %u", name_of(s, list[0]));
	if ((r->what & IMAP_RETURN_MAX) != 0 && n > 0)
		str_addf(&out, " MAX %u", name_of(s, list[n - 1]));
	if ((r->what & IMAP_RETURN_COUNT) != 0)
		str_addf(&out, " COUNT %zu", n);
	if ((r->what & IMAP_RETURN_ALL) != 0 && n > 0) {
		str_adds(&out, " ALL ");
		add_list(s, &out, list, n);
	}
	if ((r->what & IMAP_RETURN_PARTIAL) != 0) {
		count = partial(r, n, &at);
		str_addf(&out, " PARTIAL (%s ", r->partial.data);
		if (count > 0)
			add_list(s, &out, list + at, count);
		else
			str_adds(&out, "NIL");
		str_addc(&out, ')');
	}
	str_adds(&out, "\r\n");
	imap_put(s, &out);
	str_fini(&out);
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

/* Saves the messages at LIST as UIDs: messages that are expunged later are left out by whoever uses it. */
static void save(struct imap_session *s, const uint32_t *list, size_t n)
{
	uint32_t *uids = mem_array(n + 1, sizeof(*uids));

	for (size_t i = 0; i < n; i++)
		uids[i] = md_box_uid(s->box, list[i]);
	qsort(uids, n, sizeof(*uids), ascending);
	imap_set_fini(&s->saved);
	for (size_t i = 0; i < n; i++)
		imap_set_add(&s->saved, uids[i], uids[i]);
	mem_free(&uids);
}

/* What is saved depends on the other options (RFC 5182 section 2.1, RFC 9394 section 3.1). */
static void save_result(struct imap_session *s, const struct imap_return *r, const uint32_t *list, size_t n)
{
	unsigned ends = r->what & (IMAP_RETURN_MIN | IMAP_RETURN_MAX);
	uint32_t two[2];
	size_t at, count = 0;

	if ((r->what & IMAP_RETURN_PARTIAL) != 0) {
		count = partial(r, n, &at);
		save(s, list + at, count);
	} else if (ends == 0 || n == 0 || (r->what & (IMAP_RETURN_ALL | IMAP_RETURN_COUNT)) != 0) {
		save(s, list, n);
	} else {
		if ((ends & IMAP_RETURN_MIN) != 0)
			two[count++] = list[0];
		if ((ends & IMAP_RETURN_MAX) != 0)
			two[count++] = list[n - 1];
		save(s, two, count);
	}
}

enum imap_status imap_result_put(struct imap_session *s, const char *name, const struct imap_return *r,
    const uint32_t *list, size_t n)
{
	if (!r->given)
		put_classic(s, name, list, n);
	else if (r->what != IMAP_RETURN_SAVE)
		put_extended(s, r, list, n);
	if ((r->what & IMAP_RETURN_SAVE) != 0)
		save_result(s, r, list, n);
	return imap_ok(s, "%s completed.", name);
}

void imap_result_failed(struct imap_session *s, const struct imap_return *r)
{
	if ((r->what & IMAP_RETURN_SAVE) != 0)
		imap_set_fini(&s->saved);
}
