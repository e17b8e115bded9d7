/* The dot-lock tmp/courier.lock of a folder, as Courier takes it (IMAP_USELOCKS): guards courierimapuiddb.
 * A lock is stale when its process is gone (same host) or when it is older than MD_LOCK_STALE seconds. */
#ifndef MAILDIR_MD_LOCK_H
#define MAILDIR_MD_LOCK_H

#include "maildir/md.h"

enum { MD_LOCK_WAIT = 30, MD_LOCK_STALE = 300 }; /* seconds */

struct md_lock {
	int dirfd; /* of the folder: borrowed from the caller, who keeps it open; -1: not held */
	/* Our lock file, kept open so that no other file gets its inode number; -1: not held. */
	int fd;
	uint64_t dev, ino; /* of it */
	int64_t since_ms;  /* clock_ms() when it was taken */
};

/* clang-format off */
#define MD_LOCK_INIT { -1, -1, 0, 0, 0 }
/* clang-format on */

/* Takes the lock of the folder DIRFD (FOLDER in texts), waiting up to MD_LOCK_WAIT seconds, or until R->goes_on
 * says stop (MD_STOPPED).
 * MD_OK, MD_BUSY, MD_PERM, MD_READONLY, MD_FULL, MD_IO. */
enum md_err md_lock_take(struct md_root *r, int dirfd, const char *folder, struct md_lock *l) MUST_CHECK;
/* The same without waiting: MD_BUSY at once if another process holds it. Still breaks a stale lock. */
enum md_err md_lock_try(struct md_root *r, int dirfd, const char *folder, struct md_lock *l) MUST_CHECK;
/* Releases it; does nothing if it is not held, or someone broke it meanwhile. Retries if the file system fails to
 * tell whose it is, or to remove it: a lock left behind would block the folder for others until it is stale. For
 * this process it does not: when it takes that lock again it removes the file, which it keeps open until then. */
void md_lock_drop(struct md_lock *l);

#endif
