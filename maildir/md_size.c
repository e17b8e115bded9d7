/* maildirsize, see md_size.h. */
#include "maildir/md_size.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/str.h"
#include "maildir/md.h"
#include "maildir/md_dir.h"
#include "maildir/md_name.h"

#define FILE_NAME "maildirsize"

enum { CHANGES_MAX = 1000 }; /* write a line then, even within a command: a kill must not lose more */

static bool kept(struct md_root *r)
{
	if (r->size.file == MD_SIZE_NOT_LOOKED)
		r->size.file =
		    faccessat(r->fd, FILE_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? MD_SIZE_KEPT : MD_SIZE_NONE;
	return r->size.file == MD_SIZE_KEPT;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash != NULL ? slash + 1 : path;
}

static bool counts(const char *folder)
{
	return strcmp(folder, "Trash") != 0;
}

int64_t md_size_of(struct md_root *r, int dirfd, const char *path)
{
	uint64_t bytes;
	struct stat st;

	if (!kept(r))
		return 0;
	if (md_name_size(file_name(path), &bytes) && bytes <= INT64_MAX)
		return (int64_t)bytes;
	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_size : 0;
}

static void note(struct md_root *r, const char *folder, const char *name, int64_t bytes, int sign)
{
	if (!counts(folder) || (md_name_flags(file_name(name)) & MD_DELETED) != 0 || !kept(r))
		return;
	/* Anybody may choose names: a sum that overflows would be worse than a wrong one. */
	if (__builtin_add_overflow(r->size.bytes, sign * bytes, &r->size.bytes))
		r->size.bytes = 0;
	r->size.messages += sign;
	if (++r->size.changes >= CHANGES_MAX)
		md_size_flush(r);
}

void md_size_came(struct md_root *r, const char *folder, const char *name, int64_t bytes)
{
	note(r, folder, name, bytes, 1);
}

void md_size_left(struct md_root *r, const char *folder, const char *name, int64_t bytes)
{
	note(r, folder, name, bytes, -1);
}

static void note_dir(struct md_root *r, const char *folder, int dirfd, const char *sub, int sign)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct str path = STR_INIT;

	if (md_dirlist_read(r, dirfd, folder, sub, MD_LIST_MESSAGES, &l) == MD_OK)
		for (size_t i = 0; i < l.n; i++) {
			str_clear(&path);
			str_addf(&path, "%s/%s", sub, md_dirlist_name(&l, i));
			note(r, folder, path.data, md_size_of(r, dirfd, path.data), sign);
		}
	str_fini(&path);
	md_dirlist_fini(&l);
}

static void note_folder(struct md_root *r, const char *folder, const char *dir, int sign)
{
	struct md_root quiet = *r; /* a folder without cur/ is no failure of the command */
	int fd;

	if (!counts(folder) || !kept(r))
		return;
	fd = openat(r->fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return;
	quiet.size = (struct md_size){ .file = MD_SIZE_KEPT };
	note_dir(&quiet, folder, fd, "new", sign);
	note_dir(&quiet, folder, fd, "cur", sign);
	md_size_flush(&quiet);
	close(fd);
}

void md_size_folder_came(struct md_root *r, const char *folder, const char *dir)
{
	note_folder(r, folder, dir, 1);
}

void md_size_folder_left(struct md_root *r, const char *folder, const char *dir)
{
	note_folder(r, folder, dir, -1);
}

bool md_size_differs(const char *a, const char *b)
{
	return counts(a) != counts(b);
}

/* Appends one line in one write. If the last line has no line feed, its writer was interrupted: a line feed comes
 * first. An empty file gets nothing, because its first line would be read as the quota. False with errno. */
static bool append(int fd, const struct md_size *s)
{
	struct stat st;
	char line[64], last = '\n';
	int len;
	ssize_t n;

	if (fstat(fd, &st) != 0)
		return false;
	if (!S_ISREG(st.st_mode)) {
		errno = EPERM;
		return false;
	}
	if (st.st_size == 0)
		return true;
	if (pread(fd, &last, 1, st.st_size - 1) < 0)
		return false;
	len = snprintf(line, sizeof(line), "%s%12lld %12lld\n", last == '\n' ? "" : "\n", (long long)s->bytes,
	    (long long)s->messages);
	n = write(fd, line, (size_t)len);
	if (n == len)
		return true;
	/* Half a line would corrupt the next one. */
	if (n > 0 && ftruncate(fd, st.st_size) == 0)
		errno = ENOSPC;
	return false;
}

void md_size_flush(struct md_root *r)
{
	struct md_size s = r->size;
	int fd, err = 0;

	r->size = (struct md_size){ .warned = s.warned };
	if (s.bytes == 0 && s.messages == 0)
		return;
	fd = openat(r->fd, FILE_NAME, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return; /* the quota was just removed, or is being recounted */
	if (fd < 0 || !append(fd, &s))
		err = errno;
	if (fd >= 0)
		close(fd);
	if (err != 0 && !s.warned)
		log_warn("%.120s: cannot write to " FILE_NAME
		         ": %s; the quota is wrong until it is recounted (delete " FILE_NAME
		         " after repairing it: the next delivery makes it)",
		    r->path, strerror(err));
	r->size.warned = s.warned || err != 0;
}
