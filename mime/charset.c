/* Conversion of charsets and folding of case. */
#include "mime/charset.h"

#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <strings.h>
#include <unicase.h>
#include <unistr.h>

#include "lib/mem.h"
#include "lib/utf8.h"

/* An open converter to UTF-8. */
struct mime_iconv {
	iconv_t cd;
	char name[64];
};

/* The converters released last, newest first: opening one loads tables, and a mailbox mostly uses the same few
 * charsets. */
static struct mime_iconv *kept[MIME_CHARSETS_MAX];
static size_t n_kept;

static bool is_name_of(const char *name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (strcasecmp(name, *list) == 0)
			return true;
	return false;
}

static bool is_ascii_name(const char *name)
{
	static const char *const names[] = { "", "us-ascii", "ascii", "ansi_x3.4-1968", "iso646-us", NULL };

	return name == NULL || is_name_of(name, names);
}

static bool is_utf8_name(const char *name)
{
	static const char *const names[] = { "utf-8", "utf8", NULL };

	return is_name_of(name, names);
}

/* What mail programs mean by a charset's name where iconv means another one. */
static const char *real_name(const char *name)
{
	static const struct {
		const char *name, *real;
	} t[] = {
		{ "gb2312", "GB18030" },
		{ "x-gbk", "GB18030" },
		{ "euc-kr", "CP949" },
		{ "ks_c_5601-1987", "CP949" },
		{ "shift_jis", "CP932" },
		{ "x-sjis", "CP932" },
		{ "iso-8859-8-i", "ISO-8859-8" },
		{ "x-mac-roman", "MACINTOSH" },
		{ "x-unicode-2-0-utf-7", "UTF-7" },
		{ "unicode-1-1-utf-7", "UTF-7" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		if (strcasecmp(name, t[i].name) == 0)
			return t[i].real;
	return name;
}

/* iconv reads options after "/": a name from outside must not have any. */
static bool is_sane_name(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:+()");

	return n > 0 && n < sizeof(((struct mime_iconv *)NULL)->name) && name[n] == '\0';
}

static void close_iconv(struct mime_iconv *ic)
{
	iconv_close(ic->cd);
	mem_free(&ic);
}

/* Takes the kept converter for NAME, which then belongs to the caller; NULL if there is none. */
static struct mime_iconv *take_kept(const char *name)
{
	for (size_t i = 0; i < n_kept; i++) {
		struct mime_iconv *ic = kept[i];

		if (strcasecmp(ic->name, name) != 0)
			continue;
		memmove(&kept[i], &kept[i + 1], (--n_kept - i) * sizeof(kept[0]));
		iconv(ic->cd, NULL, NULL, NULL, NULL);
		return ic;
	}
	return NULL;
}

/* Adds NAME to SET if it is not there yet; false if SET is full. */
static bool has_room(struct mime_charsets *set, const char *name)
{
	uint32_t hash = 2166136261; /* FNV-1a */

	for (; *name != '\0'; name++)
		hash = (hash ^ ((unsigned char)*name | 0x20)) * 16777619;
	for (unsigned i = 0; i < set->n; i++)
		if (set->seen[i] == hash)
			return true;
	if (set->n == MIME_CHARSETS_MAX)
		return false;
	set->seen[set->n++] = hash;
	return true;
}

/* A converter for NAME in its initial state; NULL if iconv knows none, or SET (may be NULL) is full. */
static struct mime_iconv *take_iconv(const char *name, struct mime_charsets *set)
{
	struct mime_iconv *ic;
	iconv_t cd;

	name = real_name(name);
	if (!is_sane_name(name))
		return NULL;
	if (set != NULL && !has_room(set, name))
		return NULL;
	if ((ic = take_kept(name)) != NULL)
		return ic;
	cd = iconv_open("UTF-8", name);
	if (cd == (iconv_t)-1)
		return NULL;
	ic = mem_alloc(sizeof(*ic));
	ic->cd = cd;
	memcpy(ic->name, name, strlen(name)); /* is_sane_name() has measured it */
	return ic;
}

static void give_iconv(struct mime_iconv *ic)
{
	if (n_kept == MIME_CHARSETS_MAX)
		close_iconv(kept[--n_kept]);
	memmove(&kept[1], &kept[0], n_kept++ * sizeof(kept[0]));
	kept[0] = ic;
}

void mime_charset_fini(void)
{
	while (n_kept > 0)
		close_iconv(kept[--n_kept]);
}

bool mime_charset_known(const char *name)
{
	struct mime_iconv *ic;

	if (is_ascii_name(name) || is_utf8_name(name))
		return true;
	ic = take_iconv(name, NULL);
	if (ic == NULL)
		return false;
	give_iconv(ic);
	return true;
}

void mime_charset_begin(struct mime_charset *c, const char *name, struct mime_charsets *set)
{
	memset(c, 0, sizeof(*c));
	if (is_ascii_name(name))
		c->latin1 = true;
	else if (!is_utf8_name(name)) {
		c->cd = take_iconv(name, set);
		c->latin1 = c->cd == NULL;
	}
}

static void hold(struct mime_charset *c, const char *p, size_t len)
{
	memcpy(c->held, p, len);
	c->n_held = len;
}

static void add_utf8(struct mime_charset *c, struct str *out, const char *p, size_t len)
{
	while (len > 0) {
		const uint8_t *bad = u8_check((const uint8_t *)p, len);
		size_t good = bad != NULL ? (size_t)((const char *)bad - p) : len;
		ucs4_t ch;

		str_add(out, p, good);
		p += good;
		len -= good;
		if (len == 0)
			return;
		if (len < 4 && u8_mbtoucr(&ch, (const uint8_t *)p, len) == -2) {
			hold(c, p, len);
			return;
		}
		utf8_add(out, c->latin1 ? (unsigned char)*p : 0xfffd);
		p++;
		len--;
	}
}

/* One call of iconv() with room for its output; returns its errno or 0. */
static int step_iconv(iconv_t cd, struct str *out, const char **p, size_t *len)
{
	char *in = (char *)(uintptr_t)*p, *to = str_room(out, *len * 2 + 64);
	size_t room = out->cap - out->len - 1;
	int err = 0;

	if (iconv(cd, &in, len, &to, &room) == (size_t)-1)
		err = errno;
	*p = in;
	out->len = (size_t)(to - out->data);
	out->data[out->len] = '\0';
	return err;
}

static void add_iconv(struct mime_charset *c, struct str *out, const char *p, size_t len)
{
	while (len > 0) {
		int err = step_iconv(c->cd->cd, out, &p, &len);

		if (err == EINVAL && len <= sizeof(c->held)) {
			hold(c, p, len);
			return;
		}
		if (err != 0 && err != E2BIG && len > 0) {
			utf8_add(out, 0xfffd);
			p++;
			len--;
		}
	}
}

void mime_charset_add(struct mime_charset *c, struct str *out, const char *p, size_t len)
{
	struct str joined = STR_INIT;

	if (len == 0)
		return;
	if (c->n_held > 0) {
		str_add(&joined, c->held, c->n_held);
		str_add(&joined, p, len);
		c->n_held = 0;
		p = joined.data;
		len = joined.len;
	}
	if (c->cd != NULL)
		add_iconv(c, out, p, len);
	else
		add_utf8(c, out, p, len);
	str_fini(&joined);
}

void mime_charset_end(struct mime_charset *c, struct str *out)
{
	if (c->n_held > 0 && c->latin1)
		for (size_t i = 0; i < c->n_held; i++)
			utf8_add(out, (unsigned char)c->held[i]);
	else if (c->n_held > 0)
		utf8_add(out, 0xfffd);
	c->n_held = 0;
	if (c->cd != NULL)
		give_iconv(c->cd);
	c->cd = NULL;
}

static bool is_7bit(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)p[i] > 127)
			return false;
	return true;
}

