/* waypostrecent of one folder: which of the messages that were stored by us (APPEND, COPY, MOVE) no session has had
 *   as recent yet. 1 <uidvalidity> <first uid>
 * Mail that others deliver is recent while it lies in new/. What we store has a UID that the client was told, and
 * Courier gives what it finds in new/ another one: so it goes to cur/ at once, and this file remembers from which
 * UID on it is recent. Without the file nothing is. It is written and taken away under md_lock, so that one session
 * gets each message, and never synced: it is worth no wait. Nor does a session wait for the lock to take it: one that
 * cannot have it shows the messages without the mark, until it has the lock or another session has taken them. */
#ifndef MAILDIR_MD_RECENT_H
#define MAILDIR_MD_RECENT_H

#include "maildir/md.h"

#define MD_RECENT_FILE "waypostrecent"
enum { MD_RECENT_NONE = UINT32_MAX };

/* There is such a file in folder DIRFD, whatever it says. */
bool md_recent_there(int dirfd);
/* The first UID that is recent under UIDVALIDITY; MD_RECENT_NONE: none is. */
uint32_t md_recent_first(int dirfd, uint32_t uidvalidity);
/* What md_recent_first() tells, or what stands in its file: the LEN bytes at P. */
uint32_t md_recent_parse(const char *p, size_t len, uint32_t uidvalidity);
/* Records that the messages from UID on are recent. UID is above all others in the folder. Failures are ignored. */
void md_recent_add(struct md_root *r, int dirfd, uint32_t uidvalidity, uint32_t uid);
/* As md_recent_first(), and takes the messages: for later sessions they are not recent. A file of another UIDVALIDITY
 * means nothing any more, and goes too. */
uint32_t md_recent_take(int dirfd, uint32_t uidvalidity);
/* The folder has UIDVALIDITY TO where it had FROM, and its messages their UIDs: what was recent is. */
void md_recent_revalue(struct md_root *r, int dirfd, uint32_t from, uint32_t to);

#endif
