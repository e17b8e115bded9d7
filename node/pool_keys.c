/* The keys that the nodes of a pool share. */
#include "node/pool_keys.h"

#include "lib/mem.h"

struct pool_keys *pool_keys_new(const char *secrets)
{
	struct pool_keys *k = NULL;
	const char *secret;
	size_t len;

	while ((secret = pool_secret_next(&secrets, &len)) != NULL) {
		if (k == NULL)
			k = mem_alloc(sizeof(*k));
		if (k->n < POOL_SECRETS_MAX)
			k->key[k->n++] = mac_new(secret, len);
	}
	return k;
}

void pool_keys_free(struct pool_keys **k)
{
	for (size_t i = 0; *k != NULL && i < (*k)->n; i++)
		mac_free(&(*k)->key[i]);
	mem_free(k);
}

struct mac *pool_keys_first(const struct pool_keys *k)
{
	return k != NULL ? k->key[0] : NULL;
}

bool pool_keys_verify(const struct pool_keys *k, const void *p, size_t len, const uint8_t mac[MAC_LEN])
{
	uint8_t ours[MAC_LEN];
	bool same = false;

	for (size_t i = 0; k != NULL && i < k->n && !same; i++) {
		mac_compute(k->key[i], p, len, ours);
		same = mem_equal_secret(ours, sizeof(ours), mac, MAC_LEN);
	}
	mem_wipe(ours, sizeof(ours));
	return same;
}
