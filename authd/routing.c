/* From mailhost to addresses: which hosts are up, which name to wait for, and whether there is room for one more
 * login. */
#include "authd/routing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/text.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "lib/str.h"
#include "settings/local_server.h"
#include "settings/replicated.h"

enum {
	/* Logins that may be pending at one peer at a time: in all, and of one account. No peer serves more in time;
	 * logins that go in circles are all of one account. */
	PEER_CROWD_MAX = PEERS_MOST,
	ACCOUNT_CROWD_MAX = 20,
	ACCOUNT_PART = 4,   /* of a peer's room, an account has one part in so many at most */
	CROWD_PATIENCE = 2, /* seconds that a login waits for room there while none arrives */
	/* Seconds on top of PROXY_TIMEOUT that an account is refused: by then none of its logins is pending. */
	CROWD_SHUT = 50,
	FOR_ROOM_MAX = 1000 /* logins that wait for room */
};

/* --- route: where is its mail --- */

/* The forwarded session id is one of ours: the login has been here before. */
static bool seen_before(struct request *rq)
{
	unsigned long long id;
	char end;

	return sscanf(rq->q.forwarded.session_id, "%16llx%c", &id, &end) == 1 &&
	    reg_find(rq->worker->a->reg, id) != NULL;
}

/* What is left of PROXY_TIMEOUT, in ms. */
static uint32_t time_for_peers(const struct request *rq)
{
	double waited = rq->names_since != 0 ? loop_now() - rq->names_since : 0;
	double left = (double)rq->worker->a->ctx.set->proxy_PROXY_TIMEOUT - waited;

	return (uint32_t)(MAX(left, 0.1) * 1000);
}

/* The mail is here. */
static enum request_state stay_here(struct request *rq)
{
	const struct local_server server = local_server_of(rq->worker->a->ctx.set, rq->q.protocol);
	struct auth_reply *r = request_reply();

	if (local_server_is_other(&server)) {
		rq->here = true;
		return REQUEST_TARGETS;
	}
	memset(r, 0, sizeof(*r));
	r->local = true;
	r->local_server = server.kind == LOCAL_SERVER_EXEC;
	r->peer_ms = r->local_server ? time_for_peers(rq) : 0;
	return REQUEST_GRANT;
}

/* False: this node may not serve the account, and WHY says why. Either another one is the first that has its mail, and
 * nothing says that both have the same: two that serve a copy each would make two histories. Or a file says who may,
 * which only a session server of ours reads. */
static bool may_serve(const struct request *rq, char why[AUTH_REASON_MAX])
{
	const struct settings *set = rq->worker->a->ctx.set;
	const struct local_server server = local_server_of(set, rq->q.protocol);
	enum replicated r = replicated_of(rq->account.options);

	if (r == REPLICATED_SINGLE && server.kind != LOCAL_SERVER_BUILTIN) {
		snprintf(why, AUTH_REASON_MAX,
		    "this node (%s) has %s, a server that knows nothing of the account's option "
		    "replicated=single; use replicated=shared, or Waypost's own server",
		    set->self[0], protocols[rq->q.protocol].local_server);
		return false;
	}
	/* One that forwards nothing serves all that it is asked for, as Courier does; but who wrote `single` means
	 * every node, and its session server refuses without a marker. */
	if (rq->route.n == 0 || !rq->route.later || r == REPLICATED_SHARED || r == REPLICATED_SINGLE)
		return true;
	snprintf(why, AUTH_REASON_MAX,
	    "this node (%s) is not the first mailhost, and serves the account only with its option replicated=shared "
	    "or replicated=single",
	    set->self[0]);
	return false;
}

/* A node of the pool has chosen us among the hosts of the account: it knows that those before us are down, which we
 * may not have noticed yet. */
static bool chosen_by_peer(const struct request *rq)
{
	bool named = false;

	for (unsigned i = 0; i < rq->route.n; i++)
		named = named || rq->route.host[i].self;
	return named && rq->signed_for != NULL;
}

