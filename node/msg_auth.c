/* The login requests of workers and authd's replies: a writer and a reader for each message. */
#include "node/msg_auth.h"

#include <string.h>

#include "lib/mem.h"

const char *auth_verdict_word(enum auth_verdict v)
{
	static const char *const words[] = {
#define X(name, word, count) word,
		AUTH_VERDICTS(X)
#undef X
	};

	return v < AUTH_VERDICT_COUNT ? words[v] : "?";
}

static const struct {
	const char *name;
	enum auth_exchange exchange;
} mechs[] = {
#define X(name, word, exchange) { word, AUTH_EXCHANGE_##exchange },
	AUTH_MECHS(X)
#undef X
};

const char *auth_mech_name(enum auth_mech m)
{
	return m < AUTH_MECH_COUNT ? mechs[m].name : "?";
}

enum auth_exchange auth_mech_exchange(enum auth_mech m)
{
	return m < AUTH_MECH_COUNT ? mechs[m].exchange : AUTH_EXCHANGE_ONCE;
}

bool auth_mech_tells_password(enum auth_mech m)
{
	return m == AUTH_MECH_PASSWORD;
}

static void write_tls_words(struct msgw *w, const char words[SESSION_TLS_MAX])
{
	msgw_str(w, words);
}

static void read_tls_words(struct msgr *r, char words[SESSION_TLS_MAX])
{
	msgr_str(r, words, SESSION_TLS_MAX);
	if (words[0] != '\0' && !session_tls_ok(words))
		r->bad = true;
}

static void read_config(struct msgr *r, char config[NODE_CONFIG_MAX])
{
	msgr_str(r, config, NODE_CONFIG_MAX);
	if (config[0] != '\0' && !node_config_ok(config))
		r->bad = true;
}

static void forwarded_write(struct msgw *w, const struct forwarded *h)
{
	msgw_u8(w, h->present);
	if (!h->present)
		return;
	msgw_str(w, h->session_id);
	net_addr_write(w, &h->client);
	msgw_u8(w, h->tls);
	msgw_u8(w, h->insecure);
	write_tls_words(w, h->tls_words);
	msgw_u8(w, h->ttl);
	msgw_u8(w, (uint8_t)h->signature);
	msgw_u64(w, h->time);
	msgw_bytes(w, h->mac, sizeof(h->mac));
	if (h->tls_words[0] != '\0')
		msgw_bytes(w, h->tls_mac, sizeof(h->tls_mac));
	msgw_str(w, h->config);
	if (h->config[0] != '\0')
		msgw_bytes(w, h->config_mac, sizeof(h->config_mac));
}

static void forwarded_read(struct msgr *r, struct forwarded *h)
{
	memset(h, 0, sizeof(*h));
	h->present = msgr_bool(r);
	if (!h->present)
		return;
	msgr_str(r, h->session_id, sizeof(h->session_id));
	if (h->session_id[0] != '\0' && !session_id_ok(h->session_id))
		r->bad = true;
	net_addr_read(r, &h->client);
	h->tls = msgr_bool(r);
	h->insecure = msgr_bool(r);
	read_tls_words(r, h->tls_words);
	h->ttl = msgr_u8(r);
	h->signature = (enum forwarded_signature)msgr_below(r, FORWARDED_SIGNATURE_COUNT);
	h->time = msgr_u64(r);
	msgr_fixed(r, h->mac, sizeof(h->mac));
	if (h->tls_words[0] != '\0')
		msgr_fixed(r, h->tls_mac, sizeof(h->tls_mac));
	read_config(r, h->config);
	if (h->config[0] != '\0')
		msgr_fixed(r, h->config_mac, sizeof(h->config_mac));
}

void auth_request_write(struct msgw *w, const struct auth_request *q)
{
	msgw_begin(w, AUTH_REQUEST);
	msgw_u32(w, q->request);
	msgw_u8(w, (uint8_t)q->protocol);
	msgw_u8(w, (uint8_t)q->mech);
	msgw_str(w, q->user);
	msgw_str(w, q->credential);
	net_addr_write(w, &q->client);
	msgw_u16(w, q->local_port);
	msgw_u8(w, q->tls);
	write_tls_words(w, q->tls_words);
	if (q->mech == AUTH_MECH_EXTERNAL)
		msgw_bytes(w, q->certs, q->certs_len);
	forwarded_write(w, &q->forwarded);
	msgw_u8(w, q->ntried);
	for (unsigned i = 0; i < q->ntried; i++) {
		net_addr_write(w, &q->tried[i].addr);
		msgw_u8(w, (uint8_t)q->tried[i].tls);
	}
}

