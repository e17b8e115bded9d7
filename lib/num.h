/* Strict reading of decimal numbers: digits only, no sign, no blank, no overflow. And writing them without printf(),
 * for code that each login runs. */
#ifndef LIB_NUM_H
#define LIB_NUM_H

#include "lib/base.h"

/* The LEN bytes at P are all digits and the value is at most LIMIT: true, and the value in *OUT. */
bool num_parse(const char *p, size_t len, uint64_t limit, uint64_t *out);
/* As num_parse() for the NUL-terminated S. */
bool num_parse_str(const char *s, uint64_t limit, uint64_t *out);

enum { NUM_TEXT_MAX = 21, NUM_HEX_MAX = 17 };

/* V in decimal. Returns DST. */
const char *num_text(uint64_t v, char dst[NUM_TEXT_MAX]);
/* V as 16 hexadecimal digits, lower case. Returns DST. */
const char *num_hex(uint64_t v, char dst[NUM_HEX_MAX]);

#endif
