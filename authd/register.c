/* The table of sessions and of pending logins, with their counts by user, address and peer. */
#include "authd/register.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "lib/mem.h"

struct ip_key {
	uint32_t protocol, family;
	uint8_t ip[16];
};

struct ip_count {
	struct ip_key key;
	unsigned n;
	UT_hash_handle hh;
};

/* Sessions of one account by one protocol, all or those of one client: account_key(). */
struct reg_account {
	unsigned n;
	UT_hash_handle hh;
	char key[];
};

/* Logins that are pending at the same peer, or those of one account there. */
struct reg_crowd {
	unsigned n, arrived;
	double blocked_until; /* 0: it is not blocked */
	UT_hash_handle hh;
	char key[];
};

enum { CROWD_KEY_MAX = 1024, ACCOUNT_KEY_HEAD = 18, ACCOUNT_KEY_MAX = ACCOUNT_KEY_HEAD + ACCOUNT_NAME_MAX };

struct reg {
	struct reg_session *sessions;
	struct ip_count *ips;
	struct reg_account *accounts;
	struct reg_crowd *crowds;
	struct reg_pending *pending;
	unsigned npending, nblocked;
	unsigned count[PROTOCOL_COUNT];
};

struct reg *reg_new(void)
{
	return mem_alloc(sizeof(struct reg));
}

void reg_free(struct reg **r)
{
	if (*r == NULL)
		return;
	while ((*r)->sessions != NULL)
		reg_remove(*r, (*r)->sessions);
	reg_expire(*r, INFINITY);
	mem_free(r);
}

static struct ip_count *find_ip(const struct reg *r, enum protocol p, const struct net_addr *client, struct ip_key *key)
{
	struct ip_count *c;

	memset(key, 0, sizeof(*key));
	key->protocol = (uint32_t)p;
	key->family = client->family;
	memcpy(key->ip, client->ip, client->family == AF_INET ? 4 : 16);
	HASH_FIND(hh, r->ips, key, sizeof(*key), c);
	return c;
}

size_t reg_session_bytes(const char *user)
{
	return sizeof(struct reg_session) + strlen(user) + 1 + sizeof(struct ip_count) +
	    2 * (sizeof(struct reg_account) + ACCOUNT_KEY_HEAD + strlen(user));
}

/* The protocol, the address (that of nobody: all of them), the name. Returns its length. */
static unsigned account_key(char key[ACCOUNT_KEY_MAX], enum protocol p, const struct net_addr *client, const char *user)
{
	size_t len = strlen(user);

	memset(key, 0, ACCOUNT_KEY_HEAD);
	key[0] = (char)p;
	if (client != NULL) {
		key[1] = client->family == AF_INET ? 4 : 6;
		memcpy(key + 2, client->ip, client->family == AF_INET ? 4 : 16);
	}
	memcpy(key + ACCOUNT_KEY_HEAD, user, MIN(len, ACCOUNT_NAME_MAX));
	return ACCOUNT_KEY_HEAD + (unsigned)MIN(len, ACCOUNT_NAME_MAX);
}

static struct reg_account *find_account(const struct reg *r, const char *key, unsigned len)
{
	struct reg_account *c;

	HASH_FIND(hh, r->accounts, key, len, c);
	return c;
}

static struct reg_account *join_account(struct reg *r, enum protocol p, const struct net_addr *client, const char *user)
{
	char key[ACCOUNT_KEY_MAX];
	unsigned len = account_key(key, p, client, user);
	struct reg_account *c = find_account(r, key, len);

	if (c == NULL) {
		c = mem_alloc(sizeof(*c) + len);
		memcpy(c->key, key, len);
		HASH_ADD(hh, r->accounts, key, len, c);
	}
	c->n++;
	return c;
}

static void leave_account(struct reg *r, struct reg_account *c)
{
	if (--c->n != 0)
		return;
	HASH_DEL(r->accounts, c);
	mem_free(&c);
}

