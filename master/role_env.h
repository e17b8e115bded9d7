/* The environment of a role. What stands in the daemon's is replaced in the settings before any role starts, and may
 * be secret (${DB_PASSWORD}); /proc/PID/environ shows it for as long as the process lives. So a role gets a list of
 * names, and nothing else. */
#ifndef MASTER_ROLE_ENV_H
#define MASTER_ROLE_ENV_H

#include "node/msg_channel.h"

/* The environment for a process of ROLE: those of this process's variables that the role and its libraries may need,
 * and a PATH that is always the same. For execve(); the array is the caller's to free with mem_free(), the strings
 * are not. */
char **role_env(enum role role);

#endif