bool auth_request_read(struct msgr *r, struct auth_request *q)
{
	memset(q, 0, sizeof(*q));
	q->request = msgr_u32(r);
	q->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	q->mech = (enum auth_mech)msgr_below(r, AUTH_MECH_COUNT);
	msgr_str(r, q->user, sizeof(q->user));
	msgr_str(r, q->credential, sizeof(q->credential));
	net_addr_read(r, &q->client);
	q->local_port = msgr_u16(r);
	q->tls = msgr_bool(r);
	read_tls_words(r, q->tls_words);
	if (q->mech == AUTH_MECH_EXTERNAL)
		q->certs = msgr_bytes(r, AUTH_CERTS_MAX, &q->certs_len);
	forwarded_read(r, &q->forwarded);
	q->ntried = (uint8_t)msgr_below(r, AUTH_ADDRS_MAX + 1);
	for (unsigned i = 0; i < q->ntried; i++) {
		net_addr_read(r, &q->tried[i].addr);
		q->tried[i].tls = (enum peer_tls)msgr_below(r, PEER_TLS_COUNT);
	}
	if (msgr_end(r))
		return true;
	mem_wipe(q, sizeof(*q));
	return false;
}

void auth_cancel_write(struct msgw *w, uint32_t request)
{
	msgw_begin(w, AUTH_CANCEL);
	msgw_u32(w, request);
}

bool auth_cancel_read(struct msgr *r, uint32_t *request)
{
	*request = msgr_u32(r);
	return msgr_end(r);
}

void auth_challenge_wanted_write(struct msgw *w, uint32_t request, enum auth_mech mech)
{
	msgw_begin(w, AUTH_CHALLENGE_WANTED);
	msgw_u32(w, request);
	msgw_u8(w, (uint8_t)mech);
}

bool auth_challenge_wanted_read(struct msgr *r, uint32_t *request, enum auth_mech *mech)
{
	*request = msgr_u32(r);
	*mech = (enum auth_mech)msgr_below(r, AUTH_MECH_COUNT);
	return msgr_end(r) && auth_mech_exchange(*mech) == AUTH_EXCHANGE_CHALLENGE;
}

void auth_text_write(struct msgw *w, enum msg_type type, uint32_t request, const char *text)
{
	msgw_begin(w, (uint16_t)type);
	msgw_u32(w, request);
	msgw_str(w, text);
}

bool auth_text_read(struct msgr *r, uint32_t *request, char text[AUTH_TEXT_MAX])
{
	*request = msgr_u32(r);
	msgr_str(r, text, AUTH_TEXT_MAX);
	if (msgr_end(r))
		return true;
	mem_wipe(text, AUTH_TEXT_MAX);
	return false;
}

void auth_reply_write(struct msgw *w, const struct auth_reply *a)
{
	msgw_begin(w, AUTH_REPLY);
	msgw_u32(w, a->request);
	msgw_u8(w, (uint8_t)a->verdict);
	msgw_str(w, a->reason);
	msgw_u32(w, a->delay_ms);
	net_addr_write(w, &a->client);
	msgw_u8(w, (uint8_t)a->signature);
	if (a->verdict != AUTH_VERDICT_OK)
		return;
	msgw_u64(w, a->session);
	msgw_str(w, a->session_id);
	msgw_str(w, a->name);
	msgw_u8(w, a->client_tls);
	write_tls_words(w, a->client_tls_words);
	msgw_u8(w, a->proxied);
	msgw_u8(w, a->local);
	if (a->local) {
		msgw_bytes(w, a->ticket, sizeof(a->ticket));
		msgw_u8(w, a->local_server);
		msgw_u32(w, a->peer_ms);
		msgw_u32(w, a->target[0].list);
		return;
	}
	msgw_str(w, a->config);
	msgw_u8(w, a->ntargets);
	for (unsigned i = 0; i < a->ntargets; i++) {
		net_addr_write(w, &a->target[i].addr);
		msgw_str(w, a->target[i].host);
		msgw_u8(w, (uint8_t)a->target[i].tls);
		msgw_u32(w, a->target[i].list);
		msgw_bytes(w, a->target[i].mac, sizeof(a->target[i].mac));
		if (a->client_tls_words[0] != '\0')
			msgw_bytes(w, a->target[i].tls_mac, sizeof(a->target[i].tls_mac));
		if (a->config[0] != '\0')
			msgw_bytes(w, a->target[i].config_mac, sizeof(a->target[i].config_mac));
	}
	msgw_u8(w, a->local_server);
	msgw_u8(w, (uint8_t)a->other_hosts);
	msgw_u32(w, a->peer_ms);
	msgw_u8(w, a->report_success);
	msgw_u8(w, a->report_signature);
	msgw_u8(w, a->ttl);
	msgw_u64(w, a->time);
	msgw_u8(w, (uint8_t)a->peer_credentials);
	if (a->peer_credentials == AUTH_PEER_CLIENT_PASSWORD)
		return;
	msgw_str(w, a->master_user);
	msgw_str(w, a->peer_password);
	for (unsigned i = 0; i < a->ntargets; i++)
		msgw_bytes(w, a->target[i].token_key, sizeof(a->target[i].token_key));
}

