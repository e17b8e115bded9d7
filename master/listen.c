/* Opens, keeps and closes listening sockets. */
#include "master/listen.h"

#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"

enum {
	BACKLOG = 4096, /* the system's somaxconn is the real limit */
	/* The roles of a killed master release their ports quickly, but not instantly. */
	PROBE_TRIES = 20,
	PROBE_PAUSE_US = 100 * 1000
};

/* An address that the settings name. */
struct endpoint {
	struct endpoint *next;
	enum protocol protocol;
	bool tls;
	struct net_addr addr;
	const char *group, *port_name;
};

static bool same_addr(const struct net_addr *a, const struct net_addr *b)
{
	return net_addr_same_ip(a, b) && a->port == b->port && a->scope == b->scope;
}

static void add_endpoint(struct endpoint **list, const struct endpoint *e)
{
	struct endpoint **p = list, *new;

	for (; *p != NULL; p = &(*p)->next)
		if (same_addr(&(*p)->addr, &e->addr))
			return;
	new = mem_alloc(sizeof(*new));
	*new = *e;
	new->next = NULL;
	*p = new;
}

static bool ipv6_works(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool works;

	if (fd == -1)
		return false;
	works = bind(fd, (struct sockaddr *)&any, sizeof(any)) == 0;
	close(fd);
	return works;
}

/* "0", "*" and "" mean every address: one socket for both families if the machine has IPv6. */
static void add_wildcard(struct endpoint **list, struct endpoint *e, uint16_t port)
{
	e->addr = (struct net_addr){ .family = ipv6_works() ? AF_INET6 : AF_INET, .port = port };
	add_endpoint(list, e);
}

static bool add_name(struct endpoint **list, struct endpoint *e, const char *host, uint16_t port, struct str *errors)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int rc = getaddrinfo(host, NULL, &hints, &found);

	if (rc != 0) {
		str_addf(errors, "%s: cannot resolve the listen address \"%s\": %s; check /etc/hosts and DNS\n",
		    e->group, host, rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc));
		return false;
	}
	for (const struct addrinfo *ai = found; ai != NULL; ai = ai->ai_next) {
		struct sockaddr_storage ss = { 0 };

		memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
		net_addr_from(&e->addr, &ss);
		e->addr.port = port;
		add_endpoint(list, e);
	}
	freeaddrinfo(found);
	return true;
}

static bool add_group(struct endpoint **list, struct endpoint e, const char *address, const char *ports,
    struct str *errors)
{
	char host[SETTINGS_ADDRESS_MAX];
	uint16_t port;
	bool good = true;

	while (settings_port_next(&ports, host, &port)) {
		const char *h = host[0] != '\0' ? host : address;

		if (h[0] == '\0' || strcmp(h, "0") == 0 || strcmp(h, "*") == 0)
			add_wildcard(list, &e, port);
		else if (net_addr_parse(&e.addr, h, port))
			add_endpoint(list, &e);
		else
			good &= add_name(list, &e, h, port, errors);
	}
	return good;
}

static bool endpoints_of(const struct settings *set, struct endpoint **list, struct str *errors)
{
	bool good = true;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		const struct protocol_settings s = protocol_settings(set, p);

		if (s.served)
			good &= add_group(list,
			    (struct endpoint){ .protocol = p, .group = protocols[p].group, .port_name = "PORT" },
			    s.address, s.ports, errors);
		if (s.has_certificate)
			good &= add_group(list,
			    (struct endpoint){ .protocol = p,
			        .tls = true,
			        .group = protocols[p].group,
			        .port_name = "SSLPORT" },
			    s.tls_address, s.tls_ports, errors);
	}
	return good;
}

static struct listener *find(const struct listeners *ls, const struct endpoint *e, unsigned slot)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		if (l->protocol == e->protocol && l->tls == e->tls && l->slot == slot && same_addr(&l->addr, &e->addr))
			return l;
	return NULL;
}

static bool have_port(const struct listeners *ls, uint16_t port)
{
	for (const struct listener *l = ls->first; l != NULL; l = l->next)
		if (l->addr.port == port)
			return true;
	return false;
}

/* With SO_REUSEPORT the kernel would let us share the port of another daemon of the same user, who would then get half
 * of our clients: a bind without that option fails. */
static bool probe(const struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to(a, &ss);
	int on = 1, off = 0, fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), saved;
	bool good;

	if (fd == -1)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	good = bind(fd, (struct sockaddr *)&ss, len) == 0;
	saved = errno;
	close(fd);
	errno = saved;
	return good;
}

static bool probe_patiently(const struct net_addr *a)
{
	for (int i = 0; i < PROBE_TRIES; i++) {
		if (probe(a))
			return true;
		if (errno != EADDRINUSE)
			return false;
		usleep(PROBE_PAUSE_US);
	}
	return false;
}

static void say_failure(const struct endpoint *e, struct str *errors)
{
	char ip[NET_IP_TEXT_MAX];
	int err = errno;
	const char *hint = err == EADDRINUSE ? "; stop the program that has it (ss -ltnp)" :
	    err == EACCES                    ? "; ports below 1024 need root, or CAP_NET_BIND_SERVICE" :
	    err == EADDRNOTAVAIL             ? "; this machine does not have the address" :
	                                       "";

	str_addf(errors, "%s: cannot listen on %s %s %u: %s%s\n", e->group, net_addr_text(&e->addr, ip), e->port_name,
	    e->addr.port, strerror(err), hint);
}

