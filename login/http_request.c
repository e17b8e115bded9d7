/* Knows the first line of an HTTP request. */
#include "login/http_request.h"

#include <string.h>
#include <strings.h>

#include "lib/str.h"
#include "lib/text.h"

/* LINE ends with " HTTP/" and a version: methods are a client's choice, too. */
static bool has_version(const char *line, size_t len)
{
	static const char mark[] = " HTTP/";
	const char *blank = memrchr(line, ' ', len);

	return blank != NULL && (size_t)(line + len - blank) > strlen(mark) &&
	    strncasecmp(blank, mark, strlen(mark)) == 0;
}

bool http_request_begins(const char *p, size_t len)
{
	static const char *const methods[] = { "GET", "POST", "HEAD", "PUT", "OPTIONS", "CONNECT", "DELETE", "PATCH",
		"TRACE", "PRI" };
	const char *lf = memchr(p, '\n', len), *blank;
	size_t line = lf != NULL ? (size_t)(lf - p) : len, word;

	if (line != 0 && p[line - 1] == '\r')
		line--;
	blank = memchr(p, ' ', line);
	word = blank != NULL ? (size_t)(blank - p) : line;
	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (text_is_word(p, word, methods[i]))
			return true;
	return has_version(p, line);
}
