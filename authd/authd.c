/* The role authd: its channels, the userdb's file, the orders of the master, the sessions' register behind them. */
#include "authd/authd.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "authd/external.h"
#include "authd/hold.h"
#include "authd/peer_ports.h"
#include "authd/pool_file.h"
#include "authd/request.h"
#include "authd/sessions.h"
#include "authd/ticket_keys.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "node/msg_control.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"
#include "node/msg_channel.h"

enum {
	LOOKUP_SECONDS = 20, /* for a name: an answer too late for one login still serves the next ones */
	SPAWN_PATIENCE = 2,  /* seconds that a new authd waits for spawn to tell of its sessions */
	COMMON_QUIET_SECONDS = 60
};

static struct msgw out;

/* --- what the servers of the pool can do --- */

static void tell_common(struct authd_worker *w, enum protocol p)
{
	auth_common_write(&out, p, pool_capability_common(w->a->pool_capability, p));
	if (chan_post(w->chan, &out) != 0)
		log_warn("worker %u does not read its messages: what it announces goes out of date", w->slot);
}

/* A server, or who speaks for it, may say something else every second: the log is told of what lasts. */
static void say_common(const struct authd *a, enum protocol p, bool changed)
{
	static struct {
		uint32_t quiet_until;
		bool due;
	} said[PROTOCOL_COUNT];

	said[p].due = said[p].due || changed;
	if (!said[p].due || !log_due(&said[p].quiet_until, COMMON_QUIET_SECONDS))
		return;
	said[p].due = false;
	log_info("%s: what all servers of the pool have in common is: %s", protocols[p].title,
	    pool_capability_common(a->pool_capability, p));
}

static void pool_tick(struct authd *a)
{
	unsigned changed = pool_capability_tick(a->pool_capability, (uint64_t)time(NULL));

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
		say_common(a, p, (changed & 1U << p) != 0);
		if ((changed & 1U << p) == 0)
			continue;
		for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
			tell_common(w, p);
	}
	pool_file_tick(a);
}

/* --- login workers --- */

static void worker_gone(struct chan *c UNUSED, void *arg)
{
	struct authd_worker *w = arg;
	struct authd *a = w->a;

	request_drop_all(w);
	sessions_drop(w);
	for (struct authd_worker **p = &a->workers; *p != NULL; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			break;
		}
	challenges_free(&w->challenges);
	chan_free(&w->chan);
	mem_free(&w);
}

/* A worker requests a challenge for its coming login request REQUEST. */
static void begin_challenge(struct authd_worker *w, uint32_t request, enum auth_mech mech)
{
	struct authd *a = w->a;
	const char *challenge = challenges_make(w->challenges, request, mech, a->ctx.set->self[0], clock_now());

	if (challenge == NULL) {
		request_unknown(w, request,
		    challenges_full(w->challenges) ? "too many pending challenges" :
		                                     "its challenge is pending already");
		return;
	}
	auth_text_write(&out, AUTH_CHALLENGE, request, challenge);
	worker_send(w, &out);
}

/* The name must be a single word, as in mailhost: `waypost status` shows it. */
static bool is_mailhost(const char *host)
{
	for (const char *c = host; *c != '\0'; c++)
		if (*c == ' ' || text_is_control(*c))
			return false;
	return host[0] != '\0';
}

/* A worker reports a trouble that it has logged. */
static bool peer_trouble(struct authd *a, struct msgr *r)
{
	static const enum trouble_kind kinds[] = {
		[PEER_TROUBLE_SELF] = TROUBLE_LOOP,
		[PEER_TROUBLE_TLS] = TROUBLE_TLS,
		[PEER_TROUBLE_UNTRUSTED] = TROUBLE_UNTRUSTED,
	};
	struct peer_trouble m;

	if (!peer_trouble_read(r, &m) || !is_mailhost(m.host))
		return false;
	if (m.kind == PEER_TROUBLE_SELF)
		a->logins[AUTH_VERDICT_LOOP]++;
	troubles_seen(a->troubles, kinds[m.kind], m.protocol, m.host, &m.addr, clock_now());
	troubles_set_why(a->troubles, kinds[m.kind], m.protocol, m.host, m.addr.port, m.why);
	return true;
}

/* A mailhost has reported its check of our signature to a worker. */
static bool peer_signature(struct authd *a, struct msgr *r)
{
	char host[MAILHOST_MAX];
	struct peer_signature m;

	if (!peer_signature_read(r, &m))
		return false;
	log_value(host, sizeof(host), m.host);
	if (host[0] != '\0' && signature_errors_reported(a->signature_errors, host, m.check, clock_now()))
		signature_errors_log_mailhost(host, m.check);
	return true;
}

