/* Splits a command line. */
#include "pop3d/pop3_line.h"

#include <string.h>

#include "lib/text.h"

enum { VERB_MAX = 7 };

/* Makes the verb upper case; false if it is not a valid verb. */
static bool check_verb(char *verb)
{
	size_t len = 0;

	for (char *p = verb; *p != '\0'; p++, len++) {
		if (*p >= 'a' && *p <= 'z')
			*p = (char)(*p - 'a' + 'A');
		else if (!(*p >= 'A' && *p <= 'Z') && !(*p >= '0' && *p <= '9'))
			return false;
	}
	return len >= 1 && len <= VERB_MAX;
}

bool pop3_line_parse(struct pop3_line *l, char *line, size_t len)
{
	unsigned words = 0;

	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < len; i++)
		if (!text_is_printable(line[i]))
			return false;
	for (char *p = line; *p != '\0';) {
		char *word = p;

		p += strcspn(p, " ");
		if (p == word) {
			p++;
			continue;
		}
		if (words > POP3_ARGS_MAX)
			return false;
		if (words++ == 0)
			l->verb = word;
		else
			l->arg[l->args++] = word;
		if (*p == ' ')
			*p++ = '\0';
	}
	return l->verb != NULL && check_verb(l->verb);
}
