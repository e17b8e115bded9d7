/* POP3 sessions on real Maildirs: the server in a process of its own (as an ordinary user), the client here. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "pop3d/pop3d.h"

enum { UID = 4242 };

static char top[64], maildir[80], log_file[80];
static struct settings *set;
static int client;
static pid_t server;

/* A Maildir with three messages whose UIDLs are known. */

static void put_file(const char *name, const char *text, size_t len)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", maildir, name);
	fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
	CU_ASSERT_NOT_EQUAL_FATAL(fd, -1);
	CU_ASSERT_EQUAL(write(fd, text, len), (ssize_t)len);
	if (geteuid() == 0)
		CU_ASSERT_EQUAL(fchown(fd, UID, UID), 0);
	close(fd);
}

static void put_text(const char *name, const char *text)
{
	put_file(name, text, strlen(text));
}

static void put_dir(const char *path)
{
	CU_ASSERT_EQUAL(mkdir(path, 0700), 0);
	if (geteuid() == 0)
		CU_ASSERT_EQUAL(chown(path, UID, UID), 0);
}

#define A "1000000001.M1P1.host"
#define B "1000000002.M1P1.host"
#define C "1000000003.M1P1.host"

static void make_maildir(void)
{
	static const char *const dirs[] = { "cur", "new", "tmp" };
	char path[256];

	snprintf(top, sizeof(top), "/tmp/waypost-test-pop3.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
	CU_ASSERT_EQUAL(chmod(top, 0755), 0);
	snprintf(maildir, sizeof(maildir), "%s/Maildir", top);
	snprintf(log_file, sizeof(log_file), "%s/log", top);
	put_dir(maildir);
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++) {
		snprintf(path, sizeof(path), "%s/%s", maildir, dirs[i]);
		put_dir(path);
	}
	put_text("cur/" A ":2,", "Subject: a\n\nfirst\n.dot\n");   /* 27 octets */
	put_text("cur/" B ":2,R", "Subject: b\r\n\r\nsecond\r\n"); /* 22 */
	put_text("cur/" C ":2,", "Subject: c\n\nthird");           /* 19 */
	put_text("courierpop3dsizelist",
	    "/3 8 1795290829\n" A ":2, 27 5:1795290829:0\n" B ":2,R 22 6:1795290829:0\n" C ":2, 19 7:1795290829:0\n");
}

static void remove_maildir(void)
{
	char command[256];

	snprintf(command, sizeof(command), "chmod -R u+rwx %s; rm -rf %s", top, top);
	CU_ASSERT_EQUAL(system(command), 0);
}

static bool there(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", maildir, name);
	return access(path, F_OK) == 0;
}

/* The server */

static void run_server(int fd, const char *leftover, size_t len)
{
	static struct session_counters counters;
	struct session_start start = {
		.user = "alice@example.com",
		.home = top,
		.maildir = maildir,
		.options = "",
		.session_id = "id-1",
		.context = "",
		.leftover = leftover,
		.leftover_len = len,
		.began = clock_seconds(),
		.counters = &counters,
		.set = set,
	};
	int log = open(log_file, O_CREAT | O_WRONLY | O_APPEND, 0600);

	dup2(log, STDERR_FILENO);
	net_addr_parse(&start.client, "192.0.2.7", 4711);
	if (geteuid() == 0 && (setgroups(0, NULL) != 0 || setgid(UID) != 0 || setuid(UID) != 0))
		_exit(9);
	pop3d_session(fd, &start);
	_exit(0);
}

static void start_server(const char *leftover, size_t len)
{
	struct timeval patience = { 10, 0 };
	int pair[2];

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	fflush(NULL);
	if ((server = fork()) == 0) {
		close(pair[0]);
		run_server(pair[1], leftover, len);
	}
	close(pair[1]);
	client = pair[0];
	setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
}

