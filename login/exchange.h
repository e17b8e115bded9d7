/* Where a login's exchange with authd is: the challenge that authd keeps for it, the credentials that wait for their
 * verdict. The names of its messages: node/msg_auth.h. It goes on beside the login's state (login.h), which is given
 * for each.
 *
 *   NONE --AUTH_CHALLENGE_WANTED--> WANTED --the challenge--> GREETED, CHALLENGED --the client's answer--> ANSWERED
 *   --the verdict--> NONE NONE --AUTH_REQUEST--> REQUESTED --the verdict--> NONE, or KEPT if there are more hosts
 *                               and the credentials are good only once '--SCRAM's next challenge--> CHALLENGED
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
	EXCHANGE_CHALLENGED, /* COMMAND: the client is to answer a challenge */
	/* AUTH: authd has the credentials, which another authd could be asked just as well, unless they are a token. */
	EXCHANGE_REQUESTED,
	/* AUTH: authd has the answer to its challenge, or is asked again about what it has KEPT. */
	EXCHANGE_ANSWERED,
	EXCHANGE_KEPT, /* PEER: the verdict is there; authd can be asked again, once, where to go */
	EXCHANGE_LOST  /* COMMAND, AUTH: the challenge is lost, and its answer says nothing to anybody */
};

/* The one place that changes L's exchange. */
void exchange_enter(struct login *l, enum exchange to);
/* What becomes of it when authd is lost, which knows no more of it then. */
void exchange_lose(struct login *l);
/* authd owes L a challenge or a verdict. */
bool exchange_waits(const struct login *l);
/* authd, for which L waits, may come to V. It says neither right nor wrong before it has what is judged. */
bool exchange_allows(const struct login *l, enum auth_verdict v);
/* L's credentials are the answer to a challenge that authd keeps, or ask it again about what it has KEPT. */
bool exchange_answers(const struct login *l);

#endif
