/* SEARCH: the client's keys as a tree, and whether a message fits them. */
#include "imapd/imap_search.h"

#include <string.h>

#include "imapd/imap_date.h"
#include "imapd/imap_msg.h"
#include "imapd/imap_seq.h"
#include "imapd/imap_text.h"
#include "lib/mem.h"
#include "mime/charset.h"

/* What a key tests; in the order of cost: within a list the cheap ones are asked first. */
enum kind {
	K_ALL,
	K_NUMBERS,
	K_UIDS,
	K_FLAG,
	K_RECENT,
	K_KEYWORD,
	K_AND,
	K_OR,
	K_BEFORE,
	K_ON,
	K_SINCE,
	K_LARGER,
	K_SMALLER,
	K_SENTBEFORE,
	K_SENTON,
	K_SENTSINCE,
	K_HEADER,
	K_BODY,
	K_TEXT
};

/* What stands behind a key's name. */
enum argument { ARG_NONE, ARG_STRING, ARG_DATE, ARG_NUMBER, ARG_KEYWORD, ARG_SET, ARG_HEADER, ARG_KEY, ARG_TWO_KEYS };

struct imap_search {
	enum kind kind;
	bool negate;
	unsigned cost;
	struct imap_search *child, *next; /* of AND and OR; the next one in the same list */
	int64_t number;                   /* flag bit, keyword's index or -1, day, size */
	struct imap_set set;
	char *header;
	struct imap_key key;
	bool has_key;
};

static const struct {
	const char *name;
	enum kind kind;
	bool negate;
	enum argument arg;
	int64_t value;
	const char *header;
} keys[] = {
	{ "ALL", K_ALL, false, ARG_NONE, 0, NULL },
	{ "ANSWERED", K_FLAG, false, ARG_NONE, MD_ANSWERED, NULL },
	{ "BCC", K_HEADER, false, ARG_STRING, 0, "Bcc" },
	{ "BEFORE", K_BEFORE, false, ARG_DATE, 0, NULL },
	{ "BODY", K_BODY, false, ARG_STRING, 0, NULL },
	{ "CC", K_HEADER, false, ARG_STRING, 0, "Cc" },
	{ "DELETED", K_FLAG, false, ARG_NONE, MD_DELETED, NULL },
	{ "DRAFT", K_FLAG, false, ARG_NONE, MD_DRAFT, NULL },
	{ "FLAGGED", K_FLAG, false, ARG_NONE, MD_FLAGGED, NULL },
	{ "FROM", K_HEADER, false, ARG_STRING, 0, "From" },
	{ "HEADER", K_HEADER, false, ARG_HEADER, 0, NULL },
	{ "KEYWORD", K_KEYWORD, false, ARG_KEYWORD, 0, NULL },
	{ "LARGER", K_LARGER, false, ARG_NUMBER, 0, NULL },
	{ "NEW", K_RECENT, false, ARG_NONE, MD_SEEN, NULL }, /* recent, and without this flag */
	{ "NOT", K_AND, true, ARG_KEY, 0, NULL },
	{ "OLD", K_RECENT, true, ARG_NONE, 0, NULL },
	{ "ON", K_ON, false, ARG_DATE, 0, NULL },
	{ "OR", K_OR, false, ARG_TWO_KEYS, 0, NULL },
	{ "RECENT", K_RECENT, false, ARG_NONE, 0, NULL },
	{ "SEEN", K_FLAG, false, ARG_NONE, MD_SEEN, NULL },
	{ "SENTBEFORE", K_SENTBEFORE, false, ARG_DATE, 0, NULL },
	{ "SENTON", K_SENTON, false, ARG_DATE, 0, NULL },
	{ "SENTSINCE", K_SENTSINCE, false, ARG_DATE, 0, NULL },
	{ "SINCE", K_SINCE, false, ARG_DATE, 0, NULL },
	{ "SMALLER", K_SMALLER, false, ARG_NUMBER, 0, NULL },
	{ "SUBJECT", K_HEADER, false, ARG_STRING, 0, "Subject" },
	{ "TEXT", K_TEXT, false, ARG_STRING, 0, NULL },
	{ "TO", K_HEADER, false, ARG_STRING, 0, "To" },
	{ "UID", K_UIDS, false, ARG_SET, 0, NULL },
	{ "UNANSWERED", K_FLAG, true, ARG_NONE, MD_ANSWERED, NULL },
	{ "UNDELETED", K_FLAG, true, ARG_NONE, MD_DELETED, NULL },
	{ "UNDRAFT", K_FLAG, true, ARG_NONE, MD_DRAFT, NULL },
	{ "UNFLAGGED", K_FLAG, true, ARG_NONE, MD_FLAGGED, NULL },
	{ "UNKEYWORD", K_KEYWORD, true, ARG_KEYWORD, 0, NULL },
	{ "UNSEEN", K_FLAG, true, ARG_NONE, MD_SEEN, NULL },
};

