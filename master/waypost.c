/* waypost: the operator's tool. It finds the daemon by RUNDIR in the configuration, sends one command over
 * RUNDIR/control and prints what comes back; `check` needs no daemon. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include "authd/lacking.h"
#include "authlib/auth.h"
#include "authlib/userdb.h"
#include "lib/install_dirs.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/msg.h"
#include "master/check_accounts.h"
#include "master/check_certs.h"
#include "master/enumerate.h"
#include "master/report.h"
#include "node/msg_control.h"
#include "node/priv.h"
#include "node/role.h"
#include "node/msg_channel.h"
#include "settings/peer_orders.h"
#include "settings/settings.h"

enum { EXIT_USAGE = 2, EXIT_NO_DAEMON = 2, PASSWORD_MAX = 1024, MESSAGE_MAX = 16 * 1024 };

struct tool {
	const char *file;
	bool json;
	bool ask_directories; /* check --ask */
	bool enumerate;       /* auth --enumerate, and how */
	bool list_option;
	struct enumerate_options list;
	const char *address, *session; /* who, kick: which sessions; NULL: not said */
	int argc;                      /* arguments after the command */
	char **argv;
	struct str rows;
	char *message; /* for stderr; never NULL after ask() */
};

static struct msgw out;

/* -- the daemon -- */

/* A mistake in the file must not look like a daemon that is down: only RUNDIR matters here. */
static int connect_daemon(const struct tool *t)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings *set = settings_load_anyway(t->file, &errors, &warnings);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(un.sun_path, sizeof(un.sun_path), "%s/control", set->node_RUNDIR);
	if (fd == -1 || connect(fd, (struct sockaddr *)&un, sizeof(un)) != 0) {
		fprintf(stderr, "waypost: no daemon answers on %s: %s%s\n", un.sun_path, strerror(errno),
		    errno == EACCES ?
		        " (run waypost as root or as the user who started the daemon)" :
		        errno == ENOENT || errno == ECONNREFUSED ?
		        " (check that waypostd runs with this RUNDIR, and that ${...} in it stands for the same here)" :
		        "");
		if (errors.len != 0)
			fprintf(stderr, "%swaypost: %s has mistakes, so RUNDIR may be wrong\n", str_cstr(&errors),
			    t->file);
		exit(EXIT_NO_DAEMON);
	}
	settings_free(&set);
	str_fini(&errors);
	str_fini(&warnings);
	return fd;
}

/* A daemon that is stopped, or hangs, takes commands that nobody reads. It says itself which of its processes does not
 * answer; only a few commands take longer than that. */
static unsigned patience(const char *command)
{
	static const char *const long_ones[] = { "auth", "kick", "reload", "stop" };

	for (size_t i = 0; i < ARRAY_LEN(long_ones); i++)
		if (strncmp(command, long_ones[i], strlen(long_ones[i])) == 0)
			return 300;
	return 15;
}

static void say_silent(int sock, unsigned seconds)
{
	struct ucred daemon = { 0 };
	socklen_t len = sizeof(daemon);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &daemon, &len) != 0)
		daemon.pid = 0;
	fprintf(stderr,
	    "waypost: the daemon (pid %d) has not answered for %u s; if it is stopped (ps shows T), run: kill -CONT "
	    "%d; else restart it\n",
	    (int)daemon.pid, seconds, (int)daemon.pid);
}

static void take_message(struct tool *t, struct msgr *r, uint32_t *status, bool *done)
{
	const char *text;
	size_t len;

	if (r->type == TOOL_ROWS) {
		if (tool_rows_read(r, &text, &len))
			str_add(&t->rows, text, len);
	} else if (r->type == TOOL_DONE) {
		mem_free(&t->message);
		*done = tool_done_read(r, status, &t->message);
	}
}

