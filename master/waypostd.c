/* waypostd: the daemon. The first process becomes the master; roles are this program executed again with ROLES_OPTION
 * (master/roles.h). Order of a start: settings, lock, ports, roles, and when all of them are ready, the terminal is
 * released. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/die.h"
#include "lib/hex.h"
#include "lib/install_dirs.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "lib/tls_ctx.h"
#include "master/logfile.h"
#include "master/master.h"
#include "master/notify.h"
#include "master/roles.h"
#include "node/priv.h"

enum {
	START_WITHIN = 60, /* seconds for all roles to become ready; a big userdb takes some */
	STOP_WITHIN = 10   /* seconds for all roles to end cleanly */
};

static struct master master;
static ev_signal on_hup, on_term, on_int, on_usr1;
static ev_prepare flush;
static int parent_pipe = -1; /* tells the process at the terminal that the start succeeded */
static pid_t master_pid;

/* -- files below RUNDIR -- */

static void make_dir(const char *path, mode_t mode)
{
	struct stat st;

	if (mkdir(path, mode) == 0) {
		if (chmod(path, mode) != 0)
			die_errno("cannot set the mode of %s", path);
		return;
	}
	if (errno != EEXIST)
		die_errno("cannot create the folder %s; create its parent, or set RUNDIR to a folder of your own",
		    path);
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		die_fatal("%s is not a folder", path);
	if (st.st_uid != geteuid())
		die_fatal("%s belongs to uid %u, not to uid %u of this daemon", path, (unsigned)st.st_uid,
		    (unsigned)geteuid());
	if ((st.st_mode & 022) != 0)
		die_fatal("%s is writable by others; run: chmod go-w %s", path, path);
}

/* Makes the folder of what is kept over a restart. Without it all but that works: who writes there tells of it. */
static void make_state_dir(const struct master *m)
{
	const struct passwd *pw = m->root ? getpwnam(m->set->node_AUTH_USER) : NULL;
	char *path = m->set->node_STATEDIR[0] != '\0' ? mem_strdup(m->set->node_STATEDIR) :
	                                                mem_printf("%s/state", m->set->node_RUNDIR);

	if (mkdir(path, 0700) == 0 && pw != NULL && lchown(path, pw->pw_uid, pw->pw_gid) != 0)
		log_warn("cannot give %s to AUTH_USER: %m", path);
	mem_free(&path);
}

/* Makes RUNDIR/<node> with its parent, so that the example of several nodes on a machine works unchanged. */
static void make_rundir(const struct master *m)
{
	char *parent = mem_strdup(m->set->node_RUNDIR), *slash = strrchr(parent, '/');
	char *empty = mem_printf("%s/" PRIV_EMPTY_DIR, m->set->node_RUNDIR);
	mode_t mode = m->root ? 0755 : 0700;

	if (slash != NULL && slash != parent) {
		*slash = '\0';
		if (mkdir(parent, 0755) != 0 && errno != EEXIST)
			die_errno("cannot create the folder %s", parent);
	}
	make_dir(m->set->node_RUNDIR, mode);
	make_dir(empty, 0555);
	make_state_dir(m);
	mem_free(&parent);
	mem_free(&empty);
}

static void refuse_second(int fd, const char *path, const char *rundir)
{
	char pid[32] = "unknown";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	if (n > 0)
		pid[strcspn(pid, "\n")] = '\0';
	die_fatal("another waypostd (pid %s) uses RUNDIR %s (lock %s): stop it, or give each daemon its own RUNDIR",
	    pid, rundir, path);
}

/* Held for as long as this process lives: roles do not inherit it. */
static void take_lock(const char *rundir)
{
	char *path = mem_printf("%s/waypostd.lock", rundir);
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd == -1)
		die_errno("cannot open the lock %s", path);
	if (flock(fd, LOCK_EX | LOCK_NB) != 0)
		refuse_second(fd, path, rundir);
	if (ftruncate(fd, 0) != 0 || dprintf(fd, "%ld\n", (long)getpid()) < 0)
		log_warn("cannot write my pid to %s: %s", path, strerror(errno));
	mem_free(&path);
}

