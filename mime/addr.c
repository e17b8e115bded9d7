/* The parser of address lists. */
#include "mime/addr.h"

#include <string.h>

/* What stands before "<", ":", or the end of an address, kept in two ways: as a phrase (words with single blanks) and
 * as an address (without blanks); which of them counts is known only then. */
struct pending {
	struct str phrase;
	struct str spec;
	struct str comment;
	size_t at; /* place of the last "@" in spec, if has_at */
	bool has_at;
	bool any;   /* a word was seen */
	bool space; /* blanks since the last word */
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

/* Takes a comment with its inner ones; its text replaces OUT. */
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

/* Adds the text from FROM on in W->spec to the phrase too. */
static void add_word(struct pending *w, size_t from)
{
	if (w->space && w->phrase.len > 0)
		str_addc(&w->phrase, ' ');
	str_add(&w->phrase, str_cstr(&w->spec) + from, w->spec.len - from);
	w->space = false;
	w->any = true;
}

/* Takes one piece of what may stand in a phrase or an address. */
static void take_piece(struct mime_addr_iter *it, struct pending *w)
{
	size_t from = w->spec.len;
	char c = *it->p;

	if (is_space(c)) {
		w->space = true;
		it->p++;
		return;
	}
	if (c == '(') {
		take_comment(it, &w->comment);
		w->space = true;
		return;
	}
	if (c == '"') {
		take_quoted(it, &w->spec);
	} else if (c == '[') {
		take_literal(it, &w->spec);
	} else if (is_word(c)) {
		while (it->p < it->end && is_word(*it->p))
			str_addc(&w->spec, *it->p++);
	} else {
		if (c == '@') {
			w->at = from;
			w->has_at = true;
		}
		if (c == '\\' && it->end - it->p > 1)
			it->p++;
		add_plain(&w->spec, *it->p++);
	}
	add_word(w, from);
}

static void set_part(struct str *to, bool *have, const char *p, size_t len)
{
	str_add(to, p, len);
	*have = true;
}

/* The address that W->spec spells. */
static void set_spec(struct mime_addr *a, const struct pending *w)
{
	const char *p = str_cstr(&w->spec);

	set_part(&a->mailbox, &a->have_mailbox, p, w->has_at ? w->at : w->spec.len);
	if (w->has_at)
		set_part(&a->host, &a->have_host, p + w->at + 1, w->spec.len - w->at - 1);
}

static void set_name(struct mime_addr *a, const struct str *name, const struct str *comment)
{
	const struct str *s = name != NULL && name->len > 0 ? name : comment;

	if (s->len > 0)
		set_part(&a->name, &a->have_name, s->data, s->len);
}

static void clear_pending(struct pending *w)
{
	str_clear(&w->phrase);
	str_clear(&w->spec);
	w->has_at = w->any = w->space = false;
}

/* Takes what stands between "<" and ">": an address, perhaps behind a source route. */
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
	set_spec(a, w);
}

/* Behind the ">": comments, and what does not belong there, up to the end of the address. */
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

/* Takes one address or the start of a group; false if there is neither before the next separator. */
static bool take_address(struct mime_addr_iter *it, struct mime_addr *a, struct pending *w)
{
	struct str name = STR_INIT;

	while (it->p < it->end && *it->p != ',' && *it->p != ';') {
		if (*it->p == '<') {
			str_add(&name, str_cstr(&w->phrase), w->phrase.len);
			take_angle(it, a, w);
			skip_rest(it, w);
			set_name(a, &name, &w->comment);
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
	if (w->has_at || memchr(str_cstr(&w->phrase), ' ', w->phrase.len) == NULL) {
		set_spec(a, w);
		set_name(a, NULL, &w->comment);
	} else { /* several words and no address: a name */
		set_name(a, &w->phrase, &w->comment);
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

/* The next address or group mark in A, W being at hand for its words. */
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
	str_fini(&w.spec);
	str_fini(&w.comment);
	return found;
}
