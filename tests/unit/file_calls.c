/* Counted file system calls that can fail, or be told. */
#include "tests/unit/file_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/open_mode.h"

static enum file_fault mode;
static unsigned calls, at;
static int with;
static void (*tell)(const struct file_op *op);

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

void file_calls_tell(void (*fn)(const struct file_op *op))
{
	tell = fn;
}

enum what { LOOKS, CHANGES, GROWS };

/* FILE_FROM: what fails behind the n-th call. */
static enum what failing(void)
{
	return with == EIO ? LOOKS : with == EROFS ? CHANGES : GROWS;
}

/* Counts a call that does WHAT. True: it fails. */
static bool fails(enum what what)
{
	calls++;
	if (mode == FILE_NONE || mode == FILE_HALF || calls < at ||
	    (calls > at && (mode != FILE_FROM || what < failing())))
		return false;
	if (mode == FILE_KILL)
		kill(getpid(), SIGKILL);
	errno = with;
	return true;
}

/* Counts a call that reads or writes LEN bytes, and is to do so many. */
static size_t shortened(size_t len)
{
	return mode == FILE_HALF && calls == at && len > 1 ? len / 2 : len;
}

/* --- what only looks --- */

/* clang-format off */
#define LOOKING(type, name, params, args) \
	type __real_##name params; \
	type __wrap_##name params; \
	type __wrap_##name params { return fails(LOOKS) ? -1 : __real_##name args; }

LOOKING(int, fstatat, (int fd, const char *path, struct stat *st, int flags), (fd, path, st, flags))
LOOKING(int, fstat, (int fd, struct stat *st), (fd, st))
LOOKING(int, faccessat, (int fd, const char *path, int how, int flags), (fd, path, how, flags))
/* clang-format on */

ssize_t __real_read(int fd, void *p, size_t len);
ssize_t __wrap_read(int fd, void *p, size_t len);
ssize_t __real_pread(int fd, void *p, size_t len, off_t off);
ssize_t __wrap_pread(int fd, void *p, size_t len, off_t off);
struct dirent *__real_readdir(DIR *dir);
struct dirent *__wrap_readdir(DIR *dir);

ssize_t __wrap_read(int fd, void *p, size_t len)
{
	return fails(LOOKS) ? -1 : __real_read(fd, p, shortened(len));
}

ssize_t __wrap_pread(int fd, void *p, size_t len, off_t off)
{
	return fails(LOOKS) ? -1 : __real_pread(fd, p, shortened(len), off);
}

struct dirent *__wrap_readdir(DIR *dir)
{
	return fails(LOOKS) ? NULL : __real_readdir(dir);
}

/* --- what is told --- */

static ino_t inode(int fd)
{
	struct stat st;

	return __real_fstat(fd, &st) == 0 ? st.st_ino : 0;
}

static ino_t inode_at(int fd, const char *path)
{
	struct stat st;

	return __real_fstatat(fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

/* The directory that holds PATH, and in *NAME the last part of PATH. */
static ino_t parent(int fd, const char *path, const char **name)
{
	const char *slash = strrchr(path, '/');
	char dir[1024];

	*name = slash != NULL ? slash + 1 : path;
	if (slash == NULL)
		return inode(fd);
	snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
	return inode_at(fd, dir);
}

/* Tells of a change of names in directories; of the file that PATH (or TO) names now, if MADE. */
static int told(int rc, enum file_op_kind kind, int fd, const char *path, int tofd, const char *to)
{
	struct file_op op = { .kind = kind };
	int err = errno;

	if (rc < 0 || tell == NULL || mode != FILE_NONE)
		return rc;
	op.dir = parent(fd, path, &op.name);
	if (to != NULL)
		op.to_dir = parent(tofd, to, &op.to_name);
	op.file = to != NULL ? inode_at(tofd, to) : inode_at(fd, path);
	tell(&op);
	errno = err;
	return rc;
}

static void told_file(enum file_op_kind kind, int fd, const void *data, size_t len, off_t off)
{
	struct file_op op = { .kind = kind, .data = data, .len = len, .at = off };
	int err = errno;

	if (tell == NULL || mode != FILE_NONE)
		return;
	op.file = inode(fd);
	tell(&op);
	errno = err;
}

/* clang-format off */
#define CHANGING(what, name, params, args, kind, fd, path, tofd, to) \
	int __real_##name params; \
	int __wrap_##name params; \
	int __wrap_##name params { return fails(what) ? -1 : told(__real_##name args, kind, fd, path, tofd, to); }

CHANGING(GROWS, linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags), FILE_LINKED, a, from, b, to)
CHANGING(CHANGES, unlinkat, (int fd, const char *path, int flags), (fd, path, flags), FILE_REMOVED, fd, path, -1, NULL)
CHANGING(GROWS, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to), FILE_RENAMED, a, from, b, to)
CHANGING(GROWS, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), FILE_RENAMED, a, from, b, to)
CHANGING(GROWS, mkdirat, (int fd, const char *path, mode_t m), (fd, path, m), FILE_DIR_MADE, fd, path, -1, NULL)
/* clang-format on */

