/* The sessions of this node: who is logged in, from where, and who serves them. Sessions are counted here for limits,
 * and the pending logins at each peer. Pure bookkeeping: no socket, no clock. */
#ifndef AUTHD_REGISTER_H
#define AUTHD_REGISTER_H

#include <uthash.h>

#include "authd/peers.h"
#include "lib/net.h"
#include "node/account.h"
#include "node/msg_channel.h"

enum register_owner {
	OWNER_WORKER, /* a login or relay of a worker */
	OWNER_SPAWN   /* a session server, or a program that goes on when its session is over */
};

/* A login that is pending at a peer. */
struct reg_pending {
	struct reg_pending *prev, *next; /* in the order of their start */
	struct reg_session *session;
	struct reg_crowd *at_peer, *of_account;
	double until;
	unsigned ntargets;
	struct peer_service target[]; /* where it may go */
};

struct reg_session {
	UT_hash_handle hh;
	uint64_t id;
	void *worker;    /* OWNER_WORKER: whose (authd/sessions.c) */
	uint8_t *ticket; /* OWNER_WORKER: TICKET_LEN bytes while the ticket can still be used */
	/* Where it is counted: all of its account, and those of its client. */
	struct reg_account *account, *account_there;
	struct reg_pending *pending; /* while the login is pending at a peer; else NULL */
	struct net_addr client;
	uint32_t pid;            /* OWNER_SPAWN, or of the program */
	uint32_t start;          /* unix seconds */
	uint8_t owner, protocol; /* enum register_owner, enum protocol */
	bool program;            /* spawn has a program for it, which has not ended: it counts as long */
	char user[];
};

struct reg;

struct reg *reg_new(void);
void reg_free(struct reg **r);
/* The approximate memory of a session of account USER, including its part of the counts. */
size_t reg_session_bytes(const char *user);
/* A new session with a unique ID of the caller. NULL if that number exists already. USER is copied. */
struct reg_session *reg_add(struct reg *r, uint64_t id, enum protocol p, const struct net_addr *client,
    const char *user, uint32_t start);
struct reg_session *reg_find(struct reg *r, uint64_t id);
void reg_remove(struct reg *r, struct reg_session *s);
/* Notes the ticket (TICKET_LEN bytes) that was given out for S; NULL: it cannot be used any more. */
void reg_set_ticket(struct reg_session *s, const uint8_t *ticket);
/* S is a login that goes to the peer HOST (in any case) at the first of N services TARGET (copied; at least one, of
 * perhaps more hosts): pending there until reg_arrived(), or until it is removed; at the latest until UNTIL (any
 * clock), because a worker that never reports its end must not block others. */
void reg_add_pending(struct reg *r, struct reg_session *s, const char *host, const struct peer_service *target,
    unsigned n, double until);
void reg_arrived(struct reg *r, struct reg_session *s);
/* Until UNTIL (any clock) USER's logins do not go to that peer, unless a pending one arrives there. */
void reg_block(struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user, double until);
bool reg_is_blocked(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user,
    double now);
/* Drops what was blocked, or pending, until NOW. To be called now and then. */
void reg_expire(struct reg *r, double now);
/* Logins by protocol P that are pending at that peer: those of account USER, or all of them (NULL). */
unsigned reg_pending_at(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user);
/* How many of these have arrived since the first one that is pending there began, or was blocked. */
unsigned reg_arrived_at(const struct reg *r, enum protocol p, const char *host, uint16_t port, const char *user);
/* All that are pending anywhere. */
unsigned reg_pending_all(const struct reg *r);
/* Calls FN for each session; FN may remove it. */
void reg_each(struct reg *r, void (*fn)(struct reg *r, struct reg_session *s, void *arg), void *arg);
/* Sessions of a protocol (local and relayed): all, those from one address, and those of one account, from CLIENT or
 * from anywhere (NULL). */
unsigned reg_count(const struct reg *r, enum protocol p);
unsigned reg_count_ip(const struct reg *r, enum protocol p, const struct net_addr *client);
unsigned reg_count_account(const struct reg *r, enum protocol p, const struct net_addr *client, const char *user);

#endif
