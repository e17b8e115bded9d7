/* The messages about sessions and peers: each with its writer and its reader. */
#include "node/msg_session.h"

/* A protocol's number; R is bad if there is none of that number. */
static enum protocol read_protocol(struct msgr *r)
{
	uint8_t v = msgr_u8(r);

	if (v >= PROTOCOL_COUNT) {
		r->bad = true;
		return 0;
	}
	return (enum protocol)v;
}

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

static void write_have(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client, const char *user,
	uint32_t pid)
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
	m->protocol = read_protocol(r);
	net_addr_read(r, &m->client);
	msgr_str(r, m->user, sizeof(m->user));
	m->pid = msgr_u32(r);
}

void session_have_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client, const char *user,
	uint32_t pid)
{
	msgw_begin(w, SESSION_HAVE);
	write_have(w, session, protocol, client, user, pid);
}

bool session_have_read(struct msgr *r, struct session_have *m)
{
	read_have(r, m);
	return msgr_end(r);
}

void session_adopt_write(struct msgw *w, uint64_t session, enum protocol protocol, const struct net_addr *client, const char *user,
	uint32_t pid, uint64_t start)
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

void session_arrived_write(struct msgw *w, uint64_t session, uint8_t target)
{
	msgw_begin(w, SESSION_ARRIVED);
	msgw_u64(w, session);
	msgw_u8(w, target);
}

bool session_arrived_read(struct msgr *r, struct session_target *m)
{
	m->session = msgr_u64(r);
	m->target = msgr_u8(r);
	m->result = PEER_ANSWERS;
	return msgr_end(r);
}

void peer_result_write(struct msgw *w, uint64_t session, uint8_t target, enum peer_result result)
{
	msgw_begin(w, PEER_RESULT);
	msgw_u64(w, session);
	msgw_u8(w, target);
	msgw_u8(w, (uint8_t)result);
}

bool peer_result_read(struct msgr *r, struct session_target *m)
{
	uint8_t result;

	m->session = msgr_u64(r);
	m->target = msgr_u8(r);
	result = msgr_u8(r);
	m->result = (enum peer_result)MIN(result, PEER_RESULTS - 1);
	return msgr_end(r) && result < PEER_RESULTS;
}

void peer_self_write(struct msgw *w, enum protocol protocol, const char *host, uint16_t port)
{
	msgw_begin(w, PEER_SELF);
	msgw_u8(w, (uint8_t)protocol);
	msgw_str(w, host);
	msgw_u16(w, port);
}

bool peer_self_read(struct msgr *r, struct peer_self *m)
{
	m->protocol = read_protocol(r);
	msgr_str(r, m->host, sizeof(m->host));
	m->port = msgr_u16(r);
	return msgr_end(r);
}

void peer_signature_write(struct msgw *w, const char *host, enum hop_check check)
{
	msgw_begin(w, PEER_SIGNATURE);
	msgw_str(w, host);
	msgw_u8(w, (uint8_t)check);
}

bool peer_signature_read(struct msgr *r, struct peer_signature *m)
{
	uint8_t check;

	msgr_str(r, m->host, sizeof(m->host));
	check = msgr_u8(r);
	m->check = (enum hop_check)MIN(check, HOP_CHECK_COUNT - 1);
	return msgr_end(r) && check < HOP_CHECK_COUNT;
}
