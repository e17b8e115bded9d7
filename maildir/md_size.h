/* maildirsize: what the Maildir holds, for those who enforce its quota (delivery agents, Courier).
 *
 * The file is in the root of the Maildir if there is a quota. Its first line is the quota; each further line has bytes
 * and messages added or removed, and their sum is what the Maildir holds (Maildir++). We append our lines if the file
 * exists, and leave creating it, recounting and refusing to those who set the quota.
 *
 * As in Courier nothing in folder "Trash" counts, and no message marked as deleted (T): setting the mark is as good as
 * deleting. What a command changes is summed up in the root and written as one line, so that the file stays short: its
 * readers recount everything when it has 5,120 bytes. */
#ifndef MAILDIR_MD_SIZE_H
#define MAILDIR_MD_SIZE_H

#include "lib/base.h"

struct md_root;

/* What was added and removed since the last line, in md_root. All-zero is empty. */
struct md_size {
	int64_t bytes, messages;
	unsigned changes;
	enum { MD_SIZE_NOT_LOOKED, MD_SIZE_NONE, MD_SIZE_KEPT } file; /* does it exist? checked once for each line */
	bool warned;
};

/* The bytes that the message file at PATH (below DIRFD) counts: by its name (",S="), else by its size. 0 if neither is
 * known or there is no maildirsize. Call it before the file is removed. */
int64_t md_size_of(struct md_root *r, int dirfd, const char *path);
/* A message NAME (a file name or a path) of BYTES came to FOLDER, or left it. */
void md_size_came(struct md_root *r, const char *folder, const char *name, int64_t bytes);
void md_size_left(struct md_root *r, const char *folder, const char *name, int64_t bytes);
/* The same for all messages in the folder's directory DIR (below the root): they now belong, or belonged until now, to
 * FOLDER. */
void md_size_folder_came(struct md_root *r, const char *folder, const char *dir);
void md_size_folder_left(struct md_root *r, const char *folder, const char *dir);
/* Does it make a difference whether messages are in folder A or B? */
bool md_size_differs(const char *a, const char *b);
/* Writes the line, at the end of each command. A failure is logged once; the command's changes stay. */
void md_size_flush(struct md_root *r);

#endif
