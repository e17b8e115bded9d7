/* What looks like logins that go in circles: remembered for some minutes, for `waypost status`, and said in the log
 * once a minute for each peer, however many logins are concerned. */
#ifndef AUTHD_LOOPS_H
#define AUTHD_LOOPS_H

#include "lib/str.h"
#include "node/msg_channel.h"

enum loop_kind {
	LOOP_BACK,  /* the name in mailhost has led back to this node */
	LOOP_CROWD, /* a peer has as many pending logins as it may */
	LOOP_KINDS
};

struct loops;

struct loops *loops_new(void);
void loops_free(struct loops **l);
/* KIND was seen with the peer HOST (as in mailhost) at PORT, at NOW (seconds of any clock that does not jump). True:
 * this is to be said in the log, for it was not in the last minute. */
bool loops_seen(struct loops *l, enum loop_kind kind, enum protocol p, const char *host, uint16_t port, double now);
/* KIND was seen with that peer within the last LOOPS_AGE seconds. */
bool loops_has(const struct loops *l, enum loop_kind kind, enum protocol p, const char *host, uint16_t port,
    double now);
/* Peers with which KIND was seen within the last LOOPS_AGE seconds; their texts "host:port" are appended to OUT, with
 * blanks between. */
unsigned loops_list(const struct loops *l, enum loop_kind kind, double now, struct str *out);
enum { LOOPS_AGE = 600 };

#endif
