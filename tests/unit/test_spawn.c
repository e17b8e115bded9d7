/* The role spawn in a process of its own, with a master, an authd and a login worker that the test plays: once as root
 * (if the test is run by root) and once as an ordinary user. */
#include "tests/unit/msg_test.h"
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/mem.h"
#include "master/spawn.h"
#include "node/account.h"
#include "node/msg_control.h"
#include "node/msg_session.h"
#include "node/msg_ticket.h"

enum { UID = 4242, GID = 4343, GENERATION = 5, MANY = 24 };

static bool as_root; /* spawn runs as root */
static uid_t user_uid;
static gid_t user_gid;
static char home[64];
static int control, authd, worker, log_sock, session_log;
static pid_t spawn_pid;
static struct msgw out;

/* Why this process cannot start another one; 0: it can. */
static int no_fork(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	if (pid != -1)
		waitpid(pid, NULL, 0);
	return pid == -1 ? errno : 0;
}

/* Signals whose action is not the default one, as it is after fork() in a process that catches or ignores some. */
static int signals_changed(void)
{
	struct sigaction a;
	int n = 0;

	for (int sig = 1; sig < SIGRTMIN; sig++)
		n += sigaction(sig, NULL, &a) == 0 && a.sa_handler != SIG_DFL;
	return n;
}

/* The log of the session servers takes nothing more. */
static int fill_log(void)
{
	while (send(4, "x", 1, MSG_DONTWAIT) == 1)
		continue;
	return errno == EAGAIN ? 0 : errno;
}

