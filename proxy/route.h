/* Where an account's mail is: the decision, as a pure function of the account's mailhost option.
 *   mailhost=HOST[:PORT] [HOST[:PORT] ...]     the first live one wins
 * Self is a name, not an address: a host equal to one of this node's names, ignoring case and a trailing dot. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "lib/base.h"

enum { ROUTE_HOSTS_MAX = 8, ROUTE_NAME_MAX = 256 };

struct route_host {
	char name[ROUTE_NAME_MAX]; /* as written, without port, brackets and trailing dot */
	uint16_t port;
	bool self;
};

struct route {
	unsigned n; /* 0: the mail is here */
	struct route_host host[ROUTE_HOSTS_MAX];
	const char *why; /* for people: the reason of the decision, or what is wrong */
};

/* Decides for MAILHOST (NULL or "": the account has none). PROXY_ON: IMAP_PROXY or POP3_PROXY. SELF: the names
 * of this node ("" = unused). DEFAULT_PORT for hosts without one.
 * True: R->n hosts in order; n == 0 means here without any further question (proxying off, no mailhost, or all
 * hosts are this node). False: MAILHOST is malformed, R->why says how. */
bool route_decide(struct route *r, const char *mailhost, bool proxy_on, const char *const self[2], uint16_t default_port);
/* The two host names are the same, ignoring case and a trailing dot. */
bool route_same_host(const char *a, const char *b);

#endif
