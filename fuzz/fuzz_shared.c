/* Values from memcached: as an attacker stores them, and beyond that, sealed as if by a node. */
#include <string.h>

#include "authd/shared.h"
#include "lib/die.h"
#include "lib/mem.h"
#include "lib/seal.h"

#define SECRET "0123456789abcdef"

static const uint8_t *bytes;
static size_t nbytes;
static struct seal *seal; /* NULL: the bytes as they are */
static struct seal *values;

static void *store_open(const char *servers UNUSED, unsigned timeout_ms UNUSED)
{
	return NULL;
}

static void store_close(void *ctx UNUSED) { }

static bool store_get(void *ctx UNUSED, const char *key, struct str *out)
{
	if (seal != NULL)
		seal_close(seal, key, bytes, nbytes, out);
	else
		str_add(out, bytes, nbytes);
	return true;
}

static void store_set(void *ctx UNUSED, const char *key UNUSED, const void *p UNUSED, size_t len UNUSED,
    unsigned seconds UNUSED)
{
}

static void store_distrust(void *ctx UNUSED, const char *key UNUSED)
{
	DIE_IF(seal != NULL);
}

static const struct store_ops ops = {
	.open = store_open,
	.close = store_close,
	.get = store_get,
	.set = store_set,
	.distrust = store_distrust,
};

static void set_text(char **text, const char *value)
{
	mem_free_secret(text);
	*text = mem_strdup(value);
}

static struct shared *make(void)
{
	struct settings *set = settings_defaults();
	struct mac *pool = mac_new(SECRET, strlen(SECRET));
	static const char purpose[] = "waypost shared verdicts: values";
	struct shared *s;
	uint8_t key[MAC_LEN];

	set_text(&set->pool_secret, SECRET);
	s = shared_new(set, &ops, false);
	settings_free(&set);
	mac_compute(pool, purpose, strlen(purpose), key);
	mac_free(&pool);
	values = seal_new(key);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct shared *shared;
	struct job job;

	if (shared == NULL)
		shared = make();
	bytes = data;
	nbytes = size;
	job_init(&job, 1, JOB_VERIFY);
	set_text(&job.user, "anna@example.com");
	set_text(&job.password, "secret");
	for (int sealed = 0; sealed < 2; sealed++) {
		struct job_done done;

		seal = sealed == 1 ? values : NULL;
		job_done_init(&done, 1, JOB_VERIFY);
		/* The digest of a password cannot be guessed. */
		DIE_IF(shared_get(shared, &job, 1700000000, &done) != SHARED_NONE);
		job_done_fini(&done);
	}
	job_fini(&job);
	return 0;
}