struct reg_session *reg_add(struct reg *r, uint64_t id, enum protocol p, const struct net_addr *client,
    const char *user, uint32_t start)
{
	struct reg_session *s;
	struct ip_count *c;
	struct ip_key key;

	if (reg_find(r, id) != NULL)
		return NULL;
	s = mem_alloc(sizeof(*s) + strlen(user) + 1);
	s->id = id;
	s->protocol = (uint8_t)p;
	s->client = *client;
	memcpy(s->user, user, strlen(user) + 1);
	s->start = start;
	s->account = join_account(r, p, NULL, user);
	s->account_there = join_account(r, p, client, user);
	HASH_ADD(hh, r->sessions, id, sizeof(s->id), s);
	r->count[p]++;
	if ((c = find_ip(r, p, client, &key)) == NULL) {
		c = mem_alloc(sizeof(*c));
		c->key = key;
		HASH_ADD(hh, r->ips, key, sizeof(c->key), c);
	}
	c->n++;
	return s;
}

struct reg_session *reg_find(struct reg *r, uint64_t id)
{
	struct reg_session *s;

	HASH_FIND(hh, r->sessions, &id, sizeof(id), s);
	return s;
}

/* Neither host names nor the numbers before them contain a blank, so the key is unambiguous. */
static unsigned crowd_key(char key[CROWD_KEY_MAX], enum protocol p, const char *host, uint16_t port, const char *user)
{
	int len = snprintf(key, CROWD_KEY_MAX, "%u %u %s %s", (unsigned)p, port, host, user != NULL ? user : "");

	for (char *c = key; *c != '\0' && (user == NULL || c < key + len - strlen(user)); c++)
		*c = (char)tolower((unsigned char)*c);
	return (unsigned)MIN(len, CROWD_KEY_MAX - 1);
}

static struct reg_crowd *find_crowd(const struct reg *r, const char *key, unsigned len)
{
	struct reg_crowd *c;

	HASH_FIND(hh, r->crowds, key, len, c);
	return c;
}

static struct reg_crowd *need_crowd(struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user)
{
	char key[CROWD_KEY_MAX];
	unsigned len = crowd_key(key, p, host, port, user);
	struct reg_crowd *c = find_crowd(r, key, len);

	if (c == NULL) {
		c = mem_alloc(sizeof(*c) + len + 1);
		memcpy(c->key, key, len + 1);
		HASH_ADD(hh, r->crowds, key, len, c);
	}
	return c;
}

/* Frees a crowd that has no members and is not blocked. */
static void drop_if_empty(struct reg *r, struct reg_crowd *c)
{
	if (c->n != 0 || c->blocked_until != 0)
		return;
	HASH_DEL(r->crowds, c);
	mem_free(&c);
}

static struct reg_crowd *join_crowd(struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user)
{
	struct reg_crowd *c = need_crowd(r, p, host, port, user);

	c->n++;
	return c;
}

static void leave_crowd(struct reg *r, struct reg_crowd **cp)
{
	struct reg_crowd *c = *cp;

	*cp = NULL;
	c->n--;
	drop_if_empty(r, c);
}

static void open_again(struct reg *r, struct reg_crowd *c)
{
	if (c->blocked_until == 0)
		return;
	c->blocked_until = 0;
	r->nblocked--;
}

void reg_block(struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user, double until)
{
	struct reg_crowd *c = need_crowd(r, p, host, port, user);

	r->nblocked += c->blocked_until == 0;
	c->blocked_until = until;
}

bool reg_is_blocked(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user, double now)
{
	char key[CROWD_KEY_MAX];
	const struct reg_crowd *c = r->nblocked != 0 ? find_crowd(r, key, crowd_key(key, p, host, port, user)) : NULL;

	return c != NULL && now < c->blocked_until;
}

