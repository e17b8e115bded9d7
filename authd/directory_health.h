/* How the directories are, for the whole node: auth workers come and go, and each sees a part only.
 * Servers: the log says once what is down and once when it is back. Drivers (by their position in the chain): one
 * that gave no answer is not asked by logins any more, for they would wait for nothing; it is probed instead, by one
 * question at a time, less often while that fails. */
#ifndef AUTHD_DIRECTORY_HEALTH_H
#define AUTHD_DIRECTORY_HEALTH_H

#include <ev.h>

#include "authlib/auth.h"
#include "authlib/dirnews.h"

enum {
	HEALTH_SERVERS_MAX = 128,
	/* To the first probe: it may have been one question that could not be answered. */
	HEALTH_FIRST_MS = 20,
	HEALTH_PAUSE_MS = 250,       /* after the first that failed; doubled, */
	HEALTH_PAUSE_MAX_MS = 2000,  /* up to this where a probe fails at once, and */
	HEALTH_PAUSE_SLOW_MS = 10000 /* this where it keeps an auth worker waiting */
};

enum directory_outcome {
	DIRECTORY_ANSWERED,
	DIRECTORY_FAILED,   /* none of its servers answered */
	DIRECTORY_NOT_ASKED /* nothing was learnt */
};

struct directory_health;

/* Position POS must be probed: query it, then call directory_health_probed(). */
typedef void directory_health_probe_fn(unsigned pos, void *arg);

struct directory_health *directory_health_new(struct ev_loop *loop, directory_health_probe_fn *probe, void *arg);
void directory_health_free(struct directory_health **h);
/* The chain or the settings of the directories are others now. */
void directory_health_reset(struct directory_health *h);

/* Tells the log what is new in NEWS. LOGINS says what happens to them while there is no answer; WHOLE: there was
 * none, of no server. */
void directory_health_news(struct directory_health *h, const struct dirnews *news, const char *logins, bool whole);
/* What came at NOW of a question to POS that was asked at ASKED (ms, both). True: it is down from now on. */
bool directory_health_result(struct directory_health *h, unsigned pos, enum directory_outcome outcome, int64_t asked,
    int64_t now);
/* The same of a probe. */
void directory_health_probed(struct directory_health *h, unsigned pos, enum directory_outcome outcome, int64_t asked,
    int64_t now);
bool directory_health_down(const struct directory_health *h, unsigned pos);
/* A bit for each position that is down. */
unsigned directory_health_all_down(const struct directory_health *h);
/* Servers in trouble: their number, and in OUT their names. */
unsigned directory_health_list(const struct directory_health *h, struct str *out);

#endif
