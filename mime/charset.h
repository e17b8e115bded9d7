/* Text in any charset as UTF-8 (iconv), and folding of case for searches. */
#ifndef MIME_CHARSET_H
#define MIME_CHARSET_H

#include "lib/str.h"

/* Opening a converter costs some 50 us, as much as reading kilobytes of mail, and a sender can name another charset
 * every few bytes. So the last ones stay open, and a message has no more charsets than those: what comes in yet
 * another one is read as if it were unknown. No honest message names more than a few. */
enum { MIME_CHARSETS_MAX = 16 };

/* The charsets that a message has named so far, as hashes of their names. All-zero at its start. */
struct mime_charsets {
	uint32_t seen[MIME_CHARSETS_MAX];
	unsigned n;
};

struct mime_iconv;
/* A conversion in progress, for input that comes in pieces. */
struct mime_charset {
	struct mime_iconv *cd; /* NULL: the text is taken as UTF-8 */
	bool latin1;   /* bytes that are not UTF-8 are taken as Latin-1: us-ascii and charsets unknown to iconv */
	char held[16]; /* start of a character that is not complete yet */
	size_t n_held;
};

/* True if iconv knows the charset NAME. */
bool mime_charset_known(const char *name);
/* Starts a conversion from NAME ("" or NULL: us-ascii). Never fails: an unknown charset is converted as well as can
 * be. SET has the charsets of the message that the text is from; NULL: no limit. */
void mime_charset_begin(struct mime_charset *c, const char *name, struct mime_charsets *set);
/* Appends LEN bytes at P as valid UTF-8 to OUT; bytes without meaning become U+FFFD. */
void mime_charset_add(struct mime_charset *c, struct str *out, const char *p, size_t len);
/* The end: appends U+FFFD if a character was cut short, and gives the converter back. */
void mime_charset_end(struct mime_charset *c, struct str *out);
/* Frees the converters that are kept for the next use: for tests that look for leaks. */
void mime_charset_fini(void);
/* All at once and strictly, for search keys: false, with OUT unchanged, if NAME is unknown or the text is not valid in
 * it. */
bool mime_charset_to_utf8(struct str *out, const char *name, const char *p, size_t len);

/* Appends the LEN bytes of UTF-8 at P to OUT with case folded (simple folding, one character to one: "Ä" finds "ä",
 * "ß" stays). P must not end within a character. Bytes that are not UTF-8 stay. */
void mime_fold(struct str *out, const char *p, size_t len);

#endif
