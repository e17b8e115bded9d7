/* authd/cache: what is found, what is dropped. */
#include <stdio.h>
#include <string.h>

#include "authd/cache.h"
#include "lib/mem.h"
#include "tests/unit/unit.h"

enum { SIZE = 1 << 20 };

static void digest(struct cache *c, struct cache_digest *out, const char *a, const char *b)
{
	const char *const text[] = { a, b };

	cache_digest(c, out, text, 2);
}

static void make_account(struct account *a, const char *name)
{
	account_init(a);
	account_set(&a->name, name);
	account_set(&a->home, "/srv/mail/u");
	account_set(&a->options, "mailhost=a.example.com");
	account_set(&a->hash, "{SHA}x");
	account_set(&a->clear, "sesame");
	a->uid = 1000;
	a->gid = 1001;
}

/* An entry KEY of login name USER. */
static void put(struct cache *c, enum cache_share share, const char *key, const char *user, const char *account)
{
	struct cache_value v = { .result = AUTH_OK, .answered = 1, .directory = account != NULL };
	struct cache_digest k, u;
	struct account a;

	digest(c, &k, key, "");
	cache_user(c, &u, user);
	make_account(&a, account != NULL ? account : "");
	cache_put(c, share, &k, &u, &v, account != NULL ? &a : NULL);
	account_fini(&a);
}

static const struct cache_value *get(struct cache *c, const char *key)
{
	struct cache_digest k;

	digest(c, &k, key, "");
	return cache_find(c, &k);
}

static void test_digests(void)
{
	struct cache *c = cache_new(SIZE), *other = cache_new(SIZE);
	struct cache_digest a, b;

	digest(c, &a, "ab", "c");
	digest(c, &b, "ab", "c");
	CU_ASSERT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	digest(c, &b, "a", "bc"); /* the parts cannot be confused */
	CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	digest(c, &b, "abc", "");
	CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	digest(other, &b, "ab", "c"); /* each cache has a key of its own */
	CU_ASSERT_NOT_EQUAL(memcmp(&a, &b, sizeof(a)), 0);
	cache_free(&c);
	cache_free(&other);
	CU_ASSERT_PTR_NULL(c);
}

static void test_accounts(void)
{
	struct cache *c = cache_new(SIZE);
	const struct cache_value *v;
	struct account back;
	size_t full;

	put(c, CACHE_GOOD, "k", "alias@example.com", "jo@example.com");
	CU_ASSERT_EQUAL(cache_entries(c), 1);
	v = get(c, "k");
	CU_ASSERT_PTR_NOT_NULL_FATAL(v);
	CU_ASSERT_TRUE(v->result == AUTH_OK && v->answered == 1);
	cache_account(v, &back);
	CU_ASSERT_STRING_EQUAL(back.name, "jo@example.com");
	CU_ASSERT_STRING_EQUAL(back.home, "/srv/mail/u");
	CU_ASSERT_STRING_EQUAL(back.maildir, "");
	CU_ASSERT_STRING_EQUAL(back.options, "mailhost=a.example.com");
	CU_ASSERT_STRING_EQUAL(back.hash, ""); /* stored passwords are not kept */
	CU_ASSERT_STRING_EQUAL(back.clear, "");
	CU_ASSERT_TRUE(back.uid == 1000 && back.gid == 1001);
	account_fini(&back);
	full = cache_bytes(c);
	put(c, CACHE_GOOD, "k", "alias@example.com", "jo@example.com"); /* replaces the old one */
	CU_ASSERT_TRUE(cache_entries(c) == 1 && cache_bytes(c) == full);
	put(c, CACHE_GOOD, "k", "alias@example.com", NULL);
	cache_account(get(c, "k"), &back);
	CU_ASSERT_STRING_EQUAL(back.name, "");
	account_fini(&back);
	CU_ASSERT_TRUE(cache_bytes(c) < full);
	CU_ASSERT_PTR_NULL(get(c, "other"));
	cache_free(&c);
}

