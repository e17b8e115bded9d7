/* An open mailbox: its messages in the order of their UIDs, their flags and keywords, and what changed since.
 *
 * A message is named by its index in the view: sequence number = index + 1. The view changes only here:
 * - md_box_sync() appends new messages at the end, marks those that are gone, and marks those whose flags or
 *   keywords others changed. It moves no message to another index.
 * - md_box_drop_gone() removes the marked ones from the view, when the caller may send EXPUNGE.
 * So an index names the same message until the next of these two calls. I below is always an index below
 * md_box_count().
 *
 * Several sessions, Courier's too, may have the folder open and files may be delivered into new/ at any time.
 * UIDs are given under the folder's dot-lock. Flags are changed by rename without it: who finds that somebody
 * else renamed the file looks for its base again.
 *
 * UIDs that cannot be recorded (disk full, read-only file system): the box goes on with the UIDs that the
 * messages would get, and uid_sticky is false (IMAP: NO [UIDNOTSTICKY]); recording is tried again at each sync. */
#ifndef MAILDIR_MD_BOX_H
#define MAILDIR_MD_BOX_H

#include <time.h>

#include "maildir/md.h"

enum { MD_KEYWORDS_MAX = 4096, MD_KEYWORD_LEN_MAX = 250 }; /* keywords of a folder; bytes of one */

struct md_box; /* private to maildir/ */

struct md_changes {
	size_t added;   /* messages appended to the view */
	size_t gone;    /* messages newly marked gone */
	size_t flagged; /* messages newly marked changed */
};

/* Opens FOLDER and reads it (a first md_box_sync() is part of it; ->changed is clear everywhere). Read-write: mail
 * in new/ is moved to cur/ and is recent here, and so is what was stored since the last session looked
 * (md_recent.h). READONLY (IMAP EXAMINE): no file is moved, flagged or deleted, nothing loses its recent state; only
 * the UID list is written, when there is mail without a UID: a UID once sent to a client must stay valid. Files in
 * tmp/ that are older than 36 hours are deleted (not if READONLY).
 * MD_OK and *BOX; or MD_BADNAME, MD_NOFOLDER, MD_NOTMAILDIR, MD_PERM, MD_BUSY, MD_IO, MD_LIMIT. If only writing is
 * impossible, the box is opened with ->readonly set or ->uid_sticky clear, and root->why tells the reason (""
 * otherwise). */
enum md_err md_box_open(struct md_root *r, const char *folder, bool readonly, struct md_box **box_out) MUST_CHECK;
/* The folder with BOX's name was renamed to FOLDER (md_tree_rename()): if it is the one that is open, it stays open
 * under the new name. True if that gave it another UIDVALIDITY; the UIDs stay the same. */
bool md_box_renamed(struct md_box *box, const char *folder);
/* Closes *BOX (which may be NULL) and sets it to NULL. Nothing is expunged. */
void md_box_close(struct md_box **box);

/* Brings the view up to date, see above; *CH counts what this call found. Cheap (four stat calls) if nothing
 * changed. MD_OK; MD_RESET, MD_PERM, MD_BUSY (the view is as before; call again later), MD_IO. */
enum md_err md_box_sync(struct md_box *box, struct md_changes *ch) MUST_CHECK;
/* Removes messages marked gone from the view; FN (may be NULL) is called for each, first to last, with the sequence
 * number that an untagged EXPUNGE must have at that moment, and the UID. Returns their number. */
size_t md_box_drop_gone(struct md_box *box, void (*fn)(uint32_t seq, uint32_t uid, void *arg), void *arg);

/* --- the folder --- */

/* Messages in the view, including those that are gone but not yet dropped. */
size_t md_box_count(const struct md_box *box);
/* Those of them that are recent here and not gone. */
size_t md_box_count_recent(const struct md_box *box);
/* The folder's name, as it was opened. Valid while the box is open. */
const char *md_box_folder(const struct md_box *box);
/* Opened read-only, or nothing can be written here. */
bool md_box_readonly(const struct md_box *box);
/* UIDs are recorded on disk. */
bool md_box_uid_sticky(const struct md_box *box);
/* May change while the box is open if the UIDs stay the same (a rename by others): the client need not learn of it, as
 * it knows the folder by the old name. */
