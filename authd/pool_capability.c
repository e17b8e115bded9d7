/* The capabilities of the pool: a table of servers, and its text. */
#include "authd/pool_capability.h"

#include <string.h>
#include <strings.h>
#include <uthash.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"
#include "node/msg_auth.h"

static const char first_line[] = "waypost capabilities 1\n", last_line[] = "end\n";

enum {
	/* A server is written again only when its last use is so much younger, in seconds: not with each login. */
	USED_STEP = 24 * 3600,
	QUIET_SECONDS = 60, /* between two lines of the log about a server, which tells what it likes */
	KEY_MAX = MAILHOST_MAX + 32
};

struct server {
	UT_hash_handle hh; /* by key: protocol, port, host in small letters */
	char key[KEY_MAX];
	enum protocol protocol;
	char host[MAILHOST_MAX];
	uint16_t port;
	uint64_t first, used; /* unix seconds: an account was routed there */
	uint64_t told;        /* ... and it has told its list; 0: never */
	char *list;
	uint32_t hash;
	uint32_t quiet_until; /* for log_due() */
};

struct pool_capability {
	struct server *servers; /* the order is that of arrival */
	uint64_t full_until;    /* there was no room for one that may still be used */
	struct str common[PROTOCOL_COUNT];
	bool is_stale; /* `common` is to be found anew */
	bool is_new;   /* a file would have another text */
};

struct pool_capability *pool_capability_new(void)
{
	struct pool_capability *p = mem_alloc(sizeof(*p));

	str_adds(&p->common[PROTOCOL_IMAP], "IMAP4rev1");
	p->is_stale = true;
	return p;
}

static void drop(struct pool_capability *p, struct server *s)
{
	HASH_DEL(p->servers, s);
	mem_free(&s->list);
	mem_free(&s);
	p->is_stale = p->is_new = true;
}

void pool_capability_free(struct pool_capability **p)
{
	struct server *s, *next;

	if (*p == NULL)
		return;
	HASH_ITER(hh, (*p)->servers, s, next)
	drop(*p, s);
	for (unsigned i = 0; i < PROTOCOL_COUNT; i++)
		str_fini(&(*p)->common[i]);
	mem_free(p);
}

static void make_key(char key[KEY_MAX], enum protocol protocol, const char *host, uint16_t port)
{
	char number[NUM_TEXT_MAX];
	size_t len;

	str_copy(key, KEY_MAX, protocols[protocol].name);
	len = strlen(key);
	key[len++] = ' ';
	str_copy(key + len, KEY_MAX - len, num_text(port, number));
	len += strlen(key + len);
	key[len++] = ' ';
	for (; *host != '\0' && len < KEY_MAX - 1; host++)
		key[len++] = (char)(*host >= 'A' && *host <= 'Z' ? *host | 0x20 : *host);
	key[len] = '\0';
}

static struct server *find(const struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port)
{
	char key[KEY_MAX];
	struct server *s;

	make_key(key, protocol, host, port);
	HASH_FIND_STR(p->servers, key, s);
	return s;
}

static struct server *add(struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port)
{
	struct server *s = mem_alloc(sizeof(*s));

	make_key(s->key, protocol, host, port);
	s->protocol = protocol;
	s->port = port;
	str_copy(s->host, sizeof(s->host), host);
	s->list = mem_strdup("");
	HASH_ADD_STR(p->servers, key, s);
	p->is_stale = p->is_new = true;
	return s;
}

static void use_list(struct server *s, const char *list)
{
	mem_free(&s->list);
	s->list = mem_strdup(list);
	s->hash = capability_hash(list);
}

/* Its list is not known, and that is no reason yet to leave it out. */
static bool is_awaited(const struct server *s, uint64_t now)
{
	return s->told == 0 && s->first + POOL_CAPABILITY_UNKNOWN > now;
}

