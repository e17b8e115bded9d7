/* Answers of Courier's authdaemond and of authpipe's programs: input is an answer, which is also read as a list. An
 * accepted record has no ids of root, an absolute home and no control characters; a complete answer does not depend on
 * what follows. */
#include <stdlib.h>
#include <string.h>

#include "authlib/courier.h"
#include "lib/mem.h"

static void check_text(const char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			abort();
}

static void check_account(const struct account *a)
{
	if (a->uid == 0 || a->gid == 0 || a->home[0] != '/')
		abort();
	check_text(a->name);
	check_text(a->home);
	check_text(a->maildir);
	check_text(a->options);
	check_text(a->fullname);
	check_text(a->quota);
	check_text(a->hash);
	check_text(a->clear);
}

static void check_record(const char *p, size_t len)
{
	struct account a;
	struct str why = STR_INIT;

	account_init(&a);
	if (courier_record(p, len, "typed", &a, &why) == AUTH_OK)
		check_account(&a);
	else if (why.len == 0)
		abort();
	account_fini(&a);
	str_fini(&why);
}

static void check_list(const char *p, size_t len)
{
	const char *end;

	for (; (end = memchr(p, '\n', len)) != NULL; len -= (size_t)(end + 1 - p), p = end + 1) {
		enum auth_result r;
		struct account a;
		struct str why = STR_INIT;

		account_init(&a);
		if (courier_list_line(p, (size_t)(end - p), &r, &a, &why)) {
			if (r == AUTH_OK)
				check_account(&a);
			else if (why.len == 0)
				abort();
		}
		account_fini(&a);
		str_fini(&why);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = mem_memdup(data, size);
	size_t used = 0, again = 0;
	enum courier_state s = courier_scan(text, size, &used);

	if (s == COURIER_ACCOUNT || s == COURIER_REFUSED) {
		if (used > size || courier_scan(text, used, &again) != s || again != used)
			abort();
		for (size_t n = 0; n < used; n++)
			if (courier_scan(text, n, &again) != COURIER_MORE)
				abort();
		if (s == COURIER_ACCOUNT)
			check_record(text, used);
	}
	check_list(text, size);
	mem_free(&text);
	return 0;
}
