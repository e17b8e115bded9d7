/* libconfig stops at the first mistake, with a message for programmers, and misreads some numbers silently. This scans
 * the text first, with the same grammar, and continues after a mistake: what it refuses is reported and blanked. It
 * needs the whole grammar, because libconfig has no hooks in its parser, and to continue after a mistake one must know
 * where a setting can begin. fuzz/fuzz_settings.c checks that libconfig never refuses what has passed here. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"
#include "settings/settings_text.h"

enum { DEPTH_MAX = 16, SHOWN_MAX = 60 };

enum kind {
	END = 0,
	STRING = 256, /* with its quotes */
	WORD          /* everything that is neither string nor one of = : ; , { } [ ] ( ) */
};

struct token {
	int kind;
	size_t start, end;
	unsigned line;
};

/* A name that its group has, for finding the second of the same name. */
struct seen {
	size_t start, len;
	unsigned line;
};

struct scan {
	struct settings_text *t;
	struct str *errors;
	size_t pos;
	unsigned line;
	struct token tok;  /* the next one, not consumed yet */
	size_t last_end;   /* end of the last consumed one */
	unsigned open;     /* open brackets */
	unsigned depth;    /* values within values */
	unsigned unclosed; /* groups that lack a } at the end of the text */
	struct seen *seen;
	size_t nseen;
};

static void skip_blanks(struct scan *s)
{
	const char *p = str_cstr(&s->t->text);

	for (;;) {
		if (p[s->pos] == '\n') {
			s->line++;
			s->pos++;
		} else if (p[s->pos] != '\0' && strchr(" \t\r\f", p[s->pos]) != NULL) {
			s->pos++;
		} else if (p[s->pos] == '#' || (p[s->pos] == '/' && p[s->pos + 1] == '/')) {
			s->pos += strcspn(p + s->pos, "\n");
		} else if (p[s->pos] == '/' && p[s->pos + 1] == '*') {
			for (s->pos += 2; p[s->pos] != '\0' && !(p[s->pos] == '*' && p[s->pos + 1] == '/'); s->pos++)
				s->line += p[s->pos] == '\n';
			s->pos += p[s->pos] != '\0' ? 2 : 0;
		} else {
			return;
		}
	}
}

static size_t string_end(const char *p, size_t at)
{
	for (at++; p[at] != '\0' && p[at] != '\n' && p[at] != '"'; at++)
		if (p[at] == '\\' && p[at + 1] != '\0' && p[at + 1] != '\n')
			at++;
	return p[at] == '"' ? at + 1 : at;
}

static size_t word_end(const char *p, size_t at)
{
	while (p[at] != '\0' && strchr(" \t\r\f\n\"=:;,{}[]()#", p[at]) == NULL &&
	    !(p[at] == '/' && (p[at + 1] == '/' || p[at + 1] == '*')))
		at++;
	return at;
}

/* Consumes the current token and reads the next one. */
static void next(struct scan *s)
{
	const char *p = str_cstr(&s->t->text);
	char c;

	s->last_end = s->tok.end;
	skip_blanks(s);
	c = p[s->pos];
	s->tok.start = s->pos;
	s->tok.line = s->line;
	if (c == '\0') {
		s->tok.kind = END;
	} else if (c == '"') {
		s->tok.kind = STRING;
		s->pos = string_end(p, s->pos);
	} else if (strchr("=:;,{}[]()", c) != NULL) {
		s->tok.kind = c;
		s->pos++;
	} else {
		s->tok.kind = WORD;
		s->pos = word_end(p, s->pos);
	}
	s->tok.end = s->pos;
}

static void take(struct scan *s)
{
	if (s->tok.kind == '{' || s->tok.kind == '[' || s->tok.kind == '(')
		s->open++;
	else if ((s->tok.kind == '}' || s->tok.kind == ']' || s->tok.kind == ')') && s->open != 0)
		s->open--;
	next(s);
}

/* The token's text, cut for a message. */
static const char *shown(const struct scan *s, const struct token *tok, char buf[SHOWN_MAX])
{
	if (tok->kind == END)
		snprintf(buf, SHOWN_MAX, "the end of the file");
	else
		snprintf(buf, SHOWN_MAX, "%.*s", (int)MIN(tok->end - tok->start, 50), s->t->text.data + tok->start);
	return buf;
}

