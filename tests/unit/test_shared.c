/* Verified passwords that nodes share, in a store that the test controls: entries are inspected, changed, moved and put
 * back, like an attacker with access to memcached would. */
#include <string.h>

#include "authd/shared.h"
#include "lib/mem.h"
#include "lib/seal.h"
#include "tests/unit/unit.h"

/* --- the store: a few entries in memory --- */

enum { ITEMS = 8 };

static struct item {
	char key[128];
	struct str value;
	unsigned seconds;
} items[ITEMS];
static unsigned nitems, ndistrust, nget;
static const char store_ctx[] = "ctx";

static void *store_open(const char *servers, unsigned timeout_ms)
{
	CU_ASSERT_STRING_EQUAL(servers, "127.0.0.1");
	CU_ASSERT_EQUAL(timeout_ms, 200);
	return (void *)(uintptr_t)store_ctx;
}

static void store_close(void *ctx)
{
	CU_ASSERT_PTR_EQUAL(ctx, store_ctx);
}

static struct item *find(const char *key)
{
	for (unsigned i = 0; i < nitems; i++)
		if (strcmp(items[i].key, key) == 0)
			return &items[i];
	return NULL;
}

static bool store_get(void *ctx, const char *key, struct str *out)
{
	const struct item *it = find(key);

	CU_ASSERT_PTR_EQUAL(ctx, store_ctx);
	nget++;
	if (it != NULL)
		str_add(out, it->value.data, it->value.len);
	return it != NULL;
}

static void store_set(void *ctx, const char *key, const void *p, size_t len, unsigned seconds)
{
	struct item *it = find(key);

	CU_ASSERT_PTR_EQUAL(ctx, store_ctx);
	CU_ASSERT_EQUAL(strlen(key), 64);
	CU_ASSERT_EQUAL(strspn(key, "0123456789abcdef"), 64);
	if (it == NULL) {
		CU_ASSERT_FATAL(nitems < ITEMS);
		it = &items[nitems++];
		strcpy(it->key, key);
	}
	str_clear(&it->value);
	str_add(&it->value, p, len);
	it->seconds = seconds;
}

static void store_distrust(void *ctx UNUSED, const char *key)
{
	CU_ASSERT_EQUAL(strlen(key), 64);
	ndistrust++;
}

static const struct store_ops ops = {
	.open = store_open,
	.close = store_close,
	.get = store_get,
	.set = store_set,
	.distrust = store_distrust,
};

static void empty(void)
{
	while (nitems != 0)
		str_fini(&items[--nitems].value);
	ndistrust = nget = 0;
}

/* --- helpers --- */

#define NOW 1700000000

static struct settings *make_settings(const char *secret)
{
	struct settings *set = settings_defaults();

	unit_set(&set->pool_secret, secret);
	unit_set(&set->authdaemonrc_AUTH_CACHE_MEMCACHED, "127.0.0.1");
	set->authdaemonrc_AUTH_CACHE_TTL = 60;
	set->authdaemonrc_AUTH_CACHE_STALE = 1000;
	return set;
}

static struct shared *make(const char *secret)
{
	struct settings *set = make_settings(secret);
	struct shared *s = shared_new(set, &ops, false);

	settings_free(&set);
	return s;
}

struct what {
	const char *service, *user, *password;
	uint8_t from;
	uint64_t since;
};
static const struct what usual = { "imap", "anna@example.com", "secret", 1, 0 };

static struct net_addr client;

static void make_job(struct job *job, const struct what *what)
{
	job_init(job, 7, JOB_VERIFY);
	unit_set(&job->service, what->service);
	unit_set(&job->user, what->user);
	unit_set(&job->password, what->password);
	job->client = client;
	job->from = what->from;
	job->since = what->since;
}

