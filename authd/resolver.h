/* The addresses of names, looked up outside of the loop. getaddrinfo() waits for as long as name servers, or modules of
 * NSS, are silent, and cannot be called off: each look-up has a child process of its own, which is killed when its
 * time is over. So a silent name server costs no auth worker, and no look-up of another name. Where more names are
 * asked for than there may be children, a look-up without an answer gives way after a second. */
#ifndef AUTHD_RESOLVER_H
#define AUTHD_RESOLVER_H

#include <ev.h>

#include "lib/net.h"

enum {
	RESOLVER_ADDRS_MAX = 8,
	RESOLVER_HOST_MAX = 256, /* bytes of a name with NUL */
	RESOLVER_CHILDREN = 64   /* look-ups at a time; more wait for their turns */
};

enum name_answer {
	NAME_NEVER_ASKED,
	NAME_FOUND,    /* there is at least one address */
	NAME_UNKNOWN,  /* there is no such name, or it has no address */
	NAME_NO_ANSWER /* for the moment: silence, a failure of the name server, or of ours to ask it */
};

struct resolver;

/* HOST has these N addresses (at most RESOLVER_ADDRS_MAX, port 0; N is 0 unless ANSWER is NAME_FOUND). */
typedef void resolver_fn(const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n, void *arg);

/* FN is called from the loop, once for each lookup. A look-up that takes longer than SECONDS is ended; or than one, if
 * others wait. */
struct resolver *resolver_new(struct ev_loop *loop, double seconds, resolver_fn *fn, void *arg);
/* Ends pending lookups without calling back. Empties *R, which may be NULL. */
void resolver_free(struct resolver **r);
/* Looks up HOST (shorter than RESOLVER_HOST_MAX; the caller asks for a name once at a time). Never calls back from
 * here. */
void resolver_ask(struct resolver *r, const char *host);
/* Names that are being looked up or wait for it. */
unsigned resolver_waiting(const struct resolver *r);

#endif
