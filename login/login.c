/* The engine of a login: every change of its state, from greeting to hand-over. */
#include "login/login.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/conn_tls.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/proxy_header.h"
#include "lib/str.h"
#include "lib/text.h"
#include "login/authd_link.h"
#include "login/certificates.h"
#include "login/client_tls.h"
#include "login/credentials.h"
#include "login/exchange.h"
#include "login/failure.h"
#include "login/header_wait.h"
#include "login/login_env.h"
#include "login/relays.h"
#include "login/request_table.h"
#include "login/spawn_link.h"
#include "login/stranger_limits.h"
#include "login/tls_peers.h"
#include "proxy/source.h"
#include "settings/local_server.h"
#include "settings/peer_header.h"
#include "settings/protocol.h"

enum {
	OUT_MAX = 32 * 1024, /* a client that does not read its replies is closed */
	LINGER_MS = 2000,    /* time for a client to read the last words */
	RETRY_MS = 300,
	UNTRUSTED_QUIET = 60 /* seconds between two lines about peers with which TLS fails */
};

static void on_io(struct ev_loop *loop, ev_io *io, int revents);
static void feed(struct login *l);
static void go_on_with_tls(struct login *l);

static const char *state_name(enum login_state s)
{
	static const char *const names[] = {
#define X(name) #name,
		LOGIN_STATES(X)
#undef X
	};

	return names[s];
}

/* What comes next depends on the client, or it has had its answer: such a login may have to give way. */
static bool may_yield(enum login_state s)
{
	return s == LOGIN_GREETING || s == LOGIN_COMMAND || s == LOGIN_STARTTLS || s == LOGIN_CLOSING;
}

static void enter(struct login *l, enum login_state state)
{
	log_debug("login %u: %s -> %s", l->request, state_name(l->state), state_name(state));
	ev_timer_stop(l->env->loop, &l->timer); /* even one that has expired and is pending */
	l->state = state;
	if (state != LOGIN_DELAY) /* there nothing may change by the verdict: see login_age() */
		stranger_limits_set(l->env->strangers, l, may_yield(state));
}

/* Calls FN in MS from now, to end the state or continue it. */
static void start_timer(struct login *l, void (*fn)(struct ev_loop *, ev_timer *, int), unsigned ms)
{
	ev_timer_init(&l->timer, fn, ms / 1000.0, 0);
	l->timer.data = l;
	ev_timer_start(l->env->loop, &l->timer);
}

static void forget_tried(struct login *l)
{
	mem_free(&l->tried);
	l->ntried = 0;
}

static void forget_peer(struct login *l)
{
	backend_free(&l->backend);
	peer_login_forget_words(l);
}

/* Cancels the session that authd entered for L, unless another process owns it now (0). */
static void end_session(struct login *l)
{
	if (l->reply == NULL || l->reply->verdict != AUTH_VERDICT_OK || l->reply->session == 0)
		return;
	authd_link_session_end(l->env->authd, l->reply->session);
	l->reply->session = 0;
}

static void weigh(struct login *l)
{
	stranger_limits_weigh(l->env->strangers, l,
	    conn_memory(&l->conn) + l->in.cap + l->out.cap + (l->forwarded != NULL ? sizeof(*l->forwarded) : 0));
}

/* L is one of the worker's logins from now on; another one may have to give way to it. */
static void join(struct login *l)
{
	struct login_env *env = l->env;

	l->next = env->logins;
	l->prev = &env->logins;
	if (l->next != NULL)
		l->next->prev = &l->next;
	env->logins = l;
	env->nlogins++;
	stranger_limits_add(env->strangers, l);
}

/* Nothing outside knows of L any more. */
static void leave(struct login *l)
{
	struct login_env *env = l->env;

	authd_link_end_exchange(env->authd, l);
	request_table_drop(env->requests, &l->request); /* spawn's answer may still be on its way */
	stranger_limits_set(env->strangers, l, false);
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	env->nlogins--;
	if (env->ended != NULL)
		env->ended(env->arg);
}

/* Frees L; the client's connection is closed unless a relay has it. */
static void login_free(struct login *l)
{
	struct ev_loop *loop = l->env->loop;

	end_session(l);
	ev_timer_stop(loop, &l->timer);
	client_tls_failed(&l->conn, &l->client, protocols[l->dialect->protocol].group);
	conn_close(loop, &l->conn);
	leave(l);
	credentials_forget(l);
	forget_peer(l);
	forget_tried(l);
	auth_reply_free(&l->reply);
	if (l->dialect->fini != NULL)
		l->dialect->fini(l);
	str_fini_secret(&l->in);
	str_fini(&l->out);
	mem_free(&l->data);
	mem_free(&l->front_tls);
	mem_free(&l->forwarded);
	mem_free(&l);
}

/* Nothing is left to do for L; free_if_over() frees it. */
static void end(struct login *l)
{
	l->over = true;
}

/* Every entry point of the engine ends here, the only place that frees a login: L stays valid until then. */
static void free_if_over(struct login *l)
{
	if (l->over)
		login_free(l);
}

/* The same where L may have begun to hold more. Others may be freed, too: for callers that know of no other login. */
static void weigh_or_free(struct login *l)
{
	if (l->over) {
		login_free(l);
		return;
	}
	weigh(l);
	stranger_limits_shed(l->env->strangers);
}