static bool has_arrived(struct authd_worker *w, struct msgr *r)
{
	const struct peer_service *at;
	struct session_target m;
	struct reg_session *s;

	if (!session_arrived_read(r, &m))
		return false;
	if ((s = sessions_pending(w, m.session, m.target)) == NULL)
		return true;
	at = &s->pending->target[m.target];
	peers_answered(w->a->peers, at, w->generation, MIN((double)m.when_ms / 1000, clock_now()));
	troubles_over(w->a->troubles, TROUBLE_TLS, at->protocol, &at->addr);
	if (at->tls != PEER_TLS_NONE)
		troubles_over(w->a->troubles, TROUBLE_UNTRUSTED, at->protocol, &at->addr);
	reg_arrived(w->a->reg, s);
	return true;
}

static bool peer_result(struct authd_worker *w, struct msgr *r)
{
	struct peers *peers = w->a->peers;
	const struct peer_service *at;
	struct session_target m;
	struct reg_session *s;
	double now = clock_now(), began;

	if (!peer_result_read(r, &m))
		return false;
	if ((s = sessions_pending(w, m.session, m.target)) == NULL)
		return true;
	at = &s->pending->target[m.target];
	began = now - m.took_ms / 1000.0;
	if (m.result == PEER_ANSWERS)
		peers_answered(peers, at, w->generation, now);
	else if (m.result == PEER_SLOW)
		peers_slow(peers, at, s->user, w->generation, began, now);
	else if (m.result == PEER_DOWN)
		peers_failed(peers, at, w->generation, began, now);
	else
		peers_refused(peers, at, m.result == PEER_BUSY ? NULL : s->user, w->generation, began, now);
	return true;
}

/* What a server can do. That it was asked for it does not matter: others may have told another list since. */
static bool peer_list(struct authd *a, struct msgr *r)
{
	struct capabilities_told m;

	if (!peer_list_read(r, &m))
		return false;
	pool_capability_told(a->pool_capability, m.protocol, m.host, m.port, m.list, (uint64_t)time(NULL));
	return true;
}

static bool worker_message(struct authd_worker *w, struct msgr *r)
{
	static char text[AUTH_TEXT_MAX];
	struct authd *a = w->a;
	enum auth_mech mech;
	uint32_t request;
	uint64_t id;

	switch (r->type) {
	case AUTH_REQUEST:
		return request_new(w, r);
	case AUTH_CANCEL:
		if (!auth_cancel_read(r, &request))
			return false;
		request_cancel(w, request);
		return true;
	case AUTH_CHALLENGE_WANTED:
		if (!auth_challenge_wanted_read(r, &request, &mech))
			return false;
		begin_challenge(w, request, mech);
		return true;
	case AUTH_RESPONSE:
		if (!auth_text_read(r, &request, text))
			return false;
		request_step(w, request, text);
		mem_wipe(text, sizeof(text));
		return true;
	case SESSION_END:
		if (!session_end_read(r, &id))
			return false;
		sessions_end(w, id);
		return true;
	case SESSION_HAVE:
		return sessions_have(a, r, w);
	case SESSION_ARRIVED:
		return has_arrived(w, r);
	case PEER_TROUBLE:
		return peer_trouble(a, r);
	case PEER_SIGNATURE:
		return peer_signature(a, r);
	case PEER_RESULT:
		return peer_result(w, r);
	case PEER_LIST:
		return peer_list(a, r);
	default:
		return msg_channel_skips(w->chan, r, "a login worker");
	}
}

static void on_worker(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct authd_worker *w = arg;

	if (fd != -1)
		close(fd);
	if (worker_message(w, r))
		return;
	log_error("bad message %u from worker %u; killing it", r->type, w->slot);
	role_unfit(&w->a->ctx, w->slot, w->generation);
	worker_gone(c, w);
}

/* A worker gets another channel when its end of the first one was lost. Its sessions of the old channel are dropped
 * before it reports them over the new one. */
static void replace_worker(struct authd *a, unsigned slot, uint64_t generation)
{
	for (struct authd_worker *w = a->workers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->slot == slot && w->generation == generation)
			worker_gone(w->chan, w);
	}
}

