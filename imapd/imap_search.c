/* SEARCH: the client's keys as a tree, and whether a message fits them. */
#include "imapd/imap_search.h"

#include <string.h>
#include <time.h>

#include "imapd/imap_date.h"
#include "imapd/imap_seq.h"
#include "imapd/imap_text.h"
#include "lib/mem.h"
#include "mime/charset.h"

/* What a key tests, in the order of cost: within a list cheap keys are tested first. */
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
	K_OLDER,
	K_YOUNGER,
	K_LARGER,
	K_SMALLER,
	K_SENTBEFORE,
	K_SENTON,
	K_SENTSINCE,
	K_HEADER,
	K_ADDRESS,
	K_BODY,
	K_TEXT,
	K_COUNT,
};

/* What follows a key's name. */
enum argument {
	ARG_NONE,
	ARG_STRING,
	ARG_DATE,
	ARG_NUMBER,
	ARG_AGE,
	ARG_KEYWORD,
	ARG_SET,
	ARG_HEADER,
	ARG_KEY,
	ARG_TWO_KEYS
};

struct key {
	enum kind kind;
	bool negate;
	unsigned cost;
	int missing;         /* of NOT and OR being read: keys still to come */
	struct key *parent;  /* the list that it is in; NULL for the root */
	struct key *child;   /* of AND and OR, which have at least one */
	struct key *next;    /* in the same list */
	struct key *earlier; /* the key made before this one */
	int64_t number;      /* flag bit, keyword's index or -1, day, size, number of the text */
	struct imap_set set;
};

/* Clients nest as deep as their lists are long (OR FROM a OR FROM b ...): so nothing here recurses into keys. */
struct imap_search {
	struct key *root;
	struct key *last; /* the last key made: it leads to all others */
	size_t n_keys;
	struct imap_texts texts;
	bool needs_body; /* a key looks at more than the header */
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
	{ "BCC", K_ADDRESS, false, ARG_STRING, 0, "Bcc" },
	{ "BEFORE", K_BEFORE, false, ARG_DATE, 0, NULL },
	{ "BODY", K_BODY, false, ARG_STRING, 0, NULL },
	{ "CC", K_ADDRESS, false, ARG_STRING, 0, "Cc" },
	{ "DELETED", K_FLAG, false, ARG_NONE, MD_DELETED, NULL },
	{ "DRAFT", K_FLAG, false, ARG_NONE, MD_DRAFT, NULL },
	{ "FLAGGED", K_FLAG, false, ARG_NONE, MD_FLAGGED, NULL },
	{ "FROM", K_ADDRESS, false, ARG_STRING, 0, "From" },
	{ "HEADER", K_HEADER, false, ARG_HEADER, 0, NULL },
	{ "KEYWORD", K_KEYWORD, false, ARG_KEYWORD, 0, NULL },
	{ "LARGER", K_LARGER, false, ARG_NUMBER, 0, NULL },
	{ "NEW", K_RECENT, false, ARG_NONE, MD_SEEN, NULL }, /* recent, and without this flag */
	{ "NOT", K_AND, true, ARG_KEY, 0, NULL },
	{ "OLD", K_RECENT, true, ARG_NONE, 0, NULL },
	{ "OLDER", K_OLDER, false, ARG_AGE, 0, NULL },
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
	{ "TO", K_ADDRESS, false, ARG_STRING, 0, "To" },
	{ "UID", K_UIDS, false, ARG_SET, 0, NULL },
	{ "UNANSWERED", K_FLAG, true, ARG_NONE, MD_ANSWERED, NULL },
	{ "UNDELETED", K_FLAG, true, ARG_NONE, MD_DELETED, NULL },
	{ "UNDRAFT", K_FLAG, true, ARG_NONE, MD_DRAFT, NULL },
	{ "UNFLAGGED", K_FLAG, true, ARG_NONE, MD_FLAGGED, NULL },
	{ "UNKEYWORD", K_KEYWORD, true, ARG_KEYWORD, 0, NULL },
	{ "UNSEEN", K_FLAG, true, ARG_NONE, MD_SEEN, NULL },
	{ "YOUNGER", K_YOUNGER, false, ARG_AGE, 0, NULL },
};

