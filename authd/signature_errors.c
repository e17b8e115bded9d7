/* Nodes with other secrets or clocks: a small table for each side, in which new entries replace the oldest, and the
 * addresses that are known to be nodes. */
#include "authd/signature_errors.h"

#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "node/account.h"
#include "node/msg_auth.h"

enum { ENTRIES_MAX = 64, KNOWN_MAX = 4096, NAME_MAX_LEN = 256 };

enum standing {
	STANDING_CLIENT,  /* one account has come from there */
	STANDING_SEVERAL, /* several; perhaps a node that nobody knows, perhaps a client with several accounts */
	STANDING_NODE     /* it is a node of ours */
};

struct entry {
	char name[NAME_MAX_LEN]; /* address or host; "": the entry is free */
	enum signature_check check;
	enum standing standing;
	char account[ACCOUNT_NAME_MAX]; /* the first one seen */
	double seen, said;
};

struct ip_key {
	uint32_t family;
	uint8_t ip[16];
};

struct known {
	struct ip_key key;
	UT_hash_handle hh;
};

struct signature_errors {
	struct entry entry[SIGNATURE_ERRORS_SIDES][ENTRIES_MAX];
	struct known *known;
	double hour; /* since when `lines` are counted */
	unsigned lines;
};

struct signature_errors *signature_errors_new(void)
{
	return mem_alloc(sizeof(struct signature_errors));
}

void signature_errors_free(struct signature_errors **sp)
{
	struct signature_errors *s = *sp;

	if (s == NULL)
		return;
	for (struct known *k, *next = s->known; (k = next) != NULL;) {
		next = k->hh.next;
		HASH_DEL(s->known, k);
		mem_free(&k);
	}
	mem_free(sp);
}

void signature_errors_forget(struct signature_errors *s)
{
	memset(s->entry, 0, sizeof(s->entry));
	s->lines = 0;
}

/* --- addresses of nodes --- */

static struct ip_key key_of(const struct net_addr *addr)
{
	struct ip_key key;

	memset(&key, 0, sizeof(key));
	key.family = addr->family;
	memcpy(key.ip, addr->ip, addr->family == AF_INET ? 4 : 16);
	return key;
}

bool signature_errors_known(const struct signature_errors *s, const struct net_addr *addr)
{
	struct ip_key key = key_of(addr);
	struct known *k;

	HASH_FIND(hh, s->known, &key, sizeof(key), k);
	return k != NULL;
}

void signature_errors_know(struct signature_errors *s, const struct net_addr *addr)
{
	struct known *k;

	if (HASH_COUNT(s->known) >= KNOWN_MAX || signature_errors_known(s, addr))
		return;
	k = mem_alloc(sizeof(*k));
	k->key = key_of(addr);
	HASH_ADD(hh, s->known, key, sizeof(k->key), k);
}

/* --- what was seen --- */

static bool fresh(const struct entry *e, double now)
{
	return e->name[0] != '\0' && now - e->seen < SIGNATURE_ERRORS_HOUR;
}

static struct entry *find(struct signature_errors *s, enum signature_errors_side side, const char *name)
{
	for (size_t i = 0; i < ENTRIES_MAX; i++)
		if (strcasecmp(s->entry[side][i].name, name) == 0)
			return &s->entry[side][i];
	return NULL;
}

/* The entry to replace. */
static struct entry *oldest(struct signature_errors *s, enum signature_errors_side side, double now)
{
	struct entry *first = &s->entry[side][0];

	for (size_t i = 1; i < ENTRIES_MAX && fresh(first, now); i++) {
		struct entry *e = &s->entry[side][i];

		/* A client never replaces a node. */
		if (!fresh(e, now) || first->standing > e->standing ||
		    (first->standing == e->standing && e->seen < first->seen))
			first = e;
	}
	return first;
}

/* The entry of NAME, a new one if there is none; NULL: none may be replaced. */
static struct entry *place(struct signature_errors *s, enum signature_errors_side side, const char *name,
    enum standing standing, double now)
{
	struct entry *e = find(s, side, name);

	if (e != NULL && fresh(e, now))
		return e;
	if (e == NULL) {
		e = oldest(s, side, now);
		if (fresh(e, now) && e->standing > standing)
			return NULL;
	}
	memset(e, 0, sizeof(*e));
	str_copy(e->name, sizeof(e->name), name);
	return e;
}

/* True: log E. It was not logged within the hour, and there are lines left, half of which only nodes get. */
static bool say(struct signature_errors *s, struct entry *e, bool first, double now)
{
	unsigned most = e->standing == STANDING_NODE ? SIGNATURE_ERRORS_LINES : SIGNATURE_ERRORS_LINES / 2;

	if (!first && now - e->said < SIGNATURE_ERRORS_HOUR)
		return false;
	if (now - s->hour >= SIGNATURE_ERRORS_HOUR) {
		s->hour = now;
		s->lines = 0;
	}
	if (s->lines >= most)
		return false;
	s->lines++;
	e->said = now;
	return true;
}

static bool seen(struct signature_errors *s, struct entry *e, enum standing standing, enum signature_check check,
    double now)
{
	bool first = e->standing == STANDING_CLIENT || e->check != check;

	e->standing = standing;
	e->check = check;
	e->seen = now;
	return say(s, e, first, now);
}

static void end(struct signature_errors *s, enum signature_errors_side side, const char *name)
{
	struct entry *e = find(s, side, name);

	if (e != NULL)
		memset(e, 0, sizeof(*e));
}