static void end_server(void)
{
	int status;

	close(client);
	CU_ASSERT_EQUAL(waitpid(server, &status, 0), server);
	CU_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void say(const char *text)
{
	CU_ASSERT_EQUAL(send(client, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static const char *hear_line(void)
{
	static char line[2048];
	size_t n = 0;

	while (n < sizeof(line) - 1 && recv(client, line + n, 1, 0) == 1)
		if (line[n++] == '\n')
			break;
	line[n] = '\0';
	return line;
}

static void hear(const char *want)
{
	const char *line = hear_line();

	if (strncmp(line, want, strlen(want)) != 0)
		printf("\nwanted \"%s\", got \"%s\"\n", want, line);
	CU_ASSERT(strncmp(line, want, strlen(want)) == 0);
}

/* All that is sent until the server closes. */
static void hear_all(struct str *out)
{
	char buf[4096];
	ssize_t n;

	str_clear(out);
	while ((n = recv(client, buf, sizeof(buf), 0)) > 0)
		str_add(out, buf, (size_t)n);
	CU_ASSERT_EQUAL(n, 0);
}

static bool logged(const char *text)
{
	static char all[8192];
	int fd = open(log_file, O_RDONLY);
	ssize_t n = fd != -1 ? read(fd, all, sizeof(all) - 1) : 0;

	if (fd != -1)
		close(fd);
	all[n > 0 ? n : 0] = '\0';
	if (strstr(all, text) == NULL)
		printf("\nnot logged: \"%s\" in \"%s\"\n", text, all);
	return strstr(all, text) != NULL;
}

/* Cases */

static const char dialogue[] =
    "STAT\r\nlist\r\nLIST 2\r\nUIDL\r\nUIDL 3\r\nTOP 1 0\r\nTOP 1 1\r\nTOP 3 99999999999\r\nRETR 1\r\nRETR 3\r\n"
    "DELE 2\r\nDELE 2\r\nRETR 2\r\nLIST\r\nUIDL\r\nSTAT\r\nRSET\r\nSTAT\r\nNOOP\r\nLIST 0\r\nLIST 4\r\nLIST -1\r\n"
    "LIST 18446744073709551617\r\nRETR\r\nTOP 1\r\nTOP 1 x\r\nQUIT now\r\nUSER alice\r\nfoo\r\nDELE "
    "3\r\nQUIT\r\nSTAT\r\n";
static const char answers[] =
    "+OK logged in.\r\n"
    "+OK 3 68\r\n"
    "+OK 3 messages, 68 octets\r\n1 27\r\n2 22\r\n3 19\r\n.\r\n"
    "+OK 2 22\r\n"
    "+OK unique ids follow\r\n1 UID5-1795290829\r\n2 UID6-1795290829\r\n3 UID7-1795290829\r\n.\r\n"
    "+OK 3 UID7-1795290829\r\n"
    "+OK the top of the message follows\r\nSubject: a\r\n\r\n.\r\n"
    "+OK the top of the message follows\r\nSubject: a\r\n\r\nfirst\r\n.\r\n"
    "+OK the top of the message follows\r\nSubject: c\r\n\r\nthird\r\n.\r\n"
    "+OK 27 octets follow\r\nSubject: a\r\n\r\nfirst\r\n..dot\r\n.\r\n"
    "+OK 19 octets follow\r\nSubject: c\r\n\r\nthird\r\n.\r\n"
    "+OK will be deleted at QUIT\r\n"
    "-ERR that message is marked as deleted\r\n-ERR that message is marked as deleted\r\n"
    "+OK 2 messages, 46 octets\r\n1 27\r\n3 19\r\n.\r\n"
    "+OK unique ids follow\r\n1 UID5-1795290829\r\n3 UID7-1795290829\r\n.\r\n"
    "+OK 2 46\r\n+OK nothing will be deleted\r\n+OK 3 68\r\n+OK\r\n"
    "-ERR no such message\r\n-ERR no such message\r\n-ERR no such message\r\n-ERR no such message\r\n"
    "-ERR wrong number of arguments\r\n-ERR wrong number of arguments\r\n"
    "-ERR TOP needs a message number and a number of lines\r\n-ERR wrong number of arguments\r\n"
    "-ERR you are logged in already\r\n-ERR unknown command\r\n"
    "+OK will be deleted at QUIT\r\n+OK Bye-bye.\r\n";

static void check_after_dialogue(void)
{
	CU_ASSERT(there("cur/" A ":2,S"));
	CU_ASSERT(there("cur/" B ":2,R"));
	CU_ASSERT(!there("cur/" C ":2,") && !there("cur/" C ":2,S"));
}

/* All commands at once, split at each byte into what came with the login and what comes later. */
static void test_dialogue(void)
{
	struct str out = STR_INIT;

	for (size_t cut = 0; cut < sizeof(dialogue); cut++) {
		make_maildir();
		start_server(dialogue, cut);
		say(dialogue + cut);
		hear_all(&out);
		if (strcmp(str_cstr(&out), answers) != 0 && cut == 0)
			printf("\n%s\n", str_cstr(&out));
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), answers);
		end_server();
		check_after_dialogue();
		if (cut == 0)
			CU_ASSERT(logged("pop3d: LOGOUT, user=alice@example.com, ip=[::ffff:192.0.2.7], port=[4711], "
			                 "top=65, retr=55, rcvd="));
		remove_maildir();
	}
	str_fini(&out);
}

static void test_byte_by_byte(void)
{
	struct str out = STR_INIT;

	make_maildir();
	start_server("", 0);
	for (const char *p = dialogue; *p != '\0'; p++)
		if (send(client, p, 1, MSG_NOSIGNAL) != 1)
			break; /* what follows QUIT */
	hear_all(&out);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), answers);
	end_server();
	check_after_dialogue();
	remove_maildir();
	str_fini(&out);
}

