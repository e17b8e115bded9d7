/* Addresses as text, and sockets that listen and connect. */
#include "lib/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "lib/num.h"

static const uint8_t v4_mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

void net_addr_from(struct net_addr *a, const struct sockaddr_storage *ss)
{
	memset(a, 0, sizeof(*a));
	if (ss->ss_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, ss, sizeof(in));
		a->family = AF_INET;
		a->port = ntohs(in.sin_port);
		memcpy(a->ip, &in.sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, ss, sizeof(in6));
		a->port = ntohs(in6.sin6_port);
		if (memcmp(&in6.sin6_addr, v4_mapped, sizeof(v4_mapped)) == 0) {
			a->family = AF_INET;
			memcpy(a->ip, (const uint8_t *)&in6.sin6_addr + sizeof(v4_mapped), 4);
		} else {
			a->family = AF_INET6;
			a->scope = in6.sin6_scope_id;
			memcpy(a->ip, &in6.sin6_addr, 16);
		}
	}
}

bool net_addr_here(int fd, struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
		return false;
	net_addr_from(a, &ss);
	return a->family != 0;
}

socklen_t net_addr_to(const struct net_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET6) {
		struct sockaddr_in6 in6 = {
			.sin6_family = AF_INET6,
			.sin6_port = htons(a->port),
			.sin6_scope_id = a->scope,
		};

		memcpy(&in6.sin6_addr, a->ip, 16);
		memcpy(ss, &in6, sizeof(in6));
		return sizeof(in6);
	}
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(a->port) };

	memcpy(&in.sin_addr, a->ip, 4);
	memcpy(ss, &in, sizeof(in));
	return sizeof(in);
}

bool net_addr_parse(struct net_addr *a, const char *text, uint16_t port)
{
	char host[NET_IP_TEXT_MAX];
	size_t len = strlen(text);
	char *scope;

	memset(a, 0, sizeof(*a));
	if (len >= 2 && text[0] == '[' && text[len - 1] == ']') {
		text++;
		len -= 2;
	}
	if (len == 0 || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	a->port = port;
	if (inet_pton(AF_INET, host, a->ip) == 1) {
		a->family = AF_INET;
		return true;
	}
	if ((scope = strchr(host, '%')) != NULL)
		*scope++ = '\0';
	if (inet_pton(AF_INET6, host, a->ip) != 1)
		return false;
	a->family = AF_INET6;
	if (scope != NULL && (a->scope = if_nametoindex(scope)) == 0)
		return false;
	if (memcmp(a->ip, v4_mapped, sizeof(v4_mapped)) == 0) {
		a->family = AF_INET;
		memmove(a->ip, a->ip + sizeof(v4_mapped), 4);
		memset(a->ip + 4, 0, 12);
	}
	return true;
}

/* As inet_ntop(), but without its printf(): each login is logged with four addresses. */
static void v4_text(const uint8_t ip[4], char *dst)
{
	for (int i = 0; i < 4; i++) {
		if (ip[i] >= 100)
			*dst++ = (char)('0' + ip[i] / 100);
		if (ip[i] >= 10)
			*dst++ = (char)('0' + ip[i] / 10 % 10);
		*dst++ = (char)('0' + ip[i] % 10);
		*dst++ = i < 3 ? '.' : '\0';
	}
}

const char *net_addr_text(const struct net_addr *a, char dst[NET_IP_TEXT_MAX])
{
	if (a->family == AF_INET)
		v4_text(a->ip, dst);
	else if (a->family != AF_INET6 || inet_ntop(AF_INET6, a->ip, dst, NET_IP_TEXT_MAX) == NULL)
		memcpy(dst, "unknown", sizeof("unknown"));
	return dst;
}

const char *net_addr_log(const struct net_addr *a, char dst[NET_IP_TEXT_MAX])
{
	if (a->family != AF_INET)
		return net_addr_text(a, dst);
	memcpy(dst, "::ffff:", sizeof("::ffff:"));
	v4_text(a->ip, dst + 7);
	return dst;
}

struct net_addr net_addr_client(const struct net_addr *a)
{
	struct net_addr client;

	memset(&client, 0, sizeof(client));
	client.family = a->family;
	if (a->family != 0)
		memcpy(client.ip, a->ip, a->family == AF_INET ? 4 : 8);
	return client;
}

bool net_addr_same_ip(const struct net_addr *a, const struct net_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, a->family == AF_INET ? 4 : 16) == 0;
}

