/* Starts, connects, restarts and retires the processes of the roles. */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "authd/used_tokens.h"
#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "master/authorities.h"
#include "master/cert_news.h"
#include "master/channels.h"
#include "master/keys.h"
#include "master/logfile.h"
#include "master/missing.h"
#include "master/role_env.h"
#include "master/roles.h"
#include "master/slots.h"
#include "master/watchdog.h"
#include "node/msg_control.h"
#include "node/msg_channel.h"
#include "settings/local_server.h"

static struct msgw out;

static void start_process(struct post *p);

/* What is lost when the process of a role dies, for the log. */
static const char *const carried[ROLE_COUNT] = {
	[ROLE_WORKER] = "its clients were disconnected; the other workers continue",
	[ROLE_AUTHD] = "logins wait for its successor; open sessions continue",
	[ROLE_AUTHWORKER] = "its lookup is repeated or fails temporarily",
	[ROLE_SPAWN] = "open sessions continue; new local ones wait for its successor",
	[ROLE_KEY] = "open sessions continue; new clients with TLS of that login worker wait for its successor",
};

/* The same of a spawn that has started programs: none of them outlives it. */
static const char carried_programs[] =
    "open sessions continue, but for those of programs (LOCAL_IMAP, LOCAL_POP3), which have ended; new local ones wait "
    "for its successor";

/* What waits while it is stopped. */
static const char *const waits[ROLE_COUNT] = {
	[ROLE_WORKER] = "its sessions wait until it gets SIGCONT",
	[ROLE_AUTHD] = "logins wait until it gets SIGCONT or is replaced",
	[ROLE_AUTHWORKER] = "its lookup waits until it gets SIGCONT",
	[ROLE_SPAWN] = "new local sessions wait until it gets SIGCONT or is replaced",
	[ROLE_KEY] = "clients with TLS of that login worker are refused until it gets SIGCONT or is replaced",
};

static const unsigned settings_for[ROLE_COUNT] = {
	[ROLE_WORKER] = SETTINGS_FOR_WORKER,
	[ROLE_AUTHD] = SETTINGS_FOR_AUTHD,
	[ROLE_AUTHWORKER] = SETTINGS_FOR_AUTHD,
	[ROLE_SPAWN] = SETTINGS_FOR_SPAWN,
	[ROLE_KEY] = SETTINGS_FOR_KEY,
};

static const char *what_is_lost(const struct post *p)
{
	bool programs = false;

	for (enum protocol protocol = 0; protocol < PROTOCOL_COUNT; protocol++)
		programs = programs || local_server_of(p->m->set, protocol).kind == LOCAL_SERVER_EXEC;
	return p->role == ROLE_SPAWN && programs ? carried_programs : carried[p->role];
}

unsigned children_worker_slots(const struct settings *set)
{
	long cores;

	if (set->node_LOGIN_WORKERS > 0)
		return (unsigned)set->node_LOGIN_WORKERS;
	cores = sysconf(_SC_NPROCESSORS_ONLN);
	return cores < 1 ? 1 : cores > 256 ? 256 : (unsigned)cores;
}

const char *master_post_name(const struct post *p, char dst[32])
{
	if (p->role == ROLE_WORKER || p->role == ROLE_AUTHWORKER || p->role == ROLE_KEY)
		snprintf(dst, 32, "%s %u", roles_name(p->role), p->slot);
	else
		snprintf(dst, 32, "%s", roles_name(p->role));
	return dst;
}

/* If a role does not take a message, it has stopped reading: the queue holds 8 MiB. */
bool children_send(struct child *c, const struct msgw *w, int fd)
{
	char name[32];

	if (c->control == NULL || chan_send(c->control, w, fd) == 0)
		return true;
	if (fd == -1)
		log_error("%s (pid %ld) does not read its messages; kill it if this continues",
		    master_post_name(c->post, name), (long)c->pid);
	return false;
}

static void send_plain(struct child *c, uint16_t type)
{
	msgw_begin(&out, type);
	children_send(c, &out, -1);
}

static void close_fd(int fd)
{
	if (fd != -1)
		close(fd);
}

/* -- the first messages of a process -- */

static void send_drain(struct child *c)
{
	control_switch_write(&out, CTL_DRAIN, c->post->m->draining);
	children_send(c, &out, -1);
}

