/* The identity of a forwarded login: the client it is for, as the forwarding node says, and the signature by which
 * nodes of one pool trust it. Verdicts on signatures are in node/signature_check.h; each protocol has its own way to
 * carry all this. */
#ifndef NODE_FORWARDED_H
#define NODE_FORWARDED_H

#include "lib/net.h"
#include "node/msg_channel.h"
#include "node/pool_keys.h"
#include "node/session.h"
#include "node/signature_check.h"

enum { FORWARDED_MAC_LEN = MAC_LEN };

/* What the forwarding node says of its own signature. */
enum forwarded_signature {
	FORWARDED_SIGNATURE_NONE,      /* nothing: it may not be a node of ours */
	FORWARDED_SIGNATURE_NO_SECRET, /* a node of ours that has no pool secret */
	FORWARDED_SIGNATURE_MADE,      /* `time` and `mac` are set */
	FORWARDED_SIGNATURE_COUNT
};

/* "VERSION/FINGERPRINT" of a node: its release, and 32 hexadecimal digits by which those with the pool secret see
 * whether it has the same settings file, and nobody sees more (authd/same_nodes.h). */
enum { NODE_CONFIG_MAX = 64, NODE_FINGERPRINT_LEN = 32 };
/* TEXT has that form: a version of letters, digits, '.', '+', '~', '-'. */
bool node_config_ok(const char *text);

/* The client of a forwarded login, as the forwarding node says; carried by IMAP ID and POP3 XCLIENT. */
struct forwarded {
	bool present; /* the login was forwarded (or claims so) */
	char session_id[SESSION_ID_MAX];
	struct net_addr client; /* family 0: not given */
	bool tls;               /* the client speaks TLS to the first node */
	bool insecure;          /* the forwarding node has said that it does not; neither: it has said nothing */
	/* With `tls`: session_tls_ok(); else SESSION_TLS_FRONT, or they do not count; "": not known */
	char tls_words[SESSION_TLS_MAX];
	uint8_t ttl; /* hops left; 0: not given */
	enum forwarded_signature signature;
	uint64_t time; /* unix seconds of the signature */
	uint8_t mac[FORWARDED_MAC_LEN];
	/* What the forwarding node is, if it says so (node_config_ok()); "": it does not. Believed only if signed. */
	char config[NODE_CONFIG_MAX];
	uint8_t config_mac[FORWARDED_MAC_LEN]; /* signs it beside all else, as tls_mac does */
	/* Signs `tls_words` beside all else: nodes that know nothing of these verify `mac` as ever. */
	uint8_t tls_mac[FORWARDED_MAC_LEN];
};

/* Signs the identity FORWARDED for the login of USER to node HOST (as in mailhost, without port; case and a trailing
 * dot do not matter) with the first key of the POOL: fills forwarded->mac from the other members, tls_mac if there are
 * tls_words, config_mac if there is a config. */
void forwarded_sign(struct forwarded *forwarded, const struct pool_keys *pool, const char *host, const char *user);
/* What is to be thought of FORWARDED's signature for HOST and USER at NOW: GOOD, if a holder of one of the POOL's keys
 * has made it no more than FORWARDED_AGE_MAX seconds before or after NOW. POOL NULL: there is none here. */
enum signature_check forwarded_verify(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, uint64_t now);
enum { FORWARDED_AGE_MAX = 300 };
/* FORWARDED, which is GOOD for HOST and USER, has the TLS words of the one who signed it. */
bool forwarded_verify_tls(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user);

/* The same of FORWARDED's config. */
bool forwarded_verify_config(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user);

/* A token stands in place of a password: it says to node HOST that the node which signed FORWARDED
 * (forwarded->signature says so) knows that it is USER. Good once, for TOKEN_AGE_MAX seconds before and after
 * forwarded->time, only beside that very identity, and only until HOST is started again, for it names that node by the
 * id in its greeting, which is new then (settings.node_id): no node has to know what was used before it began. Who
 * makes a token does not know that id yet: it makes its key, into OUT. */
void forwarded_token_key(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, uint8_t out[FORWARDED_MAC_LEN]);
enum { TOKEN_AGE_MAX = 60 };
/* The token of KEY for the node with NODE_ID, as SASL carries it: lower-case hexadecimal digits. Returns DST. */
enum { TOKEN_TEXT_MAX = 2 * FORWARDED_MAC_LEN + 1 };
const char *forwarded_token(const uint8_t key[FORWARDED_MAC_LEN], const char *node_id, char dst[TOKEN_TEXT_MAX]);
/* TEXT is that of forwarded_token() with one of the POOL's keys, whatever its age; constant time. POOL may be NULL:
 * never. */
bool forwarded_token_verify(const struct forwarded *forwarded, const struct pool_keys *pool, const char *host,
    const char *user, const char *node_id, const char *text);

#endif