static void put(struct shared *s, const struct what *what, uint64_t now, enum auth_result result, const char *home)
{
	struct job job;
	struct job_done done;

	make_job(&job, what);
	job_done_init(&done, 7, JOB_VERIFY);
	done.answered = true;
	done.result = result;
	done.pos = 3;
	account_set(&done.account.name, "anna@example.com");
	account_set(&done.account.home, home);
	account_set(&done.account.options, "mailhost=b.example.com");
	account_set(&done.account.hash, "$6$HASHHASH");
	account_set(&done.account.clear, "CLEARCLEAR");
	done.account.uid = 1000;
	shared_put(s, &job, now, &done);
	job_done_fini(&done);
	job_fini(&job);
}

static enum shared_found get(struct shared *s, const struct what *what, uint64_t now, uint64_t *age)
{
	struct job job;
	struct job_done done;
	enum shared_found found;

	make_job(&job, what);
	job_done_init(&done, 7, JOB_VERIFY);
	found = shared_get(s, &job, now, &done);
	if (found != SHARED_NONE) {
		CU_ASSERT_TRUE(done.answered);
		CU_ASSERT_EQUAL(done.result, AUTH_OK);
		CU_ASSERT_EQUAL(done.pos, 3);
		CU_ASSERT_STRING_EQUAL(done.account.options, "mailhost=b.example.com");
		CU_ASSERT_STRING_EQUAL(done.account.hash, "");
		CU_ASSERT_STRING_EQUAL(done.account.clear, "");
		CU_ASSERT_EQUAL(done.account.uid, 1000);
		if (age != NULL)
			*age = done.age;
	}
	job_done_fini(&done);
	job_fini(&job);
	return found;
}

/* --- cases --- */

static void test_seal(void)
{
	uint8_t key[MAC_LEN] = "key", other_key[MAC_LEN] = "other";
	struct seal *s = seal_new(key), *other = seal_new(other_key);
	struct str sealed = STR_INIT, again = STR_INIT, out = STR_INIT;

	for (size_t len = 0; len < 70; len += 23) {
		const char *text =
		    "a text of more than sixty-nine bytes, of which the first so many are taken and sealed";

		str_clear(&sealed);
		str_clear(&again);
		seal_close(s, "context", text, len, &sealed);
		seal_close(s, "context", text, len, &again);
		CU_ASSERT_EQUAL(sealed.len, len + SEAL_OVERHEAD);
		CU_ASSERT_NOT_EQUAL(memcmp(sealed.data, again.data, sealed.len), 0);
		str_clear(&out);
		str_adds(&out, "before ");
		CU_ASSERT_TRUE(seal_open(s, "context", sealed.data, sealed.len, &out));
		CU_ASSERT_EQUAL(out.len, 7 + len);
		CU_ASSERT_EQUAL(memcmp(out.data + 7, text, len), 0);
		str_clear(&out);
		CU_ASSERT_FALSE(seal_open(other, "context", sealed.data, sealed.len, &out));
		CU_ASSERT_FALSE(seal_open(s, "contexu", sealed.data, sealed.len, &out));
		CU_ASSERT_FALSE(seal_open(s, "", sealed.data, sealed.len, &out));
		for (size_t i = 0; i < sealed.len; i++) {
			CU_ASSERT_FALSE(seal_open(s, "context", sealed.data, i, &out)); /* cut */
			sealed.data[i] ^= 1;
			CU_ASSERT_FALSE(seal_open(s, "context", sealed.data, sealed.len, &out));
			sealed.data[i] ^= 1;
		}
		str_addc(&sealed, 'x');
		CU_ASSERT_FALSE(seal_open(s, "context", sealed.data, sealed.len, &out));
		CU_ASSERT_EQUAL(out.len, 0);
	}
	str_fini(&sealed);
	str_fini(&again);
	str_fini_secret(&out);
	seal_free(&s);
	seal_free(&other);
	CU_ASSERT_PTR_NULL(s);
}

