/* The role spawn: tickets from authd, clients from workers, a fork for each pair. */
#include "master/spawn.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "master/kick.h"
#include "master/servers.h"
#include "master/tickets.h"

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

/* What the others are told. A channel that is full or gone belongs to a process that is as good as dead; its
 * successor gets SESSION_HAVE. */

static void send_authd(void)
{
	if (spawn.authd != NULL && chan_send(spawn.authd, &out, -1) != 0)
		log_error("a message to authd was lost; the register of sessions may be wrong until authd is restarted");
}

static void tell_have(const struct server *s)
{
	msgw_begin(&out, SESSION_HAVE);
	msgw_u64(&out, s->session);
	msgw_u8(&out, (uint8_t)s->protocol);
	net_addr_write(&out, &s->client);
	msgw_str(&out, s->user);
	msgw_u32(&out, (uint32_t)s->pid);
	send_authd();
}

static void tell_end(uint64_t session)
{
	msgw_begin(&out, SESSION_END);
	msgw_u64(&out, session);
	send_authd();
}

static void reply(const struct handoff *h, bool started)
{
	for (struct worker *w = spawn.workers; w != NULL; w = w->next) {
		if (w->slot != h->slot || w->generation != h->generation)
			continue;
		msgw_begin(&out, HANDOFF_REPLY);
		msgw_u32(&out, h->request);
		msgw_u8(&out, started);
		if (chan_send(w->chan, &out, -1) != 0)
			log_error("an answer to login worker %u was lost", w->slot);
	}
}

/* Ticket and client have met. */
static void serve(struct ticket *tk, struct handoff *h)
{
	const struct server *s = !spawn.stopping ? servers_start(tk, h, spawn.ctx.set) : NULL;

	/* Everything about it: authd may have died since the ticket, or seen the end of the worker first. */
	if (s != NULL)
		tell_have(s);
	reply(h, s != NULL);
	ticket_free(&tk);
	handoff_free(&h);
}

/* Workers */

