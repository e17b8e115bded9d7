/* The table of session servers. */
#include "master/servers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/program.h"
#include "master/keeper.h"
#include "master/kick.h"
#include "master/log_sessions.h"
#include "master/programs.h"
#include "master/spawn.h"
#include "master/spawn_child.h"
#include "settings/local_server.h"

/* SIGCHLD names one child, and the kernel merges a second one that comes before the first is read. So all children are
 * checked after it came, but at most so often: otherwise the cost of an end would grow with the number of open
 * sessions. */
#define ASK_ALL 0.25 /* seconds */

enum { PROGRAM_QUIET = 60 };

static struct {
	struct ev_loop *loop;
	servers_ended_fn *ended;
	servers_child_fn *in_child;
	struct server *first;
	struct server *by_pid;
	ev_io signals;
	ev_timer ask_all;
	size_t count[PROTOCOL_COUNT];
} servers;

static void forget(struct server *s)
{
	*s->self = s->next;
	if (s->next != NULL)
		s->next->self = s->self;
	HASH_DEL(servers.by_pid, s);
	servers.count[s->protocol]--;
	figures_drop(s->figures);
	ev_timer_stop(servers.loop, &s->grace);
	servers.ended(s);
	mem_free(&s->user);
	mem_free(&s->tls);
	mem_free(&s);
}

/* Logs the end of a session for a server that could not do it itself. */
static void log_lost(const struct server *s, const char *end)
{
	struct session_start start = { .user = s->user, .client = s->client };
	struct bio_figures passed = { 0 };
	char who[512];

	(void)figures_read(s->figures, &passed);
	log_as(protocols[s->protocol].group, LOG_LEVEL_INFO,
	    "DISCONNECTED, %s, rcvd=%llu, sent=%llu, time=%lld, session=%s, end=%s",
	    session_log_who(&start, who, sizeof(who)), (unsigned long long)passed.rcvd, (unsigned long long)passed.sent,
	    (long long)(clock_seconds() - s->began), s->session_id, end);
}

/* To the log writer, which else forgets a server when that logs its end. */
static void report_end(const struct server *s)
{
	log_as(LOG_SESSION_ENDED, LOG_LEVEL_INFO, "%d", (int)s->pid);
}

