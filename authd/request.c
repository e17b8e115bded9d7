/* The states of a login request: the table of what may follow what, the queues, and the answer. */
#include "authd/request.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "authd/admit.h"
#include "authd/hold.h"
#include "authd/identify.h"
#include "authd/routing.h"
#include "authd/sessions.h"
#include "authd/turns.h"
#include "authd/verify.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/text.h"

enum { KEPT_MAX = 4096 }; /* requests of one worker that outlive an answer */
enum { DEAF_QUIET_SECONDS = 60 };
#define ROOM_INTERVAL 0.05 /* seconds */
#define ADDRESS_INTERVAL 0.1
#define ASKING_INTERVAL 0.1

static struct msgw out;
static struct auth_reply reply;
static int reply_fd = -1;

/* --- the states --- */

static enum request_state step_refuse(struct request *rq);

#define TO(state) (1U << REQUEST_##state)
static const struct {
	enum request_state (*step)(struct request *rq); /* NULL: a wait */
	uint32_t to;                                    /* the states that may follow */
} states[] = {
	[REQUEST_NEW] = { NULL, TO(IDENTIFY) | TO(REFUSE) },
	[REQUEST_IDENTIFY] = { step_identify, TO(LOOKUP) | TO(REFUSE) },
	[REQUEST_LOOKUP] = { step_lookup,
	    TO(TURN) | TO(REFUSE) | TO(LOOKUP) | TO(FIRST_LOAD) | TO(DIRECTORY) | TO(VERIFY) | TO(VERDICT) },
	[REQUEST_TURN] = { NULL, TO(LOOKUP) | TO(DONE) },
	[REQUEST_FIRST_LOAD] = { NULL, TO(LOOKUP) | TO(DONE) },
	[REQUEST_DIRECTORY] = { NULL, TO(LOOKUP) | TO(VERIFY) | TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_VERIFY] = { step_verify, TO(HASH) | TO(SAY) | TO(VERDICT) | TO(REFUSE) },
	[REQUEST_HASH] = { NULL, TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_SAY] = { step_say, TO(CLIENT) },
	[REQUEST_CLIENT] = { NULL, TO(SAY) | TO(KEYS) | TO(HELD) | TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_KEYS] = { NULL, TO(SAY) | TO(HELD) | TO(VERDICT) | TO(REFUSE) | TO(DONE) },
	[REQUEST_VERDICT] = { step_verdict, TO(HELD) | TO(ADMIT) | TO(REFUSE) },
	[REQUEST_HELD] = { NULL, TO(ADMIT) | TO(SAY) | TO(DONE) },
	[REQUEST_ADMIT] = { step_admit, TO(ROUTE) | TO(REFUSE) },
	[REQUEST_ROUTE] = { step_route, TO(TARGETS) | TO(GRANT) | TO(REFUSE) },
	[REQUEST_TARGETS] = { step_targets, TO(TARGETS) | TO(ADDRESS) | TO(ROOM) | TO(GRANT) | TO(REFUSE) },
	[REQUEST_ADDRESS] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_ROOM] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_GRANT] = { step_grant, TO(GRANTED) | TO(DONE) },
	[REQUEST_REFUSE] = { step_refuse, TO(DONE) },
	[REQUEST_GRANTED] = { NULL, TO(TARGETS) | TO(DONE) },
	[REQUEST_DONE] = { NULL, 0 },
};
#undef TO

/* --- queues of requests that wait for the same thing --- */

static void say_crowded(struct authd *a)
{
	msgw_begin(&out, AUTH_CROWDED);
	for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
		worker_send(w, &out);
}

/* RQ waits for room. Asks the workers which logins succeeded: else they report that later. */
static void wait_for_room(struct request *rq)
{
	struct authd *a = rq->worker->a;

	DL_APPEND(a->for_room, rq);
	a->nfor_room++;
	if (a->nfor_room == 1)
		say_crowded(a);
	ev_timer_start(a->ctx.loop, &a->room_timer); /* unless it runs */
}

/* Queues RQ if its state retries when something arrives. */
static void enter_queue(struct request *rq)
{
	struct authd *a = rq->worker->a;

	if (rq->state == REQUEST_ROOM) {
		wait_for_room(rq);
	} else if (rq->state == REQUEST_TURN) {
		turns_enter(rq);
	} else if (rq->state == REQUEST_DIRECTORY) {
		DL_APPEND(a->asking, rq);
		if (rq->asked_since == 0)
			rq->asked_since = loop_now();
		ev_timer_start(a->ctx.loop, &a->asking_timer); /* unless it runs */
	} else if (rq->state == REQUEST_HELD) {
		DL_APPEND(a->held, rq);
	} else if (rq->state == REQUEST_FIRST_LOAD || rq->state == REQUEST_ADDRESS) {
		DL_APPEND(a->waiting, rq);
		if (rq->state == REQUEST_ADDRESS)
			ev_timer_start(a->ctx.loop, &a->address_timer); /* unless it runs */
	}
}

