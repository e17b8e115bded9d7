/* What the nodes of a pool share of their directory queries: which password of an account was right recently, with the
 * account's record, in memcached (authd/store.h). Auth workers look there before they query the drivers, and store
 * there what these answered. authd's own cache is in front of it.
 *
 * An entry alone proves nothing. Its key is a keyed digest of the query and of everything that affects the answer (the
 * settings of the directories); the value is sealed for that key (lib/seal.h), including the time at which the
 * directory was queried. All keys are derived from the pool secret: without it nobody can learn what is stored, for
 * whom, or with which password, nor insert a value, that of another account, or an expired one. The password is stored
 * as a keyed digest, the record without its stored hash or clear password. */
#ifndef AUTHD_SHARED_H
#define AUTHD_SHARED_H

#include "authd/job.h"
#include "authd/store.h"
#include "settings/settings.h"

struct shared;

enum shared_found {
	SHARED_NONE,  /* nothing, or another password */
	SHARED_FRESH, /* the password was right less than AUTH_CACHE_TTL ago */
	SHARED_OLD    /* less than AUTH_CACHE_STALE ago: counts while the directory does not answer */
};

enum { SHARED_SKEW = 5 /* seconds by which the clocks of nodes may differ */ };

/* With the settings of AUTH_CACHE_MEMCACHED, and the store that OPS (living as long) opens. BY_CLIENT: a driver gets
 * the client's address, so verdicts are valid for that address only. */
struct shared *shared_new(const struct settings *set, const struct store_ops *ops, bool by_client);
/* Wipes the keys; *S may be NULL. */
void shared_free(struct shared **s);
/* The password of JOB (a VERIFY) at NOW (unix seconds). Unless NONE, DONE (made by job_done_init()) is the answer. */
enum shared_found shared_get(struct shared *s, const struct job *job, uint64_t now, struct job_done *done);
/* DONE is the result of the drivers for JOB, queried at NOW: stored if the password is right. */
void shared_put(struct shared *s, const struct job *job, uint64_t now, const struct job_done *done);

#endif
