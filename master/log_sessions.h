/* What session servers may log: each only lines of its own account, under its protocol's name, and a limited number.
 * Its account is known from the LOGIN line that it logged before it dropped its privileges (master/spawn_child.c), over
 * a socket that it then closed. So a compromised process cannot log in the name of others. When a process has logged
 * its own end, or spawn has reported it, its number means nobody again. */
#ifndef MASTER_LOG_SESSIONS_H
#define MASTER_LOG_SESSIONS_H

#include <sys/types.h>

#include "lib/log.h"
#include "master/log_allowance.h"

enum {
	/* Of one server in a minute: each deleted message may be a line (IMAP_LOG_DELETIONS). Its last one is free. */
	LOG_SESSION_LINES = 10000,
	LOG_SESSION_BYTES = 4 << 20,
	/* Of all processes together that have the socket and are no session server that is known. */
	LOG_STRANGER_LINES = 300,
	LOG_SESSION_TEXT = 1200 /* bytes of a line as it is written */
};

/* The program of a line of spawn that is for us alone: the session server whose process id is its text has ended, and
 * may not have logged its end. */
#define LOG_SESSION_ENDED "session-ended"

/* A line of process PID over spawn's socket: if it is a LOGIN, PID is that account's session server from now on.
 * True: it is for us alone, and not to be written. */
bool log_sessions_note(pid_t pid, const struct log_record *rec);
/* The line REC of session server PID, prepared for writing: its program and text may be changed, in place or in BUF, so
 * that it claims nothing about others. False: it is left out. */
bool log_sessions_allow(pid_t pid, struct log_record *rec, char buf[LOG_SESSION_TEXT]);
/* PID has no more lines in what was read at once: if its end was among them it is known no more. */
void log_sessions_read(pid_t pid);
/* Spawn has reported ends since log_sessions_forget_ended(): lines of before may still wait in the socket. */
bool log_sessions_ended(void);
void log_sessions_forget_ended(void);
/* What session server PID may log; NULL if it is none that is known. */
struct log_allowance *log_sessions_allowance(pid_t pid);
/* Spoils in TEXT what only a line of the account itself may say. */
void log_sessions_spoil(char *text);
/* Forgets all. */
void log_sessions_fini(void);

#endif
