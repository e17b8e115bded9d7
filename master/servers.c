/* The table of session servers: started, ended, asked for. */
#include "master/servers.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "master/spawn.h"
#include "master/spawn_child.h"

enum { PAGE = 4096 };

static struct {
	struct ev_loop *loop;
	servers_ended_fn *ended;
	servers_child_fn *in_child;
	struct server *first;
	size_t count[PROTOCOL_COUNT];
} servers;

void servers_init(struct ev_loop *loop, servers_ended_fn *ended, servers_child_fn *in_child)
{
	servers.loop = loop;
	servers.ended = ended;
	servers.in_child = in_child;
}

static void forget(struct server *s)
{
	*s->self = s->next;
	if (s->next != NULL)
		s->next->self = s->self;
	servers.count[s->protocol]--;
	if (s->counters != NULL)
		munmap(s->counters, PAGE);
	servers.ended(s);
	mem_free(&s->user);
	mem_free(&s);
}

/* The end line that a server logs itself when it can. */
static void log_lost(const struct server *s, const char *end)
{
	struct session_start start = { .user = s->user, .client = s->client };
	char who[512];

	log_as(protocols[s->protocol].group, LOG_LEVEL_INFO, "DISCONNECTED, %s, rcvd=%llu, sent=%llu, time=%lld, session=%s, end=%s",
	    session_log_who(&start, who, sizeof(who)), (unsigned long long)s->counters->rcvd,
	    (unsigned long long)s->counters->sent, (long long)(clock_seconds() - s->began), s->session_id, end);
}

static void on_child(struct ev_loop *loop, ev_child *w, int revents UNUSED)
{
	struct server *s = w->data;
	const char *program = protocols[s->protocol].group;
	char user[256];

	ev_child_stop(loop, w);
	log_clean(user, sizeof(user), s->user);
	if (WIFEXITED(w->rstatus) && WEXITSTATUS(w->rstatus) == 0) {
		forget(s);
		return;
	}
	if (s->told && WIFSIGNALED(w->rstatus)) {
		log_lost(s, s->told == SIGUSR1 ? "kick" : "shutdown");
	} else if (WIFSIGNALED(w->rstatus)) {
		log_error("the %s server of %s (process %d) was killed by signal %d (%s) and its client disconnected; "
			"if nobody sent that signal and memory is not short, please report this line", program, user,
			(int)s->pid,
		    WTERMSIG(w->rstatus), strsignal(WTERMSIG(w->rstatus)));
		log_lost(s, "crash");
	} else {
		log_error("the %s server of %s (process %d) exited with status %d; see the lines before this one",
			program,
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
	s->next = servers.first;
	s->self = &servers.first;
	if (s->next != NULL)
		s->next->self = &s->next;
	servers.first = s;
	servers.count[protocol]++;
	return s;
}

/* Forks with all signals blocked, so that no handler of ours runs in the child. */
static pid_t fork_server(const struct ticket *tk, const struct handoff *h, const struct settings *set,
	struct session_counters *counters)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	log_flush();
	sigprocmask(SIG_SETMASK, &all, &old);
	if ((pid = fork()) == 0) {
		servers.in_child();
		spawn_child(tk, h, set, counters, spawn_servers[tk->grant.protocol]);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	return pid;
}

static struct session_counters *new_counters(void)
{
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED ? p : NULL;
}

const struct server *servers_start(const struct ticket *tk, const struct handoff *h, const struct settings *set)
{
	struct session_counters *counters;
	struct server *s;
	char user[256], err[512];
	pid_t pid;

	if (!spawn_may_serve(&tk->grant.account, set, err, sizeof(err))) {
		log_error("%s", err);
		return NULL;
	}
	if (spawn_servers[tk->grant.protocol] == NULL) {
		log_error("this build has no server for %s", protocols[tk->grant.protocol].group);
		return NULL;
	}
	log_clean(user, sizeof(user), tk->grant.account.name);
	if ((counters = new_counters()) == NULL || (pid = fork_server(tk, h, set, counters)) == -1) {
		log_error("cannot start a session server for %s: %s; raise the limit of processes (TasksMax=, ulimit "
			"-u) or the memory of this node", user, strerror(errno));
		if (counters != NULL)
			munmap(counters, PAGE);
		return NULL;
	}
	madvise(counters, PAGE, MADV_DONTFORK); /* not for the servers to come */
	s = add_server(pid, tk->grant.session, tk->grant.protocol, tk->grant.account.name, &tk->grant.client);
	s->counters = counters;
	s->began = clock_seconds();
	memcpy(s->session_id, tk->grant.session_id, sizeof(s->session_id));
	ev_child_init(&s->child, on_child, pid, 0);
	s->child.data = s;
	ev_child_start(servers.loop, &s->child);
	return s;
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

static void signal_server(struct server *s, int sig)
{
	s->told = sig == SIGKILL && s->told != 0 ? s->told : sig;
	if (s->watch == SERVER_PIDFD)
		syscall(SYS_pidfd_send_signal, s->pidfd.fd, sig, NULL, 0);
	else
		kill(s->pid, sig); /* a child is not yet reaped, so the number is still its own */
}

uint32_t servers_signal(const char *user, int sig)
{
	uint32_t n = 0;

	for (struct server *s = servers.first; s != NULL; s = s->next) {
		if (user != NULL && strcmp(s->user, user) != 0)
			continue;
		signal_server(s, sig);
		n++;
	}
	return n;
}

uint32_t servers_kick(const char *user, uint32_t kick, uint32_t *waits)
{
	uint32_t n = 0;

	*waits = 0;
	for (struct server *s = servers.first; s != NULL; s = s->next) {
		if (strcmp(s->user, user) != 0)
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
			protocols[s->protocol].group,
		    log_clean(user, sizeof(user), s->user), (int)s->pid, seconds);
		signal_server(s, SIGKILL);
		n++;
	}
	return n;
}

static void who_row(struct str *rows, const struct server *s)
{
	char user[ACCOUNT_NAME_MAX], ip[NET_IP_TEXT_MAX];

	str_addf(rows, "%s\t%s\t%s\t%u\tlocal\t\t", log_clean(user, sizeof(user), s->user),
	    protocols[s->protocol].name, net_addr_text(&s->client, ip), s->client.port);
	if (s->counters != NULL)
		str_addf(rows, "%llu\t%llu", (unsigned long long)s->counters->rcvd, (unsigned long long)s->counters->sent);
	else
		str_adds(rows, "-\t-");
	str_addf(rows, "\t%lld\t%s\n", (long long)(clock_seconds() - s->began), s->session_id);
}

uint32_t servers_who(struct str *rows)
{
	uint32_t n = 0;

	for (const struct server *s = servers.first; s != NULL; s = s->next, n++)
		who_row(rows, s);
	return n;
}

const struct server *servers_first(void)
{
	return servers.first;
}

size_t servers_count(enum protocol protocol)
{
	return servers.count[protocol];
}
