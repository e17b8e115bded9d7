/* The role of a login worker: passes what comes from the master, authd and spawn to those concerned. */
#include "login/worker.h"

#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "login/acceptor.h"
#include "login/access.h"
#include "login/authd_link.h"
#include "login/certificates.h"
#include "login/client_certs.h"
#include "login/client_tls.h"
#include "login/exchange.h"
#include "login/header_wait.h"
#include "login/key_client.h"
#include "login/login.h"
#include "login/login_env.h"
#include "login/peer_login.h"
#include "login/relays.h"
#include "login/request_table.h"
#include "login/spawn_link.h"
#include "login/stranger_limits.h"
#include "login/tls_peers.h"
#include "node/msg_control.h"
#include "proxy/source.h"

enum {
	AUTHD_PATIENCE = 10, /* seconds that a login waits for authd */
	STOP_HERE = 8,       /* seconds for session servers to end when the node stops: spawn kills them sooner */
	OPENING_LOOKS = 30,  /* of KEY_CLIENT_TIMEOUT each: certificates that come for longer are not waited for */
	LET_GO = 32,         /* clients that have no session any more, at a time, if descriptors are short */
	DENIED_QUIET = 60    /* seconds between two log lines about clients that are denied */
};

struct worker {
	struct role_ctx ctx;
	const struct login_dialect *const *dialects;
	struct login_env env;
	uint64_t authd_generation, spawn_generation, key_generation;
	ev_timer sweep;
	struct acceptor *acceptor;
	struct header_wait headers;
	struct stranger_limits strangers;
	struct access *access[PROTOCOL_COUNT];
	uint32_t denied_quiet_until;
	ev_timer ending;    /* the node stops */
	ev_timer opening;   /* until the certificates are there, the worker before still accepts */
	bool waits_to_open; /* that timer runs */
	unsigned came;      /* certificates when it was set */
	unsigned looks;     /* how often it has run */
	bool stopping;      /* only session servers of this node go on */
	bool retiring;
	bool orphaned; /* the master is gone: no new authd will come */
	uint64_t accepted, denied;
};

/* A retiring worker ends with its last session, and when the clients of a peer that died have been let go: at once they
 * would all come back together (PROXY_DISCONNECT_SPREAD). */
static void maybe_end(struct worker *w)
{
	if (w->retiring && w->env.nlogins == 0 && w->headers.count == 0 && relays_count(w->env.relays) == 0 &&
	    relays_count_staying(w->env.relays) == 0)
		ev_break(w->ctx.loop, EVBREAK_ALL);
}

static void on_ending(struct ev_loop *loop, ev_timer *t UNUSED, int revents UNUSED)
{
	ev_break(loop, EVBREAK_ALL);
}

/* The node stops. */
static void end_in(struct worker *w, double seconds)
{
	ev_timer_stop(w->ctx.loop, &w->ending);
	ev_timer_init(&w->ending, on_ending, seconds, 0);
	ev_timer_start(w->ctx.loop, &w->ending);
}

/* --- authd --- */

/* What authd knew of the logins is lost. */
static void lose_exchanges(struct worker *w)
{
	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		next = l->next;
		authd_link_lose(w->env.authd, l);
		if (l->state == LOGIN_GREETING)
			login_challenge(l, NULL);
	}
}

static void on_authd_gone(void *arg)
{
	struct worker *w = arg;

	if (!w->stopping)
		log_warn("lost authd; logins wait for the next one");
	lose_exchanges(w);
}

static void on_ticket_keys(void *arg, const struct tls_ticket_keys *keys)
{
	struct worker *w = arg;

	certificates_ticket_keys(w->env.certificates, keys);
}

static void on_common(void *arg, enum protocol p, const char *list)
{
	struct worker *w = arg;

	str_clear(&w->env.common[p]);
	str_adds(&w->env.common[p], list);
	for (size_t i = 0; i < ARRAY_LEN(w->env.greeting[p]); i++)
		str_clear(&w->env.greeting[p][i]);
}

