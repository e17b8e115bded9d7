/* The messages of the control channels and of the operator's tool: a writer and a reader for each. */
#include "node/msg_control.h"

static void write_process(struct msgw *w, const struct control_process *p)
{
	msgw_u8(w, (uint8_t)p->role);
	msgw_u32(w, p->slot);
	msgw_u64(w, p->generation);
}

static void read_process(struct msgr *r, struct control_process *p)
{
	p->role = (enum role)msgr_below(r, ROLE_COUNT);
	p->slot = msgr_u32(r);
	p->generation = msgr_u64(r);
}

void control_channel_write(struct msgw *w, const struct control_process *other)
{
	msgw_begin(w, CTL_CHANNEL);
	write_process(w, other);
}

bool control_channel_read(struct msgr *r, struct control_process *other)
{
	read_process(r, other);
	return msgr_end(r);
}

void control_listen_write(struct msgw *w, const struct control_listen *m)
{
	msgw_begin(w, CTL_LISTEN);
	msgw_u32(w, m->slot);
	msgw_u8(w, (uint8_t)m->protocol);
	msgw_u8(w, m->tls);
}

bool control_listen_read(struct msgr *r, struct control_listen *m)
{
	m->slot = msgr_u32(r);
	m->protocol = (enum protocol)msgr_below(r, PROTOCOL_COUNT);
	m->tls = msgr_bool(r);
	return msgr_end(r);
}

void control_trust_write(struct msgw *w, unsigned whose)
{
	msgw_begin(w, CTL_TRUST);
	msgw_u8(w, (uint8_t)whose);
}

bool control_trust_read(struct msgr *r, unsigned *whose)
{
	*whose = msgr_below(r, CONTROL_TRUST_COUNT);
	return msgr_end(r);
}

void control_unlisten_write(struct msgw *w, uint32_t slot)
{
	msgw_begin(w, CTL_UNLISTEN);
	msgw_u32(w, slot);
}

bool control_unlisten_read(struct msgr *r, uint32_t *slot)
{
	*slot = msgr_u32(r);
	return msgr_end(r);
}

void control_switch_write(struct msgw *w, enum msg_type type, bool on)
{
	msgw_begin(w, (uint16_t)type);
	msgw_u8(w, on);
}

bool control_switch_read(struct msgr *r, bool *on)
{
	*on = msgr_bool(r);
	return msgr_end(r);
}

void control_missed_write(struct msgw *w, const struct control_missed *m)
{
	msgw_begin(w, CTL_MISSED);
	msgw_u16(w, m->type);
	write_process(w, &m->other);
}

bool control_missed_read(struct msgr *r, struct control_missed *m)
{
	m->type = msgr_u16(r);
	read_process(r, &m->other);
	return msgr_end(r);
}

void control_unfit_write(struct msgw *w, uint32_t slot, uint64_t generation)
{
	msgw_begin(w, CTL_UNFIT);
	msgw_u32(w, slot);
	msgw_u64(w, generation);
}

bool control_unfit_read(struct msgr *r, uint32_t *slot, uint64_t *generation)
{
	*slot = msgr_u32(r);
	*generation = msgr_u64(r);
	return msgr_end(r);
}

static void read_command(struct msgr *r, struct control_command *m)
{
	msgr_str(r, m->command, sizeof(m->command));
	msgr_lines(r, m->argument, sizeof(m->argument));
}

void control_query_write(struct msgw *w, uint32_t query, const char *command, const char *argument)
{
	msgw_begin(w, CTL_QUERY);
	msgw_u32(w, query);
	msgw_str(w, command);
	msgw_str(w, argument);
}

bool control_query_read(struct msgr *r, struct control_command *m)
{
	m->query = msgr_u32(r);
	read_command(r, m);
	return msgr_end(r);
}

void tool_command_write(struct msgw *w, const char *command, const char *argument)
{
	msgw_begin(w, TOOL_COMMAND);
	msgw_str(w, command);
	msgw_str(w, argument);
}

bool tool_command_read(struct msgr *r, struct control_command *m)
{
	m->query = 0;
	read_command(r, m);
	return msgr_end(r);
}

void control_rows_write(struct msgw *w, uint32_t query, const char *text, size_t len)
{
	msgw_begin(w, CTL_ROWS);
	msgw_u32(w, query);
	msgw_bytes(w, text, len);
}

bool control_rows_read(struct msgr *r, uint32_t *query, const char **text, size_t *len)
{
	*query = msgr_u32(r);
	*text = msgr_bytes(r, ROLE_ROWS_MAX, len);
	return msgr_end(r);
}

void tool_rows_write(struct msgw *w, const char *text, size_t len)
{
	msgw_begin(w, TOOL_ROWS);
	msgw_bytes(w, text, len);
}

bool tool_rows_read(struct msgr *r, const char **text, size_t *len)
{
	*text = msgr_bytes(r, ROLE_ROWS_MAX, len);
	return msgr_end(r);
}

const char *control_total_name(enum control_total t)
{
	static const char *const names[CONTROL_TOTAL_COUNT] = {
#define X(role, id, name) name,
		CONTROL_TOTALS(X)
#undef X
#define X(name, word, count) count,
		    AUTH_VERDICTS(X)
#undef X
	};

	return names[t];
}

void control_totals_write(struct msgw *w, const struct control_totals *m)
{
	msgw_begin(w, CTL_TOTALS);
	for (size_t i = 0; i < ARRAY_LEN(m->n); i++)
		msgw_u64(w, m->n[i]);
}

bool control_totals_read(struct msgr *r, struct control_totals *m)
{
	for (size_t i = 0; i < ARRAY_LEN(m->n); i++)
		m->n[i] = msgr_u64(r);
	return msgr_end(r);
}

static enum role counted_by(size_t i)
{
	static const enum role roles[] = {
#define X(role, id, name) ROLE_##role,
		CONTROL_TOTALS(X)
#undef X
	};

	return i < ARRAY_LEN(roles) ? roles[i] : ROLE_AUTHD;
}

bool control_totals_possible(const struct control_totals *m, enum role role, const struct control_totals *before,
    double seconds)
{
	for (size_t i = 0; i < CONTROL_TOTAL_COUNT; i++)
		if (m->n[i] < before->n[i] || (m->n[i] != 0 && counted_by(i) != role) ||
		    (double)m->n[i] > CONTROL_TOTALS_MOST * (seconds + 1))
			return false;
	return true;
}

void control_done_write(struct msgw *w, uint32_t query, uint32_t result)
{
	msgw_begin(w, CTL_DONE);
	msgw_u32(w, query);
	msgw_u32(w, result);
}

bool control_done_read(struct msgr *r, uint32_t *query, uint32_t *result)
{
	*query = msgr_u32(r);
	*result = msgr_u32(r);
	return msgr_end(r);
}

void tool_done_write(struct msgw *w, uint32_t status, const char *message)
{
	msgw_begin(w, TOOL_DONE);
	msgw_u32(w, status);
	msgw_str(w, message);
}

bool tool_done_read(struct msgr *r, uint32_t *status, char **message)
{
	*status = msgr_u32(r);
	*message = msgr_linesdup(r, MSG_SIZE_MAX);
	return msgr_end(r);
}
