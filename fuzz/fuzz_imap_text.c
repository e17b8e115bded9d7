/* Small texts from IMAP clients: what is accepted is the same after writing it. */
#include <stdlib.h>
#include <string.h>

#include "imapd/imap_date.h"
#include "imapd/imap_id_list.h"
#include "imapd/imap_section.h"
#include "imapd/imap_utf7.h"
#include "lib/utf8.h"
#include "mime/charset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void utf7(const char *p, size_t len)
{
	struct str name = STR_INIT, again = STR_INIT;

	if (imap_utf7_to_utf8(&name, p, len)) {
		if (!utf8_valid(str_cstr(&name), name.len) || !imap_utf7_from_utf8(&again, str_cstr(&name), name.len) ||
		    again.len != len || memcmp(str_cstr(&again), p, len) != 0)
			abort();
	}
	str_clear(&name);
	str_clear(&again);
	if (imap_utf7_from_utf8(&name, p, len)) {
		if (!imap_utf7_to_utf8(&again, str_cstr(&name), name.len) || again.len != len ||
		    memcmp(str_cstr(&again), p, len) != 0)
			abort();
	}
	str_fini(&name);
	str_fini(&again);
}

/* An imap_wire_fn that appends to CTX, a string. */
static bool append(void *ctx, const char *p, size_t len)
{
	str_add(ctx, p, len);
	return true;
}

static void section(const char *p, size_t len)
{
	static const char text[] = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n--b\n"
	                           "Content-Type: message/rfc822\n\nTo: x\n\ny\n--b--\n";
	struct str one = STR_INIT, two = STR_INIT;
	struct imap_section s, t;
	struct imap_wire w;
	struct mime_msg m;
	struct imap_lex l;

	imap_lex_init(&l, p, len);
	if (!imap_section_read(&s, &l))
		return;
	imap_section_print(&one, &s);
	imap_lex_init(&l, one.data + 1, one.len - 1);
	if (!imap_section_read(&t, &l) || l.pos != l.len)
		abort();
	imap_section_print(&two, &t);
	if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0)
		abort();
	mime_msg_init(&m, text, sizeof(text) - 1);
	if (imap_section_find(&m, &s, &w)) {
		str_clear(&one);
		imap_wire_write(&w, 0, UINT64_MAX, append, &one);
		if (one.len != imap_wire_size(&w))
			abort();
	}
	mime_msg_fini(&m);
	imap_section_fini(&s);
	imap_section_fini(&t);
	str_fini(&one);
	str_fini(&two);
}

static void take_pair(void *arg, const char *key, const char *value, size_t len)
{
	unsigned *pairs = arg;

	if (strlen(key) > IMAP_ID_KEY_MAX || strlen(value) != len || len > IMAP_ID_VALUE_MAX)
		abort();
	if (++*pairs > IMAP_ID_PAIRS_MAX)
		abort();
}

static void id(const char *p, size_t len)
{
	struct imap_lex l;
	unsigned pairs = 0;

	imap_lex_init(&l, p, len);
	if (imap_id_list(&l, take_pair, &pairs) && l.pos > l.len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size + 1); /* of exact size, so that a sanitizer sees a read beyond it */
	int64_t day;
	time_t t;

	if (copy == NULL)
		return 0;
	memcpy(copy, data, size);
	copy = realloc(copy, size != 0 ? size : 1);
	utf7(copy, size);
	section(copy, size);
	id(copy, size);
	imap_date_parse(copy, size, &t);
	imap_date_parse_day(copy, size, &day);
	free(copy);
	return 0;
}
