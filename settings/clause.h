/* A clause of SQL as Courier's settings hold it: text with $(local_part), $(domain) and $(service) in it. The
 * walker below knows in which quotes each variable stands, for the right escaping depends on it; nobody may run
 * a clause whose variables stand where a name from outside could leave its place. */
#ifndef SETTINGS_CLAUSE_H
#define SETTINGS_CLAUSE_H

#include "lib/base.h"

/* How the server reads it. MySQL: without ANSI_QUOTES and NO_BACKSLASH_ESCAPES. PostgreSQL: with
 * standard_conforming_strings. SQLite: "..." is never a string. The drivers see to it at connect. */
enum clause_dialect { CLAUSE_MYSQL, CLAUSE_PGSQL, CLAUSE_SQLITE };

enum clause_place {
	CLAUSE_BARE,   /* outside of quotes */
	CLAUSE_STRING, /* within '...', with MySQL also within "..." */
	/* Within the quotes of names: `...` (MySQL), "..." (PostgreSQL), both and [...] (SQLite). */
	CLAUSE_IDENTIFIER,
	CLAUSE_UNSAFE /* in a comment, in E'...', behind a backslash: no value can be put there */
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
	bool backslash; /* in quotes: a backslash takes the next character */
	bool dollar;    /* met a dollar quote of PostgreSQL's, which is not followed here */
};

void clause_begin(struct clause *c, const char *text, enum clause_dialect dialect);
/* The next piece; false at the end. */
bool clause_next(struct clause *c, struct clause_piece *out);
/* NULL if the clause can be used, else what is wrong with it, as a sentence for an operator (static). */
const char *clause_mistake(const char *text, enum clause_dialect dialect);

#endif
