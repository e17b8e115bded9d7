/* Questions to the drivers that may wait (LDAP, SQL, ...): the one way from authd's loop to them.
 * The caller is called back once: inside directory_lookup_start() if the answer is known, else from the loop.
 *
 * What a directory said is remembered (AUTH_CACHE_TTL, AUTH_CACHE_NEGATIVE_TTL), equal questions on their way are one
 * job, and while the directory is down accounts that were proven within AUTH_CACHE_STALE are still let in. */
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

/* ACCOUNT is the callee's to copy, without DEFAULTOPTIONS. A record that was asked for (no password) has hash and
 * clear; beside a checked password they may be "", and of a password that is wrong nothing need be there. */
struct directory_answer {
	bool answered;           /* false: driver `pos` is an inline one; ask it and what follows in the loop */
	enum auth_result result; /* as of auth_chain_ask() */
	unsigned pos;            /* the driver that gave the verdict */
	uint64_t age;            /* seconds since it did: more than 0 where it is remembered, here or by the pool */
	const struct account *account;
};
typedef void directory_answer_fn(const struct directory_answer *answer, void *arg);

/* A waiter for an answer: a member of the caller, all zero while it does not wait. */
struct directory_waiter {
	struct directory_waiter *prev, *next; /* of those who ask the same */
	struct lookup_job *job;
	directory_answer_fn *fn;
	void *arg;
};

struct directory_lookup_counts {
	uint64_t hits;     /* proven passwords answered from memory */
	uint64_t negative; /* wrong guesses likewise */
	uint64_t misses;   /* queries to the directory, or that would have been if it were not down */
	uint64_t shared;   /* had the answer to another's question */
	uint64_t stale;    /* let in because they had been proven within AUTH_CACHE_STALE, while no answer came */
};

/* JOBS and CACHE outlive what this returns; NOW_MS is clock_ms(), or a test's. Call directory_lookups_use() next. */
struct directory_lookups *directory_lookups_new(struct ev_loop *loop, struct jobs *jobs, struct cache *cache,
    int64_t (*now_ms)(void));
/* Those who wait are not called any more. */
void directory_lookups_free(struct directory_lookups **qs);
/* The settings and the chain made from them, which lives until the next call. What was remembered stays if the
 * directories' settings are the same as before, else it is forgotten. */
void directory_lookups_use(struct directory_lookups *qs, const struct auth_chain *chain, const struct settings *set);
/* Asks for WHO, who asks nothing else now; FN is called once with ARG, and may free WHO. No answer, for whatever
 * reason, is AUTH_TRY_LATER. */
void directory_lookup_start(struct directory_lookups *qs, struct directory_waiter *who,
    const struct directory_query *query, directory_answer_fn *fn, void *arg);
/* QUERY, which was answered by "go on at TO", led to the right password there: that is as good as a proven account,
 * and its logins outlive an outage of the drivers that do not know it. */
void directory_lookup_passed(struct directory_lookups *qs, const struct directory_query *query, unsigned to);
/* WHO, who may wait for nothing, is not called any more; others who asked the same are. */
void directory_lookup_cancel(struct directory_waiter *who);
/* Forgets what is known of USER (as a login name with its domain, or as an account's own name), or everything (NULL),
 * answers that are on their way included. Returns how many things were remembered. */
unsigned directory_lookups_flush(struct directory_lookups *qs, const char *user);
const struct directory_lookup_counts *directory_lookups_counts(const struct directory_lookups *qs);
/* Number of servers and drivers in trouble; their names are appended to NAMES. */
unsigned directory_lookups_trouble(const struct directory_lookups *qs, struct str *names);

#endif
