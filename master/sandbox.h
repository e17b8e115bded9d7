/* Confines a session server to its Maildir, if the kernel can (Landlock, Linux 5.19 and later). */
#ifndef MASTER_SANDBOX_H
#define MASTER_SANDBOX_H

#include "lib/base.h"

/* Finds out what is the same for all session servers, in the process that forks them: each would do it otherwise. */
void sandbox_prepare(void);
/* From now on this process may, besides what it has open: use the tree below MAILDIR (and below the directories that
 * symbolic links in MAILDIR lead to, as some sites have for folders), and read the system's libraries and tables. It
 * can bind or connect no TCP socket and signal no other process, if the kernel supports that. False if nothing was
 * restricted: the kernel cannot, or MAILDIR cannot be opened. Never ends the process. */
bool sandbox_enter(const char *maildir);

#endif
