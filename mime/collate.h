/* The collation i;unicode-casemap (RFC 5051): texts as bytes that compare as SORT and THREAD need. */
#ifndef MIME_COLLATE_H
#define MIME_COLLATE_H

#include "lib/str.h"

/* Appends to OUT the bytes by which the LEN bytes of UTF-8 at P are compared: each character in its title case, then
 * decomposed. Two texts are equal if their bytes are; the order is that of memcmp(), a text before its continuations.
 * Bytes that are not UTF-8 are kept. */
void mime_collate(struct str *out, const char *p, size_t len);

#endif
