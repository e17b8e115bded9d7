/* The addresses of names, looked up outside of the loop. getaddrinfo() waits as long as name servers, or NSS modules,
 * are silent, and cannot be cancelled: each lookup has a child process of its own, which is killed when its time is
 * over. So a silent name server blocks no auth worker, and no lookup of another name. If there are more names than
 * allowed children, a lookup without an answer is ended after a second. */
#ifndef AUTHD_RESOLVER_H
#define AUTHD_RESOLVER_H

#include <ev.h>

#include "lib/net.h"

enum {
	RESOLVER_ADDRS_MAX = 8,
	RESOLVER_HOST_MAX = 256, /* bytes of a name with NUL */
	RESOLVER_CHILDREN = 64   /* lookups at a time; more wait for their turns */
};

enum name_answer {
	NAME_NEVER_ASKED,
	NAME_FOUND,    /* there is at least one address */
	NAME_UNKNOWN,  /* there is no such name, or it has no address */
	NAME_NO_ANSWER /* no result now: the name server is silent or failed, or we could not query it */
};

struct resolver;

/* HOST has these N addresses (at most RESOLVER_ADDRS_MAX, port 0; N is 0 unless ANSWER is NAME_FOUND). */
typedef void resolver_fn(const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n, void *arg);

/* FN is called from the loop, once for each lookup. A lookup is ended after SECONDS, or after one second if others
 * wait. */
struct resolver *resolver_new(struct ev_loop *loop, double seconds, resolver_fn *fn, void *arg);
/* Ends pending lookups without calling back. Empties *R, which may be NULL. */
void resolver_free(struct resolver **r);
/* Looks up HOST (shorter than RESOLVER_HOST_MAX; only one lookup per name at a time). Never calls back from here. */
void resolver_ask(struct resolver *r, const char *host);
/* Names that are being looked up or wait for it. */
unsigned resolver_waiting(const struct resolver *r);

#endif
