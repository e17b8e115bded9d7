/* Watching an open box by inotify. */
#include "maildir/md_watch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "maildir/md_box_private.h"
#include "maildir/md_keyword.h"

/* By descriptor, not by path: the folder's directory may have been renamed, and the process may be in a jail. */
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
	int n = snprintf(path, sizeof(path), "%s/.%s%s%s", box->root->path, box->folder,
	    *box->folder != '\0' ? "/" : "/", sub);

	return n > 0 && (size_t)n < sizeof(path) &&
	    inotify_add_watch(ifd, path,
	        IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_ONLYDIR) >= 0;
}

bool md_watch_init(struct md_watch *w, struct md_box *box)
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
	md_fail(box->root, MD_LIMIT, err, "cannot watch folder %s, so it is polled; raise fs.inotify.%s with sysctl",
	    md_folder_text(box->folder), err == ENOSPC ? "max_user_watches" : "max_user_instances");
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
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
}
