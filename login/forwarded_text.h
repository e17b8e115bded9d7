/* The text forms of the members of a forwarded identity, the same in IMAP's ID and POP3's XCLIENT. Each reader sets its
 * member and forwarded->present, or changes nothing if the text is malformed. */
#ifndef LOGIN_FORWARDED_TEXT_H
#define LOGIN_FORWARDED_TEXT_H

#include "node/msg_auth.h"

void forwarded_text_session(struct forwarded *h, const char *value);
void forwarded_text_ip(struct forwarded *h, const char *value);
void forwarded_text_port(struct forwarded *h, const char *value);
void forwarded_text_ttl(struct forwarded *h, const char *value);
void forwarded_text_transport(struct forwarded *h, const char *value);
/* "SECONDS:MAC", the MAC in lower-case hexadecimal; "none" of a node that has no pool secret. */
void forwarded_text_auth(struct forwarded *h, const char *value);

/* "WORDS/MAC": words about the client's TLS (session_tls_ok()), and the MAC in lower-case hexadecimal; "WORDS/none" of
 * a node that has no pool secret. */
void forwarded_text_tls(struct forwarded *h, const char *value);

enum { FORWARDED_TEXT_TLS_MAX = SESSION_TLS_MAX + 1 + 2 * FORWARDED_MAC_LEN };
/* Writes the text that forwarded_text_tls() reads, of an identity that has tls_words; returns DST. */
const char *forwarded_text_tls_make(const struct forwarded *h, char dst[FORWARDED_TEXT_TLS_MAX]);

/* "VERSION/FINGERPRINT/MAC": what the forwarding node is (node_config_ok()), and the MAC in lower-case hexadecimal. */
void forwarded_text_config(struct forwarded *h, const char *value);
enum { FORWARDED_TEXT_CONFIG_MAX = NODE_CONFIG_MAX + 1 + 2 * FORWARDED_MAC_LEN };
/* Writes the text that forwarded_text_config() reads, of an identity that has a config; returns DST. */
const char *forwarded_text_config_make(const struct forwarded *h, char dst[FORWARDED_TEXT_CONFIG_MAX]);

enum { FORWARDED_TEXT_AUTH_MAX = 24 + 2 * FORWARDED_MAC_LEN };
/* Writes the text that forwarded_text_auth() reads, of an identity whose signature is not FORWARDED_SIGNATURE_NONE;
 * returns DST. */
const char *forwarded_text_auth_make(const struct forwarded *h, char dst[FORWARDED_TEXT_AUTH_MAX]);

#endif
