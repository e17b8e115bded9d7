/* Starts a role, and handles its messages from and to the master. */
#include "node/role.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "node/msg_control.h"
#include "node/priv.h"
#include "node/msg_channel.h"

enum { SHORTAGE_SECONDS = 10 };

enum { LOG_ENOUGH = 8 * 1024 };       /* bytes of log lines that justify a message */
static const double LOG_EVERY = 0.05; /* seconds */

static struct msgw out;

/* A master that does not read is stuck; it hears from the role again when it asks the next time. */
static void send_control(struct role_ctx *ctx)
{
	if (ctx->control != NULL && chan_send(ctx->control, &out, -1) != 0)
		log_error("a message to the master was lost");
}

static void flush_and_exit(int status)
{
	log_flush();
	exit(status);
}

/* A message came without its descriptor, because this process has too many open. Asks for it again: without its channel
 * it could not talk to that process for as long as both live. */
static void tell_missed(struct role_ctx *ctx, uint16_t what, enum role other, uint32_t slot, uint64_t generation)
{
	control_missed_write(&out, &(struct control_missed){ what, { other, slot, generation } });
	send_control(ctx);
}

static void on_channel(struct role_ctx *ctx, struct msgr *r, int fd)
{
	struct control_process other;
	bool good = control_channel_read(r, &other);

	if (good && fd == -1) {
		tell_missed(ctx, CTL_CHANNEL, other.role, other.slot, other.generation);
	} else if (!good || ctx->hooks->channel == NULL) {
		if (fd != -1)
			close(fd);
	} else {
		ctx->hooks->channel(ctx, other.role, other.slot, other.generation, fd);
	}
}

static void on_listen(struct role_ctx *ctx, struct msgr *r, int fd)
{
	struct control_listen m;
	bool good = control_listen_read(r, &m);

	if (good && fd == -1) {
		tell_missed(ctx, CTL_LISTEN, ROLE_WORKER, m.slot, 0);
	} else if (!good || ctx->hooks->listen == NULL) {
		if (fd != -1)
			close(fd);
	} else {
		ctx->hooks->listen(ctx, m.slot, m.protocol, m.tls, fd);
	}
}

static void on_key(struct role_ctx *ctx, struct msgr *r, int fd)
{
	static struct control_key m;
	bool good = control_key_read(r, &m);

	if (good && fd == -1)
		tell_missed(ctx, CTL_KEY, ctx->who.role, ctx->who.slot, 0);
	if (!good || ctx->hooks->key == NULL) {
		if (fd != -1)
			close(fd);
	} else {
		ctx->hooks->key(ctx, &m, fd);
	}
}

static void on_key_gone(struct role_ctx *ctx, struct msgr *r)
{
	struct control_key_gone m;

	if (control_key_gone_read(r, &m) && ctx->hooks->key_gone != NULL)
		ctx->hooks->key_gone(ctx, &m);
}

static void on_trust(struct role_ctx *ctx, struct msgr *r, int fd)
{
	unsigned whose;
	bool good = control_trust_read(r, &whose);

	if (good && fd == -1) {
		tell_missed(ctx, CTL_TRUST, ctx->who.role, whose, 0);
	} else if (!good || ctx->hooks->trust == NULL) {
		if (fd != -1)
			close(fd);
	} else {
		ctx->hooks->trust(ctx, whose, fd);
	}
}

static void on_unlisten(struct role_ctx *ctx, struct msgr *r)
{
	uint32_t slot;

	if (control_unlisten_read(r, &slot) && ctx->hooks->unlisten != NULL)
		ctx->hooks->unlisten(ctx, slot);
}

static void take_log_level(const struct settings *set)
{
	log_set_debug(strcmp(set->node_LOG_LEVEL, "debug") == 0);
}

static void on_settings(struct role_ctx *ctx, int fd)
{
	struct settings *new = fd != -1 ? settings_read(fd) : NULL, *old = ctx->set;

	if (fd != -1)
		close(fd);
	else
		tell_missed(ctx, CTL_SETTINGS, ctx->who.role, ctx->who.slot, 0);
	if (new == NULL) {
		log_error("cannot read the new settings; the old ones stay");
		return;
	}
	ctx->set = new;
	take_log_level(new);
	if (ctx->hooks->settings != NULL)
		ctx->hooks->settings(ctx, old);
	settings_free(&old);
}

/* This process recently lost a descriptor that was passed to it. */
static bool lacked_descriptors(void)
{
	return msg_lost_at() != 0 && clock_seconds() - msg_lost_at() < SHORTAGE_SECONDS;
}

static void on_query(struct role_ctx *ctx, struct msgr *r)
{
	static const char shortage[] = "descriptors_short=1\n";
	static struct control_command m;

	if (control_query_read(r, &m)) {
		if (strcmp(m.command, "status") == 0 && lacked_descriptors())
			role_rows(ctx, m.query, shortage, strlen(shortage));
		if (strcmp(m.command, "status") == 0)
			role_totals(ctx);
		if (ctx->hooks->query != NULL)
			ctx->hooks->query(ctx, m.query, m.command, m.argument);
		else
			role_done(ctx, m.query, 0);
	}
	mem_wipe(&m, sizeof(m)); /* "auth" carries a password */
}

