/* The role spawn: tickets from authd, clients from workers, a fork for each pair. */
#include "master/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "master/kick.h"
#include "master/servers.h"
#include "master/spawn_child.h"
#include "master/tickets.h"
#include "node/msg_session.h"
#include "node/msg_channel.h"

enum { STOP_GRACE = 5, QUIET_SECONDS = 60 };

/* A login worker that can hand clients over. */
struct worker {
	struct worker *next;
	unsigned slot;
	uint64_t generation;
	struct chan *chan;
};

static struct {
	struct role_ctx ctx;
	struct chan *authd;
	uint64_t authd_generation;
	struct worker *workers;
	struct tickets *tickets;
	ev_timer sweep;   /* runs while there are tickets or waiting clients */
	ev_timer killing; /* after CTL_STOP */
	bool stopping;    /* no new sessions; ends with the last server */
} spawn;

static struct msgw out;

static void leave_if_done(void)
{
	if (!spawn.stopping || servers_first() != NULL)
		return;
	log_flush();
	exit(0);
}

/* If the channel is full or gone, authd is stuck or dead; its successor gets SESSION_HAVE. */
static void send_authd(void)
{
	if (spawn.authd != NULL && chan_send(spawn.authd, &out, -1) != 0)
		log_error("lost a message to authd; its session counts may be wrong until authd restarts");
}

/* The session of a program is its login worker's, too. */
static void tell_have(const struct server *s)
{
	(s->program ? session_program_write : session_have_write)(&out, s->session, s->protocol, &s->client, s->user,
	    (uint32_t)s->pid);
	send_authd();
}

static void tell_end(uint64_t session)
{
	session_end_write(&out, session);
	send_authd();
}

/* STREAM: the worker's end of it, or -1. */
static void reply(const struct handoff *h, bool started, int stream)
{
	static uint32_t quiet_until;

	for (struct worker *w = spawn.workers; w != NULL; w = w->next) {
		if (w->slot != h->slot || w->generation != h->generation)
			continue;
		handoff_reply_write(&out, h->request, started);
		if (chan_send(w->chan, &out, stream) != 0 && log_due(&quiet_until, QUIET_SECONDS))
			log_error("lost an answer to login worker %u", w->slot);
	}
}

/* Workers must not make streams themselves: with descriptors that are on their way in them one that was taken over
 * could use up what the kernel grants to all of them together. */
static bool make_stream(struct handoff *h, int *stream)
{
	static uint32_t quiet_until;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
		if (log_due(&quiet_until, QUIET_SECONDS))
			log_error("cannot make a stream to a session server: %s; raise LimitNOFILE", strerror(errno));
		return false;
	}
	h->fd = pair[0];
	*stream = pair[1];
	return true;
}

/* Ticket and client belong together: starts the server. */
static void serve(struct ticket *tk, struct handoff *h)
{
	const struct server *s = NULL;
	int stream = -1;

	/* What a program's client has sent behind its login waits at its worker: it gets nothing but a stream. */
	if (!spawn.stopping && (h->fd == -1 ? make_stream(h, &stream) : !tk->grant.program))
		s = servers_start(tk, h, spawn.ctx.set);
	/* All about the session: authd may be a new one, or have seen the end of the worker first. */
	if (s != NULL)
		tell_have(s);
	reply(h, s != NULL, s != NULL ? stream : -1);
	if (stream != -1)
		close(stream);
	ticket_free(&tk);
	handoff_free(&h);
}

/* Workers */

static void start_sweep(void)
{
	ev_timer_start(spawn.ctx.loop, &spawn.sweep);
}

/* Each client of a worker that was taken over could say it. */
static void say_overdue(const struct handoff *h)
{
	static uint32_t quiet_until;

	if (log_due(&quiet_until, QUIET_SECONDS))
		log_warn("login worker %u handed over a client without a valid ticket", h->slot);
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents UNUSED)
{
	int64_t now = clock_ms();
	struct handoff *h;

	while ((h = tickets_overdue(spawn.tickets, now)) != NULL) {
		say_overdue(h);
		reply(h, false, -1);
		handoff_free(&h);
	}
	tickets_expire(spawn.tickets, now);
	if (tickets_count(spawn.tickets) == 0 && tickets_waiting(spawn.tickets) == 0)
		ev_timer_stop(loop, w);
}

