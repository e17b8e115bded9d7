/* A client's connection from its greeting until it is handed over to a session server of this node, or to a relay. One
 * engine for all protocols; each protocol has a dialect, a table of functions that turn bytes into events and results
 * into replies, and touch neither sockets nor the state.
 *
 *   GREETING (where the greeting needs authd) --> COMMAND
 *   COMMAND --STARTTLS--> STARTTLS --> COMMAND
 *   COMMAND --credentials--> AUTH --wrong--> DELAY --> COMMAND
 *                             |--a challenge for the client--> COMMAND
 *                             |--here-----> HANDOFF --> (a session server has it)
 *                             |               '--no server--> RETRY --> AUTH, once
 *                             '--elsewhere-> PEER ----> (a relay has it)
 *   after any refusal that is not the client's fault it returns to COMMAND; CLOSING sends what is left and closes.
 */
#ifndef LOGIN_LOGIN_H
#define LOGIN_LOGIN_H

#include <ev.h>
#include <openssl/ssl.h>

#include "lib/conn.h"
#include "lib/str.h"
#include "login/exchange.h"
#include "login/peer_login.h"
#include "login/strangers.h"
#include "node/msg_auth.h"
#include "settings/settings.h"

struct login;
struct login_env;

/* clang-format off */
#define LOGIN_STATES(X) \
	X(GREETING) /* waits for authd's challenge, for the greeting */ \
	X(COMMAND)  /* waits for commands, which go to the dialect */ \
	X(STARTTLS) /* the reply to STARTTLS is being sent; nothing may come before it has left */ \
	X(AUTH)     /* waits for authd; the client is not read from here on */ \
	X(DELAY)    /* a refusal is delayed */ \
	X(HANDOFF)  /* spawn has a copy of the descriptor; its answer decides */ \
	X(RETRY)    /* no session server was available; authd is asked again in a moment */ \
	X(PEER)     /* the login at another node is pending */ \
	X(CLOSING)  /* the last reply is being sent */
/* clang-format on */
enum login_state {
#define X(name) LOGIN_##name,
	LOGIN_STATES(X)
#undef X
};

/* The dialect's result for the client's bytes. */
enum login_event {
	LOGIN_EVENT_MORE,        /* no complete command yet */
	LOGIN_EVENT_NEXT,        /* a command was handled (its reply is in l->out) */
	LOGIN_EVENT_BAD,         /* the same, and it was an error: too many of them end the session */
	LOGIN_EVENT_CREDENTIALS, /* l->user and l->password are set: authenticate */
	LOGIN_EVENT_INSECURE,    /* a login was refused because of login_wants_tls() (the reply is in l->out) */
	LOGIN_EVENT_TLS,         /* the client begins TLS after the reply in l->out */
	LOGIN_EVENT_CHALLENGE,   /* l->mech is set: request a challenge, which comes by challenge() */
	LOGIN_EVENT_QUIT,        /* the client logged out: close */
	LOGIN_EVENT_HTTP,        /* a browser speaks, perhaps with words of others: close without a reply */
	LOGIN_EVENT_FATAL        /* it cannot continue (a reply may be in l->out): close */
};

/* Why a session ends before it began, for the dialect's goodbye. */
enum login_bye {
	LOGIN_BYE_TIMEOUT,
	LOGIN_BYE_ERRORS,
	LOGIN_BYE_TOO_LONG,
	LOGIN_BYE_DRAIN,
	LOGIN_BYE_SHUTDOWN,
	LOGIN_BYE_FULL,
	LOGIN_BYE_KICK
};

enum {
	LOGIN_INPUT_MAX = 16 * 1024, /* bytes kept of an incomplete command */
	LOGIN_BAD_MAX = 10,          /* consecutive errors */
	LOGIN_WRONG_MAX = 5,         /* wrong passwords of one connection; programs try the right one in several ways */
	LOGIN_TLS_SECONDS = 20       /* for the handshake of TLS; the whole login has LOGIN_TIMEOUT */
};

struct login_dialect {
	enum protocol protocol;
	size_t data_size; /* bytes of l->data, zeroed at first */
	/* Frees what l->data owns. */
	void (*fini)(struct login *l);
	/* True: the greeting needs a challenge, of *MECH. NULL: it never does. */
	bool (*greeting_mech)(const struct login *l, enum auth_mech *mech);
	/* CHALLENGE: of greeting_mech(), or NULL; then the greeting depends only on the settings. */
	void (*greet)(struct login *l, const char *challenge);
	/* Sends TEXT, the challenge of l->mech, to the client. Its response goes to input(). */
	void (*challenge)(struct login *l, const char *text);
	/* Handles the LEN bytes at P; *USED is how many of them were consumed (0 with LOGIN_EVENT_MORE, unless the
	 * dialect keeps what it consumed). Called again with the rest until it needs more. */
	enum login_event (*input)(struct login *l, const char *p, size_t len, size_t *used);
	/* The login failed with F: client_reply_refusal(), in the form of the protocol. */
	void (*refuse)(struct login *l, enum login_failure f);
	/* Appends the goodbye to l->out; nothing else of L needs to be set. */
	void (*bye)(struct login *l, enum login_bye why);
	/* For the session server: struct session_start.context. */
	void (*context)(struct login *l, struct str *out);
	/* The dialogue with a peer, arg = the login; fresh for each try (l->peer is zeroed). */
	backend_line_fn *peer_line;
	/* The peer accepted the login: the reply to the client goes to l->out. */
	void (*accepted)(struct login *l);
};

