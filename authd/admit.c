/* Options, ids and limits of an account; entering its session, signing it for peers, and the ticket for spawn. */
#include "authd/admit.h"

#include <string.h>
#include <time.h>

#include "authd/hold.h"
#include "authd/sessions.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/num.h"
#include "lib/rnd.h"
#include "lib/str.h"
#include "node/msg_ticket.h"

enum { WAY_GRACE = 20 }; /* seconds after PROXY_TIMEOUT: a pending login without a reported end no longer counts */

static struct msgw out;

/* --- admit: is it allowed --- */

/* The client uses TLS where it has to, or is local; or it came by a front that need not say so, here or at the node
 * before. The worker has refused everybody else but those who claimed to be a node. */
static bool is_private(const struct request *rq, const struct protocol_settings *s)
{
	const struct forwarded *f = &rq->q.forwarded;

	if (s->tls_required && rq->believed && f->insecure && f->client.family == 0)
		return false; /* the front's address is not its client's */
	if (!s->tls_required || rq->client_tls || strcmp(rq->client_tls_words, SESSION_TLS_FRONT) == 0)
		return true;
	return !rq->late && settings_is_local(rq->worker->a->ctx.set, &rq->client);
}

enum request_state step_admit(struct request *rq)
{
	struct authd *a = rq->worker->a;
	enum protocol p = rq->q.protocol;
	const struct protocol_settings s = protocol_settings(a->ctx.set, p);
	const char *off = protocols[p].option_off, *insecure = protocols[p].option_insecure;
	const char *why;

	hold_over(rq);
	if (!is_private(rq, &s))
		return request_refuse(rq, AUTH_VERDICT_INSECURE,
		    rq->q.forwarded.signature != FORWARDED_SIGNATURE_MADE || rq->believed || rq->late ?
		        "the client does not use TLS" :
		        "the forwarding node's signature is not valid here");
	if (options_is_on(rq->account.options, off))
		return request_refuse(rq, AUTH_VERDICT_DISABLED, off);
	if (!rq->client_tls && options_is_on(rq->account.options, insecure))
		return request_refuse(rq, AUTH_VERDICT_DISABLED, insecure);
	if (!account_allowed(a->ctx.set, &rq->account, &why))
		return request_refuse(rq, AUTH_VERDICT_UNAVAILABLE, why);
	if (s.max_sessions != 0 && reg_count(a->reg, p) >= s.max_sessions)
		return request_refuse(rq, AUTH_VERDICT_LIMIT, "MAXDAEMONS");
	if (s.max_per_ip != 0 && reg_count_ip(a->reg, p, &rq->client) >= s.max_per_ip)
		return request_refuse(rq, AUTH_VERDICT_LIMIT, "MAXPERIP");
	if (s.max_per_account != 0 && reg_count_account(a->reg, p, NULL, rq->account.name) >= s.max_per_account)
		return request_refuse(rq, AUTH_VERDICT_ACCOUNT_LIMIT, "MAXPERACCOUNT");
	if (s.max_per_account_ip != 0 &&
	    reg_count_account(a->reg, p, &rq->client, rq->account.name) >= s.max_per_account_ip)
		return request_refuse(rq, AUTH_VERDICT_LIMIT, "MAXPERACCOUNTIP");
	if (!sessions_room(rq->worker, rq->account.name))
		return request_refuse(rq, AUTH_VERDICT_LIMIT, "sessions of one login worker");
	return REQUEST_ROUTE;
}

/* --- grant: the session is entered, the answer goes out --- */

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
	struct ticket_grant grant = {
		.session = r->session,
		.slot = rq->worker->slot,
		.generation = rq->worker->generation,
		.protocol = rq->q.protocol,
		.account = rq->account,
		.client = rq->client,
		.program = r->local_server,
		.proxied = r->proxied,
		.tls = rq->client_tls,
		.later = rq->route.later,
		.signature = r->signature,
	};

	rnd_bytes(r->ticket, sizeof(r->ticket));
	if (a->spawn == NULL)
		return; /* the worker notices, and retries with a new spawn */
	memcpy(grant.id, r->ticket, sizeof(grant.id));
	str_copy(grant.tls_words, sizeof(grant.tls_words), rq->client_tls_words);
	str_copy(grant.session_id, sizeof(grant.session_id), r->session_id);
	ticket_write(&out, &grant);
	if (chan_send(a->spawn, &out, -1) != 0)
		log_error("spawn does not read its messages");
}

static void send_away(struct reg *reg, struct reg_session *s, const struct auth_reply *r, double until)
{
	struct peer_service target[AUTH_ADDRS_MAX];

	for (unsigned i = 0; i < r->ntargets; i++)
		target[i] = (struct peer_service){ (enum protocol)s->protocol, r->target[i].tls, r->target[i].addr };
	reg_add_pending(reg, s, r->target[0].host, target, r->ntargets, until);
}

