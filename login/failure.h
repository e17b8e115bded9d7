/* The reasons why a login fails, with the texts for the client and the log. A new failure is a row here and one in the
 * table of failure.c; refusals are worded nowhere else. */
#ifndef LOGIN_FAILURE_H
#define LOGIN_FAILURE_H

#include "lib/str.h"
#include "node/msg_auth.h"

#define LOGIN_FAILURES(X) \
	X(WRONG) /* authd's verdict, as the next eight; with its own reason for the log */ \
	X(DISABLED) \
	X(UNAVAILABLE) \
	X(LIMIT) \
	X(ACCOUNT_LIMIT) \
	X(LOOP) \
	X(CANNOT) \
	X(INSECURE)      /* also before authd is asked */ \
	X(AUTHZID)       /* the same */ \
	X(NO_AUTHD)      /* there is no authd */ \
	X(NO_SERVER)     /* no session server could be started */ \
	X(NO_DESCRIPTOR) /* there is no room for the connection to the local server */ \
	X(KICKED)        /* an operator has ended the account's sessions meanwhile */ \
	X(CONTROL_CHARS) /* the credentials have control characters and go to no peer */ \
	X(UNREACHABLE)   /* none of the peer's addresses greeted */ \
	X(UNANSWERED)    /* the peer greeted, but the login was not decided */ \
	X(INVALID)       /* the peer violated the protocol */ \
	X(REFUSED)       /* it rejected name or password, which were right here */ \
	X(MASTER)        /* the same of PROXY_MASTER_USER */ \
	X(TEMPORARY)     /* it has a temporary failure */ \
	X(NEEDS_TLS)     /* it accepts no login without TLS, or none with a plain password */ \
	X(CLIENT_TLS)    /* a node that believes us, and wants TLS of our client */ \
	X(UNBELIEVED)    /* the same, but it does not believe who our client is: it does not accept our signature */ \
	X(NO_STARTTLS)   /* it does not begin TLS as it should, and got nothing of the login */ \
	X(EXPIRED)       /* the password has expired there */ \
	X(DENIED)        /* the account may not log in there */ \
	X(ADMIN)         /* it has a problem that an administrator must fix */ \
	X(PEER_LIMIT)    /* it has reached a limit */ \
	X(IN_USE)        /* the mailbox is locked by another session */ \
	X(ALERT)         /* it gives the reason in a text for the user, which the client gets */ \
	X(TOO_SOON)      /* the last login was a moment ago */ \
	X(SELF)          /* the peer is this node */ \
	X(LOCAL_SELF)    /* the local server is this node or another */ \
	X(LOCAL_TLS)     /* NEEDS_TLS of the local server */ \
	X(NO_MASTER)     /* the password is not known, the peer accepts no token, and there is no PROXY_MASTER_USER */ \
	X(NO_PLAIN)      /* the same, and the peer has no SASL PLAIN for that user */
enum login_failure {
#define X(name) FAILURE_##name,
	LOGIN_FAILURES(X)
#undef X
	    FAILURE_COUNT
};

/* What is inserted in the texts; NULL is allowed if the failure's text does not use it. */
struct failure_facts {
	const char *host, *at; /* the mailhost, and its "[ip]:port" */
	const char *said;      /* the peer's text, or what failed on the way to it */
	const char *method;    /* by which the client logs in */
	const char *self;      /* this node's name */
};

enum login_failure failure_of_verdict(enum auth_verdict v);
/* The same failure as F where the peer is the local server, in other words: nothing is wrong with a mailhost. */
enum login_failure failure_of_local(enum login_failure f);
/* TEXT, with which a peer refuses a login, says that it requires TLS, or refuses plain passwords. */
bool failure_wants_tls(const char *text);
/* The first words of its line in the log. */
const char *failure_word(enum login_failure f);
/* Appends the reason for the log. */
void failure_add_reason(enum login_failure f, const struct failure_facts *facts, struct str *out);
/* The response code for a client of P, without brackets (RFC 5530; RFC 2449, RFC 3206). */
const char *failure_code(enum login_failure f, enum protocol p);
/* Appends the text for a client of P. */
void failure_add_text(enum login_failure f, enum protocol p, struct str *out);

#endif