static bool reads(const struct login *l)
{
	return l->state == LOGIN_COMMAND || l->state == LOGIN_CLOSING;
}

static void watch_for(struct login *l, int want)
{
	conn_watch(l->env->loop, &l->conn, want);
}

/* What to watch the connection for follows from the state. While the client has to wait, EV_READ stays on until it
 * sends something: most clients do not, and then the relay need not change it either. */
static void watch(struct login *l)
{
	bool still = (conn_wants(&l->conn) & EV_READ) != 0;

	watch_for(l, (reads(l) || still ? EV_READ : 0) | (l->out.len != 0 ? EV_WRITE : 0));
}

/* Sends pending output, of which nothing is kept: most clients read, and then are silent. False: the client is gone, or
 * does not read. */
static bool flush_out(struct login *l)
{
	if (conn_flush(&l->conn, &l->out) == CONN_FAILED || l->out.len > OUT_MAX)
		return false;
	if (l->out.len == 0)
		str_fini(&l->out);
	return true;
}

/* One line about a client that has not logged in. */
static void log_client(const struct login *l, enum log_level level, const char *what, const char *more)
{
	char ip[NET_IP_TEXT_MAX];
	const struct protocol_info *p = &protocols[l->dialect->protocol];

	log_as(p->group, level, "%s, ip=[%s], port=[%u]%s%s%s%s", what, net_addr_log(&l->client, ip), l->client.port,
	    l->tls ? ", " : "", l->tls ? p->starttls : "", l->tls ? "=1" : "", more);
}

/* A proxy in front says who its client is where that is not asked: the session would be the proxy's. */
static void refuse_header(struct login *l)
{
	header_wait_stray(l->env->headers, &l->client, l->local_port);
	end(l);
}

static void client_gone(struct login *l)
{
	if (conn_tls_got_proxy_header(&l->conn)) {
		refuse_header(l);
		return;
	}
	log_client(l, LOG_LEVEL_DEBUG, "Disconnected", "");
	end(l);
}

/* Sends pending output and watches for what comes next. */
static void send_out(struct login *l)
{
	if (l->state == LOGIN_STARTTLS)
		go_on_with_tls(l);
	else if (flush_out(l))
		watch(l);
	else
		client_gone(l);
}

static void on_linger(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct login *l = t->data;

	end(l);
	free_if_over(l);
}

/* Sends the last words and closes once the client has had the chance to read them. */
static void start_closing(struct login *l)
{
	enter(l, LOGIN_CLOSING);
	credentials_forget(l);
	str_fini_secret(&l->in);
	if (!flush_out(l)) {
		end(l);
		return;
	}
	if (l->out.len == 0)
		conn_shut(&l->conn);
	start_timer(l, on_linger, LINGER_MS);
	watch(l);
}

static void say_bye(struct login *l, enum login_bye why)
{
	l->dialect->bye(l, why);
	start_closing(l);
}

/* One line about this login, in Courier's order of keys. */
static void log_login(const struct login *l, enum log_level level, const char *what, const char *more)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];
	const struct protocol_info *p = &protocols[l->dialect->protocol];
	const struct net_addr *client =
	    l->reply != NULL && l->reply->client.family != 0 ? &l->reply->client : &l->client;

	log_as(p->group, level, "%s, user=%s, ip=[%s], port=[%u], protocol=%s%s", what,
	    log_value(user, sizeof(user), l->user != NULL ? l->user : ""), net_addr_log(client, ip), client->port,
	    p->title, more);
}

/* Refuses the login; the client may try again, but has only so many passwords. */
static void refuse(struct login *l, enum login_failure f)
{
	l->dialect->refuse(l, f);
	credentials_forget(l);
	forget_peer(l);
	auth_reply_free(&l->reply);
	authd_link_end_exchange(l->env->authd, l);
	l->retried = false;
	forget_tried(l);
	l->peer_until = 0;
	enter(l, LOGIN_COMMAND);
	if ((f == FAILURE_WRONG || f == FAILURE_AUTHZID) && ++l->wrong >= LOGIN_WRONG_MAX)
		say_bye(l, LOGIN_BYE_ERRORS);
	else
		feed(l);
}

static void on_delayed(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct login *l = t->data;

	refuse(l, FAILURE_WRONG);
	free_if_over(l);
}

/* Fails the login for F, which neither the client nor the log must take for a wrong password. */
static void fail(struct login *l, enum login_failure f, struct failure_facts facts)
{
	struct str more = STR_INIT;

	facts.method = l->method;
	facts.self = l->set->self[0];
	str_adds(&more, ", reason=");
	failure_add_reason(f, &facts, &more);
	log_login(l, LOG_LEVEL_WARN, failure_word(f), str_cstr(&more));
	str_fini(&more);
	end_session(l);
	refuse(l, f);
}

/* --- what the client sends --- */

/* Ends a challenge that the client did not answer; the one in the greeting stays. */
static void end_challenge(struct login *l)
{
	if (l->exchange != EXCHANGE_GREETED)
		authd_link_end_exchange(l->env->authd, l);
}