/* Anybody can send forwarded data that end a login: `waypost status` shows a loop only if they came from a node, as
 * far as that can be known. */
static void note_loop(struct request *rq)
{
	struct authd *a = rq->worker->a;
	const struct route_host *h = &rq->route.host[0];

	if (rq->believed || signature_errors_known(a->signature_errors, &rq->q.client))
		troubles_seen(a->troubles, TROUBLE_LOOP, rq->q.protocol, h->name, &(struct net_addr){ .port = h->port },
		    clock_now());
}

static enum request_state refuse_loop(struct request *rq, const char *why)
{
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason),
	    "mailhost %s is not this node (%s), but the login %s; set mailhost or PROXY_HOSTNAME so that one node "
	    "calls itself by that name",
	    rq->route.host[0].name, rq->worker->a->ctx.set->self[0], why);
	note_loop(rq); /* the worker logs it */
	return request_refuse(rq, AUTH_VERDICT_LOOP, reason);
}

enum request_state step_route(struct request *rq)
{
	const struct forwarded *forwarded = &rq->q.forwarded;
	char why[AUTH_REASON_MAX];

	if (!route_of(rq->worker->a, rq->q.protocol, &rq->account, &rq->route))
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, rq->route.why);
	if (rq->route.n == 0 || chosen_by_peer(rq))
		return may_serve(rq, why) ? stay_here(rq) : request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	/* The last node may serve mail that is here, but not forward the login. */
	if (forwarded->present && forwarded->ttl == 1)
		return refuse_loop(rq, "was forwarded too often");
	if (forwarded->present && seen_before(rq))
		return refuse_loop(rq, "has been here before");
	return REQUEST_TARGETS;
}

/* --- targets: at which addresses --- */

_Static_assert((int)ROUTE_NAME_MAX <= (int)MAILHOST_MAX, "each host of a route fits");

static void add_target(struct auth_reply *r, const char *host, const struct net_addr *addr, enum peer_tls tls)
{
	struct auth_target *t = &r->target[r->ntargets];

	if (r->ntargets == AUTH_ADDRS_MAX)
		return;
	r->ntargets++;
	t->addr = *addr;
	t->tls = tls;
	str_copy(t->host, sizeof(t->host), host);
}

/* What step_targets() knows of the hosts so far. */
struct choice {
	/* Targets that may take the login; those that said they take none when last tried; those that somebody has
	 * drained; those that did not answer. */
	struct auth_reply *up, *busy, *drained, *down;
	bool here; /* this node takes the login */
};

/* HOST cannot be a target: adds the reason to the reply, for the log. */
static void add_missing(struct auth_reply *r, const char *what, const char *host, const char *more)
{
	size_t len = strlen(r->reason);

	snprintf(r->reason + len, sizeof(r->reason) - len, "%s%s%s%s", len != 0 ? "; " : "", what, host, more);
	text_make_plain(r->reason, ' ');
}

static void add_silent(struct auth_reply *r, const char *host)
{
	add_missing(r, "the name server does not answer for mailhost ", host, "");
}

/* True if there is time to wait for the address of host I: each host left has its share. */
static bool is_patient(struct request *rq, unsigned i)
{
	double now = loop_now();

	if (rq->names_since == 0)
		rq->names_since = now;
	if (rq->names_until == 0 || rq->names_host != i) {
		double left = rq->names_since + names_patience(rq->worker->a->ctx.set) - now;

		rq->names_host = i;
		rq->names_until = now + MAX(left, 0) / (rq->route.n - i);
	}
	return now < rq->names_until;
}

/* Starts to look up the names after host I while that one is waited for, or tried. */
static void look_ahead(struct request *rq, unsigned i)
{
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;

	while (++i < rq->route.n && !rq->route.host[i].self)
		peers_lookup(rq->worker->a->peers, rq->route.host[i].name, rq->route.host[i].port, loop_now(), addr,
		    &n);
}

