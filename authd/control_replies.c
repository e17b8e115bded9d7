/* authd's replies to `waypost route`, `waypost auth` and `waypost status`. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "authd/authd_private.h"
#include "authlib/password.h"
#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/text.h"
#include "settings/local_server.h"
#include "settings/replicated.h"

/* `waypost auth` and `waypost route` ask drivers as its logins do. */
static const enum protocol control_protocol = PROTOCOL_IMAP;

static struct msgw out;

struct control_query {
	struct authd *a;
	uint32_t query;
	bool with_password;
	char *user, *password;
	struct account account;
	enum auth_result result;
	unsigned pos;
	struct directory_waiter waiter;
	struct str text;
};

static void query_done(struct control_query *t, uint32_t exit_status)
{
	role_rows(&t->a->ctx, t->query, str_cstr(&t->text), t->text.len);
	role_done(&t->a->ctx, t->query, exit_status);
	jobs_forget(t->a->jobs, t);
	directory_lookup_cancel(&t->waiter);
	account_fini(&t->account);
	mem_free(&t->user);
	mem_free_secret(&t->password);
	str_fini(&t->text);
	mem_free(&t);
}

/* --- route --- */

/* This node listens at ADDR for protocol P. */
static bool listens_at(const struct settings *set, enum protocol p, const struct net_addr *addr)
{
	char network[NET_IP_TEXT_MAX];
	unsigned protocol, port;

	for (const char *line = set->listens; *line != '\0'; line += strcspn(line, "\n") + 1)
		if (sscanf(line, "%u %63s %u", &protocol, network, &port) == 3 && protocol == (unsigned)p &&
		    port == addr->port && net_addr_in(addr, network))
			return true;
	return false;
}

static void add_loop(struct control_query *t, const struct route_host *h)
{
	const char *name = t->a->ctx.set->self[0];

	str_addf(&t->text,
	    "; this is the node itself, whose name is %s: the login is refused as a loop. Change mailhost to %s, or "
	    "set PROXY_HOSTNAME to %s on this node",
	    name, name, h->name);
}

/* What somebody says of H at ADDR (NULL: of its name), if it keeps logins away. True: down. */
static bool add_word(struct control_query *t, enum protocol p, const struct route_host *h, const struct net_addr *addr)
{
	char why[ORDERS_WHY_MAX];
	enum orders_by by;
	const struct peer_order *o = orders_about(t->a->orders, h->name, addr, h->port, p, &by);

	if (o == NULL || o->word == PEER_WORD_UP || (o->word == PEER_WORD_DRAIN && addr == NULL))
		return false;
	str_addf(&t->text, " (%s: %s)",
	    o->word == PEER_WORD_DOWN ? "down, gets no logins" : "drain, other hosts of the account come first",
	    orders_why(o, by, why));
	return o->word == PEER_WORD_DOWN;
}

static void add_address(struct control_query *t, enum protocol p, const struct route_host *h)
{
	bool loop = troubles_has(t->a->troubles, TROUBLE_LOOP, p, h->name, h->port, clock_now());
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	char ip[NET_IP_TEXT_MAX];
	unsigned n;

	if (add_word(t, p, h, NULL))
		return;
	switch (peers_lookup(t->a->peers, h->name, h->port, loop_now(), addr, &n)) {
	case PEERS_WAIT:
		str_adds(&t->text, " (its address is being looked up; try again)");
		return;
	case PEERS_SILENT:
		str_adds(&t->text, " (the name server does not answer for it)");
		return;
	case PEERS_NONE:
		str_adds(&t->text, " (it has no address: check the name)");
		return;
	case PEERS_KNOWN:
		for (unsigned i = 0; i < n; i++) {
			const struct peer_service s = { p, (enum peer_tls)h->tls, addr[i] };

			str_addf(&t->text, " [%s] %s", net_addr_text(&addr[i], ip),
			    peers_down(t->a->peers, &s, clock_now())     ? "down" :
			        peers_busy(t->a->peers, &s, clock_now()) ? "busy" :
			                                                   "not known to be down");
			add_word(t, p, h, &addr[i]);
			loop = loop || listens_at(t->a->ctx.set, p, &addr[i]);
		}
		if (loop)
			add_loop(t, h);
		if (h->tls == PEER_TLS_NONE &&
		    troubles_has(t->a->troubles, TROUBLE_TLS, p, h->name, h->port, clock_now()))
			str_adds(&t->text,
			    "; it accepts no logins without TLS: set PROXY_TLS, or PROXY_TLS_PEERS for it");
		if (h->tls != PEER_TLS_NONE &&
		    troubles_has(t->a->troubles, TROUBLE_UNTRUSTED, p, h->name, h->port, clock_now()))
			str_addf(&t->text, "; TLS with it fails: %s",
			    troubles_why(t->a->troubles, TROUBLE_UNTRUSTED, p, h->name, h->port));
		if (h->port == protocols[p].tls_port && h->tls != PEER_TLS_IMPLICIT)
			str_adds(&t->text,
			    "; that port is for TLS: set PROXY_TLS, or PROXY_TLS_PEERS for it, to \"implicit\"");
	}
}

