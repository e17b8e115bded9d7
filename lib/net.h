/* Socket addresses as text and back, and the sockets of a TCP server and client. No names are resolved here: that may
 * block, and belongs in a process of its own. */
#ifndef LIB_NET_H
#define LIB_NET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "lib/msg.h"

/* A socket address that fits in a message. IPv4-mapped IPv6 addresses are kept as IPv4. */
struct net_addr {
	uint16_t family; /* AF_INET, AF_INET6, or 0: none */
	uint16_t port;   /* host byte order */
	uint32_t scope;  /* of link-local IPv6 */
	uint8_t ip[16];  /* the first 4 bytes for IPv4 */
};

enum { NET_IP_TEXT_MAX = 64 };

/* From a struct sockaddr (AF_INET, AF_INET6; anything else becomes "none"). */
void net_addr_from(struct net_addr *a, const struct sockaddr_storage *ss);
/* This machine's end of the connected socket FD. False if it has none. */
bool net_addr_here(int fd, struct net_addr *a);
/* To a struct sockaddr; returns its length. */
socklen_t net_addr_to(const struct net_addr *a, struct sockaddr_storage *ss);
/* Numeric text ("192.0.2.7", "2001:db8::1", "[...]" taken too) and port. False if it is not an address. */
bool net_addr_parse(struct net_addr *a, const char *text, uint16_t port);
/* The address without port, plain ("192.0.2.7"). Returns DST. */
const char *net_addr_text(const struct net_addr *a, char dst[NET_IP_TEXT_MAX]);
/* The same with IPv4 as ::ffff:a.b.c.d, as our log lines have it. Returns DST. */
const char *net_addr_log(const struct net_addr *a, char dst[NET_IP_TEXT_MAX]);
/* The host names A and B are the same, ignoring case and trailing dots. */
bool net_same_host(const char *a, const char *b);
/* Same address, port aside. */
bool net_addr_same_ip(const struct net_addr *a, const struct net_addr *b);
/* What counts as one client where clients are counted: an IPv4 address, or the /64 of an IPv6 one, as a customer has
 * one; without port and scope. All bytes are set, so that it may be a key. */
struct net_addr net_addr_client(const struct net_addr *a);
/* Reads NETWORK ("10.0.0.0/8", "2001:db8::/32", or one address): its address, and how many BITS of it count. False if
 * it is malformed. */
bool net_network_parse(const char *network, struct net_addr *a, unsigned *bits);
/* TEXT is an address or a network. */
bool net_is_network(const char *text);
/* A is in NETWORK ("10.0.0.0/8", "2001:db8::/32", or one address). False too if NETWORK is malformed. */
bool net_addr_in(const struct net_addr *a, const char *network);

/* A is in one of NETWORKS, parted by single blanks. */
bool net_addr_in_any(const struct net_addr *a, const char *networks);

/* The address as a message field, and back (anything but IPv4, IPv6 or none makes the message bad). */
void net_addr_write(struct msgw *w, const struct net_addr *a);
void net_addr_read(struct msgr *r, struct net_addr *a);

/* A listening, non-blocking, close-on-exec socket with SO_REUSEADDR and SO_REUSEPORT, TCP_NODELAY and SO_KEEPALIVE
 * (inherited by what it accepts). IPv6 wildcard sockets accept IPv4 too. The descriptor, or -1 with errno. */
int net_listen(const struct net_addr *a, int backlog);
/* A non-blocking socket with TCP_NODELAY and SO_KEEPALIVE that has begun to connect; the caller waits for it to become
 * readable or writable. The descriptor, or -1 with errno. */
int net_connect(const struct net_addr *a);
/* The same from the address FROM of this machine, of the same family, whose port must be 0; NULL: the system chooses.
 * EADDRNOTAVAIL: the machine does not have FROM, or no port is free there. */
int net_connect_from(const struct net_addr *a, const struct net_addr *from);
/* A non-blocking socket that is connected to the one at SUN's path. The descriptor, or -1 with errno; EAGAIN: it does
 * not accept as fast as others come. */
int net_connect_path(const struct sockaddr_un *sun);
/* The pending error of a connecting socket (0: none). */
int net_error(int fd);

#endif
