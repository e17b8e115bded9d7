/* Finds and replaces control characters; compares words. */
#include "lib/text.h"

#include <string.h>
#include <strings.h>

/* One of the eight bytes at P is a control character. Eight at once: every byte of every log line and message is
 * checked, and hardly ever is there one. */
static bool controls(const char *p)
{
	const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
	uint64_t x, del;

	memcpy(&x, p, sizeof(x));
	del = x ^ ones * 0x7f;
	return ((((x - ones * 0x20) & ~x) | ((del - ones) & ~del)) & tops) != 0;
}

size_t text_plain(const char *p, size_t len)
{
	size_t n = 0;

	while (len - n >= sizeof(uint64_t) && !controls(p + n))
		n += sizeof(uint64_t);
	while (n < len && !text_is_control(p[n]))
		n++;
	return n;
}

bool text_is_plain(const char *s)
{
	size_t len = strlen(s);

	return text_plain(s, len) == len;
}

void text_make_plain(char *s, char with)
{
	for (size_t len = strlen(s), i = 0; (i += text_plain(s + i, len - i)) < len; i++)
		s[i] = with;
}

bool text_is_word(const char *p, size_t len, const char *word)
{
	return len == strlen(word) && strncasecmp(p, word, len) == 0;
}
