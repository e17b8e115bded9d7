/* The log writer: receives the lines of all roles from their sockets and writes them to the place that LOG names. It
 * never waits and never ends the process: lines that cannot be written are counted, and reported once. */
#ifndef MASTER_LOGFILE_H
#define MASTER_LOGFILE_H

#include <ev.h>

#include "lib/base.h"

/* Sends all lines to TARGET from now on: "syslog" (facility mail), "stderr", or the absolute path of a file.
 * False if the file cannot be opened (reason in errno); the old target stays then. */
bool logfile_open(const char *target);
/* Opens the file again, after it was renamed by logrotate. */
void logfile_reopen(void);
/* Drops lines less important than LEVEL ("error", "warn", "info", "debug"). */
void logfile_set_level(const char *level);
/* While ON, errors and warnings are written to stderr as well: until the start is over. */
void logfile_mirror(bool on);
/* Who writes to the other end. */
enum logfile_source {
	LOGFILE_ROLE, /* a role, as its log (lib/log.h); not without end */
	/* Spawn, and its children until they are session servers: their LOGIN lines are written before what the servers
	 * log. */
	LOGFILE_SPAWN,
	LOGFILE_SESSION, /* session servers, as their log: not trusted (log_sessions.h) */
	LOGFILE_STDERR   /* of logfile_listen_stderr() */
};
/* Takes over SOCK, one end of logfile_pair(), and writes what the other end sends, until all who have it have closed
 * it. NAME: of the role, NULL for session servers; it is copied. */
void logfile_listen(struct ev_loop *loop, int sock, enum logfile_source kind, const char *name);
/* The same for the stderr of a role, whose process is ROLE, and its children: what libraries, sanitizers and programs
 * print becomes lines "stderr of NAME: ...", which cannot pass for lines of the role. They are limited: of the role, of
 * each session server, of each other process, and of all of these together. */
void logfile_listen_stderr(struct ev_loop *loop, int sock, const char *name, pid_t role);
/* Makes the pair for one sender: FD[0] for logfile_listen(), FD[1] for the sender. 0, or -1 with errno. */
int logfile_pair(int fd[2]);
/* Lines lost since the log last worked; 0 while it works. */
unsigned long logfile_lost(void);
/* Writes all that has been sent so far, and not without end what is sent meanwhile; for the end of a process. */
void logfile_drain(void);

#endif