/* Handles one event of the dialect. */
static void on_command(struct login *l, enum login_event event)
{
	switch (event) {
	case LOGIN_EVENT_NEXT:
		l->bad = 0;
		end_challenge(l);
		return;
	case LOGIN_EVENT_INSECURE:
		if (!l->told_insecure) /* errors with good commands between them have no end */
			log_client(l, LOG_LEVEL_INFO, "LOGIN REFUSED", ", reason=TLS required");
		l->told_insecure = true;
		/* fall through */
	case LOGIN_EVENT_BAD:
		end_challenge(l);
		if (++l->bad >= LOGIN_BAD_MAX)
			say_bye(l, LOGIN_BYE_ERRORS);
		return;
	case LOGIN_EVENT_CREDENTIALS:
		l->bad = 0;
		enter(l, LOGIN_AUTH);
		authd_link_send_credentials(l->env->authd, l);
		return;
	case LOGIN_EVENT_CHALLENGE:
		l->bad = 0;
		enter(l, LOGIN_AUTH);
		if (!authd_link_request_challenge(l->env->authd, l, l->mech))
			exchange_enter(l, EXCHANGE_LOST);
		return;
	case LOGIN_EVENT_TLS:
		enter(l, LOGIN_STARTTLS);
		return;
	case LOGIN_EVENT_QUIT:
		log_client(l, LOG_LEVEL_INFO, "LOGOUT", "");
		break;
	case LOGIN_EVENT_HTTP:
		log_client(l, LOG_LEVEL_INFO, "HTTP REQUEST", "");
		break;
	case LOGIN_EVENT_MORE:
	case LOGIN_EVENT_FATAL:
		break;
	}
	start_closing(l);
}

/* Handles the commands in the LEN bytes at P while it is the client's turn; returns the bytes used. If L is CLOSING
 * afterwards, its input has been freed, and P may have pointed into it. */
static size_t take_commands(struct login *l, const char *p, size_t len)
{
	size_t off = 0;

	while (off < len && l->state == LOGIN_COMMAND) {
		size_t used = 0;
		enum login_event event = l->dialect->input(l, p + off, len - off, &used);

		off += used;
		DIE_IF(off > len);
		if (event == LOGIN_EVENT_MORE)
			break;
		on_command(l, event);
	}
	return off;
}

/* Handles the input that is there already, then waits for the client. */
static void feed(struct login *l)
{
	if (l->in.len != 0) {
		size_t used = take_commands(l, l->in.data, l->in.len);

		if (l->state == LOGIN_CLOSING)
			return;
		mem_wipe(l->in.data, used);
		str_drop(&l->in, used);
		if (l->in.len == 0)
			str_fini(&l->in);
	}
	if (l->state == LOGIN_COMMAND && l->in.len > LOGIN_INPUT_MAX)
		say_bye(l, LOGIN_BYE_TOO_LONG);
	else
		send_out(l);
}

static void on_bytes(struct login *l, char *p, size_t n)
{
	size_t used = l->in.len == 0 ? take_commands(l, p, n) : 0;

	if (l->state == LOGIN_CLOSING)
		return;
	if (used < n)
		str_add(&l->in, p + used, n - used);
	if (used == 0) {
		feed(l);
		return;
	}
	if (l->in.len == 0)
		str_fini(&l->in);
	send_out(l);
}

/* --- TLS --- */

static void begin_tls(struct login *l, SSL_CTX *ctx)
{
	l->tls_since = loop_seconds();
	conn_tls_accept(l->env->loop, &l->conn, ctx);
}

/* Nothing that was said without TLS counts from here on (RFC 9051 section 6.2.1, RFC 2595 section 4), but for the
 * errors, and for what is ours: the challenge in the greeting. */
static void forget_plain_words(struct login *l)
{
	if (l->dialect->fini != NULL)
		l->dialect->fini(l);
	mem_wipe(l->data, l->dialect->data_size);
	mem_free(&l->forwarded);
	credentials_forget(l);
	end_challenge(l);
}

static SSL_CTX *starttls_context(const struct login *l)
{
	return client_tls_context(l->env->certificates, l->dialect->protocol, true, conn_raw_fd(&l->conn));
}

static void leave_plain_text(struct login *l)
{
	SSL_CTX *ctx = starttls_context(l);

	if (ctx == NULL) { /* it was withdrawn while the client did not take our reply */
		client_gone(l);
		return;
	}
	forget_plain_words(l);
	enter(l, LOGIN_COMMAND);
	watch_for(l, 0);
	begin_tls(l, ctx);
	l->tls = true;
	watch(l);
}

/* Sends the reply to STARTTLS, then begins TLS. What comes from the client before it can have the reply was not said to
 * be read under TLS: somebody between us may have added it, to be taken for the client's words. A client that does not
 * wait with its first message of TLS is one that cannot be told from that. */
static void go_on_with_tls(struct login *l)
{
	char byte;
	ssize_t n = l->in.len != 0 ? 1 : conn_peek(&l->conn, &byte, 1);

	if (n > 0) {
		log_client(l, LOG_LEVEL_WARN, "STARTTLS REFUSED", ", reason=bytes behind the command came in clear");
		end(l);
	} else if (n != CONN_LATER || !flush_out(l)) {
		client_gone(l);
	} else if (l->out.len != 0) {
		watch(l);
	} else {
		leave_plain_text(l);
	}
}

static bool is_plain(const struct login *l)
{
	return !l->tls && conn_raw_fd(&l->conn) != -1;
}

struct forwarded *login_forwarded(struct login *l)
{
	if (l->forwarded == NULL)
		l->forwarded = mem_alloc(sizeof(*l->forwarded));
	return l->forwarded;
}

