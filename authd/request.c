/* A login question on its way: who is it (the chain of drivers), is the password right, may it be, where to.
 * The steps follow each other down this file; those that may wait go on in a callback. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authd/authd_priv.h"
#include "authd/scram.h"
#include "authlib/drv_userdb.h"
#include "authlib/password.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "lib/rnd.h"
#include "lib/str.h"
#include "lib/text.h"

/* Where a request waits that goes on by itself. */
enum request_queue {
	QUEUE_NONE,
	QUEUE_WAITING, /* authd.waiting */
	QUEUE_HELD     /* authd.held */
};

struct request {
	struct request *next, **prev; /* of its worker */
	enum request_queue queue;
	struct request *next_queued;
	bool early;                   /* waits for the first load */
	struct authd_worker *worker;
	struct auth_request q;
	char service_name[32];
	char name[ACCOUNT_NAME_MAX];  /* with DEFDOMAIN */
	char *challenge;              /* that the client has answered; NULL: there was none */
	struct scram *scram;          /* a login in steps; NULL: it is none */
	bool at_client;               /* the next step is the client's */
	bool granted;                 /* answered; the worker may ask again, once, if none of the hosts can be reached */
	bool again;                   /* it has */
	bool kept;                    /* it is among its worker's nsteps */
	double began;                 /* lib/clock.h; if kept */
	struct account account;
	unsigned pos;                 /* in the chain */
	struct asker asker;           /* waits for a directory */
	uint8_t passed[AUTH_CHAIN_MAX]; /* by position: directories that do not know the account said to go on there; 0: not asked */
	bool unknown;                 /* no such account: the password is checked against a dummy, for the time it takes */
	bool believed;                /* the hop says the truth */
	enum hop_check signature;     /* what is thought of the hop's */
	char *signed_for;             /* our name, as which a node of the pool has signed the hop; NULL: none has */
	struct net_addr client;
	bool client_tls;
	struct route route;
	double held_since;            /* lib/clock.h: it waits for room at the peer; 0: it does not */
	double names_since;           /* lib/clock.h: the first wait for an address; 0: there was none */
	double names_until;           /* the wait for that of host number `names_host` ends then */
	unsigned names_host;
};

enum {
	STEPS_MAX = 4096,       /* conversations of one worker's clients */
	/* Logins that may be under way at one peer at a time, all and those of one account. No peer serves more in time;
	 * what goes in circles is all of one account. */
	PEER_CROWD_MAX = 1000,
	ACCOUNT_CROWD_MAX = 20,
	CROWD_PATIENCE = 2,     /* seconds that a login waits for room there */
	CROWD_SHUT = 50,        /* seconds, and PROXY_TIMEOUT: then none is left of those whose logins are refused so long */
	HELD_MAX = 1000,        /* that wait so */
	WAY_GRACE = 20          /* seconds, and PROXY_TIMEOUT: a login of whose end nobody has told is not under way any more */
};
#define LOOK_AT_HELD 0.05    /* seconds */
#define LOOK_AT_WAITING 0.1

static struct msgw out;

static void leave_queue(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct request **p = rq->queue == QUEUE_HELD ? &a->held : &a->waiting;

	if (rq->queue == QUEUE_NONE)
		return;
	while (*p != rq)
		p = &(*p)->next_queued;
	*p = rq->next_queued;
	if (rq->queue == QUEUE_HELD) {
		a->nheld--;
		if (a->held_end == &rq->next_queued)
			a->held_end = p;
	}
	rq->queue = QUEUE_NONE;
}

static void request_free(struct request *rq)
{
	struct authd *a = rq->worker->a;

	leave_queue(rq);
	jobs_forget(a->jobs, rq);
	question_cancel(&rq->asker);
	*rq->prev = rq->next;
	if (rq->next != NULL)
		rq->next->prev = rq->prev;
	account_fini(&rq->account);
	mem_free_secret(&rq->challenge);
	mem_free(&rq->signed_for);
	if (rq->kept)
		rq->worker->nsteps--;
	scram_free(&rq->scram);
	mem_wipe(&rq->q, sizeof(rq->q));
	mem_free(&rq);
}

static const struct service *service(const struct request *rq)
{
	return &rq->worker->a->service[rq->q.protocol];
}

static void wait_in_list(struct request *rq)
{
	struct authd *a = rq->worker->a;

	rq->queue = QUEUE_WAITING;
	rq->next_queued = a->waiting;
	a->waiting = rq;
}

/* RQ outlives an answer. False: its worker has too many of that kind. */
static bool keep(struct request *rq)
{
	if (!rq->kept && rq->worker->nsteps >= STEPS_MAX)
		return false;
	if (!rq->kept) {
		rq->kept = true;
		rq->worker->nsteps++;
		rq->began = clock_now();
	}
	return true;
}

