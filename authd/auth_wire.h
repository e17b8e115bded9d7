/* What a login worker asks authd, and what it is told: one round trip brings the verdict, the route, the
 * addresses of the peer and the ticket for the session server. */
#ifndef AUTHD_AUTH_WIRE_H
#define AUTHD_AUTH_WIRE_H

#include "lib/mac.h"
#include "lib/net.h"
#include "node/account.h"
#include "node/session.h"
#include "node/wire.h"

enum {
	HOP_MAC_LEN = MAC_LEN,
	HOP_HOST_MAX = 256,    /* bytes of a mailhost with NUL */
	AUTH_ADDRS_MAX = 8,
	AUTH_REASON_MAX = 512
};

/* Who a forwarded login stands for, as the node before says: IMAP ID and POP3 XCLIENT carry it. */
struct hop {
	bool present;              /* the login was forwarded (or claims so) */
	char session_id[SESSION_ID_MAX];
	struct net_addr client;    /* family 0: not told */
	bool tls;                  /* the client speaks TLS to the first node */
	uint8_t ttl;               /* hops left; 0: not told */
	uint64_t time;             /* unix seconds of the signature; 0: not signed */
	uint8_t mac[HOP_MAC_LEN];
};

struct auth_request {
	uint32_t request;          /* the worker's number for this question */
	enum protocol protocol;
	char user[ACCOUNT_NAME_MAX];
	char password[ACCOUNT_PASSWORD_MAX];
	struct net_addr client;    /* of the socket */
	uint16_t local_port;
	bool tls;                  /* on this connection */
	struct hop hop;
};

/* How a login ended. The columns: name, word for the log, name of its count in `waypost status`. */
#define AUTH_VERDICTS(X) \
	X(OK, "ok", "verdicts_ok") \
	X(WRONG, "wrong name or password", "verdicts_wrong")         /* the same for unknown names */ \
	X(DISABLED, "protocol disabled", "verdicts_disabled")           /* right password; the account may not use this protocol */ \
	X(UNAVAILABLE, "temporary failure", "verdicts_unavailable")        /* directory, peer or mailbox; never the client's fault */ \
	X(LIMIT, "limit reached", "verdicts_limit") \
	X(LOOP, "proxy loop", "verdicts_loop")
enum auth_verdict {
#define X(name, word, count) AUTH_VERDICT_##name,
	AUTH_VERDICTS(X)
#undef X
	AUTH_VERDICT_COUNT
};
/* The word for the log. */
const char *auth_verdict_word(enum auth_verdict v);

/* One address of a peer that may take the login, and our signature for that peer. */
struct auth_target {
	struct net_addr addr;
	char host[HOP_HOST_MAX];           /* its name in mailhost */
	uint8_t mac[HOP_MAC_LEN];
};

struct auth_reply {
	uint32_t request;
	enum auth_verdict verdict;
	char reason[AUTH_REASON_MAX];      /* for the log; "" = the verdict says it all */
	uint32_t delay_ms;                 /* wait so long before a refusal is told */
	struct net_addr client;            /* whom the login stands for; family 0 with a refusal: the client of the socket */
	/* With AUTH_VERDICT_OK: */
	uint64_t session;                  /* the register's number; told back with SESSION_END */
	char session_id[SESSION_ID_MAX];   /* for logs and the next hop */
	char name[ACCOUNT_NAME_MAX];       /* canonical account name */
	bool client_tls;                   /* ... and whether that client speaks TLS */
	bool proxied;                      /* it came from another node that is believed */
	bool local;                        /* the mail is here */
	uint8_t ticket[TICKET_LEN];        /* local: for spawn */
	uint8_t ntargets;                  /* remote: to be tried in this order; at least one */
	struct auth_target target[AUTH_ADDRS_MAX];
	bool report_success;               /* remote: tell PEER_RESULT also when the peer answers */
	uint8_t ttl;                       /* remote: hops left, for the next node */
	uint64_t time;                     /* remote: of the signatures; 0 = no pool secret, not signed */
};

void auth_request_write(struct msgw *w, const struct auth_request *q);
/* False if the message is bad; Q then holds no secret. */
bool auth_request_read(struct msgr *r, struct auth_request *q);
void auth_reply_write(struct msgw *w, const struct auth_reply *a);
bool auth_reply_read(struct msgr *r, struct auth_reply *a);

/* Signs HOP's identity for the login of USER to node HOST (as in mailhost, without port; case and a trailing
 * dot do not matter) with the key of the POOL: fills hop->mac from the other members. */
void hop_sign(struct hop *hop, struct mac *pool, const char *host, const char *user);
/* HOP is signed by a holder of that key for HOST and USER, no more than HOP_AGE_MAX seconds before or after NOW.
 * POOL NULL: there is no key, nothing is signed. */
bool hop_verify(const struct hop *hop, struct mac *pool, const char *host, const char *user, uint64_t now);
enum { HOP_AGE_MAX = 300 };

#endif
