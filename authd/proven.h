/* Passwords that were proven right a while ago, so that a login need not compute a slow hash again.
 * Kept is only a keyed digest of name, stored hash and password; the key is made anew at each start and never
 * leaves the process. A changed hash makes another digest, so nothing outlives a change of password. */
#ifndef AUTHD_PROVEN_H
#define AUTHD_PROVEN_H

#include "lib/base.h"

struct proven;

/* At most MAX entries; the oldest makes room. */
struct proven *proven_new(unsigned max);
void proven_free(struct proven **p);
/* PASSWORD was found right before for NAME with the stored HASH. */
bool proven_check(struct proven *p, const char *name, const char *hash, const char *password);
void proven_add(struct proven *p, const char *name, const char *hash, const char *password);

#endif