/* The last step: the answer. R has everything but the number of the question. */
static void answer(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;

	r->request = rq->q.request;
	a->logins[r->verdict]++;
	auth_reply_write(&out, r);
	if (chan_post(rq->worker->chan, &out) != 0)
		log_error("worker %u does not read its messages", rq->worker->slot);
	mem_wipe(out.buf, out.len); /* a ticket opens a mailbox */
	/* A password can be asked about again; the answer to a challenge is good once. */
	rq->granted = r->verdict == AUTH_VERDICT_OK && r->more != AUTH_MORE_NONE && rq->q.mech != AUTH_MECH_PASSWORD && !rq->again && keep(rq);
	if (!rq->granted)
		request_free(rq);
}

/* What the node before is told of its signature. */
static enum hop_check told_back(const struct request *rq)
{
	return rq->believed ? HOP_CHECK_NONE : rq->signature;
}

static void refuse(struct request *rq, enum auth_verdict v, const char *reason)
{
	static struct auth_reply r;

	memset(&r, 0, sizeof(r));
	r.verdict = v;
	snprintf(r.reason, sizeof(r.reason), "%s", reason);
	text_make_plain(r.reason, ' ');
	if (rq->believed)
		r.client = rq->client; /* nobody shall blame the node that forwarded it */
	r.signature = told_back(rq);
	r.delay_ms = v == AUTH_VERDICT_WRONG ? (uint32_t)(rq->worker->a->ctx.set->node_LOGIN_FAIL_DELAY * 1000) : 0;
	answer(rq, &r);
}

/* --- step 5: the session is entered, the answer goes out --- */

static uint64_t random_id(struct authd *a)
{
	uint64_t id;

	do
		rnd_bytes(&id, sizeof(id));
	while (id == 0 || reg_find(a->reg, id) != NULL);
	return id;
}

static void send_ticket(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;

	rnd_bytes(r->ticket, sizeof(r->ticket));
	if (a->spawn == NULL)
		return; /* the worker finds out, and asks again when there is a new spawn */
	msgw_begin(&out, TICKET);
	msgw_bytes(&out, r->ticket, sizeof(r->ticket));
	msgw_u64(&out, r->session);
	msgw_u32(&out, rq->worker->slot);
	msgw_u64(&out, rq->worker->generation);
	msgw_u8(&out, (uint8_t)rq->q.protocol);
	account_write(&out, &rq->account, false);
	msgw_str(&out, r->session_id);
	net_addr_write(&out, &rq->client);
	msgw_u8(&out, r->proxied);
	msgw_u8(&out, rq->client_tls);
	msgw_u8(&out, (uint8_t)r->signature);
	if (chan_send(a->spawn, &out, -1) != 0)
		log_error("spawn does not read its messages");
}

static void send_away(struct reg *reg, struct reg_session *s, const struct auth_reply *r, double until)
{
	struct net_addr addr[AUTH_ADDRS_MAX];

	for (unsigned i = 0; i < r->ntargets; i++)
		addr[i] = r->target[i].addr;
	reg_send_away(reg, s, r->target[0].host, addr, r->ntargets, until);
}