/* Sends the command and collects the answer: the status that came with it, or EXIT_NO_DAEMON. */
static unsigned ask(struct tool *t, const char *command, const char *argument)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int sock = connect_daemon(t), fd, got;
	struct timeval wait = { .tv_sec = patience(command) };
	uint32_t status = EXIT_NO_DAEMON;
	bool done = false;
	struct msgr r;

	t->message = mem_strdup("");
	setsockopt(sock, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	tool_command_write(&out, command, argument);
	if (msg_send(sock, &out, -1) != 0) {
		fprintf(stderr, "waypost: cannot send the command: %s\n", strerror(errno));
		exit(EXIT_NO_DAEMON);
	}
	mem_wipe(&out, sizeof(out));
	while (!done && (got = msg_recv(sock, buf, &r, &fd)) != 0) {
		if (got == -1 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			say_silent(sock, (unsigned)wait.tv_sec);
			exit(EXIT_NO_DAEMON);
		}
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			break;
		if (fd != -1)
			close(fd);
		take_message(t, &r, &status, &done);
	}
	close(sock);
	if (!done && strcmp(command, "stop") != 0) {
		fputs("waypost: the daemon closed the connection without an answer\n", stderr);
		return EXIT_NO_DAEMON;
	}
	return done ? status : 0;
}

static void print_clean_lines(FILE *to, const char *text)
{
	struct str clean = STR_INIT;

	while (*text != '\0') {
		size_t len = strcspn(text, "\n");

		str_clear(&clean);
		report_clean(&clean, text, len);
		fprintf(to, "%s\n", str_cstr(&clean));
		text += len + (text[len] == '\n');
	}
	str_fini(&clean);
}

static void print_answer(const struct tool *t, unsigned status)
{
	print_clean_lines(stdout, str_cstr(&t->rows));
	print_clean_lines(status == 0 ? stdout : stderr, t->message);
}

/* Sends the command and prints the answer unchanged. */
static int plain(struct tool *t, const char *command, const char *argument)
{
	unsigned status = ask(t, command, argument);

	print_answer(t, status);
	return (int)status;
}

/* -- commands -- */

static int do_status(struct tool *t)
{
	struct str text = STR_INIT;
	int status = (int)ask(t, "status", "");

	if (status != 0) {
		print_clean_lines(stderr, t->message);
		return status;
	}
	status = (int)report_status(&text, str_cstr(&t->rows), t->json);
	fputs(str_cstr(&text), stdout);
	str_fini(&text);
	return status;
}

/* Asks VERB for the sessions that are meant: of a user, an address, or one by its id; or, of "who", for all. False:
 * that is not said, or more than one of them is. */
static bool ask_sessions(struct tool *t, const char *verb, unsigned *status)
{
	int said = t->argc + (t->address != NULL) + (t->session != NULL);
	char command[CONTROL_COMMAND_MAX];

	if (said > 1 || (said == 0 && strcmp(verb, "who") != 0)) {
		fprintf(stderr, "usage: waypost %s USER, or --address ADDRESS, or --session ID\n", verb);
		return false;
	}
	snprintf(command, sizeof(command), "%s%s", verb,
	    t->address != NULL     ? "-address" :
	        t->session != NULL ? "-session" :
	                             "");
	*status = ask(t, command,
	    t->address != NULL     ? t->address :
	        t->session != NULL ? t->session :
	        t->argc == 1       ? t->argv[0] :
	                             "");
	return true;
}

static int do_who(struct tool *t)
{
	struct str text = STR_INIT;
	unsigned status;

	if (!ask_sessions(t, "who", &status))
		return EXIT_USAGE;
	report_who(&text, str_cstr(&t->rows), t->json);
	fputs(str_cstr(&text), stdout);
	print_clean_lines(stderr, t->message);
	str_fini(&text);
	return (int)status;
}

static int do_kick(struct tool *t)
{
	unsigned status;

	if (!ask_sessions(t, "kick", &status))
		return EXIT_USAGE;
	print_answer(t, status);
	return (int)status;
}

