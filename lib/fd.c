/* Waits for a descriptor; writes or reads all of a text, or of a file. */
#include "lib/fd.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"

bool fd_wait(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left;

	while ((left = deadline - clock_ms()) > 0) {
		int n = poll(&p, 1, (int)MIN(left, INT_MAX));

		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
	errno = ETIMEDOUT;
	return false;
}

bool fd_write_all(int fd, const void *p, size_t len)
{
	const char *at = p;

	while (len != 0) {
		ssize_t n = write(fd, at, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n == 0 ? ENOSPC : errno;
			return false;
		}
		at += n;
		len -= (size_t)n;
	}
	return true;
}

ssize_t fd_read_all(int fd, void *p, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t n = read(fd, (char *)p + got, len - got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

bool fd_read_file(int fd, size_t max, struct str *out)
{
	struct stat st;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size > max) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return false;
	}
	if (lseek(fd, 0, SEEK_SET) != 0 ||
	    (n = fd_read_all(fd, str_room(out, (size_t)st.st_size + 1), (size_t)st.st_size)) < 0)
		return false;
	out->len += (size_t)n;
	out->data[out->len] = '\0';
	return true;
}
