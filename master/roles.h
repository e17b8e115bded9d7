/* The roles that this program can be: what it runs when the master executes it with a role's name. */
#ifndef MASTER_ROLES_H
#define MASTER_ROLES_H

#include "node/role.h"

/* The first argument of a role's process; then come its name, slot and generation. */
#define ROLES_OPTION "--role"

/* The name of ROLE: "worker", "authd", "auth-worker", "spawn". */
const char *roles_name(enum role role);
/* Runs the role that ARGV ("waypostd", ROLES_OPTION, name, slot, generation) names; its exit status. */
int roles_run(int argc, char **argv);

#endif
