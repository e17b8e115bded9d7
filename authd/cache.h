/* authd's cache of logins: limited in bytes, the least recently used entries are dropped. Entries are found by keyed
 * digests (HMAC-SHA256) of everything that the result depends on. The key is random, made at each start, and never
 * leaves the process: nobody can construct two queries with the same digest, and the memory reveals no password.
 * Refusals have a small share of their own, so that a flood of guesses does not displace good logins. */
#ifndef AUTHD_CACHE_H
#define AUTHD_CACHE_H

#include "authlib/auth.h"
#include "lib/mac.h"

enum cache_share {
	CACHE_GOOD, /* verified passwords, with the account if it is from a directory */
	CACHE_BAD,  /* refused guesses: at most an eighth of the whole */
	CACHE_SHARES
};

struct cache_digest {
	uint8_t byte[MAC_LEN];
};

/* What is cached. Members that an entry does not need are zero. */
struct cache_value {
	struct cache_digest proof;     /* of the password */
	int64_t time;                  /* when it became known, ms */
	uint8_t answered, result, pos; /* as in struct directory_answer */
	bool directory; /* it came from a directory: dropped when the settings of the directories change */
};

struct cache;

/* Uses at most SIZE bytes, including its own bookkeeping. */
struct cache *cache_new(size_t size);
void cache_free(struct cache **c);
/* At most SIZE bytes from now on. */
void cache_resize(struct cache *c, size_t size);

/* Digest of N texts; different lists of texts have different digests. */
void cache_digest(struct cache *c, struct cache_digest *out, const char *const text[], unsigned n);
/* The digest by which cache_flush() finds all entries of a login name. */
void cache_user(struct cache *c, struct cache_digest *out, const char *user);

/* The value under KEY, or NULL; it has been used, and is valid until the next call that changes the cache. */
const struct cache_value *cache_find(struct cache *c, const struct cache_digest *key);
/* The account that belongs to a value of cache_find(), its secrets ""; free with account_fini(). */
void cache_account(const struct cache_value *v, struct account *out);
/* Stores VALUE (copied) under KEY, replacing what was there. ACCOUNT may be NULL; its secrets are not stored. */
void cache_put(struct cache *c, enum cache_share share, const struct cache_digest *key, const struct cache_digest *user,
    const struct cache_value *value, const struct account *account);
/* Drops KEY, if it is there. */
void cache_drop(struct cache *c, const struct cache_digest *key);
/* Drops everything about logins as USER and about the account of that name; NULL: everything. Returns the number of
 * dropped entries. */
unsigned cache_flush(struct cache *c, const char *user);
/* Drops everything that came from directories. */
void cache_drop_directories(struct cache *c);

/* The result of PASSWORD for NAME with the stored HASH, if it was computed before (AUTH_OK or AUTH_MISMATCH), else
 * AUTH_TRY_LATER: so a slow hash is computed once. A changed hash has another digest, so nothing survives a change of
 * password. */
enum auth_result cache_hash_result(struct cache *c, const char *name, const char *hash, const char *password);
/* Stores RESULT, if it is one of the two. */
void cache_hash_put(struct cache *c, const char *name, const char *hash, const char *password, enum auth_result result);

unsigned cache_entries(const struct cache *c);
size_t cache_bytes(const struct cache *c);

#endif
