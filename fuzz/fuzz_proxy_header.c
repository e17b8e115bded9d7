/* Headers of the PROXY protocol: what is taken, and what it means, does not depend on the pieces in which it comes. */
#include <stdlib.h>
#include <string.h>

#include "lib/proxy_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum proxy_header_state take(const char *p, size_t size, size_t step, size_t *all, struct proxy_header_facts *f)
{
	static struct proxy_header h;
	enum proxy_header_state got = PROXY_HEADER_MORE;
	size_t used;

	memset(&h, 0, sizeof(h));
	memset(f, 0, sizeof(*f));
	*all = 0;
	while (got == PROXY_HEADER_MORE && *all < size) {
		size_t n = step < size - *all ? step : size - *all;

		got = proxy_header_take(&h, p + *all, n, &used, f);
		if (used > n || (got == PROXY_HEADER_MORE && used != n))
			abort();
		*all += used;
	}
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct proxy_header_facts whole, bytes;
	size_t all, again;
	enum proxy_header_state got = take((const char *)data, size, size, &all, &whole);

	if (got != take((const char *)data, size, 1, &again, &bytes))
		abort();
	if (got == PROXY_HEADER_DONE && (all != again || memcmp(&whole, &bytes, sizeof(whole)) != 0))
		abort();
	return 0;
}
