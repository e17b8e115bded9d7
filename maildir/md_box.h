/* An open mailbox: its messages in the order of their UIDs, their flags and keywords, and what changed since.
 *
 * Sequence number = index + 1. The view changes only here:
 * - md_box_sync() appends new messages at the end, marks those that are gone, and marks those whose flags or
 *   keywords others changed. It moves no message to another index.
 * - md_box_drop_gone() takes the marked ones out of the view, when the caller may say EXPUNGE.
 * So pointers into box->msgs live until the next of these two calls.
 *
 * Several sessions, Courier's too, may have the folder open and files may be delivered into new/ at any time.
 * UIDs are given under the folder's dot-lock. Flags are changed by rename without it: whoever finds the file
 * renamed by someone else looks for its base again.
 *
 * UIDs that cannot be recorded (disk full, read-only file system): the box goes on with the UIDs that the
 * messages would get, and uid_sticky is false (IMAP: NO [UIDNOTSTICKY]); recording is tried again at each sync. */
#ifndef MAILDIR_MD_BOX_H
#define MAILDIR_MD_BOX_H

#include <time.h>

#include "maildir/md.h"
#include "maildir/md_uidlist.h"

enum { MD_KEYWORDS_MAX = 4096, MD_KEYWORD_LEN_MAX = 250 }; /* keywords of a folder; bytes of one */

struct md_kwset {
	uint32_t n;
	uint32_t idx[]; /* into box->keywords, ascending */
};

struct md_msg {
	uint32_t uid;
	uint16_t base_len;    /* of name */
	uint8_t flags;        /* MD_ bits */
	bool recent : 1;      /* this session is the first that saw it */
	bool gone : 1;        /* expunged, here or by others; stays in the view until md_box_drop_gone() */
	bool changed : 1;     /* flags or keywords changed by others since the caller cleared this */
	bool in_new : 1;      /* the file is in new/ (read-only boxes do not move it) */
	/* of md_scan.c */
	bool found : 1;       /* in the scan that goes on */
	bool in_pass : 1;     /* in its present pass over cur/ */
	bool proven : 1;      /* by it, under the lock */
	char *name;           /* of the file, in cur/ unless in_new */
	struct md_kwset *kw;  /* NULL: no keyword */
	int64_t mtime;        /* seconds; MD_UNKNOWN until asked: use md_box_date() */
	int64_t bytes;        /* on disk; MD_UNKNOWN until asked */
	int64_t octets;       /* with CRLF; MD_UNKNOWN until asked: use md_box_octets() */
};

#define MD_UNKNOWN INT64_MIN

/* When a directory was last read, and what it looked like then. */
struct md_stamp { int64_t s, ns, read_at_ms; uint64_t ino; };

struct md_box {
	struct md_root *root;
	char *folder;
	int fd;                /* the folder's directory */
	bool readonly;         /* opened so, or nothing can be written here */
	bool uid_sticky;       /* UIDs are recorded on disk */
	uint32_t uidvalidity, uidnext;
	uint32_t uid_told;     /* the highest UID that was ever in the view */
	size_t n, cap;
	struct md_msg *msgs;   /* by UID */
	size_t n_recent, n_gone; /* among msgs; gone ones are not counted as recent */
	char **keywords;       /* names; an index stays what it is while the box is open */
	uint32_t n_keywords;
	uint32_t *keyword_order; /* all indices into keywords, by name without regard to case */
	/* of md_scan.c */
	struct md_uidlist uids;  /* only the identity of the list's file; its entries are dropped after use */
	struct md_stamp at_new, at_cur, at_kw;
	bool force_scan;         /* something was seen that only a scan can settle */
	bool incomplete;         /* there are messages that the view cannot show any more, see join() in md_assign.c */
	size_t flagged;          /* messages marked changed that no md_box_sync() has counted yet */
	size_t dropped;          /* messages gone that the UID list still has */
	int64_t retry_ms;        /* when UIDs could not be recorded last */
	/* of md_keyword.c */
	size_t kw_pending;       /* updates that are not in :list yet */
	uint64_t kw_ino;         /* the :list that was read */
	int64_t kw_mtime_s, kw_mtime_ns;
};

struct md_changes {
	size_t added;      /* messages appended to the view */
	size_t gone;       /* messages newly marked gone */
	size_t flagged;    /* messages newly marked changed */
};

