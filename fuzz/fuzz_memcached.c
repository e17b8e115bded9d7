/* Answers of memcached, or of an attacker in its place. */
#include <string.h>

#include "authd/memcached_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data, *value = NULL;
	size_t len = 0;
	enum memcached_answer a = memcached_get_answer(p, size, "abc", &value, &len);

	if (a == MEMCACHED_VALUE && (value < p || value + len > p + size))
		__builtin_trap();
	if (a == MEMCACHED_MORE && size >= MEMCACHED_ANSWER_MAX)
		__builtin_trap();
	memcached_set_answer(p, size);
	return 0;
}
