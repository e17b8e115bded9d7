/* Tells that something happened in an open box, for IDLE: inotify on new/, cur/ and the keywords. */
#ifndef MAILDIR_MD_WATCH_H
#define MAILDIR_MD_WATCH_H

#include "maildir/md_box.h"

struct md_watch {
	int fd; /* becomes readable when there is something; -1: the caller has to poll md_box_sync() */
};

/* Watches BOX's folder. True; false if the system has no watch left (max_user_instances, max_user_watches) or no
 * inotify: then W->fd is -1, root->why says what to raise, and the caller polls (and logs it once). */
bool md_watch_init(struct md_watch *w, struct md_box *box) MUST_CHECK;
/* Takes all events out of the queue (never waits). True if anything happened: call md_box_sync(). */
bool md_watch_drain(struct md_watch *w);
void md_watch_fini(struct md_watch *w);

#endif
