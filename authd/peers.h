/* What this node knows of other nodes: the addresses of their names, and which of these answered last. An expired
 * address is used while a new one is looked up, and for as long as that fails. Only the first logins to a name wait,
 * and not for long: if a lookup takes longer, later logins do not wait for it. */
#ifndef AUTHD_PEERS_H
#define AUTHD_PEERS_H

#include "authd/resolver.h"
#include "lib/str.h"
#include "node/msg_channel.h"
#include "settings/peer_orders.h"
#include "settings/peer_tls.h"

struct peers;

/* Starts a lookup of a name: the answer comes by peers_resolved(), exactly once. */
typedef void peers_ask_fn(struct peers *p, const char *host, void *arg);

struct peers *peers_new(peers_ask_fn *ask, void *arg);
void peers_free(struct peers **p);
/* Seconds: TTL, that an answer is fresh; DOWN_TIME, that a failed address is tried last; PATIENCE, that logins wait for
 * a lookup, from its start. */
void peers_set(struct peers *p, double ttl, double down_time, double patience);

enum peers_answer { PEERS_KNOWN, PEERS_WAIT, PEERS_NONE, PEERS_SILENT };
/* The addresses of HOST (a name or a numeric address) into ADDR (room for RESOLVER_ADDRS_MAX; ports are set to PORT).
 * WAIT: not known yet; call again after peers_resolved(), or PATIENCE has passed. NONE: it has no address. SILENT:
 * no answer now. NOW: seconds of any clock that does not jump. */
enum peers_answer peers_lookup(struct peers *p, const char *host, uint16_t port, double now, struct net_addr *addr,
    unsigned *n);
/* The answer for HOST, as a resolver_fn gets it. */
void peers_resolved(struct peers *p, const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n,
    double now);

/* Health belongs to an address, its port, the protocol that is spoken there, and how: in clear, after STARTTLS, or by
 * TLS (an account may have an option of its own for that). A peer is down (it does not answer), busy (it answers that
 * it takes no logins now), or neither. One account's trouble is not the peer's: a login that gets no answer, or that of
 * a temporary failure, after a good greeting counts only together with those of other accounts. Nor is one login
 * worker's: if a peer that BY, one of them, has called down answers another one, nothing that BY says against it counts
 * for PEERS_DOUBT_SECONDS. */
enum { PEERS_WELCOME = 20, PEERS_MOST = 1000 };
enum { PEERS_SLOW_ACCOUNTS = 3, PEERS_SLOW_SECONDS = 60, PEERS_DOUBT_SECONDS = 600 };

struct peer_service {
	enum protocol protocol;
	enum peer_tls tls;
	struct net_addr addr; /* none: the socket of LOCAL_IMAP or LOCAL_POP3 */
};

/* All times are seconds of any clock that does not step; BY is any number of the worker's. The peer has answered, or
 * taken a login, at NOW; that may be told late: an attempt that began after it and failed is newer. */
void peers_answered(struct peers *p, const struct peer_service *s, uint64_t by, double now);
/* An attempt that began at BEGAN has failed: the peer is down, unless it has answered since. Its outages are logged
 * according to outage.h. */
void peers_failed(struct peers *p, const struct peer_service *s, uint64_t by, double began, double now);
/* It has greeted, but not answered the login of USER, which began at BEGAN. If that happens to PEERS_SLOW_ACCOUNTS
 * accounts within PEERS_SLOW_SECONDS and it answered nobody while they waited, the peer is down. */
void peers_slow(struct peers *p, const struct peer_service *s, const char *user, uint64_t by, double began, double now);
/* It takes no logins now, as it said to an attempt that began at BEGAN (USER is NULL), or it answered the login of USER
 * with a temporary failure: the same if that happens to PEERS_SLOW_ACCOUNTS accounts within PEERS_SLOW_SECONDS. Then
 * the peer is busy, unless it has taken a login, or rejected a password, since. In any case it is not down. */
void peers_refused(struct peers *p, const struct peer_service *s, const char *user, uint64_t by, double began,
    double now);
/* What O is about counts as neither down nor busy, until a login finds out; whatever O's word is. ALL_AT_ONCE: nor does
 * it get few logins at first (peers_room()). */
void peers_believe(struct peers *p, const struct peer_order *o, bool all_at_once);
/* To be called about every second: logs outages that are over. */
void peers_tick(struct peers *p, double now);
/* It failed less than the down time ago. */
bool peers_down(struct peers *p, const struct peer_service *s, double now);
/* It said less than the down time ago that it takes no logins now. */
bool peers_busy(struct peers *p, const struct peer_service *s, double now);
/* How many logins may be pending at once at that peer. One that was down gets PEERS_WELCOME at first, and one more with
 * each answer, so they double while it keeps up, until there are PEERS_MOST: all who waited for it come at once. */
unsigned peers_room(struct peers *p, const struct peer_service *s);
/* It failed or was busy at the last attempt: a success must be reported. */
bool peers_suspect(struct peers *p, const struct peer_service *s);
/* Number of services that are down, and their texts "ip:port" separated by blanks, with "(starttls)" or "(implicit)"
 * behind those where that fails; LOCAL_IMAP or LOCAL_POP3 for such a socket. */
unsigned peers_list_down(struct peers *p, double now, struct str *out);
/* The same of those that are busy. */
unsigned peers_list_busy(struct peers *p, double now, struct str *out);

#endif
