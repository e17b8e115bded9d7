/* Bytes that are kept where others can read and write them: encrypted and authenticated (AES-256-GCM), each message
 * with a key of its own, derived from the sealer's key and 32 random bytes, so that the number of messages has no
 * limit. CONTEXT says what the bytes belong to; it is not stored but must be the same at both ends. */
#ifndef LIB_SEAL_H
#define LIB_SEAL_H

#include "lib/mac.h"
#include "lib/str.h"

struct seal;

/* KEY is copied. Free with seal_free(). */
struct seal *seal_new(const uint8_t key[MAC_LEN]);
/* Wipes the key; *S may be NULL. */
void seal_free(struct seal **s);
/* Appends the sealed LEN bytes at P to OUT: SEAL_OVERHEAD bytes more. */
void seal_close(struct seal *s, const char *context, const void *p, size_t len, struct str *out);
/* Appends what was sealed in the LEN bytes at P to OUT (a secret: str_fini_secret()). False, and nothing is
 * appended, if they were made with another key or context, were changed, or are too short. */
bool seal_open(struct seal *s, const char *context, const void *p, size_t len, struct str *out);

enum { SEAL_OVERHEAD = 1 + 32 + 16 }; /* version, random bytes, tag */

#endif
