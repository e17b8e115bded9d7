/* Messages to authd, and what its answers mean for a login's exchange. */
#include "login/authd_link.h"

#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "login/client_tls.h"
#include "login/exchange.h"
#include "login/external.h"
#include "login/login.h"
#include "node/msg_channel.h"

enum {
	ARRIVED_MAX = 8, /* successful logins at peers that were not reported to authd yet */
	CROWDED_SECONDS = 2
};

struct authd_link {
	struct ev_loop *loop;
	struct request_table *requests;
	const struct authd_link_hooks *hooks;
	void *arg;
	struct chan *chan; /* NULL: there is no authd */
	struct {
		uint64_t session;
		uint8_t target;
		int64_t when_ms; /* clock_ms() */
	} arrived[ARRIVED_MAX];
	unsigned narrived;
	uint32_t crowded_until; /* loop time, seconds: until then each arrival is reported to authd at once */
	uint64_t logins_ok, logins_failed;
};

static struct msgw out;

void authd_link_end_exchange(struct authd_link *a, struct login *l)
{
	if (l->exchange == EXCHANGE_NONE)
		return;
	if (l->request != 0 && a->chan != NULL) {
		auth_cancel_write(&out, l->request);
		if (chan_send(a->chan, &out, -1) != 0)
			log_warn("authd does not read its messages");
	}
	request_table_drop(a->requests, &l->request);
	exchange_enter(l, EXCHANGE_NONE);
}

void authd_link_lose(struct authd_link *a, struct login *l)
{
	if (l->exchange == EXCHANGE_NONE)
		return;
	request_table_drop(a->requests, &l->request);
	exchange_lose(l);
}

void authd_link_tell_arrived(struct authd_link *a)
{
	for (unsigned i = 0; a->chan != NULL && i < a->narrived; i++) {
		session_arrived_write(&out, a->arrived[i].session, a->arrived[i].target, a->arrived[i].when_ms);
		if (chan_post(a->chan, &out) != 0)
			log_error("authd does not read its messages: its count of pending logins will be too high");
	}
	a->narrived = 0;
}

void authd_link_arrived(struct authd_link *a, uint64_t session, unsigned target)
{
	a->arrived[a->narrived].session = session;
	a->arrived[a->narrived].when_ms = clock_ms();
	a->arrived[a->narrived++].target = (uint8_t)target;
	if (a->narrived == ARRIVED_MAX || clock_seconds() < a->crowded_until)
		authd_link_tell_arrived(a);
}

static bool send_request(struct authd_link *a, const struct login *l)
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
	q.forwarded = l->forwarded != NULL ? *l->forwarded : (struct forwarded){ .present = false };
	if (l->mech == AUTH_MECH_EXTERNAL)
		external_certs(l, &certs);
	q.certs = certs.data;
	q.certs_len = certs.len;
	q.ntried = l->ntried;
	for (unsigned i = 0; i < q.ntried; i++)
		q.tried[i] = l->tried[i];
	auth_request_write(&out, &q);
	sent = chan_post(a->chan, &out) == 0;
	str_fini(&certs);
	mem_wipe(q.credential, strlen(q.credential));
	mem_wipe(out.buf, out.len);
	return sent;
}

static bool send_response(struct authd_link *a, const struct login *l, const char *text)
{
	bool sent;

	auth_text_write(&out, AUTH_RESPONSE, l->request, text);
	sent = chan_send(a->chan, &out, -1) == 0;
	mem_wipe(out.buf, out.len);
	return sent;
}

/* Answers L's challenge or next step, or retries the request that authd kept for it. */
static void send_answer(struct authd_link *a, struct login *l)
{
	bool again = l->exchange == EXCHANGE_KEPT, sent;

	authd_link_tell_arrived(a);
	exchange_enter(l, EXCHANGE_ANSWERED);
	if (again || auth_mech_exchange(l->mech) == AUTH_EXCHANGE_STEPS)
		sent = send_response(a, l, again ? "" : l->password);
	else
		sent = send_request(a, l);
	if (!sent)
		authd_link_lose(a, l);
}