/* Messages keep their UIDLs from session to session; new mail gets new ones. */
static void test_next_session(void)
{
	make_maildir();
	start_server("DELE 1\r\nQUIT\r\n", 14);
	hear("+OK");
	hear("+OK will");
	hear("+OK Bye");
	end_server();
	put_text("new/1000000009.M1P1.host", "Subject: d\n\n");
	start_server("", 0);
	hear("+OK");
	say("UIDL\r\n");
	hear("+OK");
	hear("1 UID6-1795290829\r\n");
	hear("2 UID7-1795290829\r\n");
	hear("3 UID8-1795290829\r\n");
	hear(".\r\n");
	say("CAPA\r\n");
	hear("+OK");
	hear("TOP\r\n");
	end_server();
	CU_ASSERT(logged("DISCONNECTED, user=alice@example.com"));
	remove_maildir();
}

static void test_no_quit(void)
{
	make_maildir();
	start_server("DELE 1\r\nDELE 2\r\n", 16);
	hear("+OK");
	hear("+OK will");
	hear("+OK will");
	end_server();
	CU_ASSERT(there("cur/" A ":2,") && there("cur/" B ":2,R"));
	remove_maildir();
}

static void test_gone(void)
{
	char path[256];

	make_maildir();
	start_server("", 0);
	hear("+OK");
	snprintf(path, sizeof(path), "%s/cur/%s:2,", maildir, A);
	CU_ASSERT_EQUAL(unlink(path), 0);
	say("RETR 1\r\nTOP 1 0\r\nRETR 2\r\nDELE 1\r\nQUIT\r\n");
	hear("-ERR that message is gone");
	hear("-ERR that message is gone");
	hear("+OK 22 ");
	for (int i = 0; i < 4; i++)
		hear_line();
	hear("+OK will"); /* another program was faster: it is deleted */
	hear("+OK Bye");
	end_server();
	remove_maildir();
}