static const struct authd_link_hooks authd_hooks = {
	.reply = login_auth_reply,
	.challenge = login_challenge,
	.ticket_keys = on_ticket_keys,
	.common = on_common,
	.gone = on_authd_gone,
};

static void send_relayed(const struct relayed *s, void *arg)
{
	authd_link_have(arg, s->session, s->protocol, &s->client, relayed_user(s));
}

static void new_authd(struct worker *w, int sock)
{
	struct authd_link *authd = w->env.authd;

	if (authd_link_is_up(authd)) {
		authd_link_close(authd);
		lose_exchanges(w);
	}
	authd_link_open(authd, sock);
	relays_each(w->env.relays, send_relayed, authd);
	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		next = l->next;
		if (l->state == LOGIN_PEER || (l->state == LOGIN_HANDOFF && peer_login_is_program(l)))
			authd_link_have(authd, l->reply->session, l->dialect->protocol, &l->reply->client,
			    l->reply->name);
		if (l->state == LOGIN_AUTH)
			authd_link_send_credentials(authd, l);
	}
}

/* --- spawn --- */

static void on_spawn_gone(void *arg)
{
	struct worker *w = arg;

	if (!w->stopping)
		log_warn("lost spawn; logins to mailboxes of this node wait for the next one");
	else /* the session servers have said what they had to say */
		end_in(w, 1);
	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		next = l->next;
		login_handoff_lost(l);
	}
}

static const struct spawn_link_hooks spawn_hooks = { .reply = login_handoff_reply, .gone = on_spawn_gone };

/* --- relays --- */

static void on_session_end(uint64_t session, void *arg)
{
	struct worker *w = arg;

	if (session != 0)
		authd_link_session_end(w->env.authd, session);
	maybe_end(w);
}

static bool room_for_pipe(void *arg)
{
	const struct worker *w = arg;

	return acceptor_has_room(w->acceptor, 2);
}

static const struct relays_hooks relays_hooks = { .ended = on_session_end, .has_room = room_for_pipe };

/* --- clients --- */

/* Used by sessions and logins; each login counts with the peer that it may still need. */
static unsigned descriptors(void *arg)
{
	const struct worker *w = arg;

	return 2 * (w->env.nlogins + w->headers.count + relays_count(w->env.relays)) + relay_pipe_descriptors() +
	    relays_count_staying(w->env.relays);
}

/* There is no room for one more login. */
static void trim(void *arg)
{
	struct worker *w = arg;

	relay_drop_idle_pipes();
	relays_let_go(w->env.relays, LET_GO);
}

/* Whoever may not connect learns nothing. */
static void deny(struct worker *w, enum protocol protocol, const struct net_addr *client)
{
	char ip[NET_IP_TEXT_MAX];

	w->denied++;
	if (log_due(&w->denied_quiet_until, DENIED_QUIET))
		log_as(protocols[protocol].group, LOG_LEVEL_INFO,
		    "DENIED by the access file, ip=[%s], port=[%u]; %llu in all", net_addr_log(client, ip),
		    client->port, (unsigned long long)w->denied);
}

static bool admits(void *arg, enum protocol protocol, const struct net_addr *client, uint16_t port)
{
	struct worker *w = arg;

	w->accepted++;
	if (settings_has_header(w->ctx.set, protocol, port)) { /* then the client is judged that it names */
		if (net_addr_in_any(client, w->ctx.set->node_PROXY_PROTOCOL_FROM))
			return true;
		header_wait_refuse(&w->headers, client, port);
	} else {
		if (!access_denies(w->access[protocol], client))
			return true;
		deny(w, protocol, client);
	}
	return false;
}

/* CLIENT begins with TLS, or not; with us, that is: if not, it may speak TLS to a proxy in front. */
static void start_login(struct worker *w, enum protocol protocol, bool tls, int fd, struct login_client *client)
{
	if (tls) {
		client->tls = true;
		client->ctx = client_tls_context(w->env.certificates, protocol, false, fd);
	}
	if (tls && client->ctx == NULL) {
		client_tls_impossible(&client->addr, protocols[protocol].group);
		close(fd);
	} else {
		login_start(&w->env, w->dialects[protocol], fd, client);
	}
}

