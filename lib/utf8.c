/* Decodes and encodes UTF-8. */
#include "lib/utf8.h"

#include <unistr.h>

bool utf8_valid(const char *p, size_t len)
{
	return len == 0 || u8_check((const uint8_t *)p, len) == NULL;
}

size_t utf8_get(const char *p, size_t len, uint32_t *c)
{
	int n = u8_mbtoucr(c, (const uint8_t *)p, len);

	return n > 0 ? (size_t)n : 0;
}

void utf8_add(struct str *out, uint32_t c)
{
	uint8_t buf[6];
	int n = u8_uctomb(buf, c, sizeof(buf));

	if (n > 0)
		str_add(out, buf, (size_t)n);
	else
		utf8_add(out, 0xfffd);
}

bool utf8_is_control(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0);
}
