/* Which servers of a directory this process can use now. Failures are reported to authd (authlib/dirnews.h), which logs
 * them. The first server of the list is preferred. One that refuses at once is retried at once, which costs nothing.
 * One that times out is not used for a while, longer each time, so that few logins wait for it. One that accepts
 * connections but let a query wait is tried after the others for that while, but not skipped: the cause may be that
 * query, and anybody can cause any query. */
#ifndef AUTHLIB_DIRECTORY_H
#define AUTHLIB_DIRECTORY_H

#include "lib/str.h"

enum {
	DIRECTORY_SERVERS_MAX = 8,
	DIRECTORY_SLOW_MS = 500,   /* a failure that took longer was a wait */
	DIRECTORY_PAUSE_MS = 1000, /* the first pause; doubled up to the longest */
	DIRECTORY_PAUSE_MAX_MS = 10000
};

struct directory_server {
	char *name;       /* as the log names it; owned */
	int64_t retry_at; /* not before this time, ms, unless SILENT and there is no other */
	unsigned pause;
	bool silent; /* its last failure was that of a query */
};

struct directory {
	const char *driver; /* "authldap"; lives as long */
	unsigned count;
	struct directory_server server[DIRECTORY_SERVERS_MAX];
};

void directory_init(struct directory *d, const char *driver);
void directory_fini(struct directory *d);
/* One more server; false if there are too many. */
bool directory_add(struct directory *d, const char *name, size_t len);
/* The server to be asked next at NOW (clock_ms()), but none of TRIED (a bit each); d->count: there is none. */
unsigned directory_next(const struct directory *d, unsigned tried, int64_t now);
/* It answered a query, but with the error WHY, which others need not get. */
void directory_erred(const struct directory *d, unsigned i, const char *why);
/* It is up, but gave no answer to a query within TOOK ms, for the reason WHY. */
void directory_silent(struct directory *d, unsigned i, int64_t now, int64_t took, const char *why);
/* It cannot be used at all (connected to, ...): that failed after TOOK ms, for the reason WHY. */
void directory_failed(struct directory *d, unsigned i, int64_t now, int64_t took, const char *why);
/* It answered. */
void directory_answered(struct directory *d, unsigned i);
/* A server is up but refuses the query (a missing table, no permission), or accepts it. */
void directory_refused(const struct directory *d, const char *why);
void directory_served(const struct directory *d);

#endif
