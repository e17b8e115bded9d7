/* The sessions in authd's register, as login workers and spawn report them. A worker can only report its own, and only
 * a limited amount: SESSIONS_WORKER_BYTES has room for far more sessions than a worker can have (two descriptors each).
 * Sessions that authd has not granted count only if an earlier authd may have granted them: those of a worker that is
 * older than this authd, and reports them when it connects. So a worker that is compromised later cannot use up the
 * limits of accounts and addresses that it has never logged in. */
#ifndef AUTHD_SESSIONS_H
#define AUTHD_SESSIONS_H

#include "authd/authd_private.h"

enum {
	SESSIONS_WORKER_BYTES = 32 * 1024 * 1024,
	SESSIONS_TOLD_SECONDS = 60 /* after authd's start, in which workers report earlier sessions */
};

/* There is room for one more session of W, whose account is NAME. */
bool sessions_room(const struct authd_worker *w, const char *name);
/* The new session S is W's. */
void sessions_own(struct reg_session *s, struct authd_worker *w);
/* SESSION_HAVE from W, or from spawn (W is NULL): the rest of R. A session may be told twice. What exceeds a worker's
 * room, or cannot be its session, is logged and not kept, and so does not count for limits. False: a bad message, or
 * another's session. */
bool sessions_have(struct authd *a, struct msgr *r, struct authd_worker *w);
/* SESSION_PROGRAM from spawn: the rest of R. False: a bad message. */
bool sessions_program(struct authd *a, struct msgr *r);
/* The spawn that had them is gone, and its programs with it. */
void sessions_programs_lost(struct authd *a);
/* W says that session ID is over; nothing happens unless it is W's. An unused ticket becomes void. One with a program
 * counts until that has ended. */
void sessions_end(struct authd_worker *w, uint64_t id);
/* The same, reported by spawn. */
void sessions_ended(struct authd *a, uint64_t id);
/* All sessions of W are over: it is gone. */
void sessions_drop(struct authd_worker *w);
/* The login of session ID, if it is pending, is W's, and has a target number TARGET: a worker can report results of no
 * other logins. Else NULL. */
struct reg_session *sessions_pending(const struct authd_worker *w, uint64_t id, uint8_t target);
/* Session servers outlive their spawn: the new one gets the order to watch them. */
void sessions_adopt(struct authd *a);

#endif
