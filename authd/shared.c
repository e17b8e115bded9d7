/* Proven passwords that the nodes of a pool share: sealed here, kept by a store outside. */
#include "authd/shared.h"

#include <string.h>

#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/seal.h"
#include "settings/pool_secret.h"

enum { KEEP_LONGER = 60 /* seconds: the time inside decides, not the clock of memcached */ };
enum { KEY_LEN = 2 * MAC_LEN, PAD = 512 /* the size of a value must not tell whose it is */ };

struct shared {
	const struct store_ops *ops;
	void *store;
	uint64_t ttl, stale;
	bool by_client;
	struct mac *keys, *passwords;
	struct seal *values;
	uint8_t directory[SETTINGS_DIGEST_LEN]; /* digest of the directories' settings; part of each key */
};

static void derive(struct mac *pool, const char *purpose, uint8_t key[MAC_LEN])
{
	mac_compute(pool, purpose, strlen(purpose), key);
}

static struct mac *derived_mac(struct mac *pool, const char *purpose)
{
	uint8_t key[MAC_LEN];
	struct mac *m;

	derive(pool, purpose, key);
	m = mac_new(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	return m;
}

struct shared *shared_new(const struct settings *set, const struct store_ops *ops, bool by_client)
{
	struct shared *s = mem_alloc(sizeof(*s));
	const char *secrets = set->pool_secret;
	size_t len = 0;
	/* The one that signs: while it is replaced, nodes miss each other's entries, which is harmless. */
	const char *first = pool_secret_next(&secrets, &len);
	struct mac *pool = mac_new(first, len);
	uint8_t key[MAC_LEN];

