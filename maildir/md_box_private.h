/* The inside of an open mailbox: for the files of maildir/ and its unit tests. All others use md_box.h, so that this
 * may change. */
#ifndef MAILDIR_MD_BOX_PRIVATE_H
#define MAILDIR_MD_BOX_PRIVATE_H

#include "maildir/md_box.h"
#include "maildir/md_stamp.h"
#include "maildir/md_uidlist.h"

#define MD_UNKNOWN INT64_MIN

struct md_kwset {
	uint32_t n;
	uint32_t idx[]; /* into box->keywords, ascending */
};

struct md_msg {
	uint32_t uid;
	uint16_t base_len; /* of name */
	uint8_t flags;     /* MD_ bits */
	bool recent : 1;   /* this session is the first to see it */
	bool gone : 1;     /* expunged, here or by others; stays in the view until md_box_drop_gone() */
	bool changed : 1;  /* flags or keywords changed by others since the caller cleared this */
	bool in_new : 1;   /* the file is in new/ (read-only boxes do not move it) */
	/* of md_scan.c */
	bool found : 1;      /* in the current scan */
	bool in_pass : 1;    /* in its current pass over cur/ */
	bool proven : 1;     /* found under the lock */
	char *name;          /* of the file, in cur/ unless in_new; see md_msg_set_name() */
	struct md_kwset *kw; /* NULL: no keyword */
	int64_t mtime;       /* seconds; MD_UNKNOWN until asked: use md_box_date() */
	int64_t bytes;       /* on disk; MD_UNKNOWN until asked */
	int64_t octets;      /* with CRLF; MD_UNKNOWN until asked: use md_box_octets() */
};

enum { MD_SYNC_NEW = 1, MD_SYNC_CUR = 2, MD_SYNC_KEYWORDS = 4 };

/* For IMAP a view has UIDs and keywords and follows changes by others (md_box_open()); for POP3 it is made once, from
 * files only (md_box_open_files()), and just marks what is gone. */
struct md_box {
	struct md_root *root;
	char *folder;
	int fd;          /* the folder's directory */
	bool readonly;   /* opened read-only, or nothing can be written here */
	bool uid_sticky; /* UIDs are recorded on disk */
	uint32_t uidvalidity, uidnext;
	uint32_t uid_highest; /* the highest UID that was ever in the view, or must never be */
	size_t n, cap;
	struct md_msg *msgs;     /* by UID */
	size_t n_recent, n_gone; /* among msgs; gone ones are not counted as recent */
	char **keywords;         /* names; an index is valid while the box is open */
	uint32_t n_keywords;
	uint32_t *keyword_order; /* all indices into keywords, by name ignoring case */
	/* of md_scan.c */
	struct md_uidlist uids; /* only the identity of the list's file; its entries are dropped after use */
	struct md_stamp at_new, at_cur, at_kw; /* when they were last read */
	bool force_scan;                       /* only another scan can settle what was seen */
	/* There are messages that the view can no longer show, see join() in md_assign.c. */
	bool incomplete;
	bool hides;     /* the last scan left a file out because it could not be renamed; another may have more luck */
	size_t flagged; /* messages marked changed that no md_box_sync() has counted yet */
	size_t dropped; /* messages gone that the UID list still has */
	int64_t retry_ms;  /* when UIDs could not be recorded last */
	unsigned unsynced; /* MD_SYNC_ bits: directories with changes of ours that md_box_flush() has not synced yet */
	/* of md_keyword.c */
	size_t kw_pending; /* updates that are not in :list yet */
	bool kw_unsure;    /* one of them could not be read: another time it may be */
	uint64_t kw_ino;   /* the :list that was read */
	int64_t kw_mtime_s, kw_mtime_ns;
	/* of md_cache.c */
	bool cache_due; /* scanned since it was read or written */
	bool cache_rw;  /* opened from a cache that serves any session, and not scanned since */
	size_t learned; /* dates and sizes that it does not have yet */
	char *names;    /* those that came from it, in one piece; NULL: none */
	size_t names_bytes;
	struct md_track *track;   /* of md_track.c; NULL: nobody has asked for sequences */
	struct md_parsed *parsed; /* of md_parsed.c, during a command; NULL: nothing was asked */
};

/* Gives M of BOX the name NAME (copied), or none if that is NULL. A name has memory of its own or is among
 * box->names. */
void md_msg_set_name(const struct md_box *box, struct md_msg *m, const char *name);

/* Opens INBOX as files: no UIDs, no keywords, nothing recorded. Its messages are in the order of md_name_order(),
 * numbered from 1 instead of UIDs; mail in new/ is moved to cur/ if possible, and what stays there is not in the view.
 * Must not be synced: the view does not change, except that messages are marked gone. Leftovers in tmp/ are deleted.
 * MD_OK and *BOX; MD_NOTMAILDIR, MD_PERM, MD_IO, MD_LIMIT. */
enum md_err md_box_open_files(struct md_root *r, struct md_box **box_out) MUST_CHECK;

#endif