/* R has the route. */
static void grant(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	struct reg_session *s;

	r->verdict = AUTH_VERDICT_OK;
	r->session = random_id(a);
	if (rq->believed && rq->q.hop.session_id[0] != '\0')
		str_copy(r->session_id, sizeof(r->session_id), rq->q.hop.session_id);
	else
		num_hex(r->session, r->session_id);
	str_copy(r->name, sizeof(r->name), rq->account.name); /* drivers keep to ACCOUNT_NAME_MAX */
	r->client = rq->client;
	r->client_tls = rq->client_tls;
	r->proxied = rq->believed;
	r->signature = told_back(rq);
	s = reg_add(a->reg, r->session, rq->q.protocol, &rq->client, r->name, (uint32_t)time(NULL));
	DIE_IF(s == NULL);
	s->worker = rq->worker;
	if (r->local) {
		send_ticket(rq, r);
		reg_set_ticket(s, r->ticket);
	} else {
		struct hop hop = { .present = true, .client = r->client, .tls = r->client_tls, .ttl = r->ttl };

		send_away(a->reg, s, r, clock_now() + WAY_GRACE + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
		str_copy(hop.session_id, sizeof(hop.session_id), r->session_id);
		for (unsigned i = 0; i < r->ntargets; i++) {
			signers_know(a->signers, &r->target[i].addr);
			r->report_signature = r->report_signature || signers_suspect(a->signers, r->target[i].host);
		}
		hop.time = r->time = a->pool != NULL ? (uint64_t)time(NULL) : 0;
		for (unsigned i = 0; r->time != 0 && i < r->ntargets; i++) {
			hop_sign(&hop, a->pool, r->target[i].host, r->name);
			memcpy(r->target[i].mac, hop.mac, sizeof(hop.mac));
			if (r->forward == AUTH_FORWARD_OTHER)
				hop_token(&hop, a->pool, r->target[i].host, r->name, r->target[i].token);
		}
	}
	answer(rq, r);
}

/* --- step 4: where to --- */

/* The session id that came with the hop is one of ours: the login has been here before. */
static bool seen_before(struct request *rq)
{
	unsigned long long id;
	char end;

	return sscanf(rq->q.hop.session_id, "%16llx%c", &id, &end) == 1 && reg_find(rq->worker->a->reg, id) != NULL;
}

/* What the peer may be told where the client has not told its password. False: there is nothing, the login was refused. */
static bool lend_credential(struct request *rq, struct auth_reply *r)
{
	const struct authd *a = rq->worker->a;
	char reason[AUTH_REASON_MAX];

	if (rq->q.mech == AUTH_MECH_PASSWORD)
		return true;
	if (account_password(&rq->account, r->password)) {
		r->forward = AUTH_FORWARD_CLEAR;
		return true;
	}
	r->forward = AUTH_FORWARD_OTHER;
	str_copy(r->master, sizeof(r->master), a->ctx.set->proxy_PROXY_MASTER_USER);
	str_copy(r->password, sizeof(r->password), a->ctx.set->proxy_PROXY_MASTER_PASSWORD);
	if (a->pool != NULL || r->master[0] != '\0')
		return true;
	snprintf(reason, sizeof(reason), "by %s nobody tells the password that mailhost %s would ask for, the directory has no clear password, "
	    "and there is neither a pool secret nor PROXY_MASTER_USER", auth_mech_name(rq->q.mech), rq->route.host[0].name);
	refuse(rq, AUTH_VERDICT_CANNOT, reason);
	return false;
}

_Static_assert((int)ROUTE_NAME_MAX <= (int)HOP_HOST_MAX, "each host of a route fits");

static void add_targets(struct auth_reply *r, const char *host, const struct net_addr *addr, unsigned n)
{
	for (unsigned i = 0; i < n && r->ntargets < AUTH_ADDRS_MAX; i++) {
		struct auth_target *t = &r->target[r->ntargets++];

		t->addr = addr[i];
		str_copy(t->host, sizeof(t->host), host);
	}
}

/* --- room at a peer --- */

static void say_crowded(struct authd *a)
{
	msgw_begin(&out, AUTH_CROWDED);
	for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
		if (chan_send(w->chan, &out, -1) != 0)
			log_error("worker %u does not read its messages", w->slot);
}

/* RQ waits for room. The workers are asked who has arrived: they tell it in passing else. */
static void hold(struct request *rq)
{
	struct authd *a = rq->worker->a;

	rq->queue = QUEUE_HELD;
	rq->next_queued = NULL;
	*a->held_end = rq;
	a->held_end = &rq->next_queued;
	a->nheld++;
	if (a->nheld == 1)
		say_crowded(a);
	ev_timer_start(a->ctx.loop, &a->look_at_held); /* unless it runs */
}

/* No login goes to T any more. Servers that try again, at another address of ours, would keep a circle turning at the bound for
 * ever: for a while none of the account goes there at all, unless one arrives. In a circle none does. */
static void refuse_crowded(struct request *rq, const struct auth_target *t, unsigned mine, unsigned all, double now)
{
	struct authd *a = rq->worker->a;
	char reason[AUTH_REASON_MAX], ip[NET_IP_TEXT_MAX], name[ACCOUNT_NAME_MAX];

	if (loops_seen(a->loops, LOOP_CROWD, rq->q.protocol, t->host, t->addr.port, now))
		log_warn("%u logins are under way at mailhost %s ([%s]:%u), %u of them of account %s: more are refused. Is it slow, or "
		    "does it (or something before it) send them back to this node? There, mailhost of these accounts has to be its "
		    "own name", all, t->host, net_addr_text(&t->addr, ip), t->addr.port, mine,
		    log_value(name, sizeof(name), rq->account.name));
	if (mine != 0)
		reg_shut(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name,
		    now + CROWD_SHUT + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
	snprintf(reason, sizeof(reason), "%u logins%s are under way at mailhost %s; is it slow, or does it send them back here?",
	    mine >= ACCOUNT_CROWD_MAX ? mine : all, mine >= ACCOUNT_CROWD_MAX ? " of this account" : "", t->host);
	refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* So many logins are under way at the peer to which R goes first that this one waits, or is refused: true. Where hops
 * are counted nothing goes in circles for long; but a server that is not ours may send logins back as if they were new. */
static bool crowded(struct request *rq, const struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	const struct auth_target *t = &r->target[0];
	unsigned mine = reg_under_way(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name);
	unsigned all = reg_under_way(a->reg, rq->q.protocol, t->host, t->addr.port, NULL);
	char reason[AUTH_REASON_MAX];
	double now = clock_now();

	if (reg_is_shut(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name, now)) {
		snprintf(reason, sizeof(reason), "too many logins of this account were under way at mailhost %s, and none has arrived; "
		    "does it send them back here?", t->host);
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
		return true;
	}
	if (mine < ACCOUNT_CROWD_MAX && all < PEER_CROWD_MAX) {
		rq->held_since = 0;
		return false;
	}
	if (rq->held_since == 0)
		rq->held_since = now;
	if (now - rq->held_since < CROWD_PATIENCE && a->nheld < HELD_MAX)
		hold(rq);
	else
		refuse_crowded(rq, t, mine, all, now);
	return true;
}

static void choose(struct request *rq);

/* Each of them looks again whether there is room. */
static void on_look_at_held(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;
	struct request *list = a->held;

	a->held = NULL;
	a->held_end = &a->held;
	a->nheld = 0;
	for (struct request *next; list != NULL; list = next) {
		next = list->next_queued;
		list->queue = QUEUE_NONE;
		choose(list);
	}
	if (a->nheld == 0)
		ev_timer_stop(loop, t);
}

/* Those that have waited for an address for long enough go on without it. */
static void on_look_at_waiting(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;

	ev_timer_stop(loop, t); /* who goes on waiting starts it again */
	request_resume(a);
}

void request_init(struct authd *a)
{
	a->held_end = &a->held;
	ev_timer_init(&a->look_at_held, on_look_at_held, LOOK_AT_HELD, LOOK_AT_HELD);
	a->look_at_held.data = a;
	ev_timer_init(&a->look_at_waiting, on_look_at_waiting, LOOK_AT_WAITING, LOOK_AT_WAITING);
	a->look_at_waiting.data = a;
}

/* What is known of the hosts so far, while choose() goes through them. */
struct choice {
	struct auth_reply *up, *down; /* targets that may answer, and those that did not when they were tried last */
	const char *silent;           /* a name that nobody can tell the address of now */
	bool here;                    /* this node takes the login */
};

/* The wait for the address of host I is over, or has to be: each host that is left has its share of the time. */
static bool is_patient(struct request *rq, unsigned i)
{
	double now = clock_now();

	if (rq->names_since == 0)
		rq->names_since = now;
	if (rq->names_until == 0 || rq->names_host != i) {
		double left = rq->names_since + names_patience(rq->worker->a->ctx.set) - now;

		rq->names_host = i;
		rq->names_until = now + MAX(left, 0) / (rq->route.n - i);
	}
	return now < rq->names_until;
}

/* Looks-ups of the names behind host I begin, too: while that one is waited for, or tried. */
static void look_ahead(struct request *rq, unsigned i)
{
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;

	while (++i < rq->route.n && !rq->route.host[i].self)
		peers_lookup(rq->worker->a->peers, rq->route.host[i].name, rq->route.host[i].port, clock_now(), addr, &n);
}

/* Adds what is known of host I, which is not this node. False: it is the next one to be tried, and its address has to be
 * waited for. */
static bool add_host(struct request *rq, unsigned i, struct choice *c)
{
	struct peers *peers = rq->worker->a->peers;
	const struct route_host *h = &rq->route.host[i];
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	double now = clock_now();
	unsigned n;

	switch (peers_lookup(peers, h->name, h->port, now, addr, &n)) {
	case PEERS_WAIT:
		if (c->up->ntargets != 0) {
			c->up->more = AUTH_MORE_NAMES;
			return true;
		}
		if (is_patient(rq, i)) {
			look_ahead(rq, i);
			return false;
		}
		c->silent = h->name;
		return true;
	case PEERS_SILENT:
		c->silent = h->name;
		return true;
	case PEERS_NONE:
	case PEERS_KNOWN:
		break;
	}
	for (unsigned k = 0; k < n; k++) {
		bool bad = peers_down(peers, rq->q.protocol, &addr[k], now);

		c->up->report_success = c->up->report_success || peers_suspect(peers, rq->q.protocol, &addr[k]);
		add_targets(bad ? c->down : c->up, h->name, &addr[k], 1);
	}
	return true;
}

/* Collects the addresses of the hosts as far as they are known: those that are up in the order of mailhost, then those that
 * are not. Only the one that is to be tried next is waited for. A host that is this node takes the login if no live one
 * stands before it; what stands behind it does not matter then. False: RQ waits. */
static bool collect(struct request *rq, struct choice *c)
{
	for (unsigned i = 0; i < rq->route.n && !c->here; i++) {
		if (rq->route.host[i].self) {
			c->here = c->up->ntargets == 0;
			c->up->more = MAX(c->up->more, AUTH_MORE_HERE);
		} else if (!add_host(rq, i, c)) {
			wait_in_list(rq);
			ev_timer_start(rq->worker->a->ctx.loop, &rq->worker->a->look_at_waiting); /* unless it runs */
			return false;
		}
	}
	for (unsigned i = 0; i < c->down->ntargets && !c->here; i++)
		add_targets(c->up, c->down->target[i].host, &c->down->target[i].addr, 1);
	return true;
}

/* What is left of PROXY_TIMEOUT, in ms. */
static uint32_t time_for_peers(const struct request *rq)
{
	double waited = rq->names_since != 0 ? clock_now() - rq->names_since : 0;
	double left = (double)rq->worker->a->ctx.set->proxy_PROXY_TIMEOUT - waited;

	return (uint32_t)(MAX(left, 0.1) * 1000);
}

static void no_target(struct request *rq, const struct choice *c)
{
	char reason[AUTH_REASON_MAX];

	if (c->silent != NULL)
		snprintf(reason, sizeof(reason), "the name server does not answer for mailhost %s", c->silent);
	else
		snprintf(reason, sizeof(reason), "mailhost %s has no address", rq->route.host[0].name);
	refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

static void choose(struct request *rq)
{
	static struct auth_reply r, down;
	struct choice c = { .up = &r, .down = &down };

	memset(&r, 0, sizeof(r));
	down.ntargets = 0;
	if (!collect(rq, &c))
		return;
	if (c.here) {
		memset(&r, 0, sizeof(r));
		r.local = true;
	} else if (r.ntargets == 0) {
		no_target(rq, &c);
		return;
	}
	if (!r.local && (crowded(rq, &r) || !lend_credential(rq, &r)))
		return;
	r.peer_ms = time_for_peers(rq);
	r.ttl = (uint8_t)rq->worker->a->ctx.set->proxy_PROXY_HOPS;
	if (rq->q.hop.present && rq->q.hop.ttl != 0)
		r.ttl = MIN(r.ttl, rq->q.hop.ttl);
	r.ttl = (uint8_t)MAX(r.ttl - 1, 1); /* it is signed, and the last hop reads 0 as 1 */
	grant(rq, &r);
	mem_wipe(r.password, sizeof(r.password));
}

/* A node of the pool has chosen us among the hosts of the account: it knows that those before us are down, which we
 * need not have met yet. */
static bool chosen_by_peer(const struct request *rq)
{
	bool named = false;

	for (unsigned i = 0; i < rq->route.n; i++)
		named = named || rq->route.host[i].self;
	return named && rq->signed_for != NULL;
}

/* Anybody can send hop data that end a login: for `waypost status` it is a loop only if a node has, as far as that can be known. */
static void note_loop(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct route_host *h = &rq->route.host[0];

	if (rq->believed || signers_known(a->signers, &rq->q.client))
		loops_seen(a->loops, LOOP_BACK, rq->q.protocol, h->name, h->port, clock_now());
}

static void route(struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	char reason[AUTH_REASON_MAX];

	if (!route_of(rq->worker->a, rq->q.protocol, &rq->account, &rq->route)) {
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, rq->route.why);
		return;
	}
	if (chosen_by_peer(rq))
		rq->route.n = 0;
	if (rq->route.n != 0) {
		/* The last hop may still serve here what is here; it may not send further. */
		bool at_end = rq->q.hop.present && rq->q.hop.ttl == 1;

		if (at_end || (rq->q.hop.present && seen_before(rq))) {
			snprintf(reason, sizeof(reason), "mailhost %s is not this node (%s), but the login %s; set mailhost or PROXY_HOSTNAME so"
			    " that one node calls itself by that name", rq->route.host[0].name, set->self[0],
			    at_end ? "was forwarded too often" : "has been here before");
			note_loop(rq); /* the worker says it */
			refuse(rq, AUTH_VERDICT_LOOP, reason);
			return;
		}
	}
	if (rq->route.n == 0) {
		static struct auth_reply r;

		memset(&r, 0, sizeof(r));
		r.local = true;
		grant(rq, &r);
		return;
	}
	choose(rq);
}

/* --- step 3: the password is right; may it be --- */

static void admit(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct service *s = service(rq);
	enum protocol p = rq->q.protocol;
	const char *why;

	if (account_option_on(rq->account.options, s->option_off) ||
	    (!rq->client_tls && account_option_on(rq->account.options, s->option_insecure))) {
		refuse(rq, AUTH_VERDICT_DISABLED, account_option_on(rq->account.options, s->option_off) ? s->option_off : s->option_insecure);
	} else if (!account_allowed(a->ctx.set, &rq->account, &why)) {
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	} else if (s->max_sessions != 0 && reg_count(a->reg, p) >= s->max_sessions) {
		refuse(rq, AUTH_VERDICT_LIMIT, "MAXDAEMONS");
	} else if (s->max_per_ip != 0 && reg_count_ip(a->reg, p, &rq->client) >= s->max_per_ip) {
		refuse(rq, AUTH_VERDICT_LIMIT, "MAXPERIP");
	} else {
		route(rq);
	}
}

/* --- step 2: the password --- */

/* What a driver at POS that may wait is asked. */
static struct ask ask_at(const struct request *rq, unsigned pos)
{
	return (struct ask){
		.pos = pos, .service = rq->service_name, .user = rq->name,
		.password = rq->q.mech == AUTH_MECH_PASSWORD ? rq->q.password : NULL, .client = &rq->client,
	};
}

/* The password is right: those who did not know the account need not be asked about it again soon. */
static void tell_passed(struct request *rq)
{
	for (unsigned pos = 0; pos < ARRAY_LEN(rq->passed) && rq->q.mech == AUTH_MECH_PASSWORD; pos++)
		if (rq->passed[pos] != 0) {
			struct ask ask = ask_at(rq, pos);

			question_passed(rq->worker->a->questions, &ask, rq->passed[pos]);
		}
}

/* The login is that of ACCOUNT, by its password; NULL: it is one by a token. */
static void note_signature(struct request *rq, const char *account)
{
	const struct authd *a = rq->worker->a;

	if (hop_check_bad(told_back(rq)) && signers_bad(a->signers, &rq->q.client, rq->signature, account, clock_now()))
		signers_log_front(&rq->q.client, rq->signature, (int64_t)time(NULL) - (int64_t)rq->q.hop.time, a->ctx.set->self[0]);
}

static void on_verdict(struct request *rq, enum auth_result result)
{
	const char *why;

	if (rq->unknown && (result == AUTH_OK || result == AUTH_MISMATCH || result == AUTH_BROKEN || result == AUTH_DISABLED)) {
		refuse(rq, AUTH_VERDICT_WRONG, "");
		return;
	}
	switch (result) {
	case AUTH_OK:
		tell_passed(rq);
		note_signature(rq, rq->account.name);
		admit(rq);
		return;
	case AUTH_MISMATCH:
	case AUTH_UNKNOWN:
	case AUTH_DISABLED:
		refuse(rq, AUTH_VERDICT_WRONG, "");
		return;
	case AUTH_BROKEN:
		if (password_is_sound(rq->account.hash, &why))
			why = "the account's record is damaged; see `waypost auth USER`";
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
		return;
	default:
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, "the directory of accounts cannot answer now");
	}
}

static void on_hash_done(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;

	if (done != NULL) {
		cache_hash_put(rq->worker->a->cache, rq->name, rq->account.hash, rq->q.password, done->result);
		on_verdict(rq, done->result);
		return;
	}
	refuse(rq, AUTH_VERDICT_UNAVAILABLE, "no auth worker took it: too many logins wait, or the workers ended; see the log");
}

static void check_password(struct request *rq);

/* A quick refusal would tell that there is such an account: names that nobody has take a slow hash's time. */
static bool others_are_slow(void)
{
	return password_is_slow(userdb_dummy_hash(drv_userdb_current()));
}

/* As for an account: the time must not tell that there is none, or that it is locked. */
static void check_dummy(struct request *rq)
{
	rq->unknown = true;
	account_set(&rq->account.hash, userdb_dummy_hash(drv_userdb_current()));
	check_password(rq);
}

/* Another node of the pool says that the client has proven itself there: as good as a password, for it is signed. */
static void check_token(struct request *rq, enum auth_result result)
{
	struct authd *a = rq->worker->a;
	uint64_t now = (uint64_t)time(NULL), made = rq->q.hop.time;
	char reason[AUTH_REASON_MAX];

	if (hop_check_bad(rq->signature) && (rq->believed || rq->signature == HOP_CHECK_CLOCK || signers_known(a->signers, &rq->q.client))) {
		note_signature(rq, NULL);
		snprintf(reason, sizeof(reason), "the token of the node that forwarded it does not hold here (%s): do both have the same pool "
		    "secret, and do their clocks agree?", hop_check_word(rq->signature));
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	} else if (rq->signed_for == NULL || !hop_token_verify(&rq->q.hop, a->pool, rq->signed_for, rq->q.user, rq->q.password)) {
		refuse(rq, AUTH_VERDICT_WRONG, "");
	} else if (made > now + TOKEN_AGE_MAX || made + TOKEN_AGE_MAX < now) {
		snprintf(reason, sizeof(reason), "the token of the node that forwarded it was made %llu seconds %s; do the clocks of the nodes agree?",
		    (unsigned long long)(made > now ? made - now : now - made), made > now ? "from now" : "ago");
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	} else if (!tokens_take(a->tokens, rq->q.password, clock_now())) {
		log_warn("a token that was used already has come again, from %s", net_addr_text(&rq->q.client, reason));
		refuse(rq, AUTH_VERDICT_WRONG, "");
	} else if (result == AUTH_OK && account_locked(&rq->account)) {
		on_verdict(rq, AUTH_DISABLED);
	} else {
		on_verdict(rq, result);
	}
}

/* For who wonders why somebody's password is said to be wrong. */
static void log_cannot(const struct request *rq, const char *why)
{
	char name[ACCOUNT_NAME_MAX];

	if (!rq->unknown && why[0] != '\0')
		log_info("account %s cannot log in by %s: %s", log_value(name, sizeof(name), rq->account.name), auth_mech_name(rq->q.mech), why);
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg);

/* A login in steps goes on: SAY is for the client, if anything is. */
static void go_on(struct request *rq, enum scram_next next, const struct str *say)
{
	struct authd *a = rq->worker->a;
	const char *password, *secret;
	uint32_t id;

	if (next == SCRAM_SAY && say->len < AUTH_TEXT_MAX) {
		rq->at_client = true;
		auth_text_write(&out, AUTH_CONTINUE, rq->q.request, str_cstr(say));
		if (chan_send(rq->worker->chan, &out, -1) != 0)
			log_error("worker %u does not read its messages", rq->worker->slot);
	} else if (next == SCRAM_COMPUTE) {
		scram_question(rq->scram, &password, &secret);
		id = jobs_next_id(a->jobs);
		job_write_scram(&out, id, password, secret);
		jobs_submit(a->jobs, id, &out, -1, &rq->client, on_computed, rq);
		mem_wipe(out.buf, out.len);
	} else {
		on_verdict(rq, next == SCRAM_RIGHT ? AUTH_OK : AUTH_MISMATCH);
	}
}

static void on_computed(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct request *rq = arg;
	struct str say = STR_INIT;

	if (done == NULL)
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, "no auth worker took it: too many logins wait, or the workers ended; see the log");
	else
		go_on(rq, scram_computed(rq->scram, done->text, &say), &say);
	str_fini(&say);
}

/* SCRAM's first message, of an account whose record is there (or certainly is not). */
static void start_scram(struct request *rq, enum auth_result result)
{
	struct authd *a = rq->worker->a;
	struct str text = STR_INIT;
	const struct scram_module *module;
	const char *why = "";

	if (result != AUTH_OK && result != AUTH_UNKNOWN && result != AUTH_DISABLED) {
		on_verdict(rq, result);
		return;
	}
	rq->unknown = result == AUTH_UNKNOWN;
	if (!keep(rq)) {
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, "too many clients keep a login by SCRAM waiting");
		return;
	}
	if ((module = scram_module_load(&text)) != NULL)
		rq->scram = scram_new(module, rq->q.mech == AUTH_MECH_SCRAM_SHA_1 ? SCRAM_SHA_1 : SCRAM_SHA_256, rq->q.user, rq->name,
		    result == AUTH_OK ? &rq->account : NULL, a->pool != NULL ? a->pool : a->salts,
		    (unsigned)a->ctx.set->authdaemonrc_SCRAM_ITERATIONS, &why);
	if (rq->scram == NULL) {
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, text.len != 0 ? text.data : "GNU SASL is out of order");
	} else {
		log_cannot(rq, why);
		go_on(rq, scram_step(rq->scram, rq->q.password, &text), &text);
	}
	str_fini(&text);
}

