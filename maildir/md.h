/* A user's Maildir as Courier keeps it: the folder tree's root, and the results that all of maildir/ shares.
 *
 * Folder names in maildir/: "" is INBOX (the Maildir itself), "Sent", "A.B": UTF-8, components joined by '.',
 * no prefix. On disk folder "A.B" is the directory ".A.B" beside cur/. Prefix, separator on the wire and
 * modified UTF-7 are the protocol's business.
 *
 * Everything is reached with openat() from the root's directory descriptor; message files that are symbolic
 * links are not followed, folder directories may be links. One process uses a root from one thread. */
#ifndef MAILDIR_MD_H
#define MAILDIR_MD_H

#include "lib/base.h"
#include "maildir/md_size.h"

/* What every call that can fail returns. MD_OK is 0; any other has a text in root->why. */
enum md_err {
	MD_OK,
	MD_NOFOLDER,   /* there is no such folder (IMAP: NO [TRYCREATE] / [NONEXISTENT]) */
	MD_NOTMAILDIR, /* the directory has no usable cur/, new/ and tmp/ */
	MD_EXISTS,     /* the folder exists already */
	MD_BADNAME,    /* no folder can have this name */
	MD_REFUSED,    /* this folder cannot be deleted or renamed (INBOX, a target below itself) */
	MD_GONE,       /* the message is no longer there */
	MD_PERM,       /* no permission */
	MD_FULL,       /* disk or quota full: nothing was stored */
	MD_BUSY,       /* another process held the lock for too long: nothing was changed */
	MD_READONLY,   /* the box was opened read-only, or its file system is */
	MD_RESET,      /* the folder opened no longer exists (deleted, or a new UIDVALIDITY): close it */
	MD_LIMIT,      /* too many keywords, too large a folder */
	MD_STOPPED,    /* root->goes_on returned false: nothing was changed */
	MD_IO,         /* any other system error */
	MD_ERR_COUNT
};

enum { MD_WHY_MAX = 512, MD_FOLDER_MAX = 254 }; /* bytes of a text, of a folder name */

/* What becomes of waypostcache and waypostparsed. */
enum md_cache_use {
	MD_CACHE_USED,
	MD_CACHE_READ,    /* not written; one that is damaged is not logged */
	MD_CACHE_IGNORED, /* neither read nor written */
	MD_CACHE_ANEW     /* written without having been read, by boxes that change nothing else, too */
};

struct md_root {
	int fd;              /* the Maildir's directory, or -1 */
	char *path;          /* as given: for texts only */
	unsigned tmp_serial; /* makes names unique within the process */
	bool said_odd;       /* logged already that cur/ or new/ holds something that is no message */
	bool said_cache;     /* ... that a cache is damaged */
	bool said_parsed;    /* ... that what was parsed is */
	bool said_state;     /* ... that a state is */
	enum md_cache_use cache_use;
	struct md_size size; /* changes for maildirsize */
	/* Set by the owner, or NULL: called during long work (copying, moving, POP3's measuring) with the MESSAGES
	 * looked up and BYTES read since the last call. False: stop, and leave everything as it was. */
	bool (*goes_on)(void *arg, size_t messages, size_t bytes);
	void *goes_on_arg;
	char why[MD_WHY_MAX]; /* the last failure, for the log: what failed, on what, what to do */
};

/* Opens the Maildir at PATH. R is set up in any case (R->why: why it failed) and needs md_root_fini().
 * MD_OK, MD_NOFOLDER, MD_NOTMAILDIR, MD_PERM or MD_IO. */
enum md_err md_root_init(struct md_root *r, const char *path) MUST_CHECK;
void md_root_fini(struct md_root *r);

/* A few words for each result, for replies to clients ("Mailbox does not exist"): no path, no errno. */
const char *md_err_text(enum md_err e);

/* System flags of a message as bits, with their letters in file names. Unknown letters are kept. */
enum {
	MD_DRAFT = 1,    /* D */
	MD_FLAGGED = 2,  /* F */
	MD_ANSWERED = 4, /* R */
	MD_SEEN = 8,     /* S */
	MD_DELETED = 16, /* T */
	MD_FLAGS_ALL = 31
};

/* --- for the files of maildir/ --- */

/* Writes the text into R->why, with that of error number ERR unless 0, and returns E. */
enum md_err md_fail(struct md_root *r, enum md_err e, int err, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* The result for error number ERR (ENOENT: MD_GONE). */
enum md_err md_errno(int err);
/* The same where a directory must exist, not a message's file (ENOENT, ENOTDIR: MD_NOTMAILDIR). */
enum md_err md_errno_dir(int err);
/* For a failure E in FOLDER, opened as FD: returns E, or MD_NOFOLDER if the folder was deleted meanwhile. */
enum md_err md_folder_gone(struct md_root *r, int fd, const char *folder, enum md_err e);
/* True unless R->goes_on says stop; why is set then. */
bool md_goes_on(struct md_root *r, size_t messages, size_t bytes);
/* Opens the directory of FOLDER; the descriptor (close-on-exec) is the caller's.
 * MD_OK, MD_BADNAME, MD_NOFOLDER, MD_PERM, MD_IO. */
enum md_err md_folder_open(struct md_root *r, const char *folder, int *fd_out) MUST_CHECK;
/* md_folder_open(), and MD_NOTMAILDIR if two of its cur/, new/ and tmp/ are one directory: for reading or storing
 * mail. */
enum md_err md_folder_open_mail(struct md_root *r, const char *folder, int *fd_out) MUST_CHECK;
/* FOLDER as named in texts: "INBOX", or its name with unprintable characters as '.'; valid until the next call. */
const char *md_folder_text(const char *folder);

#endif
