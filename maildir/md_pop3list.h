/* The text of courierpop3dsizelist. */
#ifndef MAILDIR_MD_POP3LIST_H
#define MAILDIR_MD_POP3LIST_H

#include "lib/str.h"
#include "maildir/md_pop3.h"

struct md_pop3list {
	uint32_t next, uidv;
	size_t n;
	struct md_pop3line {
		char *name;
		uint64_t octets;
		uint32_t n, uidv;
		bool utf8;
		bool used;
	} * line;
	bool upgrade; /* an older version: rewrite it */
};

/* Reads the LEN bytes at P. False, and L empty, if it is no list of version 2 or 3. Invalid lines are left out. */
bool md_pop3list_parse(struct md_pop3list *l, const char *p, size_t len);
void md_pop3list_fini(struct md_pop3list *l);
/* Appends LINE to L, which takes over its name. */
void md_pop3list_move(struct md_pop3list *l, struct md_pop3line *line);
/* Appends the text of a list with the messages of P, and the lines of OTHERS. */
void md_pop3list_format(const struct md_pop3 *p, const struct md_pop3list *others, struct str *out);

#endif
