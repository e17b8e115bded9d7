/* The mark of a node in its greetings: written and read. */
#include "login/node_mark.h"

#include <string.h>

static const char head[] = "Waypost node ", tail[] = " ready.";

enum { MARK_LEN = sizeof(head) - 1 + NODE_ID_LEN + sizeof(tail) - 1 };

void node_mark_add(struct str *out, const char *id)
{
	str_adds(out, head);
	str_adds(out, id);
	str_adds(out, tail);
}

/* LEN of LINE without the timestamp at its end: a blank, "<", no further "<" or blank, ">". */
static size_t without_timestamp(const char *line, size_t len)
{
	const char *open = len != 0 && line[len - 1] == '>' ? memrchr(line, '<', len) : NULL;

	if (open == NULL || open == line || open[-1] != ' ' || memchr(open, ' ', (size_t)(line + len - open)) != NULL)
		return len;
	return (size_t)(open - 1 - line);
}

/* The id in the mark at the end of LINE; NULL: there is no mark. */
static const char *find_id(const char *line)
{
	size_t len = without_timestamp(line, strlen(line));
	const char *mark, *id;

	if (len <= MARK_LEN) /* something stands before it in both protocols */
		return NULL;
	mark = line + len - MARK_LEN;
	id = mark + sizeof(head) - 1;
	if (mark[-1] != ' ' || memcmp(mark, head, sizeof(head) - 1) != 0 ||
	    memcmp(id + NODE_ID_LEN, tail, sizeof(tail) - 1) != 0)
		return NULL;
	return strspn(id, "0123456789abcdef") == NODE_ID_LEN ? id : NULL;
}

enum node_mark node_mark_read(const char *line, const char *self, const char **id)
{
	const char *found = find_id(line);

	if (id != NULL)
		*id = found;
	if (found == NULL)
		return NODE_MARK_NONE;
	return strlen(self) == NODE_ID_LEN && memcmp(found, self, NODE_ID_LEN) == 0 ? NODE_MARK_SELF : NODE_MARK_OTHER;
}
