/* The role of a login worker: passes what comes from the master, authd and spawn to those concerned. */
#include "login/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "login/acceptor.h"
#include "login/access.h"
#include "login/certificates.h"
#include "login/client_certs.h"
#include "login/client_tls.h"
#include "login/exchange.h"
#include "login/external.h"
#include "login/header_wait.h"
#include "login/key_client.h"
#include "login/login.h"
#include "login/relayed.h"
#include "login/strangers.h"
#include "login/tls_peers.h"
#include "node/msg_control.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"
#include "node/msg_channel.h"

enum {
	AUTHD_PATIENCE = 10, /* seconds that a login waits for authd */
	SLOT_BITS = 20,      /* a request number is a slot and a count of its uses */
	SLOTS_MAX = 1 << SLOT_BITS,
	ARRIVED_MAX = 8, /* successful logins at peers that were not reported to authd yet */
	CROWDED_SECONDS = 2,
	STOP_HERE = 8,      /* seconds for session servers to end when the node stops: spawn kills them sooner */
	STRANGER_QUIET = 60 /* seconds between two log lines about strangers that gave way, or that are denied */
};

struct slot {
	struct login *login;
	uint32_t uses;
};

struct worker {
	struct role_ctx ctx;
	const struct login_dialect *const *dialects;
	struct chan *authd, *spawn;
	uint64_t authd_generation, spawn_generation;
	struct login *logins;
	unsigned nlogins;
	struct str greeting[PROTOCOL_COUNT][WORKER_GREETINGS];
	struct slot *slots; /* requests to authd and spawn that wait for an answer */
	uint32_t nslots, *free_slots, nfree;
	struct relay_pool *relays;
	struct relay_pool
	    *here; /* between clients and session servers of this node; what they carry is not logged here */
	struct certificates *certificates;
	struct tls_peers *tls_peers;
	uint64_t key_generation;
	struct {
		uint64_t session;
		uint8_t target;
	} arrived[ARRIVED_MAX];
	unsigned narrived;
	uint32_t crowded_until; /* loop time, seconds: until then each arrival is reported to authd at once */
	ev_timer sweep;
	struct acceptor *acceptor;
	struct header_wait headers;
	struct strangers strangers, holders; /* all, by their number; those that hold much, by that */
	struct access *access[PROTOCOL_COUNT];
	uint32_t yield_quiet_until, denied_quiet_until;
	ev_timer ending;    /* the node stops */
	ev_timer opening;   /* until the certificates are there, the worker before still accepts */
	bool waits_to_open; /* that timer runs */
	unsigned came;      /* certificates when it began to */
	bool stopping;      /* only `here` goes on */
	bool draining, retiring;
	bool orphaned; /* the master is gone: no new authd will come */
	uint64_t logins_ok, logins_failed, accepted, yielded, denied;
};

static struct msgw out;

struct ev_loop *worker_loop(struct worker *w)
{
	return w->ctx.loop;
}

const struct settings *worker_settings(struct worker *w)
{
	return w->ctx.set;
}

bool worker_draining(const struct worker *w)
{
	return w->draining;
}

struct str *worker_greeting(struct worker *w, enum protocol protocol, unsigned kind)
{
	return &w->greeting[protocol][kind];
}

static SSL_CTX *tls_context(struct worker *w, enum protocol protocol, bool starttls, int fd)
{
	struct net_addr here;
	bool known = certificates_by_address(w->certificates, protocol) && net_addr_here(fd, &here);

	return certificates_context(w->certificates, protocol, starttls, known ? &here : NULL);
}

SSL_CTX *worker_starttls(struct worker *w, const struct login *l)
{
	return tls_context(w, l->dialect->protocol, true, conn_raw_fd(&l->conn));
}

static unsigned relayed(const struct worker *w)
{
	return relay_pool_count(w->relays) + relay_pool_count(w->here);
}

