/* One line per event, in which text from outside is made printable. A process has one sink, set once at start:
 * - stderr (the default): for tools and unit tests;
 * - a datagram socket to the master, which writes the lines for all roles. A sender never waits:
 *   lines that do not fit are dropped and counted, and the count is logged when there is room again.
 * Lines to the master are collected and sent by log_flush(), which event loops call once a turn. */
#ifndef LIB_LOG_H
#define LIB_LOG_H

#include "lib/base.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

enum { LOG_LINE_MAX = 1024 }; /* bytes of one line; longer ones are cut */

/* The name before the colon of each line ("imapd", "waypostd"); NAME must live as long as the process. */
void log_set_program(const char *name);
/* Sends lines to the datagram socket FD from now on (-1: stderr). */
void log_set_socket(int fd);
/* Debug lines are written if ON. */
void log_set_debug(bool on);
/* Sends what has been collected; cheap if there is nothing. */
void log_flush(void);
/* Bytes that log_flush() would send. */
size_t log_waiting(void);
/* Lines that the master did not get, and has not been told of yet. */
unsigned long log_dropped(void);

void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);
/* A line of another program name: roles that serve both protocols log as "imapd" or "pop3d". */
void log_as(const char *program, enum log_level level, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same with LEN bytes of finished text, for lines that every login writes. */
void log_text(const char *program, enum log_level level, const char *text, size_t len);

/* SRC with every byte outside printable ASCII as '.', cut to fit DST (DSTSIZE bytes with NUL); returns DST. */
char *log_clean(char *dst, size_t dstsize, const char *src);
/* The same for the value of a key=value pair that comes from outside: commas, which end a value for programs that read
 * the log, are replaced too, so that a name cannot forge an "ip=[...]". */
char *log_value(char *dst, size_t dstsize, const char *src);

/* What log_flush() sends, for the master: lines, each "<level digit><program>: <text>\n". */
struct log_record {
	enum log_level level;
	const char *program;
	const char *text;
};
/* Takes the next line out of the LEN bytes at *P (it is changed in place); false at the end or at a
 * malformed line. A longer text than LOG_LINE_MAX is cut. *P and *LEN advance. */
bool log_parse(char **p, size_t *len, struct log_record *rec);

/* A line that each of many events would log: true once in SECONDS, for *UNTIL, which is 0 at first. */
bool log_due(uint32_t *until, uint32_t seconds);

#endif