bool login_wants_tls(const struct login *l)
{
	return !l->tls && protocol_settings(l->set, l->dialect->protocol).tls_required &&
	    (l->forwarded == NULL || l->forwarded->signature != FORWARDED_SIGNATURE_MADE) &&
	    !settings_is_local(l->set, &l->client);
}

enum login_tls login_offers_tls(const struct login *l)
{
	if (!is_plain(l) || !protocol_settings(l->set, l->dialect->protocol).starttls)
		return LOGIN_TLS_NO;
	return starttls_context(l) != NULL ? LOGIN_TLS_OFFERED : LOGIN_TLS_LATER;
}

/* --- waiting for the client --- */

/* Something came from a client that has to wait: has it closed the connection? After pipelined commands it may have
 * closed only its half (RFC 9293 section 3.6), many without close_notify: it waits for their replies, and gets them.
 * What it says about its TLS is no byte that stays unread: it is still watched. */
static void look_at_waiting(struct login *l)
{
	char byte;
	ssize_t n = conn_peek(&l->conn, &byte, 1);

	if (n == CONN_FAILED || ((n == 0 || n == CONN_CUT) && l->in.len == 0))
		client_gone(l);
	else if (n != CONN_LATER)
		watch_for(l, l->out.len != 0 ? EV_WRITE : 0);
}

void login_check_client(struct login *l)
{
	bool waits = !reads(l) && l->state != LOGIN_HANDOFF;

	if (waits && conn_wants(&l->conn) == 0 && conn_is_cut(&l->conn))
		client_gone(l);
	free_if_over(l);
}

static void on_writable(struct login *l)
{
	if (!flush_out(l)) {
		client_gone(l);
		return;
	}
	if (l->state == LOGIN_CLOSING && l->out.len == 0)
		conn_shut(&l->conn);
	watch(l);
}

static void on_readable(struct login *l)
{
	static char buf[LOGIN_INPUT_MAX];
	ssize_t n;

	if (!reads(l)) {
		look_at_waiting(l);
		return;
	}
	n = conn_read(&l->conn, buf, sizeof(buf));
	if (n == CONN_LATER)
		return;
	if (n <= 0) {
		client_gone(l);
		return;
	}
	if (!l->heard && proxy_header_begins(buf, (size_t)n))
		refuse_header(l);
	else if (l->state == LOGIN_COMMAND)
		on_bytes(l, buf, (size_t)n);
	l->heard = true;
	mem_wipe(buf, (size_t)n);
}

static void on_io(struct ev_loop *loop UNUSED, ev_io *io, int revents)
{
	struct login *l = io->data;
	int ready = conn_ready(&l->conn, revents);

	if (l->state == LOGIN_STARTTLS && ready != 0) {
		go_on_with_tls(l);
	} else {
		if ((ready & EV_WRITE) != 0)
			on_writable(l);
		if ((ready & EV_READ) != 0 && !l->over)
			on_readable(l);
	}
	weigh_or_free(l);
}

/* --- the peer --- */

static enum backend_step on_peer_line(const char *line, size_t len, struct str *out, uint64_t *skip, void *arg)
{
	struct login *l = arg;
	unsigned target = backend_index(l->backend);

	if (l->peer.target != target) { /* what another one has said before its TLS failed */
		peer_login_forget_words(l);
		l->peer.target = target;
	}
	return l->dialect->peer_line(line, len, out, skip, l);
}

static const char *on_peer_why(void *arg)
{
	const struct login *l = arg;

	return l->peer.said;
}

static SSL *peer_tls(const struct login *l, const struct auth_target *t)
{
	SSL *ssl = tls_peers_connect(l->env->tls_peers, t->host, &t->addr);

	certificates_show_to_peer(l->env->certificates, ssl);
	return ssl;
}

/* Whom LOCAL_IMAP or LOCAL_POP3 names, as it stands there; the setting, if authd has newer ones. */
static const char *local_server(const struct login *l)
{
	const char *text = protocol_settings(l->set, l->dialect->protocol).local_server;
	struct local_server s;

	return local_server_parse(&s, text) == NULL && s.kind != LOCAL_SERVER_BUILTIN ?
	    text :
	    protocols[l->dialect->protocol].local_server;
}

static SSL *on_peer_tls(unsigned target, bool is_new, void *arg)
{
	struct login *l = arg;
	const struct auth_target *t = &l->reply->target[target];

	return t->tls == (is_new ? PEER_TLS_IMPLICIT : PEER_TLS_STARTTLS) ? peer_tls(l, t) : NULL;
}

/* Whom the connection to that target is for, by the PROXY protocol. The client has connected to us, but the peer shall
 * see its own address as ever. */
static void add_peer_header(unsigned target, struct str *out, void *arg)
{
	const struct login *l = arg;
	const struct auth_reply *a = l->reply;
	const struct auth_target *t = &a->target[target];
	unsigned version = peer_header_of(l->set->proxy_PROXY_PROTOCOL_SEND, t->host, &t->addr);
	struct proxy_header_facts f = { .client = a->client, .server = t->addr, .tls = a->client_tls };
	const char *cipher = strchrnul(a->client_tls_words, ':');

	if (version == 0 || t->addr.family == 0) /* a socket or a program of this node has no address to name */
		return;
	if (f.tls && *cipher == ':') { /* VERSION:CIPHER, perhaps with ":resumed" behind it */
		memcpy(f.tls_version, a->client_tls_words, (size_t)(cipher - a->client_tls_words));
		cipher++;
		memcpy(f.tls_cipher, cipher, strcspn(cipher, ":"));
	}
	proxy_header_write(out, version, &f);
}

