#include "master/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "master/spawn_child.h"
#include "master/tickets.h"

enum { STOP_GRACE = 5, PAGE = 4096 };

/* A login worker that can hand clients over. */
struct worker {
	struct worker *next;
	unsigned slot;
	uint64_t generation;
	struct chan *chan;
};

/* A session server: a child, or one that a spawn before us left behind. */
struct server {
	struct server *next, **self;
	pid_t pid;
	uint64_t session;
	enum protocol protocol;
	char *user;
	char session_id[SESSION_ID_MAX];
	struct net_addr client;
	int64_t began;                      /* session_clock() */
	struct session_counters *counters;  /* NULL: not our child */
	ev_child child;
	ev_io pidfd;
	ev_timer poll;                      /* instead, where there are no pidfds (valgrind, old kernels) */
	bool told;                          /* we asked it to end */
};

static struct {
	struct role_ctx ctx;
	struct chan *authd;
	uint64_t authd_generation;
	struct worker *workers;
	struct server *servers;
	size_t count[PROTOCOL_COUNT];
	struct tickets *tickets;
	ev_timer sweep;   /* runs while there are tickets or waiting clients */
	ev_timer killing; /* after CTL_STOP */
	bool stopping;    /* no new sessions; ends with the last server */
} spawn;

static struct msgw out;

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void leave_if_done(void)
{
	if (!spawn.stopping || spawn.servers != NULL)
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

static void tell_pid(const struct server *s)
{
	msgw_begin(&out, SESSION_PID);
	msgw_u64(&out, s->session);
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

/* Servers */

static void forget(struct server *s)
{
	*s->self = s->next;
	if (s->next != NULL)
		s->next->self = s->self;
	spawn.count[s->protocol]--;
	tell_end(s->session);
	if (s->counters != NULL)
		munmap(s->counters, PAGE);
	mem_free(&s->user);
	mem_free(&s);
	leave_if_done();
}

/* The end line that a server logs itself when it can. */
static void log_lost(const struct server *s, const char *end)
{
	struct session_start start = { .user = s->user, .client = s->client };
	char who[512];

	log_as(spawn_program(s->protocol), LOG_LEVEL_INFO, "DISCONNECTED, %s, rcvd=%llu, sent=%llu, time=%lld, session=%s, end=%s",
	    session_log_who(&start, who, sizeof(who)), (unsigned long long)s->counters->rcvd,
	    (unsigned long long)s->counters->sent, (long long)(session_clock() - s->began), s->session_id, end);
}

static void on_child(struct ev_loop *loop, ev_child *w, int revents UNUSED)
{
	struct server *s = w->data;
	const char *program = spawn_program(s->protocol);
	char user[256];

	ev_child_stop(loop, w);
	log_clean(user, sizeof(user), s->user);
	if (WIFEXITED(w->rstatus) && WEXITSTATUS(w->rstatus) == 0) {
		forget(s);
		return;
	}
	if (s->told && WIFSIGNALED(w->rstatus)) {
		log_lost(s, spawn.stopping ? "shutdown" : "kick");
	} else if (WIFSIGNALED(w->rstatus)) {
		log_error("the %s server of %s (process %d) was ended by signal %d (%s) and its client disconnected; if nobody sent "
		    "that signal and memory is not short, please report it with this line", program, user, (int)s->pid,
		    WTERMSIG(w->rstatus), strsignal(WTERMSIG(w->rstatus)));
		log_lost(s, "crash");
	} else {
		log_error("the %s server of %s (process %d) gave up with status %d; the lines before this one tell why", program,
		    user, (int)s->pid, WEXITSTATUS(w->rstatus));
		log_lost(s, "crash");
	}
	forget(s);
}

static void on_pidfd(struct ev_loop *loop, ev_io *w, int revents UNUSED)
{
	struct server *s = w->data;

	ev_io_stop(loop, w);
	close(w->fd);
	forget(s);
}

static void on_poll(struct ev_loop *loop, ev_timer *w, int revents UNUSED)
{
	struct server *s = w->data;

	if (kill(s->pid, 0) == 0 || errno != ESRCH)
		return;
	ev_timer_stop(loop, w);
	forget(s);
}

static struct server *add_server(pid_t pid, uint64_t session, enum protocol protocol, const char *user, const struct net_addr *client)
{
	struct server *s = mem_alloc(sizeof(*s));

	s->pid = pid;
	s->session = session;
	s->protocol = protocol;
	s->user = mem_strdup(user);
	s->client = *client;
	s->next = spawn.servers;
	s->self = &spawn.servers;
	if (s->next != NULL)
		s->next->self = &s->next;
	spawn.servers = s;
	spawn.count[protocol]++;
	return s;
}

static void signal_server(struct server *s, int sig)
{
	s->told = true;
	if (s->counters != NULL)
		kill(s->pid, sig); /* not yet reaped, so the number is still its own */
	else if (ev_is_active(&s->pidfd))
		syscall(SYS_pidfd_send_signal, s->pidfd.fd, sig, NULL, 0);
	else
		kill(s->pid, sig);
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static pid_t fork_server(const struct ticket *tk, const struct handoff *h, struct session_counters *counters)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	log_flush();
	sigprocmask(SIG_SETMASK, &all, &old);
	if ((pid = fork()) == 0) {
		tickets_free(&spawn.tickets); /* they are nobody else's business */
		spawn_child(tk, h, spawn.ctx.set, counters, spawn_servers[tk->protocol]);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static struct session_counters *new_counters(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

static bool start_server(const struct ticket *tk, const struct handoff *h)
{
	struct session_counters *counters;
	struct server *s;
	char user[256], err[512];
	pid_t pid;

	if (!spawn_may_serve(&tk->account, spawn.ctx.set, err, sizeof(err))) {
		log_error("%s", err);
		return false;
	}
	if (spawn_servers[tk->protocol] == NULL) {
		log_error("this build has no server for %s", spawn_program(tk->protocol));
		return false;
	}
	log_clean(user, sizeof(user), tk->account.name);
	if ((counters = new_counters()) == NULL || (pid = fork_server(tk, h, counters)) == -1) {
		log_error("no session server could be started for %s: %s; raise the limit of processes (TasksMax=, ulimit -u) or the "
		    "memory of this node", user, strerror(errno));
		if (counters != NULL)
			munmap(counters, PAGE);
		return false;
	}
	madvise(counters, PAGE, MADV_DONTFORK); /* not for the servers to come */
	s = add_server(pid, tk->session, tk->protocol, tk->account.name, &tk->client);
	s->counters = counters;
	s->began = session_clock();
	memcpy(s->session_id, tk->session_id, sizeof(s->session_id));
	ev_child_init(&s->child, on_child, pid, 0);
	s->child.data = s;
	ev_child_start(spawn.ctx.loop, &s->child);
	if (tk->authd == spawn.authd_generation)
		tell_pid(s);
	else
		tell_have(s); /* that authd died since */
	return true;
}

/* Ticket and client have met. */
static void serve(struct ticket *tk, struct handoff *h)
{
	bool started = !spawn.stopping && start_server(tk, h);

	reply(h, started);
	ticket_free(&tk);
	handoff_free(&h);
}

/* Workers */

static void start_sweep(void)
{
	if (!ev_is_active(&spawn.sweep))
		ev_timer_again(spawn.ctx.loop, &spawn.sweep);
}

static void on_sweep(struct ev_loop *loop, ev_timer *w, int revents UNUSED)
{
	int64_t now = now_ms();
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
	if (!msgr_end(r) || fd == -1) {
		log_error("login worker %u handed a client over by a bad message", w->slot);
		reply(h, false);
		handoff_free(&h);
		return;
	}
	h->leftover = mem_memdup(leftover, h->leftover_len);
	tk = tickets_take(spawn.tickets, h->id, h->slot, h->generation, now_ms());
	if (tk != NULL) {
		serve(tk, h);
	} else if (!spawn.stopping && tickets_hold(spawn.tickets, h, now_ms())) {
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
	log_error("unknown message %u from login worker %u", r->type, w->slot);
	if (fd != -1)
		close(fd);
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

/* authd */

static void on_ticket(struct msgr *r)
{
	struct ticket *tk = ticket_new();
	struct handoff *h;
	uint8_t protocol;

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
	tk->authd = spawn.authd_generation;
	if (!msgr_end(r) || protocol >= PROTOCOL_COUNT) {
		log_error("bad ticket from authd");
		ticket_free(&tk);
		return;
	}
	tk->protocol = protocol;
	if ((h = tickets_held(spawn.tickets, tk)) != NULL) {
		serve(tk, h);
	} else if (tickets_add(spawn.tickets, tk, now_ms())) {
		start_sweep();
	} else {
		log_error("too many tickets wait for their clients; a login is refused");
		ticket_free(&tk);
	}
}

/* Process PID is a session server of PROTOCOL by its name, as far as this can be seen: its number may have been
 * given to another process since, which must never get our signals. */
static bool is_server(pid_t pid, enum protocol protocol)
{
	char path[64], name[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if ((f = fopen(path, "re")) == NULL)
		return true;
	if (fgets(name, sizeof(name), f) != NULL)
		name[strcspn(name, "\n")] = '\0';
	fclose(f);
	return strcmp(name, spawn_program(protocol)) == 0;
}

static void adopt(pid_t pid, uint64_t session, enum protocol protocol, const char *user, const struct net_addr *client, uint64_t start)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct server *s;

	if ((fd == -1 && errno == ESRCH) || !is_server(pid, protocol)) { /* it has ended meanwhile */
		if (fd != -1)
			close(fd);
		tell_end(session);
		return;
	}
	s = add_server(pid, session, protocol, user, client);
	s->began = session_clock() - MAX((int64_t)time(NULL) - (int64_t)start, 0);
	snprintf(s->session_id, sizeof(s->session_id), "-");
	if (fd != -1) {
		ev_io_init(&s->pidfd, on_pidfd, fd, EV_READ);
		s->pidfd.data = s;
		ev_io_start(spawn.ctx.loop, &s->pidfd);
	} else {
		ev_timer_init(&s->poll, on_poll, 1., 1.);
		s->poll.data = s;
		ev_timer_start(spawn.ctx.loop, &s->poll);
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
	for (const struct server *s = spawn.servers; s != NULL; s = s->next)
		if (s->pid == (pid_t)pid)
			return; /* ours already */
	adopt((pid_t)pid, session, protocol, user, &client, start);
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

/* The master */

static void on_channel(struct role_ctx *ctx, enum role other, unsigned slot, uint64_t generation, int sock)
{
	struct worker *w;

	if (other == ROLE_AUTHD && (spawn.authd == NULL || generation > spawn.authd_generation)) {
		chan_free(&spawn.authd);
		spawn.authd_generation = generation;
		spawn.authd = chan_new(ctx->loop, sock, on_authd, on_authd_gone, NULL);
		for (const struct server *s = spawn.servers; s != NULL; s = s->next)
			tell_have(s);
	} else if (other == ROLE_WORKER) {
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

static void who_row(struct str *rows, const struct server *s)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];

	str_addf(rows, "%s\t%s\t%s\t%u\tlocal\t\t", log_clean(user, sizeof(user), s->user),
	    s->protocol == PROTOCOL_POP3 ? "pop3" : "imap", net_addr_text(&s->client, ip), s->client.port);
	if (s->counters != NULL)
		str_addf(rows, "%llu\t%llu", (unsigned long long)s->counters->rcvd, (unsigned long long)s->counters->sent);
	else
		str_adds(rows, "-\t-");
	str_addf(rows, "\t%lld\t%s\n", (long long)(session_clock() - s->began), s->session_id);
}

static uint32_t answer_who(struct str *rows)
{
	uint32_t n = 0;

	for (const struct server *s = spawn.servers; s != NULL; s = s->next, n++)
		who_row(rows, s);
	return n;
}

static uint32_t kick(const char *user)
{
	uint32_t n = 0;

	for (struct server *s = spawn.servers; s != NULL; s = s->next) {
		if (strcmp(s->user, user) != 0)
			continue;
		signal_server(s, SIGUSR1);
		n++;
	}
	return n;
}

static void on_query(struct role_ctx *ctx, uint32_t query, const char *command, const char *argument)
{
	struct str rows = STR_INIT;
	uint32_t result = 0;

	if (strcmp(command, "who") == 0)
		result = answer_who(&rows);
	else if (strcmp(command, "kick") == 0)
		result = kick(argument);
	else if (strcmp(command, "status") == 0)
		str_addf(&rows, "local_imap=%zu\nlocal_pop3=%zu\n", spawn.count[PROTOCOL_IMAP], spawn.count[PROTOCOL_POP3]);
	if (rows.len != 0)
		role_rows(ctx, query, rows.data, rows.len);
	role_done(ctx, query, result);
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
	for (struct server *s = spawn.servers; s != NULL; s = s->next)
		signal_server(s, SIGKILL);
}

static void on_stop(struct role_ctx *ctx)
{
	refuse_waiting();
	for (struct server *s = spawn.servers; s != NULL; s = s->next)
		signal_server(s, SIGTERM);
	if (!ev_is_active(&spawn.killing))
		ev_timer_again(ctx->loop, &spawn.killing);
	leave_if_done();
}

static void on_orphaned(struct role_ctx *ctx UNUSED)
{
	refuse_waiting();
	leave_if_done();
}

int spawn_main(const struct role_start *who)
{
	static const struct role_hooks hooks = {
		.channel = on_channel, .query = on_query, .stop = on_stop, .orphaned = on_orphaned,
	};

	spawn.tickets = tickets_new();
	role_init(&spawn.ctx, who, "waypostd", &hooks, NULL);
	ev_timer_init(&spawn.sweep, on_sweep, 0., 0.5);
	ev_timer_init(&spawn.killing, on_killing, 0., STOP_GRACE);
	ev_run(spawn.ctx.loop, 0);
	log_flush();
	return 0;
}