static void new_client(void *arg, enum protocol protocol, bool tls, int fd, const struct net_addr *client,
    uint16_t port)
{
	struct worker *w = arg;

	if (settings_has_header(w->ctx.set, protocol, port))
		header_wait_add(&w->headers, protocol, tls, fd, client, port);
	else
		start_login(w, protocol, tls, fd, &(struct login_client){ .addr = *client, .port = port });
}

static void on_header(void *arg, enum protocol protocol, bool tls, int fd, const struct proxy_header_facts *f,
    uint16_t port)
{
	struct worker *w = arg;
	struct login_client client = { .addr = f->client, .port = port, .tls = f->tls };
	char words[SESSION_TLS_MAX];

	if (access_denies(w->access[protocol], &f->client)) {
		deny(w, protocol, &f->client);
		close(fd);
		return;
	}
	if (!tls && f->tls && !f->tls_verified && client_certs_demanded(w->ctx.set, protocol)) {
		client_tls_unproven(&f->client, protocols[protocol].group);
		close(fd);
		return;
	}
	client_tls_of_front(f, words);
	if (words[0] != '\0')
		client.tls_words = words;
	start_login(w, protocol, tls, fd, &client);
}

static bool displace(void *arg, const struct net_addr *client)
{
	struct worker *w = arg;

	return stranger_limits_displace(&w->strangers, client);
}

static void refuse_client(void *arg, enum protocol protocol, int fd)
{
	const struct worker *w = arg;

	login_refuse(w->dialects[protocol], fd);
}

static void tell_full(void *arg, bool full)
{
	struct worker *w = arg;

	role_full(&w->ctx, full);
}

static const struct acceptor_hooks acceptor_hooks = {
	.in_use = descriptors,
	.trim = trim,
	.admits = admits,
	.client = new_client,
	.displace = displace,
	.refuse = refuse_client,
	.tell = tell_full,
};

static void on_sweep(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct worker *w = t->data;
	uint32_t now = loop_seconds();

	acceptor_tick(w->acceptor);
	authd_link_tell_arrived(w->env.authd);
	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		next = l->next;
		login_age(l, now);
		if (login_is_late(l, now, (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT))
			login_end(l, LOGIN_BYE_TIMEOUT);
		else if (l->state == LOGIN_AUTH && !exchange_waits(l) &&
		    (authd_link_is_up(w->env.authd) || w->orphaned || now - l->exchange_since >= AUTHD_PATIENCE))
			login_auth_reply(l, NULL, -1); /* authd was not reachable */
		else
			login_check_client(l);
	}
	stranger_limits_shed(&w->strangers);
	maybe_end(w); /* its last connection may have been one whose header did not come */
}

/* --- the master's orders --- */

static void on_channel(struct role_ctx *ctx, enum role other, unsigned slot UNUSED, uint64_t generation, int sock)
{
	struct worker *w = ctx->arg;

	if (other == ROLE_AUTHD && generation >= w->authd_generation) {
		w->authd_generation = generation;
		new_authd(w, sock);
	} else if (other == ROLE_SPAWN && generation >= w->spawn_generation) {
		w->spawn_generation = generation;
		spawn_link_open(w->env.spawn, sock);
	} else if (other == ROLE_KEY && generation >= w->key_generation) {
		w->key_generation = generation;
		certificates_channel(w->env.certificates, sock);
	} else {
		close(sock);
	}
}

static void on_listen(struct role_ctx *ctx, unsigned slot, enum protocol protocol, bool tls, int sock)
{
	struct worker *w = ctx->arg;

	acceptor_add(w->acceptor, slot, protocol, tls, sock);
}

static void on_trust(struct role_ctx *ctx, unsigned whose, int fd)
{
	struct worker *w = ctx->arg;

	if (whose == CONTROL_TRUST_PEERS) {
		tls_peers_trust(w->env.tls_peers, fd);
	} else {
		certificates_trust(w->env.certificates, (enum protocol)whose, fd);
		close(fd);
	}
}

