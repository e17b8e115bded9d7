/* The messages between the master and the roles, and between the master and the operator's tool. A read function
 * returns false if the message is not whole or has a value that is not in its range. Messages without fields are
 * msgw_begin() alone. */
#ifndef NODE_MSG_CONTROL_H
#define NODE_MSG_CONTROL_H

#include "lib/msg.h"
#include "node/msg_auth.h"
#include "node/msg_channel.h"

/* In RUNDIR: what `waypost peer` says of peers (settings/peer_orders.h). The master writes it, authd reads it. */
#define CONTROL_PEERS_FILE "peers"

enum { CONTROL_COMMAND_MAX = 32, CONTROL_ARGUMENT_MAX = 8 * 1024 };

/* A process of the node: the other end of a channel, or the one that a message is about. */
struct control_process {
	enum role role;
	uint32_t slot;
	uint64_t generation;
};

/* CTL_CHANNEL: the process at the other end of the descriptor that comes with it. */
void control_channel_write(struct msgw *w, const struct control_process *other);
bool control_channel_read(struct msgr *r, struct control_process *other);

/* CTL_LISTEN: what the socket that comes with it is for. */
struct control_listen {
	uint32_t slot;
	enum protocol protocol;
	bool tls; /* from the first byte */
};
void control_listen_write(struct msgw *w, const struct control_listen *m);
bool control_listen_read(struct msgr *r, struct control_listen *m);

/* CTL_TRUST: comes with a descriptor for tls_trust_read(). WHOSE: the protocol whose clients show certificates, or
 * CONTROL_TRUST_PEERS. */
enum { CONTROL_TRUST_PEERS = PROTOCOL_COUNT, CONTROL_TRUST_COUNT };
void control_trust_write(struct msgw *w, unsigned whose);
bool control_trust_read(struct msgr *r, unsigned *whose);

/* CTL_UNLISTEN. */
void control_unlisten_write(struct msgw *w, uint32_t slot);
bool control_unlisten_read(struct msgr *r, uint32_t *slot);

/* CTL_OTHERS, CTL_DRAIN and CTL_FULL (TYPE): yes or no. */
void control_switch_write(struct msgw *w, enum msg_type type, bool on);
bool control_switch_read(struct msgr *r, bool *on);

/* CTL_MISSED: a CTL_CHANNEL, CTL_LISTEN, CTL_TRUST or CTL_SETTINGS (TYPE) came without its descriptor. */
struct control_missed {
	uint16_t type;
	struct control_process other; /* zeros where that message has none; of CTL_TRUST its WHOSE, as slot */
};
void control_missed_write(struct msgw *w, const struct control_missed *m);
bool control_missed_read(struct msgr *r, struct control_missed *m);

/* CTL_UNFIT: that login worker must be replaced. */
void control_unfit_write(struct msgw *w, uint32_t slot, uint64_t generation);
bool control_unfit_read(struct msgr *r, uint32_t *slot, uint64_t *generation);

/* CTL_QUERY and TOOL_COMMAND (which has no number): a command of the operator. Wipe it: it may have a password. */
struct control_command {
	uint32_t query;
	char command[CONTROL_COMMAND_MAX];
	char argument[CONTROL_ARGUMENT_MAX];
};
void control_query_write(struct msgw *w, uint32_t query, const char *command, const char *argument);
bool control_query_read(struct msgr *r, struct control_command *m);
void tool_command_write(struct msgw *w, const char *command, const char *argument);
bool tool_command_read(struct msgr *r, struct control_command *m);

/* CTL_ROWS and TOOL_ROWS (which has no number): whole lines of an answer, ROLE_ROWS_MAX bytes at most. TEXT points
 * into the message. */
void control_rows_write(struct msgw *w, uint32_t query, const char *text, size_t len);
bool control_rows_read(struct msgr *r, uint32_t *query, const char **text, size_t *len);
void tool_rows_write(struct msgw *w, const char *text, size_t len);
bool tool_rows_read(struct msgr *r, const char **text, size_t *len);

/* CTL_TOTALS: what a login worker or authd has counted since its start, when it has changed: with the answers to
 * "status" and CTL_PING, and at a worker's end. The master adds up those of all processes, also of those that have
 * ended. The columns: role that counts, name, name in `waypost status`. Behind them is one of authd's for each
 * auth_verdict. */
#define CONTROL_TOTALS(X) \
	X(WORKER, ACCEPTED, "accepted") \
	X(WORKER, LOGINS_OK, "logins_ok") \
	X(WORKER, LOGINS_FAILED, "logins_failed") \
	X(WORKER, REFUSED, "clients_refused") \
	X(WORKER, YIELDED, "strangers_closed") \
	X(WORKER, DENIED, "clients_denied") \
	X(WORKER, HEADERS, "headers_refused") \
	X(WORKER, TLS_FAILED, "tls_failed") \
	X(AUTHD, JOBS_REFUSED, "jobs_refused") \
	X(AUTHD, TIMEOUTS, "auth_timeouts") \
	X(AUTHD, TURNS_WAITED, "turns_waited") \
	X(AUTHD, TURNS_REFUSED, "turns_refused") \
	X(AUTHD, CACHE_HITS, "cache_hits") \
	X(AUTHD, CACHE_MISSES, "cache_misses") \
	X(AUTHD, CACHE_NEGATIVE, "cache_negative") \
	X(AUTHD, CACHE_SHARED, "cache_shared") \
	X(AUTHD, CACHE_STALE, "cache_stale")
enum control_total {
#define X(role, id, name) CONTROL_TOTAL_##id,
	CONTROL_TOTALS(X)
#undef X
	    CONTROL_TOTAL_VERDICT,
	CONTROL_TOTAL_COUNT = CONTROL_TOTAL_VERDICT + AUTH_VERDICT_COUNT
};
struct control_totals {
	uint64_t n[CONTROL_TOTAL_COUNT];
};
enum { CONTROL_TOTALS_MOST = 1000 * 1000 }; /* that a process can count in a second, of each */
const char *control_total_name(enum control_total t);
void control_totals_write(struct msgw *w, const struct control_totals *m);
bool control_totals_read(struct msgr *r, struct control_totals *m);
/* A process of ROLE that has said BEFORE, and runs for SECONDS, can say M: none of another role's, none that is less
 * than it was, and no more than it can have counted. */
bool control_totals_possible(const struct control_totals *m, enum role role, const struct control_totals *before,
    double seconds);

/* CTL_DONE and TOOL_DONE: the end of an answer. The caller frees MESSAGE with mem_free(), in any case. */
void control_done_write(struct msgw *w, uint32_t query, uint32_t result);
bool control_done_read(struct msgr *r, uint32_t *query, uint32_t *result);
void tool_done_write(struct msgw *w, uint32_t status, const char *message);
bool tool_done_read(struct msgr *r, uint32_t *status, char **message);

#endif
