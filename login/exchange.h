/* The state of a login's exchange with authd: the challenge that authd keeps for it, the credentials that wait for a
 * verdict. node/msg_auth.h has the messages. It is separate from the login's state (login.h), which is given with each.
 *
 *   NONE --AUTH_CHALLENGE_WANTED--> WANTED --challenge--> GREETED, CHALLENGED
 *        GREETED, CHALLENGED --the client's response--> ANSWERED --verdict--> NONE
 *   NONE --AUTH_REQUEST--> REQUESTED --verdict--> NONE, or KEPT (other hosts, and credentials that are valid only once)
 *                                    '--the next challenge of SCRAM--> CHALLENGED
 */
#ifndef LOGIN_EXCHANGE_H
#define LOGIN_EXCHANGE_H

#include "node/msg_auth.h"

struct login;

enum exchange {
	/* authd knows nothing of the login. In AUTH: there is no authd; the next one gets the credentials. */
	EXCHANGE_NONE,
	EXCHANGE_WANTED,     /* GREETING, AUTH: authd makes a challenge */
	EXCHANGE_GREETED,    /* COMMAND: the greeting's challenge can be answered */
	EXCHANGE_CHALLENGED, /* COMMAND: the client must answer a challenge */
	/* AUTH: authd has the credentials; unless they are a token, another authd could verify them as well. */
	EXCHANGE_REQUESTED,
	/* AUTH: authd has the answer to its challenge, or is asked again about what it has KEPT. */
	EXCHANGE_ANSWERED,
	EXCHANGE_KEPT, /* PEER: the verdict is there; authd can be asked once for other targets */
	EXCHANGE_LOST  /* COMMAND, AUTH: the challenge is lost, so the response to it cannot be verified */
};

/* The only place that changes L's exchange. */
void exchange_enter(struct login *l, enum exchange to);
/* authd is lost, with what it knew: changes the exchange accordingly. */
void exchange_lose(struct login *l);
/* authd owes L a challenge or a verdict. */
bool exchange_waits(const struct login *l);
/* authd, for which L waits, may send verdict V: neither right nor wrong before it has the credentials. */
bool exchange_allows(const struct login *l, enum auth_verdict v);
/* L's credentials are the response to a challenge that authd keeps, or a retry of what it has KEPT. */
bool exchange_answers(const struct login *l);

#endif
