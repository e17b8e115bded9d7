/* Nodes whose signature does not hold here, and mailhosts that do not accept ours: the secrets or the clocks of two nodes differ.
 * For `waypost status`, for SIGNERS_SHOWN seconds after it was seen last, and for the log: once for each node and hour, and not more
 * than SIGNERS_LINES lines in an hour altogether. That a front has signed rightly ends nothing: several nodes may have one address.
 *
 * Anybody can send a signature that does not hold. So a front is held to be a node of the pool, and its trouble ours, only if
 *   - its address is one of our mailhosts', or has signed rightly before, or is the loopback address of this machine, or several
 *     accounts have come from there with such signatures within an hour,
 *   - and the login that it forwarded was that of an account: with the right password, or by a token from such an address.
 * All else is counted, and no more. */
#ifndef AUTHD_SIGNERS_H
#define AUTHD_SIGNERS_H

#include "lib/net.h"
#include "lib/str.h"
#include "node/signature_check.h"

enum { SIGNERS_HOUR = 3600, SIGNERS_SHOWN = 600, SIGNERS_LINES = 20 };

/* Of what a list tells. */
enum signers_side {
	SIGNERS_FRONTS,    /* addresses from which logins come with signatures that do not hold */
	SIGNERS_MAILHOSTS, /* names of mailhosts that do not accept our signature */
	SIGNERS_SIDES
};

struct signers;

struct signers *signers_new(void);
void signers_free(struct signers **s);
/* What was seen is of the past: the secret is another one now, or whom we trust. */
void signers_forget(struct signers *s);

/* We send logins to ADDR, or it has signed one well: it is a node of the pool. Ports do not matter. */
void signers_know(struct signers *s, const struct net_addr *addr);
/* ADDR is known to be a node of the pool. */
bool signers_known(const struct signers *s, const struct net_addr *addr);

/* The signature of a login from ADDR is CHECK (a bad one), at NOW (seconds of any clock that does not jump). ACCOUNT: whose right
 * password came with it; NULL: it was a token. True: it is to be said in the log. */
bool signers_bad(struct signers *s, const struct net_addr *addr, enum signature_check check, const char *account, double now);

/* The mailhost HOST (a node of ours, by its greeting) has reported what it thinks of our signature. True: to be said in the log. */
bool signers_reported(struct signers *s, const char *host, enum signature_check check, double now);
/* HOST did not accept our signature lately: that it does again is worth telling. */
bool signers_suspect(struct signers *s, const char *host);

/* The lines of the log: what is wrong and what to do. SECONDS: how long ago the signature was made, by its clock; SELF: our name. */
void signers_log_front(const struct net_addr *addr, enum signature_check check, int64_t seconds, const char *self);
void signers_log_mailhost(const char *host, enum signature_check check);

/* Number of nodes on SIDE with trouble within the last SIGNERS_SHOWN seconds; appends "name(word)" of each to OUT, with blanks between. */
unsigned signers_list(const struct signers *s, enum signers_side side, double now, struct str *out);

#endif
