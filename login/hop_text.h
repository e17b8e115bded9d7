/* The text forms of a hop's members, the same in IMAP's ID and POP3's XCLIENT. Each reader sets its member and
 * hop->present, or leaves the hop alone if the text is malformed. */
#ifndef LOGIN_HOP_TEXT_H
#define LOGIN_HOP_TEXT_H

#include "node/msg_auth.h"

void hop_text_session(struct hop *h, const char *value);
void hop_text_ip(struct hop *h, const char *value);
void hop_text_port(struct hop *h, const char *value);
void hop_text_ttl(struct hop *h, const char *value);
void hop_text_transport(struct hop *h, const char *value);
/* "SECONDS:MAC", the MAC in lower-case hexadecimal; "none" of a node that has no pool secret. */
void hop_text_auth(struct hop *h, const char *value);

enum { HOP_TEXT_AUTH_MAX = 24 + 2 * HOP_MAC_LEN };
/* Writes the text that hop_text_auth() reads, of a hop whose signature is not HOP_SIGNATURE_NONE; returns DST. */
const char *hop_text_auth_make(const struct hop *h, char dst[HOP_TEXT_AUTH_MAX]);

#endif
