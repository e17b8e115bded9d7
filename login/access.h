/* Which addresses may connect: the rules of an access file (settings/access_file.h), ready to be asked. */
#ifndef LOGIN_ACCESS_H
#define LOGIN_ACCESS_H

#include "lib/net.h"

struct access;

/* From lines "allow NETWORK" and "deny NETWORK". NULL if there are none: everybody may connect. */
struct access *access_new(const char *rules);
void access_free(struct access **a);
/* The most specific network of CLIENT is denied. A may be NULL. The cost does not depend on the number of rules. */
bool access_denies(const struct access *a, const struct net_addr *client);

#endif