/* S is no longer pending. */
static void end_pending(struct reg *r, struct reg_session *s)
{
	struct reg_pending *w = s->pending;

	if (w == NULL)
		return;
	s->pending = NULL;
	leave_crowd(r, &w->at_peer);
	leave_crowd(r, &w->of_account);
	DL_DELETE(r->pending, w);
	mem_free(&w);
	r->npending--;
}

void reg_expire(struct reg *r, double now)
{
	while (r->pending != NULL && now >= r->pending->until)
		end_pending(r, r->pending->session);
	for (struct reg_crowd *c = r->crowds, *next; c != NULL && r->nblocked != 0; c = next) {
		next = c->hh.next;
		if (now < c->blocked_until)
			continue;
		open_again(r, c);
		drop_if_empty(r, c);
	}
}

void reg_add_pending(struct reg *r, struct reg_session *s, const char *host, const struct peer_service *target,
    unsigned n, double until)
{
	struct reg_pending *w = mem_alloc(sizeof(*w) + n * sizeof(*target));
	enum protocol p = (enum protocol)s->protocol;

	memcpy(w->target, target, n * sizeof(*target));
	w->ntargets = n;
	w->until = until;
	w->session = s;
	w->at_peer = join_crowd(r, p, host, target[0].addr.port, NULL);
	w->of_account = join_crowd(r, p, host, target[0].addr.port, s->user);
	DL_APPEND(r->pending, w);
	s->pending = w;
	r->npending++;
}

void reg_arrived(struct reg *r, struct reg_session *s)
{
	if (s->pending != NULL) {
		s->pending->at_peer->arrived++;
		s->pending->of_account->arrived++;
		open_again(r, s->pending->of_account);
	}
	end_pending(r, s);
}

unsigned reg_pending_at(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user)
{
	char key[CROWD_KEY_MAX];
	const struct reg_crowd *c = find_crowd(r, key, crowd_key(key, p, host, port, user));

	return c != NULL ? c->n : 0;
}

unsigned reg_arrived_at(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user)
{
	char key[CROWD_KEY_MAX];
	const struct reg_crowd *c = find_crowd(r, key, crowd_key(key, p, host, port, user));

	return c != NULL ? c->arrived : 0;
}

unsigned reg_pending_all(const struct reg *r)
{
	return r->npending;
}

void reg_remove(struct reg *r, struct reg_session *s)
{
	struct ip_key key;
	struct ip_count *c = find_ip(r, (enum protocol)s->protocol, &s->client, &key);

	if (c != NULL && --c->n == 0) {
		HASH_DEL(r->ips, c);
		mem_free(&c);
	}
	leave_account(r, s->account);
	leave_account(r, s->account_there);
	end_pending(r, s);
	r->count[s->protocol]--;
	HASH_DEL(r->sessions, s);
	reg_set_ticket(s, NULL);
	mem_free(&s);
}

void reg_set_ticket(struct reg_session *s, const uint8_t *ticket)
{
	if (s->ticket != NULL)
		mem_wipe(s->ticket, TICKET_LEN);
	mem_free(&s->ticket);
	if (ticket != NULL)
		s->ticket = (uint8_t *)mem_memdup(ticket, TICKET_LEN);
}

void reg_each(struct reg *r, void (*fn)(struct reg *r, struct reg_session *s, void *arg), void *arg)
{
	for (struct reg_session *s = r->sessions, *next; s != NULL; s = next) {
		next = s->hh.next;
		fn(r, s, arg);
	}
}

unsigned reg_count(const struct reg *r, enum protocol p)
{
	return r->count[p];
}

unsigned reg_count_ip(const struct reg *r, enum protocol p, const struct net_addr *client)
{
	struct ip_key key;
	struct ip_count *c = find_ip(r, p, client, &key);

	return c != NULL ? c->n : 0;
}

unsigned reg_count_account(const struct reg *r, enum protocol p, const struct net_addr *client, const char *user)
{
	char key[ACCOUNT_KEY_MAX];
	const struct reg_account *c = find_account(r, key, account_key(key, p, client, user));

	return c != NULL ? c->n : 0;
}
