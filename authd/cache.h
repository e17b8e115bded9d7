/* What authd remembers of logins: bounded in bytes, the least recently used makes room.
 * Entries are found by keyed digests (HMAC-SHA256) of all that an answer depends on. The key is random, made at each
 * start, and never leaves the process: nobody outside can make two questions meet, and what lies in memory tells no
 * password. Refusals have a small share of their own, so that a flood of guesses does not displace good logins. */
#ifndef AUTHD_CACHE_H
#define AUTHD_CACHE_H

#include "authlib/auth.h"
#include "lib/mac.h"

enum cache_share {
	CACHE_GOOD, /* passwords that were proven, with the account where a directory has it */
	CACHE_BAD,  /* guesses that were refused: at most an eighth of the whole */
	CACHE_SHARES
};

struct cache_digest {
	uint8_t byte[MAC_LEN];
};

/* What is remembered. Members that the user of an entry has no use for stay zero. */
struct cache_value {
	struct cache_digest proof;     /* of the password */
	int64_t time;                  /* when it became known, ms */
	uint8_t answered, result, pos; /* as in struct directory_answer */
	bool directory;                /* it came from a directory: gone when the settings of the directories change */
};

struct cache;

/* Holds at most SIZE bytes, its own bookkeeping counted. */
struct cache *cache_new(size_t size);
void cache_free(struct cache **c);
/* At most SIZE bytes from now on. */
void cache_resize(struct cache *c, size_t size);

/* Digest of N texts, none of which can be read as another's part. */
void cache_digest(struct cache *c, struct cache_digest *out, const char *const text[], unsigned n);
/* The digest by which cache_flush() finds all entries of a login name. */
void cache_user(struct cache *c, struct cache_digest *out, const char *user);

/* The value under KEY, or NULL; it has been used, and is valid until the next call that changes the cache. */
const struct cache_value *cache_find(struct cache *c, const struct cache_digest *key);
/* The account that belongs to a value of cache_find(), its secrets ""; free with account_fini(). */
void cache_account(const struct cache_value *v, struct account *out);
/* Remembers VALUE (copied) under KEY, in place of what was there. ACCOUNT may be NULL; its secrets are left out. */
void cache_put(struct cache *c, enum cache_share share, const struct cache_digest *key, const struct cache_digest *user,
    const struct cache_value *value, const struct account *account);
/* Forgets KEY, if it is there. */
void cache_drop(struct cache *c, const struct cache_digest *key);
/* Forgets all that was learnt from logins as USER or about the account of that name; NULL: everything. The number of
 * entries that are gone. */
unsigned cache_flush(struct cache *c, const char *user);
/* Forgets all that came from directories. */
void cache_drop_directories(struct cache *c);

/* What comes of PASSWORD for NAME with the stored HASH, if it was found out before (AUTH_OK or AUTH_MISMATCH), else
 * AUTH_TRY_LATER: a slow hash is computed once. A changed hash makes another digest, so nothing outlives a change of
 * password. */
enum auth_result cache_hash_result(struct cache *c, const char *name, const char *hash, const char *password);
/* Remembers RESULT, if it is one of the two. */
void cache_hash_put(struct cache *c, const char *name, const char *hash, const char *password, enum auth_result result);

unsigned cache_entries(const struct cache *c);
size_t cache_bytes(const struct cache *c);

#endif