uint32_t pool_capability_routed(struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port,
    uint64_t now)
{
	struct server *s = find(p, protocol, host, port);

	if (s == NULL && HASH_COUNT(p->servers) >= POOL_CAPABILITY_SERVERS) {
		p->is_stale = p->is_stale || p->full_until <= now;
		p->full_until = now + POOL_CAPABILITY_UNUSED;
		return AUTH_LIST_ASK;
	}
	if (s == NULL) {
		s = add(p, protocol, host, port);
		s->first = s->used = now;
	}
	if (now > s->used + USED_STEP) {
		s->used = now;
		p->is_new = true;
	}
	return s->told == 0 || now > s->told + POOL_CAPABILITY_ASK_AGAIN ? AUTH_LIST_ASK : s->hash;
}

void pool_capability_told(struct pool_capability *p, enum protocol protocol, const char *host, uint16_t port,
    const char *list, uint64_t now)
{
	struct server *s = find(p, protocol, host, port);
	struct str taken = STR_INIT;

	if (s == NULL)
		return;
	capability_take(&taken, list);
	if (s->told == 0 || strcmp(s->list, str_cstr(&taken)) != 0) {
		if (log_due(&s->quiet_until, QUIET_SECONDS))
			log_info("mailhost %s, port %u, %s: its capabilities after login are: %s", s->host, s->port,
			    protocols[protocol].title, str_cstr(&taken));
		use_list(s, str_cstr(&taken));
		p->is_stale = p->is_new = true;
	}
	s->told = now;
	str_fini(&taken);
}

static bool forget_old(struct pool_capability *p, uint64_t now)
{
	struct server *s, *next;
	bool awaited = false;

	HASH_ITER(hh, p->servers, s, next)
	{
		s->used = MIN(s->used, now); /* the clock was set back */
		s->first = MIN(s->first, now);
		s->told = MIN(s->told, now);
		if (s->used + POOL_CAPABILITY_UNUSED <= now)
			drop(p, s);
		else
			awaited = awaited || is_awaited(s, now);
	}
	return awaited;
}

/* What all servers of PROTOCOL have in common, into OUT. */
static void find_common(const struct pool_capability *p, enum protocol protocol, uint64_t now, struct str *out)
{
	const char *last = NULL;
	bool unknown = p->full_until > now;

	for (const struct server *s = p->servers; s != NULL && !unknown; s = s->hh.next) {
		if (s->protocol != protocol || (s->told == 0 && !is_awaited(s, now)))
			continue;
		unknown = s->told == 0;
		if (last == NULL)
			str_adds(out, s->list);
		else if (strcmp(last, s->list) != 0)
			capability_keep_common(out, s->list);
		last = s->list;
	}
	if (unknown)
		str_clear(out);
	if (protocol == PROTOCOL_IMAP && !capability_has(str_cstr(out), "IMAP4rev1", 9)) {
		str_clear(out); /* nothing is known, or a server that is none */
		str_adds(out, "IMAP4rev1");
	}
}

unsigned pool_capability_tick(struct pool_capability *p, uint64_t now)
{
	bool awaited = forget_old(p, now);
	unsigned changed = 0;

	if (!p->is_stale)
		return 0;
	/* Those that are awaited stop to count at some time. */
	p->is_stale = awaited || p->full_until > now;
	for (enum protocol i = 0; i < PROTOCOL_COUNT; i++) {
		struct str common = STR_INIT;

		find_common(p, i, now, &common);
		if (strcmp(str_cstr(&common), str_cstr(&p->common[i])) != 0)
			changed |= 1U << i;
		str_fini(&p->common[i]);
		p->common[i] = common;
	}
	return changed;
}

const char *pool_capability_common(const struct pool_capability *p, enum protocol protocol)
{
	return str_cstr(&p->common[protocol]);
}

unsigned pool_capability_list_unknown(const struct pool_capability *p, uint64_t now, struct str *out)
{
	unsigned n = 0;

	for (const struct server *s = p->servers; s != NULL; s = s->hh.next)
		if (is_awaited(s, now))
			str_addf(out, "%s%s:%s:%u", n++ != 0 ? " " : "", protocols[s->protocol].name, s->host, s->port);
	return n;
}

