/* Drops the privileges that a role does not need. All in one place, so that it can be reviewed in one reading. */
#ifndef NODE_PRIV_H
#define NODE_PRIV_H

#include "node/msg_channel.h"
#include "settings/settings.h"

/* Reduces the calling process, for good, to what ROLE needs:
 * - worker: the user LOGIN_USER without further groups, the empty directory RUNDIR/empty as its root, and only
 *   the system calls of an event loop over sockets: TCP to peers, no UDP, no signals;
 * - authd, auth worker: the user AUTH_USER with the groups that the system gives it (keys, databases); authd writes no
 *   file and runs no program;
 * - key: the user AUTH_USER with its own group alone, the same empty directory as its root, and only the system calls
 *   of an event loop over sockets that it was given: it opens, connects and accepts nothing;
 * - spawn: root's uid with CAP_SETUID, CAP_SETGID and CAP_KILL alone, for its children and for nothing else; neither
 *   it nor they can run a program, unless the settings name one (LOCAL_IMAP, LOCAL_POP3).
 * All: no_new_privs, no core dump of memory that held secrets, not to be traced by others of the same user, no socket
 * whose closing waits, and no call that reaches into other processes. If an ordinary user started the node, the uid
 * stays; the system call filters and the last line still apply. Ends the process if any step fails, but for what the
 * kernel does not know (Landlock): a role never runs with more than it should have. */
void priv_drop(enum role role, const struct settings *set);
/* Directory that is the workers' root, below RUNDIR. */
#define PRIV_EMPTY_DIR "empty"

#endif
