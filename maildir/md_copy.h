/* Copies or moves messages of an open box into another folder (or the same): by hard link where the file system
 * allows, else byte by byte. Internal date, flags and keywords are kept; the copies get new names and UIDs.
 * All or nothing: after a failure what was copied is removed again, what was moved is moved back. */
#ifndef MAILDIR_MD_COPY_H
#define MAILDIR_MD_COPY_H

#include "maildir/md_box.h"

struct md_copied {
	uint32_t uidvalidity; /* of the target */
	size_t n;             /* messages copied */
	uint32_t *from, *to;  /* UIDs in source and target, N each, ascending (COPYUID, RFC 4315) */
	/* Messages that were gone; they are marked gone in the box. This is no failure. */
	size_t missed;
};

void md_copied_fini(struct md_copied *c);
/* Copies the NIDX messages with the ascending indices IDX of BOX to FOLDER. *C needs md_copied_fini() in any case.
 * MD_OK, MD_BADNAME, MD_NOFOLDER, MD_NOTMAILDIR, MD_FULL, MD_BUSY, MD_PERM, MD_READONLY, MD_LIMIT, MD_STOPPED,
 * MD_IO. */
enum md_err md_copy(struct md_box *box, const size_t *idx, size_t nidx, const char *folder,
    struct md_copied *c) MUST_CHECK;
/* As md_copy(), but nothing is copied if one of them is gone: MD_GONE. */
enum md_err md_copy_all(struct md_box *box, const size_t *idx, size_t nidx, const char *folder,
    struct md_copied *c) MUST_CHECK;
/* As md_copy(), but the messages leave BOX (RFC 6851), where they are marked gone: by rename, so that no crash
 * loses or doubles one. MD_READONLY also if BOX is read-only. */
enum md_err md_move(struct md_box *box, const size_t *idx, size_t nidx, const char *folder,
    struct md_copied *c) MUST_CHECK;

#endif
