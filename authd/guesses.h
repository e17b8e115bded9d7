/* Wrong passwords, counted for the address and the account that they were tried at: so that answers to a guesser come
 * later and later, and those to everybody else as always. Pure bookkeeping: no clock, no settings. Fixed memory:
 * GUESSES_BYTES, touched as it fills; a keyed digest says where a count stands, so nobody can aim at another's.
 *
 * - A wrong password counts for its address (with IPv6 a /64, as a customer has one) and for its account, whether or
 *   not there is such an account, and the higher count applies.
 * - An address from which an account has logged in is known to that account. There it has a count of its own, which
 *   alone applies to the right password: neither guesses at the account from elsewhere nor those of others behind the
 *   same address delay its owner. Wrong ones are delayed as everywhere: else others there would learn who has an
 *   account.
 * - GUESSES_FREE are free. One is forgotten each GUESSES_FORGET seconds. More than GUESSES_MOST are not counted, so
 *   that an address is as good as new after half an hour.
 * - The same wrong password again is no guess: a program with an old password counts once.
 * - Where a count must give way to a new one, the lowest goes. */
#ifndef AUTHD_GUESSES_H
#define AUTHD_GUESSES_H

#include "lib/net.h"

enum {
	GUESSES_FREE = 5,
	GUESSES_FORGET = 60,
	GUESSES_MOST = 30,
	GUESSES_STEP = 5, /* so many more double the delay */
	GUESSES_KNOWN = 128 * 1024,
	GUESSES_OTHERS = 32 * 1024, /* addresses, and as many accounts */
	GUESSES_BYTES = 32 * (GUESSES_KNOWN + 2 * GUESSES_OTHERS)
};

/* A login. */
struct guesser {
	const struct net_addr *client;
	const char *name; /* of the account; "": it is none that could be */
	bool crowd;       /* CLIENT stands for people that it does not name: it has no count, but each account there */
};

struct guesses;

struct guesses *guesses_new(void);
void guesses_free(struct guesses **g);
/* The wrong passwords that count against WHO at NOW (seconds of any clock), who has the right one, or not. */
unsigned guesses_count(struct guesses *g, const struct guesser *who, bool right, double now);
/* WHO has tried PASSWORD (or another credential), which is wrong. */
void guesses_wrong(struct guesses *g, const struct guesser *who, const char *password, double now);
/* WHO has logged in, after its delay. */
void guesses_right(struct guesses *g, const struct guesser *who, double now);
/* The delay for COUNT wrong passwords: none for the free ones, then FIRST, doubled for each GUESSES_STEP more; at most
 * MOST. All in seconds. */
double guesses_delay(unsigned count, double first, double most);

#endif
