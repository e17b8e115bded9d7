/* The cache of peers' addresses, and which of them failed last. */
#include "authd/peers.h"

#include <stdio.h>
#include <string.h>
#include <uthash.h>

#include "authd/outage.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "settings/protocol.h"

enum { NAMES_MAX = 10000, HEALTH_MAX = 10000 };
#define RETRY_SECONDS 5 /* after a failed lookup, before the next one */

struct peer_name {
	char host[RESOLVER_HOST_MAX];
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;
	enum name_answer last; /* of the last look-up */
	bool asked;            /* one is pending, */
	double since;          /* since then */
	double fresh_until;
	UT_hash_handle hh;
};

struct health_key {
	uint32_t family, scope;
	uint32_t port;
	uint16_t protocol, tls;
	uint8_t ip[16];
};

enum peer_state {
	PEER_STATE_UP,   /* or not known yet */
	PEER_STATE_BUSY, /* it took no login last time, and is tried after those that are up before `until` */
	PEER_STATE_DOWN  /* it failed last time, and is tried last before `until` */
};

/* Accounts whose logins have lately failed in one way. */
struct failed_logins {
	struct {
		char *user;
		double when;
	} login[PEERS_SLOW_ACCOUNTS];
	unsigned n;
};

struct peer_health {
	struct health_key key;
	struct peer_service service;
	enum peer_state state;
	double until;
	double began;    /* of the attempt that has shown that it is busy or down */
	double answered; /* the last time; 0: never */
	double worked;   /* the last time that it took a login, or rejected a password; 0: never */
	unsigned room;   /* peers_room() of one that has come back; 0: it has not */
	uint64_t by;     /* who has said last that it is down */
	uint64_t doubted;
	double doubted_until;
	struct outage outage, rush; /* it is down; it is busy */
	struct failed_logins slow, refused;
	UT_hash_handle hh;
};

struct peers {
	peers_ask_fn *ask;
	void *arg;
	double ttl, down_time, patience;
	struct peer_name *names;
	struct peer_health *health; /* least recently used first */
};

struct peers *peers_new(peers_ask_fn *ask, void *arg)
{
	struct peers *p = mem_alloc(sizeof(*p));

	p->ask = ask;
	p->arg = arg;
	return p;
}

static void forget_logins(struct failed_logins *f)
{
	for (unsigned i = 0; i < f->n; i++)
		mem_free(&f->login[i].user);
	f->n = 0;
}

static void drop_health(struct peers *p, struct peer_health *h)
{
	HASH_DEL(p->health, h);
	forget_logins(&h->slow);
	forget_logins(&h->refused);
	mem_free(&h);
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
	while ((*p)->health != NULL)
		drop_health(*p, (*p)->health);
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

	/* Drop the oldest name that no login waits for. */
	for (struct peer_name *old = p->names, *next; old != NULL && HASH_COUNT(p->names) >= NAMES_MAX; old = next) {
		next = old->hh.next;
		if (!old->asked)
			drop_name(p, old);
	}
	str_copy(name->host, sizeof(name->host), host);
	HASH_ADD_STR(p->names, host, name);
	return name;
}

enum peers_answer peers_lookup(struct peers *p, const char *host, uint16_t port, double now, struct net_addr *addr,
    unsigned *n)
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

/* Logs a problem only once until the answer changes. */
static void log_answer(const struct peer_name *name, enum name_answer answer)
{
	if (answer == name->last)
		return;
	if (answer == NAME_FOUND && name->last != NAME_NEVER_ASKED)
		log_info("mailhost %s has an address again", name->host);
	if (answer != NAME_FOUND && name->n != 0)
		log_warn("cannot look up the address of mailhost %s now; using the old one", name->host);
	else if (answer == NAME_NO_ANSWER)
		log_warn("the name server does not answer for mailhost %s; check resolv.conf and DNS", name->host);
	else if (answer == NAME_UNKNOWN)
		log_warn("mailhost %s has no address; check the name in the accounts and in DNS", name->host);
}

void peers_resolved(struct peers *p, const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n,
    double now)
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

static struct peer_health *find_health(struct peers *p, const struct peer_service *s, struct health_key *key)
{
	struct peer_health *h;

	memset(key, 0, sizeof(*key));
	key->family = s->addr.family;
	key->scope = s->addr.scope;
	key->port = s->addr.port;
	key->protocol = (uint16_t)s->protocol;
	key->tls = (uint16_t)s->tls;
	memcpy(key->ip, s->addr.ip, s->addr.family == AF_INET ? 4 : 16);
	HASH_FIND(hh, p->health, key, sizeof(*key), h);
	return h;
}