/* Takes RQ out of the list in which it waits. */
static void leave_queue(struct request *rq)
{
	struct authd *a = rq->worker->a;
	if (rq->state == REQUEST_ROOM) {
		DL_DELETE(a->for_room, rq);
		a->nfor_room--;
	} else if (rq->state == REQUEST_ADDRESS || rq->state == REQUEST_FIRST_LOAD) {
		DL_DELETE(a->waiting, rq);
	} else if (rq->state == REQUEST_TURN) {
		turns_leave(rq);
	} else if (rq->state == REQUEST_DIRECTORY) {
		DL_DELETE(a->asking, rq);
	} else if (rq->state == REQUEST_HELD) {
		DL_DELETE(a->held, rq);
	}
}

/* --- from state to state --- */

static void request_free(struct request *rq)
{
	struct authd_worker *w = rq->worker;

	jobs_forget(w->a->jobs, rq);
	directory_lookup_cancel(&rq->waiter);
	HASH_DEL(w->requests, rq);
	w->nrequests--;
	account_fini(&rq->account);
	mem_free_secret(&rq->challenge);
	mem_free(&rq->next_challenge);
	mem_free(&rq->signed_for);
	if (rq->kept_since != 0)
		w->nkept--;
	scram_free(&rq->scram);
	mem_wipe(&rq->q, sizeof(rq->q));
	mem_free(&rq);
}

void request_enter(struct request *rq, enum request_state state)
{
	for (;;) {
		DIE_IF((states[rq->state].to >> state & 1) == 0);
		rq->state = state;
		if (states[state].step == NULL)
			break;
		state = states[state].step(rq);
	}
	if (state == REQUEST_DONE)
		request_free(rq);
	else
		enter_queue(rq);
}

/* Cancels RQ while it waits. */
static void request_end(struct request *rq)
{
	leave_queue(rq);
	request_enter(rq, REQUEST_DONE);
}

/* --- for the steps --- */

bool request_keep(struct request *rq)
{
	if (rq->kept_since == 0 && rq->worker->nkept >= KEPT_MAX)
		return false;
	if (rq->kept_since == 0) {
		rq->worker->nkept++;
		rq->kept_since = clock_now();
	}
	return true;
}

/* One that was taken over can ask without end and read nothing. */
static void say_deaf(const struct authd_worker *w)
{
	static uint32_t quiet_until;

	if (log_due(&quiet_until, DEAF_QUIET_SECONDS))
		log_error("worker %u does not read its messages", w->slot);
}

void worker_send(struct authd_worker *w, const struct msgw *m)
{
	if (chan_send(w->chan, m, -1) != 0)
		say_deaf(w);
}

/* --- the answer --- */

struct auth_reply *request_reply(void)
{
	return &reply;
}

void request_reply_carries(int fd)
{
	if (reply_fd != -1)
		close(reply_fd);
	reply_fd = fd;
}

/* Without its descriptor, if that cannot be sent, the worker refuses the login with a reason of its own. */
static bool send_reply(struct authd_worker *w)
{
	return (reply_fd != -1 && chan_send(w->chan, &out, reply_fd) == 0) || chan_post(w->chan, &out) == 0;
}

void request_send_reply(struct request *rq)
{
	struct authd *a = rq->worker->a;

	reply.request = rq->q.request;
	a->logins[reply.verdict]++;
	auth_reply_write(&out, &reply);
	if (!send_reply(rq->worker)) {
		say_deaf(rq->worker);
		if (reply.verdict == AUTH_VERDICT_OK)
			sessions_end(rq->worker, reply.session); /* it will never hear of it */
	}
	request_reply_carries(-1);
	mem_wipe(out.buf, out.len); /* a ticket opens a mailbox */
	mem_wipe(reply.peer_password, sizeof(reply.peer_password));
}

enum signature_check request_signature(const struct request *rq)
{
	return rq->believed ? SIGNATURE_NONE : rq->signature;
}

enum request_state request_refuse(struct request *rq, enum auth_verdict v, const char *reason)
{
	memset(&reply, 0, sizeof(reply));
	reply.verdict = v;
	snprintf(reply.reason, sizeof(reply.reason), "%s", reason);
	text_make_plain(reply.reason, ' ');
	if (rq->believed)
		reply.client = rq->client; /* so that the forwarding node is not blamed */
	reply.signature = request_signature(rq);
	reply.delay_ms = v == AUTH_VERDICT_WRONG ? hold_wrong(rq) : 0;
	return REQUEST_REFUSE;
}

static enum request_state step_refuse(struct request *rq)
{
	request_send_reply(rq);
	return REQUEST_DONE;
}

/* --- events --- */

static struct request *find(const struct authd_worker *w, uint32_t id)
{
	struct request *rq;

