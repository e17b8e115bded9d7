/* Characters of UTF-8 (RFC 3629), by libunistring: no long forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include "lib/str.h"

/* The LEN bytes at P are valid UTF-8. */
bool utf8_valid(const char *p, size_t len);
/* Decodes the character at the start of the LEN (> 0) bytes at P into *C. Returns its length in bytes; 0 if it is
 * invalid. */
size_t utf8_get(const char *p, size_t len, uint32_t *c);
/* Appends C to OUT; U+FFFD if C is not a character. */
void utf8_add(struct str *out, uint32_t c);
/* C is a control character, 0x80 to 0x9f included: some terminals act on them. */
bool utf8_is_control(uint32_t c);

#endif
