/* Taking and breaking the folder's dot-lock. */
#include "maildir/md_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/fd.h"
#include "lib/num.h"
#include "lib/race.h"
#include "lib/str.h"
#include "maildir/md_dir.h"

#define LOCK_FILE "tmp/courier.lock"

enum { DROP_TRIES = 5 };

/* Our last lock file that could not be removed: nobody may break it while we live. Its file is open, as in struct
 * md_lock. All are one process's, whatever root they were taken for. */
static struct {
	int fd;
	uint64_t dev, ino;
} left = { -1, 0, 0 };

static void leave(const struct md_lock *l)
{
	if (left.fd >= 0)
		close(left.fd);
	left.fd = l->fd;
	left.dev = l->dev;
	left.ino = l->ino;
}

/* Removes it if it is the one in DIRFD. */
static void remove_left(int dirfd)
{
	struct stat st;

	if (left.fd < 0 || fstatat(dirfd, LOCK_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_dev != left.dev ||
	    st.st_ino != left.ino || unlinkat(dirfd, LOCK_FILE, 0) != 0)
		return;
	close(left.fd);
	left.fd = -1;
}

static const char *my_host(void)
{
	static char host[256];

	if (host[0] == '\0' && gethostname(host, sizeof(host) - 1) != 0)
		host[0] = '\0';
	return host[0] != '\0' ? host : "localhost";
}

/* True if TEXT is the "<pid>:<host>" of a process of this host that no longer exists. */
static bool owner_is_dead(const char *text)
{
	const char *colon = strchr(text, ':');
	uint64_t pid;

	if (colon == NULL || strcmp(colon + 1, my_host()) != 0 ||
	    !num_parse(text, (size_t)(colon - text), INT32_MAX, &pid) || pid <= 1)
		return false;
	return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

/* Removes the lock file if nobody can still be at work under it. Renames it to a name of our own first, so that of two
 * processes that find it stale only one removes it, and checks it again there. NOW is the file system's time: a file
 * server's clock may differ from ours. */
static void break_stale(struct md_root *r, int dirfd, int64_t now)
{
	struct str text = STR_INIT, mine = STR_INIT;
	struct stat st, again;
	bool stale;

	if (md_read_file(dirfd, LOCK_FILE, 4096, &text, &st) == 0) {
		stale = owner_is_dead(str_cstr(&text)) || st.st_mtime < now - MD_LOCK_STALE;
		if (stale && fstatat(dirfd, LOCK_FILE, &again, AT_SYMLINK_NOFOLLOW) == 0 && again.st_ino == st.st_ino &&
		    again.st_ctim.tv_sec == st.st_ctim.tv_sec && again.st_ctim.tv_nsec == st.st_ctim.tv_nsec) {
			RACE("lock: a stale one was seen twice");
			str_addf(&mine, "tmp/stale.%ld.%u", (long)getpid(), r->tmp_serial++);
			if (renameat(dirfd, LOCK_FILE, dirfd, mine.data) == 0) {
				/* If it turns out to be a younger lock, put it back. */
				if (fstatat(dirfd, mine.data, &again, AT_SYMLINK_NOFOLLOW) != 0 ||
				    again.st_ino == st.st_ino || linkat(dirfd, mine.data, dirfd, LOCK_FILE, 0) != 0)
					stale = true;
				unlinkat(dirfd, mine.data, 0);
			}
		}
	}
	str_fini(&text);
	str_fini(&mine);
}

/* Makes our own file in tmp/ with process and host in it: its descriptor, or -1 with errno. */
static int make_mine(struct md_root *r, int dirfd, struct str *name, struct stat *st)
{
	struct str text = STR_INIT;
	int fd, rc, err;

	str_adds(name, "tmp/");
	fd = md_tmp_create(r, dirfd, 0644, name);
	if (fd < 0)
		return -1;
	str_addf(&text, "%ld:%s", (long)getpid(), my_host());
	rc = fd_write_all(fd, text.data, text.len) ? 0 : -1;
	if (rc == 0)
		rc = fstat(fd, st);
	err = errno;
	if (rc != 0) {
		unlinkat(dirfd, name->data, 0);
		close(fd);
		fd = -1;
	}
	str_fini(&text);
	errno = err;
	return fd;
}

/* Tries link() until it works, for WAIT_S seconds; if a network file system loses its reply, only the link count shows
 * success. MADE: when MINE was made, by the file system's clock. */
static int take(struct md_root *r, int dirfd, const char *mine, int64_t made, int wait_s)
{
	int64_t start = clock_ms(), end = start + wait_s * 1000;
	unsigned wait_us = 200;
	struct stat st;

	for (bool again = false;; again = true) {
		int err;

		if (linkat(dirfd, mine, dirfd, LOCK_FILE, 0) == 0)
			return 0;
		err = errno;
		if (fstatat(dirfd, mine, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_nlink == 2)
			return 0;
		errno = err;
		if (err != EEXIST)
			return -1;
		remove_left(dirfd);
		break_stale(r, dirfd, made + (clock_ms() - start) / 1000);
		if (again && clock_ms() >= end) {
			errno = EEXIST;
			return -1;
		}
		if (!md_goes_on(r, 1, 0)) {
			errno = ECANCELED;
			return -1;
		}
		usleep(wait_us);
		wait_us = MIN(wait_us * 2, 20000u);
	}
}

static enum md_err lock(struct md_root *r, int dirfd, const char *folder, struct md_lock *l, int wait_s)
{
	struct str mine = STR_INIT;
	struct stat st;
	enum md_err e = MD_OK;
	int err;

	l->dirfd = -1;
	if ((l->fd = make_mine(r, dirfd, &mine, &st)) < 0) {
		err = errno;
		str_fini(&mine);
		e = md_errno(err);
		return md_fail(r, e == MD_GONE ? MD_NOTMAILDIR : e, err,
		    "cannot create a lock file in tmp/ of folder %s", md_folder_text(folder));
	}
	if (take(r, dirfd, mine.data, st.st_mtime, wait_s) == 0) {
		l->dirfd = dirfd;
		l->dev = st.st_dev;
		l->ino = st.st_ino;
		l->since_ms = clock_ms();
	} else if (errno == ECANCELED) {
		e = MD_STOPPED;
	} else if (errno == EEXIST) {
		e = md_fail(r, MD_BUSY, 0,
		    "tmp/courier.lock of folder %s is held by another process for more than %d s",
		    md_folder_text(folder), wait_s);
	} else {
		err = errno;
		e = md_fail(r, md_errno(err), err, "cannot lock folder %s", md_folder_text(folder));
	}
	unlinkat(dirfd, mine.data, 0);
	str_fini(&mine);
	if (e != MD_OK) {
		close(l->fd);
		l->fd = -1;
	}
	return e;
}

enum md_err md_lock_take(struct md_root *r, int dirfd, const char *folder, struct md_lock *l)
{
	return lock(r, dirfd, folder, l, MD_LOCK_WAIT);
}

enum md_err md_lock_try(struct md_root *r, int dirfd, const char *folder, struct md_lock *l)
{
	return lock(r, dirfd, folder, l, 0);
}

/* True if the lock file exists and is the one that L created. If the file system fails to tell, true as long as no
 * other program may have broken the lock. */
static bool is_ours(const struct md_lock *l)
{
	struct stat st;

	if (fstatat(l->dirfd, LOCK_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return st.st_dev == l->dev && st.st_ino == l->ino;
	return errno != ENOENT && clock_ms() - l->since_ms < MD_LOCK_STALE * 1000 / 2;
}

void md_lock_drop(struct md_lock *l)
{
	bool there = l->dirfd >= 0;

	for (int i = 0; i < DROP_TRIES && there && (there = is_ours(l)); i++)
		there = unlinkat(l->dirfd, LOCK_FILE, 0) != 0;
	if (there)
		leave(l);
	else if (l->fd >= 0)
		close(l->fd);
	l->dirfd = l->fd = -1;
}