static int do_flush(struct tool *t)
{
	return plain(t, "flush", t->argc == 1 ? t->argv[0] : "");
}

static int do_drain(struct tool *t)
{
	const char *what = t->argc > 0 ? t->argv[0] : "on";

	if (strcmp(what, "on") != 0 && strcmp(what, "off") != 0 && strcmp(what, "status") != 0) {
		fputs("usage: waypost drain [on|off|status]\n", stderr);
		return EXIT_USAGE;
	}
	return plain(t, "drain", what);
}

static int do_peer(struct tool *t)
{
	struct str line = STR_INIT;
	struct peer_order o;
	const char *why;
	int status;

	for (int i = 0; i < t->argc; i++)
		str_addf(&line, "%s%s", i != 0 ? " " : "", t->argv[i]);
	if (t->argc != 0 && !peer_order_parse(&o, line.data, line.len, &why)) {
		fprintf(stderr, "waypost: %s\n", why);
		str_fini(&line);
		return EXIT_USAGE;
	}
	status = plain(t, "peer", str_cstr(&line));
	str_fini(&line);
	return status;
}

static int do_reload(struct tool *t)
{
	unsigned status = ask(t, "reload", "");

	print_clean_lines(stderr, t->message);
	if (status == 0)
		puts("reloaded: new logins are served with the new settings");
	return (int)status;
}

static int do_stop(struct tool *t)
{
	return plain(t, "stop", "");
}

static int do_route(struct tool *t)
{
	return plain(t, "route", t->argv[0]);
}

/* Reads the password from the terminal without echo, or from the first line of stdin. */
static bool read_password(const char *user, char *dst, size_t size)
{
	struct termios old, silent;
	bool terminal = isatty(STDIN_FILENO) && tcgetattr(STDIN_FILENO, &old) == 0, got;

	if (terminal) {
		silent = old;
		silent.c_lflag &= ~(tcflag_t)ECHO;
		fprintf(stderr, "Password of %s: ", user);
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
	}
	got = fgets(dst, (int)size, stdin) != NULL;
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fputc('\n', stderr);
	}
	if (got && strchr(dst, '\n') == NULL && !feof(stdin))
		return false;
	dst[got ? strcspn(dst, "\r\n") : 0] = '\0';
	return got;
}

static int do_auth(struct tool *t)
{
	char password[PASSWORD_MAX];
	struct str argument = STR_INIT;
	int status;

	if (t->enumerate == (t->argc != 0) || (t->list_option && !t->enumerate)) {
		fputs("usage: waypost auth USER, or waypost auth --enumerate [-s] [-o] [-m]\n", stderr);
		return EXIT_USAGE;
	}
	if (t->enumerate)
		return enumerate_accounts(t->file, &t->list);
	/* Unbuffered: stdio's buffer would keep a copy of the password. */
	setvbuf(stdin, NULL, _IONBF, 0);
	if (!read_password(t->argv[0], password, sizeof(password))) {
		fputs("waypost: no password on standard input, or it is too long\n", stderr);
		return EXIT_USAGE;
	}
	str_addf(&argument, "%s\n%s", t->argv[0], password);
	mem_wipe(password, sizeof(password));
	status = plain(t, "auth", str_cstr(&argument));
	str_fini_secret(&argument);
	return status;
}

/* What is known of the accounts of a userdb. */
struct userdb_checks {
	const struct settings *set;
	struct check_accounts accounts;
	struct str lacking; /* lines of lacking_report() */
};

static void check_image(void *arg, const struct userdb *db)
{
	struct userdb_checks *c = arg;
	struct str why = STR_INIT;

	userdb_each(db, check_accounts_one, &c->accounts, &why);
	lacking_report(&c->lacking, c->set, db);
	str_fini(&why);
}

