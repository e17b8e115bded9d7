/* The module of authd/store.h on memcached, by libmemcached. The text protocol is used: keys are letters and digits, so
 * nothing can be slipped into it, and memcached has declared its binary protocol out of date.
 * Each server has a handle of its own, and each key one server: which one is down, and for how long it is left alone,
 * is decided here, not by the library, whose rules for dead servers differ between its versions. */
#include <libmemcached/memcached.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "authd/store.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/settings.h"

enum { PAUSE_MS = 1000, PAUSE_MAX_MS = 30000, SECONDS_MAX = 30 * 86400 /* more would be a date for memcached */ };

struct server {
	char *name; /* as in the settings */
	memcached_st *handle;
	bool down, strange; /* told to the log */
	unsigned pause;
	int64_t retry_at;   /* not before this time, ms */
};

struct store {
	unsigned n;
	struct server server[SETTINGS_SERVERS_MAX];
};

static memcached_st *make_handle(const char *host, uint16_t port, unsigned timeout_ms)
{
	memcached_st *m = memcached_create(NULL);
	const struct { memcached_behavior_t what; uint64_t value; } settings[] = {
		{ MEMCACHED_BEHAVIOR_NO_BLOCK, 1 }, { MEMCACHED_BEHAVIOR_TCP_NODELAY, 1 }, { MEMCACHED_BEHAVIOR_TCP_KEEPALIVE, 1 },
		{ MEMCACHED_BEHAVIOR_CONNECT_TIMEOUT, timeout_ms }, { MEMCACHED_BEHAVIOR_POLL_TIMEOUT, timeout_ms },
		/* After a failure it tries again whenever it is asked: we ask when it is time. */
		{ MEMCACHED_BEHAVIOR_RETRY_TIMEOUT, 0 }, { MEMCACHED_BEHAVIOR_DEAD_TIMEOUT, 0 },
	};
	memcached_return_t rc;

	if (m == NULL)
		return NULL;
	rc = host[0] == '/' ? memcached_server_add_unix_socket(m, host) :
	    memcached_server_add(m, host, port != 0 ? port : MEMCACHED_DEFAULT_PORT);
	for (size_t i = 0; i < ARRAY_LEN(settings); i++)
		memcached_behavior_set(m, settings[i].what, settings[i].value); /* a refused one is its default */
	if (memcached_success(rc))
		return m;
	memcached_free(m);
	return NULL;
}

static void store_close(void *ctx)
{
	struct store *st = ctx;

	for (unsigned i = 0; i < st->n; i++) {
		memcached_free(st->server[i].handle);
		mem_free(&st->server[i].name);
	}
	mem_free(&st);
}

static void *store_open(const char *servers, unsigned timeout_ms)
{
	struct store *st = mem_alloc(sizeof(*st));
	char host[SETTINGS_HOST_MAX];
	uint16_t port;

	for (const char *p = servers; st->n < SETTINGS_SERVERS_MAX && settings_server_next(&p, host, &port) == 1;) {
		struct server *s = &st->server[st->n];

		if ((s->handle = make_handle(host, port, timeout_ms)) == NULL) {
			log_error("memcached: %s cannot be used", host);
			continue;
		}
		s->name = port != 0 ? mem_printf("%s:%u", host, port) : mem_strdup(host);
		st->n++;
	}
	return st;
}

/* The server of KEY: the one whose name and KEY together have the highest hash, so that one server more or less moves
 * no key between the others. */
static struct server *server_of(struct store *st, const char *key)
{
	struct server *best = NULL;
	uint64_t most = 0;

	for (unsigned i = 0; i < st->n; i++) {
		uint64_t hash = 14695981039346656037U; /* FNV-1a */

		for (const char *p = st->server[i].name; *p != '\0'; p++)
			hash = (hash ^ (uint8_t)*p) * 1099511628211U;
		for (const char *p = key; *p != '\0'; p++)
			hash = (hash ^ (uint8_t)*p) * 1099511628211U;
		if (best == NULL || hash > most) {
			best = &st->server[i];
			most = hash;
		}
	}
	return best;
}

/* The server of KEY, if it may be asked now. */
static struct server *usable(struct store *st, const char *key)
{
	struct server *s = server_of(st, key);

	return s != NULL && clock_ms() >= s->retry_at ? s : NULL;
}

static void answered(struct server *s)
{
	if (s->down)
		log_info("memcached: %s answers again", s->name);
	s->down = false;
	s->pause = 0;
}

static void failed(struct server *s, memcached_return_t rc)
{
	int error = memcached_last_error_errno(s->handle);

	if (!s->down)
		log_warn("memcached: %s does not answer: %s; logins go on without it", s->name,
		    error != 0 ? strerror(error) : memcached_strerror(s->handle, rc));
	s->down = true;
	s->pause = s->pause == 0 ? PAUSE_MS : MIN(s->pause * 2, PAUSE_MAX_MS);
	/* The auth workers of the pool shall not all come back at the same moment. */
	s->retry_at = clock_ms() + s->pause - (int64_t)((unsigned)getpid() * 2654435761U % (s->pause / 4));
	memcached_quit(s->handle); /* a late answer must not be taken for another one's */
}

static bool store_get(void *ctx, const char *key, struct str *out)
{
	struct server *s = usable(ctx, key);
	memcached_return_t rc;
	uint32_t flags;
	size_t len = 0;
	char *value;

	if (s == NULL)
		return false;
	value = memcached_get(s->handle, key, strlen(key), &len, &flags, &rc);
	if (rc == MEMCACHED_SUCCESS || rc == MEMCACHED_NOTFOUND)
		answered(s);
	else
		failed(s, rc);
	if (value == NULL || rc != MEMCACHED_SUCCESS || len > STORE_VALUE_MAX) {
		free(value);
		return false;
	}
	str_add(out, value, len);
	free(value);
	return true;
}

static void store_set(void *ctx, const char *key, const void *p, size_t len, unsigned seconds)
{
	struct server *s = usable(ctx, key);
	memcached_return_t rc;

	if (s == NULL)
		return;
	rc = memcached_set(s->handle, key, strlen(key), p, len, (time_t)MIN(seconds, SECONDS_MAX), 0);
	if (memcached_success(rc) || rc == MEMCACHED_NOTSTORED || rc == MEMCACHED_E2BIG || rc == MEMCACHED_SERVER_MEMORY_ALLOCATION_FAILURE)
		answered(s); /* that it has no room is its business */
	else
		failed(s, rc);
}

static void store_distrust(void *ctx, const char *key)
{
	struct server *s = server_of(ctx, key);

	if (s == NULL)
		return;
	if (!s->strange)
		log_warn("memcached: %s gives out values that no node of this pool put there under that key; they are left out. Keep "
		    "strangers away from it", s->name);
	s->strange = true;
	memcached_quit(s->handle);
}

static const struct store_ops ops = {
	.open = store_open, .close = store_close, .get = store_get, .set = store_set, .distrust = store_distrust,
};
STORE_MODULE(ops);
