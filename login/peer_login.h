/* The login at a peer, in the client's name: what the peer has said, and what its dialogue is made of in every
 * protocol. The lines are the dialect's (login_dialect.peer_line); proxy/backend.h has the connection. */
#ifndef LOGIN_PEER_LOGIN_H
#define LOGIN_PEER_LOGIN_H

#include "lib/str.h"
#include "login/failure.h"
#include "login/node_mark.h"
#include "node/msg_auth.h"
#include "proxy/backend.h"

struct login;

enum { PEER_LOGIN_SAID_MAX = 256 /* bytes of a peer's text, with NUL */ };

/* The state of the dialogue with a peer. */
struct peer_login {
	int state;
	unsigned target; /* which one has said all this */
	unsigned caps;   /* the dialect's bits */
	bool failed;     /* the dialect has given the reason why it stops: */
	enum login_failure failure;
	const char
	    *code; /* its response code, of those that the dialect knows, without brackets; NULL: the failure's */
	struct str capability;          /* IMAP: the peer's list after login */
	bool has_list;                  /* it has listed what it can do after login, or refuses to: */
	struct str list;                /* ... that, of capability_take() */
	struct str alerts;              /* IMAP: lines for the user, complete */
	struct str behind;              /* IMAP: complete lines that it has sent behind its reply to the login */
	char said[PEER_LOGIN_SAID_MAX]; /* the peer's text of the refusal, printable */
	bool in_line;                   /* IMAP: behind a literal, in a line that goes on */
	bool has_spoken;                /* it has sent something after its reply to the login */
	bool as_master;                 /* the login is PROXY_MASTER_USER's */
	enum node_mark mark;            /* of its greeting, with */
	char node_id[NODE_ID_LEN + 1];  /* ... its id; "": there is no mark */
	enum signature_check signature; /* its verdict on ours */
};

/* The peer is a program of this node, which logs its user in by itself: its first words are the reply to the login. */
bool peer_login_is_program(const struct login *l);
/* The peer is this node. Or the local server is another one: two that are each other's would pass a login on and on. */
bool peer_login_leads_back(const struct login *l);
/* The peer of the pending login, or the last one tried. */
const struct auth_target *peer_login_target(const struct login *l);
/* LINE, without its line end, is the peer's greeting, or a line of the same form that it has sent within TLS: fills
 * peer.mark and peer.node_id. Not for a greeting in clear before TLS: somebody between may have said it. */
void peer_login_take_greeting(struct login *l, const char *line);
/* authd wants to know what the peer can do after login. */
bool peer_login_asks_list(const struct login *l);
/* We can make a token for the peer, if it accepts tokens: it is a node, and there is a pool secret. */
bool peer_login_has_token(const struct login *l);
/* Appends, in base64, the SASL message of a login at a peer when the client's password is not known: our
 * token (X-WAYPOST-TOKEN: name NUL token), or PLAIN of the master user for the account. */
void peer_login_add_token(const struct login *l, struct str *out);
void peer_login_add_master(struct login *l, struct str *out);
/* The dialogue with the peer ends with failure F; TEXT is its text, or what is wrong with it. With
 * FAILURE_NEEDS_TLS it may be another one, by what is known of the peer: peer.failure. */
enum backend_step peer_login_fail(struct login *l, enum login_failure f, const char *text);
/* Call it before anything is sent to the peer: name, password and session id have no control characters, so none ends a
 * line there. If false, the dialogue ends with FAILURE_CONTROL_CHARS. */
bool peer_login_is_fit(const struct login *l);
/* LINE, the peer's reply to the login, may report its check of our signature. */
void peer_login_take_note(struct login *l, const char *line);
/* The peer may know who the client is (its address, its port, and whether it uses TLS): it is a node, the server of
 * LOCAL_IMAP or LOCAL_POP3, or one of PROXY_SEND_ID. Others are told the session and its hops, so that loops end. */
bool peer_login_tells_client(const struct login *l);
/* The identity that the login forwards to that peer; signed for nodes only. */
void peer_login_forwarded(const struct login *l, struct forwarded *out);
/* Forgets what the peer has said. */
void peer_login_forget_words(struct login *l);

#endif
