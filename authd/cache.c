/* The results of logins in one table, least recently used first out: found by keyed digests, bounded in bytes. */
#include "authd/cache.h"

#include <stddef.h>
#include <string.h>
#include <uthash.h>
#include <utlist.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "lib/str.h"

enum {
	OVERHEAD = 48, /* malloc's and the hash table's, for each entry */
	BAD_PART = 8
};

struct entry {
	struct cache_digest key;
	struct cache_digest user;
	struct cache_value value;
	enum cache_share share;
	UT_hash_handle hh;
	struct entry *prev, *next; /* in its share; most recently used first */
	bool has_account;
	uint32_t uid, gid;
	uint32_t len;
	/* Name, home, maildir, quota, fullname, options of the account, each followed by a NUL. */
	char text[];
};

struct share {
	struct entry *first;
	size_t bytes, max;
};

struct cache {
	struct mac *mac;
	struct entry *entries;
	struct share share[CACHE_SHARES];
};

/* The texts of an account that are kept, in their order. */
static char **account_text(struct account *a, unsigned i)
{
	char **const text[] = { &a->name, &a->home, &a->maildir, &a->quota, &a->fullname, &a->options };

	return i < ARRAY_LEN(text) ? text[i] : NULL;
}

static size_t bytes_of(const struct entry *e)
{
	return sizeof(*e) + e->len + OVERHEAD;
}

static void drop(struct cache *c, struct entry *e)
{
	struct share *s = &c->share[e->share];
	size_t len = sizeof(*e) + e->len;

	HASH_DEL(c->entries, e);
	DL_DELETE(s->first, e);
	s->bytes -= bytes_of(e);
	mem_wipe(e, len);
	mem_free(&e);
}

/* Drops entries until S has room for MORE bytes, or is empty. */
static void make_room(struct cache *c, struct share *s, size_t more)
{
	while (s->first != NULL && s->bytes + more > s->max)
		drop(c, s->first->prev); /* the head's "prev" is the last */
}

struct cache *cache_new(size_t size)
{
	struct cache *c = mem_alloc(sizeof(*c));
	uint8_t key[MAC_LEN];

	rnd_bytes(key, sizeof(key));
	c->mac = mac_new(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	cache_resize(c, size);
	return c;
}

void cache_free(struct cache **c)
{
	if (*c == NULL)
		return;
	cache_flush(*c, NULL);
	mac_free(&(*c)->mac);
	mem_free(c);
}

void cache_resize(struct cache *c, size_t size)
{
	c->share[CACHE_BAD].max = size / BAD_PART;
	c->share[CACHE_GOOD].max = size - size / BAD_PART;
	for (int i = 0; i < CACHE_SHARES; i++)
		make_room(c, &c->share[i], 0);
}

void cache_digest(struct cache *c, struct cache_digest *out, const char *const text[], unsigned n)
{
	static uint8_t all[8192]; /* names, hashes and passwords are bounded well below */
	size_t len = 0;

	/* The texts hold no NUL byte: one after each makes the result unambiguous. */
	for (unsigned i = 0; i < n; i++) {
		size_t more = strlen(text[i]) + 1;

		DIE_IF(more > sizeof(all) - len);
		memcpy(all + len, text[i], more);
		len += more;
	}
	mac_compute(c->mac, all, len, out->byte);
	mem_wipe(all, len);
}

void cache_user(struct cache *c, struct cache_digest *out, const char *user)
{
	cache_digest(c, out, (const char *const[]){ "user", user }, 2);
}

static struct entry *find(const struct cache *c, const struct cache_digest *key)
{
	struct entry *e;