static void begin(struct child *c)
{
	if (keys_are_waiting(c))
		return; /* children_begin() comes */
	c->begun = true;
	if (c->post->role == ROLE_WORKER) {
		if (c->post->m->draining)
			send_drain(c);
		slots_begin(c);
	}
	authorities_begin(c);
	send_plain(c, CTL_GO);
}

void children_begin(struct child *c)
{
	if (!c->begun)
		begin(c);
}

static bool is_up(const struct post *p)
{
	return !p->wanted || (p->current != NULL && p->current->ready);
}

bool children_all_ready(const struct master *m)
{
	for (const struct post *p = m->posts; p != NULL; p = p->next)
		if (!is_up(p))
			return false;
	return true;
}

/* At the start workers accept no clients before the other roles work; clients wait in the queue. */
static void begin_workers(struct master *m)
{
	for (const struct post *p = m->posts; p != NULL; p = p->next)
		if (p->role != ROLE_WORKER && !is_up(p))
			return;
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (!c->begun)
			begin(c);
}

/* -- messages and the end of a process -- */

static void retire(struct child *c)
{
	if (!c->retired) {
		c->retired = true;
		send_plain(c, CTL_RETIRE);
	}
}

/* P has no process any more; what runs there finishes. */
static void give_up(struct post *p)
{
	p->wanted = false;
	p->current = NULL;
	ev_timer_stop(p->m->loop, &p->restart);
	for (struct child *c = p->m->children; c != NULL; c = c->next)
		if (c->post == p)
			retire(c);
}

static bool serves_clients(enum role role)
{
	return role == ROLE_WORKER || role == ROLE_SPAWN;
}

static void retire_predecessors(const struct child *c)
{
	for (struct child *o = c->post->m->children; o != NULL; o = o->next)
		if (o->post == c->post && o->generation < c->generation)
			retire(o);
}

static void on_ready(struct child *c)
{
	struct master *m = c->post->m;

	c->ready = true;
	retire_predecessors(c);
	if (m->state == MASTER_STARTING) {
		begin_workers(m);
		if (children_all_ready(m)) {
			m->state = MASTER_RUNNING;
			watchdog_start(m);
			m->on_started(m);
		}
	}
	slots_update(m);
	reload_progress(m, NULL);
}

/* It does not speak as ours do: nothing that it has counted is believed. */
static void kill_unfit(struct child *c)
{
	c->unfit = true;
	kill(c->pid, SIGKILL);
}

/* A login worker that does not speak as ours do to BY is considered compromised: it is not asked to finish. */
static bool on_unfit(const struct child *by, struct msgr *r)
{
	uint32_t slot;
	uint64_t generation;

	if (!control_unfit_read(r, &slot, &generation))
		return false;
	for (struct child *c = by->post->m->children; c != NULL; c = c->next)
		if (c->post->role == ROLE_WORKER && c->post->slot == slot && c->generation == generation &&
		    channels_are_peers(by->post, c->post))
			kill_unfit(c);
	return true;
}

static bool on_full(struct child *c, struct msgr *r)
{
	bool full;

	if (!control_switch_read(r, &full))
		return false;
	c->clients = full ? CLIENTS_FULL : CLIENTS_ACCEPTED;
	c->notice = NOTICE_NONE;
	slots_update(c->post->m);
	return true;
}

static bool on_key_news(const struct child *c, struct msgr *r)
{
	struct control_key_news m;

	if (!control_key_news_read(r, &m))
		return false;
	cert_news_take(c->post->slot, &m);
	return true;
}

static bool on_missed(struct child *c, struct msgr *r)
{
	struct control_missed m;

	if (!control_missed_read(r, &m))
		return false;
	if (m.type == CTL_CHANNEL)
		channels_missed(c, &m.other);
	else if (m.type == CTL_SETTINGS)
		missing_add(c, m.type, NULL, 0);
	else if (m.type == CTL_KEY && c->post->role == ROLE_KEY)
		keys_lack(c);
	else if ((m.type == CTL_LISTEN && slots_serves(c, m.other.slot)) ||
	    (m.type == CTL_TRUST && m.other.slot < CONTROL_TRUST_COUNT))
		missing_add(c, m.type, NULL, m.other.slot);
	slots_update(c->post->m);
	return true;
}

/* For the next authd, as it is: nothing here looks into it. */
static void on_userdb(struct master *m, int fd)
{
	close_fd(m->userdb);
	m->userdb = fd;
}