static void on_peer_health(unsigned target, enum peer_result result, uint32_t took, void *arg)
{
	struct login *l = arg;

	if (result != PEER_ANSWERS || l->reply->report_success)
		authd_link_peer_result(l->env->authd, l->reply->session, target, result, took);
}

/* Tells authd what the peer can do, if it does not know that. */
static void tell_list(struct login *l)
{
	const struct auth_target *t = peer_login_target(l);
	const char *list = str_cstr(&l->peer.list);

	if (t->list != AUTH_LIST_UNWANTED && l->peer.has_list && capability_hash(list) != t->list)
		authd_link_peer_list(l->env->authd, l->dialect->protocol, t->host, t->addr.port, list);
}

static void relay(struct login *l)
{
	struct str to_client, to_server;
	struct conn *peer;
	size_t ours;

	l->dialect->accepted(l);
	tell_list(l);
	to_client = l->out;
	to_server = l->in;
	l->out = l->in = (struct str)STR_INIT;
	ours = to_client.len;
	peer = backend_take(l->backend, &to_client);
	l->peer.has_spoken = to_client.len != ours;
	authd_link_arrived(l->env->authd, l->reply->session, backend_index(l->backend));
	relays_start(l->env->relays, l, peer, &to_client, &to_server);
	l->reply->session = 0; /* it belongs to the relay now */
	end(l);
}

/* Sends the request to authd again, in STATE: the reply may have changed since. */
static void try_again(struct login *l, enum login_state state)
{
	l->retried = true;
	end_session(l);
	forget_peer(l);
	auth_reply_free(&l->reply);
	enter(l, state);
}

/* Reports a node's check of our signature if it is bad, or was bad lately. */
static void tell_signature(struct login *l, bool taken)
{
	bool good = taken && l->peer.mark == NODE_MARK_OTHER && l->reply->report_signature;

	if (signature_check_bad(l->peer.signature) || good)
		authd_link_peer_signature(l->env->authd, peer_login_target(l)->host, l->peer.signature);
}

/* Why the login at the peer failed. */
static enum login_failure peer_failure(const struct login *l, enum backend_result result)
{
	if (result == BACKEND_SILENT)
		return FAILURE_UNANSWERED;
	if (l->peer.failed && l->peer.target == backend_index(l->backend)) /* the last one has said why */
		return l->peer.failure;
	return result == BACKEND_UNREACHABLE ? FAILURE_UNREACHABLE : FAILURE_INVALID;
}

/* What went wrong at target I. */
static void add_unreached(const struct login *l, const struct backend *b, unsigned i, struct str *out)
{
	const struct auth_target *t = &l->reply->target[i];
	const char *error = backend_error(b, i);
	int verdict;

	str_adds(out, error[0] != '\0' ? error : "not tried, no time was left");
	if (backend_is_untrusted(b, i, &verdict))
		str_addf(out, " (%s)", tls_peers_remedy(verdict));
	else if (error[0] != '\0' && t->tls == PEER_TLS_NONE &&
	    t->addr.port == protocols[l->dialect->protocol].tls_port)
		str_adds(out,
		    l->reply->local_server ?
		        " (that port is for TLS: give the local server a port or socket without)" :
		        " (that port is for TLS: set PROXY_TLS, or PROXY_TLS_PEERS for this mailhost)");
}

/* The login was begun at none of the targets. */
static void peer_unreached(struct login *l, const struct backend *b)
{
	const struct auth_reply *a = l->reply;
	struct str all = STR_INIT;
	char host[MAILHOST_MAX];

	for (unsigned i = 0; i < a->ntargets; i++) {
		if (i != 0)
			str_adds(&all, "; ");
		if (i != 0 && strcmp(a->target[i].host, a->target[i - 1].host) != 0)
			str_addf(&all, "mailhost %s: ", a->target[i].host);
		add_unreached(l, b, i, &all);
	}
	if (a->reason[0] != '\0')
		str_addf(&all, "; %s", a->reason);
	str_copy(host, sizeof(host), a->target[0].host);
	peer_login_forget_words(l); /* of one that was not the last */
	fail(l, FAILURE_UNREACHABLE, (struct failure_facts){ .host = host, .said = str_cstr(&all) });
	str_fini(&all);
}

/* The last target tried has failed the login, or (BEGUN is false) said why it was not begun. */
static void peer_failed(struct login *l, const struct backend *b, enum login_failure f, bool begun)
{
	char ip[NET_IP_TEXT_MAX], text[NET_IP_TEXT_MAX + 8];
	const struct net_addr *addr = backend_addr(b);
	const char *at = l->reply->local_server ? local_server(l) : text;
	const char *host = peer_login_target(l)->host;
	struct str said = STR_INIT;

	if (l->reply->local_server)
		f = failure_of_local(f);
	if (f == FAILURE_SELF)
		authd_link_peer_trouble(l->env->authd, l->dialect->protocol, PEER_TROUBLE_SELF, host, addr, "");
	else if (f == FAILURE_NEEDS_TLS)
		authd_link_peer_trouble(l->env->authd, l->dialect->protocol, PEER_TROUBLE_TLS, host, addr, "");
	snprintf(text, sizeof(text), "[%s]:%u", net_addr_text(addr, ip), addr->port);
	str_adds(&said, l->peer.failed ? l->peer.said : backend_error(b, backend_index(b)));
	for (unsigned i = 0; i < backend_index(b); i++) {
		str_addf(&said, "; before that, mailhost %s: ", l->reply->target[i].host);
		add_unreached(l, b, i, &said);
	}
	if (!begun && l->reply->reason[0] != '\0')
		str_addf(&said, "; %s", l->reply->reason);
	fail(l, f, (struct failure_facts){ .host = host, .at = at, .said = str_cstr(&said) });
	str_fini(&said);
}

