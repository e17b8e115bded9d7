/* The ID command (RFC 2971) as the carrier of a forwarded login's identity, with Dovecot's keys:
 *   x-session-id x-originating-ip x-originating-port x-proxy-ttl x-client-transport
 * and ours, x-waypost-auth "SECONDS:MAC", which signs them (node/forwarded.h, forwarded_sign()), or "none" for a node
 * of ours if there is no pool secret, x-waypost-tls "WORDS/MAC", which says of the client's TLS more than "TLS", and
 * x-waypost-config "VERSION/FINGERPRINT/MAC" (authd/same_nodes.h). */
#ifndef IMAPD_IMAP_ID_H
#define IMAPD_IMAP_ID_H

#include "imapd/imap_login.h"

/* Takes one pair that the client sent. Reserved keys fill l->forwarded if BELIEVE (the first ID of a connection; authd
 * decides whether they are true), all others are kept for the peer. VALUE may hold any byte but NUL. */
void imap_id_pair(struct login *l, const char *key, const char *value, size_t value_len, bool believe);
/* Appends the untagged answer. */
void imap_id_reply(struct str *out, const struct settings *set);
/* Appends the ID command (with TAG) for the peer: the client's own pairs, then the identity. */
void imap_id_forward(struct login *l, struct str *out, const char *tag);

#endif
