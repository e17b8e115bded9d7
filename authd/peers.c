#include "authd/peers.h"

#include <string.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/str.h"

enum { NAMES_MAX = 10000, DOWN_MAX = 10000 };
#define RETRY_SECONDS 5 /* after a failed look-up nobody asks again for so long */

struct peer_name {
	char host[RESOLVER_HOST_MAX];
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;
	enum name_answer last; /* of the last look-up */
	bool asked;            /* one is under way, */
	double since;          /* since then */
	double fresh_until;
	UT_hash_handle hh;
};

struct addr_key { uint32_t family, scope; uint32_t port; uint8_t ip[16]; };

struct peer_down {
	struct addr_key key;
	struct net_addr addr;
	double until;
	UT_hash_handle hh;
};

struct peers {
	peers_ask_fn *ask;
	void *arg;
	double ttl, down_time, patience;
	struct peer_name *names;
	struct peer_down *down;
};

struct peers *peers_new(peers_ask_fn *ask, void *arg)
{
	struct peers *p = mem_alloc(sizeof(*p));

	p->ask = ask;
	p->arg = arg;
	return p;
}

static void drop_down(struct peers *p, struct peer_down *d)
{
	HASH_DEL(p->down, d);
	mem_free(&d);
}

static void drop_name(struct peers *p, struct peer_name *name)
{
	HASH_DEL(p->names, name);
	mem_free(&name);
}

void peers_free(struct peers **p)
{
	if (*p == NULL)
		return;
	while ((*p)->names != NULL)
		drop_name(*p, (*p)->names);
	while ((*p)->down != NULL)
		drop_down(*p, (*p)->down);
	mem_free(p);
}

void peers_set(struct peers *p, double ttl, double down_time, double patience)
{
	p->patience = patience;
	p->ttl = ttl;
	p->down_time = down_time;
}

static struct peer_name *find_name(struct peers *p, const char *host)
{
	struct peer_name *name;

	HASH_FIND_STR(p->names, host, name);
	return name;
}

static struct peer_name *add_name(struct peers *p, const char *host)
{
	struct peer_name *name = mem_alloc(sizeof(*name));

	/* The oldest name that nobody waits for makes room. */
	for (struct peer_name *old = p->names, *next; old != NULL && HASH_COUNT(p->names) >= NAMES_MAX; old = next) {
		next = old->hh.next;
		if (!old->asked)
			drop_name(p, old);
	}
	str_copy(name->host, sizeof(name->host), host);
	HASH_ADD_STR(p->names, host, name);
	return name;
}

enum peers_answer peers_lookup(struct peers *p, const char *host, uint16_t port, double now, struct net_addr *addr, unsigned *n)
{
	struct peer_name *name;

	*n = 0;
	if (net_addr_parse(addr, host, port)) {
		*n = 1;
		return PEERS_KNOWN;
	}
	if (strlen(host) >= RESOLVER_HOST_MAX)
		return PEERS_NONE;
	if ((name = find_name(p, host)) == NULL)
		name = add_name(p, host);
	if (!name->asked && (name->last == NAME_NEVER_ASKED || now >= name->fresh_until)) {
		name->asked = true;
		name->since = now;
		p->ask(p, host, p->arg);
	}
	if (name->last == NAME_NEVER_ASKED)
		return now - name->since < p->patience ? PEERS_WAIT : PEERS_SILENT;
	memcpy(addr, name->addr, name->n * sizeof(*addr));
	for (unsigned i = 0; i < name->n; i++)
		addr[i].port = port;
	*n = name->n;
	if (*n != 0)
		return PEERS_KNOWN;
	return name->last == NAME_NO_ANSWER ? PEERS_SILENT : PEERS_NONE;
}

/* For whoever has to mend it, once until the answer is another one. */
static void log_answer(const struct peer_name *name, enum name_answer answer)
{
	if (answer == name->last)
		return;
	if (answer == NAME_FOUND && name->last != NAME_NEVER_ASKED)
		log_info("mailhost %s has an address again", name->host);
	if (answer != NAME_FOUND && name->n != 0)
		log_warn("the address of mailhost %s cannot be looked up now; the one known is used", name->host);
	else if (answer == NAME_NO_ANSWER)
		log_warn("the name server does not answer for mailhost %s; check resolv.conf, and DNS", name->host);
	else if (answer == NAME_UNKNOWN)
		log_warn("mailhost %s has no address; check the name in the accounts and in DNS", name->host);
}

void peers_resolved(struct peers *p, const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n, double now)
{
	struct peer_name *name = find_name(p, host);

	if (name == NULL)
		return;
	log_answer(name, answer);
	name->asked = false;
	if (n != 0) {
		name->n = MIN(n, RESOLVER_ADDRS_MAX);
		memcpy(name->addr, addr, name->n * sizeof(*addr));
	}
	name->last = answer;
	name->fresh_until = now + (n != 0 ? p->ttl : RETRY_SECONDS);
}

static struct peer_down *find_down(struct peers *p, const struct net_addr *addr, struct addr_key *key)
{
	struct peer_down *d;

	memset(key, 0, sizeof(*key));
	key->family = addr->family;
	key->scope = addr->scope;
	key->port = addr->port;
	memcpy(key->ip, addr->ip, addr->family == AF_INET ? 4 : 16);
	HASH_FIND(hh, p->down, key, sizeof(*key), d);
	return d;
}

void peers_result(struct peers *p, const struct net_addr *addr, bool alive, double now)
{
	struct addr_key key;
	struct peer_down *d = find_down(p, addr, &key);
	char ip[NET_IP_TEXT_MAX];

	if (alive) {
		if (d == NULL)
			return;
		log_info("peer %s port %u answers again", net_addr_text(addr, ip), addr->port);
		drop_down(p, d);
		return;
	}
	if (d == NULL) {
		log_warn("peer %s port %u does not answer", net_addr_text(addr, ip), addr->port);
		if (HASH_COUNT(p->down) >= DOWN_MAX)
			drop_down(p, p->down);
		d = mem_alloc(sizeof(*d));
		d->key = key;
		d->addr = *addr;
		HASH_ADD(hh, p->down, key, sizeof(d->key), d);
	}
	d->until = now + p->down_time;
}

bool peers_down(struct peers *p, const struct net_addr *addr, double now)
{
	struct addr_key key;
	const struct peer_down *d = find_down(p, addr, &key);

	return d != NULL && now < d->until;
}

bool peers_suspect(struct peers *p, const struct net_addr *addr)
{
	struct addr_key key;

	return find_down(p, addr, &key) != NULL;
}

unsigned peers_list_down(struct peers *p, double now, struct str *out)
{
	char ip[NET_IP_TEXT_MAX];
	unsigned n = 0;

	for (const struct peer_down *d = p->down; d != NULL; d = d->hh.next) {
		if (now >= d->until)
			continue;
		str_addf(out, "%s%s:%u", n != 0 ? " " : "", net_addr_text(&d->addr, ip), d->addr.port);
		n++;
	}
	return n;
}