static void stop(struct role_ctx *ctx)
{
	if (ctx->hooks->stop == NULL)
		flush_and_exit(0);
	ctx->hooks->stop(ctx);
}

static void on_keys(struct role_ctx *ctx, struct msgr *r)
{
	enum control_keys how;

	if (!control_keys_read(r, &how))
		log_error("bad message %u from the master", r->type);
	else if (ctx->hooks->keys != NULL)
		ctx->hooks->keys(ctx, how);
}

static void on_plain(struct role_ctx *ctx, struct msgr *r)
{
	uint16_t type = r->type;
	bool on = false, is_switch = type == CTL_DRAIN || type == CTL_OTHERS;

	if (!(is_switch ? control_switch_read(r, &on) : msgr_end(r))) {
		log_error("bad message %u from the master", type);
	} else if (type == CTL_GO) {
		if (ctx->hooks->go != NULL)
			ctx->hooks->go(ctx);
		else
			role_ready(ctx);
	} else if (type == CTL_PING) {
		role_totals(ctx);
		msgw_begin(&out, CTL_PONG);
		send_control(ctx);
	} else if (type == CTL_RETIRE) {
		if (ctx->hooks->retire == NULL)
			flush_and_exit(0);
		ctx->hooks->retire(ctx);
	} else if (type == CTL_OTHERS) {
		if (ctx->hooks->others != NULL)
			ctx->hooks->others(ctx, on);
	} else if (type == CTL_DRAIN) {
		if (ctx->hooks->drain != NULL)
			ctx->hooks->drain(ctx, on);
	} else {
		stop(ctx);
	}
}

static void on_control(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct role_ctx *ctx = arg;

	switch (r->type) {
	case CTL_CHANNEL:
		on_channel(ctx, r, fd);
		return;
	case CTL_LISTEN:
		on_listen(ctx, r, fd);
		return;
	case CTL_SETTINGS:
		on_settings(ctx, fd);
		return;
	case CTL_KEY:
		on_key(ctx, r, fd);
		return;
	case CTL_TRUST:
		on_trust(ctx, r, fd);
		return;
	case CTL_KEY_GONE:
		on_key_gone(ctx, r);
		break;
	case CTL_KEYS:
		on_keys(ctx, r);
		break;
	case CTL_UNLISTEN:
		on_unlisten(ctx, r);
		break;
	case CTL_QUERY:
		on_query(ctx, r);
		break;
	case CTL_GO:
	case CTL_PING:
	case CTL_RETIRE:
	case CTL_DRAIN:
	case CTL_OTHERS:
	case CTL_STOP:
		on_plain(ctx, r);
		break;
	default:
		msg_channel_skips(c, r, "the master");
	}
	if (fd != -1)
		close(fd);
}

static void on_orphaned(struct chan *c UNUSED, void *arg)
{
	struct role_ctx *ctx = arg;

	chan_free(&ctx->control);
	if (ctx->hooks->orphaned == NULL)
		flush_and_exit(0);
	ctx->hooks->orphaned(ctx);
}

static void on_term(struct ev_loop *loop UNUSED, ev_signal *w, int revents UNUSED)
{
	stop(w->data);
}

static void flush_now(struct role_ctx *ctx)
{
	log_flush();
	ctx->flushed = clock_now();
	ev_idle_stop(ctx->loop, &ctx->flush_idle);
}

static void on_idle(struct ev_loop *loop UNUSED, ev_idle *w, int revents UNUSED)
{
	flush_now(w->data);
}

/* Each batch wakes the master, so a role sends its lines when it is idle, and some twenty times a second while it is
 * busy. */
static void on_prepare(struct ev_loop *loop, ev_prepare *w, int revents UNUSED)
{
	struct role_ctx *ctx = w->data;

	if (log_waiting() == 0)
		return;
	if (log_waiting() >= LOG_ENOUGH || clock_now() - ctx->flushed >= LOG_EVERY)
		flush_now(ctx);
	else
		ev_idle_start(loop, &ctx->flush_idle);
}