static void add_worker(struct authd *a, unsigned slot, uint64_t generation, int sock)
{
	struct authd_worker *w = mem_alloc(sizeof(*w));

	replace_worker(a, slot, generation);
	w->a = a;
	w->slot = slot;
	w->generation = generation;
	w->challenges = challenges_new();
	w->chan = msg_channel_open(a->ctx.loop, sock, on_worker, worker_gone, w);
	w->next = a->workers;
	a->workers = w;
	ticket_keys_send(w);
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		tell_common(w, p);
}

/* --- spawn --- */

/* Spawn has told of its sessions, or has not in time. */
static void stop_awaiting_spawn(struct authd *a)
{
	if (!a->spawn_awaited)
		return;
	a->spawn_awaited = false;
	request_resume(a);
}

static void on_spawn(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct authd *a = arg;
	uint64_t id;

	if (fd != -1)
		close(fd);
	switch (r->type) {
	case SESSION_END:
		if (session_end_read(r, &id))
			sessions_ended(a, id);
		return;
	case SESSION_HAVE:
		if (!sessions_have(a, r, NULL))
			log_error("bad message %u from spawn", r->type);
		return;
	case SESSION_PROGRAM:
		if (!sessions_program(a, r))
			log_error("bad message %u from spawn", r->type);
		return;
	case SESSIONS_TOLD:
		stop_awaiting_spawn(a);
		return;
	default:
		msg_channel_skips(c, r, "spawn");
	}
}

static void on_spawn_gone(struct chan *c UNUSED, void *arg)
{
	struct authd *a = arg;

	chan_free(&a->spawn);
}

static void new_spawn(struct authd *a, uint64_t generation, int sock)
{
	a->spawn_generation = generation;
	if (a->spawn != NULL)
		chan_drain(a->spawn); /* what it started and ended before it died */
	chan_free(&a->spawn);
	sessions_programs_lost(a);
	a->spawn = msg_channel_open(a->ctx.loop, sock, on_spawn, on_spawn_gone, a);
	sessions_adopt(a);
}

/* --- names of peers --- */

/* A monitor says that a peer is up. */
static void on_up(const struct peer_order *o, void *arg)
{
	struct authd *a = arg;

	peers_believe(a->peers, o, false);
}

static void use_orders(struct authd *a)
{
	char *operators = mem_printf("%s/" CONTROL_PEERS_FILE, a->ctx.set->node_RUNDIR);

	orders_use(a->orders, operators, a->ctx.set->proxy_PROXY_PEERS_FILE);
	mem_free(&operators);
}

static void on_resolved(const char *host, enum name_answer answer, const struct net_addr *addr, unsigned n, void *arg)
{
	struct authd *a = arg;

	peers_resolved(a->peers, host, answer, addr, n, loop_now());
	request_resume(a);
}

static void ask_address(struct peers *p UNUSED, const char *host, void *arg)
{
	struct authd *a = arg;

	resolver_ask(a->resolver, host);
}

/* --- userdb --- */

/* DB takes the place of the present image. */
static void use_userdb(struct authd *a, struct userdb *db)
{
	struct userdb *old = a->userdb;

	a->userdb = db;
	auth_chain_use_image(a->chain, db);
	userdb_close(&old);
}

/* Takes over the userdb image of the authd before, so that no login waits until the userdb is read again. It cannot
 * prove an account unknown: the file on disk may have been refused since. */
static void inherit_userdb(struct authd *a)
{
	const char *why;
	struct userdb *db;

	if (a->ctx.userdb == -1)
		return;
	if ((db = userdb_open_fd(a->ctx.userdb, &why)) == NULL) {
		log_error("cannot use the userdb of the authd before: %s", why);
	} else if (auth_chain_uses_image(a->chain) && userdb_is_of(db, a->ctx.set->authuserdb_USERDB)) {
		use_userdb(a, db);
		a->report.status = USERDB_FAILED;
	} else {
		userdb_close(&db);
	}
}

static void take_load(struct authd *a, const struct job_done *done, int fd)
{
	const char *why = "the auth workers do not answer";
	struct userdb *db = NULL;

	if (done == NULL) {
		log_error("cannot read the userdb: %s", why);
		userdb_watch_again(&a->watch);
		return;
	}
	userdb_report_log(&done->report, a->ctx.set->authuserdb_USERDB);
	userdb_report_fini(&a->report);
	a->report = done->report;
	a->report.text = (struct str)STR_INIT;
	str_adds(&a->report.text, str_cstr(&done->report.text));
	if (fd != -1)
		db = userdb_open_fd(fd, &why);
	else
		why = "no descriptor was free; retrying";
	if (done->report.status == USERDB_CHANGED || (done->report.status == USERDB_BUILT && fd == -1))
		userdb_watch_again(&a->watch);
	if (db != NULL)
		use_userdb(a, db);
	else if (done->report.status == USERDB_BUILT)
		log_error("cannot use the userdb that was read: %s", why);
}