static void test_times(void)
{
	struct shared *s = make("0123456789abcdef");
	struct what since = usual;
	uint64_t age = 99;

	CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	put(s, &usual, NOW, AUTH_OK, "/home/anna");
	CU_ASSERT_EQUAL(items[0].seconds, 1060);
	CU_ASSERT_EQUAL(get(s, &usual, NOW, &age), SHARED_FRESH);
	CU_ASSERT_EQUAL(age, 1); /* 0 would mean: just asked */
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 59, &age), SHARED_FRESH);
	CU_ASSERT_EQUAL(age, 59);
	/* whatever memcached says about its age */
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 60, &age), SHARED_OLD);
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 999, &age), SHARED_OLD);
	CU_ASSERT_EQUAL(age, 999);
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 1000, NULL), SHARED_NONE);
	/* clocks of two nodes */
	CU_ASSERT_EQUAL(get(s, &usual, NOW - SHARED_SKEW, &age), SHARED_FRESH);
	CU_ASSERT_EQUAL(age, 1);
	CU_ASSERT_EQUAL(get(s, &usual, NOW - SHARED_SKEW - 1, NULL), SHARED_NONE);
	/* flushed at, or just before */
	since.since = NOW;
	CU_ASSERT_EQUAL(get(s, &since, NOW, NULL), SHARED_NONE);
	since.since = NOW - 1;
	CU_ASSERT_EQUAL(get(s, &since, NOW, NULL), SHARED_FRESH);
	/* an operator asks the directory */
	nget = 0;
	since.since = JOB_SINCE_NOW;
	CU_ASSERT_EQUAL(get(s, &since, NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(nget, 0);
	CU_ASSERT_EQUAL(ndistrust, 0);
	shared_free(&s);
	CU_ASSERT_PTR_NULL(s);
	empty();
}

static void test_questions(void)
{
	static const struct what others[] = {
		{ "imap", "anna@example.com", "Secret", 1, 0 },
		{ "imap", "anna@example.com", "", 1, 0 },
		{ "imap", "anna@example.com", "secrets", 1, 0 },
		{ "pop3", "anna@example.com", "secret", 1, 0 },
		{ "imap", "anna@example.con", "secret", 1, 0 },
		{ "imap", "anna@example.com", "secret", 0, 0 },
		{ "ima", "panna@example.com", "secret", 1, 0 },
		{ "imap", "", "secret", 1, 0 },
		{ "imap", "anna@example.com\r\nset x 0 0 1\r\n", "secret", 1, 0 },
	};
	struct shared *s = make("0123456789abcdef");

	put(s, &usual, NOW, AUTH_OK, "/home/anna");
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		CU_ASSERT_EQUAL(get(s, &others[i], NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(ndistrust, 0);
	/* only right passwords are stored, */
	for (int r = 0; r < AUTH_RESULT_COUNT; r++)
		if (r != AUTH_OK)
			put(s, &others[0], NOW, (enum auth_result)r, "/home/anna");
	CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_FRESH);
	CU_ASSERT_EQUAL(nitems, 1);
	/* a new password replaces the old one */
	put(s, &others[0], NOW, AUTH_OK, "/home/anna");
	CU_ASSERT_EQUAL(nitems, 1);
	CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(get(s, &others[0], NOW, NULL), SHARED_FRESH);
	shared_free(&s);
	empty();
}

/* Nodes with different secrets, or different directory settings, share nothing. */
static void test_pools(void)
{
	struct shared *s = make("0123456789abcdef"), *other = make("0123456789abcdeg"), *changed;
	struct settings *set = make_settings("0123456789abcdef");

	unit_set(&set->authpgsqlrc_PGSQL_USER_TABLE, "another_table");
	changed = shared_new(set, &ops, false);
	put(s, &usual, NOW, AUTH_OK, "/home/anna");
	CU_ASSERT_EQUAL(get(other, &usual, NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(get(changed, &usual, NOW, NULL), SHARED_NONE);
	/* it does not open under the other key */
	put(other, &usual, NOW, AUTH_OK, "/home/anna");
	CU_ASSERT_EQUAL_FATAL(nitems, 2);
	str_clear(&items[1].value);
	str_add(&items[1].value, items[0].value.data, items[0].value.len);
	CU_ASSERT_EQUAL(get(other, &usual, NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(ndistrust, 1);
	shared_free(&changed);
	settings_free(&set);
	/* settings that do not affect the answers of directories make no difference */
	set = make_settings("0123456789abcdef");
	set->authdaemonrc_daemons = 77;
	set->authdaemonrc_AUTH_CACHE_TTL = 30;
	unit_set(&set->node_RUNDIR, "/run/elsewhere");
	changed = shared_new(set, &ops, false);
	CU_ASSERT_EQUAL(get(changed, &usual, NOW, NULL), SHARED_FRESH);
	CU_ASSERT_EQUAL(get(changed, &usual, NOW + 30, NULL), SHARED_OLD);
	shared_free(&changed);
	settings_free(&set);
	shared_free(&s);
	shared_free(&other);
	empty();
}

static bool contains(const struct str *value, const char *text)
{
	return memmem(value->data, value->len, text, strlen(text)) != NULL;
}

/* What a stranger sees, and can do. */
static void test_stranger(void)
{
	static const struct what berta = { "imap", "berta@example.com", "secret", 1, 0 };
	static const char *const garbage[] = { "", "x", "STORED\r\n", "VALUE x 0 1\r\ny\r\nEND\r\n" };
	struct shared *s = make("0123456789abcdef");
	struct str first = STR_INIT;

	put(s, &usual, NOW, AUTH_OK, "/home/anna");
	put(s, &berta, NOW, AUTH_OK, "/home/somewhere/else/whose/name/is/longer");
	CU_ASSERT_EQUAL_FATAL(nitems, 2);
	/* nothing is revealed: no name, password, hash, host or size */
	for (unsigned i = 0; i < 2; i++) {
		static const char *const words[] = { "anna", "berta", "example", "secret", "HASHHASH", "CLEARCLEAR",
			"mailhost", "home" };

		for (size_t k = 0; k < ARRAY_LEN(words); k++)
			CU_ASSERT_FALSE(contains(&items[i].value, words[k]) || strstr(items[i].key, words[k]) != NULL);
	}
	CU_ASSERT_EQUAL(items[0].value.len, items[1].value.len);
	CU_ASSERT_EQUAL(items[0].value.len % 512, SEAL_OVERHEAD);
	/* the values of two names swapped */
	str_add(&first, items[0].value.data, items[0].value.len);
	str_clear(&items[0].value);
	str_add(&items[0].value, items[1].value.data, items[1].value.len);
	CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	CU_ASSERT_EQUAL(get(s, &berta, NOW, NULL), SHARED_FRESH);
	CU_ASSERT_EQUAL(ndistrust, 1);
	/* garbage; single bytes changed; cut */
	for (size_t i = 0; i < ARRAY_LEN(garbage); i++) {
		str_clear(&items[0].value);
		str_adds(&items[0].value, garbage[i]);
		CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	}
	for (size_t i = 0; i < first.len; i++) {
		str_clear(&items[0].value);
		str_add(&items[0].value, first.data, first.len);
		items[0].value.data[i] ^= 0x40;
		CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
		items[0].value.data[i] ^= 0x40;
		items[0].value.len = i;
		CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	}
	/* an old value put back */
	str_clear(&items[0].value);
	str_add(&items[0].value, first.data, first.len);
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 59, NULL), SHARED_FRESH);
	CU_ASSERT_EQUAL(get(s, &usual, NOW + 1000, NULL), SHARED_NONE);
	str_fini(&first);
	shared_free(&s);
	empty();
}

/* If a driver gets the client's address, a verdict is valid for that address only; the port does not matter. */
static void test_by_client(void)
{
	struct settings *set = make_settings("0123456789abcdef");
	struct shared *s = shared_new(set, &ops, true);
	static const char *const ip[] = { "192.0.2.1", "192.0.2.2", "192.0.2.1" };

	for (int i = 0; i < 3; i++) {
		CU_ASSERT_TRUE(net_addr_parse(&client, ip[i], (uint16_t)(i + 1)));
		if (i == 0)
			put(s, &usual, NOW, AUTH_OK, "/home/anna");
		CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), i == 1 ? SHARED_NONE : SHARED_FRESH);
	}
	memset(&client, 0, sizeof(client));
	CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_NONE);
	shared_free(&s);
	settings_free(&set);
	empty();
}

/* The sizes of records are rounded to the same steps. */
static void test_sizes(void)
{
	struct shared *s = make("0123456789abcdef");
	char home[1400];

	for (size_t len = 0; len < sizeof(home) - 1; len += 7) {
		memset(home, 'x', len);
		home[len] = '\0';
		put(s, &usual, NOW, AUTH_OK, home);
		CU_ASSERT_EQUAL(items[0].value.len % 512, SEAL_OVERHEAD);
		CU_ASSERT_EQUAL(get(s, &usual, NOW, NULL), SHARED_FRESH);
	}
	shared_free(&s);
	empty();
}

static void test_servers(void)
{
	static const struct {
		const char *list;
		int got;
		const char *host;
		uint16_t port;
	} t[] = {
		{ "", 0, "", 0 },
		{ "127.0.0.1", 1, "127.0.0.1", 0 },
		{ "mc.example.com:11211", 1, "mc.example.com", 11211 },
		{ "[2001:db8::1]:11311", 1, "2001:db8::1", 11311 },
		{ "[2001:db8::1]", 1, "2001:db8::1", 0 },
		{ "2001:db8::1", 1, "2001:db8::1", 0 },
		{ "/run/memcached.sock", 1, "/run/memcached.sock", 0 },
		{ "/run/a:1", 1, "/run/a:1", 0 },
		{ "host:", -1, "", 0 },
		{ "host:0", -1, "", 0 },
		{ "host:65536", -1, "", 0 },
		{ "host:x", -1, "", 0 },
		{ ":11211", -1, "", 0 },
		{ "[::1", -1, "", 0 },
		{ "[::1]x", -1, "", 0 },
		{ "[]:1", -1, "", 0 },
		{ "[::1]:", -1, "", 0 },
	};
	const char *p = "a:1 [::1]:2 /s";
	char host[SETTINGS_HOST_MAX], *longer;
	uint16_t port;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		const char *list = t[i].list;

		CU_ASSERT_EQUAL(settings_server_next(&list, host, &port), t[i].got);
		CU_ASSERT_STRING_EQUAL(host, t[i].host);
		CU_ASSERT_EQUAL(port, t[i].port);
		CU_ASSERT_EQUAL(*list, '\0');
	}
	CU_ASSERT(settings_server_next(&p, host, &port) == 1 && strcmp(host, "a") == 0 && port == 1);
	CU_ASSERT(settings_server_next(&p, host, &port) == 1 && strcmp(host, "::1") == 0 && port == 2);
	CU_ASSERT(settings_server_next(&p, host, &port) == 1 && strcmp(host, "/s") == 0 && port == 0);
	CU_ASSERT_EQUAL(settings_server_next(&p, host, &port), 0);
	longer = mem_alloc(SETTINGS_HOST_MAX + 1);
	memset(longer, 'x', SETTINGS_HOST_MAX);
	for (int path = 0; path < 2; path++) {
		p = longer;
		longer[0] = path ? '/' : 'x';
		longer[path ? SETTINGS_SOCKET_PATH_MAX : SETTINGS_HOST_MAX] = '\0';
		CU_ASSERT_EQUAL(settings_server_next(&p, host, &port), -1);
	}
	mem_free(&longer);
}

static const struct unit_case cases[] = {
	{ "seal", test_seal },
	{ "times", test_times },
	{ "questions", test_questions },
	{ "pools", test_pools },
	{ "a stranger", test_stranger },
	{ "by client", test_by_client },
	{ "sizes", test_sizes },
	{ "servers", test_servers },
	{ NULL, NULL },
};
UNIT_MAIN("shared", cases)
