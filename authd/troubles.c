/* Troubles seen: a small table in which new entries replace the oldest. */
#include "authd/troubles.h"

#include <string.h>
#include <strings.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "node/msg_session.h"

enum { ENTRIES_MAX = 64, HOST_MAX = 256, SAY_EVERY = 60 /* seconds */ };

struct entry {
	enum trouble_kind kind;
	enum protocol protocol;
	char host[HOST_MAX]; /* "": the entry is free */
	struct net_addr addr;
	double seen, said;
	char why[PEER_WHY_MAX];
};

struct troubles {
	struct entry entry[ENTRIES_MAX];
	bool has[TROUBLE_KINDS]; /* false: certainly no entry of that kind */
};

struct troubles *troubles_new(void)
{
	return mem_alloc(sizeof(struct troubles));
}

void troubles_free(struct troubles **t)
{
	mem_free(t);
}

static bool is(const struct entry *e, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port)
{
	return e->kind == kind && e->protocol == p && e->addr.port == port && strcasecmp(e->host, host) == 0;
}

/* The entry of this trouble, or the one to replace. */
static struct entry *place(struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port)
{
	struct entry *oldest = &t->entry[0];

	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++) {
		struct entry *e = &t->entry[i];

		if (is(e, kind, p, host, port))
			return e;
		if (oldest->host[0] != '\0' && (e->host[0] == '\0' || e->seen < oldest->seen))
			oldest = e;
	}
	oldest->host[0] = '\0';
	return oldest;
}

bool troubles_seen(struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host,
    const struct net_addr *addr, double now)
{
	struct entry *e = place(t, kind, p, host, addr->port);
	bool first = e->host[0] == '\0';

	t->has[kind] = true;
	e->kind = kind;
	e->protocol = p;
	e->addr = *addr;
	str_copy(e->host, sizeof(e->host), host);
	e->why[0] = '\0';
	e->seen = now;
	if (!first && now - e->said < SAY_EVERY)
		return false;
	e->said = now;
	return true;
}

void troubles_set_why(struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port,
    const char *why)
{
	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++)
		if (is(&t->entry[i], kind, p, host, port))
			log_clean(t->entry[i].why, sizeof(t->entry[i].why), why);
}

const char *troubles_why(const struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host,
    uint16_t port)
{
	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++)
		if (is(&t->entry[i], kind, p, host, port))
			return t->entry[i].why;
	return "";
}

void troubles_forget(struct troubles *t, enum trouble_kind kind)
{
	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++)
		if (t->entry[i].kind == kind)
			t->entry[i].host[0] = '\0';
	t->has[kind] = false;
}

void troubles_over(struct troubles *t, enum trouble_kind kind, enum protocol p, const struct net_addr *addr)
{
	bool others = false;

	if (!t->has[kind]) /* as with nearly all logins */
		return;
	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++) {
		struct entry *e = &t->entry[i];

		if (e->host[0] == '\0' || e->kind != kind)
			continue;
		if (e->protocol == p && e->addr.port == addr->port && net_addr_same_ip(&e->addr, addr))
			e->host[0] = '\0';
		else
			others = true;
	}
	t->has[kind] = others;
}

bool troubles_has(const struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port,
    double now)
{
	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++)
		if (is(&t->entry[i], kind, p, host, port))
			return now - t->entry[i].seen < TROUBLES_AGE;
	return false;
}

unsigned troubles_list(const struct troubles *t, enum trouble_kind kind, double now, struct str *out)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(t->entry); i++) {
		const struct entry *e = &t->entry[i];

		if (e->kind == kind && e->host[0] != '\0' && now - e->seen < TROUBLES_AGE)
			str_addf(out, "%s%s:%u", n++ != 0 ? " " : "", e->host, e->addr.port);
	}
	return n;
}