bool authd_userdb_refused(const struct authd *a)
{
	return auth_chain_uses_image(a->chain) &&
	    (a->userdb == NULL || (a->report.status != USERDB_BUILT && a->report.status != USERDB_CHANGED));
}

/* Accounts can be looked up now: starts to serve. */
static void begin(struct authd *a)
{
	a->first_load = false;
	role_ready(&a->ctx);
	request_resume(a);
}

static void on_loaded(const struct job_done *done, int fd, void *arg)
{
	struct authd *a = arg;

	a->loading = false;
	take_load(a, done, fd);
	if (a->first_load)
		begin(a);
}

static void expire(struct authd_worker *w, double then)
{
	challenges_expire(w->challenges, then);
	request_expire(w, then);
}

static void on_tick(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct authd *a = t->data;
	const struct settings *set = a->ctx.set;
	const struct userdb *old = a->userdb;
	uint32_t id;

	/* Workers end logins in time; this is for one that does not. */
	for (struct authd_worker *w = a->workers; w != NULL; w = w->next)
		expire(w, clock_now() - 2 * (double)set->node_LOGIN_TIMEOUT);
	hold_release(a, clock_now());
	ticket_keys_tick(a);
	pool_tick(a);
	reg_expire(a->reg, clock_now());
	peers_tick(a->peers, clock_now());
	orders_tick(a->orders, clock_now());
	if (clock_now() >= a->spawn_until)
		stop_awaiting_spawn(a);
	if (a->loading || !auth_chain_uses_image(a->chain) ||
	    userdb_watch_poll(&a->watch, set->authuserdb_USERDB, clock_now()) == 0)
		return;
	a->loading = true;
	id = jobs_next_id(a->jobs);
	job_write_userdb_load(&out, id, set->authuserdb_USERDB, (unsigned)set->authuserdb_USERDB_SHRINK, old != NULL);
	jobs_submit(a->jobs, id, &out, old != NULL ? userdb_fd(old) : -1, NULL, on_loaded, a);
}

/* --- the master's orders --- */

static void on_channel(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock)
{
	struct authd *a = ctx->arg;

	if (other == ROLE_WORKER)
		add_worker(a, slot, generation, sock);
	else if (other == ROLE_AUTHWORKER)
		jobs_add_worker(a->jobs, slot, generation, sock);
	else if (other == ROLE_SPAWN && generation >= a->spawn_generation)
		new_spawn(a, generation, sock);
	else
		close(sock);
}

/* Loaded now, not for the first client: that waits for the disk, and the operator reads the log at the start. */
static void load_scram(const struct settings *set)
{
	struct str why = STR_INIT;

	if (settings_offer_scram(set) && scram_module_load(&why) == NULL)
		log_error("SCRAM logins are not possible: %s", str_cstr(&why));
	str_fini(&why);
}

static void use_settings(struct authd *a)
{
	const struct settings *set = a->ctx.set;
	struct str errors = STR_INIT;
	struct auth_chain *chain = auth_chain_new(set->authdaemonrc_authmodulelist, AUTH_SIDE_LOOP, set, &errors);

	load_scram(set);
	peer_ports(set, a->ports);
	pool_keys_free(&a->pool);
	a->pool = pool_keys_new(set->pool_secret);
	same_nodes_use(a->same_nodes, a->pool, set->same);
	peers_set(a->peers, (double)set->proxy_DNS_TTL, (double)set->proxy_PROXY_DOWN_TIME, names_patience(set));
	use_orders(a);
	if (chain == NULL) {
		log_error("cannot use authmodulelist: %s", str_cstr(&errors));
		DIE_IF(a->chain == NULL); /* the master has checked it */
	} else {
		auth_chain_free(&a->chain);
		a->chain = chain;
		auth_chain_use_image(a->chain, a->userdb);
	}
	directory_lookups_use(a->directory_lookups, a->chain, set);
	str_fini(&errors);
}