/* Reports the peers with which TLS failed. If another one has taken the login, no line of a failure tells of them. */
static void tell_untrusted(struct login *l, const struct backend *b, bool taken)
{
	static uint32_t quiet_until;
	const struct auth_reply *a = l->reply;
	char why[PEER_WHY_MAX];
	int verdict;

	for (unsigned i = 0; i < a->ntargets; i++) {
		if (!backend_is_untrusted(b, i, &verdict))
			continue;
		snprintf(why, sizeof(why), "%s (%s)", backend_error(b, i), tls_peers_remedy(verdict));
		authd_link_peer_trouble(l->env->authd, l->dialect->protocol, PEER_TROUBLE_UNTRUSTED, a->target[i].host,
		    &a->target[i].addr, why);
		if (taken && log_due(&quiet_until, UNTRUSTED_QUIET))
			log_warn("mailhost %s is passed over: %s", a->target[i].host, why);
	}
}

/* The account has other hosts, and all those that authd has named have failed before they got anything of the login. */
static bool may_ask_for_others(const struct login *l, const struct backend *b)
{
	return l->reply->other_hosts != AUTH_OTHER_HOSTS_NONE && !l->retried &&
	    backend_error(b, l->reply->ntargets - 1U)[0] != '\0' &&
	    (auth_mech_tells_password(l->mech) || l->exchange == EXCHANGE_KEPT);
}

static void note_tried(struct login *l)
{
	forget_tried(l);
	l->ntried = l->reply->ntargets;
	l->tried = mem_alloc(l->ntried * sizeof(*l->tried));
	for (unsigned i = 0; i < l->ntried; i++)
		l->tried[i] = (struct auth_tried){ l->reply->target[i].addr, l->reply->target[i].tls };
}

static void peer_done(struct login *l, const struct backend *b, enum backend_result result)
{
	enum login_failure f;

	tell_signature(l, result == BACKEND_OK);
	tell_untrusted(l, b, result == BACKEND_OK);
	if (result == BACKEND_OK) {
		relay(l);
		return;
	}
	f = peer_failure(l, result);
	if (result == BACKEND_UNREACHABLE && may_ask_for_others(l, b)) {
		note_tried(l);
		try_again(l, LOGIN_AUTH);
		authd_link_send_credentials(l->env->authd, l);
		return;
	}
	if (f == FAILURE_UNREACHABLE)
		peer_unreached(l, b);
	else
		peer_failed(l, b, f, result != BACKEND_UNREACHABLE);
}

static void on_peer_done(struct backend *b, enum backend_result result, void *arg)
{
	peer_done(arg, b, result);
	free_if_over(arg);
}

/* Seconds for the targets of L's reply: PROXY_TIMEOUT covers all attempts, and the waits for names. */
static double peer_time(struct login *l)
{
	double now = loop_now(), left = l->reply->peer_ms / 1000.0;

	if (l->peer_until == 0)
		l->peer_until = now + left;
	left = MAX(MIN(left, l->peer_until - now), 0.1);
	return l->reply->other_hosts == AUTH_OTHER_HOSTS_UNRESOLVED && !l->retried ? left / 2 : left;
}

static int connect_peer(const struct net_addr *to, const char **why, void *arg)
{
	const struct login *l = arg;
	int fd;

	if (l->reply->local_server) /* it may believe this machine more than others */
		return net_connect(to);
	fd = source_connect(l->env->source, to);
	if (fd == -1 && errno == EADDRNOTAVAIL)
		*why = source_no_address(l->env->source, to);
	return fd;
}

/* STREAM, if not -1, leads to the only target, which has no address then. */
static void start_peer(struct login *l, int stream)
{
	static const struct backend_fns fns = { .line = on_peer_line,
		.why = on_peer_why,
		.done = on_peer_done,
		.health = on_peer_health,
		.first = add_peer_header,
		.tls = on_peer_tls,
		.connect = connect_peer };
	struct net_addr addrs[AUTH_ADDRS_MAX];

	for (unsigned i = 0; i < l->reply->ntargets; i++)
		addrs[i] = l->reply->target[i].addr;
	if (l->reply->peer_credentials == AUTH_PEER_STORED_PASSWORD) {
		mem_free_secret(&l->password);
		l->password = mem_strdup(l->reply->peer_password);
		mem_wipe(l->reply->peer_password, sizeof(l->reply->peer_password));
	}
	enter(l, LOGIN_PEER);
	if (stream != -1)
		l->backend = backend_start_on(l->env->loop, stream, local_server(l), peer_time(l), &fns, l);
	else
		l->backend = backend_start(l->env->loop, addrs, l->reply->ntargets, peer_time(l), &fns, l);
}

