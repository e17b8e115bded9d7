#include "imapd/imap_text.h"

#include <string.h>
#include <strings.h>

#include "mime/charset.h"
#include "mime/ctype.h"
#include "mime/date.h"
#include "mime/decode.h"
#include "mime/hdr.h"
#include "mime/word.h"

enum { PIECE = 32 * 1024 }; /* bytes of a body looked at in one go */

void imap_key_init(struct imap_key *key, const char *p, size_t len)
{
	memset(key, 0, sizeof(*key));
	mime_fold(&key->folded, p, len);
}

void imap_key_fini(struct imap_key *key)
{
	str_fini(&key->folded);
}

/* A search through text that comes in pieces. */
struct search {
	const struct imap_key *key;
	struct str window; /* folded text: the end of what was seen (shorter than the key), then the new piece */
};

/* True if the key is in the text seen so far, P being the next LEN bytes of UTF-8. */
static bool search_add(struct search *s, const char *p, size_t len)
{
	size_t keep = s->key->folded.len - 1;

	mime_fold(&s->window, p, len);
	if (memmem(s->window.data, s->window.len, s->key->folded.data, s->key->folded.len) != NULL)
		return true;
	if (s->window.len > keep)
		str_drop(&s->window, s->window.len - keep);
	return false;
}

static bool has_key(const struct imap_key *key, const struct str *text)
{
	struct search s = { .key = key };
	bool found;

	if (key->folded.len == 0)
		return true;
	found = search_add(&s, str_cstr(text), text->len);
	str_fini(&s.window);
	return found;
}

/* --- headers --- */

static bool decoded_has(const struct imap_key *key, const char *p, size_t len)
{
	struct str text = STR_INIT;
	bool found;

	mime_word_decode(&text, p, len);
	found = has_key(key, &text);
	str_fini(&text);
	return found;
}

bool imap_text_header(const struct mime_msg *m, const char *name, const struct imap_key *key)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, m->text, m->len);
	while (mime_hdr_next(&it, &h))
		if (mime_hdr_is(&h, name) && decoded_has(key, h.value, h.value_len))
			return true;
	return false;
}

static bool header_has(const char *text, size_t len, const struct imap_key *key)
{
	struct mime_hdr_iter it;
	struct mime_hdr h;

	mime_hdr_begin(&it, text, len);
	while (mime_hdr_next(&it, &h))
		if (decoded_has(key, h.start, h.len)) /* the whole line: "Subject: x" finds itself */
			return true;
	return false;
}

/* --- bodies --- */

/* True for parts that a person reads: text/ and reports of message/ that are no messages. */
static bool is_readable(const struct mime_part *p, struct str *charset)
{
	struct str type = STR_INIT, subtype = STR_INIT;
	bool declared = mime_part_type(p, &type, &subtype);
	bool yes = strcasecmp(str_cstr(&type), "text") == 0 || strcasecmp(str_cstr(&type), "message") == 0;

	if (!yes || !declared || !mime_ctype_find(&p->type, "charset", charset))
		str_clear(charset);
	str_fini(&type);
	str_fini(&subtype);
	return yes;
}

struct body {
	struct mime_decoder decoder;
	struct mime_charset charset;
	struct str bytes; /* decoded */
	struct str text;  /* in UTF-8 */
	struct search search;
};

static bool body_flush(struct body *b)
{
	bool found;

	mime_charset_add(&b->charset, &b->text, str_cstr(&b->bytes), b->bytes.len);
	found = search_add(&b->search, str_cstr(&b->text), b->text.len);
	str_clear(&b->bytes);
	str_clear(&b->text);
	return found;
}

static bool body_end(struct body *b)
{
	mime_decoder_end(&b->decoder, &b->bytes);
	if (body_flush(b))
		return true;
	mime_charset_end(&b->charset, &b->text);
	return search_add(&b->search, str_cstr(&b->text), b->text.len);
}

static bool content_has(const struct mime_msg *m, const struct mime_part *p, const char *charset,
			const struct imap_key *key)
{
	struct body b = { .search.key = key };
	const char *text = m->text + p->body.off;
	struct str rest = STR_INIT;
	bool found = false;

	mime_decoder_init(&b.decoder, mime_encoding_of(&p->encoding));
	mime_charset_begin(&b.charset, charset);
	for (size_t at = 0; at < p->body.len && !found; at += PIECE) {
		mime_decoder_add(&b.decoder, &b.bytes, text + at, MIN((size_t)PIECE, p->body.len - at));
		found = body_flush(&b);
	}
	found = found || body_end(&b);
	mime_charset_end(&b.charset, &rest);
	str_fini(&rest);
	str_fini(&b.bytes);
	str_fini(&b.text);
	str_fini(&b.search.window);
	return found;
}

static bool part_has(const struct mime_msg *m, const struct mime_part *p, const struct imap_key *key)
{
	struct str charset = STR_INIT;
	bool found = false;

	if (p->parent != NULL && header_has(m->text + p->hdr.off, p->hdr.len, key))
		return true;
	if (p->kind == MIME_LEAF && is_readable(p, &charset))
		found = content_has(m, p, str_cstr(&charset), key);
	str_fini(&charset);
	for (const struct mime_part *c = p->child; c != NULL && !found; c = c->next)
		found = part_has(m, c, key);
	return found;
}

bool imap_text_body(struct mime_msg *m, const struct imap_key *key)
{
	return key->folded.len == 0 || part_has(m, mime_msg_root(m), key);
}

bool imap_text_any(struct mime_msg *m, const struct imap_key *key)
{
	return header_has(m->text, m->len, key) || imap_text_body(m, key);
}

bool imap_text_sent_day(const struct mime_msg *m, int64_t *day_out)
{
	struct mime_date d;
	struct mime_hdr h;

	if (!mime_hdr_find(m->text, m->len, "Date", &h) || !mime_date_parse(h.value, h.value_len, &d))
		return false;
	*day_out = mime_date_days(d.year, d.month, d.day);
	return true;
}
