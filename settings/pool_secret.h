/* The secret that the nodes of a pool share: from a file, or derived from the TLS key that all of them have. */
#ifndef SETTINGS_POOL_SECRET_H
#define SETTINGS_POOL_SECRET_H

#include "lib/str.h"

enum { POOL_SECRET_MIN = 16, POOL_SECRET_MAX = 4096 };

/* The contents of the file PATH without the line end; NULL with a sentence in WHY (what is wrong, what to do).
 * Free with mem_free_secret(). */
char *pool_secret_read(const char *path, struct str *why);
/* Hex of HMAC-SHA256("waypost pool secret", DER of the private key in the PEM file PATH), so that all nodes with
 * this key derive the same secret, and the secret does not tell the key. As pool_secret_read() otherwise. */
char *pool_secret_derive(const char *path, struct str *why);
/* Hex digits by which people see whether two nodes have the same secret. They do not tell it. Returns DST. */
enum { POOL_SECRET_PRINT_LEN = 8 };
const char *pool_secret_print(const char *secret, char dst[POOL_SECRET_PRINT_LEN + 1]);

#endif
