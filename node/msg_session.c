/* The messages about sessions and peers: a writer and a reader for each. */
#include "node/msg_session.h"

void session_end_write(struct msgw *w, uint64_t session)
{
	msgw_begin(w, SESSION_END);
	msgw_u64(w, session);
}

bool session_end_read(struct msgr *r, uint64_t *session)
{
	*session = msgr_u64(r);
	return msgr_end(r);
}

static void write_have(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid)
{
	msgw_u64(w, session);
	msgw_u8(w, (uint8_t)protocol);
	net_addr_write(w, client);
	msgw_str(w, user);
	msgw_u32(w, pid);
}

static void read_have(struct msgr *r, struct session_have *m)
{
	m->session = msgr_u64(r);
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	net_addr_read(r, &m->client);
	msgr_str(r, m->user, sizeof(m->user));
	m->pid = msgr_u32(r);
}

void session_have_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid)
{
	msgw_begin(w, SESSION_HAVE);
	write_have(w, session, protocol, client, user, pid);
}

void session_program_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid)
{
	msgw_begin(w, SESSION_PROGRAM);
	write_have(w, session, protocol, client, user, pid);
}

bool session_have_read(struct msgr *r, struct session_have *m)
{
	read_have(r, m);
	return msgr_end(r);
}

void session_adopt_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client,
    const char *user, uint32_t pid, uint64_t start)
{
	msgw_begin(w, SESSION_ADOPT);
	write_have(w, session, protocol, client, user, pid);
	msgw_u64(w, start);
}

bool session_adopt_read(struct msgr *r, struct session_adopt *m)
{
	read_have(r, &m->have);
	m->start = msgr_u64(r);
	return msgr_end(r) && m->have.pid > 1 && m->have.pid <= INT32_MAX;
}

void session_arrived_write(struct msgw *w, uint64_t session, uint8_t target, int64_t when_ms)
{
	msgw_begin(w, SESSION_ARRIVED);
	msgw_u64(w, session);
	msgw_u8(w, target);
	msgw_u64(w, (uint64_t)when_ms);
}

bool session_arrived_read(struct msgr *r, struct session_target *m)
{
	m->session = msgr_u64(r);
	m->target = msgr_u8(r);
	m->result = PEER_ANSWERS;
	m->when_ms = (int64_t)msgr_u64(r);
	return msgr_end(r);
}

void peer_result_write(struct msgw *w, uint64_t session, uint8_t target, enum peer_result result, uint32_t took_ms)
{
	msgw_begin(w, PEER_RESULT);
	msgw_u64(w, session);
	msgw_u8(w, target);
	msgw_u8(w, (uint8_t)result);
	msgw_u32(w, took_ms);
}

bool peer_result_read(struct msgr *r, struct session_target *m)
{
	m->session = msgr_u64(r);
	m->target = msgr_u8(r);
	m->result = (enum peer_result)msgr_below(r, PEER_RESULTS);
	m->took_ms = msgr_u32(r);
	return msgr_end(r);
}

void peer_trouble_write(struct msgw *w, const struct peer_trouble *m)
{
	msgw_begin(w, PEER_TROUBLE);
	msgw_u8(w, (uint8_t)m->kind);
	msgw_u8(w, (uint8_t)m->protocol);
	msgw_str(w, m->host);
	net_addr_write(w, &m->addr);
	msgw_str(w, m->why);
}

bool peer_trouble_read(struct msgr *r, struct peer_trouble *m)
{
	m->kind = (enum peer_trouble_kind)msgr_below(r, PEER_TROUBLES);
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	msgr_str(r, m->host, sizeof(m->host));
	net_addr_read(r, &m->addr);
	msgr_str(r, m->why, sizeof(m->why));
	return msgr_end(r);
}

void peer_list_write(struct msgw *w, enum protocol protocol, const char *host, uint16_t port, const char *list)
{
	msgw_begin(w, PEER_LIST);
	msgw_u8(w, (uint8_t)protocol);
	msgw_str(w, host);
	msgw_u16(w, port);
	msgw_str(w, list);
}

static bool read_list(struct msgr *r, struct capabilities_told *m)
{
	msgr_str(r, m->list, sizeof(m->list));
	return msgr_end(r) && capability_list_ok(m->list);
}

bool peer_list_read(struct msgr *r, struct capabilities_told *m)
{
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	msgr_str(r, m->host, sizeof(m->host));
	m->port = msgr_u16(r);
	return read_list(r, m);
}

void auth_common_write(struct msgw *w, enum protocol protocol, const char *list)
{
	msgw_begin(w, AUTH_COMMON);
	msgw_u8(w, (uint8_t)protocol);
	msgw_str(w, list);
}

bool auth_common_read(struct msgr *r, struct capabilities_told *m)
{
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	m->host[0] = '\0';
	m->port = 0;
	return read_list(r, m);
}

void peer_signature_write(struct msgw *w, const char *host, enum signature_check check)
{
	msgw_begin(w, PEER_SIGNATURE);
	msgw_str(w, host);
	msgw_u8(w, (uint8_t)check);
}

bool peer_signature_read(struct msgr *r, struct peer_signature *m)
{
	msgr_str(r, m->host, sizeof(m->host));
	m->check = (enum signature_check)msgr_below(r, SIGNATURE_COUNT);
	return msgr_end(r);
}
