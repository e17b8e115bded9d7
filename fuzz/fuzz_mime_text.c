/* The small texts of a header: addresses, encoded words, types, dates; and decoders and charsets, whose results must
 * not depend on where their input is cut. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/utf8.h"
#include "mime/addr.h"
#include "mime/charset.h"
#include "mime/ctype.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/param.h"
#include "mime/word.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct str *s)
{
	for (size_t i = 0; i < s->len; i++)
		if (s->data[i] == '\0' || s->data[i] == '\r' || s->data[i] == '\n')
			abort();
}

static void addresses(const char *p, size_t len)
{
	struct mime_addr a = { .kind = MIME_ADDR_BOX };
	struct mime_addr_iter it;
	int depth = 0;

	mime_addr_begin(&it, p, len);
	while (mime_addr_next(&it, &a)) {
		check_text(&a.name);
		check_text(&a.adl);
		check_text(&a.mailbox);
		check_text(&a.host);
		depth += a.kind == MIME_ADDR_GROUP_START ? 1 : a.kind == MIME_ADDR_GROUP_END ? -1 : 0;
		if (depth < 0 || depth > 1)
			abort();
	}
	if (depth != 0)
		abort();
	mime_addr_fini(&a);
}

static void types(const char *p, size_t len)
{
	struct mime_text t = { p, len };
	struct str a = STR_INIT, b = STR_INIT;
	struct mime_params params;
	struct mime_ctype c;

	mime_ctype_begin(&c, &t);
	mime_ctype_type(&c, &a, &b);
	while (mime_ctype_param(&c, &a, &b))
		check_text(&b);
	mime_ctype_begin(&c, &t);
	while (mime_ctype_next_word(&c, &a))
		check_text(&a);
	mime_params_read(&params, &t);
	if (params.n > MIME_PARAMS_MAX)
		abort();
	for (size_t i = 0; i < params.n; i++)
		check_text(&params.v[i].value);
	mime_params_fini(&params);
	if (mime_param_find(&t, "boundary", &a))
		check_text(&a);
	mime_encoding_of(&t);
	str_fini(&a);
	str_fini(&b);
}

static void dates(const char *p, size_t len)
{
	struct mime_date d;
	struct tm tm;
	time_t t;

	if (!mime_date_parse(p, len, &d))
		return;
	t = (time_t)mime_date_days(d.year, d.month, d.day) * 86400;
	if (gmtime_r(&t, &tm) == NULL || tm.tm_year + 1900 != d.year || tm.tm_mon + 1 != d.month || tm.tm_mday != d.day)
		abort();
}

static void decode(struct str *out, enum mime_encoding enc, const char *charset, const char *p, size_t len, size_t cut)
{
	struct str bytes = STR_INIT;
	struct mime_decoder d;
	struct mime_charset c;

	mime_decoder_init(&d, enc);
	mime_decoder_add(&d, &bytes, p, cut);
	mime_decoder_add(&d, &bytes, p + cut, len - cut);
	mime_decoder_end(&d, &bytes);
	cut = MIN(cut, bytes.len);
	mime_charset_begin(&c, charset, NULL);
	mime_charset_add(&c, out, str_cstr(&bytes), cut);
	mime_charset_add(&c, out, str_cstr(&bytes) + cut, bytes.len - cut);
	mime_charset_end(&c, out);
	str_fini(&bytes);
	if (!utf8_valid(str_cstr(out), out->len))
		abort();
}

static void decoders(const char *p, size_t len, uint8_t choice)
{
	static const char *const charsets[] = { "utf-8", "us-ascii", "iso-8859-15", "iso-2022-jp", "gb18030", "no-such",
		"utf-16", "utf-7" };
	struct str whole = STR_INIT, cut = STR_INIT;
	const char *charset = charsets[choice >> 2 & 7];

	decode(&whole, choice & 3, charset, p, len, 0);
	decode(&cut, choice & 3, charset, p, len, len * (choice >> 5) / 8);
	/* glibc's converter of UTF-7 finds a fault in all of the shifted text that one call has. */
	if (strcmp(charset, "utf-7") != 0 &&
	    (whole.len != cut.len || (whole.len > 0 && memcmp(whole.data, cut.data, whole.len) != 0)))
		abort();
	str_fini(&whole);
	str_fini(&cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str out = STR_INIT;
	struct mime_charsets set = { .n = 0 };
	const char *p;

	if (size == 0)
		return 0;
	p = (const char *)data + 1;
	addresses(p, size - 1);
	types(p, size - 1);
	dates(p, size - 1);
	decoders(p, size - 1, data[0]);
	mime_word_decode(&out, p, size - 1, &set);
	if (!utf8_valid(str_cstr(&out), out.len))
		abort();
	str_fini(&out);
	return 0;
}