static void read_remote(struct msgr *r, struct auth_reply *a)
{
	read_config(r, a->config);
	a->ntargets = msgr_u8(r);
	if (a->ntargets == 0 || a->ntargets > AUTH_ADDRS_MAX) {
		a->ntargets = 0;
		r->bad = true;
	}
	for (unsigned i = 0; i < a->ntargets; i++) {
		net_addr_read(r, &a->target[i].addr);
		msgr_str(r, a->target[i].host, sizeof(a->target[i].host));
		a->target[i].tls = (enum peer_tls)msgr_below(r, PEER_TLS_COUNT);
		a->target[i].list = msgr_u32(r);
		msgr_fixed(r, a->target[i].mac, sizeof(a->target[i].mac));
		if (a->client_tls_words[0] != '\0')
			msgr_fixed(r, a->target[i].tls_mac, sizeof(a->target[i].tls_mac));
		if (a->config[0] != '\0')
			msgr_fixed(r, a->target[i].config_mac, sizeof(a->target[i].config_mac));
	}
	a->local_server = msgr_bool(r);
	a->other_hosts = (enum auth_other_hosts)msgr_below(r, AUTH_OTHER_HOSTS_COUNT);
	a->peer_ms = msgr_u32(r);
	a->report_success = msgr_bool(r);
	a->report_signature = msgr_bool(r);
	a->ttl = msgr_u8(r);
	a->time = msgr_u64(r);
	a->peer_credentials = (enum auth_peer_credentials)msgr_below(r, AUTH_PEER_CREDENTIALS_COUNT);
	if (r->bad || a->peer_credentials == AUTH_PEER_CLIENT_PASSWORD)
		return;
	msgr_str(r, a->master_user, sizeof(a->master_user));
	msgr_str(r, a->peer_password, sizeof(a->peer_password));
	for (unsigned i = 0; i < a->ntargets; i++)
		msgr_fixed(r, a->target[i].token_key, sizeof(a->target[i].token_key));
}

bool auth_reply_read(struct msgr *r, struct auth_reply *a)
{
	memset(a, 0, sizeof(*a));
	a->request = msgr_u32(r);
	a->verdict = (enum auth_verdict)msgr_below(r, AUTH_VERDICT_COUNT);
	msgr_str(r, a->reason, sizeof(a->reason));
	a->delay_ms = msgr_u32(r);
	net_addr_read(r, &a->client);
	a->signature = (enum signature_check)msgr_below(r, SIGNATURE_COUNT);
	if (r->bad || a->verdict != AUTH_VERDICT_OK)
		return msgr_end(r);
	a->session = msgr_u64(r);
	msgr_str(r, a->session_id, sizeof(a->session_id));
	if (!session_id_ok(a->session_id))
		r->bad = true;
	msgr_str(r, a->name, sizeof(a->name));
	a->client_tls = msgr_bool(r);
	read_tls_words(r, a->client_tls_words);
	a->proxied = msgr_bool(r);
	a->local = msgr_bool(r);
	if (a->local) {
		msgr_fixed(r, a->ticket, sizeof(a->ticket));
		a->local_server = msgr_bool(r);
		a->peer_ms = msgr_u32(r);
		a->target[0].list = msgr_u32(r);
		str_copy(a->target[0].host, sizeof(a->target[0].host), LOCAL_SERVER_HOST);
	} else {
		read_remote(r, a);
	}
	return msgr_end(r);
}

/* Every login has a reply for a moment. They are too large for the allocator's cache of small pieces, so some are kept
 * for reuse. */
enum { SPARE_MAX = 8 };
static struct auth_reply *spare[SPARE_MAX];
static unsigned spares;

void auth_ticket_keys_write(struct msgw *w, const struct tls_ticket_keys *k)
{
	msgw_begin(w, AUTH_TICKET_KEYS);
	msgw_u8(w, (uint8_t)k->n);
	for (unsigned i = 0; i < k->n; i++)
		msgw_bytes(w, k->key[i], sizeof(k->key[i]));
}

bool auth_ticket_keys_read(struct msgr *r, struct tls_ticket_keys *k)
{
	k->n = msgr_below(r, TLS_TICKETS_KEYS + 1);
	for (unsigned i = 0; i < k->n; i++)
		msgr_fixed(r, k->key[i], sizeof(k->key[i]));
	if (msgr_end(r))
		return true;
	mem_wipe(k, sizeof(*k));
	return false;
}

struct auth_reply *auth_reply_new(void)
{
	return spares != 0 ? spare[--spares] : mem_grow(NULL, sizeof(struct auth_reply));
}

void auth_reply_free(struct auth_reply **ap)
{
	struct auth_reply *a = *ap;

	if (a == NULL)
		return;
	*ap = NULL;
	mem_wipe(a->peer_password, strlen(a->peer_password));
	mem_wipe(a->ticket, sizeof(a->ticket));
	for (unsigned i = 0; i < a->ntargets; i++)
		mem_wipe(a->target[i].token_key, sizeof(a->target[i].token_key));
#ifndef WITH_SANITIZERS /* so that they see a use after free */
	if (spares < SPARE_MAX) {
		spare[spares++] = a;
		return;
	}
#endif
	mem_free(&a);
}
