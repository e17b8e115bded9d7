/* The login request of a worker to authd, and its reply: one round trip brings the verdict, the route, the
 * addresses of the peer and the ticket for the session server.
 *
 * Mechanisms in which the client answers a challenge need more messages. Their texts are those of SASL's lines, without
 * base64. authd makes the challenges, so that a compromised worker cannot reuse one whose response it has seen.
 *
 *   CRAM, APOP   AUTH_CHALLENGE_WANTED -> AUTH_CHALLENGE (the challenge) .. AUTH_REQUEST with the same number
 *                -> AUTH_REPLY
 *   SCRAM        AUTH_REQUEST -> AUTH_CHALLENGE .. AUTH_RESPONSE -> AUTH_CHALLENGE .. AUTH_RESPONSE -> AUTH_REPLY
 *
 * If a reply of either has `other_hosts`, AUTH_RESPONSE (its text does not matter) asks for other targets, after all of
 * the reply were tried; once. Of a login by password authd keeps nothing: it comes again, with `tried`.
 *
 * ".." is the client's time to answer. AUTH_REPLY may come at any point and ends the exchange; so does AUTH_CANCEL. */
#ifndef NODE_MSG_AUTH_H
#define NODE_MSG_AUTH_H

#include "lib/msg.h"
#include "lib/tls_ticket_keys.h"
#include "node/account.h"
#include "node/forwarded.h"
#include "node/msg_channel.h"
#include "settings/peer_tls.h"

enum {
	AUTH_ADDRS_MAX = 8,
	AUTH_REASON_MAX = 512,
	AUTH_TEXT_MAX = 1024,       /* bytes of a text of an exchange with NUL */
	AUTH_CERTS_MAX = 20 * 1024, /* bytes of a client's certificates (lib/tls_ctx.c has a limit, too) */
	AUTH_CHALLENGES_MAX = 65536 /* pending challenges of one worker; no more are made */
};

/* Who speaks first, and how often. */
enum auth_exchange {
	AUTH_EXCHANGE_ONCE,      /* the client sends one message */
	AUTH_EXCHANGE_CHALLENGE, /* the server speaks first, by AUTH_CHALLENGE_WANTED; the client answers once */
	AUTH_EXCHANGE_STEPS      /* the client speaks first, then several times by AUTH_RESPONSE */
};

/* How a client authenticates. The columns: name, the mechanism's name in the protocols, the form of the exchange. A
 * new row also needs one in authd/verify.c (how it is verified) and one in login/login_sasl.c (what the client's
 * messages look like). */
/* clang-format off */
#define AUTH_MECHS(X) \
	X(PASSWORD, "", ONCE)                /* it sends its password: LOGIN, USER and PASS, PLAIN, ... */ \
	X(APOP, "APOP", CHALLENGE)           /* RFC 1939: MD5 of the greeting's timestamp and the password */ \
	X(CRAM_MD5, "CRAM-MD5", CHALLENGE)   /* RFC 2195: HMAC of the challenge; the next two: the same with another hash */ \
	X(CRAM_SHA1, "CRAM-SHA1", CHALLENGE) \
	X(CRAM_SHA256, "CRAM-SHA256", CHALLENGE) \
	X(TOKEN, "X-WAYPOST-TOKEN", ONCE)    /* another node of the pool has authenticated it: see forwarded_token() */ \
	X(SCRAM_SHA_1, "SCRAM-SHA-1", STEPS) /* RFC 5802; the next one RFC 7677 */ \
	X(SCRAM_SHA_256, "SCRAM-SHA-256", STEPS) \
	X(EXTERNAL, "EXTERNAL", ONCE) /* RFC 4422 appendix A: it has shown a certificate on this connection */
/* clang-format on */
enum auth_mech {
#define X(name, word, exchange) AUTH_MECH_##name,
	AUTH_MECHS(X)
#undef X
	    AUTH_MECH_COUNT
};
/* The mechanism's name; "" for PASSWORD. */
const char *auth_mech_name(enum auth_mech m);
enum auth_exchange auth_mech_exchange(enum auth_mech m);
/* The client sends its password: a directory can check it, and it stays valid, as it does not depend on a challenge or
 * on the time. */
bool auth_mech_tells_password(enum auth_mech m);

/* Where a login was tried. */
struct auth_tried {
	struct net_addr addr;
	enum peer_tls tls;
};