bool mime_charset_to_utf8(struct str *out, const char *name, const char *p, size_t len)
{
	struct mime_iconv *ic;
	size_t before = out->len;
	int err = 0;

	if (is_ascii_name(name) || is_utf8_name(name)) {
		if (is_utf8_name(name != NULL ? name : "") ? !utf8_valid(p, len) : !is_7bit(p, len))
			return false;
		str_add(out, p, len);
		return true;
	}
	ic = take_iconv(name, NULL);
	if (ic == NULL)
		return false;
	while (len > 0 && (err == 0 || err == E2BIG))
		err = step_iconv(ic->cd, out, &p, &len);
	give_iconv(ic);
	if (len == 0 && err == 0)
		return true;
	out->len = before;
	if (out->data != NULL)
		out->data[before] = '\0';
	return false;
}

/* Folds the ASCII characters at the start of P; returns how many there are. */
static size_t fold_ascii(struct str *out, const char *p, size_t len)
{
	char *to = str_room(out, len);
	size_t n;

	for (n = 0; n < len && (unsigned char)p[n] < 128; n++)
		to[n] = p[n] >= 'A' && p[n] <= 'Z' ? (char)(p[n] | 0x20) : p[n];
	to[n] = '\0';
	out->len += n;
	return n;
}

void mime_fold(struct str *out, const char *p, size_t len)
{
	const char *end = p + len;

	for (;;) {
		ucs4_t c;
		int n;

		p += fold_ascii(out, p, (size_t)(end - p));
		if (p == end)
			return;
		n = u8_mbtoucr(&c, (const uint8_t *)p, (size_t)(end - p));
		if (n > 0) {
			utf8_add(out, uc_tolower(uc_toupper(c)));
			p += n;
		} else {
			str_addc(out, *p++);
		}
	}
}