/* Signals are for the master: a Ctrl-C or a HUP for the whole group must not end the roles. */
static void set_signals(struct role_ctx *ctx)
{
	static ev_signal term;

	signal(SIGPIPE, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	signal(SIGUSR2, SIG_IGN);
	ev_signal_init(&term, on_term, SIGTERM);
	term.data = ctx;
	ev_signal_start(ctx->loop, &term);
	ev_unref(ctx->loop);
}

/* What ps and top show. */
static void set_process_name(enum role role)
{
	static const char *const names[ROLE_COUNT] = {
		[ROLE_MASTER] = "waypostd",
		[ROLE_WORKER] = "waypostd-worker",
		[ROLE_AUTHD] = "waypostd-authd",
		[ROLE_AUTHWORKER] = "waypostd-authw",
		[ROLE_SPAWN] = "waypostd-spawn",
		[ROLE_KEY] = "waypostd-key",
	};

	prctl(PR_SET_NAME, names[role], 0, 0, 0);
}

/* authd has little to do for each message. It must not preempt the worker that sends them one by one: on a busy machine
 * it then gets several at a time. */
static void yield_to_senders(void)
{
	const struct sched_param none = { 0 };

	sched_setscheduler(0, SCHED_BATCH, &none);
}

static void check_descriptors(const struct role_start *who)
{
	static const int last_of[ROLE_COUNT] = {
		[ROLE_WORKER] = ROLE_FD_SETTINGS,
		[ROLE_AUTHD] = ROLE_FD_USED_TOKENS,
		[ROLE_AUTHWORKER] = ROLE_FD_SETTINGS,
		[ROLE_SPAWN] = ROLE_FD_SESSION_LOG,
	};
	int last = last_of[who->role];

	for (int fd = ROLE_FD_CONTROL; fd <= last; fd++)
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) == -1)
			die_fatal("only waypostd can start this role");
}

/* What a library has opened on its own is no memory file. */
static int passed_userdb(void)
{
	return fcntl(ROLE_FD_USERDB, F_GET_SEALS) != -1 && fcntl(ROLE_FD_USERDB, F_SETFD, FD_CLOEXEC) == 0 ?
	    ROLE_FD_USERDB :
	    -1;
}

void role_init(struct role_ctx *ctx, const struct role_start *who, const char *program, const struct role_hooks *hooks,
    void *arg)
{
	check_descriptors(who);
	memset(ctx, 0, sizeof(*ctx));
	ctx->userdb = who->role == ROLE_AUTHD ? passed_userdb() : -1; /* before its number is another's */
	ctx->who = *who;
	ctx->hooks = hooks;
	ctx->arg = arg;
	set_process_name(who->role);
	if (who->role == ROLE_AUTHD)
		yield_to_senders();
	log_set_program(program);
	log_set_socket(ROLE_FD_LOG);
	if ((ctx->set = settings_read(ROLE_FD_SETTINGS)) == NULL)
		die_fatal("the settings handed over by the master are damaged");
	close(ROLE_FD_SETTINGS);
	take_log_level(ctx->set);
	priv_drop(who->role, ctx->set);
	ctx->loop = loop_new();
	set_signals(ctx);
	ev_idle_init(&ctx->flush_idle, on_idle);
	ctx->flush_idle.data = ctx;
	ev_prepare_init(&ctx->flush, on_prepare);
	ctx->flush.data = ctx;
	ev_prepare_start(ctx->loop, &ctx->flush);
	ev_unref(ctx->loop);
	ctx->control = msg_channel_open(ctx->loop, ROLE_FD_CONTROL, on_control, on_orphaned, ctx);
}

void role_ready(struct role_ctx *ctx)
{
	msgw_begin(&out, CTL_READY);
	send_control(ctx);
}

static void send_rows(struct role_ctx *ctx, uint32_t query, const char *text, size_t len)
{
	control_rows_write(&out, query, text, len);
	send_control(ctx);
}

/* Splits TEXT at line ends into messages. */
void role_rows(struct role_ctx *ctx, uint32_t query, const char *text, size_t len)
{
	const size_t most = ROLE_ROWS_MAX;

	while (len > most) {
		const char *end = memrchr(text, '\n', most);
		size_t n = end != NULL ? (size_t)(end + 1 - text) : most;

		send_rows(ctx, query, text, n);
		text += n;
		len -= n;
	}
	if (len > 0)
		send_rows(ctx, query, text, len);
}

void role_done(struct role_ctx *ctx, uint32_t query, uint32_t result)
{
	control_done_write(&out, query, result);
	send_control(ctx);
}

void role_totals(struct role_ctx *ctx)
{
	struct control_totals now = { .n = { 0 } };

	if (ctx->hooks->totals == NULL)
		return;
	ctx->hooks->totals(ctx, &now);
	if (memcmp(&now, &ctx->totals, sizeof(now)) == 0)
		return;
	ctx->totals = now;
	control_totals_write(&out, &now);
	send_control(ctx);
}

void role_full(struct role_ctx *ctx, bool full)
{
	control_switch_write(&out, CTL_FULL, full);
	send_control(ctx);
}

void role_userdb(struct role_ctx *ctx, int fd)
{
	msgw_begin(&out, CTL_USERDB);
	if (ctx->control != NULL && chan_send(ctx->control, &out, fd) != 0)
		log_error("cannot pass the userdb to the master: if authd dies, logins wait until it is read again");
}

void role_key_news(struct role_ctx *ctx, const struct control_key_news *m)
{
	control_key_news_write(&out, m);
	send_control(ctx);
}

void role_unfit(struct role_ctx *ctx, unsigned slot, uint64_t generation)
{
	control_unfit_write(&out, slot, generation);
	send_control(ctx);
}
