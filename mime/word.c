/* The parser of encoded words. */
#include "mime/word.h"

#include <string.h>

#include "mime/decode.h"
#include "mime/hdr.h"

enum { WORD_MAX = 2000 }; /* bytes of one encoded word: the standard says 75, but some senders exceed it */

/* The pieces of "=?charset*lang?enc?text?=". */
struct word {
	char charset[64];
	char enc; /* B or Q */
	const char *text;
	size_t len;
	const char *end; /* behind "?=" */
};

/* The text in which encoded words are searched. */
struct input {
	const char *end;
	/* The first "?=" at or after the place of the last search; NULL: not searched yet; END: there is none. */
	const char *close;
};

/* The state of the output: adjacent words of one charset are converted as one text, because some senders split
 * characters between them. */
struct output {
	struct str *out;
	struct mime_charset cs;
	char charset[64];
	bool open;
	struct mime_charsets *set;
};

static bool read_charset(struct word *w, const char *p, const char *q)
{
	const char *star = memchr(p, '*', (size_t)(q - p));
	size_t n = (size_t)((star != NULL ? star : q) - p);

	if (n == 0 || n >= sizeof(w->charset) || memchr(p, ' ', n) != NULL)
		return false;
	memcpy(w->charset, p, n);
	w->charset[n] = '\0';
	return true;
}

/* The next "?=" from P on. It is remembered, so that no text is searched twice: one full of "=?a?Q?" without any "?="
 * would otherwise be searched for WORD_MAX bytes at each of them. */
static const char *find_close(struct input *in, const char *p)
{
	if (in->close == NULL || in->close < p) {
		in->close = memmem(p, (size_t)(in->end - p), "?=", 2);
		if (in->close == NULL)
			in->close = in->end;
	}
	return in->close;
}

/* Reads the encoded word at P ("=?..."), which has at most WORD_MAX bytes. */
static bool read_word(struct word *w, const char *p, struct input *in)
{
	const char *end = in->end - p > WORD_MAX ? p + WORD_MAX : in->end, *q;

	p += 2;
	q = memchr(p, '?', MIN((size_t)(end - p), sizeof(w->charset) * 2));
	if (q == NULL || !read_charset(w, p, q) || end - q < 4 || q[2] != '?')
		return false;
	w->enc = (char)(q[1] & ~0x20);
	if (w->enc != 'B' && w->enc != 'Q')
		return false;
	w->text = q + 3;
	q = find_close(in, w->text);
	if (end - q < 2)
		return false;
	w->len = (size_t)(q - w->text);
	w->end = q + 2;
	return true;
}

static void decode_q(struct str *out, const char *p, size_t len)
{
	struct mime_decoder d;

	mime_decoder_init(&d, MIME_ENC_QP);
	for (size_t i = 0; i < len; i++) {
		char c = p[i] == '_' ? ' ' : p[i];

		mime_decoder_add(&d, out, &c, 1);
	}
	mime_decoder_add(&d, out, "=", 1); /* blanks at the end are text here: no line end follows */
	mime_decoder_end(&d, out);
	if (out->len > 0)
		out->data[--out->len] = '\0';
}

static void end_words(struct output *o)
{
	if (o->open)
		mime_charset_end(&o->cs, o->out);
	o->open = false;
}

static void add_word(struct output *o, const struct word *w)
{
	struct str bytes = STR_INIT;
	struct mime_decoder d;

	if (!o->open || strcmp(o->charset, w->charset) != 0) {
		end_words(o);
		memcpy(o->charset, w->charset, sizeof(o->charset));
		mime_charset_begin(&o->cs, w->charset, o->set);
		o->open = true;
	}
	if (w->enc == 'Q') {
		decode_q(&bytes, w->text, w->len);
	} else {
		mime_decoder_init(&d, MIME_ENC_BASE64);
		mime_decoder_add(&d, &bytes, w->text, w->len);
		mime_decoder_end(&d, &bytes);
	}
	mime_charset_add(&o->cs, o->out, str_cstr(&bytes), bytes.len);
	str_fini(&bytes);
}

static void add_raw(struct output *o, const char *p, size_t len)
{
	struct mime_charset cs;

	end_words(o);
	mime_charset_begin(&cs, "us-ascii", NULL);
	mime_charset_add(&cs, o->out, p, len);
	mime_charset_end(&cs, o->out);
}

static size_t count_blanks(const char *p, const char *end)
{
	size_t n = 0;

	while (p + n < end && (p[n] == ' ' || p[n] == '\t'))
		n++;
	return n;
}

/* The next "=?" from P on that begins an encoded word, read into W; NULL if there is none. */
static const char *find_word(struct word *w, const char *p, struct input *in)
{
	while (p < in->end && (p = memmem(p, (size_t)(in->end - p), "=?", 2)) != NULL) {
		if (read_word(w, p, in))
			return p;
		p += 2;
	}
	return NULL;
}

void mime_word_decode(struct str *out, const char *p, size_t len, struct mime_charsets *set)
{
	struct output o = { .out = out, .set = set };
	struct str text = STR_INIT;
	struct input in = { .close = NULL };
	const char *at;
	struct word w;

	mime_hdr_unfold(&text, p, len);
	p = str_cstr(&text);
	in.end = p + text.len;
	while ((at = find_word(&w, p, &in)) != NULL) {
		/* blanks between two words are not part of the text */
		if (!o.open || count_blanks(p, at) != (size_t)(at - p))
			add_raw(&o, p, (size_t)(at - p));
		add_word(&o, &w);
		p = w.end;
	}
	add_raw(&o, p, (size_t)(in.end - p));
	str_fini(&text);
}
