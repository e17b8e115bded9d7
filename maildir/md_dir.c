/* Directories of a folder: opened, made, synced, cleared. */
#include "maildir/md_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_name.h"

enum { TREE_DEPTH_MAX = 16 }; /* levels of directories that md_remove_tree() descends */

void md_dirlist_fini(struct md_dirlist *l)
{
	str_fini(&l->text);
	mem_free(&l->off);
	l->n = l->cap = 0;
}

const char *md_dirlist_name(const struct md_dirlist *l, size_t i)
{
	return l->text.data + l->off[i];
}

static bool dirlist_add(struct md_dirlist *l, const char *name)
{
	if (l->text.len > UINT32_MAX - 512)
		return false;
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 16;
		l->off = mem_grow(l->off, l->cap * sizeof(*l->off));
	}
	l->off[l->n++] = (uint32_t)l->text.len;
	str_add(&l->text, name, strlen(name) + 1);
	return true;
}

static bool is_regular(int fd, const struct dirent *de)
{
	struct stat st;

	if (de->d_type != DT_UNKNOWN)
		return de->d_type == DT_REG;
	return fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
}

/* Logs that NAME, which stands among the messages, is none. */
static void say_odd(struct md_root *r, const char *folder, const char *sub, const char *name)
{
	char clean[MD_NAME_MAX + 1];

	if (r->said_odd)
		return;
	r->said_odd = true;
	log_warn("%.120s: %s in %s/ of folder %s is not a regular file and is ignored: move it elsewhere", r->path,
	    log_clean(clean, sizeof(clean), name), sub, md_folder_text(folder));
}

enum md_err md_dirlist_read(struct md_root *r, int dirfd, const char *folder, const char *sub, enum md_listed what,
    struct md_dirlist *l)
{
	int fd = openat(dirfd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;
	bool fits = true;
	int err = errno;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return md_fail(r, err == ENOENT || err == ENOTDIR ? MD_NOTMAILDIR : md_errno(err), err,
		    "cannot read %s/ of folder %s", sub, md_folder_text(folder));
	}
	while (fits && (errno = 0, de = readdir(dir)) != NULL) {
		if (de->d_name[0] == '.' &&
		    (what == MD_LIST_MESSAGES || de->d_name[1] == '\0' || strcmp(de->d_name, "..") == 0))
			continue;
		if (what == MD_LIST_MESSAGES && !is_regular(fd, de)) {
			say_odd(r, folder, sub, de->d_name);
			continue;
		}
		fits = dirlist_add(l, de->d_name);
	}
	err = errno;
	closedir(dir);
	if (!fits)
		return md_fail(r, MD_LIMIT, 0, "too many files in %s/ of folder %s", sub, md_folder_text(folder));
	if (err != 0)
		return md_fail(r, md_errno(err), err, "cannot read %s/ of folder %s", sub, md_folder_text(folder));
	return MD_OK;
}

