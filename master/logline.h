/* The text of a log line as syslog readers and fail2ban know it. Pure functions. */
#ifndef MASTER_LOGLINE_H
#define MASTER_LOGLINE_H

#include <time.h>

#include "lib/log.h"
#include "lib/str.h"

/* Appends "Mon DD HH:MM:SS HOST program[PID]: text\n" to OUT, without [PID] for imapd and pop3d, as in Courier.
 * Month names are English in every locale, WHEN is in local time. Control characters and an unfit program name
 * are made harmless: a record may come from a process that was taken over. */
void logline_file(struct str *out, const struct tm *when, const char *host, const struct log_record *rec, pid_t pid);
/* The same for the system's log socket: "<PRI>Mon DD HH:MM:SS program[PID]: text", facility mail, no line end. */
void logline_syslog(struct str *out, const struct tm *when, const struct log_record *rec, pid_t pid);
/* May a session server have logged TEXT? Refused logins are the login side's to tell: false if TEXT is one.
 * The same words further behind (a folder of that name) are changed in place, so that no log reader that
 * searches for them is taken in. */
bool logline_session_may(char *text);

#endif