static void on_unlisten(struct role_ctx *ctx, unsigned slot)
{
	struct worker *w = ctx->arg;

	acceptor_drop(w->acceptor, slot);
}

static void on_others(struct role_ctx *ctx, bool others)
{
	struct worker *w = ctx->arg;

	acceptor_answer(w->acceptor, others);
}

static void start_work(struct worker *w)
{
	w->waits_to_open = false;
	ev_timer_stop(w->ctx.loop, &w->opening);
	if (!w->retiring)
		acceptor_open(w->acceptor);
	role_ready(&w->ctx);
}

/* As long as certificates come, more are awaited: there may be thousands. But others are renewed meanwhile, or the key
 * process repeats itself: that must not keep clients out for ever. */
static void on_opening(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct worker *w = t->data;

	if (w->came == certificates_came(w->env.certificates) || ++w->looks == OPENING_LOOKS) {
		start_work(w);
		return;
	}
	w->came = certificates_came(w->env.certificates);
	ev_timer_set(t, KEY_CLIENT_TIMEOUT / 1000.0, 0);
	ev_timer_start(loop, t);
}

static void on_told(void *arg)
{
	struct worker *w = arg;

	if (w->waits_to_open)
		start_work(w);
}

static void begin_opening(struct worker *w)
{
	certificates_on_told(w->env.certificates, on_told, w);
	ev_timer_init(&w->opening, on_opening, KEY_CLIENT_TIMEOUT / 1000.0, 0);
	w->opening.data = w;
	w->came = 0;
	w->looks = 0;
}

static void on_go(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	w->waits_to_open = certificates_are_coming(w->env.certificates);
	if (w->waits_to_open)
		ev_timer_start(ctx->loop, &w->opening);
	else
		start_work(w);
}

static void on_retire(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	acceptor_shut(w->acceptor);
	w->retiring = true;
	maybe_end(w);
}

static void on_orphaned(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	w->orphaned = true;
	on_retire(ctx);
}

static void on_drain(struct role_ctx *ctx, bool on)
{
	struct worker *w = ctx->arg;

	w->env.draining = on;
}

static void on_stop(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	acceptor_shut(w->acceptor);
	header_wait_shut(&w->headers);
	w->retiring = true;
	relays_stop(w->env.relays);
	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		next = l->next;
		login_end(l, LOGIN_BYE_SHUTDOWN);
	}
	log_flush();
	if (relays_count_here(w->env.relays) == 0) {
		ev_break(ctx->loop, EVBREAK_ALL);
		return;
	}
	/* Session servers of this node still say what they have to say, and goodbye. */
	w->stopping = true;
	end_in(w, STOP_HERE);
}

/* A login that has its verdict counts as the session that it is about to become. */
static unsigned kick_logins(struct worker *w, const struct session_choice *c)
{
	unsigned n = 0;

	for (struct login *l = w->env.logins, *next; l != NULL; l = next) {
		const struct auth_reply *a = l->reply;

		next = l->next;
		if (a != NULL && session_choice_has(c, a->name, &a->client, a->session_id) && login_kick(l))
			n++;
	}
	return n;
}

static void count_protocol(const struct relayed *s, void *arg)
{
	unsigned *n = arg;

	n[s->protocol]++;
}

static void add_status(struct worker *w, struct str *rows)
{
	unsigned n[PROTOCOL_COUNT] = { 0 };

	relays_each(w->env.relays, count_protocol, n);
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		str_addf(rows, "proxied_%s=%u\n", protocols[p].name, n[p]);
	str_addf(rows, "letting_go=%u\nlogging_in=%u\nworkers_full=%u\n", relays_count_staying(w->env.relays),
	    w->env.nlogins, acceptor_is_full(w->acceptor));
}

