/* A login worker: one event loop that accepts clients, drives their logins and relays their sessions. */
#ifndef LOGIN_WORKER_H
#define LOGIN_WORKER_H

#include "node/role.h"

struct login_dialect;

/* main() of the role. DIALECTS: one per enum protocol. Returns the exit status. */
int worker_main(const struct role_start *who, const struct login_dialect *const dialects[PROTOCOL_COUNT]);

#endif