int __real_utimensat(int fd, const char *path, const struct timespec *ts, int flags);
int __wrap_utimensat(int fd, const char *path, const struct timespec *ts, int flags);

int __wrap_utimensat(int fd, const char *path, const struct timespec *ts, int flags)
{
	return fails(CHANGES) ? -1 : __real_utimensat(fd, path, ts, flags);
}

/* Nothing is really synced: the power stays on. */
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_fsync(int fd)
{
	if (fails(GROWS))
		return -1;
	told_file(FILE_SYNCED, fd, NULL, 0, 0);
	return 0;
}

int __wrap_fdatasync(int fd)
{
	return __wrap_fsync(fd);
}

int __real_ftruncate(int fd, off_t len);
int __wrap_ftruncate(int fd, off_t len);

int __wrap_ftruncate(int fd, off_t len)
{
	if (fails(CHANGES) || __real_ftruncate(fd, len) != 0)
		return -1;
	told_file(FILE_CUT, fd, NULL, (size_t)len, 0);
	return 0;
}

int __real_close(int fd);
int __wrap_close(int fd);

int __wrap_close(int fd)
{
	int rc = __real_close(fd);

	return fails(LOOKS) ? -1 : rc;
}

int __real_openat(int fd, const char *path, int flags, ...);
int __wrap_openat(int fd, const char *path, int flags, ...);

int __wrap_openat(int fd, const char *path, int flags, ...)
{
	bool made = (flags & O_CREAT) != 0 && inode_at(fd, path) == 0;
	mode_t m;
	int got;

	OPEN_MODE(m, flags);
	if (fails((flags & O_CREAT) != 0 ? GROWS : LOOKS))
		return -1;
	got = __real_openat(fd, path, flags, m);
	if (made)
		told(got, FILE_MADE, fd, path, -1, NULL);
	else if (got >= 0 && (flags & O_TRUNC) != 0)
		told_file(FILE_CUT, got, NULL, 0, 0);
	return got;
}

ssize_t __real_write(int fd, const void *p, size_t len);
ssize_t __wrap_write(int fd, const void *p, size_t len);

static ssize_t told_write(int fd, const void *p, size_t len)
{
	struct stat st;
	off_t off =
	    (fcntl(fd, F_GETFL) & O_APPEND) != 0 && __real_fstat(fd, &st) == 0 ? st.st_size : lseek(fd, 0, SEEK_CUR);
	ssize_t n = __real_write(fd, p, len);

	if (n > 0)
		told_file(FILE_WROTE, fd, p, (size_t)n, off);
	return n;
}

ssize_t __wrap_write(int fd, const void *p, size_t len)
{
	if (!fails(GROWS))
		return told_write(fd, p, shortened(len));
	if (len > 1 && with != EINTR)
		(void)!__real_write(fd, p, len / 2);
	errno = with;
	return -1;
}
