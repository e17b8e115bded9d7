/* The environment of a role. The daemon's own may contain secrets (${DB_PASSWORD} in the settings), which
 * /proc/PID/environ would show for the life of the role. A role does not need them, because the settings are expanded
 * before: it gets only the variables on a list. */
#ifndef MASTER_ROLE_ENV_H
#define MASTER_ROLE_ENV_H

#include "node/msg_channel.h"

/* The environment for a process of ROLE: those of this process's variables that the role and its libraries may need,
 * and a PATH that is always the same. For execve(). The caller frees the array with mem_free(), but not the strings. */
char **role_env(enum role role);

#endif