static void on_worker_gone(struct chan *c UNUSED, void *arg)
{
	struct worker *w = arg;

	for (struct worker **p = &spawn.workers; *p != NULL; p = &(*p)->next) {
		if (*p == w) {
			*p = w->next;
			break;
		}
	}
	tickets_drop_worker(spawn.tickets, w->slot, w->generation);
	chan_free(&w->chan);
	mem_free(&w);
}

/* It sent what our workers never send: the master kills it, and we read nothing more from it. */
static void end_worker(struct worker *w, unsigned type)
{
	log_error("bad message %u from login worker %u; killing it", type, w->slot);
	role_unfit(&spawn.ctx, w->slot, w->generation);
	on_worker_gone(w->chan, w);
}

/* Each login would say it. */
static void say_lost(const struct worker *w)
{
	static uint32_t quiet_until;

	if (log_due(&quiet_until, QUIET_SECONDS))
		log_error("lost the client that login worker %u handed over because descriptors ran out; raise "
		          "LimitNOFILE",
		    w->slot);
}

static void on_handoff(struct worker *w, struct msgr *r, int fd)
{
	struct handoff_client m;
	struct handoff *h;
	struct ticket *tk;

	/* With a descriptor that is for nobody; or without one, where none was ever lost, because none was sent. */
	if (!handoff_read(r, &m) || (m.relayed ? fd != -1 : fd == -1 && msg_lost_at() == 0)) {
		if (fd != -1)
			close(fd);
		end_worker(w, r->type);
		return;
	}
	h = handoff_new();
	h->fd = fd;
	h->slot = w->slot;
	h->generation = w->generation;
	h->request = m.request;
	memcpy(h->id, m.ticket, TICKET_LEN);
	str_copy(h->context, sizeof(h->context), m.context);
	if (fd == -1 && !m.relayed) { /* this process has too many descriptors open */
		say_lost(w);
		reply(h, false, -1);
		handoff_free(&h);
		return;
	}
	h->leftover = mem_memdup(m.leftover, m.leftover_len);
	h->leftover_len = m.leftover_len;
	tk = tickets_take(spawn.tickets, h->id, h->slot, h->generation, clock_ms());
	if (tk != NULL) {
		serve(tk, h);
	} else if (!spawn.stopping && tickets_hold(spawn.tickets, h, clock_ms())) {
		start_sweep();
	} else {
		reply(h, false, -1);
		handoff_free(&h);
	}
}

static void on_worker(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct worker *w = arg;

	if (r->type == HANDOFF) {
		on_handoff(w, r, fd);
		return;
	}
	if (fd != -1)
		close(fd);
	if (!msg_channel_skips(c, r, "a login worker"))
		end_worker(w, r->type);
}

/* authd */

static void on_ticket(struct msgr *r)
{
	struct ticket *tk = ticket_new();
	struct handoff *h;

	if (!ticket_read(r, &tk->grant)) {
		log_error("bad ticket from authd");
		ticket_free(&tk);
		return;
	}
	if ((h = tickets_held(spawn.tickets, tk)) != NULL) {
		serve(tk, h);
	} else if (tickets_add(spawn.tickets, tk, clock_ms())) {
		start_sweep();
	} else {
		log_error("too many tickets wait for their clients; refusing a login");
		ticket_free(&tk);
	}
}

static void on_adopt(struct msgr *r)
{
	struct session_adopt m;

	if (!session_adopt_read(r, &m)) {
		log_error("bad message from authd about a session server");
		return;
	}
	if (servers_find((pid_t)m.have.pid) != NULL)
		return; /* ours already */
	if (!servers_adopt((pid_t)m.have.pid, m.have.session, m.have.protocol, m.have.user, &m.have.client, m.start))
		tell_end(m.have.session);
}

static void on_authd(struct chan *c, struct msgr *r, int fd, void *arg UNUSED)
{
	uint8_t id[TICKET_LEN];

	switch (r->type) {
	case TICKET:
		on_ticket(r);
		break;
	case TICKET_VOID:
		if (ticket_void_read(r, id))
			tickets_void(spawn.tickets, id);
		break;
	case SESSION_ADOPT:
		on_adopt(r);
		break;
	default:
		msg_channel_skips(c, r, "authd");
	}
	if (fd != -1)
		close(fd);
}