/* Where the port of H comes from, if that may surprise. */
static void add_port_source(struct str *text, const struct route_host *h)
{
	if (h->source == ROUTE_PORT_OTHERS)
		str_addf(text, " (port %u in mailhost belongs to the other protocol)", h->written);
	else if (h->source == ROUTE_PORT_SHARED)
		str_addf(text,
		    " (port %u is used for both IMAP and POP3; write %s:imap=PORT:pop3=PORT to set one for each)",
		    h->written, h->name);
}

/* Who serves what is here, if not we. */
static void add_local_server(struct control_query *t, enum protocol p)
{
	const struct settings *set = t->a->ctx.set;
	const struct local_server s = local_server_of(set, p);

	if (s.kind != LOCAL_SERVER_BUILTIN)
		str_addf(&t->text, "; by the local server %s", protocol_settings(set, p).local_server);
	if (s.kind != LOCAL_SERVER_BUILTIN && replicated_of(t->account.options) == REPLICATED_SINGLE)
		str_adds(&t->text, ": refused, because that does not know the account's option replicated=single");
}

/* LATER: it is not the first host. */
static void add_self(struct control_query *t, enum protocol p, bool later)
{
	str_adds(&t->text, ", which is this node");
	if (later && replicated_of(t->account.options) == REPLICATED_NO)
		str_adds(&t->text, ": refused, because it is not the first and the account has no option replicated");
	else
		add_local_server(t, p);
}

static void add_route(struct control_query *t, enum protocol p)
{
	const struct settings *set = t->a->ctx.set;
	const struct protocol_info *info = &protocols[p];
	struct route r;

	if (options_is_on(t->account.options, info->option_off)) {
		str_addf(&t->text, "%s: refused, the account has the option %s\n", info->title, info->option_off);
		return;
	}
	if (options_is_on(t->account.options, info->option_insecure))
		str_addf(&t->text,
		    "%s: refused for clients without TLS: the account has the option %s. For clients with TLS, and "
		    "those of "
		    "which a node or proxy says that they use TLS:\n",
		    info->title, info->option_insecure);
	if (!route_of(t->a, p, &t->account, &r)) {
		str_addf(&t->text, "%s: temporary failure: %s\n", info->title, r.why);
		return;
	}
	if (r.n == 0) {
		str_addf(&t->text, "%s: here, %s: %s", info->title, set->self[0], r.why);
		add_local_server(t, p);
		str_addc(&t->text, '\n');
		return;
	}
	for (unsigned i = 0; i < r.n; i++) {
		str_addf(&t->text, "%s: %s %s port %u", info->title, i == 0 ? "to" : "or, if that is down, to",
		    r.host[i].name, r.host[i].port);
		if (r.host[i].tls != PEER_TLS_NONE)
			str_addf(&t->text, " by TLS (%s)", peer_tls_word((enum peer_tls)r.host[i].tls));
		add_port_source(&t->text, &r.host[i]);
		if (r.host[i].self)
			add_self(t, p, i != 0);
		else
			add_address(t, p, &r.host[i]);
		str_addc(&t->text, '\n');
	}
}