uint32_t md_box_uidvalidity(const struct md_box *box);
uint32_t md_box_uidnext(const struct md_box *box);
/* The UID of the last message; 0 if there is none. */
uint32_t md_box_last_uid(const struct md_box *box);
/* Index of the first message whose UID is not below UID; md_box_count() if there is none. */
size_t md_box_find(const struct md_box *box, uint32_t uid);

/* Keywords that the folder knows: their indices are 0 to md_box_count_keywords() - 1. Indices and names stay valid
 * while the box is open. */
uint32_t md_box_count_keywords(const struct md_box *box);
const char *md_box_keyword_name(const struct md_box *box, uint32_t k);
/* Index of the keyword NAME (case ignored), or -1 if the folder does not know it. */
int64_t md_box_keyword(const struct md_box *box, const char *name, size_t len);
/* As md_box_keyword(), but checks on disk whether others have added it meanwhile. */
int64_t md_box_keyword_now(struct md_box *box, const char *name, size_t len);
/* As md_box_keyword(), but a new one is added to the list (it is on disk when a message has it).
 * -1 if it cannot be a keyword (empty, too long, a character that no IMAP flag may have) or the table is full. */
int64_t md_box_keyword_add(struct md_box *box, const char *name, size_t len);

/* --- a message, as of the last sync; no file is touched --- */

uint32_t md_box_uid(const struct md_box *box, size_t i);
/* MD_ bits. */
unsigned md_box_flags(const struct md_box *box, size_t i);
/* The indices of its keywords, ascending; *N: how many. Valid until the next call that is not const. */
const uint32_t *md_box_keywords(const struct md_box *box, size_t i, size_t *n);
/* True if it has the keyword with index K. */
bool md_box_has_keyword(const struct md_box *box, size_t i, uint32_t k);
/* This session is the first to see it. */
bool md_box_is_recent(const struct md_box *box, size_t i);
/* Expunged, here or by others; it stays in the view until md_box_drop_gone(). */
bool md_box_is_gone(const struct md_box *box, size_t i);
/* True once after others changed its flags or keywords: asking clears the mark. */
bool md_box_take_changed(struct md_box *box, size_t i);
/* The name of its file, for the log. Valid until the next call that is not const. */
const char *md_box_file_name(const struct md_box *box, size_t i);

/* --- its file --- */

/* Opens the file of message I for reading, *FD is the caller's. Lines end in LF (or CRLF, if so delivered).
 * MD_OK; MD_GONE (the message is marked gone); MD_PERM (also: a symbolic link, or no regular file), MD_IO. */
enum md_err md_box_read(struct md_box *box, size_t i, int *fd_out) MUST_CHECK;
/* The result, with its text, for a read from that descriptor that failed with error number ERR. */
enum md_err md_box_read_failed(struct md_box *box, size_t i, int err) MUST_CHECK;
/* Internal date: the file's modification time. Results as md_box_read(). */
enum md_err md_box_date(struct md_box *box, size_t i, time_t *t_out) MUST_CHECK;
/* RFC822.SIZE: bytes when every line ends in CRLF. Read from the file once, then remembered. */
enum md_err md_box_octets(struct md_box *box, size_t i, uint64_t *octets_out) MUST_CHECK;
/* Can md_box_octets() answer without reading the file? If not, a caller that has read all of it may note the octets. */
bool md_box_octets_known(const struct md_box *box, size_t i);
void md_box_note_octets(struct md_box *box, size_t i, uint64_t octets);
/* The octets of what FD holds from its start to its end, counted as above: an LF without a CR before it counts two.
 * False with errno on a read error. The file offset is not moved. */
bool md_count_octets(int fd, uint64_t *octets_out);

enum md_store { MD_STORE_SET, MD_STORE_ADD, MD_STORE_REMOVE };

