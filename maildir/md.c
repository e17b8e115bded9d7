/* The root of a Maildir, failures as texts, and folder names for texts. */
#include "maildir/md.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "maildir/md_tree.h"

/* What the reader of the log can do about it. */
static const char *advice(enum md_err e)
{
	switch (e) {
	case MD_PERM:
		return "; let the account's user own the Maildir and write to it";
	case MD_FULL:
		return "; make room on the file system, or raise the quota";
	case MD_READONLY:
		return "; the file system is mounted read-only";
	case MD_BUSY:
		return "; if no mail process of this account runs, delete the lock file";
	default:
		return "";
	}
}

enum md_err md_fail(struct md_root *r, enum md_err e, int err, const char *fmt, ...)
{
	char text[MD_WHY_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(r->why, sizeof(r->why), "%.*s: %.300s%s%s%s", 120, r->path, text, err != 0 ? ": " : "",
	    err != 0 ? strerror(err) : "", advice(e));
	return e;
}

enum md_err md_errno(int err)
{
	switch (err) {
	case 0:
		return MD_OK;
	case ENOENT:
		return MD_GONE;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return MD_FULL;
	case EACCES:
	case EPERM:
	case ELOOP:
		return MD_PERM;
	case EROFS:
		return MD_READONLY;
	default:
		return MD_IO;
	}
}

enum md_err md_errno_dir(int err)
{
	return err == ENOENT || err == ENOTDIR ? MD_NOTMAILDIR : md_errno(err);
}

bool md_goes_on(struct md_root *r, size_t messages, size_t bytes)
{
	if (r->goes_on == NULL || r->goes_on(r->goes_on_arg, messages, bytes))
		return true;
	md_fail(r, MD_STOPPED, 0, "stopped early; nothing was changed");
	return false;
}

const char *md_err_text(enum md_err e)
{
	static const char *const text[MD_ERR_COUNT] = {
		[MD_OK] = "Done",
		[MD_NOFOLDER] = "Mailbox does not exist",
		[MD_NOTMAILDIR] = "Mailbox cannot be opened",
		[MD_EXISTS] = "Mailbox exists already",
		[MD_BADNAME] = "Invalid mailbox name",
		[MD_REFUSED] = "Not possible with this mailbox",
		[MD_GONE] = "Message is no longer there",
		[MD_PERM] = "Permission denied",
		[MD_FULL] = "Disk or quota is full",
		[MD_BUSY] = "Mailbox is locked by another process",
		[MD_READONLY] = "Mailbox is read-only",
		[MD_RESET] = "Mailbox was replaced by another",
		[MD_LIMIT] = "A limit of the mailbox is reached",
		[MD_STOPPED] = "Stopped before it was done",
		[MD_IO] = "Mail storage failed",
	};

	return (unsigned)e < MD_ERR_COUNT ? text[e] : "Unknown";
}

enum md_err md_root_init(struct md_root *r, const char *path)
{
	int err;

	memset(r, 0, sizeof(*r));
	r->path = mem_strdup(path);
	r->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->fd >= 0) {
		if (faccessat(r->fd, "cur", F_OK, 0) == 0)
			return MD_OK;
		err = errno;
		close(r->fd);
		r->fd = -1;
		return md_fail(r, err == ENOENT ? MD_NOTMAILDIR : md_errno(err), err,
		    "cannot use cur/ of the Maildir (create it with maildirmake)");
	}
	err = errno;
	if (err == ENOENT)
		return md_fail(r, MD_NOFOLDER, 0,
		    "the Maildir does not exist; create it, or correct the account's maildir and home");
	return md_fail(r, err == ENOTDIR ? MD_NOTMAILDIR : md_errno(err), err, "cannot open the Maildir");
}

void md_root_fini(struct md_root *r)
{
	if (r->fd >= 0) {
		md_size_flush(r);
		close(r->fd);
	}
	r->fd = -1;
	mem_free(&r->path);
}

/* MD_OK; MD_NOTMAILDIR if two of cur/, new/ and tmp/ of FOLDER, whose directory is FD, are one directory by a link:
 * its mail would be new again at each scan, or be taken for leftovers. Does not check whether they exist. */
static enum md_err md_check_dirs(struct md_root *r, int fd, const char *folder)
{
	static const char *const sub[] = { "cur", "new", "tmp" };
	struct stat st[ARRAY_LEN(sub)];

	for (size_t i = 0; i < ARRAY_LEN(sub); i++) {
		if (fstatat(fd, sub[i], &st[i], 0) != 0)
			st[i].st_ino = 0; /* reported when it is needed */
		for (size_t k = 0; k < i; k++)
			if (st[i].st_ino != 0 && st[i].st_ino == st[k].st_ino && st[i].st_dev == st[k].st_dev)
				return md_fail(r, MD_NOTMAILDIR, 0,
				    "%s/ and %s/ of folder %s are one directory; make them directories of their own",
				    sub[k], sub[i], md_folder_text(folder));
	}
	return MD_OK;
}

enum md_err md_folder_open(struct md_root *r, const char *folder, int *fd_out)
{
	char dir[MD_FOLDER_MAX + 2];
	int err;

	*fd_out = -1;
	if (!md_tree_valid(folder))
		return md_fail(r, MD_BADNAME, 0, "%s cannot be a folder's name", md_folder_text(folder));
	snprintf(dir, sizeof(dir), ".%s", folder);
	*fd_out = openat(r->fd, dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*fd_out >= 0)
		return MD_OK;
	err = errno;
	if (err == ENOENT || err == ENOTDIR)
		return md_fail(r, MD_NOFOLDER, 0, "folder %s does not exist", md_folder_text(folder));
	return md_fail(r, md_errno(err), err, "cannot open folder %s", md_folder_text(folder));
}

enum md_err md_folder_open_mail(struct md_root *r, const char *folder, int *fd_out)
{
	enum md_err e = md_folder_open(r, folder, fd_out);

	if (e == MD_OK)
		e = md_check_dirs(r, *fd_out, folder);
	if (e != MD_OK && *fd_out >= 0) {
		close(*fd_out);
		*fd_out = -1;
	}
	return e;
}

enum md_err md_folder_gone(struct md_root *r, int fd, const char *folder, enum md_err e)
{
	struct md_root quiet = *r; /* keep the text of the failure */
	struct stat was, is;
	bool gone = e != MD_OK && e != MD_NOFOLDER && fstat(fd, &was) == 0;
	int now = -1;

	if (gone && md_folder_open(&quiet, folder, &now) == MD_OK)
		gone = fstat(now, &is) == 0 && (is.st_ino != was.st_ino || is.st_dev != was.st_dev);
	else
		gone = gone && now == -1;
	if (now != -1)
		close(now);
	return gone ? md_fail(r, MD_NOFOLDER, 0, "folder %s was deleted meanwhile", md_folder_text(folder)) : e;
}

const char *md_folder_text(const char *folder)
{
	static char buf[MD_FOLDER_MAX + 2];

	if (*folder == '\0')
		return "INBOX";
	return log_clean(buf, sizeof(buf), folder);
}
