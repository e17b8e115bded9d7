/* The health of the directories, for the whole node, because auth workers come and go, and each sees only a part.
 * Servers: the log says once what is down and once when it is back. Drivers (by their position in the chain): one whose
 * servers cannot be used is down: logins do not query it any more, as they would wait in vain; it is probed instead, by
 * one query at a time, less often while that fails. A query without an answer, or one that is refused, means less,
 * because anybody can cause any query: it makes the driver only suspected, which is probed while logins still query it,
 * and the prober decides whether it is down (directory_health_confirm()). */
#ifndef AUTHD_DIRECTORY_HEALTH_H
#define AUTHD_DIRECTORY_HEALTH_H

#include <ev.h>

#include "authlib/auth.h"
#include "authlib/dirnews.h"

enum {
	HEALTH_SERVERS_MAX = 128,
	/* Until the first probe: the failure may have been of one query only. */
	HEALTH_FIRST_MS = 20,
	HEALTH_PAUSE_MS = 250,       /* after the first that failed; doubled, */
	HEALTH_PAUSE_MAX_MS = 2000,  /* up to this if a probe fails at once, and */
	HEALTH_PAUSE_SLOW_MS = 10000 /* up to this if it keeps an auth worker waiting */
};

enum directory_outcome {
	DIRECTORY_ANSWERED,
	DIRECTORY_FAILED,   /* none of its servers can be used */
	DIRECTORY_SILENT,   /* one of them can, but this query had no answer */
	DIRECTORY_REFUSED,  /* ... or was refused */
	DIRECTORY_ERRED,    /* ... or was answered with an error: it does not hang */
	DIRECTORY_NOT_ASKED /* nothing was learned */
};

/* How the state of a driver changed. */
enum directory_change { DIRECTORY_SAME, DIRECTORY_SUSPECTED, DIRECTORY_DOWN };

struct directory_health;

/* Position POS must be probed: query it, then call directory_health_probed(). */
typedef void directory_health_probe_fn(unsigned pos, void *arg);

struct directory_health *directory_health_new(struct ev_loop *loop, directory_health_probe_fn *probe, void *arg);
void directory_health_free(struct directory_health **h);
/* The chain or the settings of the directories have changed. */
void directory_health_reset(struct directory_health *h);

/* Logs what is new in NEWS, which came at NOW with the result OUTCOME of POS, after that was recorded. LOGINS says what
 * happens to logins while there is no answer. */
void directory_health_news(struct directory_health *h, unsigned pos, const struct dirnews *news,
    enum directory_outcome outcome, const char *logins, int64_t now);
/* Records the result at NOW of a query to POS that was sent at ASKED (both in ms). */
enum directory_change directory_health_result(struct directory_health *h, unsigned pos, enum directory_outcome outcome,
    int64_t asked, int64_t now);
/* The same for a probe. */
enum directory_change directory_health_probed(struct directory_health *h, unsigned pos, enum directory_outcome outcome,
    int64_t asked, int64_t now);
/* POS, if it is still suspected and nobody had an answer since ASKED, is down. True: from now on. */
bool directory_health_confirm(struct directory_health *h, unsigned pos, int64_t asked);
bool directory_health_down(const struct directory_health *h, unsigned pos);
/* A bit for each position that is down. */
unsigned directory_health_all_down(const struct directory_health *h);
/* Servers in trouble: their number, and in OUT their names. */
unsigned directory_health_list(const struct directory_health *h, struct str *out);

#endif
