/* Accepts the clients of a login worker: from its own listening sockets, and from those of others that it serves; and
 * handles a lack of descriptors.
 *
 *   NEW --open--> TAKING --no room for one more login--> ASKING (the master: who else has room?)
 *     ASKING --another worker--> LENT: that one accepts the clients of our sockets, which we do not watch
 *     ASKING --nobody--> REFUSING: clients get an error at once and are closed, unless another one, that has not
 *                        logged in, gives way
 *   All three --there is room again--> TAKING.
 *
 * A login needs more descriptors later, for the connection to a peer. A client is accepted only while there are enough
 * for it and for all earlier ones, so that a pending login never fails for lack of one. */
#ifndef LOGIN_ACCEPTOR_H
#define LOGIN_ACCEPTOR_H

#include <ev.h>

#include "lib/net.h"
#include "node/msg_channel.h"

/* clang-format off */
#define ACCEPTOR_STATES(X) \
	X(NEW)      /* not begun yet */ \
	X(TAKING)   /* clients are accepted */ \
	X(ASKING)   /* full; the master looks for another worker */ \
	X(LENT)     /* full; another worker takes them */ \
	X(REFUSING) /* full; clients are refused, or another one gives way */ \
	X(SHUT)     /* for ever */
/* clang-format on */
enum acceptor_state {
#define X(name) ACCEPTOR_##name,
	ACCEPTOR_STATES(X)
#undef X
};

struct acceptor;

/* ARG is acceptor_new()'s. */
struct acceptor_hooks {
	/* The number of descriptors that clients have, and that their logins may still need. */
	unsigned (*in_use)(void *arg);
	/* Closes descriptors that are not needed now. */
	void (*trim)(void *arg);
	/* CLIENT may connect. If not, it is closed without a word, and nobody gives way to it. */
	bool (*admits)(void *arg, enum protocol protocol, const struct net_addr *client, uint16_t port);
	/* A new client, which begins with TLS or not, and was admitted; the callee owns FD. */
	void (
	    *client)(void *arg, enum protocol protocol, bool tls, int fd, const struct net_addr *client, uint16_t port);
	/* Ends another client's login to make room for CLIENT. False: nobody gives way. */
	bool (*displace)(void *arg, const struct net_addr *client);
	/* Says goodbye to a client that cannot be served, and does not begin with TLS; the caller closes FD. */
	void (*refuse)(void *arg, enum protocol protocol, int fd);
	/* For the master: no more clients can be accepted (FULL), or they can again. It answers the former by
	 * acceptor_answer(). */
	void (*tell)(void *arg, bool full);
};

struct acceptor *acceptor_new(struct ev_loop *loop, const struct acceptor_hooks *hooks, void *arg);
/* Closes all sockets, frees *G and sets it to NULL. */
void acceptor_free(struct acceptor **g);
/* Takes over the listening socket SOCK, of worker slot SLOT, whose clients begin with TLS or not. It is watched at once
 * if the acceptor is open. */
void acceptor_add(struct acceptor *g, unsigned slot, enum protocol protocol, bool tls, int sock);
/* Closes the sockets of worker slot SLOT: another worker has them. */
void acceptor_drop(struct acceptor *g, unsigned slot);
/* All is ready: accepts clients from now on. The descriptors open now count as always needed. */
void acceptor_open(struct acceptor *g);
/* Closes all sockets, for ever. */
void acceptor_shut(struct acceptor *g);
/* The master's answer to tell(FULL), now or later: another worker accepts the clients (OTHERS), or none can. */
void acceptor_answer(struct acceptor *g, bool others);
/* To be called each second. */
void acceptor_tick(struct acceptor *g);
/* N more descriptors are available without using those that logins may need. */
bool acceptor_has_room(const struct acceptor *g, unsigned n);
enum acceptor_state acceptor_state(const struct acceptor *g);
/* Not accepting, because descriptors are short. */
bool acceptor_is_full(const struct acceptor *g);
/* Clients that were refused. */
uint64_t acceptor_refused(const struct acceptor *g);

#endif
