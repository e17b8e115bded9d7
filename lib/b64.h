/* Base64 (RFC 4648 section 4) over OpenSSL's codec, with the strictness that SASL needs. */
#ifndef LIB_B64_H
#define LIB_B64_H

#include "lib/str.h"

/* Appends the base64 form of LEN bytes at P to OUT, without line breaks. */
void b64_encode(struct str *out, const void *p, size_t len);
/* Decodes the LEN characters at P and appends the bytes to OUT. False, with OUT unchanged, if there is any character
 * outside the alphabet, missing or misplaced padding, or a length that is no multiple of 4. */
bool b64_decode(struct str *out, const char *p, size_t len);

#endif