static struct peer_health *get_health(struct peers *p, const struct peer_service *s)
{
	struct health_key key;
	struct peer_health *h = find_health(p, s, &key);

	if (h != NULL)
		return h;
	if (HASH_COUNT(p->health) >= HEALTH_MAX)
		drop_health(p, p->health);
	h = mem_alloc(sizeof(*h));
	h->key = key;
	h->service = *s;
	HASH_ADD(hh, p->health, key, sizeof(h->key), h);
	return h;
}

enum { NAME_MAX = NET_IP_TEXT_MAX + 40 };

static const char *name_for_log(const struct peer_health *h, char name[NAME_MAX])
{
	const struct peer_service *s = &h->service;
	char ip[NET_IP_TEXT_MAX];

	if (s->addr.family == 0)
		return protocols[s->protocol].local_server;
	snprintf(name, NAME_MAX, "%s port %u%s%s", net_addr_text(&s->addr, ip), s->addr.port,
	    s->tls != PEER_TLS_NONE ? " by TLS, " : "", s->tls != PEER_TLS_NONE ? peer_tls_word(s->tls) : "");
	return name;
}

static void say_over(struct peer_health *h, bool answered, double now)
{
	char name[NAME_MAX];

	if (outage_over(&h->outage, answered, now))
		log_info("peer %s answers again", name_for_log(h, name));
}

static void say_free(struct peer_health *h, bool worked, double now)
{
	char name[NAME_MAX];

	if (outage_over(&h->rush, worked, now))
		log_info("peer %s takes logins again", name_for_log(h, name));
}

static bool is_doubted(const struct peer_health *h, uint64_t by, double now)
{
	return by == h->doubted && now < h->doubted_until;
}

static void set_down(struct peers *p, struct peer_health *h, const char *why, uint64_t by, double began, double now)
{
	char name[NAME_MAX];

	forget_logins(&h->slow);
	if (outage_failed(&h->outage, now))
		log_warn("peer %s %s", name_for_log(h, name), why);
	h->state = PEER_STATE_DOWN;
	h->by = by;
	h->began = began;
	h->until = now + p->down_time;
}

/* BY has got an answer, whatever that says. */
static void not_down(struct peer_health *h, uint64_t by, double now)
{
	if (h->state == PEER_STATE_DOWN && h->by != by) {
		h->doubted = h->by;
		h->doubted_until = now + PEERS_DOUBT_SECONDS;
	}
	forget_logins(&h->slow);
	if (h->state == PEER_STATE_DOWN) {
		h->state = PEER_STATE_UP;
		h->room = PEERS_WELCOME;
	}
	h->answered = MAX(h->answered, now);
	say_over(h, true, now);
}

void peers_answered(struct peers *p, const struct peer_service *s, uint64_t by, double now)
{
	struct peer_health *h = get_health(p, s);

	if (h->state != PEER_STATE_UP && now <= h->began)
		return; /* that is told late, and something newer is known already */
	not_down(h, by, now);
	forget_logins(&h->refused);
	h->state = PEER_STATE_UP;
	if (h->room != 0 && ++h->room >= PEERS_MOST)
		h->room = 0;
	h->worked = MAX(h->worked, now);
	say_free(h, true, now);
}

void peers_failed(struct peers *p, const struct peer_service *s, uint64_t by, double began, double now)
{
	struct peer_health *h = get_health(p, s);

	if (h->answered < began && !is_doubted(h, by, now))
		set_down(p, h, "does not answer", by, began, now);
}

/* As O, if it is about the service of H at its HOST (as in mailhost). */
static void believe(struct peer_health *h, const struct peer_order *o, bool all_at_once, const char *host)
{
	const struct peer_service *s = &h->service;

	if (s->addr.family == 0 || !peer_order_is_about(o, host, &s->addr, s->addr.port, s->protocol))
		return;
	forget_logins(&h->slow);
	forget_logins(&h->refused);
	if (all_at_once)
		h->room = 0;
	else if (h->state == PEER_STATE_DOWN)
		h->room = PEERS_WELCOME;
	h->state = PEER_STATE_UP;
}

static bool has_address(const struct peer_name *name, const struct net_addr *addr)
{
	for (unsigned i = 0; i < name->n; i++)
		if (net_addr_same_ip(&name->addr[i], addr))
			return true;
	return false;
}

