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
	struct str alerts;              /* IMAP: lines for the user, complete */
	char said[PEER_LOGIN_SAID_MAX]; /* the peer's text of the refusal, printable */
	bool has_spoken;                /* it has sent something after its reply to the login */
	bool as_master;                 /* the login is PROXY_MASTER_USER's */
	enum node_mark mark;            /* of its greeting, with */
	char node_id[NODE_ID_LEN + 1];  /* ... its id; "": there is no mark */
	enum signature_check signature; /* its verdict on ours */
};

/* The peer of the pending login, or the last one tried. */
const struct auth_target *peer_login_target(const struct login *l);
/* LINE, without its line end, is the peer's greeting, or a line of the same form that it has sent within
 * TLS: fills peer.mark and peer.node_id. */
void peer_login_take_greeting(struct login *l, const char *line);
/* The same, of a greeting in clear before TLS. It counts for nothing but the id of a node that says within TLS that it
 * is one, and has no mark there: peer_login_is_old_node(). Somebody between may have made the id up: then that node
 * takes no token. */
void peer_login_take_greeting_in_clear(struct login *l, const char *line);
/* The peer has said within TLS that it is a node, and may be of a version that has no mark there. */
void peer_login_is_old_node(struct login *l);
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
/* The identity that the login forwards to that peer. */
void peer_login_forwarded(const struct login *l, struct forwarded *out);
/* Forgets what the peer has said. */
void peer_login_forget_words(struct login *l);

#endif