/* The login could not be begun there a moment ago, whatever others know of that address: at that port, and in that mode
 * of TLS. */
static bool was_tried(const struct request *rq, const struct net_addr *addr, enum peer_tls tls)
{
	for (unsigned i = 0; i < rq->q.ntried; i++) {
		const struct auth_tried *t = &rq->q.tried[i];

		if (t->tls == tls && t->addr.port == addr->port && net_addr_same_ip(&t->addr, addr))
			return true;
	}
	return false;
}

/* Where a target for S belongs; WORD is what is said of it. */
static struct auth_reply *targets_like(const struct request *rq, const struct choice *c, const struct peer_service *s,
    enum peer_word word)
{
	struct peers *peers = rq->worker->a->peers;
	double now = clock_now();

	if (was_tried(rq, &s->addr, s->tls) || peers_down(peers, s, now))
		return c->down;
	/* Of these accounts a file says who serves: others would refuse. */
	if (word == PEER_WORD_DRAIN && replicated_of(rq->account.options) != REPLICATED_SINGLE)
		return c->drained;
	return peers_busy(peers, s, now) ? c->busy : c->up;
}

/* A host without TLS is none for a login whose mailhost has TLS before it: whoever breaks the connection there, or
 * shows a certificate of his own, would get the password in clear. */
static bool is_weaker(const struct route *r, unsigned i)
{
	for (unsigned k = 0; k < i; k++)
		if (!r->host[k].self && r->host[k].tls != PEER_TLS_NONE)
			return r->host[i].tls == PEER_TLS_NONE;
	return false;
}

/* What becomes of the next login there matters for others. */
static bool awaits_success(struct peers *peers, const struct peer_service *s)
{
	return peers_suspect(peers, s) || peers_room(peers, s) < PEERS_MOST;
}

/* What is said of H at ADDR (NULL: of its name alone); if that is down, WHY is the reason for the log. */
static enum peer_word word_for(const struct request *rq, const struct route_host *h, const struct net_addr *addr,
    char why[ORDERS_WHY_MAX + 16])
{
	char who[ORDERS_WHY_MAX];
	enum orders_by by;
	const struct peer_order *o = orders_about(rq->worker->a->orders, h->name, addr, h->port, rq->q.protocol, &by);

	if (o == NULL)
		return PEER_WORD_UP;
	if (o->word == PEER_WORD_DOWN)
		snprintf(why, ORDERS_WHY_MAX + 16, " is down: %s", orders_why(o, by, who));
	return o->word;
}

/* Adds what is known of host I, which is not this node. False: it is the next to be tried, and its address must be
 * waited for. */
static bool add_host(struct request *rq, unsigned i, struct choice *c)
{
	struct peers *peers = rq->worker->a->peers;
	const struct route_host *h = &rq->route.host[i];
	char why[ORDERS_WHY_MAX + 16] = "";
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	unsigned n;

	if (is_weaker(&rq->route, i)) {
		add_missing(c->up, "mailhost ", h->name, " has no TLS, unlike one before it, and is not tried");
		return true;
	}
	if (word_for(rq, h, NULL, why) == PEER_WORD_DOWN) {
		add_missing(c->up, "mailhost ", h->name, why);
		return true;
	}
	switch (peers_lookup(peers, h->name, h->port, loop_now(), addr, &n)) {
	case PEERS_WAIT:
		if (c->up->ntargets != 0) {
			c->up->other_hosts = AUTH_OTHER_HOSTS_UNRESOLVED;
			return true;
		}
		if (is_patient(rq, i)) {
			look_ahead(rq, i);
			return false;
		}
		add_silent(c->up, h->name);
		return true;
	case PEERS_SILENT:
		add_silent(c->up, h->name);
		return true;
	case PEERS_NONE:
		add_missing(c->up, "mailhost ", h->name, " has no address");
		return true;
	case PEERS_KNOWN:
		break;
	}
	for (unsigned k = 0; k < n; k++) {
		const struct peer_service s = { rq->q.protocol, (enum peer_tls)h->tls, addr[k] };
		enum peer_word word = word_for(rq, h, &addr[k], why);

		if (word == PEER_WORD_DOWN)
			continue;
		c->up->report_success = c->up->report_success || awaits_success(peers, &s);
		add_target(targets_like(rq, c, &s, word), h->name, &addr[k], s.tls);
	}
	if (why[0] != '\0')
		add_missing(c->up, "mailhost ", h->name, why);
	return true;
}

