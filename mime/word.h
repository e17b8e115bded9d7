/* Encoded words (RFC 2047; languages of RFC 2231 section 5) in header text. */
#ifndef MIME_WORD_H
#define MIME_WORD_H

#include "lib/str.h"
#include "mime/charset.h"

/* Appends the raw field value of LEN bytes at P to OUT as UTF-8: unfolded, with encoded words decoded and blanks
 * between two of them dropped. Bytes that are not UTF-8 are read as Latin-1; words that cannot be decoded are kept as
 * they are. SET: see mime_charset_begin(). */
void mime_word_decode(struct str *out, const char *p, size_t len, struct mime_charsets *set);

#endif
