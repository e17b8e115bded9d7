/* Watches new/, cur/ and the keywords of an open box for changes, for IDLE.
 *
 * By directory notification (F_NOTIFY), which needs only descriptors of this process. inotify limits instances and
 * watches per uid, and all accounts may share one uid: it is used on kernels without directory notification
 * (CONFIG_DNOTIFY, fs.dir-notify-enable). The signal of F_NOTIFY, SIGIO, is read from a descriptor: it is blocked from
 * md_watch_init() on, and must stay blocked where ppoll() sets another signal mask (node/session.h). One watch at a
 * time in a process. */
#ifndef MAILDIR_MD_WATCH_H
#define MAILDIR_MD_WATCH_H

#include "maildir/md_box.h"

enum { MD_WATCH_DIRS = 4 };

struct md_watch {
	int fd; /* readable when something happened; -1: the caller must poll md_box_sync() */
	/* private */
	int dir[MD_WATCH_DIRS];
	unsigned ndirs;
};

/* Watches BOX's folder. False if the system has no descriptor or no watch left, or neither mechanism: then W->fd is -1,
 * root->why says what to do, and the caller polls (and logs it once). */
bool md_watch_init(struct md_watch *w, struct md_box *box) MUST_CHECK;
/* Takes all events out of the queue (never waits). True if anything happened: call md_box_sync(). */
bool md_watch_drain(struct md_watch *w);
void md_watch_fini(struct md_watch *w);

#endif