	HASH_FIND(hh, w->requests, &id, sizeof(id), rq);
	return rq;
}

bool request_new(struct authd_worker *w, struct msgr *r)
{
	struct request *rq = mem_alloc(sizeof(*rq)), *old;

	if (!auth_request_read(r, &rq->q)) {
		mem_free(&rq);
		return false;
	}
	if ((old = find(w, rq->q.request)) != NULL)
		request_end(old); /* numbers are reused; the worker no longer waits for the old one */
	rq->worker = w;
	HASH_ADD(hh, w->requests, q.request, sizeof(rq->q.request), rq);
	w->nrequests++;
	account_init(&rq->account);
	request_enter(rq,
	    w->nrequests > REQUESTS_MAX ?
	        request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, "too many pending logins of one login worker") :
	        REQUEST_IDENTIFY);
	return true;
}

void request_cancel(struct authd_worker *w, uint32_t id)
{
	struct request *rq = find(w, id);

	challenges_drop(w->challenges, id);
	if (rq != NULL)
		request_end(rq);
}

void request_unknown(struct authd_worker *w, uint32_t id, const char *reason)
{
	static struct auth_reply no;

	memset(&no, 0, sizeof(no));
	no.request = id;
	no.verdict = AUTH_VERDICT_UNAVAILABLE;
	snprintf(no.reason, sizeof(no.reason), "%s", reason);
	auth_reply_write(&out, &no);
	worker_send(w, &out);
}

void request_step(struct authd_worker *w, uint32_t id, const char *text)
{
	struct request *rq = find(w, id);

	if (rq == NULL || (rq->state != REQUEST_CLIENT && rq->state != REQUEST_GRANTED)) {
		request_unknown(w, id, "its SASL exchange has expired");
	} else if (rq->state == REQUEST_GRANTED) {
		rq->retried = true;
		rq->names_since = rq->names_until = 0;
		request_enter(rq, REQUEST_TARGETS);
	} else {
		request_enter(rq, step_message(rq, text));
	}
}

void request_expire(struct authd_worker *w, double then)
{
	for (struct request *rq = w->requests, *next; rq != NULL && w->nkept != 0; rq = next) {
		next = rq->hh.next;
		if (rq->kept_since >= then)
			continue;
		if (rq->state == REQUEST_GRANTED)
			request_end(rq);
		else if (rq->state == REQUEST_CLIENT)
			request_enter(rq, request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its client took too long"));
	}
}

void request_drop_all(struct authd_worker *w)
{
	while (w->requests != NULL)
		request_end(w->requests);
}

void request_resume(struct authd *a)
{
	struct request *list = a->waiting;

	a->waiting = NULL;
	for (struct request *next; list != NULL; list = next) {
		next = list->next;
		request_enter(list, list->state == REQUEST_FIRST_LOAD ? REQUEST_LOOKUP : REQUEST_TARGETS);
	}
}

/* Lets each request check for room again. */
static void on_room_timer(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;
	struct request *list = a->for_room;

	a->for_room = NULL;
	a->nfor_room = 0;
	for (struct request *next; list != NULL; list = next) {
		next = list->next;
		request_enter(list, REQUEST_TARGETS);
	}
	if (a->nfor_room == 0)
		ev_timer_stop(loop, t);
}

/* Requests that have waited long enough for an address go on without it. */
static void on_address_timer(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;

	ev_timer_stop(loop, t); /* those that still wait restart it */
	request_resume(a);
}

/* A directory did not answer RQ in time: what it tells may still come, for others. */
static void give_up(struct request *rq, double limit)
{
	struct authd *a = rq->worker->a;
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason),
	    "the account directories, asked from %s on, did not answer within AUTH_TIMEOUT (%.0f seconds)",
	    auth_chain_name(a->chain, rq->pos), limit);
	a->gave_up++;
	DL_DELETE(a->asking, rq);
	directory_lookup_cancel(&rq->waiter);
	request_enter(rq, request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason));
}

static void on_asking_timer(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;
	double limit = (double)a->ctx.set->authdaemonrc_AUTH_TIMEOUT, now = loop_now();

	for (struct request *rq = a->asking, *next; rq != NULL; rq = next) {
		next = rq->next;
		if (now - rq->asked_since >= limit)
			give_up(rq, limit);
	}
	if (a->asking == NULL)
		ev_timer_stop(loop, t);
}

void request_init(struct authd *a)
{
	ev_timer_init(&a->room_timer, on_room_timer, ROOM_INTERVAL, ROOM_INTERVAL);
	a->room_timer.data = a;
	ev_timer_init(&a->address_timer, on_address_timer, ADDRESS_INTERVAL, ADDRESS_INTERVAL);
	a->address_timer.data = a;
	ev_timer_init(&a->asking_timer, on_asking_timer, ASKING_INTERVAL, ASKING_INTERVAL);
	a->asking_timer.data = a;
	turns_init(a);
}
