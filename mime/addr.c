/* The parser of address lists. */
#include "mime/addr.h"

#include <string.h>

/* What stands before "<", ":", or the end of an address. Only that character tells whether it is a name or an address,
 * so it is kept in both forms: as a phrase (words with single blanks), and its last words as an address. Only "." and
 * "@" join words into an address: blanks beside them are the obsolete form (RFC 5322 section 4.4), any other blank
 * separates a name from an address. */
struct pending {
	struct str phrase;
	struct str word; /* the piece that is being read */
	struct str spec;
	struct str comment;
	size_t name_len; /* length of the phrase before spec */
	size_t at;       /* place of the last "@" in spec, if has_at */
	bool has_at;
	bool complete; /* spec has its "@" and has ended: of two addresses without a comma the first is kept */
	bool any;      /* a word was seen */
	bool space;    /* blanks since the last word */
	bool joins;    /* the last word ends in "." or "@", so another one must follow */
	bool quoted;   /* the last word was a quoted string */
};

void mime_addr_begin(struct mime_addr_iter *it, const char *text, size_t len)
{
	it->p = text;
	it->end = len != 0 ? text + len : text;
	it->in_group = false;
}

void mime_addr_fini(struct mime_addr *a)
{
	str_fini(&a->name);
	str_fini(&a->adl);
	str_fini(&a->mailbox);
	str_fini(&a->host);
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool is_word(char c)
{
	return !is_space(c) && strchr("(\"<>@,;:\\[]", c) == NULL;
}

static void add_plain(struct str *out, char c)
{
	if (c != '\r' && c != '\n' && c != '\0')
		str_addc(out, c);
}

/* Reads a comment with those nested in it; its text replaces OUT. */
static void take_comment(struct mime_addr_iter *it, struct str *out)
{
	size_t depth = 0;

	str_clear(out);
	for (; it->p < it->end; it->p++) {
		char c = *it->p;

		if (c == '\\' && it->end - it->p > 1) {
			add_plain(out, *++it->p);
			continue;
		}
		if (c == ')' && --depth == 0) {
			it->p++;
			break;
		}
		if (c != '(' || depth++ > 0)
			add_plain(out, c);
	}
	while (out->len > 0 && out->data[out->len - 1] == ' ')
		out->data[--out->len] = '\0';
}

static void take_quoted(struct mime_addr_iter *it, struct str *out)
{
	for (it->p++; it->p < it->end && *it->p != '"'; it->p++) {
		if (*it->p == '\\' && it->end - it->p > 1)
			it->p++;
		add_plain(out, *it->p);
	}
	it->p += it->p < it->end;
}

static void take_literal(struct mime_addr_iter *it, struct str *out)
{
	while (it->p < it->end && *it->p != ']' && *it->p != ',' && *it->p != '>')
		add_plain(out, *it->p++);
	if (it->p < it->end && *it->p == ']')
		str_addc(out, *it->p++);
}

/* Adds the word that was read to the phrase, and to the address. APART: it does not belong to the word before it, so
 * the address begins here, or ended before. */
static void add_word(struct pending *w, bool apart)
{
	if (apart && w->has_at)
		w->complete = true;
	if (apart && !w->complete) {
		str_clear(&w->spec);
		w->name_len = w->phrase.len;
	}
	if (w->space && w->phrase.len > 0)
		str_addc(&w->phrase, ' ');
	str_add(&w->phrase, str_cstr(&w->word), w->word.len);
	if (!w->complete)
		str_add(&w->spec, str_cstr(&w->word), w->word.len);
}

static bool is_joint(char c)
{
	return c == '.' || c == '@';
}

/* Reads a word, or one character that is not part of a word. */
static void take_word(struct mime_addr_iter *it, struct pending *w)
{
	char c = *it->p;
	bool quoted = c == '"', apart = w->any && !w->joins && !is_joint(c) && (w->space || w->quoted || quoted);

	str_clear(&w->word);
	if (quoted) {
		take_quoted(it, &w->word);
	} else if (c == '[') {
		take_literal(it, &w->word);
	} else if (is_word(c)) {
		while (it->p < it->end && is_word(*it->p))
			str_addc(&w->word, *it->p++);
	} else {
		if (c == '\\' && it->end - it->p > 1)
			it->p++;
		add_plain(&w->word, *it->p++);
	}
	add_word(w, apart);
	if (c == '@' && !w->complete) {
		w->at = w->spec.len - 1;
		w->has_at = true;
	}
	w->any = true;
	w->space = false;
	w->quoted = quoted;
	w->joins = !quoted && w->word.len > 0 && is_joint(w->word.data[w->word.len - 1]);
}

/* Reads one piece of a phrase or an address. */
static void take_piece(struct mime_addr_iter *it, struct pending *w)
{
	if (is_space(*it->p)) {
		w->space = true;
		it->p++;
	} else if (*it->p == '(') {
		take_comment(it, &w->comment);
		w->space = true;
	} else {
		take_word(it, w);
	}
}

static void set_part(struct str *to, bool *have, const char *p, size_t len)
{
	str_add(to, p, len);
	*have = true;
}

/* Fills A with the address in W->spec. */
static void set_spec(struct mime_addr *a, const struct pending *w)
{
	const char *p = str_cstr(&w->spec);

	set_part(&a->mailbox, &a->have_mailbox, p, w->has_at ? w->at : w->spec.len);
	if (w->has_at)
		set_part(&a->host, &a->have_host, p + w->at + 1, w->spec.len - w->at - 1);
}

/* The first LEN bytes of the phrase NAME, or else the comment. */
static void set_name(struct mime_addr *a, const struct str *name, size_t len, const struct str *comment)
{
	if (len > 0)
		set_part(&a->name, &a->have_name, name->data, len);
	else if (comment->len > 0)
		set_part(&a->name, &a->have_name, comment->data, comment->len);
}

/* Is it one word, which may be an address without a host? */
static bool is_one_word(const struct pending *w)
{
	return w->name_len == 0 && memchr(str_cstr(&w->phrase), ' ', w->phrase.len) == NULL;
}

static void clear_pending(struct pending *w)
{
	str_clear(&w->phrase);
	str_clear(&w->spec);
	w->name_len = 0;
	w->has_at = w->complete = w->any = w->space = w->joins = w->quoted = false;
}

/* Reads what stands between "<" and ">": an address, perhaps after a source route. */
static void take_angle(struct mime_addr_iter *it, struct mime_addr *a, struct pending *w)
{
	clear_pending(w);
	for (it->p++; it->p < it->end && *it->p != '>';) {
		if (*it->p == ':' && w->spec.len > 0 && w->spec.data[0] == '@' && !a->have_adl) {
			set_part(&a->adl, &a->have_adl, w->spec.data, w->spec.len);
			clear_pending(w);
			it->p++;
		} else if (*it->p == ',' && (w->spec.len == 0 || w->spec.data[0] != '@')) {
			break; /* the ">" is missing */
		} else if (*it->p == '<') {
			it->p++;
		} else {
			take_piece(it, w);
		}
	}
	it->p += it->p < it->end && *it->p == '>';
	if (w->has_at || is_one_word(w))
		set_spec(a, w);
	else
		set_part(&a->mailbox, &a->have_mailbox, str_cstr(&w->phrase), w->phrase.len);
}

/* Skips what follows the ">" up to the end of the address: comments, and garbage. */
static void skip_rest(struct mime_addr_iter *it, struct pending *w)
{
	struct str junk = STR_INIT;

	while (it->p < it->end && *it->p != ',' && *it->p != ';') {
		if (*it->p == '(')
			take_comment(it, &w->comment);
		else if (*it->p == '"')
			take_quoted(it, &junk);
		else
			it->p++;
	}
	str_fini(&junk);
}

static bool group_end(struct mime_addr_iter *it, struct mime_addr *a)
{
	it->in_group = false;
	a->kind = MIME_ADDR_GROUP_END;
	return true;
}

/* Reads one address or the start of a group; false if there is neither before the next separator. */
static bool take_address(struct mime_addr_iter *it, struct mime_addr *a, struct pending *w)
{
	struct str name = STR_INIT;

	while (it->p < it->end && *it->p != ',' && *it->p != ';') {
		if (*it->p == '<') {
			str_add(&name, str_cstr(&w->phrase), w->phrase.len);
			take_angle(it, a, w);
			skip_rest(it, w);
			set_name(a, &name, name.len, &w->comment);
			str_fini(&name);
			return true;
		}
		if (*it->p == ':' && !it->in_group && !w->has_at) {
			it->p++;
			it->in_group = true;
			a->kind = MIME_ADDR_GROUP_START;
			set_part(&a->mailbox, &a->have_mailbox, str_cstr(&w->phrase), w->phrase.len);
			return true;
		}
		take_piece(it, w);
	}
	if (!w->any)
		return false;
	if (w->has_at || is_one_word(w)) {
		set_spec(a, w);
		set_name(a, &w->phrase, w->name_len, &w->comment);
	} else { /* several words and no address: a name */
		set_name(a, &w->phrase, w->phrase.len, &w->comment);
	}
	return true;
}

static void reset(struct mime_addr *a)
{
	str_clear(&a->name);
	str_clear(&a->adl);
	str_clear(&a->mailbox);
	str_clear(&a->host);
	a->have_name = a->have_adl = a->have_mailbox = a->have_host = false;
	a->kind = MIME_ADDR_BOX;
}

/* Reads the next address or group mark into A; W is scratch space for its words. */
static bool find_next(struct mime_addr_iter *it, struct mime_addr *a, struct pending *w)
{
	while (it->p < it->end) {
		if (*it->p == ';' && it->in_group) {
			it->p++;
			return group_end(it, a);
		}
		if (*it->p == ',' || *it->p == ';' || is_space(*it->p)) {
			it->p++;
			continue;
		}
		str_clear(&w->comment);
		if (take_address(it, a, w))
			return true;
	}
	return it->in_group && group_end(it, a);
}

bool mime_addr_next(struct mime_addr_iter *it, struct mime_addr *a)
{
	struct pending w = { .any = false };
	bool found;

	reset(a);
	found = find_next(it, a, &w);
	str_fini(&w.phrase);
	str_fini(&w.word);
	str_fini(&w.spec);
	str_fini(&w.comment);
	return found;
}