/* A retiring worker ends with its last session. */
static void maybe_end(struct worker *w)
{
	if (w->retiring && w->nlogins == 0 && w->headers.count == 0 && relayed(w) == 0)
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

/* --- strangers --- */

static struct login *login_of(struct stranger *s)
{
	return CONTAINER_OF(s, struct login, stranger);
}

static struct login *login_of_holder(struct stranger *s)
{
	return CONTAINER_OF(s, struct login, holder);
}

/* What comes from these addresses is many clients in one. */
static bool is_trusted(const struct worker *w, const struct login *l)
{
	return net_addr_in_any(&l->client, w->ctx.set->proxy_PROXY_TRUSTED);
}

static bool stranger_is_trusted(struct stranger *s, void *arg)
{
	return is_trusted(arg, login_of(s));
}

static bool holder_is_trusted(struct stranger *s, void *arg)
{
	return is_trusted(arg, login_of_holder(s));
}

/* What a stranger holds, or that it is none any more. */
static void weigh(struct worker *w, struct login *l)
{
	size_t units = l->stranger.prefix != NULL ? login_memory(l) / STRANGERS_HELD_UNIT : 0;

	if (units == 0) {
		strangers_remove(&w->holders, &l->holder);
		return;
	}
	if (l->holder.prefix == NULL)
		strangers_add(&w->holders, &l->holder, &l->client, loop_seconds());
	strangers_weigh(&w->holders, &l->holder, (uint32_t)units);
}

void worker_set_stranger(struct worker *w, struct login *l, bool is)
{
	if (!is)
		strangers_remove(&w->strangers, &l->stranger);
	else if (l->stranger.prefix == NULL)
		strangers_add(&w->strangers, &l->stranger, &l->client, loop_seconds());
	if (!is)
		weigh(w, l);
}

static void yield(struct worker *w, struct login *l, const char *why)
{
	const struct net_addr client = net_addr_client(&l->client);
	char ip[NET_IP_TEXT_MAX];

	w->yielded++;
	if (log_due(&w->yield_quiet_until, STRANGER_QUIET))
		log_warn("%s: of %u clients that have not logged in the oldest of [%s%s], which has %u, is closed, and "
		         "so will be others",
		    why, w->strangers.count, net_addr_text(&client, ip), client.family == AF_INET6 ? "/64" : "",
		    strangers_beside(&l->stranger));
	login_yield(l);
}

static void shed_holders(struct worker *w)
{
	struct stranger *s;

	while (w->holders.weight > STRANGERS_HELD_MAX / STRANGERS_HELD_UNIT &&
	    (s = strangers_heaviest(&w->holders)) != NULL)
		yield(w, login_of_holder(s), "they hold too much memory");
}

void worker_weigh(struct worker *w, struct login *l)
{
	weigh(w, l);
	shed_holders(w);
}

static bool displace(void *arg, const struct net_addr *client)
{
	struct worker *w = arg;
	struct stranger *s = strangers_yield(&w->strangers, client, loop_seconds());

	if (s != NULL)
		yield(w, login_of(s), "descriptors are short");
	return s != NULL;
}

/* --- logins and the numbers of their requests --- */

void worker_add(struct worker *w, struct login *l)
{
	struct stranger *oldest;

	l->next = w->logins;
	l->prev = &w->logins;
	if (l->next != NULL)
		l->next->prev = &l->next;
	w->logins = l;
	w->nlogins++;
	worker_set_stranger(w, l, true);
	if ((oldest = strangers_above_share(&w->strangers, &l->stranger)) != NULL)
		yield(w, login_of(oldest), "one address has too many connections");
}

/* A fresh number for L's next request; replies to older ones no longer find it. */
static bool take_slot(struct worker *w, struct login *l)
{
	uint32_t i;

	if (w->nfree == 0) {
		uint32_t n = w->nslots != 0 ? w->nslots * 2 : 64;

		if (n > SLOTS_MAX)
			return false;
		w->slots = mem_grow(w->slots, n * sizeof(*w->slots));
		w->free_slots = mem_grow(w->free_slots, n * sizeof(*w->free_slots));
		memset(w->slots + w->nslots, 0, (n - w->nslots) * sizeof(*w->slots));
		for (uint32_t k = n; k > w->nslots; k--)
			w->free_slots[w->nfree++] = k - 1;
		w->nslots = n;
	}
	i = w->free_slots[--w->nfree];
	w->slots[i].login = l;
	if ((++w->slots[i].uses << SLOT_BITS) == 0)
		w->slots[i].uses++; /* no request has the number 0 */
	l->request = (w->slots[i].uses << SLOT_BITS) | i;
	return true;
}

static struct login *find_slot(struct worker *w, uint32_t request)
{
	uint32_t i = request & (SLOTS_MAX - 1);

	if (i >= w->nslots || w->slots[i].login == NULL || w->slots[i].login->request != request)
		return NULL;
	return w->slots[i].login;
}

static void drop_slot(struct worker *w, struct login *l)
{
	if (l->request == 0 || find_slot(w, l->request) != l)
		return;
	w->slots[l->request & (SLOTS_MAX - 1)].login = NULL;
	w->free_slots[w->nfree++] = l->request & (SLOTS_MAX - 1);
	l->request = 0;
}

void worker_end_exchange(struct worker *w, struct login *l)
{
	if (l->exchange == EXCHANGE_NONE)
		return;
	if (l->request != 0 && w->authd != NULL) {
		auth_cancel_write(&out, l->request);
		if (chan_send(w->authd, &out, -1) != 0)
			log_warn("authd does not read its messages");
	}
	drop_slot(w, l);
	exchange_enter(l, EXCHANGE_NONE);
}

/* authd no longer knows L and will not answer it. */
static void lose_exchange(struct worker *w, struct login *l)
{
	if (l->exchange == EXCHANGE_NONE)
		return;
	drop_slot(w, l);
	exchange_lose(l);
}

void worker_remove(struct worker *w, struct login *l)
{
	worker_end_exchange(w, l);
	drop_slot(w, l); /* spawn's answer may still be on its way */
	worker_set_stranger(w, l, false);
	*l->prev = l->next;
	if (l->next != NULL)
		l->next->prev = l->prev;
	w->nlogins--;
	maybe_end(w);
}

/* --- authd --- */

static void tell_arrived(struct worker *w)
{
	for (unsigned i = 0; w->authd != NULL && i < w->narrived; i++) {
		session_arrived_write(&out, w->arrived[i].session, w->arrived[i].target);
		if (chan_post(w->authd, &out) != 0)
			log_error("authd does not read its messages: its count of pending logins will be too high");
	}
	w->narrived = 0;
}

void worker_arrived(struct worker *w, uint64_t session, unsigned target)
{
	w->arrived[w->narrived].session = session;
	w->arrived[w->narrived++].target = (uint8_t)target;
	if (w->narrived == ARRIVED_MAX || clock_seconds() < w->crowded_until)
		tell_arrived(w);
}

static bool send_request(struct worker *w, const struct login *l)
{
	static struct auth_request q;
	struct str certs = STR_INIT;
	bool sent;

	q.request = l->request;
	q.protocol = l->dialect->protocol;
	q.mech = l->mech;
	str_copy(q.user, sizeof(q.user), l->user);
	str_copy(q.credential, sizeof(q.credential), l->password);
	q.client = l->client;
	q.local_port = l->local_port;
	q.tls = l->tls;
	client_tls_words(&l->conn, q.tls_words);
	if (q.tls_words[0] == '\0' && l->front_tls != NULL)
		str_copy(q.tls_words, sizeof(q.tls_words), l->front_tls);
	q.forwarded = l->forwarded;
	if (l->mech == AUTH_MECH_EXTERNAL)
		external_certs(l, &certs);
	q.certs = certs.data;
	q.certs_len = certs.len;
	q.ntried = l->ntried;
	for (unsigned i = 0; i < q.ntried; i++)
		q.tried[i] = l->tried[i];
	auth_request_write(&out, &q);
	sent = chan_post(w->authd, &out) == 0;
	str_fini(&certs);
	mem_wipe(q.credential, strlen(q.credential));
	mem_wipe(out.buf, out.len);
	return sent;
}

static bool send_response(struct worker *w, const struct login *l, const char *text)
{
	bool sent;

	auth_text_write(&out, AUTH_RESPONSE, l->request, text);
	sent = chan_send(w->authd, &out, -1) == 0;
	mem_wipe(out.buf, out.len);
	return sent;
}

/* Answers L's challenge or next step, or retries the request that authd kept for it. */
static void send_answer(struct worker *w, struct login *l)
{
	bool again = l->exchange == EXCHANGE_KEPT, sent;

	tell_arrived(w);
	exchange_enter(l, EXCHANGE_ANSWERED);
	if (again || auth_mech_exchange(l->mech) == AUTH_EXCHANGE_STEPS)
		sent = send_response(w, l, again ? "" : l->password);
	else
		sent = send_request(w, l);
	if (!sent)
		lose_exchange(w, l);
}

void worker_send_credentials(struct worker *w, struct login *l)
{
	l->exchange_since = loop_seconds();
	if (exchange_answers(l)) {
		send_answer(w, l);
		return;
	}
	if (l->exchange == EXCHANGE_LOST)
		return; /* the sweep gives up on it */
	worker_end_exchange(w, l);
	if (auth_mech_exchange(l->mech) == AUTH_EXCHANGE_CHALLENGE) {
		exchange_enter(l, EXCHANGE_LOST);
		return;
	}
	if (w->authd == NULL || !take_slot(w, l))
		return; /* sent when there is an authd; the sweep gives up on it in time */
	exchange_enter(l, EXCHANGE_REQUESTED);
	tell_arrived(w);
	if (!send_request(w, l))
		lose_exchange(w, l);
}

bool worker_request_challenge(struct worker *w, struct login *l, enum auth_mech mech)
{
	worker_end_exchange(w, l);
	l->exchange_since = loop_seconds();
	if (w->authd == NULL || !take_slot(w, l))
		return false;
	auth_challenge_wanted_write(&out, l->request, mech);
	if (chan_send(w->authd, &out, -1) == 0) {
		exchange_enter(l, EXCHANGE_WANTED);
		return true;
	}
	drop_slot(w, l);
	return false;
}

static void send_session_end(struct worker *w, uint64_t session)
{
	tell_arrived(w);
	session_end_write(&out, session);
	if (w->authd != NULL && chan_post(w->authd, &out) != 0)
		log_error("authd does not read its messages: its count of sessions will be too high");
}

void worker_session_end(struct worker *w, uint64_t session)
{
	send_session_end(w, session);
}

void worker_peer_result(struct worker *w, uint64_t session, unsigned target, enum peer_result result, uint32_t took_ms)
{
	tell_arrived(w); /* it matters that others were served meanwhile */
	peer_result_write(&out, session, (uint8_t)target, result, took_ms);
	if (w->authd != NULL && chan_send(w->authd, &out, -1) != 0)
		log_warn("authd does not read its messages");
}

void worker_peer_signature(struct worker *w, const char *host, enum signature_check check)
{
	peer_signature_write(&out, host, check);
	if (w->authd != NULL && chan_post(w->authd, &out) != 0)
		log_warn("authd does not read its messages");
}

void worker_peer_trouble(struct worker *w, const struct login *l, enum peer_trouble_kind kind, const char *host,
    const struct net_addr *addr, const char *why)
{
	struct peer_trouble m = { .kind = kind, .protocol = l->dialect->protocol, .addr = *addr };

	str_copy(m.host, sizeof(m.host), host);
	str_copy(m.why, sizeof(m.why), why);
	peer_trouble_write(&out, &m);
	if (w->authd != NULL && chan_post(w->authd, &out) != 0)
		log_warn("authd does not read its messages");
}

SSL *worker_tls(struct worker *w, const struct auth_target *t)
{
	SSL *ssl = tls_peers_connect(w->tls_peers, t->host, &t->addr);

	certificates_show_to_peer(w->certificates, ssl);
	return ssl;
}

/* Ends the session of A: nobody waits for this reply. */
static void drop_reply(struct worker *w, struct auth_reply **a)
{
	if (*a != NULL && (*a)->verdict == AUTH_VERDICT_OK)
		send_session_end(w, (*a)->session);
	auth_reply_free(a);
}

static void on_auth_reply(struct worker *w, struct msgr *r)
{
	struct auth_reply *a = auth_reply_new();
	struct login *l;

	if (!auth_reply_read(r, a)) {
		log_error("bad answer from authd");
		l = find_slot(w, a->request);
		auth_reply_free(&a);
	} else {
		l = find_slot(w, a->request);
	}
	if (l != NULL && a != NULL && !exchange_allows(l, a->verdict)) {
		log_error("authd says \"%s\" of a login whose credentials it does not have: taken as no answer",
		    auth_verdict_word(a->verdict));
		drop_reply(w, &a);
	}
	if (l != NULL && l->state == LOGIN_GREETING) {
		drop_slot(w, l);
		login_challenge(l, NULL);
		l = NULL;
	}
	if (l == NULL || !exchange_waits(l)) {
		drop_reply(w, &a); /* its client has gone */
		return;
	}
	if (a != NULL && a->verdict == AUTH_VERDICT_OK && a->other_hosts != AUTH_OTHER_HOSTS_NONE &&
	    !auth_mech_tells_password(l->mech)) {
		exchange_enter(l, EXCHANGE_KEPT);
	} else {
		drop_slot(w, l);
		exchange_enter(l, EXCHANGE_NONE);
	}
	if (a != NULL && a->verdict == AUTH_VERDICT_OK)
		w->logins_ok++;
	else
		w->logins_failed++;
	login_auth_reply(l, a);
}

static void on_auth_challenge(struct worker *w, struct msgr *r)
{
	static char text[AUTH_TEXT_MAX];
	uint32_t request;
	struct login *l;

	if (!auth_text_read(r, &request, text)) {
		log_error("bad challenge from authd");
		return;
	}
	l = find_slot(w, request);
	if (l == NULL || !exchange_waits(l))
		return;
	if (l->state == LOGIN_AUTH && auth_mech_exchange(l->mech) == AUTH_EXCHANGE_ONCE)
		log_error("a challenge from authd for %s, which has none", l->method);
	else
		login_challenge(l, text);
}

static void on_crowded(struct worker *w)
{
	w->crowded_until = clock_seconds() + CROWDED_SECONDS;
	tell_arrived(w);
}

static void on_ticket_keys(struct worker *w, struct msgr *r)
{
	struct tls_ticket_keys keys;

	if (auth_ticket_keys_read(r, &keys))
		certificates_ticket_keys(w->certificates, &keys);
	else
		log_error("bad keys of session tickets from authd");
	mem_wipe(&keys, sizeof(keys));
}

static void on_authd(struct chan *c, struct msgr *r, int fd, void *arg)
{
	if (fd != -1)
		close(fd);
	if (r->type == AUTH_REPLY)
		on_auth_reply(arg, r);
	else if (r->type == AUTH_CHALLENGE)
		on_auth_challenge(arg, r);
	else if (r->type == AUTH_TICKET_KEYS)
		on_ticket_keys(arg, r);
	else if (r->type == AUTH_CROWDED && msgr_end(r))
		on_crowded(arg);
	else
		msg_channel_skips(c, r, "authd");
}

/* authd died, and with it all it knew of the logins. */
static void lose_exchanges(struct worker *w)
{
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		lose_exchange(w, l);
		if (l->state == LOGIN_GREETING)
			login_challenge(l, NULL);
	}
}

