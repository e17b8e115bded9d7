/* Where a login worker takes its clients in: its listening sockets, those that it serves for others, and what happens when
 * it has no descriptors for more.
 *
 *   NEW --open--> TAKING --no room for one more login--> ASKING (the master: who else has room?)
 *     ASKING --another worker--> LENT: that one takes the clients of our sockets, they are not looked at here
 *     ASKING --nobody--> REFUSING: clients get an error at once and are closed
 *   All three --there is room again--> TAKING.
 *
 * A login needs descriptors later on, for the connection to a peer. A client is only taken in while there are enough for it and
 * for all who came before, so that a pending login never fails for lack of one. */
#ifndef LOGIN_GATE_H
#define LOGIN_GATE_H

#include <ev.h>

#include "lib/net.h"
#include "node/wire.h"

#define GATE_STATES(X) \
	X(NEW)      /* not begun yet */ \
	X(TAKING)   /* clients are accepted */ \
	X(ASKING)   /* full; the master looks for another worker */ \
	X(LENT)     /* full; another worker takes them */ \
	X(REFUSING) /* full; clients are refused */ \
	X(SHUT)     /* for ever */
enum gate_state {
#define X(name) GATE_##name,
	GATE_STATES(X)
#undef X
};

struct gate;

/* ARG is gate_new()'s. */
struct gate_hooks {
	/* Descriptors that clients have, and those that their logins may need yet. */
	unsigned (*in_use)(void *arg);
	/* Gives back descriptors that are not needed just now. */
	void (*trim)(void *arg);
	/* A new client; FD is the callee's. */
	void (*client)(void *arg, enum protocol protocol, int fd, const struct net_addr *client, uint16_t port);
	/* The last words for one who cannot be served; FD is closed by the caller. */
	void (*refuse)(void *arg, enum protocol protocol, int fd);
	/* For the master: no more clients can be taken (FULL), or they can again. It answers the former: gate_answer(). */
	void (*tell)(void *arg, bool full);
};

struct gate *gate_new(struct ev_loop *loop, const struct gate_hooks *hooks, void *arg);
/* Closes all sockets; empties *G. */
void gate_free(struct gate **g);
/* Takes over the listening socket SOCK, of worker slot SLOT. It is looked at at once if the gate is open. */
void gate_add(struct gate *g, unsigned slot, enum protocol protocol, int sock);
/* Closes the sockets of worker slot SLOT: another worker has them. */
void gate_drop(struct gate *g, unsigned slot);
/* All is ready: clients are taken. What this process has open now is what it always needs. */
void gate_open(struct gate *g);
/* Closes all sockets, for ever. */
void gate_shut(struct gate *g);
/* The master's answer to tell(FULL), now or later: another worker accepts the clients (OTHERS), or none can. */
void gate_answer(struct gate *g, bool others);
/* To be called each second. */
void gate_tick(struct gate *g);
/* N descriptors more can be had without touching those that logins may need. */
bool gate_has_room(const struct gate *g, unsigned n);
enum gate_state gate_state(const struct gate *g);
/* Not accepting, because descriptors are short. */
bool gate_is_full(const struct gate *g);
/* Clients that were refused. */
uint64_t gate_refused(const struct gate *g);

#endif
