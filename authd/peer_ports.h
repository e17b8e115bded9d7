/* The ports at which nodes serve, for the decision in proxy/route.h: from the settings, which are the same on all
 * nodes. */
#ifndef AUTHD_PEER_PORTS_H
#define AUTHD_PEER_PORTS_H

#include "node/msg_channel.h"
#include "proxy/route.h"
#include "settings/settings.h"

/* Fills OUT. Default port: PROXY_PORT, else the first one of PORT (of
 * SSLPORT, where TLS begins with the first byte). Known ports: those, all of PORT and SSLPORT, and
 * those registered for the protocol (RFC 9051, RFC 1939, RFC 8314). Names live for ever. */
void peer_ports(const struct settings *set, struct route_protocol out[PROTOCOL_COUNT]);

#endif