struct login {
	struct login *next, **prev;
	struct login_env *env;
	const struct login_dialect *dialect;
	const struct settings *set;
	struct stranger stranger; /* while the client's next move is awaited; the worker's */
	struct stranger holder;   /* the same, if it holds much memory */
	struct conn conn;         /* the client */
	ev_timer timer;           /* the state's, stopped with it: the end of DELAY, RETRY or CLOSING */
	enum login_state state;
	uint32_t started;        /* loop time, seconds: one deadline for all until hand-over */
	uint32_t tls_since;      /* loop time, seconds: of the beginning of TLS */
	enum exchange exchange;  /* with authd */
	uint32_t exchange_since; /* loop time, seconds: of the last message to authd, or attempt to send one */
	uint32_t request;        /* number of the request to authd or spawn; 0: there is none */
	unsigned bad, wrong;     /* consecutive errors; wrong passwords, and attempts to be somebody else */
	double peer_until;       /* lib/clock.h: PROXY_TIMEOUT has passed then; 0: no peer was tried yet */
	bool retried;            /* the hand-over, or connecting to a peer, failed once already */
	/* The latter: how many targets were tried, and which; NULL: none. */
	uint8_t ntried;
	struct auth_tried *tried;
	bool heard;         /* the client has sent something */
	bool told_insecure; /* the log tells that it wanted to log in without TLS */
	bool told_external; /* ... or by a certificate that has no name for us */
	bool over;          /* it is freed as soon as the engine is left */
	struct net_addr client;
	uint16_t local_port;
	bool tls;        /* the client speaks TLS, to us or to a proxy in front */
	char *front_tls; /* what the latter says of it, session_tls_ok(); NULL: nothing */
	struct str in;   /* bytes that wait for more, or for the hand-over */
	struct str out;  /* bytes that wait for the client */
	void *data;      /* the dialect's own */
	/* From the dialect: */
	enum auth_mech mech;
	/* Wiped as soon as they are not needed; `password` may be another credential, see node/msg_auth.h. */
	char *user, *password;
	const char *method; /* "LOGIN", "PLAIN", ...: for the log */
	struct forwarded
	    *forwarded; /* from ID or XCLIENT; only the first one is used. NULL: login_forwarded() makes it */
	/* From authd: */
	struct auth_reply *reply;
	struct backend *backend;
	struct peer_login peer;
};

/* For dialects: l->forwarded, which is made if there is none: most clients tell of no other. */
struct forwarded *login_forwarded(struct login *l);
/* For dialects: a login would be refused now, whatever its credentials are, because the client does not use TLS. So it
 * is to be refused before the client has sent them, and not announced. A client that brings the signature of a node is
 * not asked: authd checks that. */
bool login_wants_tls(const struct login *l);
/* For dialects: whether the client can begin TLS. LATER: it could, but there is no certificate at the moment. */
enum login_tls { LOGIN_TLS_NO, LOGIN_TLS_LATER, LOGIN_TLS_OFFERED };
enum login_tls login_offers_tls(const struct login *l);

/* Who is at the other end, as far as that is known before the login. */
struct login_client {
	struct net_addr addr;
	uint16_t port; /* of ours, that it came to */
	bool tls;
	const char *tls_words; /* what a proxy in front says of it, session_tls_ok(); NULL: nothing */
	SSL_CTX *ctx;          /* it begins with TLS, and this is the server's; NULL: it does not */
};

/* The engine, for the worker: each of these may end and free L. This one takes over the accepted socket FD. */
void login_start(struct login_env *env, const struct login_dialect *d, int fd, const struct login_client *client);
/* Tells the client on FD that it cannot be served now. The caller closes FD. */
void login_refuse(const struct login_dialect *d, int fd);
/* authd's challenge for the client; NULL, in GREETING only: there is none, because there is no authd. */
void login_challenge(struct login *l, const char *text);
/* authd's answer (A is freed by the engine), or NULL: authd cannot be asked. STREAM, if not -1, leads to the local
 * server, and is taken over. */
void login_auth_reply(struct login *l, struct auth_reply *a, int stream);
/* spawn's answer to the hand-over: struct spawn_link_hooks. */
void login_handoff_reply(struct login *l, bool ok, int stream);
/* The spawn that had the hand-over died: a server may be running, so the client is closed without a reply. */
void login_handoff_lost(struct login *l);
/* Ends the login if its client has reset the connection: for a login that waits and is not watched, because it has
 * unread bytes. */
void login_check_client(struct login *l);
/* The operator ends the sessions of L's account: if L is about to become one, at a peer or here, refuses it or closes
 * its client. False: it has no verdict yet, or another one. */
bool login_kick(struct login *l);
/* To be called each second, with loop time: weighs L (login/stranger_limits.h). L, whose client has waited for a while
 * for the answer to its credentials, may have to give way from now on. Whether they are right makes no difference: a
 * right password may be held as long as a wrong one (authd/hold.h), and who would see which of its logins gives way
 * would not have to wait. */
void login_age(struct login *l, uint32_t now);
/* With loop time: L has had all the time that there is, LIMIT seconds, or that for the handshake of TLS. */
bool login_is_late(const struct login *l, uint32_t now, uint32_t limit);
/* L, one of the worker's strangers, gives way to another client: it is told, and closed. */
void login_yield(struct login *l);
/* The login deadline has passed, or the node is being stopped. */
void login_end(struct login *l, enum login_bye why);

#endif