/* They are its word: a compromised one can tell any that are possible. */
static bool on_totals(struct child *c, struct msgr *r)
{
	struct control_totals m;

	if (!control_totals_read(r, &m) ||
	    !control_totals_possible(&m, c->post->role, &c->totals, clock_now() - c->started))
		return false;
	c->totals = m;
	return true;
}

/* False: no role of ours sends that. */
static bool take_message(struct chan *ch, struct child *c, struct msgr *r)
{
	char name[32];

	if (c->ended) {
		c->unfit |= r->type == CTL_TOTALS && !on_totals(c, r);
		return true;
	}
	switch (r->type) {
	case CTL_READY:
		if (!msgr_end(r))
			return false;
		if (!c->ready)
			on_ready(c);
		return true;
	case CTL_PONG:
		if (!msgr_end(r))
			return false;
		watchdog_answer(c);
		return true;
	case CTL_ROWS:
	case CTL_DONE:
		return control_answer(c, r);
	case CTL_TOTALS:
		return on_totals(c, r);
	case CTL_FULL:
		return c->post->role == ROLE_WORKER && on_full(c, r);
	case CTL_MISSED:
		return on_missed(c, r);
	case CTL_UNFIT:
		return on_unfit(c, r);
	case CTL_KEY_NEWS:
		return c->post->role == ROLE_KEY && on_key_news(c, r);
	default:
		return msg_channel_skips(ch, r, master_post_name(c->post, name));
	}
}

/* The process is about to end and will be reaped; it reads nothing more. */
static void on_closed(struct chan *ch UNUSED, void *arg)
{
	struct child *c = arg;

	chan_free(&c->control);
	control_child_gone(c);
	slots_update(c->post->m);
}

static void on_message(struct chan *ch, struct msgr *r, int fd, void *arg)
{
	struct child *c = arg;
	char name[32];

	if (r->type == CTL_USERDB && c->post->role == ROLE_AUTHWORKER) {
		on_userdb(c->post->m, fd);
		return;
	}
	close_fd(fd);
	if (take_message(ch, c, r))
		return;
	log_error("bad message %u from %s (pid %ld); killing it", r->type, master_post_name(c->post, name),
	    (long)c->pid);
	kill_unfit(c);
	on_closed(ch, c);
}

