/* The messages that hand a client to a session server: a writer and a reader for each. */
#include "node/msg_ticket.h"

void ticket_write(struct msgw *w, const struct ticket_grant *m)
{
	msgw_begin(w, TICKET);
	msgw_bytes(w, m->id, sizeof(m->id));
	msgw_u64(w, m->session);
	msgw_u32(w, m->slot);
	msgw_u64(w, m->generation);
	msgw_u8(w, (uint8_t)m->protocol);
	account_write(w, &m->account, false);
	msgw_str(w, m->session_id);
	net_addr_write(w, &m->client);
	msgw_u8(w, m->program);
	msgw_u8(w, m->proxied);
	msgw_u8(w, m->tls);
	msgw_u8(w, m->later);
	msgw_str(w, m->tls_words);
	msgw_u8(w, (uint8_t)m->signature);
}

bool ticket_read(struct msgr *r, struct ticket_grant *m)
{
	account_fini(&m->account);
	msgr_fixed(r, m->id, TICKET_LEN);
	m->session = msgr_u64(r);
	m->slot = msgr_u32(r);
	m->generation = msgr_u64(r);
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	account_read(r, &m->account);
	msgr_str(r, m->session_id, sizeof(m->session_id));
	net_addr_read(r, &m->client);
	m->program = msgr_bool(r);
	m->proxied = msgr_bool(r);
	m->tls = msgr_bool(r);
	m->later = msgr_bool(r);
	msgr_str(r, m->tls_words, sizeof(m->tls_words));
	m->signature = (enum signature_check)msgr_below(r, SIGNATURE_COUNT);
	return msgr_end(r);
}

void ticket_void_write(struct msgw *w, const uint8_t id[TICKET_LEN])
{
	msgw_begin(w, TICKET_VOID);
	msgw_bytes(w, id, TICKET_LEN);
}

bool ticket_void_read(struct msgr *r, uint8_t id[TICKET_LEN])
{
	msgr_fixed(r, id, TICKET_LEN);
	return msgr_end(r);
}

void handoff_write(struct msgw *w, const struct handoff_client *m)
{
	msgw_begin(w, HANDOFF);
	msgw_u32(w, m->request);
	msgw_u8(w, m->relayed);
	msgw_bytes(w, m->ticket, TICKET_LEN);
	msgw_str(w, m->context);
	msgw_bytes(w, m->leftover, m->leftover_len);
}

bool handoff_read(struct msgr *r, struct handoff_client *m)
{
	m->request = msgr_u32(r);
	m->relayed = msgr_bool(r);
	msgr_fixed(r, m->ticket, TICKET_LEN);
	msgr_str(r, m->context, sizeof(m->context));
	m->leftover = msgr_bytes(r, SESSION_LEFTOVER_MAX, &m->leftover_len);
	return msgr_end(r);
}

void handoff_reply_write(struct msgw *w, uint32_t request, bool started)
{
	msgw_begin(w, HANDOFF_REPLY);
	msgw_u32(w, request);
	msgw_u8(w, started);
}

bool handoff_reply_read(struct msgr *r, uint32_t *request, bool *started)
{
	*request = msgr_u32(r);
	*started = msgr_bool(r);
	return msgr_end(r);
}