static void on_authd_gone(struct chan *c UNUSED, void *arg)
{
	struct worker *w = arg;

	if (!w->stopping)
		log_warn("lost authd; logins wait for the next one");
	chan_free(&w->authd);
	lose_exchanges(w);
}

static void send_have(struct worker *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user)
{
	session_have_write(&out, session, protocol, client, user, 0);
	if (chan_post(w->authd, &out) != 0)
		log_error("authd does not read its messages: its count of sessions will be too low");
}

static void send_relayed(struct relay *r UNUSED, void *session, void *arg)
{
	const struct relayed *s = session;

	send_have(arg, s->session, s->protocol, &s->client, relayed_user(s));
}

static void new_authd(struct worker *w, int sock)
{
	if (w->authd != NULL) {
		chan_free(&w->authd);
		lose_exchanges(w);
	}
	w->authd = msg_channel_open(w->ctx.loop, sock, on_authd, on_authd_gone, w);
	relay_pool_each(w->relays, send_relayed, w);
	w->narrived = 0; /* the new one does not wait for them */
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		if (l->state == LOGIN_PEER)
			send_have(w, l->reply->session, l->dialect->protocol, &l->reply->client, l->reply->name);
		if (l->state == LOGIN_AUTH)
			worker_send_credentials(w, l);
	}
}