/* --- the hand-over --- */

static void on_retry(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct login *l = t->data;

	enter(l, LOGIN_AUTH);
	authd_link_send_credentials(l->env->authd, l);
	free_if_over(l);
}

/* No session server: try once more with a new ticket, as spawn may just have been replaced. */
static void handoff_failed(struct login *l)
{
	if (l->retried || !auth_mech_tells_password(l->mech)) {
		fail(l, FAILURE_NO_SERVER, (struct failure_facts){ 0 });
		return;
	}
	try_again(l, LOGIN_RETRY);
	start_timer(l, on_retry, RETRY_MS);
}

/* A program serves L's account: STREAM leads to it. -1: there was no room for that. */
static void start_program(struct login *l, int stream)
{
	struct auth_reply *a = l->reply;

	if (stream == -1) {
		fail(l, FAILURE_NO_DESCRIPTOR, (struct failure_facts){ 0 });
		return;
	}
	a->ntargets = 1;
	str_copy(a->target[0].host, sizeof(a->target[0].host), LOCAL_SERVER_HOST);
	start_peer(l, stream);
}

/* Spawn's answer to L's hand-over. Returns STREAM if it is not used, else -1. */
static int take_handoff(struct login *l, bool ok, int stream)
{
	bool relayed = conn_raw_fd(&l->conn) == -1;

	if (!ok) {
		handoff_failed(l);
		return stream;
	}
	if (peer_login_is_program(l)) { /* the session stays ours */
		start_program(l, stream);
		return -1;
	}
	l->reply->session = 0; /* it belongs to the session server now */
	if (relayed && stream == -1) {
		handoff_failed(l);
		return -1;
	}
	if (relayed)
		relays_start_here(l->env->relays, l, stream);
	end(l);
	return relayed ? -1 : stream;
}

/* A server that runs has the client's descriptor, or we have a STREAM to it; but that may have been lost, since there
 * was no room for it: then the server sees its end. */
void login_handoff_reply(struct login *l, bool ok, int stream)
{
	bool here = l->state == LOGIN_HANDOFF;

	if (here)
		stream = take_handoff(l, ok, stream);
	if (stream != -1)
		close(stream);
	if (here)
		free_if_over(l);
}

void login_handoff_lost(struct login *l)
{
	if (l->state == LOGIN_HANDOFF && peer_login_is_program(l)) /* spawn has nothing of the client */
		handoff_failed(l);
	else if (l->state == LOGIN_HANDOFF)
		end(l);
	free_if_over(l);
}

static void hand_off(struct login *l)
{
	bool program = peer_login_is_program(l);

	/* Output not yet sent would be lost with our copy of the descriptor. */
	if (!program && (l->out.len != 0 || l->in.len > SESSION_LEFTOVER_MAX)) {
		end_session(l);
		say_bye(l, LOGIN_BYE_TOO_LONG);
		return;
	}
	enter(l, LOGIN_HANDOFF);
	if (!program)
		watch_for(l, 0);
	authd_link_end_exchange(l->env->authd, l);
	if (!spawn_link_hand_off(l->env->spawn, l))
		handoff_failed(l);
}

static void take_reply(struct login *l, struct auth_reply *a, int stream)
{
	enum login_failure f;
	char more[AUTH_REASON_MAX + 32];

	auth_reply_free(&l->reply);
	l->reply = a;
	if (a == NULL) {
		fail(l, FAILURE_NO_AUTHD, (struct failure_facts){ 0 });
		return;
	}
	switch (a->verdict) {
	case AUTH_VERDICT_OK:
		if (a->local)
			hand_off(l);
		else if (a->local_server && a->target[0].addr.family == 0 && stream == -1)
			fail(l, FAILURE_NO_DESCRIPTOR, (struct failure_facts){ 0 }); /* there was no room for it */
		else
			start_peer(l, stream);
		return;
	case AUTH_VERDICT_WRONG:
		if (l->retried) { /* it was right a moment ago, and was asked for again because a server failed */
			log_login(l, LOG_LEVEL_WARN, failure_word(FAILURE_UNAVAILABLE),
			    ", reason=the password was right, but not when asked for again for another mailhost");
			refuse(l, FAILURE_UNAVAILABLE);
			return;
		}
		snprintf(more, sizeof(more), ", method=%s%s%s", l->method, a->reason[0] != '\0' ? ", reason=" : "",
		    a->reason);
		log_login(l, LOG_LEVEL_INFO, failure_word(FAILURE_WRONG), more);
		enter(l, LOGIN_DELAY);
		start_timer(l, on_delayed, a->delay_ms);
		watch(l);
		return;
	default:
		snprintf(more, sizeof(more), ", reason=%s%s%s", auth_verdict_word(a->verdict),
		    a->reason[0] != '\0' ? ": " : "", a->reason);
		f = failure_of_verdict(a->verdict);
		log_login(l, LOG_LEVEL_WARN, failure_word(f), more);
		refuse(l, f);
	}
}

void login_auth_reply(struct login *l, struct auth_reply *a, int stream)
{
	DIE_IF(l->state != LOGIN_AUTH); /* the worker drops replies to old requests */
	if (stream != -1 && (a == NULL || a->verdict != AUTH_VERDICT_OK || a->local || !a->local_server)) {
		close(stream);
		stream = -1;
	}
	take_reply(l, a, stream);
	free_if_over(l);
}