static void add_record(struct control_query *t)
{
	const struct account *acct = &t->account;
	char scheme[16], origin[512];
	const char *why, *driver = auth_chain_name(t->a->chain, t->pos);
	struct str mechanisms = STR_INIT;

	str_addf(&t->text, "driver: %s\n", driver);
	if (acct->name[0] == '\0') /* it checked the password but gives no account */
		return;
	if (auth_chain_origin(t->a->chain, t->pos, acct->name, origin, sizeof(origin))[0] != '\0')
		str_addf(&t->text, "record: %s\n", origin);
	str_addf(&t->text, "account: %s\nuid: %u\ngid: %u\nhome: %s\nmaildir: %s\noptions: %s\n", acct->name, acct->uid,
	    acct->gid, acct->home, acct->maildir[0] != '\0' ? acct->maildir : "(MAILDIRPATH)", acct->options);
	if (acct->fullname[0] != '\0')
		str_addf(&t->text, "full name: %s\n", acct->fullname);
	if (acct->quota[0] != '\0')
		str_addf(&t->text, "quota: %s\n", acct->quota);
	if (acct->hash[0] != '\0' && !password_is_sound(acct->hash, &why))
		str_addf(&t->text, "password is unusable: %s\n", why);
	str_addf(&t->text, "password: %s\n",
	    acct->hash[0] != '\0'      ? password_scheme(acct->hash, scheme) :
	        acct->clear[0] != '\0' ? "clear" :
	                                 "none");
	challenge_response_list(&mechanisms, acct);
	if (mechanisms.len != 0)
		str_addf(&t->text, "mechanisms that do not reveal it: %s\n", mechanisms.data);
	str_fini(&mechanisms);
}

/* Shows only routes that a login can take. */
static void add_routes(struct control_query *t)
{
	const char *why;

	if (!account_allowed(t->a->ctx.set, &t->account, &why)) {
		str_addf(&t->text, "refused: %s\n", why);
		return;
	}
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (t->a->ctx.set->has[p] && protocols[p].has_login)
			add_route(t, p);
}

/* --- the record of a name, then what the command requests --- */

static void finish(struct control_query *t)
{
	bool known = t->result == AUTH_OK || t->result == AUTH_MISMATCH || t->result == AUTH_DISABLED;
	const char *why;

	if (known)
		add_record(t);
	switch (t->result) {
	case AUTH_OK:
		if (t->with_password)
			str_adds(&t->text, "result: the password is correct\n");
		break;
	case AUTH_MISMATCH:
		str_adds(&t->text, "result: the password is wrong\n");
		break;
	case AUTH_UNKNOWN:
		str_addf(&t->text, "result: no module in authmodulelist knows \"%s\"\n", t->user);
		break;
	case AUTH_DISABLED:
		str_adds(&t->text, "result: the account is locked or has no password\n");
		break;
	case AUTH_BROKEN:
		if (password_is_sound(t->account.hash, &why))
			why = "it is damaged";
		str_addf(&t->text, "result: the record of \"%s\" cannot be used: %s (driver %s)\n", t->user, why,
		    auth_chain_name(t->a->chain, t->pos));
		break;
	default:
		str_addf(&t->text, "result: no answer (driver %s); try again\n", auth_chain_name(t->a->chain, t->pos));
	}
	if (known && t->account.name[0] != '\0')
		add_routes(t);
	query_done(t, t->result == AUTH_OK ? 0 : 1);
}

static void on_checked(const struct job_done *done, int fd UNUSED, void *arg)
{
	struct control_query *t = arg;

	t->result = done != NULL ? done->result : AUTH_TRY_LATER;
	finish(t);
}

static void check_password(struct control_query *t)
{
	uint32_t id;

	if (!t->with_password || t->account.hash[0] == '\0' || !password_is_slow(t->account.hash)) {
		if (t->with_password)
			t->result = auth_check(&t->account, t->password);
		finish(t);
		return;
	}
	id = jobs_next_id(t->a->jobs);
	job_write_hash(&out, id, t->password, t->account.hash);
	jobs_submit(t->a->jobs, id, &out, -1, NULL, on_checked, t);
	mem_wipe(out.buf, out.len);
}

static void ask_chain(struct control_query *t);

