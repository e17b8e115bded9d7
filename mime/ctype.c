/* The parser of Content-Type and similar fields. */
#include "mime/ctype.h"

#include <string.h>

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\0';
}

static bool is_token(char c)
{
	return (unsigned char)c > 32 && c != 127 && strchr("()<>@,;:\\\"/[]?=", c) == NULL;
}

void mime_ctype_begin(struct mime_ctype *c, const struct mime_text *value)
{
	c->p = value->p;
	c->end = value->p != NULL ? value->p + value->len : NULL;
}

/* Skips a comment, which may contain others; one without an end takes all the rest. */
static void skip_comment(struct mime_ctype *c)
{
	size_t depth = 0;

	for (; c->p < c->end; c->p++) {
		if (*c->p == '\\' && c->end - c->p > 1)
			c->p++;
		else if (*c->p == '(')
			depth++;
		else if (*c->p == ')' && --depth == 0) {
			c->p++;
			return;
		}
	}
}

static void skip_blanks(struct mime_ctype *c)
{
	while (c->p < c->end) {
		if (is_space(*c->p))
			c->p++;
		else if (*c->p == '(')
			skip_comment(c);
		else
			return;
	}
}

static bool take_token(struct mime_ctype *c, struct str *out)
{
	const char *from = c->p;

	while (c->p < c->end && is_token(*c->p))
		c->p++;
	str_add(out, from, (size_t)(c->p - from));
	return c->p > from;
}

/* The text of a quoted string; P stands on the opening quote. */
static void take_quoted(struct mime_ctype *c, struct str *out)
{
	for (c->p++; c->p < c->end && *c->p != '"'; c->p++) {
		if (*c->p == '\\' && c->end - c->p > 1)
			c->p++;
		if (*c->p != '\r' && *c->p != '\n' && *c->p != '\0')
			str_addc(out, *c->p);
	}
	if (c->p < c->end)
		c->p++;
}

/* A value without quotes. Real mail has all sorts of characters in it, so only a blank or ";" ends it. */
static void take_bare(struct mime_ctype *c, struct str *out)
{
	const char *from = c->p;

	while (c->p < c->end && !is_space(*c->p) && *c->p != ';')
		c->p++;
	str_add(out, from, (size_t)(c->p - from));
}

bool mime_ctype_type(struct mime_ctype *c, struct str *type, struct str *subtype)
{
	bool ok = false;

	str_clear(type);
	str_clear(subtype);
	skip_blanks(c);
	if (take_token(c, type)) {
		skip_blanks(c);
		if (c->p < c->end && *c->p == '/') {
			c->p++;
			skip_blanks(c);
			ok = take_token(c, subtype);
		}
	}
	if (!ok) {
		str_clear(type);
		str_clear(subtype);
	}
	return ok;
}

bool mime_ctype_word(struct mime_ctype *c, struct str *word)
{
	str_clear(word);
	skip_blanks(c);
	if (c->p < c->end && *c->p == '"') {
		take_quoted(c, word);
		return true;
	}
	return take_token(c, word);
}

bool mime_ctype_next_word(struct mime_ctype *c, struct str *word)
{
	while (c->p < c->end) {
		if (mime_ctype_word(c, word))
			return true;
		if (c->p < c->end)
			c->p++; /* a comma, or anything that cannot be in a word */
	}
	return false;
}

/* To the next ";" outside of quotes. */
static void skip_to_semicolon(struct mime_ctype *c)
{
	while (c->p < c->end && *c->p != ';') {
		if (*c->p == '(') {
			skip_comment(c);
		} else if (*c->p == '"') {
			for (c->p++; c->p < c->end && *c->p != '"'; c->p++)
				if (*c->p == '\\' && c->end - c->p > 1)
					c->p++;
			c->p += c->p < c->end;
		} else {
			c->p++;
		}
	}
}

bool mime_ctype_param(struct mime_ctype *c, struct str *name, struct str *value)
{
	for (;;) {
		str_clear(name);
		str_clear(value);
		skip_to_semicolon(c);
		if (c->p >= c->end)
			return false;
		c->p++;
		skip_blanks(c);
		if (!take_token(c, name))
			continue;
		skip_blanks(c);
		if (c->p >= c->end || *c->p != '=')
			continue;
		c->p++;
		skip_blanks(c);
		if (c->p < c->end && *c->p == '"')
			take_quoted(c, value);
		else
			take_bare(c, value);
		return true;
	}
}
