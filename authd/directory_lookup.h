/* Queries to the drivers that may wait (LDAP, SQL, ...): the only way from authd's loop to them. The caller is called
 * back once: inside directory_lookup_start() if the answer is known, else from the loop.
 *
 * Answers of directories are cached (AUTH_CACHE_TTL, AUTH_CACHE_NEGATIVE_TTL), equal pending queries share one job, and
 * while the directory is down accounts verified within AUTH_CACHE_STALE can still log in. */
#ifndef AUTHD_DIRECTORY_LOOKUP_H
#define AUTHD_DIRECTORY_LOOKUP_H

#include "authd/cache.h"
#include "authd/jobs.h"
#include "authlib/auth.h"

struct directory_lookups; /* those of a node */
struct lookup_job;        /* one on its way */

/* A query to the directories; nothing of it need outlive the call. */
struct directory_query {
	struct auth_question question;
	unsigned pos; /* position in the chain to begin at, of a driver that may wait */
	bool fresh;   /* an operator: query the directory itself, down or not; no cached answer */
};

/* ACCOUNT, without DEFAULTOPTIONS, must be copied by the callee. If only the record was requested, it has hash and
 * clear; with a checked password these may be "", and with a wrong password everything may be. */
struct directory_answer {
	bool answered;           /* false: driver `pos` is an inline one; ask it and what follows in the loop */
	enum auth_result result; /* as of auth_chain_ask() */
	unsigned pos;            /* the driver that gave the verdict */
	uint64_t age;            /* seconds since it did: more than 0 if it was cached, here or by the pool */
	const struct account *account;
};
typedef void directory_answer_fn(const struct directory_answer *answer, void *arg);

/* A waiter for an answer: a member of the caller, all zero while it does not wait. */
struct directory_waiter {
	struct directory_waiter *prev, *next; /* of those with the same query */
	struct lookup_job *job;
	directory_answer_fn *fn;
	void *arg;
};

struct directory_lookup_counts {
	uint64_t hits;     /* verified passwords found in the cache */
	uint64_t negative; /* wrong guesses likewise */
	uint64_t misses;   /* queries to the directory, or that would have been if it were not down */
	uint64_t shared;   /* got the answer to the same query of another */
	uint64_t stale;    /* let in without an answer, because they were verified within AUTH_CACHE_STALE */
};

/* JOBS and CACHE outlive what this returns; NOW_MS is clock_ms(), or a test's. Call directory_lookups_use() next. */
struct directory_lookups *directory_lookups_new(struct ev_loop *loop, struct jobs *jobs, struct cache *cache,
    int64_t (*now_ms)(void));
/* Waiters are not called any more. */
void directory_lookups_free(struct directory_lookups **qs);
/* The settings and the chain made from them, which lives until the next call. The cache is kept if the directories'
 * settings are the same as before, else emptied. */
void directory_lookups_use(struct directory_lookups *qs, const struct auth_chain *chain, const struct settings *set);
/* Starts a query for WHO, which must not have one pending; FN is called once with ARG, and may free WHO. Without an
 * answer, for whatever reason, the result is AUTH_TRY_LATER. */
void directory_lookup_start(struct directory_lookups *qs, struct directory_waiter *who,
    const struct directory_query *query, directory_answer_fn *fn, void *arg);
/* QUERY, whose answer was "continue at TO", led to the right password there: that counts as a verified account, so its
 * logins survive an outage of the drivers that do not know it. */
void directory_lookup_passed(struct directory_lookups *qs, const struct directory_query *query, unsigned to);
/* WHO, which need not be waiting, is not called any more; others with the same query are. */
void directory_lookup_cancel(struct directory_waiter *who);
/* Drops what is cached of USER (as a login name with its domain, or as an account's own name), or everything (NULL),
 * including pending answers. Returns the number of dropped entries. */
unsigned directory_lookups_flush(struct directory_lookups *qs, const char *user);
const struct directory_lookup_counts *directory_lookups_counts(const struct directory_lookups *qs);
/* Number of servers and drivers in trouble; their names are appended to NAMES. */
unsigned directory_lookups_trouble(const struct directory_lookups *qs, struct str *names);

#endif
