/* The sessions that a login worker carries, each from its hand-over to its end: those at peers, which it also logs and
 * answers for, and those of clients that speak TLS with session servers of this node, which log their own. */
#ifndef LOGIN_RELAYS_H
#define LOGIN_RELAYS_H

#include "login/login.h"
#include "login/relayed.h"
#include "node/session_choice.h"

struct relays;

struct relays_hooks {
	/* A session is over; SESSION is authd's number if it has to be told, or 0. */
	void (*ended)(uint64_t session, void *arg);
	/* There are descriptors for one more pipe. */
	bool (*has_room)(void *arg);
};

/* IDLE_SECONDS: after so long without a byte a session at a peer ends (0: never). SPREAD: clients of a peer that dies
 * are let go within so many seconds (proxy/let_go.h). DIALECTS, one per enum protocol, have the words for a kick. The
 * hooks get ARG. */
struct relays *relays_new(struct ev_loop *loop, unsigned idle_seconds, unsigned spread,
    const struct login_dialect *const *dialects, const struct relays_hooks *hooks, void *arg);
/* Frees *R, in which no session may be left, and lets all clients go. */
void relays_free(struct relays **r);
/* Starts the relay between L's client and its PEER: the two connections and the two strings, with what waits to be
 * sent, are taken over. Logs the LOGIN line. */
void relays_start(struct relays *r, struct login *l, struct conn *peer, struct str *to_client, struct str *to_server);
/* Starts the relay between L's client and STREAM to its session server, both of which are taken over. */
void relays_start_here(struct relays *r, struct login *l, int stream);
/* How many sessions there are; of these, those with session servers of this node. */
unsigned relays_count(const struct relays *r);
unsigned relays_count_here(const struct relays *r);
/* Clients of ended sessions that are not let go yet: no sessions. Each has a descriptor. */
unsigned relays_count_staying(const struct relays *r);
/* Lets up to N of those go now. */
void relays_let_go(struct relays *r, unsigned n);
/* Calls FN for each session at a peer. */
void relays_each(struct relays *r, void (*fn)(const struct relayed *s, void *arg), void *arg);
/* Of the sessions at peers: appends a row of `waypost who` for each that C means; ends them; both return how many. */
unsigned relays_who(struct relays *r, const struct session_choice *c, struct str *rows);
unsigned relays_kick(struct relays *r, const struct session_choice *c);
/* The node stops: ends the sessions at peers, and lets all clients go. */
void relays_stop(struct relays *r);

#endif
