/* Characters of UTF-8 (RFC 3629), by libunistring: no long forms, no surrogates, nothing beyond U+10FFFF. */
#ifndef LIB_UTF8_H
#define LIB_UTF8_H

#include "lib/str.h"

/* The LEN bytes at P are characters, all of them. */
bool utf8_valid(const char *p, size_t len);
/* The character at P, of LEN (> 0) bytes that are there, into *C: how many bytes it takes; 0 if there is none. */
size_t utf8_get(const char *p, size_t len, uint32_t *c);
/* Appends C to OUT; U+FFFD if there is no such character. */
void utf8_add(struct str *out, uint32_t c);
/* C is a control character, those of 0x80 to 0x9f among them: they move the cursor of some terminals. */
bool utf8_is_control(uint32_t c);

#endif
