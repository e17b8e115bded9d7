/* Watching an open box. */
#include "maildir/md_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "maildir/md_box_private.h"
#include "maildir/md_keyword.h"

/* Watches by descriptor, not by path: the folder may have been renamed, and the process may be in a jail. */
static int add(int ifd, int dirfd, const char *sub)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, sub);
	return inotify_add_watch(ifd, path,
	    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR);
}

static bool add_by_path(int ifd, const struct md_box *box, const char *sub)
{
	char path[4096];
	int n = snprintf(path, sizeof(path), "%s/.%s/%s", box->root->path, box->folder, sub);

	return n > 0 && (size_t)n < sizeof(path) &&
	    inotify_add_watch(ifd, path,
	        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR) >= 0;
}

static bool by_inotify(struct md_watch *w, const struct md_box *box)
{
	int err;

	w->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->fd >= 0 && (add(w->fd, box->fd, "new") >= 0 || (errno == ENOENT && add_by_path(w->fd, box, "new"))) &&
	    (add(w->fd, box->fd, "cur") >= 0 || (errno == ENOENT && add_by_path(w->fd, box, "cur")))) {
		(void)add(w->fd, box->fd, MD_KW_DIR); /* not there before the first keyword */
		return true;
	}
	err = errno;
	md_watch_fini(w);
	errno = err;
	return false;
}

/* Makes directory SUB of the folder send SIGIO for EVENTS (DN_*). */
static bool notify(struct md_watch *w, const struct md_box *box, const char *sub, int events)
{
	int fd = openat(box->fd, sub, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd == -1)
		return false;
	w->dir[w->ndirs++] = fd;
	return fcntl(fd, F_NOTIFY, events | (int)DN_MULTISHOT) == 0;
}

static bool by_signal(struct md_watch *w, const struct md_box *box)
{
	const int files = DN_CREATE | DN_DELETE | DN_RENAME;
	sigset_t io;
	int err;

	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, NULL);
	w->fd = signalfd(-1, &io, SFD_NONBLOCK | SFD_CLOEXEC);
	if (w->fd >= 0 && notify(w, box, "new", files) && notify(w, box, "cur", files)) {
		(void)notify(w, box, MD_KW_DIR, files); /* not there before the first keyword */
		if (*box->folder != '\0')
			(void)notify(w, box, ".", DN_DELETE); /* new/ and cur/ vanish with the folder */
		md_watch_drain(w);                            /* events of an earlier watch */
		return true;
	}
	err = errno;
	md_watch_fini(w);
	errno = err;
	return false;
}

bool md_watch_init(struct md_watch *w, struct md_box *box)
{
	int err;

	*w = (struct md_watch){ .fd = -1 };
	if (by_signal(w, box))
		return true;
	err = errno;
	if (by_inotify(w, box))
		return true;
	if (err == EINVAL) /* the kernel has no F_NOTIFY */
		md_fail(box->root, MD_LIMIT, errno,
		    "cannot watch folder %s, so it is polled; set fs.dir-notify-enable = 1 with sysctl, or raise "
		    "fs.inotify.%s",
		    md_folder_text(box->folder), errno == ENOSPC ? "max_user_watches" : "max_user_instances");
	else
		md_fail(box->root, MD_LIMIT, err, "cannot watch folder %s, so it is polled%s",
		    md_folder_text(box->folder),
		    err == EMFILE || err == ENFILE ? "; raise the limit of open files (LimitNOFILE=)" : "");
	return false;
}

bool md_watch_drain(struct md_watch *w)
{
	char buf[4096] __attribute__((aligned(8)));
	bool any = false;
	ssize_t n;

	if (w->fd < 0)
		return false;
	while ((n = read(w->fd, buf, sizeof(buf))) > 0 || (n < 0 && errno == EINTR))
		any |= n > 0;
	return any;
}

void md_watch_fini(struct md_watch *w)
{
	while (w->ndirs > 0)
		close(w->dir[--w->ndirs]);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
