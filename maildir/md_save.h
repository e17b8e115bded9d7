/* A new message into a folder: written to tmp/, synced, given its UID, put into cur/, directory synced.
 * Until md_save_commit() returns MD_OK nothing is in the folder; after that, the message survives a crash.
 * The process should ignore SIGXFSZ: a limit on file sizes is then MD_FULL like a full disk. */
#ifndef MAILDIR_MD_SAVE_H
#define MAILDIR_MD_SAVE_H

#include <time.h>

#include "maildir/md.h"

struct md_save;

/* Begins a message for FOLDER. MD_OK and *SAVE; or MD_BADNAME, MD_NOFOLDER, MD_NOTMAILDIR, MD_FULL, MD_PERM,
 * MD_READONLY, MD_IO. */
enum md_err md_save_begin(struct md_root *r, const char *folder, struct md_save **save_out) MUST_CHECK;
/* Adds LEN bytes. CRLF becomes LF (cut anywhere); other CRs stay. MD_OK, MD_FULL, MD_IO: after a failure only
 * md_save_abort() is allowed, and the caller keeps reading the client's literal. */
enum md_err md_save_write(struct md_save *s, const void *p, size_t len) MUST_CHECK;
/* Stores the message with FLAGS (MD_ bits), NKW keyword names KW, and internal date WHEN (NULL: now), and frees *SAVE
 * in any case. *UID and *UIDVALIDITY are for APPENDUID (RFC 4315).
 * MD_OK, MD_FULL, MD_BUSY, MD_PERM, MD_READONLY, MD_LIMIT (a keyword), MD_NOFOLDER, MD_IO: then nothing was stored. */
enum md_err md_save_commit(struct md_save **save, unsigned flags, const char *const *kw, size_t nkw, const time_t *when,
    uint32_t *uid_out, uint32_t *uidvalidity_out) MUST_CHECK;
/* Drops *SAVE (which may be NULL) and its file. */
void md_save_abort(struct md_save **save);

#endif
