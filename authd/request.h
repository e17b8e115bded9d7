/* A login request on its way through authd. Each is in one of the states below; request_enter() alone changes it. */
#ifndef AUTHD_REQUEST_H
#define AUTHD_REQUEST_H

#include "authd/authd_private.h"
#include "authd/scram.h"

/* --- what happens to requests --- */

enum { REQUESTS_MAX = 16384 }; /* pending ones of a worker; more are refused */

/* A login request has come from W: the rest of R. False: it is bad. */
bool request_new(struct authd_worker *w, struct msgr *r);
/* The request number ID of W, or its challenge, is not wanted any more. */
void request_cancel(struct authd_worker *w, uint32_t id);
/* The client's next message TEXT for request ID of W. */
void request_step(struct authd_worker *w, uint32_t id, const char *text);
/* The requests of W that have waited for their client since before THEN (seconds of lib/clock.h) are refused. */
void request_expire(struct authd_worker *w, double then);
/* Answers request ID of W, which does not exist (any more), with a temporary failure. */
void request_unknown(struct authd_worker *w, uint32_t id, const char *reason);
/* All requests of W end with it. */
void request_drop_all(struct authd_worker *w);
/* The address of a peer has come, or the first load is done: those who waited go on. */
void request_resume(struct authd *a);
/* Sets up what lets requests wait for addresses, and for room at a peer. */
void request_init(struct authd *a);

/* --- the states, for the files that hold their steps --- */

/* Where a login request is. A step is done at once and says which state is next; in a wait nothing happens until
 * what it waits for is there. Whatever the state, the worker may cancel the request, or go away. */
enum request_state {
	REQUEST_NEW,
	/* Step: for which client does it stand; is the challenge that it answers one of ours? */
	REQUEST_IDENTIFY,
	REQUEST_LOOKUP,     /* step: the account; queries the drivers from number `pos` on */
	REQUEST_FIRST_LOAD, /* wait: for the first load of the userdb */
	REQUEST_DIRECTORY,  /* wait: for the answer of a driver that may wait itself */
	/* Step: are the credentials right, by its mechanism? `result` says whether there is an account. */
	REQUEST_VERIFY,
	REQUEST_HASH,    /* wait: for an auth worker, which computes a slow hash */
	REQUEST_CLIENT,  /* wait: for the client's next message */
	REQUEST_KEYS,    /* wait: for an auth worker, which computes SCRAM's keys */
	REQUEST_VERDICT, /* step: `result` is whether the credentials are right */
	REQUEST_ADMIT,   /* step: may the account log in, so, from there, now? */
	REQUEST_ROUTE,   /* step: where is its mail? */
	REQUEST_TARGETS, /* step: at which addresses is that, and is there room for one more? */
	REQUEST_ADDRESS, /* wait: for the address of a host */
	REQUEST_ROOM,    /* wait: for pending logins at the peer to arrive there */
	REQUEST_GRANT,   /* step: the session is entered, the answer goes out */
	REQUEST_REFUSE,  /* step: the answer goes out */
	REQUEST_GRANTED, /* wait: the worker may ask again, once, if none of the hosts can be reached */
	REQUEST_DONE     /* it is freed */
};

struct request {
	UT_hash_handle hh; /* of its worker, by q.request */
	enum request_state state;
	struct request *prev, *next; /* FIRST_LOAD, ADDRESS: of authd.waiting; ROOM: of authd.for_room */
	struct authd_worker *worker;
	struct auth_request q;
	char service_name[32];
	char name[ACCOUNT_NAME_MAX]; /* with DEFDOMAIN */
	char *challenge;             /* that the client has answered; NULL: there was none */
	struct scram *scram;         /* a login in steps; NULL: it is none */
	double kept_since;           /* lib/clock.h: it is among its worker's nkept; 0: it is not */
	bool retried;                /* the worker has retried */
	struct account account;
	unsigned pos;                   /* in the chain */
	struct directory_waiter waiter; /* DIRECTORY */
	/* Where a driver's answer leads that comes while the driver is still being asked; DIRECTORY: none came. */
	enum request_state after_answer;
	/* By position: directories that do not know the account said to go on there; 0: not asked. */
	uint8_t passed[AUTH_CHAIN_MAX];
	enum auth_result result;
	bool no_account;                /* the password is checked against a dummy, for the time it takes */
	bool believed;                  /* the forwarded identity is trusted */
	enum signature_check signature; /* result of checking the forwarded identity's */
	/* Our name, as which a node of the pool has signed the forwarded identity; NULL: none has. */
	char *signed_for;
	struct net_addr client;
	bool client_tls;
	struct route route;
	double room_since;  /* lib/clock.h: it waits for room at the peer; 0: it does not */
	double names_since; /* loop_now(): the first wait for an address; 0: there was none */
	double names_until; /* the wait for that of host number `names_host` ends then */
	unsigned names_host;
};

/* The one place that changes a state. RQ goes from STATE on, step by step, until it waits or is done: the caller
 * does not touch it any more. */
void request_enter(struct request *rq, enum request_state state);
/* The answer will be no: V, for REASON (for the log; copied). The state in which it is given. */
enum request_state request_refuse(struct request *rq, enum auth_verdict v, const char *reason);
/* The answer that is being made, for a step and those that follow it without a wait. */
struct auth_reply *request_reply(void);
/* RQ outlives an answer to its worker. False: that has too many of this kind. */
bool request_keep(struct request *rq);
/* Sends it, and wipes its secrets. */
void request_send_reply(struct request *rq);
/* What the reply reports to the forwarding node about its signature. */
enum signature_check request_signature(const struct request *rq);
/* Sends M to W. */
void worker_send(struct authd_worker *w, const struct msgw *m);

#endif
