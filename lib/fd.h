/* Descriptors in processes that may block. */
#ifndef LIB_FD_H
#define LIB_FD_H

#include <sys/types.h>

#include "lib/str.h"

/* Waits until FD is ready for one of EVENTS (poll()'s). False, with errno, if clock_ms() reaches DEADLINE before
 * (ETIMEDOUT) or poll() fails. Signals do not end the wait. */
bool fd_wait(int fd, short events, int64_t deadline);

/* Writes the LEN bytes at P, however many write()s it takes. False, with errno, if some of them cannot be written. */
bool fd_write_all(int fd, const void *p, size_t len);
/* Reads LEN bytes to P, however many read()s it takes. How many there were: fewer if FD ends before; -1, with errno, if
 * it cannot be read. */
ssize_t fd_read_all(int fd, void *p, size_t len);
/* Appends to OUT what the file FD holds, from its beginning, in one allocation: it may be a secret. False, with errno:
 * it cannot be read, has more than MAX bytes (EFBIG), or is no file (EINVAL). */
bool fd_read_file(int fd, size_t max, struct str *out);

#endif
