#include "authd/proven.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>
#include <uthash.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "lib/str.h"

enum { DIGEST_LEN = 32 };

struct entry {
	uint8_t digest[DIGEST_LEN];
	UT_hash_handle hh;
};

struct proven {
	uint8_t key[32];
	unsigned max;
	struct entry *entries;
};

struct proven *proven_new(unsigned max)
{
	struct proven *p = mem_alloc(sizeof(*p));

	p->max = max;
	DIE_IF(RAND_bytes(p->key, sizeof(p->key)) != 1);
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
	mem_wipe((*p)->key, sizeof((*p)->key));
	mem_free(p);
}

/* The three texts hold no NUL byte: with one between them there is one reading only. */
static void make_digest(const struct proven *p, const char *name, const char *hash, const char *password, uint8_t digest[DIGEST_LEN])
{
	struct str text = STR_INIT;
	unsigned len = DIGEST_LEN;

	str_add(&text, name, strlen(name) + 1);
	str_add(&text, hash, strlen(hash) + 1);
	str_adds(&text, password);
	DIE_IF(HMAC(EVP_sha256(), p->key, sizeof(p->key), (const unsigned char *)text.data, text.len, digest, &len) == NULL);
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
