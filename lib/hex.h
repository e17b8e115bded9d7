/* Bytes as hexadecimal text (RFC 4648 section 8, base16), written in lower case and read in either. Fast, because each
 * login uses it. */
#ifndef LIB_HEX_H
#define LIB_HEX_H

#include "lib/str.h"

/* The value of the digit C, 0 to 15; -1 if it is not one. */
int hex_value(char c);

/* The LEN bytes at P as 2 * LEN digits and a NUL into DST, which has the room. Returns DST. */
char *hex_text(char *dst, const void *p, size_t len);
/* The LEN characters at P as LEN / 2 bytes into DST, which has the room. False, with DST undefined, if LEN is odd or
 * one of them is not a digit. */
bool hex_bytes(void *dst, const char *p, size_t len);

/* As hex_text(), appended to OUT. */
void hex_encode(struct str *out, const void *p, size_t len);
/* As hex_bytes(), appended to OUT, which is unchanged if it returns false. */
bool hex_decode(struct str *out, const char *p, size_t len);

#endif
