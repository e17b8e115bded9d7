/* Whether a peer is spoken to by TLS: PROXY_TLS for all, PROXY_TLS_PEERS for some hosts, and the option of an account,
 * proxytls=WORD, which stands beside its mailhost and goes before both. */
#ifndef SETTINGS_PEER_TLS_H
#define SETTINGS_PEER_TLS_H

#include "lib/base.h"

enum peer_tls {
	PEER_TLS_NONE,
	PEER_TLS_STARTTLS, /* after a command (STARTTLS, STLS), before anything else is said */
	PEER_TLS_IMPLICIT, /* from the first byte */
	PEER_TLS_COUNT
};

struct settings;

/* "none", "starttls", "implicit". */
const char *peer_tls_word(enum peer_tls tls);
/* The next row "HOST=WORD" of *LIST, which is moved behind it; HOST may be ".example.com", for all hosts below that.
 * False at the end, or (then *LIST is not at its end) if the row is malformed. */
bool peer_tls_next(const char **list, const char **host, size_t *host_len, enum peer_tls *tls);
/* Some peer is spoken to by TLS, whatever options of accounts say. */
bool peer_tls_is_used(const struct settings *set);
/* For HOST, as in mailhost, of an account with OPTIONS. Of several rows for a host the first one counts. False: the
 * account's option is no such word. */
bool peer_tls_of(const struct settings *set, const char *options, const char *host, enum peer_tls *tls);
/* OPTIONS, of an account, have a proxytls that is no such word: true, and WHY says so, printable. */
enum { PEER_TLS_WHY_MAX = 192 };
bool peer_tls_is_mistake(const char *options, char why[PEER_TLS_WHY_MAX]);

#endif
