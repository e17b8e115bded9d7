/* The addresses that this node connects to its peers from (PROXY_SOURCE_ADDRESS). An address has some 28,000 ports for
 * connections to one address and port of a peer; a node with more sessions than that needs several. */
#ifndef PROXY_SOURCE_H
#define PROXY_SOURCE_H

#include "lib/net.h"

struct source;

/* LIST: addresses, parted by single blanks; "": the system chooses. What is no address is passed over. */
struct source *source_new(const char *list);
void source_free(struct source **s);
/* As net_connect(), from each address in turn from which TO can be reached: one of its family, and one of this machine
 * alone only if TO is that, too. Where no port is free, from the next one. None, or S is NULL: the system chooses. */
int source_connect(struct source *s, const struct net_addr *to);
/* What EADDRNOTAVAIL from source_connect() means, and the remedy, for the log. */
const char *source_no_address(const struct source *s, const struct net_addr *to);

#endif