static bool on_this_machine(const struct net_addr *addr)
{
	return net_addr_in(addr, "127.0.0.1") || net_addr_in(addr, "::1");
}

/* The standing by what is known without an entry. */
static enum standing standing_of(const struct signature_errors *s, const struct net_addr *addr,
    enum signature_check check, const char *account)
{
	if (signature_errors_known(s, addr))
		return STANDING_NODE;
	if (account == NULL)
		return STANDING_CLIENT;
	if (check == SIGNATURE_CLOCK) /* signed with our secret */
		return STANDING_NODE;
	return on_this_machine(addr) ? STANDING_SEVERAL : STANDING_CLIENT;
}

bool signature_errors_bad(struct signature_errors *s, const struct net_addr *addr, enum signature_check check,
    const char *account, double now)
{
	enum standing standing = standing_of(s, addr, check, account);
	char ip[NET_IP_TEXT_MAX];
	struct entry *e;

	if (standing != STANDING_NODE && account == NULL)
		return false;
	e = place(s, SIGNATURE_ERRORS_FRONTS, net_addr_text(addr, ip), standing, now);
	if (e == NULL)
		return false;
	if (standing == STANDING_CLIENT && e->account[0] != '\0' && strcmp(e->account, account) != 0)
		standing = STANDING_SEVERAL;
	standing = MAX(standing, e->standing);
	if (standing != STANDING_CLIENT)
		return seen(s, e, standing, check, now);
	str_copy(e->account, sizeof(e->account), account);
	e->seen = now;
	return false;
}

bool signature_errors_reported(struct signature_errors *s, const char *host, enum signature_check check, double now)
{
	struct entry *e;

	if (!signature_check_bad(check)) {
		end(s, SIGNATURE_ERRORS_MAILHOSTS, host);
		return false;
	}
	e = place(s, SIGNATURE_ERRORS_MAILHOSTS, host, STANDING_NODE, now);
	return e != NULL && seen(s, e, STANDING_NODE, check, now);
}

bool signature_errors_suspect(struct signature_errors *s, const char *host)
{
	return find(s, SIGNATURE_ERRORS_MAILHOSTS, host) != NULL;
}

unsigned signature_errors_list(const struct signature_errors *s, enum signature_errors_side side, double now,
    struct str *out)
{
	unsigned shown = 0, nodes = 0;

	for (size_t i = 0; i < ENTRIES_MAX; i++) {
		const struct entry *e = &s->entry[side][i];

		if (e->standing == STANDING_CLIENT || !fresh(e, now) || now - e->seen >= SIGNATURE_ERRORS_SHOWN)
			continue;
		str_addf(out, "%s%s(%s)", shown++ != 0 ? " " : "", e->name, signature_check_word(e->check));
		nodes += e->standing == STANDING_NODE;
	}
	return nodes;
}

/* --- the log --- */

#define NOT_BELIEVED ": the client that they name is not trusted. "

void signature_errors_log_front(const struct net_addr *addr, enum signature_check check, int64_t seconds,
    const char *self)
{
	char ip[NET_IP_TEXT_MAX];

	net_addr_text(addr, ip);
	switch (check) {
	case SIGNATURE_WRONG:
		log_warn("the logins that [%s] forwards are signed with another pool secret than ours, or for another "
		         "name than %s" NOT_BELIEVED "Copy one POOL_SECRETFILE to all nodes and reload them",
		    ip, self);
		break;
	case SIGNATURE_CLOCK:
		log_warn("the logins that [%s] forwards have a signature of another time: its clock is %lld seconds %s "
		         "ours, at most %d are allowed" NOT_BELIEVED "Set the clock that is wrong (NTP)",
		    ip, (long long)(seconds < 0 ? -seconds : seconds), seconds < 0 ? "ahead of" : "behind",
		    FORWARDED_AGE_MAX);
		break;
	case SIGNATURE_MISSING:
		log_warn("the logins that [%s] forwards are not signed, because it has no pool secret" NOT_BELIEVED
		         "Give it this node's POOL_SECRETFILE, or name it in PROXY_TRUSTED",
		    ip);
		break;
	default:
		log_warn("the logins that [%s] forwards are signed, but this node has no pool secret to verify "
		         "them" NOT_BELIEVED "Give this node the POOL_SECRETFILE of the others",
		    ip);
	}
}

#define REFUSES "mailhost %s does not accept the signature of the logins that this node forwards: "

void signature_errors_log_mailhost(const char *host, enum signature_check check)
{
	switch (check) {
	case SIGNATURE_WRONG:
		log_warn(REFUSES "its pool secret is another one, or it does not call itself %s (PROXY_HOSTNAME). Copy "
		                 "one POOL_SECRETFILE to all nodes and reload them",
		    host, host);
		break;
	case SIGNATURE_CLOCK:
		log_warn(REFUSES "its clock and ours are more than %d seconds apart. Set the one that is wrong (NTP)",
		    host, FORWARDED_AGE_MAX);
		break;
	case SIGNATURE_MISSING:
		log_warn("mailhost %s has a pool secret, and this node has none to sign the logins that it forwards. "
		         "Give this node the POOL_SECRETFILE of the others, or name it in their PROXY_TRUSTED",
		    host);
		break;
	default:
		log_warn("mailhost %s has no pool secret to verify the logins that this node signs and forwards. Give "
		         "it the POOL_SECRETFILE of this node",
		    host);
	}
}
