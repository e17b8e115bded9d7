/* Whether the nodes of the pool have the same release and settings file, as all of them must (README.proxy). A node
 * tells what it has with forwarded logins, once in a while, to nodes of ours alone: its version, and an HMAC with the
 * pool secret of settings_same(), which says nothing to others. What others tell counts only with a good signature. */
#ifndef AUTHD_SAME_NODES_H
#define AUTHD_SAME_NODES_H

#include "lib/str.h"
#include "node/forwarded.h"

enum {
	SAME_NODES_TELL = 60, /* seconds: a peer is told no more often */
	SAME_NODES_AGE = 600, /* what a node has said so long ago does not count any more */
	SAME_NODES_LONG = 600 /* a release, or a reload of one node after the other, may take so long */
};

struct same_nodes;

struct same_nodes *same_nodes_new(void);
void same_nodes_free(struct same_nodes **s);
/* What this node has: SAME of settings_same() (""; or POOL is NULL: there is nothing to tell or to compare). While the
 * secret is changed the nodes sign with different ones: fingerprints with each of them are ours. */
void same_nodes_use(struct same_nodes *s, const struct pool_keys *pool, const char *same);
/* What is told, node_config_ok(); "": nothing. */
const char *same_nodes_config(const struct same_nodes *s);
/* PEER has to be told at NOW (seconds of any clock), and will be. */
bool same_nodes_tell(struct same_nodes *s, const struct net_addr *peer, double now);
/* The node at ADDR (its port does not matter) has CONFIG: logs it once if that differs from what we have, and once when
 * it is the same again. */
void same_nodes_seen(struct same_nodes *s, const struct net_addr *addr, const char *config, double now);
/* How many nodes differ; appends "ADDRESS (version V)" or "ADDRESS (settings)" for each, with ", " between. *LASTING is
 * how many of them have told so for SAME_NODES_LONG seconds, while nothing was changed here. */
unsigned same_nodes_list(const struct same_nodes *s, double now, struct str *out, unsigned *lasting);

#endif