bool net_network_parse(const char *network, struct net_addr *a, unsigned *bits)
{
	char base[NET_IP_TEXT_MAX];
	const char *slash = strchr(network, '/');
	size_t len = slash != NULL ? (size_t)(slash - network) : strlen(network);
	uint64_t whole, given;

	if (len >= sizeof(base))
		return false;
	memcpy(base, network, len);
	base[len] = '\0';
	if (!net_addr_parse(a, base, 0))
		return false;
	whole = given = a->family == AF_INET ? 32 : 128;
	if (slash != NULL && !num_parse_str(slash + 1, whole, &given))
		return false;
	*bits = (unsigned)given;
	return true;
}

bool net_is_network(const char *text)
{
	struct net_addr n;
	unsigned bits;

	return net_network_parse(text, &n, &bits);
}

bool net_addr_in(const struct net_addr *a, const char *network)
{
	struct net_addr n;
	unsigned bits;

	if (!net_network_parse(network, &n, &bits))
		return false;
	if (a->family != n.family || memcmp(a->ip, n.ip, bits / 8) != 0)
		return false;
	return bits % 8 == 0 || ((a->ip[bits / 8] ^ n.ip[bits / 8]) & (0xff00 >> (bits % 8)) & 0xff) == 0;
}

bool net_addr_in_any(const struct net_addr *a, const char *networks)
{
	for (const char *p = networks; *p != '\0'; p += strcspn(p, " "), p += *p == ' ') {
		char network[80];
		size_t len = MIN(strcspn(p, " "), sizeof(network) - 1);

		memcpy(network, p, len);
		network[len] = '\0';
		if (net_addr_in(a, network))
			return true;
	}
	return false;
}

void net_addr_write(struct msgw *w, const struct net_addr *a)
{
	msgw_u16(w, a->family);
	msgw_u16(w, a->port);
	msgw_u32(w, a->scope);
	msgw_bytes(w, a->ip, sizeof(a->ip));
}

void net_addr_read(struct msgr *r, struct net_addr *a)
{
	memset(a, 0, sizeof(*a));
	a->family = msgr_u16(r);
	a->port = msgr_u16(r);
	a->scope = msgr_u32(r);
	msgr_fixed(r, a->ip, sizeof(a->ip));
	if (a->family != 0 && a->family != AF_INET && a->family != AF_INET6)
		r->bad = true;
}

static void set_flag(int fd, int level, int name)
{
	int on = 1;

	setsockopt(fd, level, name, &on, sizeof(on));
}

int net_listen(const struct net_addr *a, int backlog)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to(a, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int off = 0, saved;

	if (fd == -1)
		return -1;
	set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
	set_flag(fd, SOL_SOCKET, SO_REUSEPORT);
	set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
	set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	if (ss.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&ss, len) == 0 && listen(fd, backlog) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

/* FD will connect from FROM, with a port that is chosen then: one that is in use may be used for another peer. */
static int bind_to(int fd, const struct net_addr *from)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to(from, &ss);

	set_flag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT); /* for IPv6 too */
	return bind(fd, (struct sockaddr *)&ss, len);
}

int net_connect(const struct net_addr *a)
{
	return net_connect_from(a, NULL);
}

int net_connect_from(const struct net_addr *a, const struct net_addr *from)
{
	struct sockaddr_storage ss;
	socklen_t len = net_addr_to(a, &ss);
	int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd == -1)
		return -1;
	set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
	set_flag(fd, SOL_SOCKET, SO_KEEPALIVE);
	if (from != NULL && bind_to(fd, from) != 0)
		saved = EADDRNOTAVAIL; /* whatever is wrong with it, it is not the peer */
	else if (connect(fd, (struct sockaddr *)&ss, len) == 0 || errno == EINPROGRESS)
		return fd;
	else
		saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int net_connect_path(const struct sockaddr_un *sun)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int saved;

	if (fd == -1 || connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

int net_error(int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 ? err : errno;
}

bool net_same_host(const char *a, const char *b)
{
	size_t alen = strlen(a), blen = strlen(b);

	while (alen != 0 && a[alen - 1] == '.')
		alen--;
	while (blen != 0 && b[blen - 1] == '.')
		blen--;
	return alen == blen && strncasecmp(a, b, alen) == 0;
}
