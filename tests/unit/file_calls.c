/* Counted file system calls that can fail. */
#include "tests/unit/file_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/open_mode.h"

static enum file_fault mode;
static unsigned calls, at;
static int with;

void file_calls_begin(enum file_fault fault, unsigned n, int err)
{
	mode = fault;
	calls = 0;
	at = n;
	with = err;
}

unsigned file_calls_end(void)
{
	mode = FILE_NONE;
	return calls;
}

static bool fails(void)
{
	calls++;
	if (mode == FILE_NONE || calls != at)
		return false;
	if (mode == FILE_KILL)
		kill(getpid(), SIGKILL);
	errno = with;
	return true;
}

/* clang-format off */
#define WRAP(name, params, args) \
	int __real_##name params; \
	int __wrap_##name params; \
	int __wrap_##name params { return fails() ? -1 : __real_##name args; }

WRAP(fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags))
WRAP(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
WRAP(unlinkat, (int fd, const char *path, int flags), (fd, path, flags))
WRAP(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
WRAP(renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
WRAP(mkdirat, (int fd, const char *path, mode_t m), (fd, path, m))
/* clang-format on */

/* Nothing is really synced: the power stays on. */
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fsync(int fd UNUSED)
{
	return fails() ? -1 : 0;
}

int __wrap_fdatasync(int fd UNUSED)
{
	return fails() ? -1 : 0;
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...)
{
	mode_t m;

	OPEN_MODE(m, flags);
	return fails() ? -1 : __real_openat(fd, path, flags, m);
}

ssize_t __real_write(int fd, const void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);

/* A write that fails has written half, as one on a disk that gets full. */
ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	if (!fails())
		return __real_write(fd, p, len);
	if (len > 1)
		(void)!__real_write(fd, p, len / 2);
	errno = with;
	return -1;
}