/* The client did not tell its password but answered a challenge: is that right? RESULT is the record's. */
static void check_answer(struct request *rq, enum auth_result result)
{
	const char *why = "";

	if (rq->q.mech == AUTH_MECH_TOKEN) {
		check_token(rq, result);
		return;
	}
	if (auth_mech_steps(rq->q.mech)) {
		start_scram(rq, result);
		return;
	}
	rq->unknown = result == AUTH_UNKNOWN;
	if (result == AUTH_OK || result == AUTH_UNKNOWN)
		result = mech_check(rq->q.mech, &rq->account, rq->challenge, rq->q.password, &why);
	log_cannot(rq, why);
	on_verdict(rq, result);
}

/* Checks the password against the record: at once if that is cheap or was done before, else in an auth worker. */
static void check_password(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct account *acct = &rq->account;
	enum auth_result result;
	uint32_t id;

	if (acct->hash[0] == '\0' || !password_is_slow(acct->hash)) {
		result = auth_check(acct, rq->q.password);
		if (!rq->unknown && (result == AUTH_DISABLED || (result == AUTH_MISMATCH && others_are_slow())))
			check_dummy(rq);
		else
			on_verdict(rq, result);
		return;
	}
	/* Wrong guesses are remembered for names that nobody has, too: else a second try would tell them apart. */
	result = cache_hash_result(a->cache, rq->name, acct->hash, rq->q.password);
	if (result != AUTH_TRY_LATER) {
		on_verdict(rq, result);
		return;
	}
	id = jobs_next_id(a->jobs);
	job_write_hash(&out, id, rq->q.password, acct->hash);
	jobs_submit(a->jobs, id, &out, -1, &rq->client, on_hash_done, rq);
	mem_wipe(out.buf, out.len);
}