void peers_believe(struct peers *p, const struct peer_order *o, bool all_at_once)
{
	for (struct peer_health *h = p->health; o->addr.family != 0 && h != NULL; h = h->hh.next)
		believe(h, o, all_at_once, "");
	for (const struct peer_name *name = p->names; o->addr.family == 0 && name != NULL; name = name->hh.next)
		for (struct peer_health *h = p->health; net_same_host(name->host, o->host) && h != NULL; h = h->hh.next)
			if (has_address(name, &h->service.addr))
				believe(h, o, all_at_once, name->host);
}

void peers_tick(struct peers *p, double now)
{
	for (struct peer_health *h = p->health; h != NULL; h = h->hh.next) {
		if (h->outage.logged)
			say_over(h, false, now);
		if (h->rush.logged)
			say_free(h, false, now);
	}
}

/* Notes that USER's login failed; drops expired notes and USER's older one. True: logins of so many accounts did that
 * it is the peer's trouble. */
static bool add_login(struct failed_logins *f, const char *user, double now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n; i++) {
		if (f->login[i].when + PEERS_SLOW_SECONDS > now && strcmp(f->login[i].user, user) != 0)
			f->login[n++] = f->login[i];
		else
			mem_free(&f->login[i].user);
	}
	f->login[n].user = mem_strdup(user);
	f->login[n].when = now;
	f->n = n + 1;
	return f->n == PEERS_SLOW_ACCOUNTS;
}

void peers_slow(struct peers *p, const struct peer_service *s, const char *user, uint64_t by, double began, double now)
{
	struct peer_health *h = get_health(p, s);

	if (is_doubted(h, by, now) || h->answered >= began || (h->state == PEER_STATE_DOWN && now < h->until))
		return;
	if (add_login(&h->slow, user, now))
		set_down(p, h, "sends greetings, but does not answer logins of several accounts", by, began, now);
}

static void set_busy(struct peers *p, struct peer_health *h, const char *why, double began, double now)
{
	char name[NAME_MAX];

	forget_logins(&h->refused);
	if (outage_failed(&h->rush, now))
		log_warn("peer %s %s: logins try others first", name_for_log(h, name), why);
	h->state = PEER_STATE_BUSY;
	h->began = began;
	h->until = now + p->down_time;
}

void peers_refused(struct peers *p, const struct peer_service *s, const char *user, uint64_t by, double began,
    double now)
{
	struct peer_health *h = get_health(p, s);

	if (is_doubted(h, by, now))
		return;
	not_down(h, by, now);
	if (h->worked >= began || (user != NULL && h->state == PEER_STATE_BUSY && now < h->until))
		return;
	if (user == NULL)
		set_busy(p, h, "takes no logins now", began, now);
	else if (add_login(&h->refused, user, now))
		set_busy(p, h, "answers logins of several accounts with temporary failures", began, now);
}

static bool is_in(const struct peer_health *h, enum peer_state state, double now)
{
	return h != NULL && h->state == state && now < h->until;
}

bool peers_down(struct peers *p, const struct peer_service *s, double now)
{
	struct health_key key;

	return is_in(find_health(p, s, &key), PEER_STATE_DOWN, now);
}

bool peers_busy(struct peers *p, const struct peer_service *s, double now)
{
	struct health_key key;

	return is_in(find_health(p, s, &key), PEER_STATE_BUSY, now);
}

unsigned peers_room(struct peers *p, const struct peer_service *s)
{
	struct health_key key;
	const struct peer_health *h = find_health(p, s, &key);

	return h != NULL && h->room != 0 ? h->room : PEERS_MOST;
}

bool peers_suspect(struct peers *p, const struct peer_service *s)
{
	struct health_key key;
	const struct peer_health *h = find_health(p, s, &key);

	return h != NULL && h->state != PEER_STATE_UP;
}

static unsigned list_in(const struct peers *p, enum peer_state state, double now, struct str *out)
{
	char ip[NET_IP_TEXT_MAX];
	unsigned n = 0;

	for (const struct peer_health *d = p->health; d != NULL; d = d->hh.next) {
		if (!is_in(d, state, now))
			continue;
		str_adds(out, n != 0 ? " " : "");
		if (d->service.addr.family == 0)
			str_adds(out, protocols[d->service.protocol].local_server);
		else
			str_addf(out, "%s:%u", net_addr_text(&d->service.addr, ip), d->service.addr.port);
		if (d->service.tls != PEER_TLS_NONE)
			str_addf(out, "(%s)", peer_tls_word(d->service.tls));
		n++;
	}
	return n;
}

unsigned peers_list_down(struct peers *p, double now, struct str *out)
{
	return list_in(p, PEER_STATE_DOWN, now, out);
}

unsigned peers_list_busy(struct peers *p, double now, struct str *out)
{
	return list_in(p, PEER_STATE_BUSY, now, out);
}
