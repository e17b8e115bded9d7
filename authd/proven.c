#include "authd/proven.h"

#include <string.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/mac.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "lib/str.h"

enum { DIGEST_LEN = MAC_LEN };

struct entry {
	uint8_t digest[DIGEST_LEN];
	UT_hash_handle hh;
};

struct proven {
	struct mac *mac;
	unsigned max;
	struct entry *entries;
};

struct proven *proven_new(unsigned max)
{
	struct proven *p = mem_alloc(sizeof(*p));
	uint8_t key[MAC_LEN];

	p->max = max;
	rnd_bytes(key, sizeof(key));
	p->mac = mac_new(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	return p;
}

static void drop(struct proven *p, struct entry *e)
{
	HASH_DEL(p->entries, e);
	mem_free(&e);
}

void proven_free(struct proven **p)
{
	if (*p == NULL)
		return;
	while ((*p)->entries != NULL)
		drop(*p, (*p)->entries);
	mac_free(&(*p)->mac);
	mem_free(p);
}

/* The three texts hold no NUL byte: with one between them there is one reading only. */
static void make_digest(const struct proven *p, const char *name, const char *hash, const char *password, uint8_t digest[DIGEST_LEN])
{
	struct str text = STR_INIT;

	str_add(&text, name, strlen(name) + 1);
	str_add(&text, hash, strlen(hash) + 1);
	str_adds(&text, password);
	mac_compute(p->mac, text.data, text.len, digest);
	str_fini_secret(&text);
}

static struct entry *find(const struct proven *p, const uint8_t digest[DIGEST_LEN])
{
	struct entry *e;

	HASH_FIND(hh, p->entries, digest, DIGEST_LEN, e);
	return e;
}

bool proven_check(struct proven *p, const char *name, const char *hash, const char *password)
{
	uint8_t digest[DIGEST_LEN];

	make_digest(p, name, hash, password, digest);
	return find(p, digest) != NULL;
}

void proven_add(struct proven *p, const char *name, const char *hash, const char *password)
{
	uint8_t digest[DIGEST_LEN];
	struct entry *e;

	make_digest(p, name, hash, password, digest);
	if (find(p, digest) != NULL)
		return;
	if (HASH_COUNT(p->entries) >= p->max)
		drop(p, p->entries); /* uthash keeps the order of arrival */
	e = mem_alloc(sizeof(*e));
	memcpy(e->digest, digest, sizeof(digest));
	HASH_ADD(hh, p->entries, digest, DIGEST_LEN, e);
}
