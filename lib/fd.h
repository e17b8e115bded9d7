/* Descriptors in processes that may wait. */
#ifndef LIB_FD_H
#define LIB_FD_H

#include "lib/base.h"

/* Until FD is ready for one of EVENTS, as of poll(). False, with errno, if that is not before clock_ms() is DEADLINE
 * (ETIMEDOUT) or cannot be found out. Signals do not end it. */
bool fd_wait(int fd, short events, int64_t deadline);

/* Writes the LEN bytes at P, however many write()s it takes. False, with errno, if some of them cannot be written. */
bool fd_write_all(int fd, const void *p, size_t len);

#endif
