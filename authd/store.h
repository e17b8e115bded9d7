/* A place outside that keeps bytes for a while under keys, as auth workers use it: memcached (authd/memcached.c).
 * Whoever else can reach that place can read, change and delete everything: callers seal what they give it
 * (lib/seal.h). No call waits longer than the timeout, but for looking up a host name; a server that lets its
 * callers wait, or is gone, is left alone for a while. */
#ifndef AUTHD_STORE_H
#define AUTHD_STORE_H

#include "lib/str.h"

struct store_ops {
	/* SERVERS: as of settings_server_next(), valid. Connects to nothing yet. Never NULL. */
	void *(*open)(const char *servers, unsigned timeout_ms);
	void (*close)(void *ctx);
	/* Appends the value of KEY (letters and digits, at most 250) to OUT. False: there is none, or no answer. */
	bool (*get)(void *ctx, const char *key, struct str *out);
	/* Keeps LEN bytes for about SECONDS, if it can. */
	void (*set)(void *ctx, const char *key, const void *p, size_t len, unsigned seconds);
	/* The last value was not one of ours, as on a connection out of step. It is closed. */
	void (*distrust)(void *ctx, const char *key);
};

/* In memcached. */
extern const struct store_ops memcached_store;

#endif