/* --- Reading --- */

struct reader {
	struct imap_session *s;
	struct imap_lex *l;
	struct imap_search *search;
	struct str charset; /* empty: none was given */
	/* why reading failed: one of these */
	const char *wrong;
	bool too_many, bad_charset;
};

static bool fail(struct reader *r, const char *wrong)
{
	if (r->wrong == NULL)
		r->wrong = wrong;
	return false;
}

static bool too_many(struct reader *r)
{
	r->too_many = true;
	return false;
}

static bool space(struct reader *r)
{
	return imap_lex_space(r->l) == 1 || fail(r, "A search key lacks its argument.");
}

static enum imap_text_where where_of(enum kind kind)
{
	switch (kind) {
	case K_HEADER:
		return IMAP_TEXT_HEADER;
	case K_ADDRESS:
		return IMAP_TEXT_ADDRESS;
	case K_BODY:
		return IMAP_TEXT_BODY;
	default:
		return IMAP_TEXT_ANY;
	}
}

/* Adds TEXT, in the client's charset, to the texts to find. Without a charset 8-bit text is taken as UTF-8, which is
 * what clients mean. */
static bool add_text(struct reader *r, struct key *k, const char *header, const struct str *text)
{
	struct str utf8 = STR_INIT;
	const char *charset = r->charset.len > 0 ? r->charset.data : "UTF-8";

	if (!mime_charset_to_utf8(&utf8, charset, str_cstr(text), text->len)) {
		str_fini(&utf8);
		return fail(r, "A search text is not valid in its charset.");
	}
	r->search->needs_body |= k->kind == K_BODY || k->kind == K_TEXT;
	k->number = imap_texts_add(&r->search->texts, where_of(k->kind), header, str_cstr(&utf8), utf8.len);
	str_fini(&utf8);
	return k->number >= 0 || too_many(r);
}

/* HEADER: the field to look in, for K_HEADER. */
static bool take_text(struct reader *r, struct key *k, const char *header)
{
	struct str text = STR_INIT;
	bool ok = space(r) && (imap_lex_astring(r->l, &text) == 1 || fail(r, "Expected a search text.")) &&
	    add_text(r, k, header, &text);

	str_fini(&text);
	return ok;
}

static bool take_header(struct reader *r, struct key *k)
{
	struct str name = STR_INIT;
	bool ok = space(r) && (imap_lex_astring(r->l, &name) == 1 || fail(r, "Expected the name of a header.")) &&
	    take_text(r, k, str_cstr(&name));

	str_fini(&name);
	return ok;
}

static bool take_date(struct reader *r, struct key *k)
{
	struct str text = STR_INIT;
	bool ok =
	    space(r) && imap_lex_astring(r->l, &text) == 1 && imap_date_parse_day(text.data, text.len, &k->number);

	str_fini(&text);
	return ok || fail(r, "Expected a date like 1-Feb-1994.");
}

static bool take_number(struct reader *r, struct key *k)
{
	uint64_t n;

	if (!space(r) || imap_lex_number(r->l, INT64_MAX, &n) != 1)
		return fail(r, "Expected a number.");
	k->number = (int64_t)n;
	return true;
}

/* Reads the seconds of OLDER and YOUNGER (RFC 5032): the time that they mean. */
static bool take_age(struct reader *r, struct key *k)
{
	uint64_t n;

	if (!space(r) || imap_lex_number(r->l, UINT32_MAX, &n) != 1 || n == 0)
		return fail(r, "Expected a number of seconds.");
	k->number = (int64_t)time(NULL) - (int64_t)n;
	return true;
}

static bool take_keyword(struct reader *r, struct key *k)
{
	struct str name = STR_INIT;
	bool ok = space(r) && imap_lex_atom(r->l, &name) == 1;

	if (ok)
		k->number = md_box_keyword(r->s->box, name.data, name.len);
	str_fini(&name);
	return ok || fail(r, "Expected a keyword.");
}

