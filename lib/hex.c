/* Writes and reads hexadecimal text. */
#include "lib/hex.h"

#include <limits.h>

static const char digits[] = "0123456789abcdef";

int hex_value(char c)
{
	static const uint8_t more_by_1[UCHAR_MAX + 1] = {
		/* clang-format off */
		['0'] = 1, ['1'] = 2, ['2'] = 3, ['3'] = 4, ['4'] = 5, ['5'] = 6, ['6'] = 7, ['7'] = 8, ['8'] = 9, ['9'] = 10,
		['a'] = 11, ['b'] = 12, ['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16,
		['A'] = 11, ['B'] = 12, ['C'] = 13, ['D'] = 14, ['E'] = 15, ['F'] = 16,
		/* clang-format on */
	};

	return more_by_1[(unsigned char)c] - 1;
}

char *hex_text(char *dst, const void *p, size_t len)
{
	const uint8_t *from = p;

	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[from[i] >> 4];
		dst[2 * i + 1] = digits[from[i] & 15];
	}
	dst[2 * len] = '\0';
	return dst;
}

bool hex_bytes(void *dst, const char *p, size_t len)
{
	uint8_t *to = dst;

	if (len % 2 != 0)
		return false;
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_value(p[i]), low = hex_value(p[i + 1]);

		if (high < 0 || low < 0)
			return false;
		to[i / 2] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void hex_encode(struct str *out, const void *p, size_t len)
{
	hex_text(str_room(out, 2 * len), p, len);
	out->len += 2 * len;
}

bool hex_decode(struct str *out, const char *p, size_t len)
{
	bool good = hex_bytes(str_room(out, len / 2), p, len);

	if (good)
		out->len += len / 2;
	out->data[out->len] = '\0';
	return good;
}
