/* The walker over an SQL clause. */
#include "settings/clause.h"

#include <ctype.h>
#include <string.h>

void clause_begin(struct clause *c, const char *text, enum clause_dialect dialect)
{
	c->start = c->p = text;
	c->dialect = dialect;
	c->in = 0;
	c->backslash = false;
	c->dollar = false;
}

/* A name or number ends right before P. */
static bool behind_word(const char *start, const char *p)
{
	return p > start &&
	    (isalnum((unsigned char)p[-1]) || p[-1] == '_' || p[-1] == '$' || (unsigned char)p[-1] >= 0x80);
}

/* The quote at P, which begins a string, has the E of PostgreSQL's strings with backslashes before it. */
static bool is_e_string(const char *start, const char *p)
{
	return p > start && (p[-1] == 'e' || p[-1] == 'E') && !behind_word(start, p - 1);
}

/* Handles what is at C->p outside of quotes; returns the number of characters. */
static size_t step_bare(struct clause *c)
{
	const char *p = c->p;
	bool mysql = c->dialect == CLAUSE_MYSQL, pgsql = c->dialect == CLAUSE_PGSQL;

	if (*p == '\'' || *p == '"' || (!pgsql && *p == '`')) {
		c->in = *p;
		c->backslash = mysql ? *p != '`' : pgsql && *p == '\'' && is_e_string(c->start, p);
	} else if (c->dialect == CLAUSE_SQLITE && *p == '[') {
		c->in = ']';
		c->backslash = false;
	} else if (pgsql && *p == '$' && !isdigit((unsigned char)p[1]) && !behind_word(c->start, p)) {
		c->dollar = true;
	} else if (p[0] == '/' && p[1] == '*') {
		c->in = '*';
		return 2;
	} else if ((p[0] == '-' && p[1] == '-' && (!mysql || p[2] == ' ' || p[2] == '\0')) || (mysql && *p == '#')) {
		c->in = '-';
	}
	return 1;
}

static size_t step_quoted(struct clause *c)
{
	const char *p = c->p;

	if (c->in == '*') {
		if (p[0] != '*' || p[1] != '/')
			return 1;
		c->in = 0;
		return 2;
	}
	if (c->in == '-')
		return 1;
	if (c->backslash && *p == '\\' && p[1] != '\0' && !(p[1] == '$' && p[2] == '('))
		return 2;
	if (*p != c->in)
		return 1;
	if (p[1] == c->in && c->in != ']')
		return 2;
	c->in = 0;
	return 1;
}

/* An odd number of backslashes before P: the last one escapes what follows. */
static bool behind_backslash(const char *start, const char *p)
{
	size_t n = 0;

	while (p > start && p[-1] == '\\') {
		p--;
		n++;
	}
	return n % 2 != 0;
}

static enum clause_place place_of(const struct clause *c)
{
	bool mysql = c->dialect == CLAUSE_MYSQL;

	if (c->in == 0)
		return CLAUSE_BARE;
	if (c->in == '*' || c->in == '-' || (!mysql && c->backslash) ||
	    (c->backslash && behind_backslash(c->start, c->p)))
		return CLAUSE_UNSAFE;
	return c->in == '\'' || (mysql && c->in == '"') ? CLAUSE_STRING : CLAUSE_IDENTIFIER;
}

bool clause_next(struct clause *c, struct clause_piece *out)
{
	const char *at = c->p;

	if (*at == '\0')
		return false;
	out->place = place_of(c);
	out->variable = at[0] == '$' && at[1] == '(';
	if (out->variable) {
		out->text = at + 2;
		out->len = strcspn(at + 2, ")");
		c->p += 2 + out->len + (out->text[out->len] == ')');
		return true;
	}
	while (*c->p != '\0' && !(c->p[0] == '$' && c->p[1] == '('))
		c->p += c->in == 0 ? step_bare(c) : step_quoted(c);
	out->text = at;
	out->len = (size_t)(c->p - at);
	return true;
}

static bool is_name(const struct clause_piece *piece, const char *name)
{
	return piece->len == strlen(name) && memcmp(piece->text, name, piece->len) == 0;
}

const char *clause_mistake(const char *text, enum clause_dialect dialect)
{
	struct clause c;
	struct clause_piece piece;

	clause_begin(&c, text, dialect);
	while (clause_next(&c, &piece)) {
		if (!piece.variable)
			continue;
		if (piece.text[piece.len] != ')')
			return "$( without )";
		if (is_name(&piece, "service"))
			continue;
		if (piece.place == CLAUSE_BARE)
			return "put $(local_part) and $(domain) in quotes: '$(local_part)'";
		/* A user named like a column would match every row. */
		if (piece.place == CLAUSE_IDENTIFIER && dialect == CLAUSE_SQLITE)
			return "in SQLite \"...\", `...` and [...] quote column names; write '$(local_part)'";
		if (piece.place == CLAUSE_UNSAFE)
			return "a variable in a comment, in an E'...' string or after a backslash is not safe; move it "
			       "into a '...' string";
	}
	if (c.dollar)
		return "strings in $$...$$ are not supported; write '...'";
	if (c.in != 0 && c.in != '-')
		return "a quote or comment has no end";
	return NULL;
}
