/* Encoded words (RFC 2047; languages of RFC 2231 section 5) in header text. */
#ifndef MIME_WORD_H
#define MIME_WORD_H

#include "lib/str.h"
#include "mime/charset.h"

/* Appends the raw field value of LEN bytes at P to OUT as UTF-8: unfolded, encoded words decoded, blanks between two
 * of them dropped, bytes that are not UTF-8 taken as Latin-1, words that cannot be decoded left as they are. SET is
 * as for mime_charset_begin(). */
void mime_word_decode(struct str *out, const char *p, size_t len, struct mime_charsets *set);

#endif