static void on_settings(struct role_ctx *ctx, const struct settings *old)
{
	struct authd *a = ctx->arg;

	use_settings(a);
	ticket_keys_changed(a);
	/* Peers may be spoken to in another way now: whether they take that, the next logins show. */
	troubles_forget(a->troubles, TROUBLE_TLS);
	troubles_forget(a->troubles, TROUBLE_UNTRUSTED);
	if (strcmp(old->pool_secret, ctx->set->pool_secret) != 0 ||
	    strcmp(old->proxy_PROXY_TRUSTED, ctx->set->proxy_PROXY_TRUSTED) != 0)
		signature_errors_forget(a->signature_errors);
	if (strcmp(old->authuserdb_USERDB, ctx->set->authuserdb_USERDB) != 0)
		userdb_watch_init(&a->watch);
	else
		userdb_watch_again(&a->watch); /* USERDB_SHRINK may now allow what was refused */
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct authd *a = ctx->arg;

	if (strcmp(command, "route") == 0)
		control_reply_route(a, query, argument);
	else if (strcmp(command, "auth") == 0)
		control_reply_auth(a, query, argument);
	else if (strcmp(command, "flush") == 0)
		control_reply_flush(a, query, argument);
	else if (strcmp(command, "peer") == 0)
		control_reply_peer(a, query, argument);
	else if (strcmp(command, "status") == 0)
		control_reply_status(a, query);
	else
		role_done(ctx, query, 0);
}

static void on_go(struct role_ctx *ctx)
{
	struct authd *a = ctx->arg;

	a->spawn_until = clock_now() + SPAWN_PATIENCE;
	inherit_userdb(a); /* not earlier: a login that is granted needs spawn */
	on_tick(ctx->loop, &a->tick, 0);
	ev_timer_start(ctx->loop, &a->tick);
	if (a->userdb != NULL || (!a->loading && !(auth_chain_uses_image(a->chain) && userdb_watch_waits(&a->watch))))
		begin(a);
}

static void on_stop(struct role_ctx *ctx)
{
	log_flush();
	ev_break(ctx->loop, EVBREAK_ALL);
}

static void on_trust(struct role_ctx *ctx, unsigned whose, int fd)
{
	if (whose != CONTROL_TRUST_PEERS)
		external_trust(ctx->arg, (enum protocol)whose, fd);
	close(fd);
}

static void on_totals(struct role_ctx *ctx, struct control_totals *totals)
{
	control_fill_totals(ctx->arg, totals);
}

static const struct role_hooks hooks = {
	.channel = on_channel,
	.trust = on_trust,
	.go = on_go,
	.settings = on_settings,
	.totals = on_totals,
	.query = on_query,
	.stop = on_stop,
	/* Without a master the session processes finish the open sessions; no new ones come. */
	.orphaned = on_stop,
};

static struct mac *random_mac(void)
{
	uint8_t key[MAC_LEN];
	struct mac *m;

	DIE_IF(RAND_bytes(key, sizeof(key)) != 1);
	m = mac_new(key, sizeof(key));
	mem_wipe(key, sizeof(key));
	return m;
}

int authd_main(const struct role_start *who)
{
	struct authd *a = mem_alloc(sizeof(*a));

	role_init(&a->ctx, who, "waypostd", &hooks, a);
	a->started = clock_now();
	a->jobs = jobs_new(a->ctx.loop);
	a->cache = cache_new((size_t)a->ctx.set->authdaemonrc_AUTH_CACHE_SIZE);
	a->directory_lookups = directory_lookups_new(a->ctx.loop, a->jobs, a->cache, clock_ms);
	a->resolver = resolver_new(a->ctx.loop, LOOKUP_SECONDS, on_resolved, a);
	a->peers = peers_new(ask_address, a);
	a->orders = orders_new(on_up, a);
	a->troubles = troubles_new();
	a->same_nodes = same_nodes_new();
	a->signature_errors = signature_errors_new();
	pool_file_read(a);
	a->guesses = guesses_new();
	request_init(a);
	a->reg = reg_new();
	a->used_tokens = used_tokens_open(ROLE_FD_USED_TOKENS, (uint64_t)time(NULL));
	a->own_secret = random_mac();
	userdb_report_init(&a->report);
	userdb_watch_init(&a->watch);
	use_settings(a);
	ticket_keys_tick(a);
	ev_timer_init(&a->tick, on_tick, 1, 1);
	a->tick.data = a;
	a->first_load = true;
	a->spawn_awaited = true;
	loop_keep_time(a->ctx.loop);
	ev_run(a->ctx.loop, 0);
	return 0;
}
