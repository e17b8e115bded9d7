/* The secrets that the nodes of a pool share: the lines of a file. The first one signs, all verify, so that they can be
 * replaced node by node. */
#ifndef SETTINGS_POOL_SECRET_H
#define SETTINGS_POOL_SECRET_H

#include "lib/str.h"

enum { POOL_SECRET_MIN = 16, POOL_SECRETS_MAX = 8, POOL_SECRET_FILE_MAX = 4096 };

/* The lines of the file PATH, parted by line feeds, with none behind the last one; NULL with a sentence in WHY (what is
 * wrong, what to do). Free with mem_free_secret(). */
char *pool_secret_read(const char *path, struct str *why);
/* The next line of what pool_secret_read() gave; advances *LIST behind it. *LEN is its length. NULL: there is none. */
const char *pool_secret_next(const char **list, size_t *len);
/* Hex digits by which people see whether two nodes have the same secret. They do not tell it. Returns DST. */
enum { POOL_SECRET_PRINT_LEN = 8 };
const char *pool_secret_print(const char *secret, size_t len, char dst[POOL_SECRET_PRINT_LEN + 1]);

#endif