/* Checks the account file, if it is used and exists (the check of the settings reports a missing one). */
static bool check_userdb(const struct settings *set, struct str *text)
{
	struct userdb_checks found = { .set = set, .lacking = STR_INIT };
	bool good;

	if (!auth_modules_have(set->authdaemonrc_authmodulelist, "authuserdb") ||
	    access(set->authuserdb_USERDB, F_OK) != 0)
		return true;
	check_accounts_init(&found.accounts, set);
	good = userdb_check(set->authuserdb_USERDB, text, check_image, &found);
	check_accounts_report(&found.accounts, text);
	settings_add_warnings(text, str_cstr(&found.lacking));
	str_fini(&found.lacking);
	return good;
}

/* Checks PROXY_PEERS_FILE. A monitor may write it later; the daemon leaves out what is wrong in it. */
static bool check_peers_file(const struct settings *set, struct str *text)
{
	const char *path = set->proxy_PROXY_PEERS_FILE;
	struct peer_orders all = { 0 };
	struct str content = STR_INIT, why = STR_INIT;
	int64_t changed;
	int got = path[0] != '\0' ? peer_orders_read_file(path, &content, &changed, &why) : 1;
	unsigned bad = 0;

	if (got == 0)
		str_addf(text, "warning: PROXY_PEERS_FILE: %s does not exist; until it does, it says nothing\n", path);
	else if (got == -1)
		str_addf(text, "PROXY_PEERS_FILE: %s\n", str_cstr(&why));
	else
		bad = peer_orders_parse(&all, str_cstr(&content), content.len, &why);
	for (const char *p = str_cstr(&why); bad != 0 && *p != '\0'; p += strcspn(p, "\n") + 1)
		str_addf(text, "PROXY_PEERS_FILE: %s: %.*s\n", path, (int)strcspn(p, "\n"), p);
	str_fini(&content);
	str_fini(&why);
	peer_orders_fini(&all);
	return got != -1 && bad == 0;
}

/* Checks what the daemon reads as AUTH_USER. Drops privileges first: the content must do no more harm here than there,
 * and what that user cannot read is found. */
static bool check_as_auth_user(const char *file, struct str *text)
{
	struct str errors = STR_INIT, warnings = STR_INIT;
	struct settings *set = settings_load(file, &errors, &warnings);
	bool good = true;

	if (set != NULL) {
		priv_drop(ROLE_AUTHWORKER, set);
		good = check_userdb(set, text);
		good = check_peers_file(set, text) && good;
	}
	settings_free(&set);
	str_fini(&errors);
	str_fini(&warnings);
	return good;
}

static int do_check(struct tool *t)
{
	struct str text = STR_INIT;
	int status = settings_check(t->file, &text, check_certs);

	print_clean_lines(stdout, str_cstr(&text));
	str_clear(&text);
	if (status != 0) {
		str_fini(&text);
		return status;
	}
	/* Do this first: the rest drops our privileges. */
	if (t->ask_directories)
		status = enumerate_ask(t->file);
	if (!check_as_auth_user(t->file, &text))
		status = 1;
	print_clean_lines(stdout, str_cstr(&text));
	str_fini(&text);
	return status;
}

