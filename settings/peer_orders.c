/* Reads and writes what is said of peers. */
#include "settings/peer_orders.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/text.h"

enum { WORDS_MAX = 5, BAD_LINES_SHOWN = 10 };

static const char *const words[PEER_WORDS] = {
	[PEER_WORD_UP] = "up",
	[PEER_WORD_DRAIN] = "drain",
	[PEER_WORD_DOWN] = "down",
};

struct piece {
	const char *p;
	size_t len;
};

const char *peer_word_text(enum peer_word word)
{
	return words[word];
}

/* --- one line --- */

/* The words of a line, at most WORDS_MAX; their number. */
static unsigned split(const char *p, size_t len, struct piece w[WORDS_MAX])
{
	const char *end = p + len;
	unsigned n = 0;

	for (;;) {
		while (p < end && (*p == ' ' || *p == '\t'))
			p++;
		if (p == end || n == WORDS_MAX)
			return n;
		w[n].p = p;
		while (p < end && *p != ' ' && *p != '\t')
			p++;
		w[n].len = (size_t)(p - w[n].p);
		n++;
	}
}

/* HOST, without a port. */
static bool take_host(struct peer_order *o, const char *p, size_t len)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:%";

	len -= len > 1 && p[len - 1] == '.';
	if (len == 0 || len >= sizeof(o->host) || p[0] == '.' || p[0] == '-')
		return false;
	memcpy(o->host, p, len);
	o->host[len] = '\0';
	if (strspn(o->host, letters) != len)
		return false;
	return net_addr_parse(&o->addr, o->host, 0) || strpbrk(o->host, ":%") == NULL;
}

/* HOST[:PORT] */
static bool take_peer(struct peer_order *o, const struct piece *w)
{
	const char *p = w->p, *end = p + w->len, *colon = memchr(p, ':', w->len), *stop = colon;
	uint64_t port;

	if (p[0] == '[') {
		p++;
		stop = memchr(p, ']', (size_t)(end - p));
		if (stop == NULL)
			return false;
		colon = stop + 1 != end ? stop + 1 : NULL;
		if (colon != NULL && *colon != ':')
			return false;
	} else if (colon != NULL && memchr(colon + 1, ':', (size_t)(end - colon - 1)) != NULL) {
		colon = stop = NULL; /* several: an IPv6 address alone */
	}
	if (!take_host(o, p, (size_t)((stop != NULL ? stop : end) - p)))
		return false;
	if (colon == NULL)
		return true;
	if (!num_parse(colon + 1, (size_t)(end - colon - 1), UINT16_MAX, &port) || port == 0)
		return false;
	o->port = (uint16_t)port;
	return true;
}

static bool take_protocol(struct peer_order *o, const struct piece *w)
{
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (protocols[p].has_login && text_is_word(w->p, w->len, protocols[p].name)) {
			o->protocol = p;
			return true;
		}
	return false;
}

static bool take_word(struct peer_order *o, const struct piece *w)
{
	for (enum peer_word i = 0; i < PEER_WORDS; i++)
		if (text_is_word(w->p, w->len, words[i])) {
			o->word = i;
			return true;
		}
	return false;
}

static bool take_since(struct peer_order *o, const struct piece *w)
{
	static const char name[] = "since=";
	const size_t len = sizeof(name) - 1;
	uint64_t v;

	if (w->len <= len || strncasecmp(w->p, name, len) != 0 || !num_parse(w->p + len, w->len - len, UINT32_MAX, &v))
		return false;
	o->since = (int64_t)v;
	return true;
}

bool peer_order_parse(struct peer_order *o, const char *line, size_t len, const char **why)
{
	static const char form[] = "write HOST[:PORT] [imap|pop3] up|down|drain";
	struct piece w[WORDS_MAX];
	unsigned n = split(line, len, w), at = 1;

	memset(o, 0, sizeof(*o));
	o->protocol = PROTOCOL_COUNT;
	*why = form;
	if (n < 2)
		return false;
	if (!take_peer(o, &w[0])) {
		*why = "its first word is no HOST or HOST:PORT (IPv6 addresses with a port in brackets)";
		return false;
	}
	at += take_protocol(o, &w[1]);
	if (at >= n || !take_word(o, &w[at]))
		return false;
	at++;
	at += at < n && take_since(o, &w[at]);
	return at == n;
}

void peer_order_name(const struct peer_order *o, struct str *out)
{
	bool brackets = o->port != 0 && strchr(o->host, ':') != NULL;

	str_addf(out, "%s%s%s", brackets ? "[" : "", o->host, brackets ? "]" : "");
	if (o->port != 0)
		str_addf(out, ":%u", o->port);
}

void peer_order_write(const struct peer_order *o, struct str *out)
{
	peer_order_name(o, out);
	if (o->protocol != PROTOCOL_COUNT)
		str_addf(out, " %s", protocols[o->protocol].name);
	str_addf(out, " %s", words[o->word]);
	if (o->since != 0)
		str_addf(out, " since=%lld", (long long)o->since);
}

