/* Clients that come through a proxy in front, until the header arrives in which the proxy says who they are
 * (lib/proxy_header.h). Until then nothing is sent to them, and no byte after the header is read. */
#ifndef LOGIN_HEADER_WAIT_H
#define LOGIN_HEADER_WAIT_H

#include <ev.h>

#include "lib/proxy_header.h"
#include "settings/protocol.h"

enum {
	HEADER_WAIT_SECONDS = 5, /* from the connection to the end of its header */
	HEADER_WAIT_QUIET = 60   /* seconds between two log lines about the same trouble */
};

/* The header of the connection FD has arrived: F is what it says; what follows begins with TLS or not. The callee owns
 * FD. PORT accepted the connection. */
typedef void header_wait_fn(void *arg, enum protocol protocol, bool tls, int fd, const struct proxy_header_facts *f,
    uint16_t port);

/* What can be wrong; each is logged now and then. */
enum header_trouble {
	HEADER_TROUBLE_SENDER,
	HEADER_TROUBLE_LATE,
	HEADER_TROUBLE_NONSENSE,
	HEADER_TROUBLE_STRAY,
	HEADER_TROUBLE_COUNT
};

struct header_client;

struct header_wait {
	unsigned count;   /* connections that wait */
	uint64_t refused; /* connections closed without a valid header */
	double seconds;   /* HEADER_WAIT_SECONDS, unless a test changes it */
	/* private */
	struct ev_loop *loop;
	header_wait_fn *on_client;
	void *arg;
	struct header_client *first;
	uint32_t quiet_until[HEADER_TROUBLE_COUNT];
};

/* ON_CLIENT gets ARG. */
void header_wait_init(struct header_wait *w, struct ev_loop *loop, header_wait_fn *on_client, void *arg);
/* Takes over the accepted socket FD of PROXY; behind the header its client begins with TLS or not. Closes and logs it
 * if no header comes in time, or an invalid one. */
void header_wait_add(struct header_wait *w, enum protocol protocol, bool tls, int fd, const struct net_addr *proxy,
    uint16_t port);
/* A connection of SENDER, which is not a trusted proxy, is closed by the caller: counts and logs it. */
void header_wait_refuse(struct header_wait *w, const struct net_addr *sender, uint16_t port);
/* The same for one that has begun with a header at a port for which none is expected. */
void header_wait_stray(struct header_wait *w, const struct net_addr *sender, uint16_t port);
/* Closes all that wait. */
void header_wait_shut(struct header_wait *w);

#endif
