/* For `waypost check`: mailhost options that lead nowhere, or perhaps not where they were meant to. */
#ifndef MASTER_CHECK_MAILHOST_H
#define MASTER_CHECK_MAILHOST_H

#include "authd/peer_ports.h"
#include "lib/str.h"
#include "node/account.h"

struct check_mailhost {
	struct route_protocol ports[PROTOCOL_COUNT];
	unsigned forwarded;    /* protocols whose logins are; of more than one, a port without a name counts for each */
	struct str text;       /* the first lines of the report */
	uint64_t bad, shared;  /* accounts */
	char first_shared[256];
};

/* Begins. SET is needed no longer afterwards; the end is check_mailhost_report(). */
void check_mailhost_init(struct check_mailhost *c, const struct settings *set);
/* An auth_account_fn; ARG is the struct check_mailhost. */
bool check_mailhost_account(void *arg, const struct account *a, const char *why);
/* Appends what was found to OUT, in lines that begin with "warning: ": ten accounts by name at most, and how many there are. */
void check_mailhost_report(struct check_mailhost *c, struct str *out);

#endif
