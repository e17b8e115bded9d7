/* How long an answer waits, by the counts of authd/guesses.c. */
#include "authd/hold.h"

#include <string.h>
#include <utlist.h>

#include "lib/clock.h"
#include "lib/log.h"

static struct guesser guesser(const struct request *rq)
{
	return (struct guesser){ .client = &rq->client, .name = rq->name, .crowd = rq->crowd };
}

/* Somebody in front waits for the answer, PROXY_TIMEOUT if it is a node: one that we believe, or would believe if it
 * named its client, or if the clocks and secrets of the pool agreed. */
static bool has_front(const struct request *rq)
{
	const struct authd *a = rq->worker->a;

	return rq->believed || net_addr_in_any(&rq->q.client, a->ctx.set->proxy_PROXY_TRUSTED) ||
	    (signature_check_bad(rq->signature) && signature_errors_known(a->signature_errors, &rq->q.client));
}

/* Seconds, if the credentials of RQ are RIGHT or wrong; COUNT: the wrong ones that it is for. */
static double delay(const struct request *rq, bool right, unsigned *count)
{
	const struct settings *set = rq->worker->a->ctx.set;
	struct guesser who = guesser(rq);
	double most = MIN(HOLD_MOST, (double)set->node_LOGIN_TIMEOUT / 4);

	*count = 0;
	/* A node of the pool has delayed it, and gives us less than PROXY_TIMEOUT, as others in front may do. */
	if (rq->signed_for != NULL || set->node_LOGIN_FAIL_DELAY == 0)
		return 0;
	if (has_front(rq))
		most = MIN(most, (double)set->proxy_PROXY_TIMEOUT / 2);
	*count = guesses_count(rq->worker->a->guesses, &who, right, clock_now());
	return guesses_delay(*count, (double)set->node_LOGIN_FAIL_DELAY, most);
}

uint32_t hold_wrong(struct request *rq)
{
	const struct authd *a = rq->worker->a;
	struct guesser who = guesser(rq);
	unsigned count;

	if (rq->q.mech != AUTH_MECH_TOKEN && rq->q.mech != AUTH_MECH_EXTERNAL) /* nobody guesses those */
		guesses_wrong(a->guesses, &who, rq->q.credential, clock_now());
	return (uint32_t)(((double)a->ctx.set->node_LOGIN_FAIL_DELAY + delay(rq, false, &count)) * 1000);
}

static void log_held(const struct request *rq, double seconds, unsigned count)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];

	log_info("a login with the right password waits for %.0f seconds, as %u wrong ones were tried at the account "
	         "or from the address, user=%s, ip=[%s]",
	    seconds, count, log_value(user, sizeof(user), rq->name), net_addr_log(&rq->client, ip));
}

/* How many logins to RQ's account wait. */
static unsigned held_already(const struct request *rq)
{
	unsigned n = 0;

	for (const struct request *other = rq->worker->a->held; other != NULL; other = other->next)
		n += strcmp(other->name, rq->name) == 0;
	return n;
}

enum request_state hold_right(struct request *rq, enum request_state next)
{
	unsigned count;
	double seconds;

	if (rq->held)
		return next;
	rq->held = true;
	seconds = delay(rq, true, &count);
	if (seconds == 0)
		return next;
	if (held_already(rq) >= HOLD_ACCOUNT_MAX)
		return request_refuse(rq, AUTH_VERDICT_ACCOUNT_LIMIT,
		    "logins of an account that wait because of wrong passwords");
	log_held(rq, seconds, count);
	rq->held_until = clock_now() + seconds;
	rq->after_hold = next;
	return REQUEST_HELD;
}

void hold_over(struct request *rq)
{
	struct guesser who = guesser(rq);

	guesses_right(rq->worker->a->guesses, &who, clock_now());
}

void hold_release(struct authd *a, double now)
{
	for (struct request *rq = a->held, *next; rq != NULL; rq = next) {
		next = rq->next;
		if (rq->held_until > now)
			continue;
		DL_DELETE(a->held, rq);
		request_enter(rq, rq->after_hold);
	}
}