static void on_authd_gone(struct chan *c UNUSED, void *arg UNUSED)
{
	chan_free(&spawn.authd);
}

/* If a worker lost its end of the channel, it gets another one. */
static void replace_worker(unsigned slot, uint64_t generation)
{
	for (struct worker *w = spawn.workers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->slot == slot && w->generation == generation)
			on_worker_gone(w->chan, w);
	}
}

/* The master */

static void on_channel(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock)
{
	struct worker *w;

	if (other == ROLE_AUTHD && (spawn.authd == NULL || generation >= spawn.authd_generation)) {
		chan_free(&spawn.authd);
		spawn.authd_generation = generation;
		spawn.authd = msg_channel_open(ctx->loop, sock, on_authd, on_authd_gone, NULL);
		for (const struct server *s = servers_first(); s != NULL; s = s->next)
			tell_have(s);
		msgw_begin(&out, SESSIONS_TOLD);
		send_authd();
	} else if (other == ROLE_WORKER) {
		replace_worker(slot, generation);
		w = mem_alloc(sizeof(*w));
		w->slot = slot;
		w->generation = generation;
		w->chan = msg_channel_open(ctx->loop, sock, on_worker, on_worker_gone, w);
		w->next = spawn.workers;
		spawn.workers = w;
	} else {
		close(sock);
	}
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct str rows = STR_INIT;
	struct session_choice choice;
	uint32_t result = 0;

	if (session_choice_read(&choice, "kick", command, argument)) {
		kick_sessions(query, &choice);
		return;
	}
	if (session_choice_read(&choice, "who", command, argument))
		result = servers_who(&choice, &rows);
	for (enum protocol p = 0; p < PROTOCOL_COUNT && strcmp(command, "status") == 0; p++)
		str_addf(&rows, "local_%s=%zu\n", protocols[p].name, servers_count(p));
	if (rows.len != 0)
		role_rows(ctx, query, rows.data, rows.len);
	role_done(ctx, query, result);
	str_fini(&rows);
}

static void on_kicked(uint32_t query, uint32_t sessions, uint32_t killed)
{
	struct str rows = STR_INIT;

	str_addf(&rows, "killed=%u\n", killed);
	role_rows(&spawn.ctx, query, rows.data, rows.len);
	role_done(&spawn.ctx, query, sessions);
	str_fini(&rows);
}

/* No new sessions; workers refuse the waiting clients. */
static void refuse_waiting(void)
{
	struct handoff *h;

	spawn.stopping = true;
	while ((h = tickets_overdue(spawn.tickets, INT64_MAX)) != NULL) {
		reply(h, false, -1);
		handoff_free(&h);
	}
}

static void on_killing(struct ev_loop *loop UNUSED, ev_timer *w UNUSED, int revents UNUSED)
{
	uint32_t n = servers_signal(SIGKILL);

	if (n > 0)
		log_warn("%u session servers did not end within %d s of the stop; killing them", n, STOP_GRACE);
}

static void on_stop(struct role_ctx *ctx)
{
	refuse_waiting();
	servers_signal(SIGTERM);
	ev_timer_start(ctx->loop, &spawn.killing);
	leave_if_done();
}

static void on_orphaned(struct role_ctx *ctx UNUSED)
{
	refuse_waiting();
	leave_if_done();
}

static void on_ended(const struct server *s)
{
	tell_end(s->session);
	kick_ended(s);
	leave_if_done();
}

/* In a new session server. */
static void forget_tickets(void)
{
	tickets_free(&spawn.tickets);
}

int spawn_main(const struct role_start *who)
{
	static const struct role_hooks hooks = {
		.channel = on_channel,
		.query = on_query,
		.stop = on_stop,
		.orphaned = on_orphaned,
	};

	spawn.tickets = tickets_new();
	role_init(&spawn.ctx, who, "waypostd", &hooks, NULL);
	servers_init(spawn.ctx.loop, on_ended, forget_tickets);
	spawn_child_prepare();
	kick_init(spawn.ctx.loop, on_kicked);
	ev_timer_init(&spawn.sweep, on_sweep, 0.5, 0.5);
	ev_timer_init(&spawn.killing, on_killing, STOP_GRACE, STOP_GRACE);
	ev_run(spawn.ctx.loop, 0);
	log_flush();
	return 0;
}