void authd_link_send_credentials(struct authd_link *a, struct login *l)
{
	l->exchange_since = loop_seconds();
	if (exchange_answers(l)) {
		send_answer(a, l);
		return;
	}
	if (l->exchange == EXCHANGE_LOST)
		return; /* the sweep gives up on it */
	authd_link_end_exchange(a, l);
	if (auth_mech_exchange(l->mech) == AUTH_EXCHANGE_CHALLENGE) {
		exchange_enter(l, EXCHANGE_LOST);
		return;
	}
	if (a->chan == NULL || !request_table_take(a->requests, l, &l->request))
		return; /* sent when there is an authd; the sweep gives up on it in time */
	exchange_enter(l, EXCHANGE_REQUESTED);
	authd_link_tell_arrived(a);
	if (!send_request(a, l))
		authd_link_lose(a, l);
}

bool authd_link_request_challenge(struct authd_link *a, struct login *l, enum auth_mech mech)
{
	authd_link_end_exchange(a, l);
	l->exchange_since = loop_seconds();
	if (a->chan == NULL || !request_table_take(a->requests, l, &l->request))
		return false;
	auth_challenge_wanted_write(&out, l->request, mech);
	if (chan_send(a->chan, &out, -1) == 0) {
		exchange_enter(l, EXCHANGE_WANTED);
		return true;
	}
	request_table_drop(a->requests, &l->request);
	return false;
}

void authd_link_session_end(struct authd_link *a, uint64_t session)
{
	authd_link_tell_arrived(a);
	session_end_write(&out, session);
	if (a->chan != NULL && chan_post(a->chan, &out) != 0)
		log_error("authd does not read its messages: its count of sessions will be too high");
}

void authd_link_peer_result(struct authd_link *a, uint64_t session, unsigned target, enum peer_result result,
    uint32_t took_ms)
{
	authd_link_tell_arrived(a); /* it matters that others were served meanwhile */
	peer_result_write(&out, session, (uint8_t)target, result, took_ms);
	if (a->chan != NULL && chan_send(a->chan, &out, -1) != 0)
		log_warn("authd does not read its messages");
}

void authd_link_peer_signature(struct authd_link *a, const char *host, enum signature_check check)
{
	peer_signature_write(&out, host, check);
	if (a->chan != NULL && chan_post(a->chan, &out) != 0)
		log_warn("authd does not read its messages");
}

void authd_link_peer_list(struct authd_link *a, enum protocol protocol, const char *host, uint16_t port,
    const char *list)
{
	peer_list_write(&out, protocol, host, port, list);
	if (a->chan != NULL && chan_post(a->chan, &out) != 0)
		log_warn("authd does not read its messages");
}

void authd_link_peer_trouble(struct authd_link *a, enum protocol protocol, enum peer_trouble_kind kind,
    const char *host, const struct net_addr *addr, const char *why)
{
	struct peer_trouble m = { .kind = kind, .protocol = protocol, .addr = *addr };

	str_copy(m.host, sizeof(m.host), host);
	str_copy(m.why, sizeof(m.why), why);
	peer_trouble_write(&out, &m);
	if (a->chan != NULL && chan_post(a->chan, &out) != 0)
		log_warn("authd does not read its messages");
}

void authd_link_have(struct authd_link *a, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user)
{
	session_have_write(&out, session, protocol, client, user, 0);
	if (chan_post(a->chan, &out) != 0)
		log_error("authd does not read its messages: its count of sessions will be too low");
}

/* --- what authd says --- */

/* Ends the session of R: nobody waits for this reply. */
static void drop_reply(struct authd_link *a, struct auth_reply **r)
{
	if (*r != NULL && (*r)->verdict == AUTH_VERDICT_OK)
		authd_link_session_end(a, (*r)->session);
	auth_reply_free(r);
}

/* The reply in M and, in *L, who waits for it, or NULL. Returns NULL if it cannot be used. */
static struct auth_reply *read_reply(struct authd_link *a, struct msgr *m, struct login **l)
{
	struct auth_reply *r = auth_reply_new();
	bool good = auth_reply_read(m, r);

	*l = request_table_find(a->requests, r->request);
	if (!good) {
		log_error("bad answer from authd");
		auth_reply_free(&r);
	} else if (*l != NULL && !exchange_allows(*l, r->verdict)) {
		log_error("authd says \"%s\" of a login whose credentials it does not have: taken as no answer",
		    auth_verdict_word(r->verdict));
		drop_reply(a, &r);
	}
	return r;
}

