/* A session that a worker relays: the data for the log, `waypost who` and authd, in as few bytes as possible. The peer
 * is one record for all its sessions; the text of the session's id is kept only if it is not made from its number. */
#ifndef LOGIN_RELAYED_H
#define LOGIN_RELAYED_H

#include "login/login.h"
#include "node/session_choice.h"
#include "proxy/relay.h"

struct relayed_peer;

struct relayed {
	uint64_t session; /* authd's number */
	struct relayed_peer *peer;
	struct net_addr client; /* the client that it is for */
	uint32_t started;       /* loop time, seconds */
	uint8_t protocol;       /* enum protocol */
	bool tls;               /* the client speaks TLS, to this node or the one before */
	char texts[];           /* user; then the session's id, or ""; then words about TLS, or "" */
};

/* The record of login L, which its peer has accepted; NOW in loop time. */
struct relayed *relayed_new(const struct login *l, uint32_t now);
void relayed_free(struct relayed **s);
const char *relayed_user(const struct relayed *s);
/* C means this session. */
bool relayed_is_chosen(const struct relayed *s, const struct session_choice *c);
/* The LOGIN line, and the line of the end of R. */
void relayed_log_login(const struct relayed *s);
void relayed_log_end(const struct relayed *s, const struct relay *r, enum relay_end end, uint32_t now);
/* The server of S has ended while nothing was under way, at NOW in loop time. True: so have many at the same peer
 * within a second, and S is not one of the first. */
bool relayed_dies_with_others(const struct relayed *s, uint32_t now);
/* Appends the row of `waypost who` (node/msg_channel.h, CTL_ROWS). */
void relayed_row(const struct relayed *s, const struct relay *r, uint32_t now, struct str *out);

#endif
