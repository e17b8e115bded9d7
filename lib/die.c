/* The ways to end a process, and what they write first. */
#include "lib/die.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"

void die_fatal(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s", text);
	log_flush();
	exit(1);
}

void die_errno(const char *fmt, ...)
{
	int saved = errno;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_error("%s: %s", text, strerror(saved));
	log_flush();
	exit(1);
}

void die_bug(const char *file, int line, const char *what)
{
	log_error("bug in waypost: %s:%d: %s; please report it with this line", file, line, what);
	log_flush();
	abort();
}
