/* The text of a log line as syslog readers and fail2ban know it. Pure functions. */
#ifndef MASTER_LOGLINE_H
#define MASTER_LOGLINE_H

#include <time.h>

#include "lib/log.h"
#include "lib/str.h"

/* Appends "Mon DD HH:MM:SS HOST program[PID]: text\n" to OUT, without [PID] for imapd and pop3d, as in Courier. Month
 * names are English in every locale, WHEN is in local time. Control characters and an invalid program name are
 * replaced: a record may come from a compromised process. */
void logline_file(struct str *out, const struct tm *when, const char *host, const struct log_record *rec, pid_t pid);
/* The same for the system's log socket: "<PRI>Mon DD HH:MM:SS program[PID]: text", facility mail, no line end. */
void logline_syslog(struct str *out, const struct tm *when, const struct log_record *rec, pid_t pid);
/* May a session server log TEXT? False if it is a refused login, which only the login side may report. The same words
 * later in the line (a folder of that name) are changed in place, so that they cannot mislead a program that searches
 * the log for them. */
bool logline_session_may(char *text);

#endif
