/* The states of a login's exchange with authd: the table of what may follow what. */
#include "login/exchange.h"

#include "lib/die.h"
#include "login/login.h"

#define TO(state) (1U << EXCHANGE_##state)
static const struct {
	unsigned to;        /* the states that may follow */
	bool waits;         /* for authd */
	enum exchange lost; /* what follows when authd is lost */
} states[] = {
	[EXCHANGE_NONE] = { TO(WANTED) | TO(REQUESTED) | TO(LOST), false, EXCHANGE_NONE },
	/* A refusal may come instead of the challenge. */
	[EXCHANGE_WANTED] = { TO(NONE) | TO(GREETED) | TO(CHALLENGED) | TO(LOST), true, EXCHANGE_LOST },
	[EXCHANGE_GREETED] = { TO(NONE) | TO(ANSWERED), false, EXCHANGE_NONE },
	[EXCHANGE_CHALLENGED] = { TO(NONE) | TO(ANSWERED) | TO(LOST), false, EXCHANGE_LOST },
	[EXCHANGE_REQUESTED] = { TO(NONE) | TO(CHALLENGED) | TO(KEPT) | TO(LOST), true, EXCHANGE_NONE },
	[EXCHANGE_ANSWERED] = { TO(NONE) | TO(CHALLENGED) | TO(KEPT) | TO(LOST), true, EXCHANGE_LOST },
	[EXCHANGE_KEPT] = { TO(NONE) | TO(ANSWERED), false, EXCHANGE_NONE },
	[EXCHANGE_LOST] = { TO(NONE), false, EXCHANGE_LOST },
};
#undef TO

void exchange_enter(struct login *l, enum exchange to)
{
	DIE_IF((states[l->exchange].to >> to & 1) == 0);
	l->exchange = to;
}

void exchange_lose(struct login *l)
{
	enum exchange to = states[l->exchange].lost;

	/* authd may have marked the token as used: sent again it would look like a replay. */
	if (l->exchange == EXCHANGE_REQUESTED && l->mech == AUTH_MECH_TOKEN)
		to = EXCHANGE_LOST;

	if (to != l->exchange)
		exchange_enter(l, to);
}

bool exchange_waits(const struct login *l)
{
	return states[l->exchange].waits;
}

bool exchange_allows(const struct login *l, enum auth_verdict v)
{
	switch (l->exchange) {
	case EXCHANGE_WANTED:
		return v != AUTH_VERDICT_OK && v != AUTH_VERDICT_WRONG;
	case EXCHANGE_REQUESTED: /* SCRAM's first message proves nothing yet */
		return v != AUTH_VERDICT_OK || auth_mech_exchange(l->mech) == AUTH_EXCHANGE_ONCE;
	default:
		return true;
	}
}

bool exchange_answers(const struct login *l)
{
	switch (l->exchange) {
	case EXCHANGE_CHALLENGED:
	case EXCHANGE_KEPT:
		return true;
	case EXCHANGE_GREETED: /* other mechanisms cannot use it */
		return auth_mech_exchange(l->mech) == AUTH_EXCHANGE_CHALLENGE;
	default:
		return false;
	}
}
