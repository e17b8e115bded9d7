/* The tickets that authd gave to spawn, and the clients that came before their ticket did. A ticket is valid once, for
 * a short time, and only on the channel of the worker (slot and generation) that authd named. Both tables are bounded.
 * Time is given in ms of the monotonic clock; nothing here waits, sends or forks. */
#ifndef MASTER_TICKETS_H
#define MASTER_TICKETS_H

#include "node/msg_ticket.h"

struct ticket {
	struct ticket_grant grant;
	/* private */
	int64_t expires;
	struct ticket *next_in_bucket;
	struct ticket *older, *newer;
};

struct handoff {
	uint8_t id[TICKET_LEN];
	uint32_t request;
	uint32_t slot;
	uint64_t generation;
	char context[SESSION_CONTEXT_MAX];
	void *leftover;
	size_t leftover_len;
	int fd; /* what the session server gets; -1: one end of a stream to the worker, made when it is started */
	/* private */
	int64_t expires;
	struct handoff *next;
};

enum {
	TICKETS_MAX = 10000,
	TICKETS_LIFE = 30 * 1000,
	HANDOFFS_MAX = 1024,
	HANDOFFS_PER_WORKER = 128,
	HANDOFFS_LIFE = 2000
};

struct tickets;

struct tickets *tickets_new(void);
void tickets_free(struct tickets **t);
/* Empty records; free them with ticket_free() (wipes the id) and handoff_free() (closes the descriptor). */
struct ticket *ticket_new(void);
void ticket_free(struct ticket **tk);
struct handoff *handoff_new(void);
void handoff_free(struct handoff **h);

/* Stores TK, which then belongs to T. False, and TK stays the caller's: there are TICKETS_MAX, or one with this id. */
bool tickets_add(struct tickets *t, struct ticket *tk, int64_t now);
/* Removes and returns the ticket ID, which the caller frees. NULL if there is none, or it has expired, or it is for
 * another worker (then it stays). */
struct ticket *tickets_take(struct tickets *t, const uint8_t id[TICKET_LEN], uint32_t slot, uint64_t generation,
    int64_t now);
/* Forgets ticket ID. */
void tickets_void(struct tickets *t, const uint8_t id[TICKET_LEN]);

/* Keeps H until its ticket comes. False, and H stays the caller's: too many are waiting, in all or of this worker. */
bool tickets_hold(struct tickets *t, struct handoff *h, int64_t now);
/* Removes and returns the client that waits for ticket TK (same id, same worker); NULL if there is none. */
struct handoff *tickets_held(struct tickets *t, const struct ticket *tk);
/* Removes and returns a client that has waited too long; NULL if there is none (any more). */
struct handoff *tickets_overdue(struct tickets *t, int64_t now);

/* Drops expired tickets. */
void tickets_expire(struct tickets *t, int64_t now);
/* The channel of a worker is gone: so are its tickets and its waiting clients. */
void tickets_drop_worker(struct tickets *t, uint32_t slot, uint64_t generation);
/* Tickets, and clients that wait. */
size_t tickets_count(const struct tickets *t);
size_t tickets_waiting(const struct tickets *t);

#endif
