/* The collation i;unicode-casemap. */
#include "mime/collate.h"

#include <unicase.h>
#include <uninorm.h>
#include <unistr.h>

/* Adds the ASCII at the start of the text; returns its length. Nearly all text is only that. */
static size_t add_ascii(struct str *out, const char *p, size_t len)
{
	char *to = str_room(out, len);
	size_t i;

	for (i = 0; i < len && (unsigned char)p[i] < 0x80; i++)
		to[i] = p[i] >= 'a' && p[i] <= 'z' ? (char)(p[i] - 'a' + 'A') : p[i];
	to[i] = '\0';
	out->len += i;
	return i;
}

static void add_character(struct str *out, ucs4_t c)
{
	ucs4_t parts[UC_DECOMPOSITION_MAX_LENGTH];
	uint8_t bytes[6];
	int tag, n;

	n = uc_decomposition(c, &tag, parts);
	if (n < 0) {
		n = u8_uctomb(bytes, c, sizeof(bytes));
		str_add(out, bytes, n > 0 ? (size_t)n : 0);
		return;
	}
	for (int i = 0; i < n; i++)
		add_character(out, parts[i]); /* decompositions end: the longest chain has a few steps */
}

void mime_collate(struct str *out, const char *p, size_t len)
{
	const char *end = p + len;

	for (;;) {
		ucs4_t c;
		int n;

		p += add_ascii(out, p, (size_t)(end - p));
		if (p == end)
			return;
		n = u8_mbtoucr(&c, (const uint8_t *)p, (size_t)(end - p));
		if (n > 0) {
			add_character(out, uc_totitle(c));
			p += n;
		} else {
			str_addc(out, *p++);
		}
	}
}
