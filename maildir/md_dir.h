/* Small operations on the directories of a folder that several parts of maildir/ share. */
#ifndef MAILDIR_MD_DIR_H
#define MAILDIR_MD_DIR_H

#include <sys/stat.h>

#include "lib/str.h"
#include "maildir/md.h"

/* File names out of one directory. All-zero is empty. */
struct md_dirlist {
	struct str text; /* the names, each ended by a NUL */
	uint32_t *off;   /* where each begins in text */
	size_t n, cap;
};

void md_dirlist_fini(struct md_dirlist *l);
const char *md_dirlist_name(const struct md_dirlist *l, size_t i);
/* Which names: all (but "." and ".."), or those that message files can have: regular files that do not begin with '.'.
 * Other things (a directory, a link, a pipe) are no messages; the first one found in a session is logged. */
enum md_listed { MD_LIST_ALL, MD_LIST_MESSAGES };
/* Appends the names in SUB ("cur") of DIRFD to L.
 * MD_OK; MD_NOTMAILDIR: there is no SUB; MD_PERM, MD_LIMIT, MD_IO. */
enum md_err md_dirlist_read(struct md_root *r, int dirfd, const char *folder, const char *sub, enum md_listed what,
    struct md_dirlist *l) MUST_CHECK;

/* renameat() that never overwrites: 0, or -1 with errno (EEXIST). */
int md_rename_new(int fromfd, const char *from, int tofd, const char *to);
/* Moves the file NAME from new/ to cur/ of DIRFD; its name there, with ":2," added if it had no such part, is
 * appended to OUT. 0; -1 with errno (ENOENT: someone else moved it). */
int md_move_new(int dirfd, const char *name, struct str *out);
/* Deletes leftovers in tmp/: neither changed nor renamed nor linked (ctime) for 36 hours, whatever their date (mtime),
 * and not made by a process of this host that still runs. Errors are ignored. */
void md_clean_tmp(int dirfd, time_t now);
/* Deletes NAME in DIRFD with all that it holds; links are deleted, not followed. 0, or -1 with errno. */
int md_remove_tree(int dirfd, const char *name);

/* Creates a file with a new unique name in tmp/ of DIRFD, MODE as for open(); the name (without "tmp/") is appended to
 * NAME. The descriptor, or -1 with errno. */
int md_tmp_create(struct md_root *r, int dirfd, mode_t mode, struct str *name);
/* Replaces the file TARGET (a path below DIRFD) by the bytes of TEXT, through tmp/ of TMPFD (the folder's directory).
 * SYNC: the bytes are on disk before the name is. *ST describes the new file. 0, or -1 with errno. */
int md_replace_file(struct md_root *r, int tmpfd, int dirfd, const char *target, const struct str *text, bool sync,
    struct stat *st);
/* The same for a file that nobody else may read, synced. */
int md_replace_private(struct md_root *r, int dirfd, const char *target, const struct str *text, struct stat *st);
/* fsync() of directory SUB of DIRFD: the names in it are on disk. 0, or -1 with errno. */
int md_sync_dir(int dirfd, const char *sub);
/* Appends all bytes of the regular file NAME in DIRFD to OUT, at most MAX. 0, or -1 with errno (EFBIG: larger). */
int md_read_file(int dirfd, const char *name, size_t max, struct str *out, struct stat *st);

enum { MD_TMP_HOURS = 36 };

#endif
