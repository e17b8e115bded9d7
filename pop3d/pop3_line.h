/* One command line of a client: verb and arguments. */
#ifndef POP3D_POP3_LINE_H
#define POP3D_POP3_LINE_H

#include "lib/base.h"

enum {
	POP3_LINE_MAX = 1024, /* bytes of a command with its CRLF; RFC 2449 section 4 demands 255 */
	POP3_ARGS_MAX = 2
};

struct pop3_line {
	char *verb; /* upper case, 1 to 7 letters or digits */
	unsigned args;
	char *arg[POP3_ARGS_MAX];
};

/* Splits the LEN bytes at LINE (NUL-terminated, changed in place) at blanks. False: a control character or byte above
 * 126 in it, no verb, a verb that is too long, too many arguments. */
bool pop3_line_parse(struct pop3_line *l, char *line, size_t len);

#endif