static void add_targets(struct auth_reply *r, const struct auth_reply *more)
{
	for (unsigned i = 0; i < more->ntargets; i++)
		add_target(r, more->target[i].host, &more->target[i].addr, more->target[i].tls);
}

/* Collects the addresses of the hosts as far as they are known: those that are up in the order of mailhost, then
 * those that are busy, drained, and down. Waits only for the host to be tried next: false. A host that is this
 * node takes the login, if it may, when no host before it is up; those after it do not matter then. */
static bool collect(struct request *rq, struct choice *c)
{
	char why[AUTH_REASON_MAX];

	for (unsigned i = 0; i < rq->route.n && !c->here; i++) {
		if (rq->route.host[i].self && !may_serve(rq, why)) {
			add_missing(c->up, why, "", "");
		} else if (rq->route.host[i].self) {
			c->here = c->up->ntargets == 0;
			c->up->other_hosts = MAX(c->up->other_hosts, AUTH_OTHER_HOSTS_SELF);
		} else if (!add_host(rq, i, c)) {
			return false;
		}
	}
	if (!c->here) {
		add_targets(c->up, c->busy);
		add_targets(c->up, c->drained);
		add_targets(c->up, c->down);
	}
	return true;
}

/* None of the hosts has an address now. */
static enum request_state no_target(struct request *rq, const struct auth_reply *r)
{
	char reason[AUTH_REASON_MAX];

