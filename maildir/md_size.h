/* maildirsize: what the Maildir holds, for those who keep its quota (delivery agents, Courier).
 *
 * The file stands in the root of the Maildir if there is a quota. Its first line is the quota; each further one has
 * bytes and messages that came or went, and the sum of all is what the Maildir holds (Maildir++). We add our lines
 * where the file is there, and leave making it, counting anew and refusing to those who set the quota.
 *
 * As in Courier nothing of folder "Trash" counts, and no message marked as deleted (T): setting the mark is as good as
 * deleting. What a command changes is summed up in the root and written as one line, so that the file stays short: its
 * readers count everything anew when it has 5,120 bytes. */
#ifndef MAILDIR_MD_SIZE_H
#define MAILDIR_MD_SIZE_H

#include "lib/base.h"

struct md_root;

/* What has come and gone since the last line, in md_root. All-zero is empty. */
struct md_size {
	int64_t bytes, messages;
	unsigned changes;
	enum { MD_SIZE_NOT_LOOKED, MD_SIZE_NONE, MD_SIZE_KEPT } file; /* is there one? asked once for each line */
	bool warned;
};

/* The bytes with which the message file at PATH (below DIRFD) counts: what its name says (",S="), else what it has.
 * 0 if neither can be told or no maildirsize is kept. To be asked before the file goes. */
int64_t md_size_of(struct md_root *r, int dirfd, const char *path);
/* A message called NAME (a file name or a path) of BYTES came to FOLDER, or has left it. */
void md_size_came(struct md_root *r, const char *folder, const char *name, int64_t bytes);
void md_size_left(struct md_root *r, const char *folder, const char *name, int64_t bytes);
/* The same for all messages in the folder's directory DIR (below the root): they are now, or were until now,
 * FOLDER's. */
void md_size_folder_came(struct md_root *r, const char *folder, const char *dir);
void md_size_folder_left(struct md_root *r, const char *folder, const char *dir);
/* Is there any difference between having FOLDER's messages in A and in B? */
bool md_size_differs(const char *a, const char *b);
/* Writes the line, at the end of each command. What has been done stays done if that fails: it is logged once. */
void md_size_flush(struct md_root *r);

#endif
