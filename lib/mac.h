/* HMAC-SHA256 with a key that is set up once: a tenth of the cost of setting it up for each text. */
#ifndef LIB_MAC_H
#define LIB_MAC_H

#include "lib/base.h"

enum { MAC_LEN = 32 };

struct mac;

/* KEY is copied. Free with mac_free(). */
struct mac *mac_new(const void *key, size_t len);
/* Wipes the key; *M may be NULL. */
void mac_free(struct mac **m);
void mac_compute(struct mac *m, const void *p, size_t len, uint8_t out[MAC_LEN]);

#endif