	s->ops = ops;
	s->by_client = by_client;
	s->store =
	    ops->open(set->authdaemonrc_AUTH_CACHE_MEMCACHED, (unsigned)set->authdaemonrc_AUTH_CACHE_MEMCACHED_TIMEOUT);
	s->ttl = (uint64_t)set->authdaemonrc_AUTH_CACHE_TTL;
	s->stale = (uint64_t)set->authdaemonrc_AUTH_CACHE_STALE;
	s->keys = derived_mac(pool, "waypost shared verdicts: names");
	s->passwords = derived_mac(pool, "waypost shared verdicts: passwords");
	derive(pool, "waypost shared verdicts: values", key);
	s->values = seal_new(key);
	mem_wipe(key, sizeof(key));
	settings_directories_digest(set, s->directory);
	mac_free(&pool);
	return s;
}

void shared_free(struct shared **sp)
{
	struct shared *s = *sp;

	if (s == NULL)
		return;
	s->ops->close(s->store);
	mac_free(&s->keys);
	mac_free(&s->passwords);
	seal_free(&s->values);
	mem_wipe(s, sizeof(*s));
	mem_free(sp);
}

/* The key of JOB's account, as hex digits. Names hold no NUL byte: one after each makes it unambiguous. */
static void make_key(const struct shared *s, const struct job *job, char key[KEY_LEN + 1])
{
	struct str text = STR_INIT;
	char client[NET_IP_TEXT_MAX];
	uint8_t mac[MAC_LEN];

	str_add(&text, s->directory, sizeof(s->directory));
	str_addc(&text, (char)job->from);
	str_add(&text, job->service, strlen(job->service) + 1);
	str_add(&text, job->user, strlen(job->user) + 1);
	if (s->by_client)
		str_adds(&text, net_addr_text(&job->client, client));
	mac_compute(s->keys, text.data, text.len, mac);
	str_fini(&text);
	hex_text(key, mac, sizeof(mac));
}

/* The digest of a password under KEY: equal passwords of two accounts differ in it. */
static void make_digest(const struct shared *s, const char *key, const char *password, uint8_t digest[MAC_LEN])
{
	struct str text = STR_INIT;

	str_add(&text, key, KEY_LEN);
	str_adds(&text, password);
	mac_compute(s->passwords, text.data, text.len, digest);
	str_fini_secret(&text);
}

/* Writes what is sealed, in the format of messages between our processes. */
static void write_entry(struct msgw *w, uint64_t asked, const uint8_t digest[MAC_LEN], const struct job_done *done)
{
	static const uint8_t zeros[PAD];

	msgw_begin(w, 1);
	msgw_u64(w, asked);
	msgw_bytes(w, digest, MAC_LEN);
	msgw_u8(w, done->pos);
	account_write(w, &done->account, false);
	msgw_bytes(w, zeros, PAD - 1 - (w->len + sizeof(uint32_t) + PAD - 1) % PAD);
}

/* Reads an entry into DONE (the caller frees its account); false if its format is another. */
static bool read_entry(struct msgr *r, uint64_t *asked, uint8_t digest[MAC_LEN], struct job_done *done)
{
	const void *p;
	size_t len;

	*asked = msgr_u64(r);
	p = msgr_bytes(r, MAC_LEN, &len);
	if (len == MAC_LEN)
		memcpy(digest, p, MAC_LEN);
	r->bad = r->bad || len != MAC_LEN || r->type != 1;
	done->pos = msgr_u8(r);
	account_fini(&done->account);
	account_read(r, &done->account);
	msgr_bytes(r, PAD, &len);
	return msgr_end(r);
}

/* How old an entry is at NOW, in *AGE; false if it does not count. */
static bool entry_age(const struct job *job, uint64_t asked, uint64_t now, uint64_t *age)
{
	if (asked > now + SHARED_SKEW || asked <= job->since)
		return false;
	*age = now > asked ? now - asked : 0;
	return true;
}

static enum shared_found judge(const struct shared *s, const struct job *job, const char *key, uint64_t now,
    const struct str *plain, struct job_done *done)
{
	uint8_t digest[MAC_LEN] = { 0 }, ours[MAC_LEN];
	uint64_t asked, age;
	struct msgr r;

	msgr_begin(&r, plain->data, plain->len);
	if (!read_entry(&r, &asked, digest, done) || !entry_age(job, asked, now, &age))
		return SHARED_NONE;
	make_digest(s, key, job->password, ours);
	if (!mem_equal_secret(digest, MAC_LEN, ours, MAC_LEN))
		return SHARED_NONE;
	done->answered = true;
	done->result = AUTH_OK;
	done->age = MAX(age, 1); /* 0 would mean that the directory was asked just now */
	if (age < s->ttl)
		return SHARED_FRESH;
	return age < s->stale ? SHARED_OLD : SHARED_NONE;
}

enum shared_found shared_get(struct shared *s, const struct job *job, uint64_t now, struct job_done *done)
{
	struct str value = STR_INIT, plain = STR_INIT;
	enum shared_found found = SHARED_NONE;
	char key[KEY_LEN + 1];

	if (job->kind != JOB_VERIFY || job->since == JOB_SINCE_NOW)
		return SHARED_NONE;
	make_key(s, job, key);
	if (s->ops->get(s->store, key, &value)) {
		if (seal_open(s->values, key, value.data, value.len, &plain))
			found = judge(s, job, key, now, &plain, done);
		else
			s->ops->distrust(s->store, key);
	}
	str_fini(&value);
	str_fini_secret(&plain);
	return found;
}

void shared_put(struct shared *s, const struct job *job, uint64_t now, const struct job_done *done)
{
	static struct msgw w;
	struct str value = STR_INIT;
	char key[KEY_LEN + 1];
	uint8_t digest[MAC_LEN];

	if (job->kind != JOB_VERIFY || !done->answered || done->result != AUTH_OK || done->age != 0)
		return;
	make_key(s, job, key);
	make_digest(s, key, job->password, digest);
	write_entry(&w, now, digest, done);
	if (w.overflow)
		return;
	seal_close(s->values, key, w.buf, w.len, &value);
	mem_wipe(w.buf, w.len);
	s->ops->set(s->store, key, value.data, value.len, (unsigned)MAX(s->ttl, s->stale) + KEEP_LONGER);
	str_fini(&value);
}
