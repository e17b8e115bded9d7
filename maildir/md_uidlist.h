/* courierimapuiddb of one folder: UIDVALIDITY, next UID, UID and base name of every message.
 *   1 <uidvalidity> <next uid>
 *   <uid> <base name>
 * Read without the lock (it is replaced by rename), changed only under md_lock. */
#ifndef MAILDIR_MD_UIDLIST_H
#define MAILDIR_MD_UIDLIST_H

#include "lib/str.h"
#include "maildir/md.h"
#include "maildir/md_stamp.h"

#define MD_UIDLIST_FILE "courierimapuiddb"
enum { MD_UIDLIST_EPOCH = 1000000000 }; /* Courier counts UIDVALIDITY from September 2001 */

struct md_uid {
	uint32_t uid;
	uint32_t name; /* offset of the base name in text */
};

/* All-zero is an empty list. */
struct md_uidlist {
	uint32_t uidvalidity; /* 0: no list was read */
	uint32_t uidnext;
	size_t n, cap;
	struct md_uid *e;     /* by UID */
	struct str text;      /* base names, each ended by a NUL */
	struct md_stamp file; /* the one that was read, or zeros; it is replaced, never changed in place */
};

void md_uidlist_fini(struct md_uidlist *l);
/* Empty again; memory is kept. */
void md_uidlist_clear(struct md_uidlist *l);
/* Reads the LEN bytes at P into L. False (L cleared) if it is no list of version 1. Lines that make no sense (no
 * UID, UID not above the one before, no name, cut off) end the list; the next UID is raised above every UID
 * read. Never fails on size alone. */
bool md_uidlist_parse(struct md_uidlist *l, const char *p, size_t len);
/* Appends the file's text to OUT. */
void md_uidlist_format(const struct md_uidlist *l, struct str *out);
/* The base name of entry I. */
const char *md_uidlist_name(const struct md_uidlist *l, size_t i);
/* Adds an entry (UID must be above all others; LEN bytes at BASE) and raises uidnext. */
void md_uidlist_add(struct md_uidlist *l, uint32_t uid, const char *base, size_t len);
/* A UIDVALIDITY above LAST, the last one that clients may remember (0: none): the time, as in Courier, or the next
 * number if the clock is behind. 0: none is left, as UIDVALIDITY must never decrease. */
uint32_t md_uidlist_above(uint32_t last);
/* What to do about a folder that has no UIDs left, for texts. */
const char *md_uidlist_used_up(const struct md_uidlist *l);
/* Reads the file in folder DIRFD. MD_OK; MD_GONE: there is none, or no usable one (L is cleared);
 * MD_PERM, MD_IO. */
enum md_err md_uidlist_read(struct md_root *r, int dirfd, const char *folder, struct md_uidlist *l) MUST_CHECK;
/* Writes L through tmp/, synced to disk and renamed; the folder's directory is synced, too. The lock must be held.
 * A list that has no UIDVALIDITY yet gets one from the time of the new file, as Courier does.
 * MD_OK, MD_FULL, MD_PERM, MD_READONLY, MD_IO. */
enum md_err md_uidlist_write(struct md_root *r, int dirfd, const char *folder, struct md_uidlist *l) MUST_CHECK;

#endif
