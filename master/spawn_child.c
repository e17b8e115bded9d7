/* Turns a forked child of spawn into a session server, if the account may be served. */
#include "master/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/net.h"
#include "lib/num.h"
#include "master/keeper.h"
#include "master/sandbox.h"
#include "master/spawn.h"
#include "settings/local_server.h"

enum { FD_CLIENT = 3, FD_LOG = 4, NOFILE_MAX = 4096 };

/* Signals whose action in spawn is another than the default. */
static sigset_t changed;
static pid_t spawn_pid;

void spawn_child_prepare(void)
{
	struct sigaction a;

	spawn_pid = getpid();
	sigemptyset(&changed);
	for (int sig = 1; sig < SIGRTMIN; sig++)
		if (sigaction(sig, NULL, &a) == 0 && a.sa_handler != SIG_DFL)
			sigaddset(&changed, sig);
	sandbox_prepare();
}

bool spawn_may_serve(const struct account *a, const struct settings *set, char *err, size_t errsize)
{
	unsigned uid = a->uid, gid = a->gid, own = (unsigned)geteuid();
	unsigned least = (unsigned)set->node_MIN_UID;
	char name[128];

	log_clean(name, sizeof(name), a->name);
	if (uid == 0 || gid == 0)
		snprintf(err, errsize,
		    "%s is not served: its uid or gid is 0 (root); give the account a user of its own", name);
	else if (own == 0 && (uid < least || gid < least))
		snprintf(err, errsize,
		    "%s is not served: uid %u or gid %u is below MIN_UID (%u); change the account, or MIN_UID if that "
		    "is meant",
		    name, uid, gid, least);
	else if (own != 0 && uid != own)
		snprintf(err, errsize,
		    "%s is not served: its uid is %u, and waypostd runs as uid %u; start waypostd as root, or give the "
		    "account uid=%u",
		    name, uid, own, own);
	else if (a->home[0] != '/')
		snprintf(err, errsize, "%s is not served: its home folder is not an absolute path; correct the account",
		    name);
	else
		return true;
	return false;
}

/* Logged before the session begins, as Courier does. The lines of the session itself use another socket. */
static void log_login(const struct ticket *tk, const struct session_start *start)
{
	const struct protocol_info *p = &protocols[tk->grant.protocol];
	char who[512], tls[SESSION_TLS_TEXT_MAX];

	log_as(p->group, LOG_LEVEL_INFO, "LOGIN, %s, protocol=%s%s, mailhost=local, session=%s",
	    session_log_who(start, who, sizeof(who)), p->title,
	    session_tls_text(tk->grant.tls, p->starttls, tk->grant.tls_words, tls), tk->grant.session_id);
	log_flush();
}

/* Closes everything but 0 to 2, the client and the log. */
static int keep_descriptors(int client)
{
	if (fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK) != 0)
		die_errno("cannot use the client's socket");
	/* Neither overwrites the other: the log's number is above both. */
	if (dup2(client, FD_CLIENT) == -1 || dup2(ROLE_FD_SESSION_LOG, FD_LOG) == -1)
		die_errno("cannot pass on a session's descriptors");
	log_set_socket(FD_LOG);
	if (close_range(FD_LOG + 1, ~0U, 0) != 0)
		for (int fd = FD_LOG + 1; fd < 65536; fd++)
			close(fd);
	return FD_CLIENT;
}

static void default_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig < SIGRTMIN; sig++)
		if (sigismember(&changed, sig) == 1)
			signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* No core file, few descriptors. */
