/* Giving up what a role has no use for. One place, so that it can be judged in one reading. */
#ifndef NODE_PRIV_H
#define NODE_PRIV_H

#include "node/msg_channel.h"
#include "settings/settings.h"

/* What role ROLE may keep, given up for good in the calling process:
 * - worker: the user LOGIN_USER without further groups, the empty directory RUNDIR/empty as its root, and only
 *   the system calls of an event loop over sockets;
 * - authd, auth worker: the user AUTH_USER with the groups that the system gives it (keys, databases);
 * - spawn: root's uid with CAP_SETUID, CAP_SETGID and CAP_KILL alone, for its children and for nothing else.
 * All: no_new_privs, no core dump of memory that held secrets, not to be traced by others of the same user.
 * Started by an ordinary user the uid stays, the filter of system calls and the last line apply all the same.
 * Ends the process if any step fails: a role never runs with more than it should have. */
void priv_drop(enum role role, const struct settings *set);
/* Directory that is the workers' root, below RUNDIR. */
#define PRIV_EMPTY_DIR "empty"

#endif
