/* Lists of capabilities as servers send them, two lines of input: what is taken of them is a list, and what both have
 * in common is a part of each. And the file in which authd keeps them: what is read is written so that it is read
 * again. */
#include <string.h>

#include "authd/pool_capability.h"
#include "lib/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { NOW = 1900000000 };

static void lists(const char *a, const char *b)
{
	struct str first = STR_INIT, second = STR_INIT;

	capability_take(&first, a);
	capability_take(&second, b);
	if (!capability_list_ok(str_cstr(&first)) || first.len > CAPABILITY_LIST_MAX)
		__builtin_trap();
	capability_keep_common(&first, str_cstr(&second));
	for (const char *p = str_cstr(&first), *end; *p != '\0'; p = end + (*end != '\0')) {
		end = strchrnul(p, ' ');
		if (!capability_has(str_cstr(&second), p, (size_t)(end - p)))
			__builtin_trap();
	}
	str_fini(&first);
	str_fini(&second);
}

static void file(const char *text, size_t len)
{
	struct pool_capability *p = pool_capability_new(), *again = pool_capability_new();
	struct str out = STR_INIT, same = STR_INIT;

	if (pool_capability_read(p, text, len, NOW)) {
		pool_capability_write(p, &out);
		if (!pool_capability_read(again, out.data, out.len, NOW))
			__builtin_trap();
		pool_capability_write(again, &same);
		if (out.len != same.len || memcmp(out.data, same.data, out.len) != 0)
			__builtin_trap();
		pool_capability_tick(p, NOW);
		if (!capability_list_ok(pool_capability_common(p, PROTOCOL_IMAP)) ||
		    !capability_has(pool_capability_common(p, PROTOCOL_IMAP), "IMAP4rev1", 9))
			__builtin_trap();
	}
	pool_capability_free(&p);
	pool_capability_free(&again);
	str_fini(&out);
	str_fini(&same);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_alloc(size + 1), *second;

	memcpy(text, data, size);
	second = strchr(text, '\n');
	if (second != NULL)
		*second = '\0';
	lists(text, second != NULL ? second + 1 : "");
	file((const char *)data, size);
	mem_free(&text);
	return 0;
}
