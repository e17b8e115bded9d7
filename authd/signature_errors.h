/* Nodes whose signature is not valid here, and mailhosts that do not accept ours: the secrets or the clocks of two
 * nodes differ. Shown by `waypost status`, until SIGNATURE_ERRORS_SHOWN seconds after the last time, and logged: once
 * for each node and hour, and at most SIGNATURE_ERRORS_LINES lines an hour in all, half of them about fronts that may
 * not be nodes. A valid signature of a front ends nothing: several nodes may share one address.
 *
 * Anybody can send an invalid signature. So a front counts as a node of the pool, and its trouble as ours, only if
 *   - its address is one of our mailhosts', or has signed correctly before, or only its clock differs from ours,
 *   - and the login that it forwarded was for an account: with the right password, or by a token.
 * An unknown front is logged and listed, too, if several accounts came with invalid signatures from one address within
 * an hour, or one from the loopback address of this machine. That is no trouble of the node: it may well be one client
 * with several accounts, or one behind a proxy here. All else is only counted. */
#ifndef AUTHD_SIGNATURE_ERRORS_H
#define AUTHD_SIGNATURE_ERRORS_H

#include "lib/net.h"
#include "lib/str.h"
#include "node/signature_check.h"

enum { SIGNATURE_ERRORS_HOUR = 3600, SIGNATURE_ERRORS_SHOWN = 600, SIGNATURE_ERRORS_LINES = 20 };

/* What a list is about. */
enum signature_errors_side {
	SIGNATURE_ERRORS_FRONTS,    /* addresses from which logins come with invalid signatures */
	SIGNATURE_ERRORS_MAILHOSTS, /* names of mailhosts that do not accept our signature */
	SIGNATURE_ERRORS_SIDES
};

struct signature_errors;

struct signature_errors *signature_errors_new(void);
void signature_errors_free(struct signature_errors **s);
/* Forgets what was seen: the secret, or the list of trusted addresses, has changed. */
void signature_errors_forget(struct signature_errors *s);

/* We send logins to ADDR, or it has signed one correctly: it is a node of the pool. Ports do not matter. */
void signature_errors_know(struct signature_errors *s, const struct net_addr *addr);
/* ADDR is known to be a node of the pool. */
bool signature_errors_known(const struct signature_errors *s, const struct net_addr *addr);

/* The signature of a login from ADDR is CHECK (a bad one), at NOW (seconds of any clock that does not jump).
 * ACCOUNT: its right password came with it; NULL: it was a token. True: log it. */
bool signature_errors_bad(struct signature_errors *s, const struct net_addr *addr, enum signature_check check,
    const char *account, double now);

/* The mailhost HOST (a node of ours, by its greeting) has reported its check of our signature. True: log it. */
bool signature_errors_reported(struct signature_errors *s, const char *host, enum signature_check check, double now);
/* HOST did not accept our signature lately: report it when it does again. */
bool signature_errors_suspect(struct signature_errors *s, const char *host);

/* The lines of the log: what is wrong and what to do. SECONDS: how long ago the signature was made, by its clock;
 * SELF: our name. */
void signature_errors_log_front(const struct net_addr *addr, enum signature_check check, int64_t seconds,
    const char *self);
void signature_errors_log_mailhost(const char *host, enum signature_check check);

/* Number of nodes on SIDE with trouble within the last SIGNATURE_ERRORS_SHOWN seconds; appends "name(word)" of each,
 * and of fronts that may be nodes, to OUT, separated by blanks. */
unsigned signature_errors_list(const struct signature_errors *s, enum signature_errors_side side, double now,
    struct str *out);

#endif
