/* The networks of an access file in a hash table, searched from the longest prefix to the shortest. */
#include "login/access.h"

#include <string.h>
#include <uthash.h>

#include "lib/mem.h"

enum { BITS_MAX = 128 };

struct entry {
	struct net_addr network; /* the key; its port is the number of bits */
	bool deny;
	UT_hash_handle hh;
};

struct access {
	struct entry *entries;
	bool has[2][BITS_MAX + 1]; /* some network of IPv4, IPv6 has so many bits */
};

static bool *lengths(struct access *a, uint16_t family)
{
	return a->has[family == AF_INET6];
}

static struct net_addr network_of(const struct net_addr *a, unsigned bits)
{
	struct net_addr n;

	memset(&n, 0, sizeof(n));
	n.family = a->family;
	n.port = (uint16_t)bits;
	memcpy(n.ip, a->ip, bits / 8);
	if (bits % 8 != 0)
		n.ip[bits / 8] = a->ip[bits / 8] & (uint8_t)(0xff00 >> bits % 8);
	return n;
}

static struct entry *find(const struct access *a, const struct net_addr *network)
{
	struct entry *e;

	_Static_assert(sizeof(*network) == 24, "a key has no padding");
	HASH_FIND(hh, a->entries, network, sizeof(*network), e);
	return e;
}

static void add(struct access *a, const char *network, bool deny)
{
	struct net_addr base, key;
	unsigned bits;
	struct entry *e;

	if (!net_network_parse(network, &base, &bits))
		return; /* settings/access_file.c writes none like that */
	key = network_of(&base, bits);
	if ((e = find(a, &key)) == NULL) {
		e = mem_alloc(sizeof(*e));
		e->network = key;
		HASH_ADD(hh, a->entries, network, sizeof(e->network), e);
		lengths(a, key.family)[bits] = true;
	}
	e->deny = deny;
}

struct access *access_new(const char *rules)
{
	struct access *a;

	if (rules[0] == '\0')
		return NULL;
	a = mem_alloc(sizeof(*a));
	for (const char *p = rules; *p != '\0'; p += *p == '\n') {
		size_t len = strcspn(p, "\n"), word = strcspn(p, " \n");
		char *network = mem_memdup(p + word, len - word);

		add(a, network + (*network == ' '), word == 4 && memcmp(p, "deny", 4) == 0);
		mem_free(&network);
		p += len;
	}
	return a;
}

void access_free(struct access **ap)
{
	struct entry *e, *next;

	if (*ap == NULL)
		return;
	HASH_ITER(hh, (*ap)->entries, e, next)
	{
		HASH_DEL((*ap)->entries, e);
		mem_free(&e);
	}
	mem_free(ap);
}

bool access_denies(const struct access *a, const struct net_addr *client)
{
	const bool *has;

	if (a == NULL || client->family == 0)
		return false;
	has = a->has[client->family == AF_INET6];
	for (unsigned bits = client->family == AF_INET6 ? 128 : 32;; bits--) {
		if (has[bits]) {
			const struct net_addr n = network_of(client, bits);
			const struct entry *e = find(a, &n);

			if (e != NULL)
				return e->deny;
		}
		if (bits == 0)
			return false;
	}
}
