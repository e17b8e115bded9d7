/* The only ways to end a process for a reason other than success. Errors are of three kinds: our own bug (DIE_IF), an
 * environment in which this process cannot work (die_fatal), and a peer that misbehaves (log it and end that session
 * only). */
#ifndef LIB_DIE_H
#define LIB_DIE_H

#include "lib/base.h"

/* Logs the text at error level and exits with status 1. */
void die_fatal(const char *fmt, ...) NORETURN PRINTF_LIKE(1, 2);
/* As die_fatal(), followed by the text of errno. */
void die_errno(const char *fmt, ...) NORETURN PRINTF_LIKE(1, 2);
/* Logs file, line and text, and aborts: for states that only our own bug can bring about. */
void die_bug(const char *file, int line, const char *what) NORETURN;

#define DIE_IF(cond) \
	do { \
		if (__builtin_expect(!!(cond), 0)) \
			die_bug(__FILE__, __LINE__, #cond); \
	} while (0)

#endif
