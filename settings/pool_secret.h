/* The secrets that the nodes of a pool share: the lines of a file. The first one signs, all verify, so that a secret
 * can be replaced node by node. */
#ifndef SETTINGS_POOL_SECRET_H
#define SETTINGS_POOL_SECRET_H

#include "lib/str.h"

enum { POOL_SECRET_MIN = 16, POOL_SECRETS_MAX = 8, POOL_SECRET_FILE_MAX = 4096 };

/* The lines of the file PATH, separated by line feeds, without one after the last; NULL with a sentence in WHY (what is
 * wrong, what to do). Free with mem_free_secret(). */
char *pool_secret_read(const char *path, struct str *why);
/* The next line of what pool_secret_read() returned; advances *LIST past it. *LEN is its length. NULL: there is
 * none. */
const char *pool_secret_next(const char **list, size_t *len);
/* Appends for each secret of LIST, not "", hex digits that show people whether two nodes have the same ones, without
 * revealing them: first the one that signs. */
void pool_secret_prints(const char *list, struct str *out);

#endif