/* The child S, a program that is not ours, was reaped. What it may have to say is in its stderr. */
static void program_ended(const struct server *s, int status)
{
	const char *setting = protocols[s->protocol].local_server;
	char user[256];

	log_clean(user, sizeof(user), s->user);
	if (WIFSIGNALED(status) && s->end_signal == 0)
		log_warn("the program of %s that served %s (process %d) was killed by signal %d (%s)", setting, user,
		    (int)s->pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
	else if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
		log_warn("the program of %s that served %s (process %d) exited with status %d", setting, user,
		    (int)s->pid, WEXITSTATUS(status));
}

/* The child S was reaped. */
static void child_ended(struct server *s, int status)
{
	const char *program = protocols[s->protocol].group;
	char user[256];

	log_clean(user, sizeof(user), s->user);
	if (s->program)
		program_ended(s, status);
	if (s->program || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
		forget(s);
		return;
	}
	report_end(s);
	if (WIFSIGNALED(status) && s->end_signal) {
		log_lost(s, s->end_signal == SIGUSR1 ? "kick" : "shutdown");
	} else if (WIFSIGNALED(status)) {
		log_error("the %s server of %s (process %d) was killed by signal %d (%s) and its client disconnected; "
		          "if nobody sent that signal and memory is not short, please report this line",
		    program, user, (int)s->pid, WTERMSIG(status), strsignal(WTERMSIG(status)));
		log_lost(s, "crash");
	} else if (WEXITSTATUS(status) != SPAWN_CHILD_UNLOGGED) {
		log_error("the %s server of %s (process %d) exited with status %d; see the lines before this one",
		    program, user, (int)s->pid, WEXITSTATUS(status));
		log_lost(s, "crash");
	} else {
		log_lost(s, "unlogged");
	}
	forget(s);
}

/* Reaps child PID (-1: any), if it has ended; false if not. */
static bool reap(pid_t pid)
{
	struct server *s;
	int status;

	if ((pid = waitpid(pid, &status, WNOHANG)) <= 0)
		return false;
	HASH_FIND(hh, servers.by_pid, &pid, sizeof(pid), s);
	if (s != NULL) /* else it is a process that a session server left behind */
		child_ended(s, status);
	return true;
}

static void on_signals(struct ev_loop *loop, ev_io *w, int revents UNUSED)
{
	struct signalfd_siginfo child;

	while (read(w->fd, &child, sizeof(child)) == (ssize_t)sizeof(child))
		reap((pid_t)child.ssi_pid);
	ev_timer_start(loop, &servers.ask_all); /* unless it runs */
}

static void on_ask_all(struct ev_loop *loop UNUSED, ev_timer *w UNUSED, int revents UNUSED)
{
	while (reap(-1))
		;
}

/* Of a program the process is its keeper (master/keeper.h), which kills all of the family. One that does not, because
 * somebody has stopped it, is killed when it is asked for again. */
static void signal_program(struct server *s, int sig)
{
	if (sig != SIGKILL) {
		kill(s->pid, KEEPER_ASK);
	} else if (!s->killed) {
		s->killed = true;
		kill(s->pid, KEEPER_KILL);
	} else {
		kill(s->pid, SIGKILL);
	}
}

static void signal_server(struct server *s, int sig)
{
	s->end_signal = sig == SIGKILL && s->end_signal != 0 ? s->end_signal : sig;
	if (s->watch == SERVER_PIDFD)
		syscall(SYS_pidfd_send_signal, s->pidfd.fd, sig, NULL, 0);
	else if (s->program)
		signal_program(s, sig);
	else
		kill(s->pid, sig); /* a child is not yet reaped, so the number is still its own */
}

static void wait_for_end(struct server *s)
{
	ev_timer_set(&s->grace, KICK_GRACE, 0.);
	ev_timer_start(servers.loop, &s->grace);
}

/* A program whose client is gone sees the end of its input: it may be in the middle of what the client had asked for.
 * One that overlooks that is asked to end, and killed if it does not. */
static void on_grace(struct ev_loop *loop UNUSED, ev_timer *w, int revents UNUSED)
{
	struct server *s = w->data;
	char user[256];

	if (!s->asked) {
		s->asked = true;
		signal_server(s, SIGTERM);
		wait_for_end(s);
		return;
	}
	log_warn("the program of %s that served %s (process %d) did not end within %d s of its client; killing "
	         "it",
	    protocols[s->protocol].local_server, log_clean(user, sizeof(user), s->user), (int)s->pid, 2 * KICK_GRACE);
	signal_server(s, SIGKILL);
	wait_for_end(s); /* its keeper may have been stopped */
}

static void on_alone(pid_t pid, uint32_t session)
{
	struct server *s;

	HASH_FIND(hh, servers.by_pid, &pid, sizeof(pid), s);
	if (s == NULL || !s->program || (uint32_t)s->session != session)
		return;
	wait_for_end(s);
}

void servers_init(struct ev_loop *loop, servers_ended_fn *ended, servers_child_fn *in_child)
{
	sigset_t child;
	int fd;

	servers.loop = loop;
	servers.ended = ended;
	servers.in_child = in_child;
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	if ((fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC)) == -1)
		die_errno("cannot watch for the end of session servers");
	ev_io_init(&servers.signals, on_signals, fd, EV_READ);
	ev_io_start(loop, &servers.signals);
	ev_timer_init(&servers.ask_all, on_ask_all, ASK_ALL, 0.);
	programs_init(loop, on_alone);
}

static void on_pidfd(struct ev_loop *loop, ev_io *w, int revents UNUSED)
{
	struct server *s = w->data;

	ev_io_stop(loop, w);
	close(w->fd);
	report_end(s);
	forget(s);
}

static void on_poll(struct ev_loop *loop, ev_timer *w, int revents UNUSED)
{
	struct server *s = w->data;

	if (kill(s->pid, 0) == 0 || errno != ESRCH)
		return;
	ev_timer_stop(loop, w);
	report_end(s);
	forget(s);
}

