/* Whose lines session servers may log: each only its own account's, under its protocol's name, and not without end.
 * Who a process is stands in the LOGIN line that it logged before it gave up its rights (master/spawn_child.c), over
 * a socket that it has no more. A process that was taken over can so speak for nobody else in the log. */
#ifndef MASTER_LOG_SESSIONS_H
#define MASTER_LOG_SESSIONS_H

#include <sys/types.h>

#include "lib/log.h"

enum {
	LOG_SESSION_SECONDS = 60,
	/* Of one server in that time: each deleted message may be one (IMAP_LOG_DELETIONS). */
	LOG_SESSION_LINES = 10000,
	LOG_SESSION_TEXT = 1100 /* bytes of a line as it is written */
};

/* A line of process PID over spawn's socket: if it is a LOGIN, PID is that account's session server from now on. */
void log_sessions_note(pid_t pid, const struct log_record *rec);
/* The line REC of session server PID, as it is to be written: its program and text may be changed, in place or by
 * BUF, so that it claims nothing about others. False: it is left out. */
bool log_sessions_allow(pid_t pid, struct log_record *rec, char buf[LOG_SESSION_TEXT]);
/* Forgets all. */
void log_sessions_fini(void);

#endif