static void test_bad_lines(void)
{
	static char big[3000];
	struct str out = STR_INIT;

	make_maildir();
	start_server("", 0);
	hear("+OK");
	memset(big, 'x', sizeof(big));
	memcpy(big + sizeof(big) - 3, "\r\n", 3);
	say(big);
	hear("-ERR line too long");
	say("NO\001OP\r\nRETR \344\r\n\r\n");
	for (int i = 0; i < 3; i++)
		hear("-ERR unknown command");
	CU_ASSERT_EQUAL(send(client, "NOOP\0\r\n", 7, MSG_NOSIGNAL), 7);
	hear("-ERR unknown command");
	say("NOOP\r\n"); /* begins a new count */
	hear("+OK");
	for (int i = 0; i < 9; i++) {
		say("bad\r\n");
		hear("-ERR unknown");
	}
	say("bad\r\n");
	hear("-ERR too many wrong commands");
	hear_all(&out);
	CU_ASSERT_EQUAL(out.len, 0);
	end_server();
	CU_ASSERT(logged("DISCONNECTED, user") && logged("end=protocol"));
	start_server("", 0);
	hear("+OK");
	memset(big, 'x', sizeof(big) - 1);
	for (int i = 0; i < 40 && send(client, big, sizeof(big) - 1, MSG_NOSIGNAL) > 0; i++)
		;
	hear("-ERR line too long, good-bye");
	end_server();
	remove_maildir();
	str_fini(&out);
}

static void test_no_maildir(void)
{
	char command[256];

	make_maildir();
	snprintf(command, sizeof(command), "rm -rf %s", maildir);
	CU_ASSERT_EQUAL(system(command), 0);
	start_server("STAT\r\n", 6);
	hear("-ERR [SYS/TEMP] ");
	hear("");
	end_server();
	CU_ASSERT(logged("the mailbox of alice@example.com is not served (uid "));
	CU_ASSERT(logged("end=server"));
	remove_maildir();
}

static void test_read_only(void)
{
	char path[256];

	make_maildir();
	start_server("", 0);
	hear("+OK");
	snprintf(path, sizeof(path), "%s/cur", maildir);
	CU_ASSERT_EQUAL(chmod(path, 0500), 0);
	say("RETR 2\r\nDELE 1\r\nQUIT\r\n"); /* RETR cannot set its flag: the message is sent anyway */
	hear("+OK 22 ");
	for (int i = 0; i < 4; i++)
		hear_line();
	hear("+OK will");
	hear("-ERR [SYS/TEMP] some messages not removed");
	end_server();
	CU_ASSERT(there("cur/" A ":2,"));
	remove_maildir();
}

static void test_locked(void)
{
	make_maildir();
	CU_ASSERT_EQUAL(chmod(top, 01755), 0);
	start_server("", 0);
	hear("-ERR [SYS/TEMP] your mailbox is closed");
	end_server();
	CU_ASSERT(logged("pop3d: LOCKED, user=alice@example.com, ip=[::ffff:192.0.2.7], port=[4711]\n"));
	remove_maildir();
}

static void test_ends(void)
{
	static const struct {
		int sig;
		const char *reply, *end;
	} t[] = {
		{ SIGTERM, "-ERR [SYS/TEMP] the server is shutting down", "DISCONNECTED, user=alice@example.com" },
		{ SIGUSR1, "-ERR [SYS/TEMP] this session was ended by the operator", "end=kick" },
	};
	struct str out = STR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		make_maildir();
		start_server("DELE 1\r\n", 8);
		hear("+OK");
		hear("+OK");
		CU_ASSERT_EQUAL(kill(server, t[i].sig), 0);
		hear(t[i].reply);
		end_server();
		CU_ASSERT(logged(t[i].end));
		CU_ASSERT(there("cur/" A ":2,"));
		remove_maildir();
	}
	make_maildir();
	set->pop3d_POP3_INACTIVITY_TIMEOUT = 1;
	start_server("DELE 1\r\n", 8);
	hear("+OK");
	hear("+OK");
	say("STA"); /* an incomplete line does not extend the time */
	hear_all(&out);
	CU_ASSERT_EQUAL(out.len, 0);
	end_server();
	CU_ASSERT(logged("TIMEOUT, user=alice@example.com") && logged("end=idle"));
	CU_ASSERT(there("cur/" A ":2,"));
	remove_maildir();
	set->pop3d_POP3_INACTIVITY_TIMEOUT = 600;
	str_fini(&out);
}

