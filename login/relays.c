/* The sessions of a worker, and what the operator wants of them. */
#include "login/relays.h"

#include "lib/clock.h"
#include "lib/mem.h"
#include "proxy/let_go.h"

struct relays {
	struct relay_pool *at_peers;
	struct relay_pool *here; /* between clients and session servers of this node */
	struct let_go *staying;
	const struct login_dialect *const *dialects;
	const struct relays_hooks *hooks;
	void *arg;
};

static void on_end(struct relay *relay, enum relay_end end, void *session, void *arg)
{
	struct relayed *s = session;
	struct relays *r = arg;
	uint64_t number = s->session;

	relayed_log_end(s, relay, end, clock_seconds());
	relayed_free(&s);
	r->hooks->ended(number, r->arg);
}

static void on_end_here(struct relay *relay UNUSED, enum relay_end end UNUSED, void *session UNUSED, void *arg)
{
	struct relays *r = arg;

	r->hooks->ended(0, r->arg);
}

static bool on_orphan(struct conn *client, bool end, void *session, void *arg)
{
	struct relays *r = arg;

	return relayed_dies_with_others(session, clock_seconds()) && let_go_add(r->staying, client, end);
}

static bool has_room(void *arg)
{
	struct relays *r = arg;

	return r->hooks->has_room(r->arg);
}

struct relays *relays_new(struct ev_loop *loop, unsigned idle_seconds, unsigned spread,
    const struct login_dialect *const *dialects, const struct relays_hooks *hooks, void *arg)
{
	struct relays *r = mem_alloc(sizeof(*r));

	r->dialects = dialects;
	r->hooks = hooks;
	r->arg = arg;
	r->at_peers = relay_pool_new(loop, idle_seconds, on_end, r);
	relay_pool_set_room(r->at_peers, has_room);
	relay_pool_set_orphan(r->at_peers, on_orphan);
	r->staying = let_go_new(loop, spread);
	r->here = relay_pool_new(loop, 0, on_end_here, r);
	return r;
}

void relays_free(struct relays **r)
{
	relay_pool_free(&(*r)->at_peers);
	relay_pool_free(&(*r)->here);
	let_go_free(&(*r)->staying);
	mem_free(r);
}

void relays_start(struct relays *r, struct login *l, struct conn *peer, struct str *to_client, struct str *to_server)
{
	struct relayed *s = relayed_new(l, clock_seconds());
	struct relay *relay;

	relayed_log_login(s);
	relay = relay_new(r->at_peers, &l->conn, peer, to_client, to_server, s);
	if (l->peer.has_spoken)
		relay_server_has_spoken(relay);
}

void relays_start_here(struct relays *r, struct login *l, int stream)
{
	struct str none[2] = { STR_INIT, STR_INIT };
	struct conn server;

	conn_open(&server, stream, NULL, NULL); /* the relay watches it */
	relay_new(r->here, &l->conn, &server, &none[0], &none[1], NULL);
}

unsigned relays_count_here(const struct relays *r)
{
	return relay_pool_count(r->here);
}

unsigned relays_count(const struct relays *r)
{
	return relay_pool_count(r->at_peers) + relays_count_here(r);
}

unsigned relays_count_staying(const struct relays *r)
{
	return let_go_count(r->staying);
}

void relays_let_go(struct relays *r, unsigned n)
{
	let_go_now(r->staying, n);
}

struct query {
	const struct relays *r;
	const struct session_choice *choice;
	struct str *rows;
	unsigned count;
	void (*fn)(const struct relayed *s, void *arg);
	void *arg;
};

static void call(struct relay *relay UNUSED, void *session, void *arg)
{
	struct query *q = arg;

	q->fn(session, q->arg);
}

void relays_each(struct relays *r, void (*fn)(const struct relayed *s, void *arg), void *arg)
{
	struct query q = { .fn = fn, .arg = arg };

	relay_pool_each(r->at_peers, call, &q);
}

static void add_row(struct relay *relay, void *session, void *arg)
{
	struct query *q = arg;

	if (!relayed_is_chosen(session, q->choice))
		return;
	relayed_row(session, relay, clock_seconds(), q->rows);
	q->count++;
}

unsigned relays_who(struct relays *r, const struct session_choice *c, struct str *rows)
{
	struct query q = { .choice = c, .rows = rows };

	relay_pool_each(r->at_peers, add_row, &q);
	return q.count;
}

static void kick(struct relay *relay, void *session, void *arg)
{
	const struct relayed *s = session;
	struct query *q = arg;
	struct login last = { .dialect = q->r->dialects[s->protocol] };

	if (!relayed_is_chosen(s, q->choice))
		return;
	q->count++;
	last.dialect->bye(&last, LOGIN_BYE_KICK);
	relay_last_words(relay, str_cstr(&last.out), last.out.len);
	str_fini(&last.out);
	relay_stop(relay, RELAY_END_KICK);
}

unsigned relays_kick(struct relays *r, const struct session_choice *c)
{
	struct query q = { .r = r, .choice = c };

	relay_pool_each(r->at_peers, kick, &q);
	return q.count;
}

static void stop(struct relay *relay, void *session UNUSED, void *arg UNUSED)
{
	relay_stop(relay, RELAY_END_SHUTDOWN);
}

void relays_stop(struct relays *r)
{
	relay_pool_each(r->at_peers, stop, NULL);
	relays_let_go(r, relays_count_staying(r));
}
