/* A login worker's channel to spawn: hands a client to a session server of this node (node/msg_ticket.h). */
#ifndef LOGIN_SPAWN_LINK_H
#define LOGIN_SPAWN_LINK_H

#include <ev.h>

#include "login/request_table.h"

struct login;
struct spawn_link;

/* ARG is spawn_link_new()'s. */
struct spawn_link_hooks {
	/* Spawn's answer about L: a session server has the client (OK), or there is none. STREAM, if not -1, leads to
	 * the server and is taken over. May end L. */
	void (*reply)(struct login *l, bool ok, int stream);
	/* Spawn is gone, and owes its answers. */
	void (*gone)(void *arg);
};

/* REQUESTS, where the logins' numbers come from, outlives the link. */
struct spawn_link *spawn_link_new(struct ev_loop *loop, struct request_table *requests,
    const struct spawn_link_hooks *hooks, void *arg);
/* Closes the channel, if it is open, and frees *S. */
void spawn_link_free(struct spawn_link **s);
/* Takes over SOCK, the channel to a new spawn, after the last answers of the one before. */
void spawn_link_open(struct spawn_link *s, int sock);
/* Hands over L's client, with the ticket of its verdict and what it has sent already; the answer comes by reply(). A
 * session server gets the client's own descriptor if the very bytes go through that, else one end of a stream, of which
 * the other comes with the answer. False: there is no spawn now. */
bool spawn_link_hand_off(struct spawn_link *s, struct login *l);

#endif
