/* Problems with peers that somebody must fix there or in mailhost: kept for some minutes, for `waypost status`, and
 * logged once a minute for each peer, however many logins are affected. */
#ifndef AUTHD_TROUBLES_H
#define AUTHD_TROUBLES_H

#include "lib/net.h"
#include "lib/str.h"
#include "node/msg_channel.h"

enum trouble_kind {
	TROUBLE_LOOP,      /* the name in mailhost leads back to this node */
	TROUBLE_CROWD,     /* a peer has as many pending logins as it may */
	TROUBLE_TLS,       /* a peer accepts no logins without TLS; the next one is over with it, too */
	TROUBLE_UNTRUSTED, /* TLS with a peer fails: in most cases its certificate is not believed */
	TROUBLE_KINDS
};

struct troubles;

struct troubles *troubles_new(void);
void troubles_free(struct troubles **t);
/* KIND was seen with the peer HOST (as in mailhost) at ADDR (its port counts; the address too, if there is one), at NOW
 * (seconds of any clock that does not jump). True: log it, because it was not logged in the last minute. */
bool troubles_seen(struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host,
    const struct net_addr *addr, double now);
/* WHY, in words of another process, KIND was seen with that peer. */
void troubles_set_why(struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port,
    const char *why);
/* The same, printable; "" if there are no words, or KIND was not seen. */
const char *troubles_why(const struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host,
    uint16_t port);
/* KIND is over with all peers, or nobody knows. */
void troubles_forget(struct troubles *t, enum trouble_kind kind);
/* KIND is over with the peer that was seen at ADDR. */
void troubles_over(struct troubles *t, enum trouble_kind kind, enum protocol p, const struct net_addr *addr);
/* KIND was seen with that peer within the last TROUBLES_AGE seconds. */
bool troubles_has(const struct troubles *t, enum trouble_kind kind, enum protocol p, const char *host, uint16_t port,
    double now);
/* Peers with which KIND was seen within the last TROUBLES_AGE seconds; their texts "host:port" are appended to OUT,
 * with blanks between. */
unsigned troubles_list(const struct troubles *t, enum trouble_kind kind, double now, struct str *out);
enum { TROUBLES_AGE = 600 };

#endif