static void on_auth_reply(struct authd_link *a, struct msgr *m, int fd)
{
	struct login *l;
	struct auth_reply *r = read_reply(a, m, &l);
	bool ok = r != NULL && r->verdict == AUTH_VERDICT_OK;

	if (l != NULL && l->state == LOGIN_GREETING) {
		request_table_drop(a->requests, &l->request);
		a->hooks->challenge(l, NULL);
		l = NULL;
	}
	if (l == NULL || !exchange_waits(l)) {
		drop_reply(a, &r); /* its client has gone */
		if (fd != -1)
			close(fd);
		return;
	}
	if (ok && r->other_hosts != AUTH_OTHER_HOSTS_NONE && !auth_mech_tells_password(l->mech)) {
		exchange_enter(l, EXCHANGE_KEPT);
	} else {
		request_table_drop(a->requests, &l->request);
		exchange_enter(l, EXCHANGE_NONE);
	}
	if (ok)
		a->logins_ok++;
	else
		a->logins_failed++;
	a->hooks->reply(l, r, fd);
}

static void on_auth_challenge(struct authd_link *a, struct msgr *r)
{
	static char text[AUTH_TEXT_MAX];
	uint32_t request;
	struct login *l;

	if (!auth_text_read(r, &request, text)) {
		log_error("bad challenge from authd");
		return;
	}
	l = request_table_find(a->requests, request);
	if (l == NULL || !exchange_waits(l))
		return;
	if (l->state == LOGIN_AUTH && auth_mech_exchange(l->mech) == AUTH_EXCHANGE_ONCE)
		log_error("a challenge from authd for %s, which has none", l->method);
	else
		a->hooks->challenge(l, text);
}

static void on_crowded(struct authd_link *a)
{
	a->crowded_until = clock_seconds() + CROWDED_SECONDS;
	authd_link_tell_arrived(a);
}

static void on_ticket_keys(struct authd_link *a, struct msgr *r)
{
	struct tls_ticket_keys keys;

	if (auth_ticket_keys_read(r, &keys))
		a->hooks->ticket_keys(a->arg, &keys);
	else
		log_error("bad keys of session tickets from authd");
	mem_wipe(&keys, sizeof(keys));
}

static void on_common(struct authd_link *a, struct msgr *r)
{
	struct capabilities_told m;

	if (auth_common_read(r, &m))
		a->hooks->common(a->arg, m.protocol, m.list);
	else
		log_error("bad capabilities from authd");
}

static void on_authd(struct chan *c, struct msgr *r, int fd, void *arg)
{
	if (r->type == AUTH_REPLY) {
		on_auth_reply(arg, r, fd);
		return;
	}
	if (fd != -1)
		close(fd);
	if (r->type == AUTH_CHALLENGE)
		on_auth_challenge(arg, r);
	else if (r->type == AUTH_TICKET_KEYS)
		on_ticket_keys(arg, r);
	else if (r->type == AUTH_COMMON)
		on_common(arg, r);
	else if (r->type == AUTH_CROWDED && msgr_end(r))
		on_crowded(arg);
	else
		msg_channel_skips(c, r, "authd");
}

void authd_link_close(struct authd_link *a)
{
	if (a->chan != NULL)
		chan_free(&a->chan);
}

static void on_authd_gone(struct chan *c UNUSED, void *arg)
{
	struct authd_link *a = arg;

	authd_link_close(a);
	a->hooks->gone(a->arg);
}

struct authd_link *authd_link_new(struct ev_loop *loop, struct request_table *requests,
    const struct authd_link_hooks *hooks, void *arg)
{
	struct authd_link *a = mem_alloc(sizeof(*a));

	a->loop = loop;
	a->requests = requests;
	a->hooks = hooks;
	a->arg = arg;
	return a;
}

void authd_link_free(struct authd_link **a)
{
	authd_link_close(*a);
	mem_free(a);
}

void authd_link_open(struct authd_link *a, int sock)
{
	a->chan = msg_channel_open(a->loop, sock, on_authd, on_authd_gone, a);
	a->narrived = 0; /* this one does not wait for them */
}

bool authd_link_is_up(const struct authd_link *a)
{
	return a->chan != NULL;
}

uint64_t authd_link_logins_ok(const struct authd_link *a)
{
	return a->logins_ok;
}

uint64_t authd_link_logins_failed(const struct authd_link *a)
{
	return a->logins_failed;
}