/* Reads a set of numbers (UIDs for K_UIDS), or "$"; numbers that do not exist match nothing. */
static bool take_set(struct reader *r, struct key *k)
{
	const struct md_box *box = r->s->box;
	uint32_t star = (uint32_t)md_box_count(box);
	struct str text = STR_INIT;
	bool ok;

	if (imap_lex_char(r->l, '$') == 1) {
		k->kind = K_UIDS;
		imap_set_copy(&k->set, &r->s->saved);
		return true;
	}
	if (k->kind == K_UIDS)
		star = md_box_last_uid(box);
	ok = imap_lex_set(r->l, &text) == 1 && imap_set_parse(&k->set, text.data, text.len, star);
	str_fini(&text);
	return ok || fail(r, "Not a set of message numbers.");
}

static bool take_argument(struct reader *r, struct key *k, enum argument arg, const char *header)
{
	switch (arg) {
	case ARG_NONE:
		return true;
	case ARG_STRING:
		return take_text(r, k, header);
	case ARG_DATE:
		return take_date(r, k);
	case ARG_NUMBER:
		return take_number(r, k);
	case ARG_AGE:
		return take_age(r, k);
	case ARG_KEYWORD:
		return take_keyword(r, k);
	case ARG_SET:
		return space(r) && take_set(r, k);
	case ARG_HEADER:
		return take_header(r, k);
	case ARG_KEY:
		k->missing = 1;
		return space(r);
	case ARG_TWO_KEYS:
		k->missing = 2;
		return space(r);
	}
	return false;
}

static bool take_named(struct reader *r, struct key *k)
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
	return take_argument(r, k, keys[i].arg, keys[i].header);
}

static bool is_list(const struct key *k)
{
	return k->kind == K_AND || k->kind == K_OR;
}

/* Reads the start of a key: all of it, unless it is a list. */
static bool take_key(struct reader *r, struct key *k)
{
	int c = imap_lex_peek(r->l);

	k->kind = K_AND;
	if (imap_lex_char(r->l, '(') == 1)
		return true;
	if (c != '*' && c != '$' && (c < '0' || c > '9'))
		return take_named(r, k);
	k->kind = K_NUMBERS;
	return take_set(r, k);
}

/* Makes a new key in the list PARENT; NULL if there are too many. */
static struct key *add_key(struct reader *r, struct key *parent)
{
	struct imap_search *search = r->search;
	struct key *k;

	if (search->n_keys == IMAP_SEARCH_KEYS_MAX) {
		too_many(r);
		return NULL;
	}
	search->n_keys++;
	k = mem_alloc(sizeof(*k));
	k->earlier = search->last;
	search->last = k;
	k->parent = parent;
	if (parent != NULL) {
		k->next = parent->child;
		parent->child = k;
	}
	return k;
}

/* LIST is complete: sorts its keys, now in reverse order, by cost, and equal ones as given. It costs as much as the
 * most expensive of them. */
static void end_list(struct key *list)
{
	struct key *of_cost[K_COUNT] = { NULL }, *k = list->child, *next;

	for (; k != NULL; k = next) {
		next = k->next;
		k->next = of_cost[k->cost];
		of_cost[k->cost] = k;
	}
	list->child = NULL;
	for (unsigned cost = K_COUNT; cost-- > 0;)
		if (of_cost[cost] != NULL) {
			list->cost = MAX(list->cost, cost);
			for (k = of_cost[cost]; k->next != NULL; k = k->next)
				continue;
			k->next = list->child;
			list->child = of_cost[cost];
		}
}

/* After a key in the list OPEN, which may complete that list and those around it: returns the list that the next key
 * belongs to. NULL: this was the last key, or something is wrong. */
static struct key *take_separator(struct reader *r, struct key *open)
{
	do {
		if (open->missing > 0) {
			if (--open->missing > 0)
				return space(r) ? open : NULL;
		} else if (imap_lex_space(r->l) == 1 && (open->parent != NULL || imap_lex_peek(r->l) != '\r')) {
			return open;
		} else if (open->parent != NULL && imap_lex_char(r->l, ')') != 1) {
			fail(r, "A list of search keys has no end.");
			return NULL;
		}
		end_list(open);
		open = open->parent;
	} while (open != NULL);
	return NULL;
}

