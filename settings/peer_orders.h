/* What people and monitors say of peers: lines of text, in RUNDIR/peers (`waypost peer`) and in PROXY_PEERS_FILE.
 *   HOST[:PORT] [PROTOCOL] up|down|drain [since=SECONDS]
 * HOST is a name as in mailhost, or an address (IPv6: in brackets if a port follows). Without a port or protocol it
 * is about all of them. SECONDS: unix time. Blanks and tabs part the words, whose case does not matter; a line may be
 * empty or begin with #. Each line ends in a line end: the last one of a file that is half written does not count. */
#ifndef SETTINGS_PEER_ORDERS_H
#define SETTINGS_PEER_ORDERS_H

#include "lib/net.h"
#include "lib/str.h"
#include "settings/protocol.h"

enum { PEER_ORDER_HOST_MAX = 256, PEER_ORDERS_MAX = 1000, PEER_ORDERS_BYTES_MAX = 256 * 1024 };

/* What is said, the more cautious later. */
enum peer_word {
	PEER_WORD_UP,    /* nothing against it */
	PEER_WORD_DRAIN, /* other hosts of an account's list come first */
	PEER_WORD_DOWN,  /* it gets no logins */
	PEER_WORDS
};

struct peer_order {
	char host[PEER_ORDER_HOST_MAX]; /* without brackets, and without a dot at its end */
	struct net_addr addr;           /* HOST, if it is an address; else none */
	uint16_t port;                  /* 0: all */
	enum protocol protocol;         /* PROTOCOL_COUNT: all */
	enum peer_word word;
	int64_t since; /* unix seconds; 0: not said */
};

/* All fields 0: none. */
struct peer_orders {
	struct peer_order *order; /* no two are about the same HOST, PORT and PROTOCOL */
	unsigned n;
};

const char *peer_word_text(enum peer_word word);
/* Reads one line, of LEN bytes without its end. False: *WHY (static) says what is wrong with it. */
bool peer_order_parse(struct peer_order *o, const char *line, size_t len, const char **why);
/* Appends whom O is about: HOST, or HOST:PORT. */
void peer_order_name(const struct peer_order *o, struct str *out);
/* Appends the line of O, without its end. */
void peer_order_write(const struct peer_order *o, struct str *out);
/* A and B are about the same HOST, PORT and PROTOCOL. */
bool peer_order_same(const struct peer_order *a, const struct peer_order *b);
/* O is about the peer HOST (as in mailhost) at PORT for protocol P, at its address ADDR (NULL: not known, only the name
 * counts). */
bool peer_order_is_about(const struct peer_order *o, const char *host, const struct net_addr *addr, uint16_t port,
    enum protocol p);

/* Reads TEXT, of LEN bytes, into ALL (empty). Of lines about the same the last counts. Appends a line for each of the
 * first bad ones to BAD, "line 3: ..."; those are left out. Returns how many are bad. */
unsigned peer_orders_parse(struct peer_orders *all, const char *text, size_t len, struct str *bad);
/* O takes the place of that about the same, or is added. False: there are too many. */
bool peer_orders_set(struct peer_orders *all, const struct peer_order *o);
/* Removes that about the same as O, if there is one. */
void peer_orders_remove(struct peer_orders *all, const struct peer_order *o);
/* That about the same as O, or NULL. */
const struct peer_order *peer_orders_find(const struct peer_orders *all, const struct peer_order *o);
/* Of those that are about that peer (as in peer_order_is_about()), the most cautious; NULL: there is none. */
const struct peer_order *peer_orders_about(const struct peer_orders *all, const char *host, const struct net_addr *addr,
    uint16_t port, enum protocol p);
void peer_orders_fini(struct peer_orders *all);

/* Reads the file at PATH into TEXT, and when it was changed last into *CHANGED (unix seconds). 1: done. 0: there is no
 * such file. -1: WHY (appended) says why it cannot be read. */
int peer_orders_read_file(const char *path, struct str *text, int64_t *changed, struct str *why);

#endif