/* Signs the forwarded login for each of its targets. */
static void sign(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	struct forwarded forwarded = { .present = true, .client = r->client, .tls = r->client_tls, .ttl = r->ttl };

	str_copy(forwarded.tls_words, sizeof(forwarded.tls_words), r->client_tls_words);
	str_copy(forwarded.session_id, sizeof(forwarded.session_id), r->session_id);
	forwarded.time = r->time = a->pool != NULL && !r->local_server ? (uint64_t)time(NULL) : 0;
	for (unsigned i = 0; r->time != 0 && i < r->ntargets; i++)
		if (same_nodes_tell(a->same_nodes, &r->target[i].addr, loop_now()))
			str_copy(r->config, sizeof(r->config), same_nodes_config(a->same_nodes));
	str_copy(forwarded.config, sizeof(forwarded.config), r->config);
	for (unsigned i = 0; r->time != 0 && i < r->ntargets; i++) {
		forwarded_sign(&forwarded, a->pool, r->target[i].host, r->name);
		memcpy(r->target[i].mac, forwarded.mac, sizeof(forwarded.mac));
		memcpy(r->target[i].tls_mac, forwarded.tls_mac, sizeof(forwarded.tls_mac));
		memcpy(r->target[i].config_mac, forwarded.config_mac, sizeof(forwarded.config_mac));
		if (r->peer_credentials == AUTH_PEER_TOKEN_OR_MASTER)
			forwarded_token_key(&forwarded, a->pool, r->target[i].host, r->name, r->target[i].token_key);
	}
}

/* The worker may ask for other targets if it can begin the login at none of these. */
static bool may_be_retried(struct request *rq)
{
	const struct auth_reply *r = request_reply();

	if (r->other_hosts == AUTH_OTHER_HOSTS_NONE || auth_mech_tells_password(rq->q.mech) || rq->retried ||
	    !request_keep(rq))
		return false;
	rq->q.ntried = r->ntargets;
	for (unsigned i = 0; i < r->ntargets; i++)
		rq->q.tried[i] = (struct auth_tried){ r->target[i].addr, r->target[i].tls };
	return true;
}

/* Every server that the login may reach belongs to the pool. */
static void note_servers(struct request *rq, struct auth_reply *r)
{
	struct authd *a = rq->worker->a;
	uint64_t now = (uint64_t)time(NULL);

	if (!capability_asks_pool(a->ctx.set, rq->q.protocol))
		return;
	for (unsigned i = 0; i < r->ntargets; i++)
		r->target[i].list = pool_capability_routed(a->pool_capability, rq->q.protocol, r->target[i].host,
		    r->target[i].addr.port, now);
	if (!r->local)
		return;
	r->target[0].list = pool_capability_routed(a->pool_capability, rq->q.protocol, LOCAL_SERVER_HOST, 0, now);
	if (!r->local_server)
		pool_capability_told(a->pool_capability, rq->q.protocol, LOCAL_SERVER_HOST, 0,
		    capability_ours(rq->q.protocol), now);
}

/* The reply holds the route already. */
enum request_state step_grant(struct request *rq)
{
	struct authd *a = rq->worker->a;
	struct auth_reply *r = request_reply();
	struct reg_session *s;

	r->verdict = AUTH_VERDICT_OK;
	r->session = random_id(a);
	if (rq->believed && rq->q.forwarded.session_id[0] != '\0')
		str_copy(r->session_id, sizeof(r->session_id), rq->q.forwarded.session_id);
	else
		num_hex(r->session, r->session_id);
	str_copy(r->name, sizeof(r->name), rq->account.name); /* drivers keep to ACCOUNT_NAME_MAX */
	r->client = rq->client;
	r->client_tls = rq->client_tls;
	str_copy(r->client_tls_words, sizeof(r->client_tls_words), rq->client_tls_words);
	r->proxied = rq->believed;
	r->signature = request_signature(rq);
	s = reg_add(a->reg, r->session, rq->q.protocol, &rq->client, r->name, (uint32_t)time(NULL));
	DIE_IF(s == NULL);
	sessions_own(s, rq->worker);
	note_servers(rq, r);
	if (r->local) {
		send_ticket(rq, r);
		reg_set_ticket(s, r->ticket);
	} else {
		send_away(a->reg, s, r, clock_now() + WAY_GRACE + (double)a->ctx.set->proxy_PROXY_TIMEOUT);
		for (unsigned i = 0; i < r->ntargets && !r->local_server; i++) {
			signature_errors_know(a->signature_errors, &r->target[i].addr);
			r->report_signature =
			    r->report_signature || signature_errors_suspect(a->signature_errors, r->target[i].host);
		}
		sign(rq, r);
	}
	request_send_reply(rq);
	return may_be_retried(rq) ? REQUEST_GRANTED : REQUEST_DONE;
}
