/* For `waypost check`: accounts whose mailhost leads nowhere or perhaps to the wrong place or port, whose logins are
 * refused because there is no TLS, or whose quota is not enforced. */
#ifndef MASTER_CHECK_ACCOUNTS_H
#define MASTER_CHECK_ACCOUNTS_H

#include "authd/peer_ports.h"
#include "lib/str.h"
#include "node/account.h"

/* How many accounts have a problem, and the first of them. */
struct check_count {
	uint64_t n;
	char first[256];
};

struct check_accounts {
	const struct settings *set;
	struct route_protocol ports[PROTOCOL_COUNT];
	bool served[PROTOCOL_COUNT];       /* protocols that are served here */
	bool has_tls[PROTOCOL_COUNT];      /* ... whose clients can use TLS */
	bool other_server[PROTOCOL_COUNT]; /* ... by LOCAL_IMAP, LOCAL_POP3 */
	/* Protocols whose logins are; of more than one, a port without a name counts for each. */
	unsigned forwarded;
	struct str text; /* the first lines of the report */
	uint64_t bad;    /* accounts that cannot log in because of their mailhost or an option beside it */
	struct check_count shared, lists, tls_port, quota, insecure[PROTOCOL_COUNT], single[PROTOCOL_COUNT];
};

/* Begins. SET is used until the end, which is check_accounts_report(). */
void check_accounts_init(struct check_accounts *c, const struct settings *set);
/* An auth_account_fn; ARG is the struct check_accounts. */
bool check_accounts_one(void *arg, const struct account *a, const char *why);
/* Appends what was found to OUT, in lines that begin with "warning: ": ten accounts by name at most, and how many
 * there are. */
void check_accounts_report(struct check_accounts *c, struct str *out);

#endif