/* --- spawn --- */

/* What the session server of L gets: the client's descriptor, if the very bytes go through it; else one end of a pair,
 * of which the other is l->inner. -1: there is none. */
static int outer_of(const struct worker *w, struct login *l)
{
	int fd = conn_raw_fd(&l->conn), pair[2];

	if (fd != -1) {
		loop_forget(w->ctx.loop, fd);
		return fd;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	l->inner = pair[0];
	return pair[1];
}

bool worker_hand_off(struct worker *w, struct login *l)
{
	struct str context = STR_INIT;
	int fd;
	bool sent;

	worker_end_exchange(w, l);
	if (w->spawn == NULL || !take_slot(w, l))
		return false;
	if ((fd = outer_of(w, l)) == -1) {
		drop_slot(w, l);
		return false;
	}
	l->dialect->context(l, &context);
	handoff_write(&out, l->request, l->reply->ticket, str_cstr(&context), str_cstr(&l->in), l->in.len);
	sent = chan_send(w->spawn, &out, fd) == 0;
	if (l->inner != -1)
		close(fd);
	if (!sent)
		drop_slot(w, l);
	str_fini(&context);
	return sent;
}

static void on_spawn(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct worker *w = arg;
	uint32_t request;
	bool ok;
	struct login *l;

	if (fd != -1)
		close(fd);
	if (r->type != HANDOFF_REPLY) {
		msg_channel_skips(c, r, "spawn");
		return;
	}
	if (!handoff_reply_read(r, &request, &ok)) {
		log_error("bad message %u from spawn", r->type);
		return;
	}
	if ((l = find_slot(w, request)) == NULL)
		return;
	drop_slot(w, l);
	login_handoff_reply(l, ok == 1);
}

static void on_spawn_gone(struct chan *c UNUSED, void *arg)
{
	struct worker *w = arg;

	if (!w->stopping)
		log_warn("lost spawn; logins to mailboxes of this node wait for the next one");
	else /* the session servers have said what they had to say */
		end_in(w, 1);
	chan_free(&w->spawn);
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		login_handoff_lost(l);
	}
}

