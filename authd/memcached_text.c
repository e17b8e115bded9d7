/* The reader of memcached's text protocol: takes its bytes cut anywhere. */
#include "authd/memcached_text.h"

#include <string.h>

#include "lib/num.h"

enum { LINE_MAX_LEN = 512 }; /* bytes of a line with its end */

static const char behind_value[] = "\r\nEND\r\n";

/* Length of the first line without its CR LF in *LINE_LEN, with it in *USED. */
static enum memcached_answer take_line(const char *p, size_t len, size_t *line_len, size_t *used)
{
	const char *lf = len != 0 ? memchr(p, '\n', len) : NULL;

	if (lf == NULL)
		return len < LINE_MAX_LEN ? MEMCACHED_MORE : MEMCACHED_NONSENSE;
	*used = (size_t)(lf - p) + 1;
	if (*used > LINE_MAX_LEN || *used < 2 || lf[-1] != '\r')
		return MEMCACHED_NONSENSE;
	*line_len = *used - 2;
	return MEMCACHED_DONE;
}

static bool is(const char *p, size_t len, const char *text)
{
	return len == strlen(text) && memcmp(p, text, len) == 0;
}

static bool begins(const char *p, size_t len, const char *text)
{
	return len >= strlen(text) && memcmp(p, text, strlen(text)) == 0;
}

/* "VALUE KEY FLAGS BYTES": the number of bytes. */
static bool value_header(const char *p, size_t len, const char *key, size_t *value_len)
{
	const char *end = p + len, *flags, *bytes;
	size_t key_len = strlen(key);
	uint64_t n;

	if (!begins(p, len, "VALUE "))
		return false;
	p += strlen("VALUE ");
	if (!begins(p, (size_t)(end - p), key) || p + key_len == end || p[key_len] != ' ')
		return false;
	flags = p + key_len + 1;
	bytes = memchr(flags, ' ', (size_t)(end - flags));
	if (bytes == NULL || !num_parse(flags, (size_t)(bytes - flags), UINT32_MAX, &n) ||
	    !num_parse(bytes + 1, (size_t)(end - bytes - 1), MEMCACHED_VALUE_MAX, &n))
		return false;
	*value_len = (size_t)n;
	return true;
}

enum memcached_answer memcached_get_answer(const char *p, size_t len, const char *key, const char **value,
    size_t *value_len)
{
	size_t line_len, used, all;
	enum memcached_answer line = take_line(p, len, &line_len, &used);

	if (line != MEMCACHED_DONE)
		return line;
	if (is(p, line_len, "END"))
		return len == used ? MEMCACHED_DONE : MEMCACHED_NONSENSE;
	if (!value_header(p, line_len, key, value_len))
		return MEMCACHED_NONSENSE;
	all = used + *value_len + strlen(behind_value);
	if (len < all)
		return MEMCACHED_MORE;
	if (len > all || memcmp(p + used + *value_len, behind_value, strlen(behind_value)) != 0)
		return MEMCACHED_NONSENSE;
	*value = p + used;
	return MEMCACHED_VALUE;
}

enum memcached_answer memcached_set_answer(const char *p, size_t len)
{
	size_t line_len, used;
	enum memcached_answer line = take_line(p, len, &line_len, &used);

	if (line != MEMCACHED_DONE)
		return line;
	return len == used &&
	        (is(p, line_len, "STORED") || is(p, line_len, "NOT_STORED") || begins(p, line_len, "SERVER_ERROR ")) ?
	    MEMCACHED_DONE :
	    MEMCACHED_NONSENSE;
}
