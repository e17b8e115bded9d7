/* The messages between the master and the roles, and between the master and the operator's tool. A read function
 * returns false if the message is not whole or has a value that is not in its range. Messages without fields are
 * msgw_begin() alone. */
#ifndef NODE_MSG_CONTROL_H
#define NODE_MSG_CONTROL_H

#include "lib/msg.h"
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

/* CTL_TOTALS: what a login worker has counted since its start, when it has changed: with the answers to "status" and
 * CTL_PING, and at its end. The master adds up those of all workers, also of those that have ended. The columns: name,
 * name in `waypost status`. */
#define CONTROL_TOTALS(X) \
	X(ACCEPTED, "accepted") \
	X(LOGINS_OK, "logins_ok") \
	X(LOGINS_FAILED, "logins_failed") \
	X(REFUSED, "clients_refused") \
	X(YIELDED, "strangers_closed") \
	X(DENIED, "clients_denied") \
	X(HEADERS, "headers_refused") \
	X(TLS_FAILED, "tls_failed")
enum control_total {
#define X(id, name) CONTROL_TOTAL_##id,
	CONTROL_TOTALS(X)
#undef X
	    CONTROL_TOTAL_COUNT
};
struct control_totals {
	uint64_t n[CONTROL_TOTAL_COUNT];
};
const char *control_total_name(enum control_total t);
void control_totals_write(struct msgw *w, const struct control_totals *m);
bool control_totals_read(struct msgr *r, struct control_totals *m);

/* CTL_DONE and TOOL_DONE: the end of an answer. The caller frees MESSAGE with mem_free(), in any case. */
void control_done_write(struct msgw *w, uint32_t query, uint32_t result);
bool control_done_read(struct msgr *r, uint32_t *query, uint32_t *result);
void tool_done_write(struct msgw *w, uint32_t status, const char *message);
bool tool_done_read(struct msgr *r, uint32_t *status, char **message);

#endif