/* --- relays --- */

void worker_relay(struct worker *w, struct login *l, struct conn *client, struct conn *peer, struct str *to_client,
    struct str *to_server)
{
	struct relayed *s = relayed_new(l, clock_seconds());
	struct relay *r;

	relayed_log_login(s);
	r = relay_new(w->relays, client, peer, to_client, to_server, s);
	if (l->peer.has_spoken)
		relay_server_has_spoken(r);
}

void worker_relay_here(struct worker *w, struct login *l)
{
	struct str none[2] = { STR_INIT, STR_INIT };
	struct conn server;

	conn_open(&server, l->inner, NULL, NULL); /* the relay watches it */
	l->inner = -1;
	relay_new(w->here, &l->conn, &server, &none[0], &none[1], NULL);
}

static void on_end_here(struct relay *r UNUSED, enum relay_end end UNUSED, void *session UNUSED, void *arg)
{
	maybe_end(arg);
}

static void on_relay_end(struct relay *r, enum relay_end end, void *session, void *arg)
{
	struct relayed *s = session;
	struct worker *w = arg;

	relayed_log_end(s, r, end, clock_seconds());
	send_session_end(w, s->session);
	relayed_free(&s);
	maybe_end(w);
}

/* --- clients --- */

/* Used by sessions and logins; each login counts with the peer that it may still need. */
static unsigned descriptors(void *arg)
{
	const struct worker *w = arg;

	return 2 * (w->nlogins + w->headers.count + relayed(w)) + relay_pipe_descriptors();
}

