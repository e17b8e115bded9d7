/* The folders of a Maildir. */
#ifndef MAILDIR_MD_TREE_H
#define MAILDIR_MD_TREE_H

#include "maildir/md.h"

struct md_folder {
	char *name;        /* "" is INBOX */
	bool exists;       /* false: only a parent of folders that exist (IMAP: \Noselect) */
	bool has_children; /* for INBOX: there are other folders */
	bool has_new;      /* files in new/ (only if asked for) */
};

struct md_folders {
	size_t n;
	struct md_folder *f;
};

/* All folders with their parents, INBOX first, each parent directly before its children (order of bytes, '.'
 * before all others). HAS_NEW: look into new/ too (one more directory read for each).
 * Directories whose names are not UTF-8 or hold control characters are left out, and so are those without cur/.
 * MD_OK, MD_PERM, MD_IO. L needs md_folders_fini() in any case. */
enum md_err md_tree_list(struct md_root *r, bool has_new, struct md_folders *l) MUST_CHECK;
/* True if new/ of FOLDER holds a file. */
bool md_tree_has_new(struct md_root *r, const char *folder);
void md_folders_fini(struct md_folders *l);
/* The entry named NAME, or NULL. */
const struct md_folder *md_folders_find(const struct md_folders *l, const char *name);

/* True if NAME can be a folder's name: "" or components of UTF-8 joined by '.', none empty, no '/', no control
 * character, at most 254 bytes. */
bool md_tree_valid(const char *name);
/* Makes FOLDER; missing parents are not made (they show as not existing).
 * MD_OK, MD_EXISTS, MD_BADNAME, MD_FULL, MD_PERM, MD_READONLY, MD_IO. */
enum md_err md_tree_create(struct md_root *r, const char *folder) MUST_CHECK;
/* Deletes FOLDER with its mail; its children stay. The subscription stays too (RFC 3501 6.3.4).
 * MD_OK, MD_NOFOLDER, MD_REFUSED (INBOX, or a name that exists only as a parent), MD_PERM, MD_READONLY, MD_IO. */
enum md_err md_tree_delete(struct md_root *r, const char *folder) MUST_CHECK;
/* Renames FROM (it may exist only as a parent) and all its children to TO. INBOX: its messages move to the new folder
 * TO and INBOX stays, empty, its children untouched (RFC 3501 6.3.5).
 * MD_OK, MD_NOFOLDER, MD_EXISTS (TO, or any folder that would be overwritten), MD_BADNAME, MD_REFUSED, MD_FULL,
 * MD_PERM, MD_READONLY, MD_BUSY, MD_IO: then all is as before. */
enum md_err md_tree_rename(struct md_root *r, const char *from, const char *to) MUST_CHECK;

#endif
