/* Modified UTF-7 to UTF-8 and back. */
#include "imapd/imap_utf7.h"

#include <string.h>

#include "lib/utf8.h"
#include "mime/charset.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,";

static bool is_printable(uint32_t c)
{
	return c >= 0x20 && c <= 0x7e;
}

static bool undo(struct str *out, size_t len)
{
	out->len = len;
	if (out->data != NULL)
		out->data[len] = '\0';
	return false;
}

/* --- to UTF-8 --- */

/* UTF-16 units decoded from one shifted run. */
struct units {
	uint32_t bits;
	int n_bits;
	uint32_t high; /* first half of a pair, or 0 */
};

/* Adds one unit; printable ASCII must not be encoded. */
static bool add_unit(struct str *out, struct units *u, uint32_t unit)
{
	bool low = unit >= 0xdc00 && unit <= 0xdfff;

	if (low != (u->high != 0))
		return false;
	if (unit >= 0xd800 && unit <= 0xdbff) {
		u->high = unit;
		return true;
	}
	if (low)
		unit = 0x10000 + ((u->high - 0xd800) << 10) + (unit - 0xdc00);
	u->high = 0;
	if (unit == 0 || is_printable(unit))
		return false;
	utf8_add(out, unit);
	return true;
}

/* Decodes the run from P to the "-" at STOP. */
static bool decode_run(struct str *out, const char *p, const char *stop)
{
	struct units u = { 0, 0, 0 };

	for (; p < stop; p++) {
		const char *at = strchr(alphabet, *p);

		if (*p == '\0' || at == NULL)
			return false;
		u.bits = u.bits << 6 | (uint32_t)(at - alphabet);
		u.n_bits += 6;
		if (u.n_bits >= 16) {
			u.n_bits -= 16;
			if (!add_unit(out, &u, u.bits >> u.n_bits & 0xffff))
				return false;
		}
	}
	return u.high == 0 && u.n_bits < 6 && (u.bits & ((1u << u.n_bits) - 1)) == 0;
}

bool imap_utf7_to_utf8(struct str *out, const char *p, size_t len)
{
	const char *end = p + len, *stop;
	size_t before = out->len;
	bool after_run = false;

	for (; p < end; p++) {
		if (!is_printable((unsigned char)*p))
			return undo(out, before);
		if (*p != '&') {
			str_addc(out, *p);
			after_run = false;
			continue;
		}
		stop = memchr(p, '-', (size_t)(end - p));
		if (stop == NULL)
			return undo(out, before);
		if (stop == p + 1) {
			str_addc(out, '&');
			after_run = false;
		} else if (after_run || !decode_run(out, p + 1, stop)) { /* two runs in a row would be one */
			return undo(out, before);
		} else {
			after_run = true;
		}
		p = stop;
	}
	return true;
}

/* --- from UTF-8 --- */

struct encoder {
	struct str *out;
	uint32_t bits;
	int n_bits;
	bool shifted;
};

static void put_unit(struct encoder *e, uint32_t unit)
{
	if (!e->shifted)
		str_addc(e->out, '&');
	e->shifted = true;
	e->bits = e->bits << 16 | unit;
	for (e->n_bits += 16; e->n_bits >= 6;) {
		e->n_bits -= 6;
		str_addc(e->out, alphabet[e->bits >> e->n_bits & 63]);
	}
}

static void end_run(struct encoder *e)
{
	if (!e->shifted)
		return;
	if (e->n_bits > 0)
		str_addc(e->out, alphabet[e->bits << (6 - e->n_bits) & 63]);
	str_addc(e->out, '-');
	e->n_bits = 0;
	e->bits = 0;
	e->shifted = false;
}

bool imap_utf7_from_utf8(struct str *out, const char *p, size_t len)
{
	struct encoder e = { .out = out };
	size_t before = out->len;

	while (len > 0) {
		uint32_t c;
		size_t n = utf8_get(p, len, &c);

		if (n == 0 || c == 0)
			return undo(out, before);
		p += n;
		len -= n;
		if (is_printable(c)) {
			end_run(&e);
			str_addc(out, (char)c);
			if (c == '&')
				str_addc(out, '-');
		} else if (c < 0x10000) {
			put_unit(&e, c);
		} else {
			put_unit(&e, 0xd800 + ((c - 0x10000) >> 10));
			put_unit(&e, 0xdc00 + ((c - 0x10000) & 0x3ff));
		}
	}
	end_run(&e);
	return true;
}
