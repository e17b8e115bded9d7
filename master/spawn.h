/* The warm parent of the session servers: pairs tickets of authd with clients of the login workers, and forks a server
 * for each as the account's user. It learns about accounts from authd alone; what the client sent is passed on
 * unread. */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include "node/role.h"
#include "node/session.h"

/* The servers by protocol; NULL: not in this program. Defined in master/spawn_table.c, and by tests. */
extern session_server_fn *const spawn_servers[PROTOCOL_COUNT];

/* The variable of the environment in which the program of LOCAL_IMAP or LOCAL_POP3 gets struct session_start.context,
 * as Courier's login programs set it. */
extern const char *const spawn_context_variables[PROTOCOL_COUNT];

/* main() of the role. Returns its exit status. */
int spawn_main(const struct role_start *who);

#endif