/* Reads "name ". */
static bool take_charset_name(struct reader *r)
{
	if (imap_lex_astring(r->l, &r->charset) != 1 || imap_lex_space(r->l) != 1)
		return fail(r, "Expected the name of a charset, and search keys after it.");
	if (!mime_charset_known(str_cstr(&r->charset)))
		r->bad_charset = true;
	return !r->bad_charset;
}

/* Reads "CHARSET name ", if present. */
static bool take_charset(struct reader *r)
{
	struct imap_lex at = *r->l;
	struct str word = STR_INIT;
	bool there = imap_lex_name(&at, &word) == 1 && strcmp(word.data, "CHARSET") == 0;

	str_fini(&word);
	if (!there)
		return true;
	*r->l = at;
	return space(r) && take_charset_name(r);
}

/* Reads all keys to the end of the command. */
static bool take_keys(struct reader *r)
{
	struct key *open = r->search->root = add_key(r, NULL);

	open->kind = K_AND;
	while (open != NULL) {
		struct key *k = add_key(r, open);

		if (k == NULL || !take_key(r, k))
			return false;
		if (is_list(k)) {
			open = k;
			continue;
		}
		k->cost = k->kind;
		open = take_separator(r, open);
	}
	return r->wrong == NULL && (imap_lex_end(r->l) == 1 || fail(r, "Unexpected text after the search keys."));
}

static enum imap_status refuse(const struct reader *r)
{
	if (r->bad_charset)
		return imap_no(r->s, "[BADCHARSET (US-ASCII UTF-8)] The charset is not supported.");
	if (r->too_many)
		return imap_bad(r->s,
		    "[TOOBIG] A search may have at most %d keys (NOT, OR and parentheses count) and %d texts.",
		    IMAP_SEARCH_KEYS_MAX, IMAP_TEXTS_MAX);
	return imap_bad(r->s, "%s", r->wrong);
}

static struct imap_search *read_keys(struct imap_session *s, struct imap_lex *l, bool (*charset)(struct reader *r),
    enum imap_status *status)
{
	struct imap_search *search = mem_alloc(sizeof(*search));
	struct reader r = { .s = s, .l = l, .search = search };

	if ((imap_lex_space(l) != 1 && !fail(&r, "Search keys are missing.")) || !charset(&r) || !take_keys(&r)) {
		*status = refuse(&r);
		imap_search_free(&search);
	}
	str_fini(&r.charset);
	return search;
}

struct imap_search *imap_search_read(struct imap_session *s, struct imap_lex *l, enum imap_status *status)
{
	return read_keys(s, l, take_charset, status);
}

struct imap_search *imap_search_read_charset(struct imap_session *s, struct imap_lex *l, enum imap_status *status)
{
	return read_keys(s, l, take_charset_name, status);
}

void imap_search_free(struct imap_search **search)
{
	if (*search == NULL)
		return;
	for (struct key *k = (*search)->last, *earlier; k != NULL; k = earlier) {
		earlier = k->earlier;
		imap_set_fini(&k->set);
		mem_free(&k);
	}
	imap_texts_fini(&(*search)->texts);
	mem_free(search);
}

/* --- Testing a message --- */

struct asked {
	struct imap_msg *msg;
	struct imap_search *search;
	struct work *work;
	uint32_t number;
	enum md_err failed;
	enum { SENT_UNKNOWN, SENT_NEVER, SENT_KNOWN } sent; /* the Date field is searched for only once */
	int64_t sent_day;
};

static bool have_text(struct asked *a)
{
	enum md_err e = a->search->needs_body ? imap_msg_load(a->msg) : imap_msg_load_header(a->msg);

	if (e != MD_OK)
		a->failed = e;
	return e == MD_OK;
}

static bool date_fits(struct asked *a, const struct key *k)
{
	time_t t;
	enum md_err e = md_box_date(a->msg->box, a->msg->i, &t);
	int64_t day;

	if (e != MD_OK) {
		a->failed = e;
		return false;
	}
	if (k->kind == K_OLDER || k->kind == K_YOUNGER)
		return (t <= k->number) == (k->kind == K_OLDER);
	day = imap_date_day(t);
	return k->kind == K_BEFORE ? day < k->number : k->kind == K_ON ? day == k->number : day >= k->number;
}

