/* What the nodes of a pool share of their questions to directories: which password of an account was right a moment
 * ago, with the account's record, in memcached (authd/store.h). Auth workers look there before they ask the drivers,
 * and put there what these said. authd's own cache stands in front of it.
 *
 * Nothing there is believed for being there. The key of an entry is a keyed digest of the question and of all that
 * decides its answer (the settings of the directories); the value is sealed for that key (lib/seal.h), with the time
 * at which the directory was asked inside. All keys come from the pool's secret: without it nobody can tell what
 * stands there, for whom, or with which password, nor bring in a value, nor that of another account, nor an old one
 * past its time. The password is there as a keyed digest, the record without its stored hash or clear password. */
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

/* With the settings of AUTH_CACHE_MEMCACHED, and the store that OPS (living as long) opens. BY_CLIENT: a driver is
 * told the client's address, so verdicts hold for that alone. */
struct shared *shared_new(const struct settings *set, const struct store_ops *ops, bool by_client);
/* Wipes the keys; *S may be NULL. */
void shared_free(struct shared **s);
/* The password of JOB (a VERIFY) at NOW (unix seconds). Unless NONE, DONE (made by job_done_init()) is the answer. */
enum shared_found shared_get(struct shared *s, const struct job *job, uint64_t now, struct job_done *done);
/* DONE is what the drivers, asked at NOW, said to JOB: kept if the password is right. */
void shared_put(struct shared *s, const struct job *job, uint64_t now, const struct job_done *done);

#endif
