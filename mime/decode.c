/* Decoders of base64 and quoted-printable. */
#include "mime/decode.h"

#include <string.h>
#include <strings.h>

#include "lib/hex.h"
#include "mime/ctype.h"

enum mime_encoding mime_encoding_of(const struct mime_text *value)
{
	enum mime_encoding enc = MIME_ENC_OTHER;
	struct str word = STR_INIT;
	struct mime_ctype c;

	if (value->p == NULL)
		return MIME_ENC_NONE;
	mime_ctype_begin(&c, value);
	mime_ctype_word(&c, &word);
	if (strcasecmp(str_cstr(&word), "base64") == 0)
		enc = MIME_ENC_BASE64;
	else if (strcasecmp(str_cstr(&word), "quoted-printable") == 0)
		enc = MIME_ENC_QP;
	else if (word.len == 0 || strcasecmp(str_cstr(&word), "7bit") == 0 ||
	    strcasecmp(str_cstr(&word), "8bit") == 0 || strcasecmp(str_cstr(&word), "binary") == 0)
		enc = MIME_ENC_NONE;
	str_fini(&word);
	return enc;
}

void mime_decoder_init(struct mime_decoder *d, enum mime_encoding enc)
{
	memset(d, 0, sizeof(*d));
	d->enc = enc;
}

static int base64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Padding ends a run; another may follow (bodies put together from several). */
static void add_base64(struct mime_decoder *d, struct str *out, const char *p, size_t len)
{
	char *to = str_room(out, len / 4 * 3 + 4), *from = to;

	for (size_t i = 0; i < len; i++) {
		int v = base64_value(p[i]);

		if (p[i] == '=')
			d->n_bits = 0;
		if (v < 0)
			continue;
		d->bits = d->bits << 6 | (uint32_t)v;
		d->n_bits += 6;
		if (d->n_bits >= 8) {
			d->n_bits -= 8;
			*to++ = (char)(d->bits >> d->n_bits);
		}
	}
	out->len += (size_t)(to - from);
	out->data[out->len] = '\0';
}

static void release_held(struct mime_decoder *d, struct str *out)
{
	str_add(out, d->held, d->n_held);
	d->n_held = 0;
}

static void hold(struct mime_decoder *d, struct str *out, char c)
{
	if (d->n_held == sizeof(d->held))
		release_held(d, out);
	d->held[d->n_held++] = c;
}

/* One byte while no "=" is held, but perhaps blanks. */
static void take_qp(struct mime_decoder *d, struct str *out, char c)
{
	bool cr = d->n_held > 0 && d->held[d->n_held - 1] == '\r';

	if (c == '\n') { /* blanks at the end of a line were added on the way; a CR stays with its LF */
		d->n_held = 0;
		str_adds(out, cr ? "\r\n" : "\n");
	} else if (c == ' ' || c == '\t' || c == '\r') {
		hold(d, out, c);
	} else {
		release_held(d, out);
		if (c == '=')
			hold(d, out, c);
		else
			str_addc(out, c);
	}
}

/* One more byte while "=" and perhaps more is held. */
static void after_equals(struct mime_decoder *d, struct str *out, char c)
{
	if (d->n_held == 2 && hex_value(d->held[1]) >= 0) {
		int low = hex_value(c);

		if (low < 0) {
			release_held(d, out);
			take_qp(d, out, c);
			return;
		}
		str_addc(out, (char)(hex_value(d->held[1]) << 4 | low));
		d->n_held = 0;
	} else if (c == '\n') { /* a soft line break; blanks before it are tolerated */
		d->n_held = 0;
	} else if ((d->n_held == 1 && hex_value(c) >= 0) || c == ' ' || c == '\t' || c == '\r') {
		hold(d, out, c);
	} else { /* a stray "=" */
		release_held(d, out);
		take_qp(d, out, c);
	}
}

/* How many bytes from P on stand for themselves, whatever follows them. */
static size_t plain_run(const char *p, size_t len)
{
	size_t n = 0;

	while (n < len && (unsigned char)p[n] > ' ' && p[n] != '=')
		n++;
	return n;
}

static void add_qp(struct mime_decoder *d, struct str *out, const char *p, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t run = d->n_held == 0 || d->held[0] != '=' ? plain_run(p + i, len - i) : 0;

		if (run > 0) {
			release_held(d, out);
			str_add(out, p + i, run);
			i += run;
		} else if (d->n_held > 0 && d->held[0] == '=') {
			after_equals(d, out, p[i++]);
		} else {
			take_qp(d, out, p[i++]);
		}
	}
}

void mime_decoder_add(struct mime_decoder *d, struct str *out, const char *p, size_t len)
{
	if (len == 0)
		return;
	if (d->enc == MIME_ENC_BASE64)
		add_base64(d, out, p, len);
	else if (d->enc == MIME_ENC_QP)
		add_qp(d, out, p, len);
	else
		str_add(out, p, len);
}

void mime_decoder_end(struct mime_decoder *d, struct str *out)
{
	if (d->n_held > 0 && d->held[0] == '=')
		release_held(d, out);
	d->n_held = 0;
	d->n_bits = 0;
}