/* A session server that sends what it was given, and then does what the client says. */
static void fake_server(int fd, const struct session_start *start)
{
	char cwd[256] = "", *line;
	struct bio b;
	size_t len;
	int fds = 0, signals = signals_changed();

	for (int i = 0; i < 256; i++)
		fds += fcntl(i, F_GETFD) != -1;
	session_bio(&b, fd, start);
	bio_printf(&b, "%s|%s|%s|%s|%s|%s|%d|%d|%d|%d|%d|%d\n", start->user, start->maildir, start->options,
	    start->session_id, start->context, getcwd(cwd, sizeof(cwd)),
	    (int)getuid() == (int)geteuid() ? (int)getuid() : -1, (int)getgid(), getgroups(0, NULL), fds, setuid(0),
	    (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	while (session_stop() == SESSION_END_COUNT && bio_line(&b, 100, 10000, &line, &len) == BIO_OK) {
		if (strcmp(line, "crash") == 0)
			raise(SIGSEGV);
		else if (strcmp(line, "status") == 0)
			_exit(3);
		else if (strcmp(line, "fork") == 0)
			bio_printf(&b, "%d\n", no_fork());
		else if (strcmp(line, "signals") == 0)
			bio_printf(&b, "%d\n", signals);
		else if (strcmp(line, "fill") == 0)
			bio_printf(&b, "%d\n", fill_log());
		else if (strcmp(line, "move") == 0)
			bio_printf(&b, "%d\n", rename("Maildir/new/m", "Maildir/cur/m"));
		else if (strcmp(line, "outside") == 0)
			bio_printf(&b, "%d\n", open("/etc/passwd", O_RDONLY) == -1 ? errno : 0);
		else
			bio_printf(&b, "you said %s\n", line);
	}
	if (session_stop() != SESSION_END_COUNT)
		bio_printf(&b, "stopped %d\n", (int)session_stop());
	bio_flush(&b);
	start->counters->end = SESSION_END_LOGOUT;
	session_log_end("pop3d", start, "top=0, retr=0", "stls");
}

session_server_fn *const spawn_servers[PROTOCOL_COUNT] = { [PROTOCOL_POP3] = fake_server };
const char *const spawn_context_variables[PROTOCOL_COUNT] = { [PROTOCOL_POP3] = "UTF8" };

/* The other ends */

static void patience(int fd, int seconds)
{
	struct timeval t = { seconds, 0 };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static void put_fd(int fd, int as)
{
	if (fd == as)
		fcntl(fd, F_SETFD, 0);
	else
		dup2(fd, as);
}

static void run_spawn(int c, int l, int set, int sl)
{
	static const struct role_start who = { ROLE_SPAWN, 0, 1 };
	int hi[4] = { fcntl(c, F_DUPFD, 50), fcntl(l, F_DUPFD, 50), fcntl(set, F_DUPFD, 50), fcntl(sl, F_DUPFD, 50) };

	for (int i = 0; i < 4; i++)
		put_fd(hi[i], 3 + i);
	close_range(7, ~0U, 0);
	if (!as_root && geteuid() == 0) {
		setgroups(0, NULL);
		if (setresgid(user_gid, user_gid, user_gid) != 0 || setresuid(user_uid, user_uid, user_uid) != 0)
			_exit(9);
	}
	_exit(spawn_main(&who));
}

/* A channel between spawn and OTHER; our end is returned. */
static int new_channel(enum role other, uint64_t generation)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(msg_pair(pair), 0);
	control_channel_write(&out, &(struct control_process){ other, 0, generation });
	CU_ASSERT_EQUAL(msg_send(control, &out, pair[1]), 0);
	close(pair[1]);
	patience(pair[0], 5);
	return pair[0];
}

/* The next message on SOCK is of TYPE. */
static bool expect(int sock, uint16_t type, struct msgr *r)
{
	static uint8_t buf[MSG_SIZE_MAX];
	int fd, got;

	got = unit_recv(sock, buf, r, &fd);
	CU_ASSERT_EQUAL_FATAL(got, 1);
	CU_ASSERT_EQUAL(fd, -1);
	CU_ASSERT_EQUAL_FATAL(r->type, type);
	return got == 1;
}

static bool expect_logged(int sock, const char *text)
{
	static char all[16384];
	ssize_t n;

	while ((n = recv(sock, all, sizeof(all) - 1, 0)) > 0) {
		all[n] = '\0';
		if (strstr(all, text) != NULL)
			return true;
	}
	return false;
}

static const char *program; /* of LOCAL_POP3; NULL: none */

static int write_settings(void)
{
	struct settings *set = settings_defaults();
	int fd;

	set->has[PROTOCOL_POP3] = true;
	if (program != NULL)
		account_set(&set->pop3d_LOCAL_POP3, program);
	fd = settings_write(set, SETTINGS_FOR_SPAWN);
	settings_free(&set);
	return fd;
}

static void start_spawn(void)
{
	int c[2], l[2], sl[2], fd = write_settings();
	struct msgr r;

	CU_ASSERT_NOT_EQUAL_FATAL(fd, -1);
	CU_ASSERT_EQUAL_FATAL(msg_pair(c), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, l), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sl), 0);
	fflush(NULL);
	if ((spawn_pid = fork()) == 0)
		run_spawn(c[1], l[1], fd, sl[1]);
	close(c[1]);
	close(l[1]);
	close(sl[1]);
	close(fd);
	control = c[0];
	log_sock = l[0];
	session_log = sl[0];
	patience(control, 5);
	patience(log_sock, 5);
	patience(session_log, 5);
	worker = new_channel(ROLE_WORKER, GENERATION);
	authd = new_channel(ROLE_AUTHD, 1);
	expect(authd, SESSIONS_TOLD, &r);
	msgw_begin(&out, CTL_GO);
	CU_ASSERT_EQUAL(msg_send(control, &out, -1), 0);
	expect(control, CTL_READY, &r);
}