/* Opens FOLDER and reads it (a first md_box_sync() is part of it; ->changed is clear everywhere).
 * Read-write: mail in new/ is moved to cur/ and is recent here. READONLY (IMAP EXAMINE): no file is moved,
 * flagged or deleted, nothing loses its recent state (mail in new/ counts as recent); the only thing that is
 * written is the UID list, when there is mail without UID: a UID once told to a client must stay true.
 * Files in tmp/ that are older than 36 hours are deleted (not READONLY).
 * MD_OK and *BOX; or MD_BADNAME, MD_NOFOLDER, MD_NOTMAILDIR, MD_PERM, MD_BUSY, MD_IO, MD_LIMIT. If only writing is impossible,
 * the box is opened with ->readonly set or ->uid_sticky clear, and root->why tells the reason ("" otherwise). */
enum md_err md_box_open(struct md_root *r, const char *folder, bool readonly, struct md_box **box_out) MUST_CHECK;
/* Closes *BOX (which may be NULL) and empties the pointer. Nothing is expunged. */
void md_box_close(struct md_box **box);

/* Brings the view up to date, see above; *CH counts what this call found. Cheap (four stat calls) if nothing
 * changed. MD_OK; MD_RESET, MD_PERM, MD_BUSY (the view is as before; call again later), MD_IO. */
enum md_err md_box_sync(struct md_box *box, struct md_changes *ch) MUST_CHECK;
/* Takes messages marked gone out of the view; FN (may be NULL) is called for each, first to last, with the sequence number
 * that an untagged EXPUNGE must name at that moment, and the UID. Returns their number. */
size_t md_box_drop_gone(struct md_box *box, void (*fn)(uint32_t seq, uint32_t uid, void *arg), void *arg);

/* Index of the first message whose UID is not below UID; box->n if there is none. */
size_t md_box_find(const struct md_box *box, uint32_t uid);
/* Index of the keyword NAME (case ignored), or -1 if the folder does not know it. */
int64_t md_box_keyword(const struct md_box *box, const char *name, size_t len);
/* As md_box_keyword(), but looks whether others have made it known meanwhile. */
int64_t md_box_keyword_now(struct md_box *box, const char *name, size_t len);
/* As md_box_keyword(), but a new one is added to the list (it is on disk when a message has it).
 * -1 if it cannot be a keyword (empty, too long, a character that no IMAP flag may have) or the table is full. */
int64_t md_box_keyword_add(struct md_box *box, const char *name, size_t len);
/* True if message M has the keyword with index I. */
bool md_msg_has_keyword(const struct md_msg *m, uint32_t i);

/* Opens the file of M for reading, *FD is the caller's. Lines end in LF (or CRLF, if so delivered).
 * MD_OK; MD_GONE (M is marked gone); MD_PERM (also: a symbolic link, or no regular file), MD_IO. */
enum md_err md_box_read(struct md_box *box, struct md_msg *m, int *fd_out) MUST_CHECK;
/* Internal date: the file's modification time. As md_box_read() in its results. */
enum md_err md_box_date(struct md_box *box, struct md_msg *m, time_t *t_out) MUST_CHECK;
/* RFC822.SIZE: bytes when every line ends in CRLF. Read from the file once, then remembered. */
enum md_err md_box_octets(struct md_box *box, struct md_msg *m, uint64_t *octets_out) MUST_CHECK;
/* The octets of what FD holds from its start to its end, counted as above: each LF that follows no CR counts two.
 * False with errno on a read error. The file offset is not moved. */
bool md_count_octets(int fd, uint64_t *octets_out);

enum md_store { MD_STORE_SET, MD_STORE_ADD, MD_STORE_REMOVE };

/* Changes flags and keywords of M. FLAGS: MD_ bits. KW: NKW indices, any order. MD_STORE_SET replaces both.
 * The result is in M (with what others changed meanwhile, which also marks it changed).
 * MD_OK; MD_GONE (M is marked gone); MD_READONLY, MD_FULL, MD_PERM, MD_IO. */
enum md_err md_box_store(struct md_box *box, struct md_msg *m, enum md_store how, unsigned flags,
	const uint32_t *kw, size_t nkw) MUST_CHECK;
/* Deletes the file of M and marks M gone (also MD_OK if it was gone already).
 * MD_OK, MD_READONLY, MD_PERM, MD_IO. */
enum md_err md_box_expunge(struct md_box *box, struct md_msg *m) MUST_CHECK;

struct md_status { uint32_t messages, recent, unseen, uidnext, uidvalidity; };

/* Counts of FOLDER, without moving mail out of new/ (that mail is what RECENT counts). As with a read-only box, only
 * the UID list may be written. Results as md_box_open(). */
enum md_err md_status(struct md_root *r, const char *folder, struct md_status *st) MUST_CHECK;

#endif
