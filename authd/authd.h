/* authd: the process that knows the accounts (it maps the userdb, and auth workers do everything slower), the sessions
 * of this node, and which peers answer. One event loop, which never blocks. */
#ifndef AUTHD_AUTHD_H
#define AUTHD_AUTHD_H

#include "node/role.h"

/* main() of the role. Returns the exit status. */
int authd_main(const struct role_start *who);

#endif
