/* An SQL clause from Courier's settings: text with the variables $(local_part), $(domain) and $(service). The walker
 * below knows in which quotes each variable is, because the right escaping depends on that. A clause in which a name
 * from outside could break out of its place must not be run. */
#ifndef SETTINGS_CLAUSE_H
#define SETTINGS_CLAUSE_H

#include "lib/base.h"

/* How the server parses it. MySQL: without ANSI_QUOTES and NO_BACKSLASH_ESCAPES. PostgreSQL: with
 * standard_conforming_strings. SQLite: "..." is never a string. The drivers set this when they connect. */
enum clause_dialect { CLAUSE_MYSQL, CLAUSE_PGSQL, CLAUSE_SQLITE };

enum clause_place {
	CLAUSE_BARE,   /* outside of quotes */
	CLAUSE_STRING, /* within '...', with MySQL also within "..." */
	/* Within the quotes of names: `...` (MySQL), "..." (PostgreSQL), both and [...] (SQLite). */
	CLAUSE_IDENTIFIER,
	CLAUSE_UNSAFE /* in a comment, in E'...', after a backslash: no value can be inserted safely */
};

struct clause_piece {
	const char *text; /* literal text, or the name of a variable */
	size_t len;
	bool variable;
	enum clause_place place; /* of a variable */
};

/* All members are private. */
struct clause {
	const char *start, *p;
	enum clause_dialect dialect;
	char in;        /* ' " ` ] within quotes, - within a comment to the end, * within one with an end, 0 else */
	bool backslash; /* in quotes: a backslash escapes the next character */
	bool dollar;    /* found a dollar quote of PostgreSQL, which is not supported */
};

void clause_begin(struct clause *c, const char *text, enum clause_dialect dialect);
/* The next piece; false at the end. */
bool clause_next(struct clause *c, struct clause_piece *out);
/* NULL if the clause can be used, else what is wrong with it, as static text for an operator. */
const char *clause_mistake(const char *text, enum clause_dialect dialect);

#endif