static void say_death(const struct child *c, int status)
{
	bool asked = c->retired || c->post->m->state == MASTER_STOPPING;
	char name[32], how[64];

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d (%s)", WTERMSIG(status),
		    strsignal(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended with status %d", WEXITSTATUS(status));
	master_post_name(c->post, name);
	if (asked && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		log_debug("%s (pid %ld) has finished", name, (long)c->pid);
	else
		log_error("%s (pid %ld) %s; %s", name, (long)c->pid, how, what_is_lost(c->post));
}

static void unlink_child(struct child *c)
{
	for (struct child **p = &c->post->m->children; *p != NULL; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			return;
		}
}

static void on_restart(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	start_process(CONTAINER_OF(t, struct post, restart));
}

static void restart_later(struct post *p, double lived)
{
	unsigned delay = backoff_after(&p->backoff, lived);
	char name[32];

	p->restarts++;
	if (delay == 0) {
		start_process(p);
		return;
	}
	log_warn("%s keeps dying; restarting it in %u s", master_post_name(p, name), delay);
	ev_timer_stop(p->m->loop, &p->restart);
	ev_timer_init(&p->restart, on_restart, delay, 0.);
	ev_timer_start(p->m->loop, &p->restart);
}

/* Processes that serve clients first; authd and its workers when no requests can come any more. */
static void stop_next(struct master *m)
{
	for (const struct child *c = m->children; c != NULL; c = c->next)
		if (serves_clients(c->post->role))
			return;
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (!c->stopped) {
			c->stopped = true;
			send_plain(c, CTL_STOP);
		}
}

static void after_death(struct master *m, struct child *c)
{
	struct post *p = c->post;
	char name[32], why[96];
	bool current = p->current == c;

	if (current)
		p->current = NULL;
	if (m->state == MASTER_STOPPING) {
		stop_next(m);
		if (m->children == NULL)
			m->on_all_gone(m);
	} else if (m->state == MASTER_STARTING) {
		snprintf(why, sizeof(why), "%s does not start", master_post_name(p, name));
		m->on_start_failed(m, why);
	} else if (current && p->wanted) {
		restart_later(p, watch_lived(&c->watch, c->started, clock_now()));
	}
}

/* SIGSTOP or SIGCONT: the sessions of a worker wait with it, but new clients must not. */
static void on_held(struct child *c, bool held)
{
	char name[32];

	c->held = held;
	if (held)
		log_warn("%s (pid %ld) is stopped by a signal; %s", master_post_name(c->post, name), (long)c->pid,
		    waits[c->post->role]);
	slots_update(c->post->m);
}

/* It outlives the settings that want it, until the last worker has ended that may need it for a handshake. */
static bool needs_key_process(const struct master *m, unsigned slot)
{
	return (keys_wanted(m->set) && slot < children_worker_slots(m->set)) || channels_use_keys(m, slot);
}

static void end_idle_key_process(struct master *m, unsigned slot)
{
	for (struct post *p = m->posts; p != NULL; p = p->next)
		if (p->role == ROLE_KEY && p->slot == slot && p->wanted && !needs_key_process(m, slot))
			give_up(p);
}

/* Those that C, which has ended, may have told last. */
static void keep_totals(struct child *c)
{
	c->ended = true;
	if ((c->post->role == ROLE_WORKER || c->post->role == ROLE_AUTHD) && c->control != NULL)
		chan_drain(c->control);
	for (size_t i = 0; i < CONTROL_TOTAL_COUNT && !c->unfit; i++)
		c->post->m->totals.n[i] += c->totals.n[i];
	c->totals = (struct control_totals){ .n = { 0 } };
}

static void on_exit_of(struct ev_loop *loop, ev_child *w, int revents UNUSED)
{
	struct child *c = CONTAINER_OF(w, struct child, watcher);
	struct master *m = c->post->m;

	if (WIFSTOPPED(w->rstatus) || WIFCONTINUED(w->rstatus)) {
		on_held(c, WIFSTOPPED(w->rstatus));
		return;
	}
	ev_child_stop(loop, w);
	logfile_drain(); /* writes its last lines before ours */
	say_death(c, w->rstatus);
	keep_totals(c);
	chan_free(&c->control);
	control_child_gone(c);
	unlink_child(c);
	missing_forget(c);
	slots_forget(c);
	channels_forget(c);
	if (c->post->role == ROLE_KEY)
		cert_news_ended(c->post->slot);
	keys_forget(c);
	if (!c->ready)
		reload_progress(m, c);
	after_death(m, c);
	end_idle_key_process(m, c->post->slot);
	slots_update(m);
	mem_free(&c);
}

/* -- starting a process -- */

/* Those from ROLE_FD_CONTROL on, and what a library or a sanitizer finds as stderr. -1: there is none. */
struct start_fds {
	int fd[ROLE_FD_MAX - ROLE_FD_CONTROL + 1], err;
};
/* Our ends. */
struct kept_fds {
	int control, log, err, session_log;
};

/* A role does not need the master's standard descriptors and must not have the terminal: an attacker in it could write
 * forged log lines there, or type. It gets a session of its own, so that Ctrl-C reaches only the master. */
static void leave_terminal(int err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null == -1 || dup2(null, STDIN_FILENO) == -1 || dup2(null, STDOUT_FILENO) == -1 ||
	    dup2(err, STDERR_FILENO) == -1 || setsid() == -1)
		_exit(127);
}

/* In the child: its descriptors to their places, everything else closed. Only async-signal-safe calls. */
static void exec_role(const char *exe, char **argv, char **env, const struct start_fds *fds)
{
	int moved[ARRAY_LEN(fds->fd)];
	sigset_t none;
	size_t n = 0;

	leave_terminal(fds->err);
	for (; n < ARRAY_LEN(fds->fd) && fds->fd[n] != -1; n++)
		if ((moved[n] = fcntl(fds->fd[n], F_DUPFD_CLOEXEC, 32)) == -1)
			_exit(127);
	for (size_t i = 0; i < n; i++)
		if (dup2(moved[i], ROLE_FD_CONTROL + (int)i) == -1)
			_exit(127);
	close_range(ROLE_FD_CONTROL + (unsigned)n, ~0U, CLOSE_RANGE_CLOEXEC);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	execve(exe, argv, env);
	_exit(127);
}

/* The path of this program; /proc/self/exe if an upgrade has replaced the file: all roles must be of one version. */
static const char *executable(const struct master *m)
{
	struct stat st;

	if (m->exe != NULL && stat(m->exe, &st) == 0 && st.st_dev == m->exe_dev && st.st_ino == m->exe_ino)
		return m->exe;
	return "/proc/self/exe";
}

static pid_t fork_role(const struct post *p, uint64_t generation, const struct start_fds *fds)
{
	const char *exe = executable(p->m);
	char slot[16], gen[24];
	char name[] = "waypostd", option[] = ROLES_OPTION, role[32];
	char *argv[] = { name, option, role, slot, gen, NULL }, **env = role_env(p->role);
	pid_t pid;

	snprintf(role, sizeof(role), "%s", roles_name(p->role));
	snprintf(slot, sizeof(slot), "%u", p->slot);
	snprintf(gen, sizeof(gen), "%llu", (unsigned long long)generation);
	if ((pid = fork()) == 0)
		exec_role(exe, argv, env, fds);
	mem_free(&env);
	return pid;
}

static void close_fds(const struct start_fds *fds)
{
	for (size_t i = 0; i < ARRAY_LEN(fds->fd); i++)
		close_fd(fds->fd[i]);
	close_fd(fds->err);
}

static void close_kept(const struct kept_fds *kept)
{
	close_fd(kept->control);
	close_fd(kept->log);
	close_fd(kept->err);
	close_fd(kept->session_log);
}

static bool make_pair(int (*make)(int fd[2]), int *kept, int *given)
{
	int pair[2];

	if (make(pair) != 0)
		return false;
	*kept = pair[0];
	*given = pair[1];
	return true;
}

/* For the life of the node, so that no authd forgets what another one has taken. */
static int share_used_tokens(struct master *m)
{
	if (m->used_tokens == -1)
		m->used_tokens = used_tokens_file();
	return m->used_tokens == -1 ? -1 : fcntl(m->used_tokens, F_DUPFD_CLOEXEC, 0);
}

/* The descriptors of a role, and our ends of them. */
static bool make_fds(const struct post *p, struct start_fds *fds, struct kept_fds *kept)
{
	return make_pair(msg_pair, &kept->control, &fds->fd[0]) && make_pair(logfile_pair, &kept->log, &fds->fd[1]) &&
	    make_pair(logfile_pair, &kept->err, &fds->err) && fcntl(fds->err, F_SETFL, O_NONBLOCK) == 0 &&
	    (fds->fd[2] = settings_write(p->m->set, settings_for[p->role])) != -1 &&
	    (p->role != ROLE_SPAWN || make_pair(logfile_pair, &kept->session_log, &fds->fd[3])) &&
	    (p->role != ROLE_AUTHD ||
	        ((fds->fd[3] = share_used_tokens(p->m)) != -1 &&
	            (p->m->userdb == -1 || (fds->fd[4] = fcntl(p->m->userdb, F_DUPFD_CLOEXEC, 0)) != -1)));
}

static struct child *fork_child(struct post *p)
{
	struct master *m = p->m;
	struct start_fds fds = { { -1, -1, -1, -1, -1 }, -1 };
	struct kept_fds kept = { -1, -1, -1, -1 };
	struct child *c = NULL;
	char name[32];
	uint64_t generation = ++m->generation;
	pid_t pid = -1;
	int saved;

	if (make_fds(p, &fds, &kept))
		pid = fork_role(p, generation, &fds);
	saved = errno;
	close_fds(&fds);
	if (pid == -1) {
		close_kept(&kept);
		errno = saved;
		return NULL;
	}
	c = mem_alloc(sizeof(*c));
	c->post = p;
	c->generation = generation;
	c->pid = pid;
	c->started = clock_now();
	c->key_end = -1;
	c->control = msg_channel_open(m->loop, kept.control, on_message, on_closed, c);
	logfile_listen(m->loop, kept.log, p->role == ROLE_SPAWN ? LOGFILE_SPAWN : LOGFILE_ROLE,
	    master_post_name(p, name));
	logfile_listen_stderr(m->loop, kept.err, name, pid);
	if (kept.session_log != -1)
		logfile_listen(m->loop, kept.session_log, LOGFILE_SESSION, NULL);
	ev_child_init(&c->watcher, on_exit_of, pid, 1);
	ev_child_start(m->loop, &c->watcher);
	c->next = m->children;
	m->children = c;
	p->current = c;
	return c;
}

static void start_failed(struct post *p)
{
	char name[32], why[256];

	snprintf(why, sizeof(why), "cannot start %s: %s", master_post_name(p, name), strerror(errno));
	log_error("%s", why);
	if (p->m->state == MASTER_STARTING)
		p->m->on_start_failed(p->m, why);
	else
		restart_later(p, 0);
}

static void start_process(struct post *p)
{
	struct child *c;

	ev_timer_stop(p->m->loop, &p->restart);
	if ((c = fork_child(p)) == NULL) {
		/* So that restart_later() waits: retrying at once would fail again. */
		p->backoff.young_deaths = MAX(p->backoff.young_deaths, 1);
		start_failed(p);
		return;
	}
	if (p->role == ROLE_KEY)
		keys_begin(c);
	channels_begin(c);
	if (p->m->state != MASTER_STARTING)
		begin(c);
}

/* -- posts -- */

static struct post *need_post(struct master *m, enum role role, unsigned slot)
{
	struct post **p = &m->posts;

	for (; *p != NULL; p = &(*p)->next)
		if ((*p)->role == role && (*p)->slot == slot)
			break;
	if (*p == NULL) {
		*p = mem_alloc(sizeof(**p));
		(*p)->m = m;
		(*p)->role = role;
		(*p)->slot = slot;
		ev_timer_init(&(*p)->restart, on_restart, 0., 0.);
	}
	(*p)->wanted = true;
	return *p;
}

static void make_posts(struct master *m)
{
	unsigned workers = children_worker_slots(m->set);

	for (struct post *p = m->posts; p != NULL; p = p->next)
		p->wanted = false;
	need_post(m, ROLE_SPAWN, 0);
	need_post(m, ROLE_AUTHD, 0);
	for (unsigned i = 0; i < (unsigned)m->set->authdaemonrc_daemons; i++)
		need_post(m, ROLE_AUTHWORKER, i);
	for (unsigned i = 0; i < workers; i++)
		need_post(m, ROLE_WORKER, i);
	for (const struct post *p = m->posts; p != NULL; p = p->next)
		if (p->role == ROLE_WORKER && needs_key_process(m, p->slot))
			need_post(m, ROLE_KEY, p->slot);
	keys_update(m);
	authorities_update(m);
}

void children_start(struct master *m)
{
	make_posts(m);
	for (struct post *p = m->posts; p != NULL && m->state != MASTER_STOPPING; p = p->next)
		if (p->wanted && p->current == NULL)
			start_process(p);
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role != ROLE_WORKER)
			begin(c);
}

