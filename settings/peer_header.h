/* Whether a peer is told of a client by a header of the PROXY protocol: PROXY_PROTOCOL_SEND. */
#ifndef SETTINGS_PEER_HEADER_H
#define SETTINGS_PEER_HEADER_H

#include "lib/net.h"

/* The next row "HOST=WORD" of *LIST, which is moved behind it: HOST as in settings/peer_hosts.h, *VERSION that of the
 * header, 1 or 2; 0: none. False at the end, or (then *LIST is not at its end) if the row is malformed. */
bool peer_header_next(const char **list, const char **host, size_t *host_len, unsigned *version);
/* The version for HOST, as in mailhost, at ADDR, by LIST (PROXY_PROTOCOL_SEND): by the first row that fits; 0: none. */
unsigned peer_header_of(const char *list, const char *host, const struct net_addr *addr);

#endif
