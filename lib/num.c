/* Reads decimal numbers strictly and writes them quickly. */
#include "lib/num.h"

#include <endian.h>
#include <string.h>

#include "lib/hex.h"

bool num_parse(const char *p, size_t len, uint64_t limit, uint64_t *out)
{
	uint64_t v = 0;

	if (len == 0)
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned d = (unsigned)(unsigned char)p[i] - '0';

		if (d > 9 || v > (UINT64_MAX - d) / 10)
			return false;
		v = v * 10 + d;
	}
	if (v > limit)
		return false;
	*out = v;
	return true;
}

bool num_parse_str(const char *s, uint64_t limit, uint64_t *out)
{
	return num_parse(s, strlen(s), limit, out);
}

const char *num_text(uint64_t v, char dst[NUM_TEXT_MAX])
{
	char digits[NUM_TEXT_MAX], *p = digits + NUM_TEXT_MAX;

	*--p = '\0';
	do
		*--p = (char)('0' + v % 10);
	while ((v /= 10) != 0);
	return memcpy(dst, p, (size_t)(digits + NUM_TEXT_MAX - p));
}

const char *num_hex(uint64_t v, char dst[NUM_HEX_MAX])
{
	v = htobe64(v);
	return hex_text(dst, &v, sizeof(v));
}
