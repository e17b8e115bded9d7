/* What the files of the authd process share; private to authd/. */
#ifndef AUTHD_AUTHD_PRIVATE_H
#define AUTHD_AUTHD_PRIVATE_H

#include "authd/challenges.h"
#include "authd/jobs.h"
#include "authd/troubles.h"
#include "authd/guesses.h"
#include "authd/challenge_response.h"
#include "authd/orders.h"
#include "authd/peers.h"
#include "authd/pool_capability.h"
#include "authd/directory_lookup.h"
#include "authd/register.h"
#include "authd/resolver.h"
#include "authd/same_nodes.h"
#include "authd/signature_errors.h"
#include "authd/used_tokens.h"
#include "authlib/auth.h"
#include "authlib/userdb.h"
#include "lib/tls_trust.h"
#include "node/msg_auth.h"
#include "node/role.h"
#include "proxy/route.h"

struct authd;
struct request;

/* A worker's channel; its requests and sessions end with it. */
struct authd_worker {
	struct authd_worker *next;
	struct authd *a;
	struct chan *chan;
	unsigned slot;
	uint64_t generation;
	struct request *requests; /* by their number */
	unsigned nrequests;
	size_t session_bytes;          /* what its sessions take (authd/sessions.h) */
	double tell_again;             /* lib/clock.h: when it may be logged again that it has too many */
	struct challenges *challenges; /* challenges that its clients have not answered yet */
	unsigned nkept;                /* requests that are kept after a reply, for an AUTH_RESPONSE */
};

enum { TURNS_BUCKETS = 1024 /* of addresses, by a keyed hash */ };

/* Logins that wait for their turn after the start (authd/turns.h). */
struct turns {
	struct request *queue;
	unsigned n;
	double budget, at; /* logins that may begin at the time `at`, of loop_now() */
	uint64_t seed;
	unsigned of[TURNS_BUCKETS]; /* how many wait, by address */
	ev_timer timer;             /* runs while there are any */
	uint64_t waited, refused;
	uint32_t tell_again;
};

struct authd {
	struct role_ctx ctx;
	double started;                              /* lib/clock.h */
	struct route_protocol ports[PROTOCOL_COUNT]; /* peer_ports() of the settings */
	struct authd_worker *workers;
	struct chan *spawn;
	uint64_t spawn_generation;
	struct jobs *jobs;
	struct directory_lookups *directory_lookups;
	struct resolver *resolver;
	struct peers *peers;
	struct orders *orders; /* what is said of them */
	struct troubles *troubles;
	struct pool_capability *pool_capability;
	double pool_file_at;    /* lib/clock.h: not before this is it written to its file (authd/pool_file.h) */
	bool pool_file_pending; /* an auth worker is to write it */
	struct same_nodes *same_nodes;
	/* Nodes with an invalid signature, or that do not accept ours. */
	struct signature_errors *signature_errors;
	uint64_t signatures[SIGNATURE_COUNT]; /* of forwarded logins, by result of the check */
	struct reg *reg;
	struct cache *cache;
	struct mac *own_secret;                  /* of this run, for what needs a secret if there is no `pool` */
	uint32_t ticket_period;                  /* of the keys that workers have (lib/tls_ticket_keys.h) */
	struct used_tokens *used_tokens;         /* of other nodes, used here */
	struct pool_keys *pool;                  /* of the pool's secrets; NULL: there are none */
	struct tls_trust *trust[PROTOCOL_COUNT]; /* of clients' certificates; NULL: nobody */
	struct auth_chain *chain;
	struct userdb *userdb; /* the image that the chain uses; NULL: there is none yet */
	ev_timer tick;         /* once a second: the userdb file */
	struct userdb_watch watch;
	bool loading;
	bool spawn_awaited;          /* it has not told of its sessions yet: logins wait, for limits count them */
	double spawn_until;          /* lib/clock.h: ... not longer than this */
	bool first_load;             /* the first reading of the userdb has not ended yet: logins wait for it */
	struct userdb_report report; /* of the last load */
	struct request *waiting;     /* requests that wait for the address of a peer, or for the first load */
	ev_timer address_timer;      /* runs while some of them wait for an address */
	struct turns turns;          /* of logins, after the start */
	struct request *asking;      /* requests that wait for the answer of a directory */
	ev_timer asking_timer;       /* runs while there are any */
	uint64_t gave_up;            /* of them: AUTH_TIMEOUT was over */
	struct request *for_room;    /* requests that wait for room at a peer, in the order of arrival */
	unsigned nfor_room;
	ev_timer room_timer; /* runs while there are any */
	struct guesses *guesses;
	struct request *held; /* requests that wait because of wrong passwords before */
	uint64_t logins[AUTH_VERDICT_COUNT];
};

/* Seconds of PROXY_TIMEOUT that a login may wait for names; the rest is for the peer. */
double names_patience(const struct settings *set);
/* NAME, which logs in by P, with DEFDOMAIN appended if the settings SET say so, into OUT. False if that is too long. */
bool name_with_domain(const struct settings *set, enum protocol p, const char *name, char out[ACCOUNT_NAME_MAX]);
/* The name under which logins by P at LOCAL_PORT are checked (AUTHSERVICE<port>), into OUT. */
void service_at_port(const struct settings *set, enum protocol p, uint16_t local_port, char *out, size_t size);

/* Where the mail of ACCT is for protocol P, by its mailhost option. As route_decide(). */
bool route_of(const struct authd *a, enum protocol p, const struct account *acct, struct route *out);

/* The userdb on disk was refused, or is missing: it may contain an unknown account. */
bool authd_userdb_refused(const struct authd *a);

/* `waypost route` and `waypost auth`: they reply with role_rows() and role_done(). */
void control_reply_route(struct authd *a, uint32_t query, const char *user);
void control_reply_auth(struct authd *a, uint32_t query, const char *argument);
void control_reply_flush(struct authd *a, uint32_t query, const char *user);
void control_reply_status(struct authd *a, uint32_t query);
/* `waypost peer`: COMMAND is a line of settings/peer_orders.h, which the master has written already; "": none. */
void control_reply_peer(struct authd *a, uint32_t query, const char *command);
/* What is counted since the start, for CTL_TOTALS. */
void control_fill_totals(const struct authd *a, struct control_totals *totals);

/* Whether the account may be used at all: uid and gid. False: WHY (static) says what to do. */
bool account_allowed(const struct settings *set, const struct account *acct, const char **why);

#endif