/* --- Reading --- */

struct reader {
	struct imap_session *s;
	struct imap_lex *l;
	struct str charset; /* empty: none was given */
	const char *wrong;  /* why reading failed, for a BAD; NULL with bad_charset */
	bool bad_charset;
	int depth;
};

static struct imap_search *read_key(struct reader *r);

static bool fail(struct reader *r, const char *wrong)
{
	if (r->wrong == NULL)
		r->wrong = wrong;
	return false;
}

static bool space(struct reader *r)
{
	return imap_lex_space(r->l) == 1 || fail(r, "A search key lacks its argument.");
}

/* TEXT in the client's charset as the key. Without a charset 8-bit text is taken as UTF-8, which clients mean. */
static bool set_key(struct reader *r, struct imap_search *k, const struct str *text)
{
	struct str utf8 = STR_INIT;
	const char *charset = r->charset.len > 0 ? r->charset.data : "UTF-8";

	if (!mime_charset_to_utf8(&utf8, charset, str_cstr(text), text->len)) {
		str_fini(&utf8);
		return fail(r, "A search text is not in the charset that was named.");
	}
	imap_key_init(&k->key, str_cstr(&utf8), utf8.len);
	k->has_key = true;
	str_fini(&utf8);
	return true;
}

static bool take_text(struct reader *r, struct imap_search *k)
{
	struct str text = STR_INIT;
	bool ok = space(r) && (imap_lex_astring(r->l, &text) == 1 || fail(r, "A search text was expected.")) && set_key(r, k, &text);

	str_fini(&text);
	return ok;
}

static bool take_header(struct reader *r, struct imap_search *k)
{
	struct str name = STR_INIT;
	bool ok = space(r) && (imap_lex_astring(r->l, &name) == 1 || fail(r, "The name of a header was expected."));

	if (ok)
		k->header = mem_strdup(str_cstr(&name));
	str_fini(&name);
	return ok && take_text(r, k);
}

static bool take_date(struct reader *r, struct imap_search *k)
{
	struct str text = STR_INIT;
	bool ok = space(r) && imap_lex_astring(r->l, &text) == 1 && imap_date_parse_day(text.data, text.len, &k->number);

	str_fini(&text);
	return ok || fail(r, "A date like 1-Feb-1994 was expected.");
}

static bool take_number(struct reader *r, struct imap_search *k)
{
	uint64_t n;

	if (!space(r) || imap_lex_number(r->l, INT64_MAX, &n) != 1)
		return fail(r, "A number was expected.");
	k->number = (int64_t)n;
	return true;
}

static bool take_keyword(struct reader *r, struct imap_search *k)
{
	struct str name = STR_INIT;
	bool ok = space(r) && imap_lex_atom(r->l, &name) == 1;

	if (ok)
		k->number = md_box_keyword(r->s->box, name.data, name.len);
	str_fini(&name);
	return ok || fail(r, "A keyword was expected.");
}

/* A set of numbers (UIDs for K_UIDS); numbers that are not there fit nothing. */
static bool take_set(struct reader *r, struct imap_search *k)
{
	const struct md_box *box = r->s->box;
	uint32_t star = (uint32_t)box->n;
	struct str text = STR_INIT;
	bool ok;

	if (k->kind == K_UIDS)
		star = box->n > 0 ? box->msgs[box->n - 1].uid : 0;
	ok = imap_lex_set(r->l, &text) == 1 && imap_set_parse(&k->set, text.data, text.len, star);
	str_fini(&text);
	return ok || fail(r, "Not a set of message numbers.");
}

/* Into K's list, behind all that cost no more. */
static void add_child(struct imap_search *k, struct imap_search *child)
{
	struct imap_search **at = &k->child;

	while (*at != NULL && (*at)->cost <= child->cost)
		at = &(*at)->next;
	child->next = *at;
	*at = child;
	k->cost = MAX(k->cost, child->cost);
}