/* --- for the worker --- */

/* What a greeting depends on besides the settings: below LOGIN_GREETINGS. */
static unsigned greeting_kind(const struct login *l)
{
	return l->tls * 4U + login_wants_tls(l) * 2U + (login_offers_tls(l) == LOGIN_TLS_OFFERED);
}

static void greet(struct login *l)
{
	struct str *greeting = &l->env->greeting[l->dialect->protocol][greeting_kind(l)];

	if (greeting->len == 0) {
		l->dialect->greet(l, NULL);
		str_add(greeting, str_cstr(&l->out), l->out.len);
	} else {
		str_add(&l->out, greeting->data, greeting->len);
	}
}

/* Greets the client, or turns it away while the worker drains. */
static void begin(struct login *l)
{
	const struct login_dialect *d = l->dialect;
	enum auth_mech mech;

	if (l->env->draining) {
		say_bye(l, LOGIN_BYE_DRAIN);
		return;
	}
	if (d->greeting_mech != NULL && d->greeting_mech(l, &mech) &&
	    authd_link_request_challenge(l->env->authd, l, mech)) {
		enter(l, LOGIN_GREETING);
		watch(l);
		return;
	}
	greet(l);
	feed(l);
}

void login_start(struct login_env *env, const struct login_dialect *d, int fd, const struct login_client *client)
{
	struct login *l = mem_alloc(sizeof(*l));

	l->env = env;
	l->dialect = d;
	l->state = LOGIN_COMMAND;
	l->set = env->set;
	l->client = client->addr;
	l->local_port = client->port;
	l->tls = client->tls;
	l->front_tls = client->tls_words != NULL ? mem_strdup(client->tls_words) : NULL;
	l->data = mem_alloc(d->data_size);
	l->started = loop_seconds();
	conn_open(&l->conn, fd, on_io, l);
	if (client->ctx != NULL)
		begin_tls(l, client->ctx);
	join(l);
	begin(l);
	weigh_or_free(l);
}

void login_refuse(const struct login_dialect *d, int fd)
{
	struct login l = { .dialect = d };

	d->bye(&l, LOGIN_BYE_FULL);
	conn_open(&l.conn, fd, on_io, &l);
	conn_flush(&l.conn, &l.out);
	conn_shut(&l.conn);
	str_fini(&l.out);
}

void login_challenge(struct login *l, const char *text)
{
	if (l->state == LOGIN_GREETING) {
		exchange_enter(l, text != NULL ? EXCHANGE_GREETED : EXCHANGE_NONE);
		l->dialect->greet(l, text);
	} else {
		exchange_enter(l, EXCHANGE_CHALLENGED);
		mem_free_secret(&l->password);
		l->dialect->challenge(l, text);
	}
	enter(l, LOGIN_COMMAND);
	feed(l);
	free_if_over(l);
}

static void end_for(struct login *l, enum login_bye why)
{
	switch (l->state) {
	case LOGIN_CLOSING:
		end(l);
		return;
	case LOGIN_AUTH:
	case LOGIN_RETRY:
	case LOGIN_PEER:
	case LOGIN_DELAY:
		end_session(l);
		/* In DELAY, too: the verdict is not told early. */
		l->dialect->refuse(l, FAILURE_UNAVAILABLE);
		forget_peer(l);
		break;
	case LOGIN_STARTTLS: /* what can be said now could be taken for TLS */
		if (why == LOGIN_BYE_TIMEOUT)
			log_client(l, LOG_LEVEL_INFO, "TIMEOUT", "");
		end(l);
		return;
	case LOGIN_HANDOFF:
		/* spawn's copy of the descriptor may stay unread for long: the client must not wait for that. */
		conn_cut(&l->conn);
		end(l);
		return;
	case LOGIN_GREETING:
	case LOGIN_COMMAND:
		break;
	}
	authd_link_end_exchange(l->env->authd, l);
	if (why == LOGIN_BYE_TIMEOUT)
		log_client(l, LOG_LEVEL_INFO, "TIMEOUT", "");
	if (conn_is_up(&l->conn))
		say_bye(l, why);
	else
		end(l); /* no word would reach the client, and its handshake must not go on just for that */
}

bool login_kick(struct login *l)
{
	if (l->state == LOGIN_PEER)
		fail(l, FAILURE_KICKED, (struct failure_facts){ 0 });
	else if (l->state == LOGIN_HANDOFF)
		end_for(l, LOGIN_BYE_KICK);
	else
		return false;
	free_if_over(l);
	return true;
}

void login_age(struct login *l, uint32_t now)
{
	if ((l->state == LOGIN_AUTH || l->state == LOGIN_DELAY) && now - l->exchange_since >= STRANGERS_GRACE)
		stranger_limits_set(l->env->strangers, l, true);
	weigh(l); /* its output may have grown by an answer of authd's */
}

bool login_is_late(const struct login *l, uint32_t now, uint32_t limit)
{
	if (l->state == LOGIN_CLOSING)
		return false;
	return now - l->started >= limit || (!conn_is_up(&l->conn) && now - l->tls_since >= LOGIN_TLS_SECONDS);
}

void login_yield(struct login *l)
{
	end_for(l, LOGIN_BYE_FULL);
	end(l);
	free_if_over(l);
}

void login_end(struct login *l, enum login_bye why)
{
	end_for(l, why);
	free_if_over(l);
}