static void test_log_deletions(void)
{
	make_maildir();
	set->pop3d_POP3_LOG_DELETIONS = true;
	start_server("DELE 2\r\nQUIT\r\n", 14);
	for (int i = 0; i < 3; i++)
		hear("+OK");
	end_server();
	CU_ASSERT(logged("DELETED, user=alice@example.com, ip=[::ffff:192.0.2.7], port=[4711], filename=" B));
	remove_maildir();
	set->pop3d_POP3_LOG_DELETIONS = false;
}

/* A message larger than every buffer, with dots and line ends at the borders of the pieces it is read in. */
static void test_big(void)
{
	struct str in = STR_INIT, want = STR_INIT, out = STR_INIT;

	make_maildir();
	str_adds(&in, "Subject: big\n\n");
	while (in.len < 700000) {
		size_t left = 65536 - in.len % 65536;

		if (left > 80)
			str_addf(&in, "%.*s\n", (int)(1 + left % 71),
			    "..............................................................................");
		else if (left >= 2)
			str_addc(&in, 'x');
		else
			str_adds(&in, "\n."); /* LF is the last byte of a piece, the dot the first of the next */
	}
	str_addc(&in, '\n');
	str_adds(&want, "+OK logged in.\r\n");
	put_file("cur/1000000004.M1P1.host:2,", in.data, in.len);
	for (size_t i = 0; i < in.len; i++) {
		if (i == 0) {
			uint64_t lines = 0;

			for (size_t k = 0; k < in.len; k++)
				lines += in.data[k] == '\n';
			str_addf(&want, "+OK %zu octets follow\r\n", in.len + (size_t)lines);
		}
		if (in.data[i] == '.' && in.data[i - 1] == '\n')
			str_addc(&want, '.');
		if (in.data[i] == '\n')
			str_addc(&want, '\r');
		str_addc(&want, in.data[i]);
	}
	str_adds(&want, ".\r\n+OK Bye-bye.\r\n");
	start_server("RETR 4\r\nQUIT\r\n", 14);
	hear_all(&out);
	CU_ASSERT(out.len == want.len && memcmp(out.data, want.data, out.len) == 0);
	end_server();
	start_server("RETR 4\r\nRETR 4\r\n", 16); /* a client that leaves in the middle */
	hear("+OK");
	hear("+OK");
	end_server();
	CU_ASSERT(logged("DISCONNECTED, user=alice@example.com"));
	remove_maildir();
	str_fini(&in);
	str_fini(&want);
	str_fini(&out);
}

static const struct unit_case cases[] = {
	{ "a dialogue, pipelined and cut", test_dialogue },
	{ "byte by byte", test_byte_by_byte },
	{ "UIDLs in the next session", test_next_session },
	{ "no QUIT", test_no_quit },
	{ "message gone", test_gone },
	{ "bad lines", test_bad_lines },
	{ "no Maildir", test_no_maildir },
	{ "read-only Maildir", test_read_only },
	{ "locked account", test_locked },
	{ "stop, kick, time-out", test_ends },
	{ "POP3_LOG_DELETIONS", test_log_deletions },
	{ "big message", test_big },
	{ NULL, NULL },
};

int main(void)
{
	unsigned failed;
	CU_pSuite s;

	set = settings_defaults();
	if (CU_initialize_registry() != CUE_SUCCESS || (s = CU_add_suite("pop3 sessions", NULL, NULL)) == NULL)
		return 2;
	for (const struct unit_case *c = cases; c->name != NULL; c++)
		if (CU_add_test(s, c->name, c->run) == NULL)
			return 2;
	CU_basic_set_mode(CU_BRM_NORMAL);
	CU_basic_run_tests();
	failed = CU_get_number_of_failures() + CU_get_number_of_tests_failed();
	CU_cleanup_registry();
	settings_free(&set);
	return failed != 0;
}