/* -- the process -- */

static void raise_limits(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0 && lim.rlim_cur < lim.rlim_max) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
}

/* Descriptors 0 to 2 must be open, or a socket would get the number of stderr. */
static void fill_standard_descriptors(void)
{
	int fd;

	while ((fd = open("/dev/null", O_RDWR)) != -1 && fd <= STDERR_FILENO)
		;
	if (fd > STDERR_FILENO)
		close(fd);
}

/* The parent stays at the terminal until the child has started, or has said why not. */
static void go_to_background(void)
{
	int fd[2], status;
	char byte;
	pid_t pid;

	if (pipe2(fd, O_CLOEXEC) != 0 || (pid = fork()) == -1)
		die_errno("cannot go to the background");
	if (pid == 0) {
		close(fd[0]);
		parent_pipe = fd[1];
		setsid();
		return;
	}
	close(fd[1]);
	if (read(fd[0], &byte, 1) == 1)
		_exit(0);
	_exit(
	    waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

static void let_go_of_terminal(void)
{
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (fd != -1 && !master_logs_to_stderr(&master) && strcmp(master.set->node_LOG, "stderr") != 0)
		dup2(fd, STDERR_FILENO);
	if (fd != -1) {
		dup2(fd, STDIN_FILENO);
		dup2(fd, STDOUT_FILENO);
		close(fd);
	}
	if (chdir("/") != 0)
		log_warn("cannot change to the root folder: %s", strerror(errno));
	if (write(parent_pipe, "", 1) != 1)
		log_debug("the starting process has ended");
	close(parent_pipe);
	parent_pipe = -1;
}

/* systemd sets JOURNAL_STREAM to the device and inode of the socket that it gave us as stderr. The journal would
 * attribute every line to waypostd; through the system's log socket it gets program and facility, and so do programs
 * that read it. */
static bool stderr_is_journal(void)
{
	const char *journal = getenv("JOURNAL_STREAM");
	char mine[64];
	struct stat st;

	if (journal == NULL || fstat(STDERR_FILENO, &st) != 0)
		return false;
	snprintf(mine, sizeof(mine), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
	return strcmp(journal, mine) == 0;
}

bool master_logs_to_stderr(const struct master *m)
{
	static int journal = -1;

	if (journal == -1)
		journal = stderr_is_journal();
	return m->foreground && !journal;
}

/* Only the master itself drains: a child between fork and exec ends by _exit(). */
static void at_exit(void)
{
	if (getpid() != master_pid)
		return;
	log_flush();
	logfile_drain();
}

static void open_log(struct master *m)
{
	const char *target = master_logs_to_stderr(m) ? "stderr" : m->set->node_LOG;
	int fd[2];

	if (!logfile_open(target))
		die_errno("LOG: cannot open %s", target);
	logfile_set_level(m->set->node_LOG_LEVEL);
	logfile_mirror(!m->foreground);
	if (logfile_pair(fd) != 0)
		die_errno("cannot create the log sockets");
	logfile_listen(m->loop, fd[0], LOGFILE_ROLE, NULL);
	master_pid = getpid();
	atexit(at_exit);
	log_set_socket(fd[1]);
}

/* -- start -- */

static void make_id(char id[NODE_ID_LEN + 1])
{
	uint8_t random[NODE_ID_LEN / 2];

	rnd_bytes(random, sizeof(random));
	hex_text(id, random, sizeof(random));
}

void master_identify(const struct master *m, struct settings *set)
{
	struct str listens = STR_INIT;

	mem_free(&set->node_id);
	set->node_id = mem_strdup(m->node_id);
	mem_free(&set->listens);
	listen_describe(&m->listeners, &listens);
	set->listens = mem_strdup(str_cstr(&listens));
	str_fini(&listens);
}

static void load_settings(struct master *m)
{
	struct str errors = STR_INIT, warnings = STR_INIT;

	m->set = settings_load(m->file, &errors, &warnings);
	settings_add_warnings(&errors, str_cstr(&warnings));
	fputs(str_cstr(&errors), stderr);
	if (m->set == NULL) {
		fprintf(stderr, "waypostd: not started: %s has mistakes\n", m->file);
		exit(1);
	}
	str_fini(&errors);
	str_fini(&warnings);
}

static void open_ports(struct master *m)
{
	struct str errors = STR_INIT;

	if (!protocols_served(m->set))
		die_fatal("%s has neither a group imapd nor a group pop3d; add one", m->file);
	if (!listen_update(&m->listeners, m->set, children_worker_slots(m->set), &errors)) {
		for (const char *p = str_cstr(&errors); *p != '\0'; p += strcspn(p, "\n") + 1)
			log_error("%.*s", (int)strcspn(p, "\n"), p);
		exit(1);
	}
	if (tls_ctx_logs_keys())
		log_warn("this was built with --enable-tls-keylog: whoever has this log can read what clients say "
		         "under TLS; "
		         "use it for debugging only");
	for (enum protocol p = 0; p < PROTOCOL_COUNT; p++)
		if (m->set->has_tls[p] && !protocol_settings(m->set, p).has_certificate)
			log_warn("%s-ssl: there is no TLS_CERTFILE; SSLPORT stays closed", protocols[p].group);
}

static void on_start_time_over(struct ev_loop *loop UNUSED, ev_timer *t UNUSED, int revents UNUSED)
{
	master.on_start_failed(&master, "not all processes became ready in time");
}

static void set_deadline(struct master *m, void (*fn)(struct ev_loop *, ev_timer *, int), double seconds)
{
	ev_timer_stop(m->loop, &m->deadline);
	ev_timer_init(&m->deadline, fn, seconds, 0.);
	ev_timer_start(m->loop, &m->deadline);
}

static void started(struct master *m)
{
	unsigned slots = children_worker_slots(m->set);

	ev_timer_stop(m->loop, &m->deadline);
	log_info("waypost %s is ready as node %s: %u login workers, %s", PACKAGE_VERSION, m->set->self[0], slots,
	    m->root ? "privileges dropped per role" : "all roles run as this ordinary user and serve only its mail");
	log_flush();
	logfile_drain(); /* report an unwritable log while the operator is watching */
	logfile_mirror(false);
	if (!m->foreground)
		let_go_of_terminal();
	notify_status("serving");
	notify_ready();
}

static void start_failed(struct master *m, const char *why)
{
	m->state = MASTER_STOPPING;
	log_error("not started: %s", why);
	children_kill(m);
	control_close(m);
	exit(1);
}

/* -- end -- */

static void all_gone(struct master *m)
{
	control_close(m);
	listen_close(&m->listeners);
	log_info("waypost has stopped");
	exit(0);
}

static void on_stop_time_over(struct ev_loop *loop UNUSED, ev_timer *t UNUSED, int revents UNUSED)
{
	log_error("not all processes stopped within %d s; the others are killed", STOP_WITHIN);
	children_kill(&master);
}

void master_stop(struct master *m)
{
	if (m->state == MASTER_STOPPING)
		return;
	m->state = MASTER_STOPPING;
	log_info("stopping");
	notify_stopping();
	children_stop(m);
	set_deadline(m, on_stop_time_over, STOP_WITHIN);
	if (m->children == NULL)
		all_gone(m);
}

/* -- signals -- */

static void on_stop_signal(struct ev_loop *loop UNUSED, ev_signal *w UNUSED, int revents UNUSED)
{
	master_stop(&master);
}

static void on_reload_signal(struct ev_loop *loop UNUSED, ev_signal *w UNUSED, int revents UNUSED)
{
	reload_begin(&master, NULL, NULL);
}

static void on_reopen_signal(struct ev_loop *loop UNUSED, ev_signal *w UNUSED, int revents UNUSED)
{
	logfile_reopen();
}

static void watch_signal(struct ev_loop *loop, ev_signal *w, void (*fn)(struct ev_loop *, ev_signal *, int), int number)
{
	ev_signal_init(w, fn, number);
	ev_signal_start(loop, w);
}

static void on_prepare(struct ev_loop *loop UNUSED, ev_prepare *w UNUSED, int revents UNUSED)
{
	log_flush();
}

static void make_loop(struct master *m)
{
	if ((m->loop = ev_default_loop(EVFLAG_NOENV)) == NULL)
		die_fatal("cannot create an event loop; check that epoll is allowed");
	signal(SIGPIPE, SIG_IGN);
	watch_signal(m->loop, &on_hup, on_reload_signal, SIGHUP);
	watch_signal(m->loop, &on_term, on_stop_signal, SIGTERM);
	watch_signal(m->loop, &on_int, on_stop_signal, SIGINT);
	watch_signal(m->loop, &on_usr1, on_reopen_signal, SIGUSR1);
	ev_prepare_init(&flush, on_prepare);
	ev_prepare_start(m->loop, &flush);
}

static void find_own_program(struct master *m)
{
	char path[4096];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
	struct stat st;

	if (n <= 0)
		return;
	path[n] = '\0';
	if (stat(path, &st) != 0)
		return;
	m->exe = mem_strdup(path);
	m->exe_dev = st.st_dev;
	m->exe_ino = st.st_ino;
}

static int run(struct master *m)
{
	m->root = geteuid() == 0;
	m->used_tokens = m->userdb = -1;
	find_own_program(m);
	m->on_started = started;
	m->on_start_failed = start_failed;
	m->on_all_gone = all_gone;
	umask(022); /* of all roles and session servers; imapd has IMAP_UMASK */
	load_settings(m);
	raise_limits();
	if (!m->foreground)
		go_to_background();
	make_rundir(m);
	take_lock(m->set->node_RUNDIR);
	make_loop(m);
	m->started = clock_now();
	open_log(m);
	open_ports(m);
	make_id(m->node_id);
	master_identify(m, m->set);
	if (!control_open(m))
		die_errno("cannot open the control socket %s/control", m->set->node_RUNDIR);
	set_deadline(m, on_start_time_over, START_WITHIN);
	children_start(m);
	ev_run(m->loop, 0);
	return 0;
}

static void usage(FILE *to)
{
	fputs("usage: waypostd [-F] [-c FILE]\n"
	      "  -c FILE  the configuration (default " WP_SYSCONFDIR "/waypost/waypost.conf)\n"
	      "  -F       stay in the foreground, log to stderr\n"
	      "  -V       print the version (--version, too)\n"
	      "  -h       print this (--help, too)\n",
	    to);
}

/* The path may be relative, and the daemon changes its directory. */
static const char *absolute(const char *file)
{
	char *full = realpath(file, NULL);

	return full != NULL ? full : file;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	int opt;

	if (argc > 1 && strcmp(argv[1], ROLES_OPTION) == 0)
		return roles_run(argc, argv);
	fill_standard_descriptors();
	log_set_program("waypostd");
	master.file = WP_SYSCONFDIR "/waypost/waypost.conf";
	while ((opt = getopt_long(argc, argv, "c:FVh", longs, NULL)) != -1) {
		if (opt == 'c') {
			master.file = absolute(optarg);
		} else if (opt == 'F') {
			master.foreground = true;
		} else if (opt == 'V') {
			printf("waypostd %s\n", PACKAGE_VERSION);
			return 0;
		} else {
			usage(opt == 'h' ? stdout : stderr);
			return opt == 'h' ? 0 : 2;
		}
	}
	if (optind != argc) {
		usage(stderr);
		return 2;
	}
	return run(&master);
}