static bool is_name(const struct scan *s, const struct token *tok)
{
	const char *p = str_cstr(&s->t->text) + tok->start;
	size_t len = tok->end - tok->start;

	if (tok->kind != WORD || len == 0 ||
	    strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz*", p[0]) == NULL)
		return false;
	for (size_t i = 1; i < len; i++)
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-*", p[i]) == NULL)
			return false;
	return !text_is_word(p, len, "true") && !text_is_word(p, len, "false");
}

/* The next token is a name followed by =: a setting begins here. */
static bool setting_begins(struct scan *s)
{
	struct scan look = *s;

	if (!is_name(s, &s->tok))
		return false;
	next(&look);
	return look.tok.kind == '=' || look.tok.kind == ':';
}

/* Skips to where the next setting of this group may begin: after a ; or at a name at the start of a line. */
static void recover(struct scan *s, unsigned open)
{
	while (s->tok.kind != END) {
		unsigned line = s->tok.line;
		int kind = s->tok.kind;

		if (kind == '}' && s->open <= open)
			return;
		take(s);
		if (kind == ';' && s->open <= open)
			return;
		if (s->tok.line != line && setting_begins(s))
			break;
	}
	/* Brackets that were never closed do not count from here on. */
	s->open = open;
}

static void blank(struct scan *s, size_t start, size_t end)
{
	for (size_t i = start; i < end; i++)
		if (s->t->text.data[i] != '\n')
			s->t->text.data[i] = ' ';
}

/* A number as libconfig knows them; *WRONG is set if it would be read as another one. */
static bool is_number(const char *p, size_t len, const char **wrong)
{
	size_t sign = len != 0 && (p[0] == '-' || p[0] == '+'), digits, rest;
	uint64_t v, limit = INT32_MAX;

	if (len > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		digits = strspn(p + 2, "0123456789abcdefABCDEF");
		if (digits > 7)
			*wrong = "the number is too large; write it in decimal, in quotes";
		return 2 + digits == len;
	}
	digits = strspn(p + sign, "0123456789");
	rest = len - MIN(len, sign + digits);
	if (digits == 0)
		return false;
	if (rest != 0 && p[sign + digits] == 'L') {
		limit = INT64_MAX;
		rest -= rest >= 2 && p[sign + digits + 1] == 'L' ? 2 : 1;
	}
	if (rest != 0)
		return false;
	if (digits > 1 && p[sign] == '0')
		*wrong = "a number with a leading 0 is read as decimal; remove the 0, or write an octal number in "
		         "quotes";
	else if (!num_parse(p + sign, digits, limit, &v))
		*wrong = "the number is too large; put it in quotes";
	return true;
}

/* A number with a point. No setting accepts one, but it is valid syntax. */
static bool is_float(const char *p, size_t len)
{
	size_t sign = len != 0 && (p[0] == '-' || p[0] == '+'), a = strspn(p + sign, "0123456789"), b;

	if (sign + a >= len || p[sign + a] != '.')
		return false;
	b = strspn(p + sign + a + 1, "0123456789");
	return sign + a + 1 + b == len && a + b != 0;
}

/* A value that is a word: a number, true or false; anything else needs quotes. */
static bool scan_word(struct scan *s, const char *name)
{
	const char *p = s->t->text.data + s->tok.start, *wrong = NULL;
	size_t len = s->tok.end - s->tok.start;
	char buf[SHOWN_MAX];

	if (text_is_word(p, len, "true") || text_is_word(p, len, "false") || is_float(p, len)) {
		take(s);
		return true;
	}
	if (is_number(p, len, &wrong)) {
		if (wrong == NULL) {
			take(s);
			return true;
		}
		settings_report(s->errors, s->t, s->tok.line, "%s = %s: %s", name, shown(s, &s->tok, buf), wrong);
	} else if (text_is_word(p, len, "yes") || text_is_word(p, len, "on")) {
		settings_report(s->errors, s->t, s->tok.line, "%s = %s: write true, or \"%s\" in quotes", name,
		    shown(s, &s->tok, buf), buf);
	} else if (text_is_word(p, len, "no") || text_is_word(p, len, "off")) {
		settings_report(s->errors, s->t, s->tok.line, "%s = %s: write false, or \"%s\" in quotes", name,
		    shown(s, &s->tok, buf), buf);
	} else if (p[0] == '\'') {
		settings_report(s->errors, s->t, s->tok.line, "%s = %s: use double quotes for text", name,
		    shown(s, &s->tok, buf));
	} else {
		settings_report(s->errors, s->t, s->tok.line, "%s = %s: put text in quotes: \"%s\"", name,
		    shown(s, &s->tok, buf), buf);
	}
	return false;
}

static bool scan_value(struct scan *s, const char *name);
static void scan_group(struct scan *s);

/* 'n' number, 'b' true or false, 's' string: which libconfig requires to be the same in an array. */
static char sort_of(const struct scan *s)
{
	char c = s->t->text.data[s->tok.start];

	if (s->tok.kind == STRING)
		return 's';
	return strchr("tTfF", c) != NULL ? 'b' : 'n';
}

/* The elements of [ ] or ( ); the opening bracket is the next token. */
static bool scan_list(struct scan *s, const char *name)
{
	int close = s->tok.kind == '[' ? ']' : ')';
	unsigned line = s->tok.line;
	char first = 0, buf[SHOWN_MAX];

	take(s);
	if (s->tok.kind == close) {
		take(s);
		return true;
	}
	for (;;) {
		if (s->tok.kind != STRING && s->tok.kind != WORD &&
		    (close == ']' || strchr("[({", s->tok.kind) == NULL)) {
			settings_report(s->errors, s->t, s->tok.line, "%s: expected a value of the list, found %s",
			    name, shown(s, &s->tok, buf));
			return false;
		}
		if (close == ']' && first != 0 && first != sort_of(s)) {
			settings_report(s->errors, s->t, s->tok.line,
			    "%s: the values of an array must have one type; put all of them in quotes", name);
			return false;
		}
		first = sort_of(s);
		/* Two strings side by side would silently become one. */
		if (s->tok.kind == STRING)
			take(s);
		else if (!scan_value(s, name))
			return false;
		if (s->tok.kind == close) {
			take(s);
			return true;
		}
		if (s->tok.kind != ',') {
			if (s->tok.kind == END || s->tok.kind == ';' || s->tok.kind == '}' || setting_begins(s))
				settings_report(s->errors, s->t, line, "%s: the list has no end; add the closing %c",
				    name, close);
			else
				settings_report(s->errors, s->t, s->tok.line, "%s: a comma is missing before %s", name,
				    shown(s, &s->tok, buf));
			return false;
		}
		take(s);
	}
}

static bool scan_value(struct scan *s, const char *name)
{
	char buf[SHOWN_MAX];
	bool ok;

	if (s->tok.kind == STRING) {
		while (s->tok.kind == STRING)
			take(s);
		return true;
	}
	if (s->tok.kind == WORD)
		return scan_word(s, name);
	if (s->tok.kind != '{' && s->tok.kind != '[' && s->tok.kind != '(') {
		settings_report(s->errors, s->t, s->tok.line, "%s: no value before %s", name, shown(s, &s->tok, buf));
		return false;
	}
	if (s->depth >= DEPTH_MAX) {
		settings_report(s->errors, s->t, s->tok.line, "%s: groups are nested too deeply", name);
		return false;
	}
	s->depth++;
	ok = true;
	if (s->tok.kind == '{')
		scan_group(s);
	else
		ok = scan_list(s, name);
	s->depth--;
	return ok;
}

/* Where NAME of the group whose names begin at FROM was set before; 0: nowhere. Remembers it if not. */
static unsigned set_before(struct scan *s, const struct token *name, size_t from)
{
	const char *p = s->t->text.data;
	size_t len = name->end - name->start;

	for (size_t i = from; i < s->nseen; i++)
		if (s->seen[i].len == len && memcmp(p + s->seen[i].start, p + name->start, len) == 0)
			return s->seen[i].line;
	s->seen = mem_grow(s->seen, (s->nseen + 1) * sizeof(*s->seen));
	s->seen[s->nseen++] = (struct seen){ name->start, len, name->line };
	return 0;
}

/* Reports and blanks what is found in place of a setting's name. */
static void scan_stray(struct scan *s, char separator, const char *before)
{
	struct token tok = s->tok;
	char buf[SHOWN_MAX];

	shown(s, &tok, buf);
	if (tok.kind == ';' || tok.kind == ',') {
		settings_report(s->errors, s->t, tok.line, "unexpected %s; remove it", buf);
		take(s);
	} else if (tok.kind == '}') {
		settings_report(s->errors, s->t, tok.line, "a } without a {; remove it");
		take(s);
		if (s->tok.kind == ';')
			take(s);
	} else {
		if (strncmp(buf, "@include", 8) == 0)
			settings_report(s->errors, s->t, tok.line, "@include must start a line: @include \"FILE\"");
		else if (separator == ',')
			settings_report(s->errors, s->t, tok.line,
			    "%s: unexpected comma before %s; write several values in one string: \"..., ...\"", before,
			    buf);
		else
			settings_report(s->errors, s->t, tok.line, "expected the name of a setting, found %s", buf);
		recover(s, s->open);
		if (s->tok.start == tok.start)
			take(s);
	}
	blank(s, tok.start, s->last_end);
}

/* Makes a blank before position AT a =, if there is one. */
static bool put_equals(struct scan *s, size_t at)
{
	char *before = at != 0 ? s->t->text.data + at - 1 : NULL;

	if (before == NULL || (*before != ' ' && *before != '\t'))
		return false;
	*before = '=';
	return true;
}

/* One NAME = VALUE; with its separator, which is returned (0: none). */
static char scan_setting(struct scan *s, size_t from, char buf[SHOWN_MAX])
{
	struct token name = s->tok;
	unsigned open = s->open, unclosed = s->unclosed, first;
	char separator = 0;
	bool ok = true;

	shown(s, &name, buf);
	take(s);
	if (s->tok.kind == '=' || s->tok.kind == ':') {
		take(s);
	} else {
		settings_report(s->errors, s->t, name.line,
		    s->tok.kind == '{' ? "%s: expected = before {" : "%s: expected = after the name", buf);
		/* The content of the group is checked, too. */
		ok = s->tok.kind == '{' && put_equals(s, s->tok.start);
	}
	if ((ok || s->tok.kind == '{') && !scan_value(s, buf))
		ok = false;
	if (!ok && s->tok.kind != ';' && s->tok.kind != ',')
		recover(s, open);
	s->open = open;
	if (ok && (first = set_before(s, &name, from)) != 0) {
		const struct settings_line *l = &s->t->lines[first - 1];

		settings_report(s->errors, s->t, name.line, "%s is set twice, first at %s:%u; remove one", buf,
		    s->t->files[l->file], l->line);
		ok = false;
	}
	if (s->tok.kind == ';' || s->tok.kind == ',') {
		separator = (char)s->tok.kind;
		take(s);
	}
	if (!ok) {
		blank(s, name.start, s->last_end);
		s->unclosed = unclosed;
	}
	return separator;
}

static void scan_settings(struct scan *s, bool inner)
{
	size_t from = s->nseen;
	char separator = 0, name[SHOWN_MAX] = "";

	while (s->tok.kind != END && !(inner && s->tok.kind == '}')) {
		if (is_name(s, &s->tok)) {
			separator = scan_setting(s, from, name);
		} else {
			scan_stray(s, separator, name);
			separator = 0;
		}
	}
	s->nseen = from;
}

/* { settings }; a group that the file does not close is closed at its end. */
static void scan_group(struct scan *s)
{
	unsigned line = s->tok.line;

	take(s);
	scan_settings(s, true);
	if (s->tok.kind == '}') {
		take(s);
		return;
	}
	settings_report(s->errors, s->t, line, "the group has no end; add the closing };");
	s->unclosed++;
}

void settings_scan(struct settings_text *t, struct str *errors)
{
	struct scan s;

	memset(&s, 0, sizeof(s));
	s.t = t;
	s.errors = errors;
	s.line = 1;
	next(&s);
	scan_settings(&s, false);
	while (s.unclosed-- != 0)
		str_addc(&t->text, '}');
	mem_free(&s.seen);
}