/* --- step 0: whom does it stand for --- */

/* Made for one of our names? */
static void check_signature(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct settings *set = a->ctx.set;

	for (int i = 0; i < 2 && rq->signed_for == NULL; i++) {
		enum hop_check check;

		if (set->self[i][0] == '\0')
			continue;
		check = hop_verify(&rq->q.hop, a->pool, set->self[i], rq->q.user, (uint64_t)time(NULL));
		if (rq->signature != HOP_CHECK_CLOCK)
			rq->signature = check;
		if (check == HOP_CHECK_GOOD)
			rq->signed_for = mem_strdup(set->self[i]); /* the settings may change before the answer is there */
	}
	a->signatures[rq->signature]++;
	if (rq->signature == HOP_CHECK_GOOD)
		signers_know(a->signers, &rq->q.client);
}

static void identify(struct request *rq)
{
	const struct settings *set = rq->worker->a->ctx.set;
	const struct hop *hop = &rq->q.hop;

	rq->client = rq->q.client;
	rq->client_tls = rq->q.tls;
	if (!hop->present)
		return;
	for (const char *p = set->proxy_PROXY_TRUSTED; *p != '\0' && !rq->believed; p += strcspn(p, " "), p += *p == ' ') {
		char network[80];
		size_t len = MIN(strcspn(p, " "), sizeof(network) - 1);

		memcpy(network, p, len);
		network[len] = '\0';
		rq->believed = net_addr_in(&rq->q.client, network);
	}
	check_signature(rq);
	rq->believed = rq->believed || rq->signed_for != NULL;
	if (!rq->believed || hop->client.family == 0)
		return;
	rq->client = hop->client;
	rq->client_tls = hop->tls;
}