/* COUNT keys, each behind a blank. */
static bool take_keys(struct reader *r, struct imap_search *k, int count)
{
	for (int i = 0; i < count; i++) {
		struct imap_search *child = space(r) ? read_key(r) : NULL;

		if (child == NULL)
			return false;
		add_child(k, child);
	}
	return true;
}

static bool take_argument(struct reader *r, struct imap_search *k, enum argument arg)
{
	switch (arg) {
	case ARG_NONE:
		return true;
	case ARG_STRING:
		return take_text(r, k);
	case ARG_DATE:
		return take_date(r, k);
	case ARG_NUMBER:
		return take_number(r, k);
	case ARG_KEYWORD:
		return take_keyword(r, k);
	case ARG_SET:
		return space(r) && take_set(r, k);
	case ARG_HEADER:
		return take_header(r, k);
	case ARG_KEY:
		return take_keys(r, k, 1);
	case ARG_TWO_KEYS:
		return take_keys(r, k, 2);
	}
	return false;
}

static bool take_named(struct reader *r, struct imap_search *k)
{
	struct str name = STR_INIT;
	size_t i = ARRAY_LEN(keys);

	if (imap_lex_name(r->l, &name) == 1)
		for (i = 0; i < ARRAY_LEN(keys) && strcmp(keys[i].name, name.data) != 0; i++)
			continue;
	str_fini(&name);
	if (i == ARRAY_LEN(keys))
		return fail(r, "Unknown search key.");
	k->kind = keys[i].kind;
	k->negate = keys[i].negate;
	k->number = keys[i].value;
	k->header = mem_strdup(keys[i].header);
	k->cost = k->kind == K_AND || k->kind == K_OR ? 0 : (unsigned)k->kind;
	return take_argument(r, k, keys[i].arg);
}

/* "(" key key ... ")" */
static bool take_list(struct reader *r, struct imap_search *k)
{
	k->kind = K_AND;
	do {
		struct imap_search *child = read_key(r);

		if (child == NULL)
			return false;
		add_child(k, child);
	} while (imap_lex_space(r->l) == 1);
	return imap_lex_char(r->l, ')') == 1 || fail(r, "A list of search keys does not end.");
}

static struct imap_search *read_key(struct reader *r)
{
	struct imap_search *k = mem_alloc(sizeof(*k));
	int c = imap_lex_peek(r->l);
	bool ok;

	if (++r->depth > IMAP_SEARCH_DEPTH_MAX)
		ok = fail(r, "Search keys are nested too deeply.");
	else if (imap_lex_char(r->l, '(') == 1)
		ok = take_list(r, k);
	else if (c == '*' || (c >= '0' && c <= '9')) {
		k->kind = K_NUMBERS;
		ok = take_set(r, k);
	} else {
		ok = take_named(r, k);
	}
	r->depth--;
	if (!ok)
		imap_search_free(&k);
	return k;
}

/* "CHARSET name", if it is there. */
static bool take_charset(struct reader *r)
{
	struct imap_lex at = *r->l;
	struct str word = STR_INIT;
	bool there = imap_lex_name(&at, &word) == 1 && strcmp(word.data, "CHARSET") == 0;

	str_fini(&word);
	if (!there)
		return true;
	*r->l = at;
	if (!space(r) || imap_lex_astring(r->l, &r->charset) != 1 || imap_lex_space(r->l) != 1)
		return fail(r, "CHARSET needs a name, and search keys behind it.");
	if (!mime_charset_known(str_cstr(&r->charset)))
		r->bad_charset = true;
	return !r->bad_charset;
}

struct imap_search *imap_search_read(struct imap_session *s, struct imap_lex *l, enum imap_status *status)
{
	struct reader r = { .s = s, .l = l };
	struct imap_search *k = mem_alloc(sizeof(*k));
	bool ok = (imap_lex_space(l) == 1 || fail(&r, "SEARCH needs search keys.")) && take_charset(&r);

	k->kind = K_AND;
	if (ok)
		do {
			struct imap_search *child = read_key(&r);

			ok = child != NULL;
			if (ok)
				add_child(k, child);
		} while (ok && imap_lex_space(l) == 1 && imap_lex_peek(l) != '\r');
	if (ok && imap_lex_end(l) != 1)
		ok = fail(&r, "Something follows the search keys.");
	if (r.bad_charset)
		*status = imap_no(s, "[BADCHARSET (US-ASCII UTF-8)] The charset is not known here.");
	else if (!ok)
		*status = imap_bad(s, "%s", r.wrong);
	if (!ok)
		imap_search_free(&k);
	str_fini(&r.charset);
	return k;
}

