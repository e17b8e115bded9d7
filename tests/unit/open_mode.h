/* The mode that a wrapped openat() was called with: it is there only with O_CREAT. */
#ifndef TESTS_OPEN_MODE_H
#define TESTS_OPEN_MODE_H

#include <fcntl.h>
#include <stdarg.h>
#include <sys/types.h>

/* Sets MODE in a function (..., int FLAGS, ...). */
#define OPEN_MODE(mode, flags) \
	do { \
		va_list open_mode_ap; \
\
		va_start(open_mode_ap, flags); \
		(mode) = ((flags)&O_CREAT) != 0 ? va_arg(open_mode_ap, mode_t) : 0; \
		va_end(open_mode_ap); \
	} while (0)

#endif
