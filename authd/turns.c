/* How many logins begin in a second after the start, and who waits. */
#include "authd/turns.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/net.h"
#include "lib/rnd.h"

#define INTERVAL 0.05 /* seconds */
enum {
	BURST_PART = 10,   /* of a second's logins: those that begin at once */
	SHARE = 4,         /* no address has more than one in so many places of the queue */
	QUIET_SECONDS = 60 /* between two lines of the log */
};

static double rate_of(const struct authd *a)
{
	return (double)a->ctx.set->node_LOGIN_START_RATE;
}

/* How many may wait: none of them longer than half of what a node in front or a client waits for us. */
static unsigned places(const struct authd *a)
{
	const struct settings *set = a->ctx.set;
	double patience = MIN((double)set->proxy_PROXY_TIMEOUT, (double)set->node_LOGIN_TIMEOUT / 2) / 2;

	return (unsigned)MAX(rate_of(a) * patience, 1);
}

/* What has become of the budget by NOW. */
static void refill(struct authd *a, double now)
{
	struct turns *t = &a->turns;

	t->budget = MIN(t->budget + MAX(now - t->at, 0) * rate_of(a), MAX(rate_of(a) / BURST_PART, 1));
	t->at = now;
}

/* The count of the address of RQ's client; IPv6 counts by its /64. */
static unsigned *count_of(struct request *rq)
{
	struct turns *t = &rq->worker->a->turns;
	const struct net_addr client = net_addr_client(&rq->client);
	uint64_t hash = t->seed, part;

	for (size_t i = 0; i < sizeof(client.ip); i += sizeof(part)) {
		memcpy(&part, client.ip + i, sizeof(part));
		hash = (hash ^ part) * (t->seed | 1);
		hash ^= hash >> 32;
	}
	return &t->of[hash % TURNS_BUCKETS];
}

static void say_waiting(struct authd *a)
{
	if (log_due(&a->turns.tell_again, QUIET_SECONDS))
		log_warn("more logins than LOGIN_START_RATE (%.0f a second) have come since the start: they wait for "
		         "their turn, at most %u of them",
		    rate_of(a), places(a));
}

enum request_state turns_take(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct turns *t = &a->turns;
	double now = loop_now();
	char reason[AUTH_REASON_MAX];

	if (rq->has_turn || rate_of(a) == 0 || now - a->started >= TURNS_SECONDS)
		return REQUEST_LOOKUP;
	rq->has_turn = true;
	refill(a, now);
	if (t->n == 0 && t->budget >= 1) {
		t->budget--;
		return REQUEST_LOOKUP;
	}
	say_waiting(a);
	if (t->n < places(a) && (rq->crowd || *count_of(rq) < MAX(places(a) / SHARE, 1)))
		return REQUEST_TURN;
	t->refused++;
	snprintf(reason, sizeof(reason),
	    "too many logins at once after the start of this node: %u wait for their turn, of LOGIN_START_RATE = %.0f "
	    "a second",
	    t->n, rate_of(a));
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

void turns_enter(struct request *rq)
{
	struct authd *a = rq->worker->a;

	DL_APPEND(a->turns.queue, rq);
	a->turns.n++;
	a->turns.waited++;
	++*count_of(rq);
	ev_timer_start(a->ctx.loop, &a->turns.timer); /* unless it runs */
}

void turns_leave(struct request *rq)
{
	struct turns *t = &rq->worker->a->turns;

	DL_DELETE(t->queue, rq);
	t->n--;
	--*count_of(rq);
}

/* The budget belongs to those who wait, as long as there are any, whenever the start was. */
static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct authd *a = timer->data;
	struct turns *t = &a->turns;

	refill(a, loop_now());
	while (t->queue != NULL && (t->budget >= 1 || rate_of(a) == 0)) {
		struct request *rq = t->queue;

		t->budget--;
		turns_leave(rq);
		request_enter(rq, REQUEST_LOOKUP);
	}
	if (t->queue == NULL)
		ev_timer_stop(loop, timer);
}

void turns_init(struct authd *a)
{
	rnd_bytes(&a->turns.seed, sizeof(a->turns.seed));
	ev_timer_init(&a->turns.timer, on_timer, INTERVAL, INTERVAL);
	a->turns.timer.data = a;
}