void imap_search_free(struct imap_search **search)
{
	struct imap_search *k = *search;

	while (k != NULL) {
		struct imap_search *next = k->next;

		imap_search_free(&k->child);
		imap_set_fini(&k->set);
		mem_free(&k->header);
		if (k->has_key)
			imap_key_fini(&k->key);
		mem_free(&k);
		k = next;
	}
	*search = NULL;
}

/* --- Asking a message --- */

struct asked {
	struct imap_msg msg;
	uint32_t number;
	enum md_err failed;
};

static bool have_text(struct asked *a)
{
	enum md_err e = imap_msg_load(&a->msg);

	if (e != MD_OK)
		a->failed = e;
	return e == MD_OK;
}

static bool day_fits(struct asked *a, const struct imap_search *k)
{
	time_t t;
	enum md_err e = md_box_date(a->msg.box, a->msg.m, &t);
	int64_t day;

	if (e != MD_OK) {
		a->failed = e;
		return false;
	}
	day = imap_date_day(t);
	return k->kind == K_BEFORE ? day < k->number : k->kind == K_ON ? day == k->number : day >= k->number;
}

static bool sent_day_fits(struct asked *a, const struct imap_search *k)
{
	int64_t day;

	if (!have_text(a) || !imap_text_sent_day(&a->msg.mime, &day))
		return false;
	return k->kind == K_SENTBEFORE ? day < k->number : k->kind == K_SENTON ? day == k->number : day >= k->number;
}

static bool size_fits(struct asked *a, const struct imap_search *k)
{
	uint64_t octets;
	enum md_err e = imap_msg_octets(&a->msg, &octets);

	if (e != MD_OK) {
		a->failed = e;
		return false;
	}
	return k->kind == K_LARGER ? octets > (uint64_t)k->number : octets < (uint64_t)k->number;
}

static bool fits(struct asked *a, const struct imap_search *k);

/* All (or any) of the keys in K's list. */
static bool list_fits(struct asked *a, const struct imap_search *k, bool any)
{
	for (const struct imap_search *c = k->child; c != NULL; c = c->next)
		if (fits(a, c) == any)
			return any;
	return !any;
}

static bool fits_plain(struct asked *a, const struct imap_search *k)
{
	const struct md_msg *m = a->msg.m;

	switch (k->kind) {
	case K_ALL:
		return true;
	case K_NUMBERS:
		return imap_set_has(&k->set, a->number);
	case K_UIDS:
		return imap_set_has(&k->set, m->uid);
	case K_FLAG:
		return (m->flags & k->number) != 0;
	case K_RECENT:
		return m->recent && (m->flags & k->number) == 0;
	case K_KEYWORD:
		return k->number >= 0 && md_msg_has_keyword(m, (uint32_t)k->number);
	case K_AND:
		return list_fits(a, k, false);
	case K_OR:
		return list_fits(a, k, true);
	case K_BEFORE:
	case K_ON:
	case K_SINCE:
		return day_fits(a, k);
	case K_LARGER:
	case K_SMALLER:
		return size_fits(a, k);
	case K_SENTBEFORE:
	case K_SENTON:
	case K_SENTSINCE:
		return sent_day_fits(a, k);
	case K_HEADER:
		return have_text(a) && imap_text_header(&a->msg.mime, k->header, &k->key);
	case K_BODY:
		return have_text(a) && imap_text_body(&a->msg.mime, &k->key);
	case K_TEXT:
		return have_text(a) && imap_text_any(&a->msg.mime, &k->key);
	}
	return false;
}

static bool fits(struct asked *a, const struct imap_search *k)
{
	return fits_plain(a, k) != k->negate;
}

bool imap_search_fits(struct imap_session *s, const struct imap_search *search, size_t i, enum md_err *failed)
{
	struct asked a = { .number = (uint32_t)i + 1, .failed = MD_OK };
	bool found;

	if (s->box->msgs[i].gone)
		return false;
	imap_msg_init(&a.msg, s->box, &s->box->msgs[i]);
	found = fits(&a, search);
	imap_msg_fini(&a.msg);
	if (a.failed != MD_OK)
		*failed = a.failed;
	return found && a.failed == MD_OK;
}