static bool same_host(const struct peer_order *a, const struct peer_order *b)
{
	if (a->addr.family != 0 || b->addr.family != 0)
		return a->addr.family != 0 && b->addr.family != 0 && net_addr_same_ip(&a->addr, &b->addr);
	return net_same_host(a->host, b->host);
}

bool peer_order_same(const struct peer_order *a, const struct peer_order *b)
{
	return a->port == b->port && a->protocol == b->protocol && same_host(a, b);
}

bool peer_order_is_about(const struct peer_order *o, const char *host, const struct net_addr *addr, uint16_t port,
    enum protocol p)
{
	if ((o->port != 0 && o->port != port) || (o->protocol != PROTOCOL_COUNT && o->protocol != p))
		return false;
	if (o->addr.family != 0)
		return addr != NULL && net_addr_same_ip(&o->addr, addr);
	return net_same_host(o->host, host);
}

/* --- all of them --- */

static struct peer_order *find(const struct peer_orders *all, const struct peer_order *o)
{
	for (unsigned i = 0; i < all->n; i++)
		if (peer_order_same(&all->order[i], o))
			return &all->order[i];
	return NULL;
}

const struct peer_order *peer_orders_find(const struct peer_orders *all, const struct peer_order *o)
{
	return find(all, o);
}

bool peer_orders_set(struct peer_orders *all, const struct peer_order *o)
{
	struct peer_order *old = find(all, o);

	if (old != NULL) {
		*old = *o;
		return true;
	}
	if (all->n == PEER_ORDERS_MAX)
		return false;
	if ((all->n & (all->n - 1)) == 0) /* room for a power of two */
		all->order = mem_grow(all->order, MAX(all->n * 2, 1) * sizeof(*all->order));
	all->order[all->n++] = *o;
	return true;
}

void peer_orders_remove(struct peer_orders *all, const struct peer_order *o)
{
	struct peer_order *old = find(all, o);

	if (old == NULL)
		return;
	all->n--;
	memmove(old, old + 1, (size_t)(all->order + all->n - old) * sizeof(*old));
}

const struct peer_order *peer_orders_about(const struct peer_orders *all, const char *host, const struct net_addr *addr,
    uint16_t port, enum protocol p)
{
	const struct peer_order *found = NULL;

	for (unsigned i = 0; i < all->n; i++) {
		const struct peer_order *o = &all->order[i];

		if ((found == NULL || o->word > found->word) && peer_order_is_about(o, host, addr, port, p))
			found = o;
	}
	return found;
}

void peer_orders_fini(struct peer_orders *all)
{
	mem_free(&all->order);
	all->n = 0;
}

static bool is_blank(const char *line, size_t len)
{
	size_t i = 0;

	while (i < len && (line[i] == ' ' || line[i] == '\t'))
		i++;
	return i == len || line[i] == '#';
}

/* Reads the LEN bytes of a line, without its end; WHOLE: it has one. NULL: it is good; else what is wrong. */
static const char *take_line(struct peer_orders *all, const char *line, size_t len, bool whole)
{
	struct peer_order o;
	const char *why;

	len -= len != 0 && line[len - 1] == '\r';
	if (is_blank(line, len))
		return NULL;
	if (!whole)
		return "it has no line end: the file may be half written";
	if (!peer_order_parse(&o, line, len, &why))
		return why;
	return peer_orders_set(all, &o) ? NULL : "there are more than 1000 lines before it";
}

unsigned peer_orders_parse(struct peer_orders *all, const char *text, size_t len, struct str *bad)
{
	const char *end = text + len;
	unsigned nbad = 0;

	for (unsigned line = 1; text < end; line++) {
		const char *stop = memchr(text, '\n', (size_t)(end - text));
		const char *why = take_line(all, text, (size_t)((stop != NULL ? stop : end) - text), stop != NULL);

		if (why != NULL && ++nbad <= BAD_LINES_SHOWN)
			str_addf(bad, "line %u: %s\n", line, why);
		text = stop != NULL ? stop + 1 : end;
	}
	if (nbad > BAD_LINES_SHOWN)
		str_addf(bad, "and %u more\n", nbad - BAD_LINES_SHOWN);
	return nbad;
}

/* --- the file --- */

int peer_orders_read_file(const char *path, struct str *text, int64_t *changed, struct str *why)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	bool good;

	if (fd == -1 && errno == ENOENT)
		return 0;
	good = fd != -1 && fstat(fd, &st) == 0 && fd_read_file(fd, PEER_ORDERS_BYTES_MAX, text);
	if (good)
		*changed = st.st_mtime;
	else if (fd != -1 && (errno == EFBIG || errno == EINVAL))
		str_addf(why, "%s is %s", path, errno == EFBIG ? "larger than 256 KiB" : "not a file");
	else
		str_addf(why, "cannot read %s: %s", path, strerror(errno));
	if (fd != -1)
		close(fd);
	return good ? 1 : -1;
}