static void test_bounds(void)
{
	struct cache *c = cache_new(SIZE);
	char key[16];
	unsigned kept = 0;

	put(c, CACHE_GOOD, "jo", "jo", "jo");
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "%u", i);
		put(c, CACHE_BAD, key, "nobody", NULL);
		CU_ASSERT_TRUE(cache_bytes(c) <= SIZE / 4);
	}
	/* A flood of guesses displaces only guesses. */
	CU_ASSERT_PTR_NOT_NULL(get(c, "jo"));
	CU_ASSERT_PTR_NULL(get(c, "0"));
	CU_ASSERT_PTR_NOT_NULL(get(c, "19999"));
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "good%u", i);
		put(c, CACHE_GOOD, key, "u", "u");
		CU_ASSERT_PTR_NOT_NULL(get(c, "jo")); /* it is used */
		CU_ASSERT_TRUE(cache_bytes(c) <= SIZE);
	}
	CU_ASSERT_PTR_NULL(get(c, "good0"));
	for (unsigned i = 0; i < 20000; i++) {
		snprintf(key, sizeof(key), "good%u", i);
		kept += get(c, key) != NULL;
	}
	CU_ASSERT_TRUE(kept > 1000);
	cache_resize(c, SIZE / 64);
	CU_ASSERT_TRUE(cache_bytes(c) <= SIZE / 64);
	CU_ASSERT_PTR_NOT_NULL(get(c, "good19999"));
	cache_free(&c);
}

static void test_flush(void)
{
	struct cache *c = cache_new(SIZE);
	struct cache_digest k;

	put(c, CACHE_GOOD, "1", "alias@example.com", "jo@example.com");
	put(c, CACHE_GOOD, "2", "jo@example.com", "jo@example.com");
	put(c, CACHE_BAD, "3", "jo@example.com", NULL);
	put(c, CACHE_GOOD, "4", "kim@example.com", "kim@example.com");
	cache_hash_put(c, "jo@example.com", "h", "pw", AUTH_OK);
	CU_ASSERT_EQUAL(cache_flush(c, "nobody"), 0);
	CU_ASSERT_EQUAL(cache_flush(c, "jo@example.com"), 4);
	CU_ASSERT_PTR_NULL(get(c, "1"));
	CU_ASSERT_PTR_NOT_NULL(get(c, "4"));
	CU_ASSERT_EQUAL(cache_entries(c), 1);
	cache_hash_put(c, "jo", "h", "pw", AUTH_OK);
	put(c, CACHE_GOOD, "5", "u", "u");
	cache_drop_directories(c);
	CU_ASSERT_EQUAL(cache_entries(c), 1); /* what was verified by a local hash stays */
	CU_ASSERT_EQUAL(cache_hash_result(c, "jo", "h", "pw"), AUTH_OK);
	put(c, CACHE_BAD, "6", "u", NULL);
	digest(c, &k, "6", "");
	cache_drop(c, &k);
	cache_drop(c, &k);
	CU_ASSERT_PTR_NULL(get(c, "6"));
	CU_ASSERT_EQUAL(cache_flush(c, NULL), 1);
	CU_ASSERT_TRUE(cache_entries(c) == 0 && cache_bytes(c) == 0);
	cache_free(&c);
}

static void test_hashes(void)
{
	struct cache *c = cache_new(SIZE);

	CU_ASSERT_EQUAL(cache_hash_result(c, "u", "h", "pw"), AUTH_TRY_LATER);
	cache_hash_put(c, "u", "h", "pw", AUTH_OK);
	cache_hash_put(c, "u", "h", "pw", AUTH_OK);
	CU_ASSERT_EQUAL(cache_entries(c), 1);
	CU_ASSERT_EQUAL(cache_hash_result(c, "u", "h", "pw"), AUTH_OK);
	CU_ASSERT_EQUAL(cache_hash_result(c, "u", "h", "pw2"), AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(cache_hash_result(c, "u", "h2", "pw"), AUTH_TRY_LATER); /* the password was changed */
	CU_ASSERT_EQUAL(cache_hash_result(c, "v", "h", "pw"), AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(cache_hash_result(c, "uh", "", "pw"), AUTH_TRY_LATER);
	cache_hash_put(c, "u", "h", "guess", AUTH_MISMATCH);
	CU_ASSERT_EQUAL(cache_hash_result(c, "u", "h", "guess"), AUTH_MISMATCH);
	cache_hash_put(c, "u", "h", "x", AUTH_BROKEN); /* once repaired, it may be right */
	cache_hash_put(c, "u", "h", "x", AUTH_TRY_LATER);
	CU_ASSERT_EQUAL(cache_entries(c), 2);
	cache_free(&c);
}

static const struct unit_case cases[] = {
	{ "digests", test_digests },
	{ "accounts", test_accounts },
	{ "bounds", test_bounds },
	{ "flush", test_flush },
	{ "hashes", test_hashes },
	{ NULL, NULL },
};
UNIT_MAIN("cache", cases)