struct auth_request {
	uint32_t request; /* the worker's number for this request */
	enum protocol protocol;
	enum auth_mech mech;
	char user[ACCOUNT_NAME_MAX];
	/* PASSWORD, TOKEN: that; CRAM, APOP: the response in hex digits; SCRAM: the first message of the client;
	 * EXTERNAL: who it wants to be, `user` if it does not say. */
	char credential[ACCOUNT_PASSWORD_MAX];
	struct net_addr client; /* of the socket */
	uint16_t local_port;
	bool tls;                        /* on this connection */
	char tls_words[SESSION_TLS_MAX]; /* of it; "": not known */
	/* EXTERNAL: the certificates that the client has shown, in DER, its own first; points into the message, or is
	 * the writer's. */
	const void *certs;
	size_t certs_len;
	struct forwarded forwarded;
	/* Targets of a reply before, with `other_hosts`, none of which has let the login begin. */
	uint8_t ntried;
	struct auth_tried tried[AUTH_ADDRS_MAX];
};

/* How a login ended. The columns: name, word for the log, name of its count in `waypost status`. */
/* clang-format off */
#define AUTH_VERDICTS(X) \
	X(OK, "ok", "verdicts_ok") \
	X(WRONG, "wrong name or password", "verdicts_wrong")         /* the same for unknown names */ \
	X(DISABLED, "protocol disabled", "verdicts_disabled")           /* right password; the account may not use this protocol */ \
	X(UNAVAILABLE, "temporary failure", "verdicts_unavailable")        /* directory, peer or mailbox; never the client's fault */ \
	X(LIMIT, "limit reached", "verdicts_limit") \
	X(LOOP, "proxy loop", "verdicts_loop") \
	X(CANNOT, "cannot be forwarded", "verdicts_cannot") /* there is nothing that the mailhost accepts instead of the password */ \
	X(INSECURE, "TLS required", "verdicts_insecure") /* neither the client nor who forwards it may log in without TLS */ \
	X(AUTHZID, "not to be somebody else", "verdicts_authzid") /* it is who it says, and asks to act as another */ \
	X(ACCOUNT_LIMIT, "limit reached", "verdicts_account_limit") /* of the account alone, wherever its clients are */
/* clang-format on */
enum auth_verdict {
#define X(name, word, count) AUTH_VERDICT_##name,
	AUTH_VERDICTS(X)
#undef X
	    AUTH_VERDICT_COUNT
};
/* The word for the log. */
const char *auth_verdict_word(enum auth_verdict v);

/* auth_target.list instead of the capability_hash() of a list that is known. */
enum {
	AUTH_LIST_UNWANTED, /* nobody asks what the server can do */
	AUTH_LIST_ASK       /* it should be asked, if it does not say so by itself */
};

/* One address of a peer that may take the login, and our signature for that peer. */
struct auth_target {
	struct net_addr addr;
	char host[MAILHOST_MAX]; /* its name in mailhost, which its certificate has to have */
	enum peer_tls tls;
	uint32_t list; /* AUTH_LIST_..., or: send PEER_LIST only for another list than that */
	uint8_t mac[FORWARDED_MAC_LEN];
	uint8_t tls_mac[FORWARDED_MAC_LEN];    /* of client_tls_words, if there are any */
	uint8_t config_mac[FORWARDED_MAC_LEN]; /* of the config, if there is one */
	uint8_t token_key[FORWARDED_MAC_LEN];  /* with AUTH_PEER_TOKEN_OR_MASTER, if signed: forwarded_token_key() */
};

/* The credentials of the login at the peer. */
enum auth_peer_credentials {
	AUTH_PEER_CLIENT_PASSWORD, /* the password that the client sent */
	AUTH_PEER_STORED_PASSWORD, /* `peer_password`, from the directory: the client did not send it */
	/* The password is not known: the target's token if the peer accepts it, else `master_user` (if set) with
	 * `peer_password`. */
	AUTH_PEER_TOKEN_OR_MASTER,
	AUTH_PEER_CREDENTIALS_COUNT
};

/* Hosts of the account besides the targets. */
enum auth_other_hosts {
	AUTH_OTHER_HOSTS_NONE,
	AUTH_OTHER_HOSTS_SELF, /* this node */
	/* Names whose address is not known yet, and perhaps this node: the targets get half of the time. */
	AUTH_OTHER_HOSTS_UNRESOLVED,
	AUTH_OTHER_HOSTS_COUNT
};