static void on_answer(const struct directory_answer *answer, void *arg)
{
	struct control_query *t = arg;

	t->pos = answer->pos;
	if (!answer->answered) {
		ask_chain(t);
		return;
	}
	t->result = answer->result;
	account_fini(&t->account);
	account_copy(&t->account, answer->account);
	account_default_options(&t->account.options, t->a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
	finish(t); /* a driver of this kind has checked the password itself */
}

static void ask_chain(struct control_query *t)
{
	struct authd *a = t->a;
	struct directory_query query = { .question = { .service = "imap", .user = t->user }, .fresh = true };

	if (auth_chain_ask(a->chain, &t->pos, &query.question, &t->result, &t->account)) {
		if (t->result != AUTH_OK) {
			finish(t);
			return;
		}
		account_default_options(&t->account.options, a->ctx.set->authdaemonrc_DEFAULTOPTIONS);
		check_password(t);
		return;
	}
	query.pos = t->pos;
	query.question.password = t->with_password ? t->password : NULL;
	directory_lookup_start(a->directory_lookups, &t->waiter, &query, on_answer, t);
}

static void start(struct authd *a, uint32_t query, const char *user, size_t user_len, const char *password)
{
	struct control_query *t = mem_alloc(sizeof(*t));
	char typed[ACCOUNT_NAME_MAX], name[ACCOUNT_NAME_MAX];

	t->a = a;
	t->query = query;
	t->with_password = password != NULL;
	t->password = mem_strdup(password);
	account_init(&t->account);
	snprintf(typed, sizeof(typed), "%.*s", (int)MIN(user_len, sizeof(typed) - 1), user);
	if (user_len == 0 || user_len >= sizeof(typed) ||
	    !name_with_domain(a->ctx.set, control_protocol, typed, name)) {
		str_adds(&t->text, "the name is empty or too long\n");
		query_done(t, 1);
		return;
	}
	if (!text_is_plain(typed) || (password != NULL && !text_is_plain(password))) {
		str_adds(&t->text, "control characters in a name or password are always refused\n");
		query_done(t, 1);
		return;
	}
	t->user = mem_strdup(name);
	ask_chain(t);
}

void control_reply_route(struct authd *a, uint32_t query, const char *user)
{
	start(a, query, user, strlen(user), NULL);
}

void control_reply_auth(struct authd *a, uint32_t query, const char *argument)
{
	const char *lf = strchr(argument, '\n');

	start(a, query, argument, lf != NULL ? (size_t)(lf - argument) : strlen(argument), lf != NULL ? lf + 1 : "");
}

void control_reply_flush(struct authd *a, uint32_t query, const char *user)
{
	struct str text = STR_INIT;
	unsigned n = 0;

	if (user[0] == '\0') {
		n = directory_lookups_flush(a->directory_lookups, NULL);
	} else {
		n = directory_lookups_flush(a->directory_lookups, user);
		/* Clients may omit the domain that the query needs. */
		for (enum protocol p = 0; p < PROTOCOL_COUNT; p++) {
			char name[ACCOUNT_NAME_MAX];

			if (name_with_domain(a->ctx.set, p, user, name) && strcmp(name, user) != 0)
				n += directory_lookups_flush(a->directory_lookups, name);
		}
	}
	str_addf(&text, "%u cached answer%s removed\n", n, n == 1 ? "" : "s");
	role_rows(&a->ctx, query, str_cstr(&text), text.len);
	role_done(&a->ctx, query, 0);
	str_fini(&text);
}

static void add_signatures(struct authd *a, struct str *text)
{
	struct str fronts = STR_INIT, mailhosts = STR_INIT;
	unsigned nfronts = signature_errors_list(a->signature_errors, SIGNATURE_ERRORS_FRONTS, clock_now(), &fronts);
	unsigned nmailhosts =
	    signature_errors_list(a->signature_errors, SIGNATURE_ERRORS_MAILHOSTS, clock_now(), &mailhosts);

	for (enum signature_check c = SIGNATURE_GOOD; c < SIGNATURE_COUNT; c++)
		str_addf(text, "%s=%llu\n", signature_check_count_name(c), (unsigned long long)a->signatures[c]);
	str_addf(text,
	    "fronts_not_believed=%u\nfronts_not_believed_list=%s\nnot_believed_by=%u\nnot_believed_by_list=%s\n",
	    nfronts, str_cstr(&fronts), nmailhosts, str_cstr(&mailhosts));
	str_fini(&fronts);
	str_fini(&mailhosts);
}

/* What is announced for "auto", and because of whom it is little. */
static void add_pool(const struct authd *a, struct str *text)
{
	struct str unknown = STR_INIT;
	unsigned n = pool_capability_list_unknown(a->pool_capability, (uint64_t)time(NULL), &unknown);
	bool asked = false;

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (capability_asks_pool(a->ctx.set, p)) {
			asked = true;
			str_addf(text, "pool_capability_%s=%s\n", protocols[p].name,
			    pool_capability_common(a->pool_capability, p));
		}
	if (asked)
		str_addf(text, "capability_unknown=%u\ncapability_unknown_list=%s\n", n, str_cstr(&unknown));
	str_fini(&unknown);
}

/* "NAME: LIST", if there are any. */
static void add_learned(struct str *text, const char *name, unsigned n, struct str *list)
{
	if (n != 0)
		str_addf(text, "logins have found %s: %s\n", name, list->data);
	str_fini(list);
}

void control_reply_peer(struct authd *a, uint32_t query, const char *command)
{
	struct str text = STR_INIT, list = STR_INIT;
	struct peer_order o;
	const char *why;

	orders_changed(a->orders);
	if (command[0] != '\0' && peer_order_parse(&o, command, strlen(command), &why) && o.word == PEER_WORD_UP)
		peers_believe(a->peers, &o, true);
	orders_describe(a->orders, &text);
	add_learned(&text, "down", peers_list_down(a->peers, clock_now(), &list), &list);
	add_learned(&text, "busy", peers_list_busy(a->peers, clock_now(), &list), &list);
	if (text.len == 0)
		str_adds(&text, "nothing is said of any peer, and logins have found none down or busy\n");
	role_rows(&a->ctx, query, str_cstr(&text), text.len);
	role_done(&a->ctx, query, 0);
	str_fini(&text);
}

/* Release and settings file of this node, and who differs. */
static void add_same_nodes(const struct authd *a, struct str *text)
{
	const char *slash = strchr(same_nodes_config(a->same_nodes), '/'), *config = slash != NULL ? slash + 1 : "";
	struct str list = STR_INIT;
	unsigned lasting, n = same_nodes_list(a->same_nodes, loop_now(), &list, &lasting);

	str_addf(text,
	    "version=" PACKAGE_VERSION "\nconfiguration=%.16s\nnodes_differing=%u\nnodes_differing_long=%u\n"
	    "nodes_differing_list=%s\n",
	    config, n, lasting, str_cstr(&list));
	str_fini(&list);
}

void control_reply_status(struct authd *a, uint32_t query)
{
	const struct userdb *db = a->userdb;
	struct str text = STR_INIT, down = STR_INIT, busy = STR_INIT, trouble = STR_INIT;
	unsigned directories = directory_lookups_trouble(a->directory_lookups, &trouble);
	unsigned n = peers_list_down(a->peers, clock_now(), &down);
	unsigned nbusy = peers_list_busy(a->peers, clock_now(), &busy);
	struct str told_down = STR_INIT, told_drain = STR_INIT;
	unsigned ntold_down = orders_list(a->orders, PEER_WORD_DOWN, &told_down);
	unsigned ntold_drain = orders_list(a->orders, PEER_WORD_DRAIN, &told_drain);
	struct str back = STR_INIT, crowd = STR_INIT, tls = STR_INIT, untrusted = STR_INIT;
	unsigned nback = troubles_list(a->troubles, TROUBLE_LOOP, clock_now(), &back);
	unsigned ncrowd = troubles_list(a->troubles, TROUBLE_CROWD, clock_now(), &crowd);
	unsigned ntls = troubles_list(a->troubles, TROUBLE_TLS, clock_now(), &tls);
	unsigned nuntrusted = troubles_list(a->troubles, TROUBLE_UNTRUSTED, clock_now(), &untrusted);

	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		str_addf(&text, "sessions_%s=%u\n", protocols[p].name, reg_count(a->reg, p));
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (a->ctx.set->has[p] && protocols[p].has_login)
			str_addf(&text, "local_server_%s=%s\n", protocols[p].name,
			    protocol_settings(a->ctx.set, p).local_server);
	str_addf(&text,
	    "jobs_waiting=%u\njobs_running=%u\nauth_workers=%u\nnames_waiting=%u\npeers_down=%u\n"
	    "peers_down_list=%s\npeers_busy=%u\npeers_busy_list=%s\n",
	    jobs_waiting(a->jobs), jobs_running(a->jobs), jobs_workers(a->jobs), resolver_waiting(a->resolver), n,
	    str_cstr(&down), nbusy, str_cstr(&busy));
	str_addf(&text,
	    "peers_told_down=%u\npeers_told_down_list=%s\npeers_told_drain=%u\npeers_told_drain_list=%s\n"
	    "peers_file_bad_lines=%u\n",
	    ntold_down, str_cstr(&told_down), ntold_drain, str_cstr(&told_drain), orders_bad_lines(a->orders));
	str_addf(&text, "logins_under_way=%u\nloops=%u\nloops_list=%s\npeers_crowded=%u\npeers_crowded_list=%s\n",
	    reg_pending_all(a->reg), nback, str_cstr(&back), ncrowd, str_cstr(&crowd));
	str_addf(&text, "peers_need_tls=%u\npeers_need_tls_list=%s\npeers_untrusted=%u\npeers_untrusted_list=%s\n",
	    ntls, str_cstr(&tls), nuntrusted, str_cstr(&untrusted));
	add_signatures(a, &text);
	add_pool(a, &text);
	str_addf(&text, "directories_down=%u\ndirectories_down_list=%s\n", directories, str_cstr(&trouble));
	add_same_nodes(a, &text);
	str_addf(&text, "turns_waiting=%u\n", a->turns.n);
	str_addf(&text, "cache_entries=%u\ncache_bytes=%zu\n", cache_entries(a->cache), cache_bytes(a->cache));
	/* The last read may have been refused while an older state of the file is in use. */
	str_addf(&text, "userdb=%s\nuserdb_accounts=%llu\nuserdb_refused=%d\nuserdb_bad_lines=%llu\n",
	    db == NULL ? "not loaded" : userdb_status_name(a->report.status),
	    (unsigned long long)(db != NULL ? userdb_count(db) : 0), authd_userdb_refused(a),
	    (unsigned long long)(a->report.broken + a->report.kept));
	role_rows(&a->ctx, query, str_cstr(&text), text.len);
	role_done(&a->ctx, query, 0);
	str_fini(&down);
	str_fini(&busy);
	str_fini(&told_down);
	str_fini(&told_drain);
	str_fini(&back);
	str_fini(&crowd);
	str_fini(&tls);
	str_fini(&untrusted);
	str_fini(&trouble);
	str_fini(&text);
}

void control_fill_totals(const struct authd *a, struct control_totals *totals)
{
	const struct directory_lookup_counts *counts = directory_lookups_counts(a->directory_lookups);

	totals->n[CONTROL_TOTAL_JOBS_REFUSED] = jobs_refused(a->jobs);
	totals->n[CONTROL_TOTAL_TIMEOUTS] = a->gave_up;
	totals->n[CONTROL_TOTAL_TURNS_WAITED] = a->turns.waited;
	totals->n[CONTROL_TOTAL_TURNS_REFUSED] = a->turns.refused;
	totals->n[CONTROL_TOTAL_CACHE_HITS] = counts->hits;
	totals->n[CONTROL_TOTAL_CACHE_MISSES] = counts->misses;
	totals->n[CONTROL_TOTAL_CACHE_NEGATIVE] = counts->negative;
	totals->n[CONTROL_TOTAL_CACHE_SHARED] = counts->shared;
	totals->n[CONTROL_TOTAL_CACHE_STALE] = counts->stale;
	for (size_t v = 0; v < AUTH_VERDICT_COUNT; v++)
		totals->n[CONTROL_TOTAL_VERDICT + v] = a->logins[v];
}
