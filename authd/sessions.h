/* The sessions in authd's register, as login workers and spawn report them. A worker can speak only of its own, and
 * make authd keep only so much: SESSIONS_WORKER_BYTES is room for far more sessions than a worker has (two
 * descriptors each). Sessions that authd has not granted count only if another authd may have done so: those of a
 * worker that is older than this one, which tells of them when it meets it. So none that was taken over later can use
 * up the limits of accounts and addresses that it has never logged in. */
#ifndef AUTHD_SESSIONS_H
#define AUTHD_SESSIONS_H

#include "authd/authd_private.h"

enum {
	SESSIONS_WORKER_BYTES = 32 * 1024 * 1024,
	SESSIONS_TOLD_SECONDS = 60 /* of authd's life, in which workers tell of sessions of before */
};

/* There is room for one more session of W, whose account is NAME. */
bool sessions_room(const struct authd_worker *w, const char *name);
/* The new session S is W's. */
void sessions_own(struct reg_session *s, struct authd_worker *w);
/* SESSION_HAVE from W, or from spawn (W is NULL): the rest of R. What a worker has beyond its room, or cannot have, is
 * logged and not kept: it is in no limit's count then. False: a bad message, or the session is another's. */
bool sessions_have(struct authd *a, struct msgr *r, struct authd_worker *w);
/* W says that session ID is over; nothing happens unless it is W's. A ticket that was not used is void then. */
void sessions_end(struct authd_worker *w, uint64_t id);
/* Spawn says so. */
void sessions_ended(struct authd *a, uint64_t id);
/* All sessions of W are over: it is gone. */
void sessions_drop(struct authd_worker *w);
/* The login of session ID, if it is pending, is W's, and may go to its target number TARGET: of nothing else can a
 * worker say how it went. Else NULL. */
struct reg_session *sessions_pending(const struct authd_worker *w, uint64_t id, uint8_t target);
/* Session servers outlive their spawn: the new one gets the order to watch them. */
void sessions_adopt(struct authd *a);

#endif