	str_copy(reason, sizeof(reason), r->reason);
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* --- room at a peer --- */

/* Refuses a login to T. Servers that retry, at another address of ours, would keep a circle turning at the bound
 * forever: so for a while no login of the account goes there, unless one arrives. In a circle none does. */
static enum request_state refuse_crowded(struct request *rq, const struct auth_target *t, unsigned mine, unsigned all,
    double now)
{
	struct authd *a = rq->worker->a;
	char reason[AUTH_REASON_MAX], ip[NET_IP_TEXT_MAX], name[ACCOUNT_NAME_MAX];

	if (troubles_seen(a->troubles, TROUBLE_CROWD, rq->q.protocol, t->host, &t->addr, now))
		log_warn("%u logins are pending at mailhost %s ([%s]:%u), %u of them of account %s: more are refused. "
		         "Is it slow, or does it (or something before it) send them back to this node? There, mailhost "
		         "of these accounts has to be its own name",
		    all, t->host, net_addr_text(&t->addr, ip), t->addr.port, mine,
		    log_value(name, sizeof(name), rq->account.name));
	if (mine != 0)
		reg_block(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name,
		    now + CROWD_SHUT + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
	snprintf(reason, sizeof(reason),
	    "%u logins%s are pending at mailhost %s; is it slow, or does it send them back here?",
	    mine >= ACCOUNT_CROWD_MAX ? mine : all, mine >= ACCOUNT_CROWD_MAX ? " of this account" : "", t->host);
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* Refuses a login to T, which has just come back and answers no more than it has. */
static enum request_state refuse_welcome(struct request *rq, const struct auth_target *t, unsigned mine, unsigned all)
{
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason),
	    "mailhost %s has just come back, and %u logins are pending there, %u of them of this account: more follow "
	    "as it answers",
	    t->host, all, mine);
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* May RQ go to R's first target? GRANT; or so many logins are pending there that it waits, or is refused. Counted
 * hops end a circle of nodes; but a server that is not ours may send logins back as if they were new. */
static enum request_state find_room(struct request *rq, const struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	const struct auth_target *t = &r->target[0];
	unsigned mine = reg_pending_at(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name);
	unsigned all = reg_pending_at(a->reg, rq->q.protocol, t->host, t->addr.port, NULL), arrived;
	const struct peer_service service = { rq->q.protocol, (enum peer_tls)t->tls, t->addr };
	unsigned room = peers_room(a->peers, &service), share = MIN(ACCOUNT_CROWD_MAX, room / ACCOUNT_PART);
	char reason[AUTH_REASON_MAX];
	double now = clock_now();

	if (reg_is_blocked(a->reg, rq->q.protocol, t->host, t->addr.port, rq->account.name, now)) {
		snprintf(reason, sizeof(reason),
		    "too many logins of this account were pending at mailhost %s, and none succeeded; does it send "
		    "them back here?",
		    t->host);
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
	}
	if (mine < share && all < room) {
		rq->room_since = 0;
		return REQUEST_GRANT;
	}
	arrived =
	    reg_arrived_at(a->reg, rq->q.protocol, t->host, t->addr.port, mine >= share ? rq->account.name : NULL);
	if (rq->room_since == 0 || arrived != rq->room_seen) {
		rq->room_since = loop_now();
		rq->room_seen = arrived;
	}
	if (loop_now() - rq->room_since < CROWD_PATIENCE && a->nfor_room < FOR_ROOM_MAX)
		return REQUEST_ROOM;
	return mine < ACCOUNT_CROWD_MAX && all < PEER_CROWD_MAX ? refuse_welcome(rq, t, mine, all) :
	                                                          refuse_crowded(rq, t, mine, all, now);
}

/* --- credentials for the peer --- */

/* Adds credentials for the peer if the client has not sent its password. False: there are none. */
static bool lend_credentials(struct request *rq, struct auth_reply *r)
{
	const struct authd *a = rq->worker->a;

	if (auth_mech_tells_password(rq->q.mech))
		return true;
	if (auth_clear_password(&rq->account, r->peer_password)) {
		r->peer_credentials = AUTH_PEER_STORED_PASSWORD;
		return true;
	}
	r->peer_credentials = AUTH_PEER_TOKEN_OR_MASTER;
	str_copy(r->master_user, sizeof(r->master_user), a->ctx.set->proxy_PROXY_MASTER_USER);
	str_copy(r->peer_password, sizeof(r->peer_password), a->ctx.set->proxy_PROXY_MASTER_PASSWORD);
	return (a->pool != NULL && !r->local_server) || r->master_user[0] != '\0';
}

static enum request_state no_credentials(struct request *rq)
{
	char reason[AUTH_REASON_MAX];

	snprintf(reason, sizeof(reason),
	    "%s reveals no password, which mailhost %s needs; the directory has no clear password, and %s",
	    auth_mech_name(rq->q.mech), rq->here ? LOCAL_SERVER_HOST : rq->route.host[0].name,
	    rq->here ? "PROXY_MASTER_USER is not set" : "neither a pool secret nor PROXY_MASTER_USER is set");
	return request_refuse(rq, AUTH_VERDICT_CANNOT, reason);
}

/* How many more nodes may forward the login. */
static uint8_t hops_left(const struct request *rq)
{
	uint8_t ttl = (uint8_t)rq->worker->a->ctx.set->proxy_PROXY_HOPS;

	if (rq->q.forwarded.present && rq->q.forwarded.ttl != 0)
		ttl = MIN(ttl, rq->q.forwarded.ttl);
	return (uint8_t)MAX(ttl - 1, 1); /* it is signed, and the last node reads 0 as 1 */
}

/* --- the local server --- */

/* ERROR, of a connection, is a shortage of ours. */
static bool is_our_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

/* The local server accepts connections more slowly than they come, as far as RQ may still wait for that. */
static bool waits_in_line(struct request *rq)
{
	if (rq->line_since == 0)
		rq->line_since = loop_now();
	return loop_now() - rq->line_since < CROWD_PATIENCE && rq->worker->a->nfor_room < FOR_ROOM_MAX;
}

/* No connection to the socket of SERVER because of ERROR. One that has as many as it can hold, or that we could not
 * even ask, is not down. */
static enum request_state no_socket(struct request *rq, const struct local_server *server, int error)
{
	const struct peer_service service = { .protocol = rq->q.protocol, .addr = server->addr };
	char reason[AUTH_REASON_MAX];
	double now = clock_now();

	if (error == EAGAIN && waits_in_line(rq))
		return REQUEST_ROOM;
	snprintf(reason, sizeof(reason), "the local server (%s) cannot be reached: unix:%s: %s",
	    protocols[rq->q.protocol].local_server, server->sun.sun_path,
	    error == EAGAIN ? "it does not accept the connections that wait there; is it stopped, or has it too few "
	                      "processes or too short a listen queue?" :
	                      strerror(error));
	if (is_our_shortage(error))
		snprintf(reason, sizeof(reason), "authd cannot connect to the local server (%s): %s%s",
		    protocols[rq->q.protocol].local_server, strerror(error),
		    error == EMFILE ? "; raise LimitNOFILE" : "");
	else if (error != EAGAIN)
		peers_failed(rq->worker->a->peers, &service, rq->worker->generation, now, now);
	return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, reason);
}

/* Connects to the socket of SERVER: login workers reach no path. GRANT; else what comes instead. */
static enum request_state connect_socket(struct request *rq, const struct local_server *server)
{
	int fd = net_connect_path(&server->sun);