static void tell_settings(struct child *c)
{
	int fd = settings_write(c->post->m->set, settings_for[c->post->role]);

	msgw_begin(&out, CTL_SETTINGS);
	if (fd == -1 || !children_send(c, &out, fd))
		missing_add(c, CTL_SETTINGS, NULL, 0);
	if (fd != -1)
		close(fd);
}

void children_repeat(struct child *c, uint16_t what, struct child *other, unsigned slot)
{
	if (what == CTL_SETTINGS)
		tell_settings(c);
	else if (what == CTL_LISTEN)
		slots_repeat(c, slot);
	else if (what == CTL_KEY)
		keys_repeat(c);
	else if (what == CTL_TRUST)
		authorities_repeat(c, slot);
	else
		channels_repeat(c, other);
}

/* If the process of the post waits for its restart, it is started now: the new settings may have fixed the cause. */
static void renew_post(struct post *p)
{
	if (!p->wanted) {
		give_up(p);
	} else if (p->current == NULL || p->role == ROLE_WORKER || p->role == ROLE_AUTHWORKER) {
		start_process(p);
	} else if (p->role != ROLE_KEY) { /* that may look at no file, and does the same with any settings */
		tell_settings(p->current);
	}
}

void children_succeed(struct post *p)
{
	start_process(p);
}

void children_renew(struct master *m)
{
	slots_take_back(m);
	make_posts(m);
	for (struct post *p = m->posts; p != NULL; p = p->next)
		renew_post(p);
	slots_update(m);
}

void children_drain(struct master *m)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (c->post->role == ROLE_WORKER)
			send_drain(c);
}

void children_stop(struct master *m)
{
	for (struct post *p = m->posts; p != NULL; p = p->next)
		ev_timer_stop(m->loop, &p->restart);
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (serves_clients(c->post->role)) {
			c->stopped = true;
			send_plain(c, CTL_STOP);
		}
	stop_next(m);
}

void children_kill(struct master *m)
{
	for (struct child *c = m->children; c != NULL; c = c->next)
		kill(c->pid, SIGKILL);
}