static void end_spawn(void)
{
	int status;

	msgw_begin(&out, CTL_STOP);
	msg_send(control, &out, -1);
	CU_ASSERT_EQUAL(waitpid(spawn_pid, &status, 0), spawn_pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(control);
	close(authd);
	close(worker);
	close(log_sock);
	close(session_log);
}

/* Ticket number N for session N; USER_ID in place of the account's uid. */
static void send_ticket(unsigned n, uint64_t generation, uint32_t uid)
{
	struct ticket_grant grant;
	struct account a;

	account_init(&a);
	account_set(&a.name, "alice@example.com");
	account_set(&a.home, home);
	account_set(&a.options, "x=y");
	a.uid = uid;
	a.gid = user_gid;
	grant = (struct ticket_grant){
		.id = { (uint8_t)n },
		.session = n,
		.generation = generation,
		.protocol = PROTOCOL_POP3,
		.account = a,
		.program = program != NULL,
		.tls = true,
		.tls_words = "TLSv1.3:X",
	};
	snprintf(grant.session_id, sizeof(grant.session_id), "s%u", n);
	net_addr_parse(&grant.client, "192.0.2.7", 4711);
	ticket_write(&out, &grant);
	CU_ASSERT_EQUAL(msg_send(authd, &out, -1), 0);
	account_fini(&a);
}

static const char *context = "UTF8";

static void send_handoff(unsigned n, bool relayed, const char *leftover, int fd)
{
	struct handoff_client m = { 100 + n, relayed, { (uint8_t)n }, "", leftover, strlen(leftover) };

	str_copy(m.context, sizeof(m.context), context);
	handoff_write(&out, &m);
	CU_ASSERT_EQUAL(msg_send(worker, &out, fd), 0);
}

/* Hands a client over with ticket N; the client's end is returned. */
static int hand_over(unsigned n, const char *leftover)
{
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	fcntl(pair[1], F_SETFL, O_NONBLOCK);
	send_handoff(n, false, leftover, pair[1]);
	close(pair[1]);
	patience(pair[0], 5);
	return pair[0];
}

static void expect_reply(unsigned n, bool started)
{
	struct msgr r;

	if (!expect(worker, HANDOFF_REPLY, &r))
		return;
	CU_ASSERT_EQUAL(msgr_u32(&r), 100 + n);
	CU_ASSERT_EQUAL(msgr_u8(&r), started);
	CU_ASSERT(msgr_end(&r));
}

static pid_t expect_process(enum msg_type type, unsigned n)
{
	struct net_addr client;
	char user[ACCOUNT_NAME_MAX];
	struct msgr r;
	pid_t pid;

	expect(authd, type, &r);
	CU_ASSERT_EQUAL(msgr_u64(&r), n);
	msgr_u8(&r);
	net_addr_read(&r, &client);
	msgr_str(&r, user, sizeof(user));
	pid = (pid_t)msgr_u32(&r);
	CU_ASSERT(msgr_end(&r));
	return pid;
}

static pid_t expect_pid(unsigned n)
{
	return expect_process(SESSION_HAVE, n);
}

static void expect_end(unsigned n)
{
	struct msgr r;

	expect(authd, SESSION_END, &r);
	CU_ASSERT_EQUAL(msgr_u64(&r), n);
}

/* The next line that the client is sent. */
static const char *client_line(int client)
{
	static char line[1024];
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(client, line + n, 1, 0) == 1 && line[n] != '\n')
		n++;
	line[n] = '\0';
	return line;
}

static void say(int client, const char *text)
{
	CU_ASSERT_EQUAL(send(client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* A session that works. */
static int open_session(unsigned n, pid_t *pid)
{
	int client;

	send_ticket(n, GENERATION, user_uid);
	client = hand_over(n, "");
	expect_reply(n, true);
	*pid = expect_pid(n);
	client_line(client);
	return client;
}

static uint32_t query(const char *command, const char *argument, char *rows, size_t size)
{
	struct msgr r;

	rows[0] = '\0';
	control_query_write(&out, 77, command, argument);
	CU_ASSERT_EQUAL(msg_send(control, &out, -1), 0);
	for (;;) {
		static uint8_t buf[MSG_SIZE_MAX];
		int fd;

		if (msg_recv(control, buf, &r, &fd) != 1)
			return UINT32_MAX;
		CU_ASSERT_EQUAL(msgr_u32(&r), 77);
		if (r.type == CTL_DONE)
			return msgr_u32(&r);
		msgr_lines(&r, rows, size);
	}
}

/* What spawn has open, and mapped; -1 where this process may not see it. */

static int entries_of(const char *path)
{
	DIR *d = opendir(path);
	int n = 0;

	if (d == NULL)
		return -1;
	while (readdir(d) != NULL)
		n++;
	closedir(d);
	return n;
}

static int descriptors(void)
{
	char path[64], rows[256];

	CU_ASSERT_EQUAL(query("status", "", rows, sizeof(rows)), 0); /* earlier messages have been handled */
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)spawn_pid);
	return entries_of(path);
}

static int lines_of_maps(void)
{
	char path[64];
	FILE *f;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)spawn_pid);
	if ((f = fopen(path, "re")) == NULL)
		return -1;
	for (int c; (c = getc(f)) != EOF;)
		n += c == '\n';
	fclose(f);
	return n;
}