/* Changes flags and keywords of message I. FLAGS: MD_ bits. KW: NKW indices, any order. MD_STORE_SET replaces both.
 * The view has the result, including changes by others meanwhile, which also mark the message changed. It survives the
 * process; md_box_flush() makes it survive a power failure.
 * MD_OK; MD_GONE (it is marked gone); MD_LIMIT (only for this message: its file's name is too long); MD_READONLY,
 * MD_FULL, MD_PERM, MD_IO. */
enum md_err md_box_store(struct md_box *box, size_t i, enum md_store how, unsigned flags, const uint32_t *kw,
    size_t nkw) MUST_CHECK;
/* Deletes the file of message I and marks it gone (also MD_OK if it was gone already).
 * MD_OK, MD_READONLY, MD_PERM, MD_IO. */
enum md_err md_box_expunge(struct md_box *box, size_t i) MUST_CHECK;
/* Syncs what md_box_store() and md_box_expunge() changed, each directory once: only then a power failure undoes none of
 * it. Call it when a command has changed all its messages, before the client hears that it is done.
 * MD_OK; MD_NOFOLDER: the folder was deleted meanwhile; MD_IO, MD_FULL, MD_BUSY and others: the changes are made, and
 * show, but may be undone, or, in a tracked box, have no sequence yet. The client must hear NO then: after an OK a
 * program that synchronises would believe that it knows a sequence behind them. Whoever asks next records them. */
enum md_err md_box_flush(struct md_box *box) MUST_CHECK;

/* --- modification sequences (RFC 7162) and the mailbox id (RFC 8474) --- */

/* From now on the changes of BOX have sequences: a first md_box_sync() is part of it (CH as there), and each later one
 * and each md_box_flush() records what changed, whoever changed it, on disk. waypoststate is made if there is none. A
 * session that never calls this pays nothing, and its changes get theirs from the next that does.
 * MD_OK, also if BOX is tracked already; MD_READONLY, MD_PERM, MD_FULL, MD_LIMIT: nothing can be recorded here (IMAP:
 * NOMODSEQ), and BOX is as before; else as md_box_sync(). */
enum md_err md_box_track(struct md_box *box, struct md_changes *ch) MUST_CHECK;
/* For a tracked box: the highest sequence. Of all changes up to it, by whomever, the view has all. */
uint64_t md_box_highest_modseq(const struct md_box *box);
/* The sequence of the last change of message I; 0: it has changed, and that is not recorded yet. */
uint64_t md_box_modseq(const struct md_box *box, size_t i);
typedef void md_uids_fn(uint32_t first, uint32_t last, void *arg);
/* Calls FN with ranges of UIDs, ascending: all that a client can know that had this sequence as its highest, and that
 * are not there. If SINCE is older than what is known, all UIDs that are not there. */
void md_box_expunged_since(const struct md_box *box, uint64_t since, md_uids_fn *fn, void *arg);

enum { MD_MAILBOX_ID_SIZE = 34 };
/* The id of FOLDER, a text: random, made when first asked for; it stays when the folder is renamed.
 * MD_OK; MD_BADNAME, MD_NOFOLDER, MD_PERM, MD_READONLY, MD_FULL, MD_BUSY, MD_IO: there is none. */
enum md_err md_mailbox_id(struct md_root *r, const char *folder, char id[MD_MAILBOX_ID_SIZE]) MUST_CHECK;
/* When message I was saved in this folder (RFC 8514), as its file's name tells; 0: not known. */
time_t md_box_save_date(const struct md_box *box, size_t i);

struct md_status {
	uint32_t messages, recent, unseen, uidnext, uidvalidity;
};

/* Counts of FOLDER, without moving mail out of new/ (RECENT counts that mail, and messages stored that no session has
 * seen yet). As with a read-only box, only the UID list may be written. Results as md_box_open(). */
enum md_err md_status(struct md_root *r, const char *folder, struct md_status *st) MUST_CHECK;

#endif