static void start_sweep(void)
{
	ev_timer_start(spawn.ctx.loop, &spawn.sweep);
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents UNUSED)
{
	int64_t now = clock_ms();
	struct handoff *h;

	while ((h = tickets_overdue(spawn.tickets, now)) != NULL) {
		log_warn("login worker %u handed over a client without a valid ticket", h->slot);
		reply(h, false);
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

/* It has said what no worker of ours says: the master ends it, and nothing more of it is listened to. */
static void end_worker(struct worker *w, unsigned type)
{
	log_error("bad message %u from login worker %u: it is ended", type, w->slot);
	role_unfit(&spawn.ctx, w->slot, w->generation);
	on_worker_gone(w->chan, w);
}

/* Each login would say it. */
static void say_lost(const struct worker *w)
{
	static uint32_t quiet_until;

	if (clock_seconds() < quiet_until)
		return;
	quiet_until = clock_seconds() + QUIET_SECONDS;
	log_error("the client that login worker %u handed over did not arrive, for want of descriptors here; raise LimitNOFILE", w->slot);
}

static void on_handoff(struct worker *w, struct msgr *r, int fd)
{
	struct handoff *h = handoff_new();
	struct ticket *tk;
	const void *leftover;

	h->fd = fd;
	h->slot = w->slot;
	h->generation = w->generation;
	h->request = msgr_u32(r);
	msgr_fixed(r, h->id, TICKET_LEN);
	msgr_str(r, h->context, sizeof(h->context));
	leftover = msgr_bytes(r, SESSION_LEFTOVER_MAX, &h->leftover_len);
	if (!msgr_end(r)) {
		handoff_free(&h);
		end_worker(w, r->type);
		return;
	}
	if (fd == -1) { /* no room for one more descriptor here */
		say_lost(w);
		reply(h, false);
		handoff_free(&h);
		return;
	}
	h->leftover = mem_memdup(leftover, h->leftover_len);
	tk = tickets_take(spawn.tickets, h->id, h->slot, h->generation, clock_ms());
	if (tk != NULL) {
		serve(tk, h);
	} else if (!spawn.stopping && tickets_hold(spawn.tickets, h, clock_ms())) {
		start_sweep();
	} else {
		reply(h, false);
		handoff_free(&h);
	}
}

static void on_worker(struct chan *c UNUSED, struct msgr *r, int fd, void *arg)
{
	struct worker *w = arg;

	if (r->type == HANDOFF) {
		on_handoff(w, r, fd);
		return;
	}
	if (fd != -1)
		close(fd);
	end_worker(w, r->type);
}

/* authd */

static void on_ticket(struct msgr *r)
{
	struct ticket *tk = ticket_new();
	struct handoff *h;
	uint8_t protocol, signature;

	account_fini(&tk->account);
	msgr_fixed(r, tk->id, TICKET_LEN);
	tk->session = msgr_u64(r);
	tk->slot = msgr_u32(r);
	tk->generation = msgr_u64(r);
	protocol = msgr_u8(r);
	account_read(r, &tk->account);
	msgr_str(r, tk->session_id, sizeof(tk->session_id));
	net_addr_read(r, &tk->client);
	tk->proxied = msgr_u8(r) != 0;
	tk->tls = msgr_u8(r) != 0;
	signature = msgr_u8(r);
	if (!msgr_end(r) || protocol >= PROTOCOL_COUNT || signature >= HOP_CHECK_COUNT) {
		log_error("bad ticket from authd");
		ticket_free(&tk);
		return;
	}
	tk->protocol = protocol;
	tk->signature = (enum hop_check)signature;
	if ((h = tickets_held(spawn.tickets, tk)) != NULL) {
		serve(tk, h);
	} else if (tickets_add(spawn.tickets, tk, clock_ms())) {
		start_sweep();
	} else {
		log_error("too many tickets wait for their clients; a login is refused");
		ticket_free(&tk);
	}
}

static void on_adopt(struct msgr *r)
{
	uint64_t session = msgr_u64(r), start;
	uint32_t pid = msgr_u32(r);
	uint8_t protocol = msgr_u8(r);
	char user[ACCOUNT_NAME_MAX];
	struct net_addr client;

	msgr_str(r, user, sizeof(user));
	net_addr_read(r, &client);
	start = msgr_u64(r);
	if (!msgr_end(r) || protocol >= PROTOCOL_COUNT || pid <= 1 || pid > INT32_MAX) {
		log_error("bad message from authd about a session server");
		return;
	}
	for (const struct server *s = servers_first(); s != NULL; s = s->next)
		if (s->pid == (pid_t)pid)
			return; /* ours already */
	if (!servers_adopt((pid_t)pid, session, protocol, user, &client, start))
		tell_end(session);
}

static void on_authd(struct chan *c UNUSED, struct msgr *r, int fd, void *arg UNUSED)
{
	uint8_t id[TICKET_LEN];

	switch (r->type) {
	case TICKET:
		on_ticket(r);
		break;
	case TICKET_VOID:
		msgr_fixed(r, id, sizeof(id));
		if (msgr_end(r))
			tickets_void(spawn.tickets, id);
		break;
	case SESSION_ADOPT:
		on_adopt(r);
		break;
	default:
		log_error("unknown message %u from authd", r->type);
	}
	if (fd != -1)
		close(fd);
}

static void on_authd_gone(struct chan *c UNUSED, void *arg UNUSED)
{
	chan_free(&spawn.authd);
}

/* The same worker gets another channel where its end of the first one was lost. */
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
		spawn.authd = chan_new(ctx->loop, sock, on_authd, on_authd_gone, NULL);
		for (const struct server *s = servers_first(); s != NULL; s = s->next)
			tell_have(s);
	} else if (other == ROLE_WORKER) {
		replace_worker(slot, generation);
		w = mem_alloc(sizeof(*w));
		w->slot = slot;
		w->generation = generation;
		w->chan = chan_new(ctx->loop, sock, on_worker, on_worker_gone, w);
		w->next = spawn.workers;
		spawn.workers = w;
	} else {
		close(sock);
	}
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct str rows = STR_INIT;
	uint32_t result = 0;

	if (strcmp(command, "kick") == 0) {
		kick_user(query, argument);
		return;
	}
	if (strcmp(command, "who") == 0)
		result = servers_who(&rows);
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

/* No new sessions; who waits is told so by its worker. */
static void refuse_waiting(void)
{
	struct handoff *h;

	spawn.stopping = true;
	while ((h = tickets_overdue(spawn.tickets, INT64_MAX)) != NULL) {
		reply(h, false);
		handoff_free(&h);
	}
}

static void on_killing(struct ev_loop *loop UNUSED, ev_timer *w UNUSED, int revents UNUSED)
{
	uint32_t n = servers_signal(NULL, SIGKILL);

	if (n > 0)
		log_warn("%u session servers did not end within %d s of the stop and are killed", n, STOP_GRACE);
}

static void on_stop(struct role_ctx *ctx)
{
	refuse_waiting();
	servers_signal(NULL, SIGTERM);
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
		.channel = on_channel, .query = on_query, .stop = on_stop, .orphaned = on_orphaned,
	};

	spawn.tickets = tickets_new();
	role_init(&spawn.ctx, who, "waypostd", &hooks, NULL);
	servers_init(spawn.ctx.loop, on_ended, forget_tickets);
	kick_init(spawn.ctx.loop, on_kicked);
	ev_timer_init(&spawn.sweep, on_sweep, 0.5, 0.5);
	ev_timer_init(&spawn.killing, on_killing, STOP_GRACE, STOP_GRACE);
	ev_run(spawn.ctx.loop, 0);
	log_flush();
	return 0;
}