static bool sent_day_fits(struct asked *a, const struct key *k)
{
	int64_t day;

	if (!have_text(a))
		return false;
	if (a->sent == SENT_UNKNOWN)
		a->sent = imap_text_sent_day(&a->msg->mime, &a->sent_day) ? SENT_KNOWN : SENT_NEVER;
	if (a->sent == SENT_NEVER)
		return false;
	day = a->sent_day;
	return k->kind == K_SENTBEFORE ? day < k->number : k->kind == K_SENTON ? day == k->number : day >= k->number;
}

static bool size_fits(struct asked *a, const struct key *k)
{
	uint64_t octets;
	enum md_err e = imap_msg_octets(a->msg, &octets);

	if (e != MD_OK) {
		a->failed = e;
		return false;
	}
	return k->kind == K_LARGER ? octets > (uint64_t)k->number : octets < (uint64_t)k->number;
}

static bool fits_plain(struct asked *a, const struct key *k)
{
	const struct md_box *box = a->msg->box;
	size_t i = a->msg->i;

	switch (k->kind) {
	case K_ALL:
		return true;
	case K_NUMBERS:
		return imap_set_has(&k->set, a->number);
	case K_UIDS:
		return imap_set_has(&k->set, md_box_uid(box, i));
	case K_FLAG:
		return (md_box_flags(box, i) & k->number) != 0;
	case K_RECENT:
		return md_box_is_recent(box, i) && (md_box_flags(box, i) & k->number) == 0;
	case K_KEYWORD:
		return k->number >= 0 && md_box_has_keyword(box, i, (uint32_t)k->number);
	case K_BEFORE:
	case K_ON:
	case K_SINCE:
	case K_OLDER:
	case K_YOUNGER:
		return date_fits(a, k);
	case K_LARGER:
	case K_SMALLER:
		return size_fits(a, k);
	case K_SENTBEFORE:
	case K_SENTON:
	case K_SENTSINCE:
		return sent_day_fits(a, k);
	case K_HEADER:
	case K_ADDRESS:
	case K_BODY:
	case K_TEXT:
		return have_text(a) && imap_texts_find(&a->search->texts, &a->msg->mime, (size_t)k->number, a->work);
	case K_AND:
	case K_OR:
	case K_COUNT:
		break;
	}
	return false;
}

/* Walks the tree by its links: down to the first key of a list, on to the next one while the list is undecided, and up
 * as soon as it is decided. */
static bool fits(struct asked *a, const struct key *k)
{
	for (;;) {
		bool yes;

		while (is_list(k))
			k = k->child;
		yes = fits_plain(a, k) != k->negate;
		/* an OR is decided by a key that fits, an AND by one that does not, both by their last key: its result
		 * is theirs */
		while (k->parent != NULL && (k->next == NULL || yes == (k->parent->kind == K_OR))) {
			k = k->parent;
			yes = yes != k->negate;
		}
		if (k->parent == NULL)
			return yes;
		k = k->next;
	}
}

static bool msg_fits(struct imap_session *s, struct imap_search *search, struct imap_msg *msg, enum md_err *failed)
{
	struct asked a = { .msg = msg, .search = search, .work = &s->work };
	bool found;

	a.number = (uint32_t)msg->i + 1;
	imap_texts_begin(&search->texts);
	found = fits(&a, search->root);
	*failed = a.failed;
	return found && a.failed == MD_OK;
}

bool imap_search_each(struct imap_session *s, struct imap_search *search, const char *what, imap_found_fn *fn,
    void *arg)
{
	enum md_err failed = MD_OK, e;
	bool goes_on = true;

	for (size_t i = 0, n = md_box_count(s->box); i < n && goes_on; i++) {
		struct imap_msg msg;

		if (md_box_is_gone(s->box, i))
			continue;
		imap_msg_init(&msg, s->box, i);
		if (msg_fits(s, search, &msg, &e))
			e = fn(&msg, arg);
		imap_msg_fini(&msg);
		if (e != MD_OK && e != MD_GONE && failed == MD_OK) {
			failed = e;
			imap_md_log(s, e, what);
		}
		goes_on = work_do(&s->work, WORK_MESSAGE);
	}
	return goes_on;
}