static void set_limits(void)
{
	static const struct rlimit none;
	struct rlimit files;

	setrlimit(RLIMIT_CORE, &none);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max = MIN(files.rlim_max, (rlim_t)NOFILE_MAX);
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* No other process or thread: nothing here starts one. */
static void forbid_processes(void)
{
#ifndef WITH_SANITIZERS /* their reports at the end are made by another process */
	static const struct rlimit none;

	setrlimit(RLIMIT_NPROC, &none);
#endif
}

static void become_user(uid_t uid, gid_t gid)
{
	if (geteuid() == 0) {
		if (setgroups(1, &gid) != 0 || setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
			die_errno("cannot become uid %u, gid %u", (unsigned)uid, (unsigned)gid);
		if (setuid(0) == 0 || setgid(0) == 0)
			die_fatal("privileges could be regained after becoming uid %u", (unsigned)uid);
	}
	if (getuid() == 0 || geteuid() == 0 || geteuid() != uid)
		die_fatal("a session server would run as the wrong user");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		die_errno("cannot give up privileges");
}

/* The account's Maildir, absolute. */
static char *maildir_path(const struct account *a, const char *by_default)
{
	const char *name = a->maildir[0] != '\0' ? a->maildir : by_default;

	if (strncmp(name, "./", 2) == 0)
		name += 2;
	return name[0] == '/' ? mem_strdup(name) : mem_printf("%s/%s", a->home, name);
}

void spawn_child(const struct ticket *tk, const struct handoff *h, const struct settings *set,
    struct bio_figures *figures, session_server_fn *server)
{
	static struct session_counters counters;
	const char *program = protocols[tk->grant.protocol].group;
	char *maildir = maildir_path(&tk->grant.account, protocol_settings(set, tk->grant.protocol).maildirpath);
	struct session_start start = {
		.user = tk->grant.account.name,
		.home = tk->grant.account.home,
		.maildir = maildir,
		.options = tk->grant.account.options,
		.session_id = tk->grant.session_id,
		.client = tk->grant.client,
		.context = h->context,
		.leftover = h->leftover,
		.leftover_len = h->leftover_len,
		.proxied = tk->grant.proxied,
		.tls = tk->grant.tls,
		.later = tk->grant.later,
		.tls_words = tk->grant.tls_words,
		.signature = tk->grant.signature,
		.began = clock_seconds(),
		.counters = &counters,
		.figures = figures,
		.set = set,
	};
	int client;

	log_login(tk, &start);
	default_signals();
	log_set_program(program);
	prctl(PR_SET_NAME, program, 0, 0, 0);
	client = keep_descriptors(h->fd);
	become_user(tk->grant.account.uid, tk->grant.account.gid);
	set_limits();
	forbid_processes();
	/* If the home is missing, the server cannot open the Maildir and reports that to the client. */
	if (chdir(start.home) != 0 && chdir("/") != 0)
		die_errno("cannot change to /");
	sandbox_enter(maildir);
	server(client, &start);
	log_flush();
	_exit(log_dropped() != 0 ? SPAWN_CHILD_UNLOGGED : 0);
}

/* --- programs that are not ours --- */

enum { PROGRAM_VARIABLES = 20 };

struct environment {
	char *variable[PROGRAM_VARIABLES + 1];
	unsigned n;
};

static void add_variable(struct environment *e, const char *name, const char *value)
{
	DIE_IF(e->n == PROGRAM_VARIABLES);
	e->variable[e->n++] = mem_printf("%s=%s", name, value);
	e->variable[e->n] = NULL;
}

/* What Courier's login programs leave to its servers. */
static void make_environment(struct environment *e, const struct ticket *tk, const struct handoff *h,
    const char *maildir)
{
	const struct ticket_grant *g = &tk->grant;
	const struct account *a = &g->account;
	char ip[NET_IP_TEXT_MAX], port[NUM_TEXT_MAX], tls[32];

	e->n = 0;
	add_variable(e, "PATH", "/usr/local/bin:/usr/bin:/bin");
	add_variable(e, "HOME", a->home);
	add_variable(e, "USER", a->name);
	add_variable(e, "AUTHENTICATED", a->name);
	add_variable(e, "AUTHADDR", a->name);
	add_variable(e, "AUTHFULLNAME", a->fullname);
	add_variable(e, "OPTIONS", a->options);
	add_variable(e, "MAILDIR", maildir);
	if (a->quota[0] != '\0')
		add_variable(e, "MAILDIRQUOTA", a->quota);
	add_variable(e, "PROTOCOL", protocols[g->protocol].title);
	add_variable(e, "TCPREMOTEIP", net_addr_log(&g->client, ip));
	add_variable(e, "TCPREMOTEPORT", num_text(g->client.port, port));
	snprintf(tls, sizeof(tls), "%s_TLS", protocols[g->protocol].title);
	if (g->tls) /* else it refuses accounts with disableinsecureimap */
		add_variable(e, tls, "1");
	if (h->context[0] != '\0')
		add_variable(e, spawn_context_variables[g->protocol], h->context);
}

/* 0 and 1 are the client. The log stays open until the program begins. */
static void keep_for_program(int client)
{
	if (fcntl(client, F_SETFL, fcntl(client, F_GETFL) & ~O_NONBLOCK) != 0 || dup2(client, 0) == -1 ||
	    dup2(client, 1) == -1 || fcntl(ROLE_FD_LOG, F_SETFD, FD_CLOEXEC) != 0)
		die_errno("cannot pass the client on to a program");
	close(ROLE_FD_CONTROL);
	if (close_range(ROLE_FD_LOG + 1, ~0U, 0) != 0)
		for (int fd = ROLE_FD_LOG + 1; fd < 65536; fd++)
			close(fd);
}

void spawn_program(const struct ticket *tk, const struct handoff *h, const struct settings *set)
{
	const struct local_server server = local_server_of(set, tk->grant.protocol);
	const struct account *a = &tk->grant.account;
	char *maildir = maildir_path(a, protocol_settings(set, tk->grant.protocol).maildirpath);
	static struct local_server_command c;
	static struct environment e;

	local_server_words(&server, &c);
	make_environment(&e, tk, h, maildir);
	default_signals();
	setsid(); /* not the terminal of who started the node */
	keep_for_program(h->fd);
	become_user(a->uid, a->gid);
	keeper_begin(spawn_pid); /* after the change of user, which forgets what ties a process to its parent */
	set_limits();
	if (chdir(a->home) != 0 && chdir("/") != 0)
		die_errno("cannot change to /");
	execve(c.argv[0], c.argv, e.variable);
	die_errno("cannot execute %s%s", c.argv[0],
	    errno == EPERM ? ", the node was started without a program; restart it" : "");
}
