/* The hand-over of a client to spawn. */
#include "login/spawn_link.h"

#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/str.h"
#include "login/login.h"
#include "node/msg_channel.h"
#include "node/msg_ticket.h"

struct spawn_link {
	struct ev_loop *loop;
	struct request_table *requests;
	const struct spawn_link_hooks *hooks;
	void *arg;
	struct chan *chan; /* NULL: there is no spawn */
};

static struct msgw out;

bool spawn_link_hand_off(struct spawn_link *s, struct login *l)
{
	struct str context = STR_INIT;
	bool program = peer_login_is_program(l);
	int fd = program ? -1 : conn_raw_fd(&l->conn);
	struct handoff_client m = { .relayed = fd == -1 };
	bool sent;

	if (s->chan == NULL || !request_table_take(s->requests, l, &l->request))
		return false;
	if (fd != -1)
		loop_forget(s->loop, fd);
	l->dialect->context(l, &context);
	m.request = l->request;
	memcpy(m.ticket, l->reply->ticket, TICKET_LEN);
	str_copy(m.context, sizeof(m.context), str_cstr(&context));
	m.leftover = str_cstr(&l->in);
	m.leftover_len = program ? 0 : l->in.len; /* the relay to a program begins with it */
	handoff_write(&out, &m);
	sent = chan_send(s->chan, &out, fd) == 0;
	if (!sent)
		request_table_drop(s->requests, &l->request);
	str_fini(&context);
	return sent;
}

/* The login that R answers; NULL: none. */
static struct login *answered(const struct spawn_link *s, const struct chan *c, struct msgr *r, bool *ok)
{
	uint32_t request;

	if (r->type != HANDOFF_REPLY) {
		msg_channel_skips(c, r, "spawn");
		return NULL;
	}
	if (!handoff_reply_read(r, &request, ok)) {
		log_error("bad message %u from spawn", r->type);
		return NULL;
	}
	return request_table_find(s->requests, request);
}

static void on_spawn(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct spawn_link *s = arg;
	bool ok;
	struct login *l = answered(s, c, r, &ok);

	if (l != NULL) {
		request_table_drop(s->requests, &l->request);
		s->hooks->reply(l, ok, fd);
	} else if (fd != -1) {
		close(fd);
	}
}

static void on_spawn_gone(struct chan *c UNUSED, void *arg)
{
	struct spawn_link *s = arg;

	chan_free(&s->chan);
	s->hooks->gone(s->arg);
}

struct spawn_link *spawn_link_new(struct ev_loop *loop, struct request_table *requests,
    const struct spawn_link_hooks *hooks, void *arg)
{
	struct spawn_link *s = mem_alloc(sizeof(*s));

	s->loop = loop;
	s->requests = requests;
	s->hooks = hooks;
	s->arg = arg;
	return s;
}

void spawn_link_free(struct spawn_link **s)
{
	if ((*s)->chan != NULL)
		chan_free(&(*s)->chan);
	mem_free(s);
}

void spawn_link_open(struct spawn_link *s, int sock)
{
	if (s->chan != NULL)
		chan_drain(s->chan); /* what it sent before it died */
	if (s->chan != NULL)
		on_spawn_gone(s->chan, s);
	s->chan = msg_channel_open(s->loop, sock, on_spawn, on_spawn_gone, s);
}