/* --- its text: a line for each server --- */

bool pool_capability_is_new(const struct pool_capability *p)
{
	return p->is_new;
}

void pool_capability_renew(struct pool_capability *p)
{
	p->is_new = true;
}

void pool_capability_write(struct pool_capability *p, struct str *out)
{
	str_adds(out, first_line);
	for (const struct server *s = p->servers; s != NULL; s = s->hh.next)
		str_addf(out, "%s %s %u %llu %llu %llu %s\n", protocols[s->protocol].name, s->host, s->port,
		    (unsigned long long)s->first, (unsigned long long)s->used, (unsigned long long)s->told, s->list);
	str_adds(out, last_line);
	p->is_new = false;
}

/* What is left of a text. */
struct rest {
	const char *p, *end;
};

/* The bytes before the next END, which is passed over. False: there is none. */
static bool take(struct rest *t, char end, const char **word, size_t *len)
{
	const char *at = memchr(t->p, end, (size_t)(t->end - t->p));

	if (at == NULL)
		return false;
	*word = t->p;
	*len = (size_t)(at - t->p);
	t->p = at + 1;
	return true;
}

static bool take_number(struct rest *t, uint64_t limit, uint64_t *out)
{
	const char *word;
	size_t len;

	return take(t, ' ', &word, &len) && num_parse(word, len, limit, out);
}

/* A word without control characters, as a string. */
static bool take_text(struct rest *t, char end, char *out, size_t size)
{
	const char *word;
	size_t len;

	if (!take(t, end, &word, &len) || len >= size || memchr(word, '\0', len) != NULL)
		return false;
	memcpy(out, word, len);
	out[len] = '\0';
	return text_is_plain(out);
}

static bool take_protocol(struct rest *t, enum protocol *out)
{
	const char *word;
	size_t len;

	if (!take(t, ' ', &word, &len))
		return false;
	for (*out = 0; *out < PROTOCOL_COUNT; (*out)++)
		if (strlen(protocols[*out].name) == len && memcmp(protocols[*out].name, word, len) == 0)
			return true;
	return false;
}

/* Takes the line of one server. */
static bool take_server(struct pool_capability *p, struct rest *t, uint64_t now)
{
	char host[MAILHOST_MAX], list[CAPABILITY_LIST_MAX + 1];
	uint64_t port, first, used, told;
	enum protocol protocol;
	struct server *s;

	if (!take_protocol(t, &protocol) || !take_text(t, ' ', host, sizeof(host)) || host[0] == '\0' ||
	    !take_number(t, UINT16_MAX, &port) || !take_number(t, INT64_MAX, &first) ||
	    !take_number(t, INT64_MAX, &used) || !take_number(t, INT64_MAX, &told) ||
	    !take_text(t, '\n', list, sizeof(list)) || !capability_list_ok(list) || (told == 0 && list[0] != '\0') ||
	    find(p, protocol, host, (uint16_t)port) != NULL || HASH_COUNT(p->servers) >= POOL_CAPABILITY_SERVERS)
		return false;
	s = add(p, protocol, host, (uint16_t)port);
	s->first = MIN(first, now);
	s->used = MIN(used, now);
	s->told = MIN(told, now);
	use_list(s, list);
	return true;
}

static bool take_literally(struct rest *t, const char *text)
{
	size_t len = strlen(text);

	if ((size_t)(t->end - t->p) < len || memcmp(t->p, text, len) != 0)
		return false;
	t->p += len;
	return true;
}

bool pool_capability_read(struct pool_capability *p, const char *text, size_t len, uint64_t now)
{
	struct rest t = { text, text + len };
	bool ok = take_literally(&t, first_line);
	struct server *s, *next;

	while (ok && !take_literally(&t, last_line))
		ok = take_server(p, &t, now);
	ok = ok && t.p == t.end;
	if (!ok)
		HASH_ITER(hh, p->servers, s, next)
	drop(p, s);
	p->is_new = !ok;
	return ok;
}
