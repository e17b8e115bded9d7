/* authd: the process that knows the accounts (userdb mapped, everything slower done by the auth workers), the
 * sessions of this node, and which peers answer. One event loop; nothing in it waits. */
#ifndef AUTHD_AUTHD_H
#define AUTHD_AUTHD_H

#include "node/role.h"

/* main() of the role. Returns the exit status. */
int authd_main(const struct role_start *who);

#endif