static struct server *add_server(pid_t pid, uint64_t session, enum protocol protocol, const char *user,
    const struct net_addr *client)
{
	struct server *s = mem_alloc(sizeof(*s));

	s->pid = pid;
	s->session = session;
	s->protocol = protocol;
	s->user = mem_strdup(user);
	s->client = *client;
	ev_init(&s->grace, on_grace);
	s->grace.data = s;
	s->next = servers.first;
	s->self = &servers.first;
	if (s->next != NULL)
		s->next->self = &s->next;
	servers.first = s;
	s->figures = FIGURES_NONE;
	HASH_ADD(hh, servers.by_pid, pid, sizeof(s->pid), s);
	servers.count[protocol]++;
	return s;
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static pid_t fork_server(const struct ticket *tk, const struct handoff *h, const struct settings *set, int64_t figures)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	log_flush();
	sigprocmask(SIG_SETMASK, &all, &old);
	if ((pid = fork()) == 0) {
		servers.in_child();
		if (tk->grant.program)
			spawn_program(tk, h, set);
		spawn_child(tk, h, set, figures_map(figures), spawn_servers[tk->grant.protocol]);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* What H has for the program's environment is a tag or a word of ours, whatever a worker that was taken over says. */
static bool is_plain_word(const struct handoff *h)
{
	return strspn(h->context, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == strlen(h->context);
}

/* The program that is to serve TK and H may be executed. If not, that was logged. */
static bool may_execute(const struct ticket *tk, const struct handoff *h, const struct settings *set)
{
	static uint32_t quiet_until;
	const struct local_server server = local_server_of(set, tk->grant.protocol);
	const char *setting = protocols[tk->grant.protocol].local_server;
	struct local_server_command c;
	char why[PROGRAM_WHY_MAX];

	if (server.kind != LOCAL_SERVER_EXEC) /* authd has settings of before, or already new ones */
		return false;
	if (!is_plain_word(h)) {
		if (log_due(&quiet_until, PROGRAM_QUIET))
			log_error("login worker %u names a tag that none of ours has; no program is executed", h->slot);
		return false;
	}
	local_server_words(&server, &c);
	if (program_is_trusted(c.argv[0], why))
		return true;
	if (log_due(&quiet_until, PROGRAM_QUIET))
		log_error("%s: the program is not executed: %s", setting, why);
	return false;
}

/* There is a server for TK, and its account may be served. If not, that was logged. */
static bool may_start(const struct ticket *tk, const struct handoff *h, const struct settings *set)
{
	char err[512];

	if (!spawn_may_serve(&tk->grant.account, set, err, sizeof(err))) {
		log_error("%s", err);
		return false;
	}
	if (tk->grant.program)
		return may_execute(tk, h, set);
	if (spawn_servers[tk->grant.protocol] == NULL)
		log_error("this build has no server for %s", protocols[tk->grant.protocol].group);
	return spawn_servers[tk->grant.protocol] != NULL;
}

const struct server *servers_start(const struct ticket *tk, const struct handoff *h, const struct settings *set)
{
	struct server *s;
	char user[256];
	int64_t figures;
	pid_t pid;

	if (!may_start(tk, h, set))
		return NULL;
	log_clean(user, sizeof(user), tk->grant.account.name);
	figures = tk->grant.program ? FIGURES_NONE : figures_new();
	if ((pid = fork_server(tk, h, set, figures)) == -1) {
		log_error("cannot start a session server for %s: %s; raise the limit of processes (TasksMax=, ulimit "
		          "-u) or the memory of this node",
		    user, strerror(errno));
		figures_drop(figures);
		return NULL;
	}
	s = add_server(pid, tk->grant.session, tk->grant.protocol, tk->grant.account.name, &tk->grant.client);
	s->program = tk->grant.program;
	if (s->program)
		programs_watch(h->fd, pid, s->session);
	s->figures = figures;
	s->began = clock_seconds();
	memcpy(s->session_id, tk->grant.session_id, sizeof(s->session_id));
	if (tk->grant.tls)
		s->tls = mem_strdup(session_tls_word(true, tk->grant.tls_words));
	return s;
}

/* Process PID is a session server of PROTOCOL, judging by its name: the number may have been reused by another process,
 * which must never get our signals. */
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
	return strcmp(name, protocols[protocol].group) == 0;
}

bool servers_adopt(pid_t pid, uint64_t session, enum protocol protocol, const char *user, const struct net_addr *client,
    uint64_t start)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	struct server *s;

	if ((fd == -1 && errno == ESRCH) || !is_server(pid, protocol)) { /* it has ended meanwhile */
		if (fd != -1)
			close(fd);
		return false;
	}
	s = add_server(pid, session, protocol, user, client);
	s->began = clock_seconds() - MAX((int64_t)time(NULL) - (int64_t)start, 0);
	snprintf(s->session_id, sizeof(s->session_id), "-");
	s->watch = fd != -1 ? SERVER_PIDFD : SERVER_POLL;
	if (fd != -1) {
		ev_io_init(&s->pidfd, on_pidfd, fd, EV_READ);
		s->pidfd.data = s;
		ev_io_start(servers.loop, &s->pidfd);
	} else {
		ev_timer_init(&s->poll, on_poll, 1., 1.);
		s->poll.data = s;
		ev_timer_start(servers.loop, &s->poll);
	}
	return true;
}

uint32_t servers_signal(int sig)
{
	uint32_t n = 0;

	for (struct server *s = servers.first; s != NULL; s = s->next) {
		signal_server(s, sig);
		n++;
	}
	return n;
}

static bool is_chosen(const struct server *s, const struct session_choice *choice)
{
	return !s->program && session_choice_has(choice, s->user, &s->client, s->session_id);
}

uint32_t servers_kick(const struct session_choice *choice, uint32_t kick, uint32_t *waits)
{
	uint32_t n = 0;

	*waits = 0;
	for (struct server *s = servers.first; s != NULL; s = s->next) {
		if (!is_chosen(s, choice))
			continue;
		signal_server(s, SIGUSR1);
		n++;
		if (s->kick == 0) {
			s->kick = kick;
			++*waits;
		}
	}
	return n;
}

uint32_t servers_kill_kicked(uint32_t kick, int seconds)
{
	char user[256];
	uint32_t n = 0;

	for (struct server *s = servers.first; s != NULL; s = s->next) {
		if (s->kick != kick)
			continue;
		log_warn("the %s server of %s (process %d) did not end within %d s of a kick; killing it",
		    protocols[s->protocol].group, log_clean(user, sizeof(user), s->user), (int)s->pid, seconds);
		signal_server(s, SIGKILL);
		n++;
	}
	return n;
}

static void who_row(struct str *rows, const struct server *s)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];
	struct bio_figures passed;

	str_addf(rows, "%s\t%s\t%s\t%u\tlocal\t\t", log_clean(user, sizeof(user), s->user),
	    protocols[s->protocol].title, net_addr_text(&s->client, ip), s->client.port);
	if (figures_read(s->figures, &passed))
		str_addf(rows, "%llu\t%llu", (unsigned long long)passed.rcvd, (unsigned long long)passed.sent);
	else
		str_adds(rows, "-\t-");
	str_addf(rows, "\t%lld\t%s\t%s\n", (long long)(clock_seconds() - s->began), s->session_id,
	    s->tls != NULL ? s->tls : "");
}

uint32_t servers_who(const struct session_choice *choice, struct str *rows)
{
	uint32_t n = 0;

	for (const struct server *s = servers.first; s != NULL; s = s->next) {
		if (!is_chosen(s, choice))
			continue;
		who_row(rows, s);
		n++;
	}
	return n;
}

const struct server *servers_find(pid_t pid)
{
	struct server *s;

	HASH_FIND(hh, servers.by_pid, &pid, sizeof(pid), s);
	return s;
}

const struct server *servers_first(void)
{
	return servers.first;
}

size_t servers_count(enum protocol protocol)
{
	return servers.count[protocol];
}
