/* The control socket RUNDIR/control: commands of the operator's tool (master/waypost.c). Queries to roles go to all of
 * them at once, with a time limit: a role that hangs is named in the answer, not waited for. Rows are sent as fast as
 * the tool reads them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/num.h"
#include "master/authorities.h"
#include "master/cert_news.h"
#include "master/keys.h"
#include "master/counts.h"
#include "master/kick.h"
#include "master/logfile.h"
#include "master/master.h"
#include "master/missing.h"
#include "master/peer_command.h"
#include "master/roles.h"
#include "master/watchdog.h"
#include "node/msg_control.h"
#include "node/msg_channel.h"
#include "node/session_choice.h"
#include "settings/pool_secret.h"

enum {
	ANSWER_WITHIN = 5,              /* seconds for a role */
	KICKED_WITHIN = KICK_GRACE + 4, /* seconds until even servers that had to be killed are gone */
	SPOOL_MAX = 256 * 1024 * 1024,  /* bytes of rows that wait for the tool */
	IN_FLIGHT_MAX = 1024 * 1024,    /* bytes queued in the tool's channel */
	BACKLOG = 16
};
#define FEED_PAUSE 0.01 /* seconds */
#define ACCEPT_PAUSE 1. /* seconds */

struct wait {
	struct wait *next;
	struct child *child;
};

struct client {
	struct client *next;
	struct chan *chan;
	struct query *query; /* the pending command, or NULL */
	bool reloads;
};

struct query {
	struct query *next;
	struct client *client;
	uint32_t id;
	char command[CONTROL_COMMAND_MAX];
	struct wait *waits; /* roles that have not answered yet */
	ev_timer limit, feed;
	struct str rows;   /* for the tool, not sent yet */
	struct str silent; /* roles that did not answer */
	struct counts counts;
	uint64_t sum; /* of the results */
	bool finished;
	uint32_t status;
	struct str message;
};

static struct {
	struct master *m;
	ev_io io;
	char *path;
	struct client *clients;
	struct query *queries;
	uint32_t last_id;
	int spare;      /* closed for a tool that connects when there is no other descriptor; -1: used */
	ev_timer again; /* after a tool that could not be accepted */
} ctl;

static struct msgw out;

static void finish(struct query *q);

/* -- answers to the tool -- */

static void free_query(struct query *q)
{
	for (struct query **p = &ctl.queries; *p != NULL; p = &(*p)->next)
		if (*p == q) {
			*p = q->next;
			break;
		}
	while (q->waits != NULL) {
		struct wait *w = q->waits;

		q->waits = w->next;
		mem_free(&w);
	}
	ev_timer_stop(ctl.m->loop, &q->limit);
	ev_timer_stop(ctl.m->loop, &q->feed);
	q->client->query = NULL;
	counts_fini(&q->counts);
	str_fini(&q->rows);
	str_fini(&q->silent);
	str_fini(&q->message);
	mem_free(&q);
}