static const struct {
	const char *name;
	int least, most; /* arguments */
	int (*run)(struct tool *t);
	const char *args, *text;
} commands[] = {
	{ "check", 0, 0, do_check, "[--ask]",
	    "check the configuration and the limits of the system; --ask: and whether\n"
	    "                            the directories of accounts answer" },
	{ "status", 0, 0, do_status, "[--json]",
	    "show the state; exit status 0 healthy, 1 degraded, 2 no daemon, 3 draining" },
	{ "who", 0, 1, do_who, "[--json] [USER]", "list open sessions: all, or those of a user" },
	{ "kick", 0, 1, do_kick, "USER", "end the sessions of a user; kick and who also take, instead:" },
	{ "", 0, 0, NULL, "--address ADDR", "the sessions of an address or network" },
	{ "", 0, 0, NULL, "--session ID", "the session with that id, which who shows" },
	{ "drain", 0, 1, do_drain, "[on|off|status]", "refuse new clients, for maintenance of this node" },
	{ "peer", 0, 3, do_peer, "[HOST WORD]",
	    "say that a peer is up, down or to be drained; else show what is said.\n"
	    "                            HOST may be HOST:PORT, and imap or pop3 may stand before the word" },
	{ "flush", 0, 1, do_flush, "[USER]", "empty the account cache, for one user or all" },
	{ "reload", 0, 0, do_reload, "", "load new settings; nobody is disconnected" },
	{ "route", 1, 1, do_route, "USER", "show where a login would go, and why" },
	{ "auth", 0, 1, do_auth, "USER", "try a password (from the terminal or stdin) and show the account" },
	{ "auth", 0, 1, do_auth, "--enumerate",
	    "list all accounts: name, uid, gid, home, Maildir; needs no daemon\n"
	    "                            -s omit accounts with disableshared, -o add options, -m add driver" },
	{ "stop", 0, 0, do_stop, "", "stop the daemon" },
};

static int usage(FILE *to)
{
	fputs("usage: waypost [-c FILE] COMMAND [ARGUMENT]\n"
	      "  -c FILE  the configuration (default " WP_SYSCONFDIR "/waypost/waypost.conf)\n"
	      "  -V       print the version\n",
	    to);
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		fprintf(to, "  %-7s%-17s%s\n", commands[i].name, commands[i].args, commands[i].text);
	return to == stdout ? 0 : EXIT_USAGE;
}

static int run_command(struct tool *t, const char *name)
{
	int status;

	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (commands[i].run == NULL || strcmp(commands[i].name, name) != 0)
			continue;
		if (t->argc < commands[i].least || t->argc > commands[i].most ||
		    ((t->enumerate || t->list_option) && commands[i].run != do_auth) ||
		    (t->ask_directories && commands[i].run != do_check) ||
		    ((t->address != NULL || t->session != NULL) && commands[i].run != do_who &&
		        commands[i].run != do_kick)) {
			fprintf(stderr, "usage: waypost %s %s\n", name, commands[i].args);
			return EXIT_USAGE;
		}
		status = commands[i].run(t);
		str_fini(&t->rows);
		mem_free(&t->message);
		return status;
	}
	fprintf(stderr, "waypost: unknown command \"%s\"\n", name);
	return usage(stderr);
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "json", no_argument, NULL, 'j' }, { "ask", no_argument, NULL, 'a' },
		{ "enumerate", no_argument, NULL, 'e' }, { "address", required_argument, NULL, 'A' },
		{ "session", required_argument, NULL, 'S' }, { "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' }, { NULL, 0, NULL, 0 } };
	struct tool t = { .file = WP_SYSCONFDIR "/waypost/waypost.conf" };
	int opt;

	log_set_program("waypost");
	while ((opt = getopt_long(argc, argv, "c:hmosV", longs, NULL)) != -1) {
		if (opt == 'c') {
			t.file = optarg;
		} else if (opt == 'j') {
			t.json = true;
		} else if (opt == 'e') {
			t.enumerate = true;
		} else if (opt == 'A') {
			t.address = optarg;
		} else if (opt == 'S') {
			t.session = optarg;
		} else if (opt == 'a') {
			t.ask_directories = true;
		} else if (strchr("som", opt) != NULL) {
			t.list_option = true;
			t.list.shared_only |= opt == 's';
			t.list.with_options |= opt == 'o';
			t.list.with_driver |= opt == 'm';
		} else if (opt == 'V') {
			printf("waypost %s\n", PACKAGE_VERSION);
			return 0;
		} else {
			return usage(opt == 'h' ? stdout : stderr);
		}
	}
	if (optind >= argc)
		return usage(stderr);
	t.argc = argc - optind - 1;
	t.argv = argv + optind + 1;
	return run_command(&t, argv[optind]);
}
