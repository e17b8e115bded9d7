/* What an operator (`waypost peer`, in RUNDIR/peers, which the master writes) and a monitor (PROXY_PEERS_FILE) say of
 * peers. Of what both say of one the more cautious counts: down before drain before up. Learned health (authd/peers.h)
 * is another thing, and a word against a peer goes before it. */
#ifndef AUTHD_ORDERS_H
#define AUTHD_ORDERS_H

#include "settings/peer_orders.h"

enum orders_by { ORDERS_OPERATOR, ORDERS_MONITOR, ORDERS_SOURCES };

struct orders;

/* The monitor says by O, for the first time, that a peer is up: what logins have shown of it may be forgotten. */
typedef void orders_up_fn(const struct peer_order *o, void *arg);

struct orders *orders_new(orders_up_fn *up, void *arg);
void orders_free(struct orders **o);
/* What is said is in the files at OPERATORS and MONITORS ("": there is none), from now on; reads them. */
void orders_use(struct orders *o, const char *operators, const char *monitors);
/* The operator's file was changed. */
void orders_changed(struct orders *o);
/* To be called about every second: reads the monitor's file again if it has changed. NOW: lib/clock.h. */
void orders_tick(struct orders *o, double now);

/* What is said of a peer, as in peer_order_is_about(). NULL: nothing. *BY: by whom. */
const struct peer_order *orders_about(const struct orders *o, const char *host, const struct net_addr *addr,
    uint16_t port, enum protocol p, enum orders_by *by);
/* "the operator said so at 2026-01-31T12:00:00Z", for people. Returns OUT. */
enum { ORDERS_WHY_MAX = 96 };
const char *orders_why(const struct peer_order *order, enum orders_by by, char out[ORDERS_WHY_MAX]);
/* Appends a line for each word: HOST[:PORT] [PROTOCOL], the word, who said so, and when. */
void orders_describe(const struct orders *o, struct str *out);
/* How many are WORD, and appends texts of them, parted by blanks: "HOST:PORT(imap,operator,2026-01-31T12:00:00Z)". */
unsigned orders_list(const struct orders *o, enum peer_word word, struct str *out);
/* Lines that cannot be used in the monitor's file; 1 if it cannot be read at all. */
unsigned orders_bad_lines(const struct orders *o);

#endif
