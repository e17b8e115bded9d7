/* Keeps what is logged, a line each with its level before it: "E: text". The program is linked with
 * --wrap=log_error,--wrap=log_warn,--wrap=log_info. */
#ifndef TESTS_UNIT_LOGGED_H
#define TESTS_UNIT_LOGGED_H

#include <stdarg.h>

#include "lib/str.h"

static struct str logged;

static void PRINTF_LIKE(2, 0) add_line(char level, const char *fmt, va_list ap)
{
	str_addc(&logged, level);
	str_adds(&logged, ": ");
	str_addv(&logged, fmt, ap);
	str_addc(&logged, '\n');
}

#define WRAP_LOG(name, level) \
	void __wrap_##name(const char *fmt, ...) PRINTF_LIKE(1, 2); \
	void __wrap_##name(const char *fmt, ...) \
	{ \
		va_list ap; \
		va_start(ap, fmt); \
		add_line(level, fmt, ap); \
		va_end(ap); \
	}
WRAP_LOG(log_error, 'E')
WRAP_LOG(log_warn, 'W')
WRAP_LOG(log_info, 'I')

#endif
