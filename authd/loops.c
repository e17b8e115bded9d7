/* Loops that were seen: a small table, of which the oldest entry makes room. */
#include "authd/loops.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"

enum { ENTRIES_MAX = 64, HOST_MAX = 256, SAY_EVERY = 60 /* seconds */ };

struct entry {
	enum loop_kind kind;
	enum protocol protocol;
	char host[HOST_MAX]; /* "": the entry is free */
	uint16_t port;
	double seen, said;
};

struct loops {
	struct entry entry[ENTRIES_MAX];
};

struct loops *loops_new(void)
{
	return mem_alloc(sizeof(struct loops));
}

void loops_free(struct loops **l)
{
	mem_free(l);
}

static bool is(const struct entry *e, enum loop_kind kind, enum protocol p, const char *host, uint16_t port)
{
	return e->kind == kind && e->protocol == p && e->port == port && strcasecmp(e->host, host) == 0;
}

/* Its entry, or the one that makes room. */
static struct entry *place(struct loops *l, enum loop_kind kind, enum protocol p, const char *host, uint16_t port)
{
	struct entry *oldest = &l->entry[0];

	for (size_t i = 0; i < ARRAY_LEN(l->entry); i++) {
		struct entry *e = &l->entry[i];

		if (is(e, kind, p, host, port))
			return e;
		if (oldest->host[0] != '\0' && (e->host[0] == '\0' || e->seen < oldest->seen))
			oldest = e;
	}
	oldest->host[0] = '\0';
	return oldest;
}

bool loops_seen(struct loops *l, enum loop_kind kind, enum protocol p, const char *host, uint16_t port, double now)
{
	struct entry *e = place(l, kind, p, host, port);
	bool first = e->host[0] == '\0';

	e->kind = kind;
	e->protocol = p;
	e->port = port;
	str_copy(e->host, sizeof(e->host), host);
	e->seen = now;
	if (!first && now - e->said < SAY_EVERY)
		return false;
	e->said = now;
	return true;
}

bool loops_has(const struct loops *l, enum loop_kind kind, enum protocol p, const char *host, uint16_t port, double now)
{
	for (size_t i = 0; i < ARRAY_LEN(l->entry); i++)
		if (is(&l->entry[i], kind, p, host, port))
			return now - l->entry[i].seen < LOOPS_AGE;
	return false;
}

unsigned loops_list(const struct loops *l, enum loop_kind kind, double now, struct str *out)
{
	unsigned n = 0;

	for (size_t i = 0; i < ARRAY_LEN(l->entry); i++) {
		const struct entry *e = &l->entry[i];

		if (e->kind == kind && e->host[0] != '\0' && now - e->seen < LOOPS_AGE)
			str_addf(out, "%s%s:%u", n++ != 0 ? " " : "", e->host, e->port);
	}
	return n;
}