/* What stands for the server of LOCAL_IMAP or LOCAL_POP3 where a mailhost does for others, as in the log. */
#define LOCAL_SERVER_HOST "local"

struct auth_reply {
	uint32_t request;
	enum auth_verdict verdict;
	/* For the log; "" = the verdict says it all. With AUTH_VERDICT_OK: which mailhosts have no address. */
	char reason[AUTH_REASON_MAX];
	uint32_t delay_ms; /* delay before a refusal is sent */
	/* The client that the login is for; family 0 with a refusal: that of the socket. */
	struct net_addr client;
	enum signature_check signature; /* to report to the forwarding node */
	/* With AUTH_VERDICT_OK: */
	uint64_t session;                       /* its number in the register; SESSION_END returns it */
	char session_id[SESSION_ID_MAX];        /* for logs and the next node */
	char name[ACCOUNT_NAME_MAX];            /* canonical account name */
	bool client_tls;                        /* ... and whether that client speaks TLS */
	char client_tls_words[SESSION_TLS_MAX]; /* ... and which; "": not known */
	char config[NODE_CONFIG_MAX]; /* remote: what we are, for a node of ours; "": it need not be told now */
	bool proxied;                 /* it came from another node that is trusted */
	bool local;                   /* a session server of ours serves it */
	uint8_t ticket[TICKET_LEN];   /* local: for spawn */
	uint8_t ntargets;             /* remote: to be tried in this order; at least one */
	struct auth_target target[AUTH_ADDRS_MAX];
	/* Local: not one of ours, but a program, which spawn starts: the stream that comes with spawn's answer begins
	 * with its reply to the login; target[0] has its `list`, and LOCAL_SERVER_HOST. Remote: the only target is
	 * LOCAL_SERVER_HOST, the server of LOCAL_IMAP or LOCAL_POP3. If that has a socket, the message comes with a
	 * descriptor that is connected to it, and its address is none. */
	bool local_server;
	enum auth_other_hosts other_hosts; /* remote: ask again if none of the targets can be reached */
	uint32_t peer_ms;                  /* remote, or a program: what is left of PROXY_TIMEOUT */
	bool report_success;               /* remote: send PEER_RESULT also when the peer answers */
	/* Remote: send PEER_SIGNATURE also when the peer accepts our signature. */
	bool report_signature;
	uint8_t ttl;                                 /* remote: hops left, for the next node */
	uint64_t time;                               /* remote: of the signatures; 0 = no pool secret, not signed */
	enum auth_peer_credentials peer_credentials; /* remote */
	char master_user[ACCOUNT_NAME_MAX];          /* master user at servers that are not ours; "": none */
	char peer_password[ACCOUNT_PASSWORD_MAX];
};

void auth_request_write(struct msgw *w, const struct auth_request *q);
/* False if the message is bad; Q then holds no secret. */
bool auth_request_read(struct msgr *r, struct auth_request *q);
/* AUTH_CANCEL. */
void auth_cancel_write(struct msgw *w, uint32_t request);
bool auth_cancel_read(struct msgr *r, uint32_t *request);
/* AUTH_CHALLENGE_WANTED. The reader refuses mechanisms that do not begin with it. */
void auth_challenge_wanted_write(struct msgw *w, uint32_t request, enum auth_mech mech);
bool auth_challenge_wanted_read(struct msgr *r, uint32_t *request, enum auth_mech *mech);
/* AUTH_RESPONSE and AUTH_CHALLENGE: TYPE says which. */
void auth_text_write(struct msgw *w, enum msg_type type, uint32_t request, const char *text);
bool auth_text_read(struct msgr *r, uint32_t *request, char text[AUTH_TEXT_MAX]);
void auth_reply_write(struct msgw *w, const struct auth_reply *a);
/* Fills all of A. */
bool auth_reply_read(struct msgr *r, struct auth_reply *a);
/* AUTH_TICKET_KEYS. The caller wipes W. */
void auth_ticket_keys_write(struct msgw *w, const struct tls_ticket_keys *k);
/* False if the message is bad; K then has no keys. The caller wipes K. */
bool auth_ticket_keys_read(struct msgr *r, struct tls_ticket_keys *k);
/* Memory for a reply, with undefined members. */
struct auth_reply *auth_reply_new(void);
/* Wipes the secrets in *A (which may be NULL), frees it and sets the pointer to NULL. */
void auth_reply_free(struct auth_reply **a);

#endif
