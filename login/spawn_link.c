/* The hand-over of a client to spawn. */
#include "login/spawn_link.h"

#include <sys/socket.h>
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

/* What the session server of L gets. -1: there is none. */
static int outer_of(const struct spawn_link *s, struct login *l)
{
	int fd = conn_raw_fd(&l->conn), pair[2];

	if (fd != -1) {
		loop_forget(s->loop, fd);
		return fd;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
		return -1;
	l->inner = pair[0];
	return pair[1];
}

bool spawn_link_hand_off(struct spawn_link *s, struct login *l)
{
	struct str context = STR_INIT;
	int fd;
	bool sent;

	if (s->chan == NULL || !request_table_take(s->requests, l, &l->request))
		return false;
	if ((fd = outer_of(s, l)) == -1) {
		request_table_drop(s->requests, &l->request);
		return false;
	}
	l->dialect->context(l, &context);
	handoff_write(&out, l->request, l->reply->ticket, str_cstr(&context), str_cstr(&l->in), l->in.len);
	sent = chan_send(s->chan, &out, fd) == 0;
	if (l->inner != -1)
		close(fd);
	if (!sent)
		request_table_drop(s->requests, &l->request);
	str_fini(&context);
	return sent;
}

static void on_spawn(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct spawn_link *s = arg;
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
	if ((l = request_table_find(s->requests, request)) == NULL)
		return;
	request_table_drop(s->requests, &l->request);
	s->hooks->reply(l, ok);
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
