/* Decides where an account's mail is: a pure function of the account's mailhost option.
 *   mailhost = HOST[:PORTS] [HOST[:PORTS] ...]     the first live one wins
 *   PORTS    = PORT | NAME=PORT[:NAME=PORT...]     NAME: a protocol; one that is not named uses its default port
 * A PORT without a name is for every protocol, unless it is known to belong to one: then only for that one. HOST may be
 * an IPv6 address, in brackets if ports follow. Self is a name, not an address: a host equal to one of this node's
 * names, ignoring case and a trailing dot. */
#ifndef PROXY_ROUTE_H
#define PROXY_ROUTE_H

#include "lib/base.h"

enum { ROUTE_HOSTS_MAX = 8, ROUTE_NAME_MAX = 256, ROUTE_PORTS_MAX = 16 };

/* A protocol that mailhost may name a port for. */
struct route_protocol {
	const char *name;
	uint16_t port;     /* the default, if mailhost has none for it */
	uint16_t tls_port; /* the default where TLS begins with the first byte */
	unsigned n;
	uint16_t known[ROUTE_PORTS_MAX]; /* ports that are known to be this protocol's */
};

/* What the decision depends on besides mailhost. */
struct route_rules {
	const struct route_protocol *protocols;
	unsigned nprotocols, protocol; /* how many, and which of them the decision is for */
	bool proxy_on;                 /* logins of that protocol are forwarded */
	const char *self[2];           /* the names of this node; "" is none */
};

enum route_port_source {
	ROUTE_PORT_DEFAULT, /* mailhost gives none for this protocol */
	ROUTE_PORT_NAMED,   /* NAME=PORT */
	ROUTE_PORT_KNOWN,   /* PORT, known to be this protocol's */
	ROUTE_PORT_SHARED,  /* PORT, of no known protocol: every protocol uses it */
	ROUTE_PORT_OTHERS   /* PORT, known to be another protocol's: the default is used */
};

struct route_host {
	char name[ROUTE_NAME_MAX]; /* as written, without ports, brackets and trailing dot */
	uint16_t port;             /* of the protocol of the rules */
	uint16_t written;          /* PORT as written without a name; 0: none */
	enum route_port_source source;
	bool self;
	unsigned tls; /* for the caller, who knows how to speak to it */
};

struct route {
	unsigned n; /* 0: the mail is here */
	bool later; /* mailhost names another node first, whatever N is */
	struct route_host host[ROUTE_HOSTS_MAX];
	const char *why; /* text for people, static or the caller's: the reason for the decision, or what is wrong */
};

/* Decides for MAILHOST (NULL or "": the account has none) under RULES. True: R->n hosts in order; n == 0 means here
 * without any further question (proxying off, no mailhost, or all hosts are this node). False: MAILHOST is malformed;
 * R->why says how. */
bool route_decide(struct route *r, const char *mailhost, const struct route_rules *rules);

#endif
