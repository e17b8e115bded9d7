/* Parses mailhost and decides. */
#include "proxy/route.h"

#include <string.h>
#include <strings.h>

#include "lib/net.h"
#include "lib/num.h"

/* Letters, digits and the characters of addresses: nothing special to a resolver, a log or a peer. */
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

static const char malformed[] = "mailhost is malformed; write HOST, HOST:PORT or HOST:PROTOCOL=PORT:PROTOCOL=PORT, "
                                "IPv6 addresses with ports in brackets, several hosts separated by spaces";

static bool parse_port(const char *p, size_t len, uint16_t *port)
{
	uint64_t v;

	if (!num_parse(p, len, UINT16_MAX, &v) || v == 0)
		return false;
	*port = (uint16_t)v;
	return true;
}

static bool knows(const struct route_protocol *p, uint16_t port)
{
	for (unsigned i = 0; i < p->n; i++)
		if (p->known[i] == port)
			return true;
	return false;
}

static enum route_port_source whose(const struct route_rules *rules, uint16_t port)
{
	if (knows(&rules->protocols[rules->protocol], port))
		return ROUTE_PORT_KNOWN;
	for (unsigned i = 0; i < rules->nprotocols; i++)
		if (knows(&rules->protocols[i], port))
			return ROUTE_PORT_OTHERS;
	return ROUTE_PORT_SHARED;
}

/* The number of the protocol NAME (LEN bytes), or rules->nprotocols. */
static unsigned find_protocol(const struct route_rules *rules, const char *name, size_t len)
{
	unsigned i = 0;

	while (i < rules->nprotocols &&
	    (strlen(rules->protocols[i].name) != len || strncasecmp(rules->protocols[i].name, name, len) != 0))
		i++;
	return i;
}

/* NAME=PORT[:NAME=PORT...]. NULL: good; else what is wrong. */
static const char *parse_named_ports(struct route_host *h, const char *p, size_t len, const struct route_rules *rules)
{
	unsigned long seen = 0;

	for (const char *end = p + len, *stop; p <= end; p = stop + 1) {
		const char *is;
		uint16_t port;
		unsigned which;

		stop = memchr(p, ':', (size_t)(end - p));
		if (stop == NULL)
			stop = end;
		is = memchr(p, '=', (size_t)(stop - p));
		if (is == NULL || !parse_port(is + 1, (size_t)(stop - is - 1), &port))
			return malformed;
		which = find_protocol(rules, p, (size_t)(is - p));
		if (which == rules->nprotocols)
			return "mailhost has a port for an unknown protocol";
		if ((seen & 1UL << which) != 0)
			return "mailhost has two ports for one protocol of a host";
		seen |= 1UL << which;
		if (which == rules->protocol) {
			h->port = port;
			h->source = ROUTE_PORT_NAMED;
		}
	}
	return NULL;
}

/* Parses what follows "HOST:". NULL: good; else what is wrong. */
static const char *parse_ports(struct route_host *h, const char *p, size_t len, const struct route_rules *rules)
{
	if (memchr(p, '=', len) != NULL)
		return parse_named_ports(h, p, len, rules);
	if (!parse_port(p, len, &h->written))
		return malformed;
	h->source = whose(rules, h->written);
	if (h->source != ROUTE_PORT_OTHERS)
		h->port = h->written;
	return NULL;
}

/* One HOST[:PORTS]. NULL: good; else what is wrong. */
static const char *parse_host(struct route_host *h, const char *p, size_t len, const struct route_rules *rules)
{
	const char *end = p + len, *name = p, *stop = memchr(p, ':', len), *why;

	if (p[0] == '[') {
		name = p + 1;
		stop = memchr(p, ']', len);
		if (stop == NULL || (stop + 1 != end && stop[1] != ':'))
			return malformed;
		p = stop + 1 != end ? stop + 2 : NULL;
	} else if (stop != NULL &&
	    (memchr(p, '=', len) != NULL || memchr(stop + 1, ':', (size_t)(end - stop - 1)) == NULL)) {
		p = stop + 1;
	} else { /* no port; several colons are a bare IPv6 address */
		stop = end;
		p = NULL;
	}
	len = (size_t)(stop - name);
	if (!name_ok(name, len))
		return malformed;
	if (len > 1 && name[len - 1] == '.')
		len--;
	*h = (struct route_host){ .port = rules->protocols[rules->protocol].port, .source = ROUTE_PORT_DEFAULT };
	if (p != NULL && (why = parse_ports(h, p, (size_t)(end - p), rules)) != NULL)
		return why;
	memcpy(h->name, name, len);
	h->self = (rules->self[0][0] != '\0' && net_same_host(h->name, rules->self[0])) ||
	    (rules->self[1][0] != '\0' && net_same_host(h->name, rules->self[1]));
	return NULL;
}

/* Also where a node forwards nothing, and mailhost need not be well-formed. */
static bool another_is_first(const char *mailhost, const struct route_rules *rules)
{
	const char *p = mailhost != NULL ? mailhost + strspn(mailhost, " \t") : "";
	struct route_host h;

	return *p != '\0' && (parse_host(&h, p, strcspn(p, " \t"), rules) != NULL || !h.self);
}

bool route_decide(struct route *r, const char *mailhost, const struct route_rules *rules)
{
	bool only_self = true;

	r->n = 0;
	r->later = another_is_first(mailhost, rules);
	if (!rules->proxy_on) {
		r->why = "proxying is off";
		return true;
	}
	if (mailhost == NULL || mailhost[strspn(mailhost, " \t")] == '\0') {
		r->why = "the account has no mailhost";
		return true;
	}
	for (const char *p = mailhost; *(p += strspn(p, " \t")) != '\0';) {
		size_t len = strcspn(p, " \t");

		if (r->n == ROUTE_HOSTS_MAX) {
			r->why = "mailhost lists more than 8 hosts";
			return false;
		}
		r->why = parse_host(&r->host[r->n], p, len, rules);
		if (r->why != NULL)
			return false;
		only_self = only_self && r->host[r->n].self;
		r->n++;
		p += len;
	}
	r->why = only_self ? "mailhost is this node" : "mailhost is another node";
	if (only_self)
		r->n = 0;
	return true;
}
