/* Converts text of any charset to UTF-8 (iconv), and folds case for searches. */
#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

#include "lib/str.h"

/* Opening a converter takes some 50 us, as long as reading kilobytes of mail, and a sender can name another charset
 * every few bytes. So the last ones stay open, and a message may use only so many charsets; further ones are treated as
 * unknown. Honest messages name a few. */
enum { MIME_CHARSETS_MAX = 16 };

/* The charsets that a message has named so far, as hashes of their names. All-zero at its start. */
struct mime_charsets {
	uint32_t seen[MIME_CHARSETS_MAX];
	unsigned n;
};

struct mime_iconv;
/* A conversion in progress, for input that comes in pieces. */
struct mime_charset {
	struct mime_iconv *cd; /* NULL: the text is read as UTF-8 */
	bool latin1;   /* bytes that are not UTF-8 are read as Latin-1: for us-ascii and charsets unknown to iconv */
	char held[16]; /* start of a character that is not complete yet */
	size_t n_held;
};

/* True if iconv knows the charset NAME. */
bool mime_charset_known(const char *name);
/* Starts a conversion from NAME ("" or NULL: us-ascii). Never fails: an unknown charset is converted as well as
 * possible. SET has the charsets named so far in the same message; NULL: no limit. */
void mime_charset_begin(struct mime_charset *c, const char *name, struct mime_charsets *set);
/* Appends LEN bytes at P as valid UTF-8 to OUT; invalid bytes become U+FFFD. A text gives the same in pieces of any
 * sizes, except faulty UTF-7, of which more or less is invalid then. */
void mime_charset_add(struct mime_charset *c, struct str *out, const char *p, size_t len);
/* Ends the conversion: appends U+FFFD if a character was cut short, and releases the converter. */
void mime_charset_end(struct mime_charset *c, struct str *out);
/* Frees the converters that are kept for reuse: for tests that look for leaks. */
void mime_charset_fini(void);
/* Converts a whole text, strictly, for search keys: false, with OUT unchanged, if NAME is unknown or the text is not
 * valid in it. */
bool mime_charset_to_utf8(struct str *out, const char *name, const char *p, size_t len);

/* Appends the LEN bytes of UTF-8 at P to OUT with case folded (simple folding, one character to one: "Ä" finds "ä", "ß"
 * stays). The text must not end within a character. Bytes that are not UTF-8 are kept. */
void mime_fold(struct str *out, const char *p, size_t len);

#endif