	HASH_FIND(hh, c->entries, key, sizeof(*key), e);
	return e;
}

const struct cache_value *cache_find(struct cache *c, const struct cache_digest *key)
{
	struct entry *e = find(c, key);
	struct share *s;

	if (e == NULL)
		return NULL;
	s = &c->share[e->share];
	if (s->first != e) {
		DL_DELETE(s->first, e);
		DL_PREPEND(s->first, e);
	}
	return &e->value;
}

void cache_account(const struct cache_value *v, struct account *out)
{
	const struct entry *e = (const void *)((const char *)v - offsetof(struct entry, value));
	const char *p = e->text;
	char **text;

	account_init(out);
	if (!e->has_account)
		return;
	out->uid = e->uid;
	out->gid = e->gid;
	for (unsigned i = 0; (text = account_text(out, i)) != NULL; i++) {
		account_set(text, p);
		p += strlen(p) + 1;
	}
}

static uint32_t add_texts(char *to, const struct account *account)
{
	struct account copy = *account; /* its members are only read */
	size_t len = 0;
	char **text;

	for (unsigned i = 0; (text = account_text(&copy, i)) != NULL; i++) {
		size_t more = strlen(*text) + 1;

		if (to != NULL)
			memcpy(to + len, *text, more);
		len += more;
	}
	return (uint32_t)len;
}

void cache_put(struct cache *c, enum cache_share share, const struct cache_digest *key, const struct cache_digest *user,
    const struct cache_value *value, const struct account *account)
{
	uint32_t len = account != NULL ? add_texts(NULL, account) : 0;
	struct share *s = &c->share[share];
	struct entry *e;

	cache_drop(c, key);
	e = mem_alloc(sizeof(*e) + len);
	e->key = *key;
	e->user = *user;
	e->value = *value;
	e->share = share;
	e->len = len;
	if (account != NULL) {
		e->has_account = true;
		e->uid = account->uid;
		e->gid = account->gid;
		add_texts(e->text, account);
	}
	make_room(c, s, bytes_of(e));
	HASH_ADD(hh, c->entries, key, sizeof(e->key), e);
	DL_PREPEND(s->first, e);
	s->bytes += bytes_of(e);
}

void cache_drop(struct cache *c, const struct cache_digest *key)
{
	struct entry *e = find(c, key);

	if (e != NULL)
		drop(c, e);
}

unsigned cache_flush(struct cache *c, const char *user)
{
	struct cache_digest tag;
	unsigned n = 0;

	if (user != NULL)
		cache_user(c, &tag, user);
	for (int i = 0; i < CACHE_SHARES; i++) {
		struct entry *e, *next;

		DL_FOREACH_SAFE(c->share[i].first, e, next)
		{
			/* The account's own name is the first text; clients may log in by another one. */
			if (user != NULL && memcmp(&e->user, &tag, sizeof(tag)) != 0 &&
			    !(e->has_account && strcmp(e->text, user) == 0))
				continue;
			drop(c, e);
			n++;
		}
	}
	return n;
}

void cache_drop_directories(struct cache *c)
{
	for (int i = 0; i < CACHE_SHARES; i++) {
		struct entry *e, *next;

		DL_FOREACH_SAFE(c->share[i].first, e, next)
		{
			if (e->value.directory)
				drop(c, e);
		}
	}
}

static void hash_digest(struct cache *c, struct cache_digest *out, const char *name, const char *hash,
    const char *password)
{
	cache_digest(c, out, (const char *const[]){ "hash", name, hash, password }, 4);
}

enum auth_result cache_hash_result(struct cache *c, const char *name, const char *hash, const char *password)
{
	const struct cache_value *v;
	struct cache_digest key;

	hash_digest(c, &key, name, hash, password);
	v = cache_find(c, &key);
	return v != NULL ? (enum auth_result)v->result : AUTH_TRY_LATER;
}

void cache_hash_put(struct cache *c, const char *name, const char *hash, const char *password, enum auth_result result)
{
	struct cache_value value = { .result = (uint8_t)result };
	struct cache_digest key, user;

	if (result != AUTH_OK && result != AUTH_MISMATCH)
		return;
	hash_digest(c, &key, name, hash, password);
	cache_user(c, &user, name);
	cache_put(c, result == AUTH_OK ? CACHE_GOOD : CACHE_BAD, &key, &user, &value, NULL);
}

unsigned cache_entries(const struct cache *c)
{
	return HASH_COUNT(c->entries);
}

size_t cache_bytes(const struct cache *c)
{
	return c->share[CACHE_GOOD].bytes + c->share[CACHE_BAD].bytes;
}
