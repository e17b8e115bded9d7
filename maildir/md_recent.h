/* waypostrecent of one folder: which of the messages that we stored (APPEND, COPY, MOVE) no session has had as recent
 *   yet. 1 <uidvalidity> <first uid>
 * Mail that others deliver is recent while it is in new/. What we store has a UID that the client knows, and Courier
 * gives another one to what it finds in new/: so it goes to cur/ at once, and this file remembers from which UID on
 * it is recent. Without the file nothing is. It is written and removed under md_lock, so that only one session gets
 * each message, and never synced: it is not worth the wait. Nor does a session wait for the lock to take it: without
 * the lock it shows the messages without the mark, until it gets the lock or another session has taken them. */
#ifndef MAILDIR_MD_RECENT_H
#define MAILDIR_MD_RECENT_H

#include "maildir/md.h"

#define MD_RECENT_FILE "waypostrecent"
enum { MD_RECENT_NONE = UINT32_MAX };

/* Folder DIRFD has such a file, whatever its contents. */
bool md_recent_there(int dirfd);
/* The first UID that is recent under UIDVALIDITY; MD_RECENT_NONE: none is. */
uint32_t md_recent_first(int dirfd, uint32_t uidvalidity);
/* As md_recent_first(), from the LEN bytes of the file at P. */
uint32_t md_recent_parse(const char *p, size_t len, uint32_t uidvalidity);
/* Records that the messages from UID on are recent. UID is above all others in the folder. Failures are ignored. */
void md_recent_add(struct md_root *r, int dirfd, uint32_t uidvalidity, uint32_t uid);
/* As md_recent_first(), and takes the messages: they are not recent in later sessions. Removes the file, even one of
 * another UIDVALIDITY, which is meaningless. */
uint32_t md_recent_take(int dirfd, uint32_t uidvalidity);
/* The folder's UIDVALIDITY changed from FROM to TO, but no UID: keeps messages recent. */
void md_recent_revalue(struct md_root *r, int dirfd, uint32_t from, uint32_t to);

#endif