/* Cases */

static void test_serve(void)
{
	char want[512];
	pid_t pid;
	int client;

	start_spawn();
	send_ticket(1, GENERATION, user_uid);
	client = hand_over(1, "hello\r\nhal");
	expect_reply(1, true);
	pid = expect_pid(1);
	CU_ASSERT(pid > 1);
	snprintf(want, sizeof(want), "alice@example.com|%s/Maildir|x=y|s1|UTF8|%s|%d|%d|%d|5|-1|0", home, home,
	    (int)user_uid, (int)user_gid,
	    as_root           ? 1 :
	        getuid() == 0 ? 0 :
	                        getgroups(0, NULL));
	CU_ASSERT_STRING_EQUAL(client_line(client), want);
	CU_ASSERT_STRING_EQUAL(client_line(client), "you said hello");
	say(client, "f\r\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "you said half");
	say(client, "signals\r\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "0");
	say(client, "move\r\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "0");
	say(client, "outside\r\n");
	snprintf(want, sizeof(want), "%s", client_line(client));
	CU_ASSERT(strcmp(want, "13") == 0 || strcmp(want, "0") == 0); /* where the kernel has Landlock: EACCES */
	close(client);
	expect_end(1);
	CU_ASSERT(expect_logged(log_sock,
	    "2pop3d: LOGIN, user=alice@example.com, ip=[::ffff:192.0.2.7], port=[4711], protocol=POP3, stls=1, "
	    "tls=TLSv1.3:X, "
	    "mailhost=local, session=s1\n"));
	CU_ASSERT(expect_logged(session_log,
	    "2pop3d: LOGOUT, user=alice@example.com, ip=[::ffff:192.0.2.7], port=[4711], top=0, retr=0, rcvd=37, "
	    "sent="));
	client = hand_over(1, ""); /* the ticket was valid once */
	expect_reply(1, false);
	CU_ASSERT_STRING_EQUAL(client_line(client), "");
	close(client);
	end_spawn();
}

static void test_early_client(void)
{
	int client;

	start_spawn();
	client = hand_over(2, "");
	usleep(100000);
	send_ticket(2, GENERATION, user_uid);
	expect_reply(2, true);
	expect_pid(2);
	CU_ASSERT_EQUAL(strncmp(client_line(client), "alice", 5), 0);
	close(client);
	expect_end(2);
	end_spawn();
}

static void test_refused(void)
{
	static const uint32_t bad_uid[] = { 0, 1, UID + 1 };
	uint8_t id[TICKET_LEN] = { 9 };
	struct msgr r;

	start_spawn();
	for (unsigned i = 0; i < (as_root ? 2 : 3); i++) {
		send_ticket(3 + i, GENERATION, bad_uid[i]);
		close(hand_over(3 + i, ""));
		expect_reply(3 + i, false);
		CU_ASSERT(expect_logged(log_sock, "0waypostd: alice@example.com is not served: "));
	}
	send_ticket(8, GENERATION - 1, user_uid); /* an older worker's */
	send_ticket(9, GENERATION, user_uid);
	ticket_void_write(&out, id);
	CU_ASSERT_EQUAL(msg_send(authd, &out, -1), 0);
	usleep(200000); /* the ticket has expired before its client comes */
	close(hand_over(8, ""));
	close(hand_over(9, ""));
	expect_reply(8, false);
	expect_reply(9, false);
	msgw_begin(&out, HANDOFF); /* without descriptor, and cut */
	msgw_u32(&out, 100);
	CU_ASSERT_EQUAL(msg_send(worker, &out, -1), 0);
	expect(control, CTL_UNFIT, &r);
	CU_ASSERT_EQUAL(msgr_u32(&r), 0);
	CU_ASSERT_EQUAL(msgr_u64(&r), GENERATION);
	CU_ASSERT(msgr_end(&r));
	end_spawn();
}

/* It must not read in the log that descriptors ran out. */
static void test_no_client(void)
{
	struct msgr r;

	/* ... nor are both said: a client that comes, and one whose bytes stay with the worker. */
	for (int relayed = 0; relayed < 2; relayed++) {
		start_spawn();
		send_ticket(1, GENERATION, user_uid);
		send_handoff(1, relayed, "", relayed ? control : -1);
		expect(control, CTL_UNFIT, &r);
		CU_ASSERT(expect_logged(log_sock, "0waypostd: bad message "));
		end_spawn();
	}
}

/* The client of a worker that has its bytes: the worker gets a stream to the server, and nobody else has its other
 * end. */
static void test_relayed(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	uint32_t request;
	bool started;
	char byte;
	int stream;

	start_spawn();
	send_ticket(1, GENERATION, user_uid);
	send_handoff(1, true, "hello\r\n", -1);
	CU_ASSERT_EQUAL_FATAL(unit_recv(worker, buf, &r, &stream), 1);
	CU_ASSERT(r.type == HANDOFF_REPLY && handoff_reply_read(&r, &request, &started) && request == 101 && started);
	CU_ASSERT_NOT_EQUAL_FATAL(stream, -1);
	CU_ASSERT((fcntl(stream, F_GETFL) & O_NONBLOCK) != 0);
	fcntl(stream, F_SETFL, 0);
	patience(stream, 5);
	CU_ASSERT(expect_pid(1) > 1);
	client_line(stream);
	CU_ASSERT_STRING_EQUAL(client_line(stream), "you said hello");
	say(stream, "more\r\n");
	CU_ASSERT_STRING_EQUAL(client_line(stream), "you said more");
	CU_ASSERT_EQUAL(shutdown(stream, SHUT_WR), 0);
	CU_ASSERT_EQUAL(recv(stream, &byte, 1, 0), 0);
	expect_end(1);
	close(stream);
	send_handoff(2, true, "", -1); /* without a ticket there is none */
	expect_reply(2, false);
	end_spawn();
}

/* What the program prints has NAME=VALUE; all is read. */
static bool program_has(int stream, const char *variable)
{
	static char all[8192];
	size_t n = 0;
	ssize_t got;

	fcntl(stream, F_SETFL, 0);
	patience(stream, 5);
	while ((got = recv(stream, all + n, sizeof(all) - 1 - n, 0)) > 0)
		n += (size_t)got;
	all[n] = '\0';
	return got == 0 && strstr(all, variable) != NULL;
}

/* A worker that was taken over chooses nothing of what the program gets: no descriptor, no text of its own. */
static void test_program(void)
{
	static const char *const bad[] = { "UTF8 x", "() { :; }", "\xff" };
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	uint32_t request;
	bool started;
	int stream;

	program = "exec:/usr/bin/env";
	start_spawn();
	send_ticket(1, GENERATION, user_uid);
	send_handoff(1, true, "not for it", -1);
	CU_ASSERT_EQUAL_FATAL(unit_recv(worker, buf, &r, &stream), 1);
	CU_ASSERT(r.type == HANDOFF_REPLY && handoff_reply_read(&r, &request, &started) && request == 101 && started);
	CU_ASSERT_NOT_EQUAL_FATAL(stream, -1);
	CU_ASSERT(program_has(stream, "\nUTF8=UTF8\n"));
	close(stream);
	expect_process(SESSION_PROGRAM, 1);
	expect_end(1);
	for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
		context = bad[i];
		send_ticket(2 + i, GENERATION, user_uid);
		send_handoff(2 + i, true, "", -1);
		expect_reply(2 + i, false);
	}
	context = "UTF8";
	CU_ASSERT(expect_logged(log_sock, "names a tag that none of ours has"));
	send_ticket(8, GENERATION, user_uid);
	close(hand_over(8, ""));
	expect_reply(8, false);
	send_ticket(9, GENERATION, 1); /* below MIN_UID, or another's */
	send_handoff(9, true, "", -1);
	expect_reply(9, false);
	end_spawn();
	program = NULL;
}

/* A program that overlooks that the worker has closed its stream is asked to end after a while; spawn keeps no
 * descriptor of it. */
static void test_program_alone(void)
{
	static uint8_t buf[MSG_SIZE_MAX];
	char rows[256];
	struct msgr r;
	int stream, tries = 3000;

	program = "exec:/bin/sleep 1000";
	start_spawn();
	send_ticket(1, GENERATION, user_uid);
	send_handoff(1, true, "", -1);
	CU_ASSERT_EQUAL_FATAL(unit_recv(worker, buf, &r, &stream), 1);
	CU_ASSERT_NOT_EQUAL_FATAL(stream, -1);
	CU_ASSERT_EQUAL(shutdown(stream, SHUT_WR),
	    0); /* the end of the client alone is nothing but an end of its bytes */
	query("status", "", rows, sizeof(rows));
	CU_ASSERT_STRING_EQUAL(rows, "local_imap=0\nlocal_pop3=1\n");
	close(stream);
	do {
		poll(NULL, 0, 20);
		query("status", "", rows, sizeof(rows));
	} while (strstr(rows, "local_pop3=0") == NULL && --tries > 0);
	CU_ASSERT(tries > 0);
	expect_process(SESSION_PROGRAM, 1);
	expect_end(1);
	end_spawn();
	program = NULL;
}

static void test_crash(void)
{
	char said[128];
	pid_t pid;
	int client;

	start_spawn();
	client = open_session(10, &pid);
	say(client, "crash\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "");
	expect_end(10);
#ifndef WITH_SANITIZERS /* sanitizers turn signals into exit codes */
	CU_ASSERT(expect_logged(log_sock, "was killed by signal 11"));
#endif
	close(client);
	client = open_session(11, &pid);
	say(client, "status\n");
	expect_end(11);
	snprintf(said, sizeof(said),
	    "2session-ended: %d\n0waypostd: the pop3d server of alice@example.com (process %d) exited with status 3",
	    (int)pid, (int)pid);
	CU_ASSERT(expect_logged(log_sock, said));
	close(client);
	end_spawn();
}

/* The log had no room for a session's last line, which spawn then logs. */
static void test_unlogged(void)
{
	pid_t pid;
	int client;

	start_spawn();
	client = open_session(13, &pid);
	say(client, "fill\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "0");
	close(client);
	expect_end(13);
	CU_ASSERT(expect_logged(log_sock, "2pop3d: DISCONNECTED, user=alice@example.com, ip="));
	end_spawn();
}

/* A compromised session server cannot fork. */
static void test_alone(void)
{
#ifndef WITH_SANITIZERS /* they start processes themselves */
	char eagain[16];
	pid_t pid;
	int client;

	snprintf(eagain, sizeof(eagain), "%d", EAGAIN);
	start_spawn();
	client = open_session(12, &pid);
	say(client, "fork\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), eagain);
	close(client);
	expect_end(12);
	end_spawn();
#endif
}

static void test_queries(void)
{
	static char rows[4096];
	int a, b, new_authd;
	struct msgr r;
	pid_t pa, pb;

	start_spawn();
	a = open_session(20, &pa);
	b = open_session(21, &pb);
	CU_ASSERT_EQUAL(query("who", "", rows, sizeof(rows)), 2);
	CU_ASSERT_PTR_NOT_NULL(strstr(rows, "alice@example.com\tPOP3\t192.0.2.7\t4711\tlocal\t\t0\t"));
	CU_ASSERT_PTR_NOT_NULL(strstr(rows, "\ts21\tTLSv1.3:X\n"));
	CU_ASSERT_EQUAL(query("status", "", rows, sizeof(rows)), 0);
	CU_ASSERT_STRING_EQUAL(rows, "local_imap=0\nlocal_pop3=2\n");
	CU_ASSERT_EQUAL(query("kick", "nobody", rows, sizeof(rows)), 0);
	new_authd = new_channel(ROLE_AUTHD, 2);
	for (int i = 0; i < 2; i++) {
		expect(new_authd, SESSION_HAVE, &r);
		CU_ASSERT(msgr_u64(&r) - 20 < 2);
		CU_ASSERT_EQUAL(msgr_u8(&r), PROTOCOL_POP3);
	}
	expect(new_authd, SESSIONS_TOLD, &r);
	close(authd);
	authd = new_authd;
	CU_ASSERT_EQUAL(query("kick", "alice@example.com", rows, sizeof(rows)), 2);
	CU_ASSERT_STRING_EQUAL(client_line(a), "stopped 6");
	CU_ASSERT_STRING_EQUAL(client_line(b), "stopped 6");
	expect(authd, SESSION_END, &r);
	expect(authd, SESSION_END, &r);
	close(a);
	close(b);
	end_spawn();
}

static void test_stop(void)
{
	pid_t pid;
	int client;

	start_spawn();
	client = open_session(30, &pid);
	end_spawn();
	CU_ASSERT_STRING_EQUAL(client_line(client), "stopped 5");
	CU_ASSERT_EQUAL(kill(pid, 0), -1);
	close(client);
}

static void test_orphaned(void)
{
	int client, status;
	pid_t pid;

	start_spawn();
	client = open_session(40, &pid);
	close(control);
	usleep(100000);
	send_ticket(41, GENERATION, user_uid); /* no new sessions */
	close(hand_over(41, ""));
	expect_reply(41, false);
	say(client, "still\n"); /* but the open ones go on */
	CU_ASSERT_STRING_EQUAL(client_line(client), "you said still");
	CU_ASSERT_EQUAL(waitpid(spawn_pid, &status, WNOHANG), 0);
	close(client);
	CU_ASSERT_EQUAL(waitpid(spawn_pid, &status, 0), spawn_pid);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	close(authd);
	close(worker);
	close(log_sock);
	close(session_log);
}

/* spawn is killed; its servers continue, and the next spawn watches them. */
static void test_adopted(void)
{
	static char rows[4096];
	struct net_addr none = { 0 };
	int client, status, had;
	pid_t pid;

	start_spawn();
	client = open_session(50, &pid);
	kill(spawn_pid, SIGKILL);
	waitpid(spawn_pid, &status, 0);
	close(control);
	close(authd);
	close(worker);
	start_spawn();
	had = descriptors();
	for (unsigned i = 0; i < 2; i++) { /* the second is not a server, but this test */
		session_adopt_write(&out, 50 + i, PROTOCOL_POP3, &none, "alice@example.com",
		    (uint32_t)(i == 0 ? pid : getpid()), 1);
		CU_ASSERT_EQUAL(msg_send(authd, &out, -1), 0);
	}
	expect_end(51);
	CU_ASSERT_EQUAL(query("who", "", rows, sizeof(rows)), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(rows, "\tlocal\t\t-\t-\t"));
	say(client, "still\n");
	CU_ASSERT_STRING_EQUAL(client_line(client), "you said still");
	CU_ASSERT_EQUAL(query("kick", "alice@example.com", rows, sizeof(rows)), 1);
	CU_ASSERT_STRING_EQUAL(client_line(client), "stopped 6");
	expect_end(50);
	CU_ASSERT_EQUAL(descriptors(), had);
	close(client);
	end_spawn();
}

/* spawn's memory and descriptors must not grow with the open sessions: each fork copies them. */
static void test_cost(void)
{
	static char rows[16384];
	int client[MANY], mappings, had;
	pid_t pid;

	start_spawn();
	for (unsigned i = 0; i < MANY / 2; i++)
		client[i] = open_session(60 + i, &pid);
	mappings = lines_of_maps();
	had = descriptors();
	for (unsigned i = MANY / 2; i < MANY; i++)
		client[i] = open_session(60 + i, &pid);
	CU_ASSERT(lines_of_maps() <= mappings + 1); /* its heap may get a second one */
	CU_ASSERT_EQUAL(descriptors(), had);
	CU_ASSERT_EQUAL(query("who", "", rows, sizeof(rows)), MANY);
	CU_ASSERT_PTR_NULL(strstr(rows, "\t-\t-\t")); /* ... but what each has sent is known */
	for (unsigned i = 0; i < MANY; i++) {
		close(client[i]);
		expect_end(60 + i);
	}
	end_spawn();
}

/* The kernel merges the signals of servers that end while spawn is busy. */
static void test_many_ends(void)
{
	int client[MANY], status;
	pid_t pid[MANY];

	start_spawn();
	for (unsigned i = 0; i < MANY; i++)
		client[i] = open_session(60 + i, &pid[i]);
	kill(spawn_pid, SIGSTOP);
	CU_ASSERT_EQUAL(waitpid(spawn_pid, &status, WUNTRACED), spawn_pid);
	for (unsigned i = 0; i < MANY; i++) {
		kill(pid[i], SIGKILL);
		CU_ASSERT_STRING_EQUAL(client_line(client[i]), "");
		close(client[i]);
	}
	kill(spawn_pid, SIGCONT);
	for (unsigned i = 0; i < MANY; i++) {
		struct msgr r;

		expect(authd, SESSION_END, &r);
		CU_ASSERT(msgr_u64(&r) - 60 < MANY);
	}
	end_spawn();
}

static void make_home(void)
{
	static const char *const dirs[] = { "", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/tmp" };
	char path[128];
	int fd;

	snprintf(home, sizeof(home), "/tmp/waypost-test-spawn.XXXXXX");
	if (mkdtemp(home) == NULL)
		exit(2);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s%s", home, dirs[i]);
		mkdir(path, 0700);
		if (chown(path, user_uid, user_gid) != 0)
			exit(2);
	}
	snprintf(path, sizeof(path), "%s/Maildir/new/m", home);
	if ((fd = open(path, O_CREAT | O_WRONLY, 0600)) != -1)
		close(fd);
}

static void remove_home(void)
{
	char command[128];

	snprintf(command, sizeof(command), "rm -rf '%s'", home);
	if (system(command) != 0)
		CU_ASSERT(false);
}

static void in_both_ways(void (*test)(void))
{
	as_root = geteuid() == 0;
	user_uid = as_root ? UID : geteuid();
	user_gid = as_root ? GID : getegid();
	for (int i = as_root ? 0 : 1; i < 2; i++, as_root = false) {
		make_home();
		test();
		remove_home();
	}
}

#define BOTH(name) \
	static void name##_both(void) \
	{ \
		in_both_ways(name); \
	}
BOTH(test_serve)
BOTH(test_early_client)
BOTH(test_refused)
BOTH(test_no_client)
BOTH(test_program)
BOTH(test_program_alone)
BOTH(test_crash)
BOTH(test_unlogged)
BOTH(test_alone)
BOTH(test_queries)
BOTH(test_stop)
BOTH(test_orphaned)
BOTH(test_adopted)
BOTH(test_cost)
BOTH(test_many_ends)

static const struct unit_case cases[] = {
	{ "a client is served", test_serve_both },
	{ "client before ticket", test_early_client_both },
	{ "refusals", test_refused_both },
	{ "a hand-over without a client", test_no_client_both },
	{ "a client that is relayed", test_relayed },
	{ "a program", test_program_both },
	{ "a program that overlooks its end", test_program_alone_both },
	{ "crashes", test_crash_both },
	{ "an end that the log did not take", test_unlogged_both },
	{ "a session server starts no process", test_alone_both },
	{ "queries", test_queries_both },
	{ "stop", test_stop_both },
	{ "the master died", test_orphaned_both },
	{ "spawn died", test_adopted_both },
	{ "a session costs spawn no mapping and no descriptor", test_cost_both },
	{ "many end at once", test_many_ends_both },
	{ NULL, NULL },
};
UNIT_MAIN("spawn", cases)
