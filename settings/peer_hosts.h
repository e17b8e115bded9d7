/* Lists of peers in the settings: hosts as they stand in mailhost, addresses, networks. */
#ifndef SETTINGS_PEER_HOSTS_H
#define SETTINGS_PEER_HOSTS_H

#include "lib/net.h"

/* The LEN bytes at ROW mean HOST, as in mailhost: the same name, whatever its case and a dot at its end; ".example.com"
 * means all hosts below that. */
bool peer_hosts_row_is(const char *row, size_t len, const char *host);
/* The next row "HOST=WORD" of *LIST, which is moved behind it. False at the end, or (then *LIST is not at its end) if
 * the row is malformed. */
bool peer_hosts_next(const char **list, const char **host, size_t *host_len, const char **word, size_t *word_len);
/* The LEN bytes at ROW mean the peer HOST (as in mailhost) at ADDR: as above, or as a network that has ADDR. */
bool peer_hosts_row_has(const char *row, size_t len, const char *host, const struct net_addr *addr);
/* A word of LIST does. */
bool peer_hosts_has(const char *list, const char *host, const struct net_addr *addr);
/* WORD can be one of such a list. */
bool peer_hosts_word_ok(const char *word);

#endif