static bool probe_all(const struct listeners *ls, const struct endpoint *e, struct str *errors)
{
	bool good = true;

	for (; e != NULL; e = e->next)
		if (!have_port(ls, e->addr.port) && !probe_patiently(&e->addr)) {
			say_failure(e, errors);
			good = false;
		}
	return good;
}

static bool open_slot(struct listeners *ls, const struct endpoint *e, unsigned slot, struct str *errors)
{
	struct listener *l, **end = &ls->first;
	int fd = net_listen(&e->addr, BACKLOG);

	if (fd == -1) {
		say_failure(e, errors);
		return false;
	}
	l = mem_alloc(sizeof(*l));
	l->protocol = e->protocol;
	l->tls = e->tls;
	l->addr = e->addr;
	l->slot = slot;
	l->fd = fd;
	while (*end != NULL)
		end = &(*end)->next;
	*end = l;
	return true;
}

static bool open_missing(struct listeners *ls, const struct endpoint *list, unsigned slots, struct str *errors)
{
	for (const struct endpoint *e = list; e != NULL; e = e->next)
		for (unsigned slot = 0; slot < slots; slot++)
			if (find(ls, e, slot) == NULL && !open_slot(ls, e, slot, errors))
				return false;
	return true;
}

static bool is_named(const struct listener *l, const struct endpoint *list)
{
	for (const struct endpoint *e = list; e != NULL; e = e->next)
		if (l->protocol == e->protocol && l->tls == e->tls && same_addr(&l->addr, &e->addr))
			return true;
	return false;
}

/* Sockets from before have `wanted` set, those that a failed attempt opened do not. */
bool listen_update(struct listeners *ls, const struct settings *set, unsigned slots, struct str *errors)
{
	struct endpoint *list = NULL;
	bool good =
	    endpoints_of(set, &list, errors) && probe_all(ls, list, errors) && open_missing(ls, list, slots, errors);

	if (good)
		for (struct listener *l = ls->first; l != NULL; l = l->next)
			l->wanted = is_named(l, list);
	else
		listen_prune(ls);
	while (list != NULL) {
		struct endpoint *e = list;

		list = e->next;
		mem_free(&e);
	}
	return good;
}

static bool is_wildcard(const struct net_addr *a)
{
	static const uint8_t none[sizeof(a->ip)];

	return memcmp(a->ip, none, sizeof(none)) == 0;
}

/* Every address of the machine. With IPv4 that includes all of 127.0.0.0/8. */
static void describe_machine(const struct listener *l, struct str *out)
{
	char ip[NET_IP_TEXT_MAX];
	struct ifaddrs *all;

	if (getifaddrs(&all) != 0)
		return;
	for (const struct ifaddrs *i = all; i != NULL; i = i->ifa_next) {
		struct sockaddr_storage ss = { 0 };
		struct net_addr a;

		if (i->ifa_addr == NULL || (i->ifa_addr->sa_family != AF_INET && i->ifa_addr->sa_family != AF_INET6))
			continue;
		memcpy(&ss, i->ifa_addr,
		    i->ifa_addr->sa_family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		net_addr_from(&a, &ss);
		str_addf(out, "%u %s%s %u\n", (unsigned)l->protocol, net_addr_text(&a, ip),
		    (i->ifa_flags & IFF_LOOPBACK) != 0 && a.family == AF_INET ? "/8" : "", l->addr.port);
	}
	freeifaddrs(all);
}

void listen_describe(const struct listeners *ls, struct str *out)
{
	char ip[NET_IP_TEXT_MAX];

	for (const struct listener *l = ls->first; l != NULL; l = l->next) {
		if (!l->wanted || l->slot != 0)
			continue;
		if (is_wildcard(&l->addr))
			describe_machine(l, out);
		else
			str_addf(out, "%u %s %u\n", (unsigned)l->protocol, net_addr_text(&l->addr, ip), l->addr.port);
	}
}

void listen_prune(struct listeners *ls)
{
	for (struct listener **p = &ls->first; *p != NULL;) {
		struct listener *l = *p;

		if (l->wanted) {
			p = &l->next;
			continue;
		}
		*p = l->next;
		close(l->fd);
		mem_free(&l);
	}
}

void listen_close(struct listeners *ls)
{
	for (struct listener *l = ls->first; l != NULL; l = l->next)
		l->wanted = false;
	listen_prune(ls);
}

void listen_again(const struct listener *l)
{
	char ip[NET_IP_TEXT_MAX];

	if (listen(l->fd, BACKLOG) != 0)
		log_error("the socket of %s %u does not listen any more: %s; restart waypostd",
		    net_addr_text(&l->addr, ip), l->addr.port, strerror(errno));
}

bool listen_is_for(const struct listener *l, unsigned slot, unsigned slots)
{
	return l->wanted && l->slot % slots == slot;
}
