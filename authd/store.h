/* An external store of bytes under keys, for auth workers: memcached (authd/memcached.c). Others who can reach it can
 * read, change and delete everything, so callers seal what they store (lib/seal.h). No call waits longer than the
 * timeout, except for looking up a host name; a server that is slow or down is not used for a while. */
#ifndef AUTHD_STORE_H
#define AUTHD_STORE_H

#include "lib/str.h"

struct store_ops {
	/* SERVERS: as of settings_server_next(), valid. Connects to nothing yet. Never NULL. */
	void *(*open)(const char *servers, unsigned timeout_ms);
	void (*close)(void *ctx);
	/* Appends the value of KEY (letters and digits, at most 250) to OUT. False: there is none, or no answer. */
	bool (*get)(void *ctx, const char *key, struct str *out);
	/* Stores LEN bytes for about SECONDS, if it can. */
	void (*set)(void *ctx, const char *key, const void *p, size_t len, unsigned seconds);
	/* The last value was not one of ours, as on a connection out of step, which is closed. */
	void (*distrust)(void *ctx, const char *key);
};

/* In memcached. */
extern const struct store_ops memcached_store;

#endif
