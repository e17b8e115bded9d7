/* waypostparsed: whatever a file holds, its records are within it, and are the same when written again; what is taken
 * for a body structure ends no reply. */
#include <stdint.h>
#include <string.h>

#include "imapd/imap_body.h"
#include "lib/die.h"
#include "lib/mem.h"
#include "maildir/md_parsed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 32 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *file = mem_memdup(data, size);
	struct md_parsed_record r;
	struct str s = STR_INIT;
	size_t at = 0, was = 0;

	if (size >= HEAD)
		md_parsed_seal(file, size); /* or nothing would be reached */
	for (; md_parsed_take(file, size, &at, &r); was = at) {
		DIE_IF(at > size || r.len > at - was || r.kind >= MD_PARSED_KINDS);
		md_parsed_add(&s, &r);
		DIE_IF(s.len != at || memcmp(s.data + was, file + was, at - was) != 0);
		if (imap_body_valid(r.p, r.len))
			DIE_IF(r.p[0] != '(' || r.p[r.len - 1] != ')' || memchr(r.p, '\0', r.len) != NULL);
	}
	(void)imap_body_valid((const char *)data, size);
	str_fini(&s);
	mem_free(&file);
	return 0;
}