static void trim(void *arg UNUSED)
{
	relay_drop_idle_pipes();
}

static bool room_for_pipe(void *arg)
{
	const struct worker *w = arg;

	return acceptor_has_room(w->acceptor, 2);
}

/* Whoever may not connect learns nothing. */
static void deny(struct worker *w, enum protocol protocol, const struct net_addr *client)
{
	char ip[NET_IP_TEXT_MAX];

	w->denied++;
	if (log_due(&w->denied_quiet_until, STRANGER_QUIET))
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
		client->ctx = tls_context(w, protocol, false, fd);
	}
	if (tls && client->ctx == NULL) {
		client_tls_impossible(&client->addr, protocols[protocol].group);
		close(fd);
	} else {
		login_start(w, w->dialects[protocol], fd, client);
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

void worker_stray_header(struct worker *w, const struct login *l)
{
	header_wait_stray(&w->headers, &l->client, l->local_port);
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
	tell_arrived(w);
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		login_age(l, now);
		weigh(w, l); /* its output may have grown by an answer of authd's */
		if (login_is_late(l, now, (uint32_t)w->ctx.set->node_LOGIN_TIMEOUT))
			login_end(l, LOGIN_BYE_TIMEOUT);
		else if (l->state == LOGIN_AUTH && !exchange_waits(l) &&
		    (w->authd != NULL || w->orphaned || now - l->exchange_since >= AUTHD_PATIENCE))
			login_auth_reply(l, NULL); /* authd was not reachable */
		else
			login_check_client(l);
	}
	shed_holders(w);
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
		if (w->spawn != NULL)
			chan_drain(w->spawn); /* what it sent before it died */
		if (w->spawn != NULL)
			on_spawn_gone(w->spawn, w);
		w->spawn = msg_channel_open(ctx->loop, sock, on_spawn, on_spawn_gone, w);
	} else if (other == ROLE_KEY && generation >= w->key_generation) {
		w->key_generation = generation;
		certificates_channel(w->certificates, sock);
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
		tls_peers_trust(w->tls_peers, fd);
	} else {
		certificates_trust(w->certificates, (enum protocol)whose, fd);
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

/* As long as certificates come, more are awaited: there may be thousands. */
static void on_opening(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct worker *w = t->data;

	if (w->came == certificates_came(w->certificates)) {
		start_work(w);
		return;
	}
	w->came = certificates_came(w->certificates);
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
	certificates_on_told(w->certificates, on_told, w);
	ev_timer_init(&w->opening, on_opening, KEY_CLIENT_TIMEOUT / 1000.0, 0);
	w->opening.data = w;
	w->came = 0;
}

static void on_go(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	w->waits_to_open = certificates_are_coming(w->certificates);
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

	w->draining = on;
}

static void stop_relay(struct relay *r, void *session UNUSED, void *arg UNUSED)
{
	relay_stop(r, RELAY_END_SHUTDOWN);
}

static void on_stop(struct role_ctx *ctx)
{
	struct worker *w = ctx->arg;

	acceptor_shut(w->acceptor);
	header_wait_shut(&w->headers);
	w->retiring = true;
	relay_pool_each(w->relays, stop_relay, NULL);
	for (struct login *l = w->logins, *next; l != NULL; l = next) {
		next = l->next;
		login_end(l, LOGIN_BYE_SHUTDOWN);
	}
	log_flush();
	if (relay_pool_count(w->here) == 0) {
		ev_break(ctx->loop, EVBREAK_ALL);
		return;
	}
	/* Session servers of this node still say what they have to say, and goodbye. */
	w->stopping = true;
	end_in(w, STOP_HERE);
}

struct query {
	struct worker *w;
	struct str rows;
	struct session_choice choice;
	uint32_t count;
};

static void who_row(struct relay *r, void *session, void *arg)
{
	const struct relayed *s = session;
	struct query *q = arg;

	if (!relayed_is_chosen(s, &q->choice))
		return;
	relayed_row(s, r, clock_seconds(), &q->rows);
	q->count++;
}

static void kick_row(struct relay *r, void *session, void *arg)
{
	const struct relayed *s = session;
	struct query *q = arg;
	struct login last = { .dialect = q->w->dialects[s->protocol] };

	if (!relayed_is_chosen(s, &q->choice))
		return;
	q->count++;
	last.dialect->bye(&last, LOGIN_BYE_KICK);
	relay_last_words(r, str_cstr(&last.out), last.out.len);
	str_fini(&last.out);
	relay_stop(r, RELAY_END_KICK);
}

/* A login that has its verdict counts as the session that it is about to become. */
static void kick_logins(struct query *q)
{
	for (struct login *l = q->w->logins, *next; l != NULL; l = next) {
		const struct auth_reply *a = l->reply;

		next = l->next;
		if (a != NULL && session_choice_has(&q->choice, a->name, &a->client, a->session_id) && login_kick(l))
			q->count++;
	}
}

static void count_row(struct relay *r UNUSED, void *session, void *arg)
{
	const struct relayed *s = session;
	unsigned *n = arg;

	n[s->protocol]++;
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct worker *w = ctx->arg;
	struct query q = { .w = w };

	if (session_choice_read(&q.choice, "who", command, argument)) {
		relay_pool_each(w->relays, who_row, &q);
	} else if (session_choice_read(&q.choice, "kick", command, argument)) {
		relay_pool_each(w->relays, kick_row, &q);
		kick_logins(&q);
	} else if (strcmp(command, "status") == 0) {
		unsigned n[PROTOCOL_COUNT] = { 0 };

		relay_pool_each(w->relays, count_row, n);
		for (int p = 0; p < PROTOCOL_COUNT; p++)
			str_addf(&q.rows, "proxied_%s=%u\n", protocols[p].name, n[p]);
		str_addf(&q.rows,
		    "logging_in=%u\naccepted=%llu\nlogins_ok=%llu\nlogins_failed=%llu\n"
		    "workers_full=%u\nclients_refused=%llu\nstrangers_closed=%llu\nclients_denied=%llu\n"
		    "headers_refused=%llu\ntls_failed=%llu\n",
		    w->nlogins, (unsigned long long)w->accepted, (unsigned long long)w->logins_ok,
		    (unsigned long long)w->logins_failed, acceptor_is_full(w->acceptor),
		    (unsigned long long)acceptor_refused(w->acceptor), (unsigned long long)w->yielded,
		    (unsigned long long)w->denied, (unsigned long long)w->headers.refused,
		    (unsigned long long)client_tls_failures());
	}
	role_rows(ctx, query, str_cstr(&q.rows), q.rows.len);
	role_done(ctx, query, q.count);
	str_fini(&q.rows);
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
	.query = on_query,
	.stop = on_stop,
	.orphaned = on_orphaned,
};

int worker_main(const struct role_start *who, const struct login_dialect *const dialects[PROTOCOL_COUNT])
{
	struct worker *w = mem_alloc(sizeof(*w));

	w->dialects = dialects;
	role_init(&w->ctx, who, "waypostd", &hooks, w);
	w->acceptor = acceptor_new(w->ctx.loop, &acceptor_hooks, w);
	header_wait_init(&w->headers, w->ctx.loop, on_header, w);
	strangers_init(&w->strangers, stranger_is_trusted, w);
	strangers_init(&w->holders, holder_is_trusted, w);
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		w->access[p] = access_new(w->ctx.set->access[p]);
	w->relays = relay_pool_new(w->ctx.loop, (unsigned)w->ctx.set->proxy_PROXY_IDLE_TIMEOUT, on_relay_end, w);
	relay_pool_set_room(w->relays, room_for_pipe);
	w->here = relay_pool_new(w->ctx.loop, 0, on_end_here, w);
	w->certificates = certificates_new(w->ctx.loop, w->ctx.set);
	begin_opening(w);
	w->tls_peers = tls_peers_new(w->ctx.set->proxy_PROXY_TLS_VERIFY);
	ev_timer_init(&w->sweep, on_sweep, 1, 1);
	w->sweep.data = w;
	ev_timer_start(w->ctx.loop, &w->sweep);
	loop_keep_time(w->ctx.loop);
	ev_run(w->ctx.loop, 0);
	certificates_free(&w->certificates);
	tls_peers_free(&w->tls_peers);
	log_flush();
	return 0;
}