static void on_totals(struct role_ctx *ctx, struct control_totals *totals)
{
	const struct worker *w = ctx->arg;

	totals->n[CONTROL_TOTAL_ACCEPTED] = w->accepted;
	totals->n[CONTROL_TOTAL_LOGINS_OK] = authd_link_logins_ok(w->env.authd);
	totals->n[CONTROL_TOTAL_LOGINS_FAILED] = authd_link_logins_failed(w->env.authd);
	totals->n[CONTROL_TOTAL_REFUSED] = acceptor_refused(w->acceptor);
	totals->n[CONTROL_TOTAL_YIELDED] = w->strangers.yielded;
	totals->n[CONTROL_TOTAL_DENIED] = w->denied;
	totals->n[CONTROL_TOTAL_HEADERS] = w->headers.refused;
	totals->n[CONTROL_TOTAL_TLS_FAILED] = client_tls_failures();
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct worker *w = ctx->arg;
	struct session_choice choice;
	struct str rows = STR_INIT;
	unsigned n = 0;

	if (session_choice_read(&choice, "who", command, argument))
		n = relays_who(w->env.relays, &choice, &rows);
	else if (session_choice_read(&choice, "kick", command, argument))
		n = relays_kick(w->env.relays, &choice) + kick_logins(w, &choice);
	else if (strcmp(command, "status") == 0)
		add_status(w, &rows);
	role_rows(ctx, query, str_cstr(&rows), rows.len);
	role_done(ctx, query, n);
	str_fini(&rows);
}

static const struct role_hooks hooks = {
	.channel = on_channel,
	.trust = on_trust,
	.listen = on_listen,
	.unlisten = on_unlisten,
	.others = on_others,
	.go = on_go,
	.retire = on_retire,
	.drain = on_drain,
	.totals = on_totals,
	.query = on_query,
	.stop = on_stop,
	.orphaned = on_orphaned,
};

static void on_login_end(void *arg)
{
	maybe_end(arg);
}

/* Makes what logins need, from the settings. */
static void init(struct worker *w)
{
	struct ev_loop *loop = w->ctx.loop;
	const struct settings *set = w->ctx.set;

	w->acceptor = acceptor_new(loop, &acceptor_hooks, w);
	header_wait_init(&w->headers, loop, on_header, w);
	stranger_limits_init(&w->strangers, set, login_yield);
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		w->access[p] = access_new(set->access[p]);
	w->env.loop = loop;
	w->env.set = set;
	w->env.requests = request_table_new();
	w->env.authd = authd_link_new(loop, w->env.requests, &authd_hooks, w);
	w->env.spawn = spawn_link_new(loop, w->env.requests, &spawn_hooks, w);
	w->env.relays = relays_new(loop, (unsigned)set->proxy_PROXY_IDLE_TIMEOUT,
	    (unsigned)set->proxy_PROXY_DISCONNECT_SPREAD, w->dialects, &relays_hooks, w);
	w->env.certificates = certificates_new(loop, set);
	w->env.tls_peers = tls_peers_new(set->proxy_PROXY_TLS_VERIFY);
	w->env.source = source_new(set->proxy_PROXY_SOURCE_ADDRESS);
	w->env.strangers = &w->strangers;
	w->env.headers = &w->headers;
	w->env.ended = on_login_end;
	w->env.arg = w;
}

int worker_main(const struct role_start *who, const struct login_dialect *const dialects[PROTOCOL_COUNT])
{
	struct worker *w = mem_alloc(sizeof(*w));

	w->dialects = dialects;
	role_init(&w->ctx, who, "waypostd", &hooks, w);
	init(w);
	begin_opening(w);
	ev_timer_init(&w->sweep, on_sweep, 1, 1);
	w->sweep.data = w;
	ev_timer_start(w->ctx.loop, &w->sweep);
	loop_keep_time(w->ctx.loop);
	ev_run(w->ctx.loop, 0);
	role_totals(&w->ctx);
	relays_let_go(w->env.relays, relays_count_staying(w->env.relays));
	certificates_free(&w->env.certificates);
	tls_peers_free(&w->env.tls_peers);
	source_free(&w->env.source);
	log_flush();
	return 0;
}
