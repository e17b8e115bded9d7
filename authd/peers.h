/* What this node knows of other nodes: the addresses of their names, and which of these answered last.
 * Names are resolved by auth workers; a name whose answer has aged is used while a new one is fetched, and for as
 * long as none can be had. Only the first login to a name waits. */
#ifndef AUTHD_PEERS_H
#define AUTHD_PEERS_H

#include "authd/job.h"

struct peers;

/* How a name is asked for: the answer comes by peers_resolved(), sooner or later, exactly once. */
typedef void peers_ask_fn(struct peers *p, const char *host, void *arg);

struct peers *peers_new(peers_ask_fn *ask, void *arg);
void peers_free(struct peers **p);
/* TTL: seconds that an answer is fresh; DOWN_TIME: seconds that a failed address is tried last. */
void peers_set(struct peers *p, double ttl, double down_time);

enum peers_answer { PEERS_KNOWN, PEERS_WAIT, PEERS_NONE };
/* The addresses of HOST (a name or a numeric address) into ADDR (room for JOB_ADDRS_MAX; ports are set to PORT).
 * WAIT: nobody knows yet; ask again when peers_resolved() was told. NONE: it has no address. NOW: any clock. */
enum peers_answer peers_lookup(struct peers *p, const char *host, uint16_t port, double now, struct net_addr *addr, unsigned *n);
/* The answer for HOST: N addresses, or none: for the moment (TEMPORARY), or there is no such name. */
void peers_resolved(struct peers *p, const char *host, const struct net_addr *addr, unsigned n, bool temporary, double now);

/* ADDR (with port) answered, or could not be used, at NOW. */
void peers_result(struct peers *p, const struct net_addr *addr, bool alive, double now);
/* ADDR failed less than the down time ago. */
bool peers_down(struct peers *p, const struct net_addr *addr, double now);
/* ADDR failed the last time that anybody tried: a success is worth telling. */
bool peers_suspect(struct peers *p, const struct net_addr *addr);
/* Number of addresses that are down, and their texts "ip:port" separated by blanks. */
unsigned peers_list_down(struct peers *p, double now, struct str *out);

#endif