/* A spare descriptor: `waypost status` is needed most when there are no others. */
static void take_spare(void)
{
	if (ctl.spare == -1)
		ctl.spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void free_client(struct client *c)
{
	for (struct client **p = &ctl.clients; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	if (c->query != NULL)
		free_query(c->query);
	if (c->reloads)
		reload_forget(c);
	chan_free(&c->chan);
	take_spare();
	mem_free(&c);
}

static void send_done(struct client *c, uint32_t status, const char *message)
{
	tool_done_write(&out, status, message);
	if (chan_send(c->chan, &out, -1) != 0)
		log_warn("lost the answer to a command on the control socket");
}

/* Whole lines from the front of the spool, as much as fits in one message. */
static size_t next_piece(const struct str *rows)
{
	const char *end;

	if (rows->len <= ROLE_ROWS_MAX)
		return rows->len;
	end = memrchr(rows->data, '\n', ROLE_ROWS_MAX);
	return end != NULL ? (size_t)(end + 1 - rows->data) : ROLE_ROWS_MAX;
}

/* Passes on as many rows as the tool can take; the result follows the last one. */
static void feed(struct query *q)
{
	size_t sent = 0;
	struct str rest = q->rows;

	while (rest.len > 0 && chan_queued(q->client->chan) < IN_FLIGHT_MAX) {
		size_t n = next_piece(&rest);

		tool_rows_write(&out, rest.data, n);
		if (chan_send(q->client->chan, &out, -1) != 0)
			break;
		rest.data += n;
		rest.len -= n;
		sent += n;
	}
	str_drop(&q->rows, sent);
	if (q->rows.len > 0) {
		ev_timer_again(ctl.m->loop, &q->feed);
	} else {
		ev_timer_stop(ctl.m->loop, &q->feed);
		if (q->finished) {
			send_done(q->client, q->status, str_cstr(&q->message));
			free_query(q);
		}
	}
}

static void on_feed(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	feed(CONTAINER_OF(t, struct query, feed));
}

/* -- status -- */

static const char *state_of(const struct child *c)
{
	if (c->held)
		return "held";
	if (c->watch.step != WATCH_WELL)
		return "silent";
	if (c->retired)
		return "finishing";
	return c->ready ? "ready" : "starting";
}

static void add_post(struct str *s, const struct post *p)
{
	char name[32];
	double now = clock_now();
	unsigned shown = 0;

	master_post_name(p, name);
	for (const struct child *c = ctl.m->children; c != NULL; c = c->next)
		if (c->post == p) {
			str_addf(s, "role\t%s\t%s\t%ld\t%u\t%.0f\n", name, state_of(c), (long)c->pid, p->restarts,
			    now - c->started);
			shown += !c->retired;
		}
	if (shown == 0 && p->wanted)
		str_addf(s, "role\t%s\tdown\t0\t%u\t0\n", name, p->restarts);
}

/* Whatever process has counted it: those that have ended, too. */
static void add_totals(struct str *s)
{
	for (enum control_total t = 0; t < CONTROL_TOTAL_COUNT; t++) {
		uint64_t sum = ctl.m->totals.n[t];

		for (const struct child *c = ctl.m->children; c != NULL; c = c->next)
			sum += c->unfit ? 0 : c->totals.n[t];
		str_addf(s, "count\t%s\t%llu\n", control_total_name(t), (unsigned long long)sum);
	}
}

/* Lines that the tool shows or turns into JSON: word, TAB, values. */
static void add_status(struct query *q)
{
	struct master *m = ctl.m;
	struct str *s = &q->rows;

	str_addf(s, "node\t%s\nversion\t%s\npid\t%ld\nuptime\t%.0f\nrundir\t%s\nconfig\t%s\n", m->set->self[0],
	    PACKAGE_VERSION, (long)getpid(), clock_now() - m->started, m->set->node_RUNDIR, m->file);
	if (m->set->pool_secret[0] != '\0') {
		str_adds(s, "secret\t");
		pool_secret_prints(m->set->pool_secret, s);
		str_addc(s, '\n');
	}
	str_addf(s, "draining\t%d\nreloading\t%d\n", m->draining, reload_under_way());
	for (const struct post *p = m->posts; p != NULL; p = p->next)
		add_post(s, p);
	if (missing_count() != 0)
		str_addf(s, "count\tchannels_missing\t%u\n", missing_count());
	if (logfile_lost() != 0)
		str_addf(s, "count\tlog_lines_lost\t%lu\n", logfile_lost());
	cert_news_describe(s, (int64_t)time(NULL));
	keys_describe(s);
	authorities_describe(s);
	watchdog_describe(s);
	str_add(s, q->silent.data, q->silent.len);
	add_totals(s);
	counts_write(&q->counts, s);
}

/* -- queries to roles -- */

static void say_silent(struct query *q, const struct child *c, const char *why)
{
	char name[32];

	master_post_name(c->post, name);
	if (strcmp(q->command, "status") == 0)
		str_addf(&q->silent, "silent\t%s\t%ld\n", name, (long)c->pid);
	else
		str_addf(&q->message, "%s (pid %ld) %s\n", name, (long)c->pid, why);
}

/* Whichever sessions it is about. */
static bool is_kick(const char *command)
{
	return strncmp(command, "kick", 4) == 0;
}

static void result_of_kick(struct query *q)
{
	uint64_t killed = counts_sum(&q->counts, "killed");

	str_addf(&q->rows, "%llu session%s ended", (unsigned long long)q->sum, q->sum == 1 ? "" : "s");
	if (killed > 0)
		str_addf(&q->rows, ", %llu of them killed because they did not end within %d s; see the log",
		    (unsigned long long)killed, KICK_GRACE);
	str_addc(&q->rows, '\n');
	q->status = q->sum > 0 ? 0 : 1;
}

static void finish(struct query *q)
{
	ev_timer_stop(ctl.m->loop, &q->limit);
	q->finished = true;
	if (strcmp(q->command, "status") == 0)
		add_status(q);
	else if (is_kick(q->command))
		result_of_kick(q);
	else if (strncmp(q->command, "who", 3) == 0)
		q->status = q->message.len > 0;
	else
		q->status = q->message.len > 0 ? 1 : (uint32_t)MIN(q->sum, 255);
	feed(q);
}

static void on_limit(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct query *q = CONTAINER_OF(t, struct query, limit);

	while (q->waits != NULL) {
		struct wait *w = q->waits;

		say_silent(q, w->child, "did not answer in time");
		q->waits = w->next;
		mem_free(&w);
	}
	finish(q);
}

static struct query *new_query(struct client *c, const char *command)
{
	struct query *q = mem_alloc(sizeof(*q));

	q->client = c;
	q->id = ++ctl.last_id;
	snprintf(q->command, sizeof(q->command), "%s", command);
	ev_timer_init(&q->limit, on_limit, is_kick(command) ? KICKED_WITHIN : ANSWER_WITHIN, 0.);
	ev_timer_init(&q->feed, on_feed, 0., FEED_PAUSE);
	q->next = ctl.queries;
	ctl.queries = q;
	c->query = q;
	return q;
}

static void ask(struct query *q, struct child *c, const char *argument)
{
	struct wait *w;

	control_query_write(&out, q->id, q->command, argument);
	if (c->control == NULL || chan_send(c->control, &out, -1) != 0) {
		if (!c->retired || c->control != NULL)
			say_silent(q, c, "does not read its messages");
		return;
	}
	w = mem_alloc(sizeof(*w));
	w->child = c;
	w->next = q->waits;
	q->waits = w;
}

/* Sends the query to each process whose role has its bit in ROLES. */
static void ask_all(struct client *client, const char *command, const char *argument, unsigned roles)
{
	struct query *q = new_query(client, command);

	for (struct child *c = ctl.m->children; c != NULL; c = c->next)
		if ((roles & 1U << c->post->role) != 0 && c->begun)
			ask(q, c, argument);
	mem_wipe(&out, MIN(sizeof(out), CONTROL_ARGUMENT_MAX + 256)); /* "auth" carries a password */
	if (q->waits == NULL) {
		if ((roles & 1U << ROLE_AUTHD) != 0 && strcmp(command, "status") != 0)
			str_adds(&q->message, "authd is not running; see the log\n");
		finish(q);
	} else {
		ev_timer_start(ctl.m->loop, &q->limit);
	}
}

static void answered(struct query *q, struct child *c)
{
	for (struct wait **p = &q->waits; *p != NULL; p = &(*p)->next)
		if ((*p)->child == c) {
			struct wait *w = *p;

			*p = w->next;
			mem_free(&w);
			break;
		}
	if (q->waits == NULL && !q->finished)
		finish(q);
}

static bool waits_for(const struct query *q, const struct child *c)
{
	for (const struct wait *w = q->waits; w != NULL; w = w->next)
		if (w->child == c)
			return true;
	return false;
}

static struct query *find_query(uint32_t id, const struct child *c)
{
	for (struct query *q = ctl.queries; q != NULL; q = q->next)
		if (q->id == id)
			return waits_for(q, c) ? q : NULL;
	return NULL;
}

static void take_rows(struct query *q, const char *text, size_t len)
{
	if (strcmp(q->command, "status") == 0 || is_kick(q->command)) {
		counts_add_lines(&q->counts, text, len);
	} else if (q->rows.len + len <= SPOOL_MAX) {
		str_add(&q->rows, text, len);
		feed(q);
	}
}

/* Late answers (the tool is gone, or the time was over) are dropped. */
bool control_answer(struct child *c, struct msgr *r)
{
	bool rows = r->type == CTL_ROWS;
	const char *text = NULL;
	uint32_t id, result = 0;
	struct query *q;
	size_t len = 0;

	if (!(rows ? control_rows_read(r, &id, &text, &len) : control_done_read(r, &id, &result)))
		return false;
	if ((q = find_query(id, c)) == NULL)
		return true;
	if (rows) {
		take_rows(q, text, len);
	} else {
		q->sum += result;
		answered(q, c);
	}
	return true;
}

/* A retired one exits after its last session: it has nothing more to report. */
void control_child_gone(struct child *c)
{
	for (struct query *q = ctl.queries, *next; q != NULL; q = next) {
		next = q->next;
		if (waits_for(q, c)) {
			if (!c->retired)
				say_silent(q, c, "ended without an answer");
			answered(q, c);
		}
	}
}

/* -- commands -- */

static void do_status(struct client *c, const char *argument UNUSED)
{
	/* Auth workers are not asked: they have nothing to report, and may be waiting for a directory, which is no
	 * error. */
	ask_all(c, "status", "", ~(1U << ROLE_AUTHWORKER));
}

/* True if COMMAND is VERB, for some sessions or all, and was dealt with. */
static bool about_sessions(struct client *c, const char *verb, const char *command, const char *argument)
{
	struct session_choice choice;

	if (!session_choice_read(&choice, verb, command, argument))
		return false;
	if (choice.kind == SESSION_CHOICE_NONE)
		send_done(c, 2, "not the address, network, user or session id that this command needs\n");
	else
		ask_all(c, command, argument, 1U << ROLE_WORKER | 1U << ROLE_SPAWN);
	return true;
}

static void do_route(struct client *c, const char *argument)
{
	ask_all(c, "route", argument, 1U << ROLE_AUTHD);
}

static void do_auth(struct client *c, const char *argument)
{
	ask_all(c, "auth", argument, 1U << ROLE_AUTHD);
}

static void do_flush(struct client *c, const char *argument)
{
	ask_all(c, "flush", argument, 1U << ROLE_AUTHD);
}

/* ARGUMENT is a line of settings/peer_orders.h; "": only shows what is said. */
static void do_peer(struct client *c, const char *argument)
{
	struct str why = STR_INIT;
	struct peer_order o;
	const char *wrong;

	if (argument[0] == '\0') {
		ask_all(c, "peer", argument, 1U << ROLE_AUTHD);
	} else if (!peer_order_parse(&o, argument, strlen(argument), &wrong)) {
		str_addf(&why, "%s\n", wrong);
		send_done(c, 2, str_cstr(&why));
	} else if (!peer_command_save(ctl.m->set->node_RUNDIR, &o, (int64_t)time(NULL), &why)) {
		send_done(c, 1, str_cstr(&why));
	} else {
		ask_all(c, "peer", argument, 1U << ROLE_AUTHD);
	}
	str_fini(&why);
}

static void do_drain(struct client *c, const char *argument)
{
	struct master *m = ctl.m;
	bool on = strcmp(argument, "on") == 0;

	if (on || strcmp(argument, "off") == 0) {
		if (on != m->draining)
			log_info(on ? "draining: new clients are refused, open sessions continue" :
			              "draining has ended: new clients are served");
		m->draining = on;
		children_drain(m);
	} else if (strcmp(argument, "status") != 0) {
		send_done(c, 2, "usage: drain on|off|status\n");
		return;
	}
	send_done(c, 0,
	    m->draining ? "draining is on: new clients are refused\n" : "draining is off: new clients are served\n");
}

static void on_reloaded(void *arg, unsigned status, const char *text)
{
	struct client *c = arg;

	c->reloads = false;
	send_done(c, status, text);
}

static void do_reload(struct client *c, const char *argument UNUSED)
{
	c->reloads = true;
	reload_begin(ctl.m, on_reloaded, c);
}

/* The tool notices the end by the end of its connection. */
static void do_stop(struct client *c UNUSED, const char *argument UNUSED)
{
	master_stop(ctl.m);
}

static const struct {
	const char *name;
	void (*run)(struct client *c, const char *argument);
} commands[] = {
	{ "status", do_status },
	{ "drain", do_drain },
	{ "peer", do_peer },
	{ "flush", do_flush },
	{ "reload", do_reload },
	{ "route", do_route },
	{ "auth", do_auth },
	{ "stop", do_stop },
};

static void run_command(struct client *c, const char *command, const char *argument)
{
	if (about_sessions(c, "who", command, argument) || about_sessions(c, "kick", command, argument))
		return;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (strcmp(commands[i].name, command) == 0) {
			commands[i].run(c, argument);
			return;
		}
	send_done(c, 2, "the daemon does not know this command; use waypost of the same version\n");
}

static void on_command(struct chan *ch UNUSED, struct msgr *r, int fd, void *arg)
{
	static struct control_command m;
	struct client *c = arg;

	if (fd != -1)
		close(fd);
	if (r->type != TOOL_COMMAND || !tool_command_read(r, &m) || c->query != NULL || c->reloads)
		free_client(c);
	else
		run_command(c, m.command, m.argument);
	mem_wipe(&m, sizeof(m));
}

static void on_client_gone(struct chan *ch UNUSED, void *arg)
{
	free_client(arg);
}

/* -- the socket -- */

static int accept_tool(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd != -1 || (errno != EMFILE && errno != ENFILE) || ctl.spare == -1)
		return fd;
	close(ctl.spare);
	ctl.spare = -1;
	return accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
}

static void on_accept_again(struct ev_loop *loop, ev_timer *t UNUSED, int revents UNUSED)
{
	take_spare();
	ev_io_start(loop, &ctl.io);
}

static void on_connect(struct ev_loop *loop, ev_io *io, int revents UNUSED)
{
	int fd = accept_tool(io->fd);
	struct client *c;

	if (fd == -1) {
		if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)
			return;
		/* It waits in the queue until we have a descriptor. */
		ev_io_stop(loop, io);
		ev_timer_init(&ctl.again, on_accept_again, ACCEPT_PAUSE, 0.);
		ev_timer_start(loop, &ctl.again);
		return;
	}
	c = mem_alloc(sizeof(*c));
	c->chan = msg_channel_open(loop, fd, on_command, on_client_gone, c);
	c->next = ctl.clients;
	ctl.clients = c;
}

/* We hold the lock on RUNDIR, so an existing socket was left by a daemon that is gone. */
static int bind_socket(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(un.sun_path, path, strlen(path) + 1);
	unlink(path);
	if ((fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) == -1)
		return -1;
	mode_t old = umask(0177);
	bool good = bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0;
	umask(old);
	if (good && listen(fd, BACKLOG) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

bool control_open(struct master *m)
{
	int fd;

	ctl.m = m;
	ctl.spare = -1;
	take_spare();
	ctl.path = mem_printf("%s/control", m->set->node_RUNDIR);
	if ((fd = bind_socket(ctl.path)) == -1)
		return false;
	ev_io_init(&ctl.io, on_connect, fd, EV_READ);
	ev_io_start(m->loop, &ctl.io);
	return true;
}

void control_close(struct master *m)
{
	if (ctl.path == NULL)
		return;
	unlink(ctl.path);
	mem_free(&ctl.path);
	ev_io_stop(m->loop, &ctl.io);
	ev_timer_stop(m->loop, &ctl.again);
	close(ctl.io.fd);
	while (ctl.clients != NULL)
		free_client(ctl.clients);
}
