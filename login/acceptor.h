/* Where a login worker takes its clients in: its listening sockets, those that it serves for others, and what
 * happens when it has no descriptors for more.
 *
 *   NEW --open--> TAKING --no room for one more login--> ASKING (the master: who else has room?)
 *     ASKING --another worker--> LENT: that one takes the clients of our sockets, they are not looked at here
 *     ASKING --nobody--> REFUSING: clients get an error at once and are closed
 *   All three --there is room again--> TAKING.
 *
 * A login needs descriptors later on, for the connection to a peer. A client is only taken in while there are enough
 * for it and for all who came before, so that a pending login never fails for lack of one. */
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
	X(REFUSING) /* full; clients are refused */ \
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
	/* Descriptors that clients have, and those that their logins may need yet. */
	unsigned (*in_use)(void *arg);
	/* Gives back descriptors that are not needed just now. */
	void (*trim)(void *arg);
	/* A new client; FD is the callee's. */
	void (*client)(void *arg, enum protocol protocol, int fd, const struct net_addr *client, uint16_t port);
	/* The last words for one who cannot be served; FD is closed by the caller. */
	void (*refuse)(void *arg, enum protocol protocol, int fd);
	/* For the master: no more clients can be taken (FULL), or they can again. It answers the former:
	 * acceptor_answer(). */
	void (*tell)(void *arg, bool full);
};

struct acceptor *acceptor_new(struct ev_loop *loop, const struct acceptor_hooks *hooks, void *arg);
/* Closes all sockets; empties *G. */
void acceptor_free(struct acceptor **g);
/* Takes over the listening socket SOCK, of worker slot SLOT. It is looked at at once if the acceptor is open. */
void acceptor_add(struct acceptor *g, unsigned slot, enum protocol protocol, int sock);
/* Closes the sockets of worker slot SLOT: another worker has them. */
void acceptor_drop(struct acceptor *g, unsigned slot);
/* All is ready: clients are taken. What this process has open now is what it always needs. */
void acceptor_open(struct acceptor *g);
/* Closes all sockets, for ever. */
void acceptor_shut(struct acceptor *g);
/* The master's answer to tell(FULL), now or later: another worker accepts the clients (OTHERS), or none can. */
void acceptor_answer(struct acceptor *g, bool others);
/* To be called each second. */
void acceptor_tick(struct acceptor *g);
/* N descriptors more can be had without touching those that logins may need. */
bool acceptor_has_room(const struct acceptor *g, unsigned n);
enum acceptor_state acceptor_state(const struct acceptor *g);
/* Not accepting, because descriptors are short. */
bool acceptor_is_full(const struct acceptor *g);
/* Clients that were refused. */
uint64_t acceptor_refused(const struct acceptor *g);

#endif
