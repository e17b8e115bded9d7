/* The keys that the nodes of a pool share: the first one signs, all of them verify. */
#ifndef NODE_POOL_KEYS_H
#define NODE_POOL_KEYS_H

#include "lib/mac.h"
#include "settings/pool_secret.h"

struct pool_keys {
	size_t n;
	struct mac *key[POOL_SECRETS_MAX];
};

/* Of the lines SECRETS (settings/pool_secret.h); NULL: there are none. Free with pool_keys_free(). */
struct pool_keys *pool_keys_new(const char *secrets);
/* Wipes them; *K may be NULL. */
void pool_keys_free(struct pool_keys **k);
/* The key that signs; NULL if K is. */
struct mac *pool_keys_first(const struct pool_keys *k);
/* MAC is that of the LEN bytes at P under one of the keys; constant time. K may be NULL: never. */
bool pool_keys_verify(const struct pool_keys *k, const void *p, size_t len, const uint8_t mac[MAC_LEN]);

#endif
