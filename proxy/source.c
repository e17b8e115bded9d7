/* Which address a connection to a peer comes from. */
#include "proxy/source.h"

#include <errno.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/text.h"

struct source {
	struct net_addr *addr;
	unsigned n, next;
};

struct source *source_new(const char *list)
{
	struct source *s = mem_alloc(sizeof(*s));
	char word[NET_IP_TEXT_MAX];

	s->addr = mem_alloc((strlen(list) / 2 + 1) * sizeof(*s->addr));
	while (*list != '\0') {
		size_t len = strcspn(list, " ");

		if (len < sizeof(word)) {
			memcpy(word, list, len);
			word[len] = '\0';
			if (net_addr_parse(&s->addr[s->n], word, 0))
				s->n++;
		}
		list += len;
		list += strspn(list, " ");
	}
	return s;
}

void source_free(struct source **s)
{
	if (*s != NULL)
		mem_free(&(*s)->addr);
	mem_free(s);
}

static bool is_loopback(const struct net_addr *a)
{
	return net_addr_in_any(a, "127.0.0.0/8 ::1");
}

static bool leads_to(const struct net_addr *from, const struct net_addr *to)
{
	return from->family == to->family && is_loopback(from) == is_loopback(to);
}

static bool has_one_for(const struct source *s, const struct net_addr *to)
{
	for (unsigned i = 0; s != NULL && i < s->n; i++)
		if (leads_to(&s->addr[i], to))
			return true;
	return false;
}

int source_connect(struct source *s, const struct net_addr *to)
{
	int fd = -1;

	if (!has_one_for(s, to))
		return net_connect(to);
	for (unsigned tries = 0; tries < s->n; tries++) {
		const struct net_addr *from = &s->addr[s->next];

		s->next = (s->next + 1) % s->n;
		if (!leads_to(from, to))
			continue;
		fd = net_connect_from(to, from);
		if (fd != -1 || errno != EADDRNOTAVAIL)
			break;
	}
	return fd;
}

const char *source_no_address(const struct source *s, const struct net_addr *to)
{
	return has_one_for(s, to) ?
	    "no port is free at any address of PROXY_SOURCE_ADDRESS, or the machine has none of them: name more "
	    "addresses" :
	    "no port is free on this machine: name several of its addresses in PROXY_SOURCE_ADDRESS, or widen "
	    "net.ipv4.ip_local_port_range";
}