	if (fd == -1)
		return no_socket(rq, server, errno);
	request_reply_carries(fd);
	return REQUEST_GRANT;
}

/* To the server of LOCAL_IMAP or LOCAL_POP3, in clear, whatever PROXY_TLS says of others. */
static enum request_state to_local_server(struct request *rq)
{
	const struct local_server server = local_server_of(rq->worker->a->ctx.set, rq->q.protocol);
	const struct peer_service service = { .protocol = rq->q.protocol, .addr = server.addr };
	struct auth_reply *r = request_reply();
	enum request_state next;

	if (!local_server_is_other(&server)) /* the settings have changed while it waited for room */
		return stay_here(rq);
	memset(r, 0, sizeof(*r));
	r->local_server = true;
	add_target(r, LOCAL_SERVER_HOST, &server.addr, PEER_TLS_NONE);
	next = find_room(rq, r);
	if (next != REQUEST_GRANT)
		return next;
	if (!lend_credentials(rq, r))
		return no_credentials(rq);
	if (server.kind == LOCAL_SERVER_UNIX && (next = connect_socket(rq, &server)) != REQUEST_GRANT) {
		mem_wipe(r->peer_password, sizeof(r->peer_password)); /* it may wait for long */
		return next;
	}
	r->report_success = awaits_success(rq->worker->a->peers, &service);
	r->peer_ms = time_for_peers(rq);
	r->ttl = hops_left(rq);
	return REQUEST_GRANT;
}

enum request_state step_targets(struct request *rq)
{
	static struct auth_reply busy, drained, down;
	struct auth_reply *r = request_reply();
	struct choice c = { .up = r, .busy = &busy, .drained = &drained, .down = &down };
	enum request_state next;

	if (rq->here)
		return to_local_server(rq);
	memset(r, 0, sizeof(*r));
	busy.ntargets = drained.ntargets = down.ntargets = 0;
	if (!collect(rq, &c))
		return REQUEST_ADDRESS;
	if (c.here)
		return stay_here(rq);
	if (r->ntargets == 0)
		return no_target(rq, r);
	next = find_room(rq, r);
	if (next != REQUEST_GRANT)
		return next;
	if (!lend_credentials(rq, r))
		return no_credentials(rq);
	r->peer_ms = time_for_peers(rq);
	r->ttl = hops_left(rq);
	return REQUEST_GRANT;
}
