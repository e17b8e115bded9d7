#include "proxy/route.h"

#include <string.h>
#include <strings.h>

#include "lib/num.h"

bool route_same_host(const char *a, const char *b)
{
	size_t alen = strlen(a), blen = strlen(b);

	if (alen > 1 && a[alen - 1] == '.')
		alen--;
	if (blen > 1 && b[blen - 1] == '.')
		blen--;
	return alen == blen && strncasecmp(a, b, alen) == 0;
}

/* Letters, digits and what addresses need: nothing that means something to a resolver, a log or a peer. */
static bool name_ok(const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = p[i];
		bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');

		if (!alnum && strchr(".-_:%", c) == NULL)
			return false;
	}
	return len != 0 && len < ROUTE_NAME_MAX && p[0] != '-' && p[0] != '.';
}

/* HOST, HOST:PORT, [ADDRESS], [ADDRESS]:PORT, or a bare IPv6 address. */
static bool parse_host(struct route_host *h, const char *p, size_t len, uint16_t default_port)
{
	const char *name = p, *colon, *port = NULL;
	size_t name_len = len;
	uint64_t v;

	if (p[0] == '[') {
		const char *close = memchr(p, ']', len);

		if (close == NULL)
			return false;
		name = p + 1;
		name_len = (size_t)(close - name);
		if (close + 1 < p + len) {
			if (close[1] != ':')
				return false;
			port = close + 2;
		}
	} else if ((colon = memchr(p, ':', len)) != NULL && memchr(colon + 1, ':', (size_t)(p + len - colon - 1)) == NULL) {
		name_len = (size_t)(colon - p);
		port = colon + 1;
	}
	h->port = default_port;
	if (port != NULL) {
		if (!num_parse(port, (size_t)(p + len - port), 65535, &v) || v == 0)
			return false;
		h->port = (uint16_t)v;
	}
	if (!name_ok(name, name_len))
		return false;
	if (name_len > 1 && name[name_len - 1] == '.')
		name_len--;
	memcpy(h->name, name, name_len);
	h->name[name_len] = '\0';
	return true;
}

bool route_decide(struct route *r, const char *mailhost, bool proxy_on, const char *const self[2], uint16_t default_port)
{
	bool only_self = true;

	r->n = 0;
	if (!proxy_on) {
		r->why = "proxying is off";
		return true;
	}
	if (mailhost == NULL || mailhost[strspn(mailhost, " \t")] == '\0') {
		r->why = "the account has no mailhost";
		return true;
	}
	for (const char *p = mailhost; *(p += strspn(p, " \t")) != '\0';) {
		size_t len = strcspn(p, " \t");
		struct route_host *h = &r->host[r->n];

		if (r->n == ROUTE_HOSTS_MAX) {
			r->why = "mailhost lists more than 8 hosts";
			return false;
		}
		if (!parse_host(h, p, len, default_port)) {
			r->why = "mailhost is malformed; write HOST or HOST:PORT, several separated by blanks";
			return false;
		}
		h->self = (self[0][0] != '\0' && route_same_host(h->name, self[0])) ||
		    (self[1][0] != '\0' && route_same_host(h->name, self[1]));
		only_self = only_self && h->self;
		r->n++;
		p += len;
	}
	r->why = only_self ? "mailhost is this node" : "mailhost is another node";
	if (only_self)
		r->n = 0;
	return true;
}
