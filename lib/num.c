#include "lib/num.h"

#include <string.h>

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