int md_rename_new(int fromfd, const char *from, int tofd, const char *to)
{
	struct stat st;

	if (renameat2(fromfd, from, tofd, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without RENAME_NOREPLACE (some NFS): a small race remains. */
	if (fstatat(tofd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		errno = EEXIST;
		return -1;
	}
	return renameat(fromfd, from, tofd, to);
}

int md_move_new(int dirfd, const char *name, struct str *out)
{
	struct str from = STR_INIT, to = STR_INIT;
	int rc, err;

	str_addf(&from, "new/%s", name);
	str_addf(&to, "cur/%s%s", name, strchr(name, ':') == NULL ? ":2," : "");
	rc = md_rename_new(dirfd, from.data, dirfd, to.data);
	err = errno;
	if (rc == 0)
		str_adds(out, to.data + 4);
	str_fini(&from);
	str_fini(&to);
	errno = err;
	return rc;
}

void md_clean_tmp(int dirfd, time_t now)
{
	int fd = openat(dirfd, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *de;
	struct stat st;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((de = readdir(dir)) != NULL) {
		if (strcmp(de->d_name, ".") == 0 || strcmp(de->d_name, "..") == 0)
			continue;
		/* A message's date is its mtime: a file being stored now may be from last year. */
		if (fstatat(fd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
		    MAX(st.st_mtime, st.st_ctime) > now - MD_TMP_HOURS * 3600 || md_name_in_use(de->d_name))
			continue;
		RACE("tmp: something seems left over");
		if (S_ISDIR(st.st_mode))
			(void)md_remove_tree(fd, de->d_name); /* a folder whose deletion was interrupted */
		else
			(void)unlinkat(fd, de->d_name, 0);
	}
	closedir(dir);
}

static int remove_tree(int dirfd, const char *name, int depth)
{
	int fd, rc = 0;
	DIR *dir;
	struct dirent *de;

	if (unlinkat(dirfd, name, 0) == 0)
		return 0;
	if ((errno != EISDIR && errno != EPERM) || depth == 0)
		return -1;
	fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return -1;
	}
	while ((de = readdir(dir)) != NULL)
		if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
			rc |= remove_tree(fd, de->d_name, depth - 1);
	closedir(dir);
	return rc != 0 ? -1 : unlinkat(dirfd, name, AT_REMOVEDIR);
}

int md_remove_tree(int dirfd, const char *name)
{
	return remove_tree(dirfd, name, TREE_DEPTH_MAX);
}

int md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name)
{
	struct str path = STR_INIT;
	int fd = -1;

	for (int i = 0; i < 10; i++) {
		str_clear(&path);
		str_adds(&path, "tmp/");
		md_name_tmp(r, &path);
		fd = openat(dirfd, path.data, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
		if (fd >= 0 || errno != EEXIST)
			break;
	}
	if (fd >= 0)
		str_adds(name, path.data + 4);
	str_fini(&path);
	return fd;
}

static int replace(struct md_root *r, int tmpfd, int dirfd, const char *target, const struct str *text, mode_t mode,
    bool sync, struct stat *st)
{
	struct str name = STR_INIT;
	int fd, err, rc = -1;

	str_adds(&name, "tmp/");
	fd = md_tmp_create(r, tmpfd, mode, &name);
	if (fd >= 0) {
		rc = fd_write_all(fd, str_cstr(text), text->len) ? 0 : -1;
		if (rc == 0 && sync)
			rc = fdatasync(fd);
		if (rc == 0)
			rc = fstat(fd, st);
		err = errno;
		if (close(fd) != 0 && rc == 0) { /* NFS reports a full quota here */
			rc = -1;
			err = errno;
		}
		if (rc == 0) {
			rc = renameat(tmpfd, name.data, dirfd, target);
			err = errno;
		}
		if (rc != 0)
			unlinkat(tmpfd, name.data, 0);
		errno = err;
	}
	err = errno;
	str_fini(&name);
	errno = err;
	return rc;
}

int md_replace_file(struct md_root *r, int tmpfd, int dirfd, const char *target, const struct str *text, bool sync,
    struct stat *st)
{
	return replace(r, tmpfd, dirfd, target, text, 0644, sync, st);
}

int md_replace_private(struct md_root *r, int dirfd, const char *target, const struct str *text, struct stat *st)
{
	return replace(r, dirfd, dirfd, target, text, 0600, true, st);
}

int md_sync_dir(int dirfd, const char *sub)
{
	int fd = openat(dirfd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc, err;

	if (fd < 0)
		return -1;
	rc = fsync(fd);
	err = errno;
	close(fd);
	errno = err;
	/* Some file systems have nothing to sync in a directory. EROFS: it has just failed, as it was written to. */
	return rc != 0 && err != EINVAL ? -1 : 0;
}

int md_read_file(int dirfd, const char *name, size_t max, struct str *out, struct stat *st)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	size_t start = out->len;
	int err = 0;

	if (fd < 0)
		return -1;
	if (fstat(fd, st) != 0)
		err = errno;
	else if (!S_ISREG(st->st_mode))
		err = EINVAL;
	else if ((uint64_t)st->st_size > max)
		err = EFBIG;
	while (err == 0) {
		size_t want = out->len - start < (size_t)st->st_size ? (size_t)st->st_size - (out->len - start) : 4096;
		ssize_t n = read(fd, str_room(out, want), want);

		if (n < 0 && errno != EINTR)
			err = errno;
		if (n == 0)
			break;
		if (n > 0) {
			out->len += (size_t)n;
			out->data[out->len] = '\0';
			if (out->len - start > max)
				err = EFBIG;
		}
	}
	close(fd);
	errno = err;
	return err == 0 ? 0 : -1;
}
