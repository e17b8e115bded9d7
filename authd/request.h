/* A login request on its way through authd. Each is in one of the states below, which only request_enter() changes. */
#ifndef AUTHD_REQUEST_H
#define AUTHD_REQUEST_H

#include "authd/authd_private.h"
#include "authd/scram.h"

/* --- what happens to requests --- */

enum { REQUESTS_MAX = 16384 }; /* pending ones of a worker; more are refused */

/* A login request has come from W: the rest of R. False: it is bad. */
bool request_new(struct authd_worker *w, struct msgr *r);
/* W cancels its request ID, or the challenge of it. */
void request_cancel(struct authd_worker *w, uint32_t id);
/* The client's next message TEXT for request ID of W. */
void request_step(struct authd_worker *w, uint32_t id, const char *text);
/* Refuses the requests of W that have waited for their client since before THEN (seconds of lib/clock.h). */
void request_expire(struct authd_worker *w, double then);
/* Answers request ID of W, which does not exist (any more), with a temporary failure. */
void request_unknown(struct authd_worker *w, uint32_t id, const char *reason);
/* All requests of W end with it. */
void request_drop_all(struct authd_worker *w);
/* The address of a peer has arrived, or the first load is done: requests that waited for it continue. */
void request_resume(struct authd *a);
/* Sets up waiting for addresses, and for room at a peer. */
void request_init(struct authd *a);

/* --- the states, for the files that hold their steps --- */

/* The state of a login request. A step runs at once and returns the next state; a wait ends when what it waits for
 * arrives. Whatever the state, the worker may cancel the request, or end. */
enum request_state {
	REQUEST_NEW,
	/* Step: which client is it for; is the challenge that it answers one of ours? */
	REQUEST_IDENTIFY,
	REQUEST_LOOKUP,     /* step: the account; queries the drivers from number `pos` on */
	REQUEST_TURN,       /* wait: for its turn after the start (authd/turns.h) */
	REQUEST_FIRST_LOAD, /* wait: for the first load of the userdb, and for spawn's sessions */
	REQUEST_DIRECTORY,  /* wait: for the answer of a driver that may wait itself */
	/* Step: are the credentials right, by its mechanism? `result` says whether there is an account. */
	REQUEST_VERIFY,
	REQUEST_HASH,    /* wait: for an auth worker, which computes a slow hash */
	REQUEST_SAY,     /* step: a challenge for the client */
	REQUEST_CLIENT,  /* wait: for the client's next message */
	REQUEST_KEYS,    /* wait: for an auth worker, which computes SCRAM's keys */
	REQUEST_VERDICT, /* step: `result` is whether the credentials are right */
	REQUEST_HELD,    /* wait: they are, but too many wrong ones were tried before (authd/hold.h) */
	REQUEST_ADMIT,   /* step: may the account log in, from that client, now? */
	REQUEST_ROUTE,   /* step: where is its mail? */
	REQUEST_TARGETS, /* step: at which addresses is that, and is there room for one more? */
	REQUEST_ADDRESS, /* wait: for the address of a host */
	REQUEST_ROOM,    /* wait: for pending logins at the peer to arrive there */
	REQUEST_GRANT,   /* step: enters the session and sends the reply */
	REQUEST_REFUSE,  /* step: sends the reply */
	REQUEST_GRANTED, /* wait: the worker may retry once if none of the hosts can be reached */
	REQUEST_DONE     /* it is freed */
};

struct request {
	UT_hash_handle hh; /* of its worker, by q.request */
	enum request_state state;
	struct request *prev, *next; /* FIRST_LOAD, ADDRESS: of authd.waiting; DIRECTORY: of asking; ROOM: of
	                              * for_room; HELD: of held */
	struct authd_worker *worker;
	struct auth_request q;
	char service_name[32];
	char name[ACCOUNT_NAME_MAX]; /* with DEFDOMAIN */
	char *challenge;             /* that the client has answered; NULL: there was none */
	char *next_challenge;        /* SAY, HELD: for the client */
	struct scram *scram;         /* a SCRAM login; NULL: it is not one */
	double kept_since;           /* lib/clock.h: it is among its worker's nkept; 0: it is not */
	bool retried;                /* the worker has retried */
	struct account account;
	unsigned pos;                   /* in the chain */
	struct directory_waiter waiter; /* DIRECTORY */
	double asked_since;             /* loop_now(): start of the first wait for a directory; 0: there was none */
	/* The next state if a driver answers while the query is being started; DIRECTORY: no answer yet. */
	enum request_state after_answer;
	/* By position: directories that do not know the account said to go on there; 0: not asked. */
	uint8_t passed[AUTH_CHAIN_MAX];
	enum auth_result result;
	bool has_turn;                  /* it has had to wait for its turn, or not */
	bool held;                      /* it was decided whether it is held */
	double held_until;              /* HELD: lib/clock.h */
	enum request_state after_hold;  /* HELD */
	bool no_account;                /* nobody knows the name */
	bool dummy;                     /* the password is checked against a dummy, for the time it takes */
	bool believed;                  /* the forwarded identity is trusted */
	enum signature_check signature; /* result of checking the forwarded identity's */
	/* Our name, for which a node of the pool has signed the forwarded identity; NULL: not signed. */
	char *signed_for;
	struct net_addr client;
	bool client_tls;
	char client_tls_words[SESSION_TLS_MAX]; /* as in struct forwarded */
	bool late;  /* the two are of a client whom a node has named whose clock is off; `client` is that node */
	bool crowd; /* the client is a proxy of PROXY_TRUSTED that does not say whom it forwards */
	struct route route;
	bool here;          /* TARGETS: the mail is here, for the server of LOCAL_IMAP or LOCAL_POP3 */
	double room_since;  /* loop_now(): it waits for room at the peer, and none arrives there; 0: it does not wait */
	unsigned room_seen; /* how many had arrived then */
	double line_since;  /* loop_now(): the queue of the local server's socket is full; 0: it was not */
	double names_since; /* loop_now(): start of the first wait for an address; 0: there was none */
	double names_until; /* the wait for that of host number `names_host` ends then */
	unsigned names_host;
};

/* The only place that changes a state. Runs RQ from STATE on, step by step, until it waits or is done: the caller must
 * not use it any more. */
void request_enter(struct request *rq, enum request_state state);
/* Prepares a refusal: V, with REASON for the log (copied). Returns the next state. */
enum request_state request_refuse(struct request *rq, enum auth_verdict v, const char *reason);
/* The reply being made, valid in a step and those that follow it without a wait. */
struct auth_reply *request_reply(void);
/* FD goes with it; it is taken over. */
void request_reply_carries(int fd);
/* Keeps RQ after the reply to its worker. False: the worker has too many kept requests. */
bool request_keep(struct request *rq);
/* Sends it, and wipes its secrets. */
void request_send_reply(struct request *rq);
/* What the reply reports to the forwarding node about its signature. */
enum signature_check request_signature(const struct request *rq);
/* Sends M to W. */
void worker_send(struct authd_worker *w, const struct msgw *m);

#endif