/* --- step 1: who is it --- */

static void ask_chain(struct request *rq);

static void on_answer(const struct answer *answer, void *arg)
{
	struct request *rq = arg;

	if (!answer->answered) {
		if (rq->pos < ARRAY_LEN(rq->passed))
			rq->passed[rq->pos] = (uint8_t)answer->pos;
		rq->pos = answer->pos;
		ask_chain(rq);
		return;
	}
	rq->pos = answer->pos;
	account_fini(&rq->account);
	account_copy(&rq->account, answer->account);
	account_default_options(&rq->account.options, rq->worker->a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
	if (rq->q.mech != AUTH_MECH_PASSWORD)
		check_answer(rq, answer->result);
	else
		on_verdict(rq, answer->result);
}

static void ask_chain(struct request *rq)
{
	struct authd *a = rq->worker->a;
	enum auth_result result;

	if (!auth_chain_lookup(a->chain, &rq->pos, rq->service_name, rq->name, &result, &rq->account)) {
		struct ask ask = ask_at(rq, rq->pos);

		question_ask(a->questions, &rq->asker, &ask, on_answer, rq);
		return;
	}
	if (result == AUTH_OK)
		account_default_options(&rq->account.options, a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
	if ((result == AUTH_OK || result == AUTH_UNKNOWN) && rq->q.mech != AUTH_MECH_PASSWORD) {
		check_answer(rq, result);
	} else if (result == AUTH_UNKNOWN) {
		check_dummy(rq);
	} else if (result == AUTH_OK) {
		check_password(rq);
	} else if (result == AUTH_TRY_LATER && a->first_load) {
		rq->early = true;
		wait_in_list(rq);
	} else {
		on_verdict(rq, result);
	}
}

/* The challenge that the question answers, good for this once. False: it should have one. */
static bool take_challenge(struct request *rq)
{
	char text[AUTH_TEXT_MAX];

	if (!auth_mech_begins(rq->q.mech))
		return true;
	if (!talks_take(rq->worker->talks, rq->q.request, rq->q.mech, text))
		return false;
	rq->challenge = mem_strdup(text);
	return true;
}

bool request_new(struct authd_worker *w, struct msgr *r)
{
	struct request *rq = mem_alloc(sizeof(*rq));

	if (!auth_request_read(r, &rq->q)) {
		mem_free(&rq);
		return false;
	}
	rq->worker = w;
	rq->next = w->requests;
	rq->prev = &w->requests;
	if (rq->next != NULL)
		rq->next->prev = &rq->next;
	w->requests = rq;
	account_init(&rq->account);
	service_at_port(service(rq), rq->q.local_port, rq->service_name, sizeof(rq->service_name));
	identify(rq);
	if (!take_challenge(rq))
		refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its challenge is not known any more");
	else if (service_name(service(rq), rq->q.user, rq->name))
		ask_chain(rq);
	else
		refuse(rq, AUTH_VERDICT_WRONG, "the name is too long");
	return true;
}

void request_cancel(struct authd_worker *w, uint32_t id)
{
	talks_end(w->talks, id);
	for (struct request *rq = w->requests; rq != NULL; rq = rq->next)
		if (rq->q.request == id) {
			request_free(rq);
			return;
		}
}

void request_unknown(struct authd_worker *w, uint32_t id, const char *reason)
{
	static struct auth_reply no;

	memset(&no, 0, sizeof(no));
	no.request = id;
	no.verdict = AUTH_VERDICT_UNAVAILABLE;
	snprintf(no.reason, sizeof(no.reason), "%s", reason);
	auth_reply_write(&out, &no);
	if (chan_send(w->chan, &out, -1) != 0)
		log_error("worker %u does not read its messages", w->slot);
}

void request_step(struct authd_worker *w, uint32_t id, const char *text)
{
	struct request *rq = w->requests;
	struct str say = STR_INIT;

	while (rq != NULL && !((rq->at_client || rq->granted) && rq->q.request == id))
		rq = rq->next;
	if (rq == NULL) {
		request_unknown(w, id, "its conversation is not known any more");
		return;
	}
	if (rq->granted) {
		rq->granted = false;
		rq->again = true;
		rq->names_since = rq->names_until = 0;
		choose(rq); /* the hosts that could not be reached are known to be down by now */
		return;
	}
	rq->at_client = false;
	go_on(rq, scram_step(rq->scram, text, &say), &say);
	str_fini(&say);
}

void request_expire(struct authd_worker *w, double then)
{
	for (struct request *rq = w->requests, *next; rq != NULL && w->nsteps != 0; rq = next) {
		next = rq->next;
		if (rq->granted && rq->began < then)
			request_free(rq);
		else if (rq->at_client && rq->began < then)
			refuse(rq, AUTH_VERDICT_UNAVAILABLE, "its client took too long");
	}
}

void request_drop_all(struct authd_worker *w)
{
	while (w->requests != NULL)
		request_free(w->requests);
}

void request_resume(struct authd *a)
{
	struct request *list = a->waiting;

	a->waiting = NULL;
	for (struct request *next; list != NULL; list = next) {
		next = list->next_queued;
		list->queue = QUEUE_NONE;
		if (list->early) {
			list->early = false;
			ask_chain(list);
		} else {
			choose(list);
		}
	}
}
