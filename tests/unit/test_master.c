/* The pure parts of the master: back-off, log lines, figures, what the tool prints. */
#include <ev.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/mem.h"
#include "master/backoff.h"
#include "master/counts.h"
#include "master/listen.h"
#include "master/log_sessions.h"
#include "master/logfile.h"
#include "master/logline.h"
#include "master/report.h"
#include "tests/unit/unit.h"

static void backoff_doubles_for_the_young(void)
{
	static const unsigned expected[] = { 0, 1, 2, 4, 8, 16, 30, 30, 30 };
	struct backoff b = { 0 };

	for (size_t i = 0; i < ARRAY_LEN(expected); i++)
		CU_ASSERT_EQUAL(backoff_after(&b, 0.5), expected[i]);
}

static void backoff_forgives_the_old(void)
{
	struct backoff b = { 0 };

	CU_ASSERT_EQUAL(backoff_after(&b, 1), 0);
	CU_ASSERT_EQUAL(backoff_after(&b, 1), 1);
	CU_ASSERT_EQUAL(backoff_after(&b, BACKOFF_YOUNG), 0);
	CU_ASSERT_EQUAL(backoff_after(&b, 1), 1);
	CU_ASSERT_EQUAL(backoff_after(&b, 1e6), 0);
}

static const struct tm when = { .tm_mon = 10, .tm_mday = 2, .tm_hour = 21, .tm_min = 4, .tm_sec = 9 };

static void log_line_of_a_file(void)
{
	static const struct {
		const char *program, *text, *line;
	} cases[] = {
		{ "imapd", "LOGIN FAILED, user=x, ip=[::ffff:1.2.3.4], port=[555]",
		    "Nov  2 21:04:09 host imapd: LOGIN FAILED, user=x, ip=[::ffff:1.2.3.4], port=[555]\n" },
		{ "waypostd", "", "Nov  2 21:04:09 host waypostd[123]: \n" },
		{ "im apd:[1]", "a\tb\nc\177d", "Nov  2 21:04:09 host im_apd__1_[123]: a.b.c.d\n" },
		{ "pop3d", "na\xc3\xafve", "Nov  2 21:04:09 host pop3d: na\xc3\xafve\n" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct log_record rec = { LOG_LEVEL_INFO, cases[i].program, cases[i].text };
		struct str out = STR_INIT;

		logline_file(&out, &when, "host", &rec, 123);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), cases[i].line);
		str_fini(&out);
	}
}

static void log_line_of_syslog(void)
{
	static const char *const heads[] = { "<19>", "<20>", "<22>", "<23>" }; /* mail.err, warning, info, debug */

	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		struct log_record rec = { (enum log_level)level, "authd", "LOGIN, user=x" };
		struct str out = STR_INIT, expected = STR_INIT;

		str_addf(&expected, "%sNov  2 21:04:09 authd[7]: LOGIN, user=x", heads[level]);
		logline_syslog(&out, &when, &rec, 7);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), str_cstr(&expected));
		str_fini(&out);
		str_fini(&expected);
	}
}

static void sessions_cannot_forge_a_refusal(void)
{
	static const struct {
		const char *text;
		bool may;
		const char *after;
	} cases[] = {
		{ "LOGOUT, user=x", true, "LOGOUT, user=x" },
		{ "LOGIN FAILED, user=x, ip=[1.2.3.4]", false, NULL },
		{ "INFO: LOGIN FAILED, user=x", false, NULL },
		{ "folder imapd: LOGIN FAILED, ip=[::ffff:1.2.3.4] LOGIN FAILED", true,
		    "folder imapd: LOGIN.FAILED, ip=[::ffff:1.2.3.4] LOGIN.FAILED" },
		{ "", true, "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char text[128];

		strncpy(text, cases[i].text, sizeof(text) - 1);
		text[sizeof(text) - 1] = '\0';
		CU_ASSERT_EQUAL(logline_session_may(text), cases[i].may);
		if (cases[i].may)
			CU_ASSERT_STRING_EQUAL(text, cases[i].after);
	}
}

/* Process PID logs as a session server; what is written. */
static void session_logs(pid_t pid, const char *program, const char *text, const char *want)
{
	char copy[512], other[LOG_SESSION_TEXT], got[LOG_SESSION_TEXT + 64];
	struct log_record rec = { LOG_LEVEL_INFO, program, copy };

	snprintf(copy, sizeof(copy), "%s", text);
	CU_ASSERT(log_sessions_allow(pid, &rec, other));
	snprintf(got, sizeof(got), "%s: %s", rec.program, rec.text);
	CU_ASSERT_STRING_EQUAL(got, want);
}

#define WHO "user=jo@example.com, ip=[::ffff:192.0.2.7], port=[4711]"

static void sessions_log_for_their_own_account_alone(void)
{
	struct log_record login = { LOG_LEVEL_INFO, "imapd", "LOGIN, " WHO ", protocol=IMAP, session=1" };
	struct log_record chatter = { LOG_LEVEL_INFO, "imapd",
		"LOGOUT, user=eve, ip=[1.2.3.4], port=[1], protocol=IMAP" };
	char other[LOG_SESSION_TEXT], text[32];
	bool all = true;

	log_sessions_note(7, &login);
	log_sessions_note(7, &chatter);
	session_logs(7, "imapd", "LOGOUT, " WHO ", rcvd=1", "imapd: LOGOUT, " WHO ", rcvd=1");
	session_logs(7, "dovecot", "LOGOUT, " WHO, "imapd: LOGOUT, " WHO);
	session_logs(7, "sshd", "LOGIN, user=eve, ip=[1.2.3.4], port=[1]",
	    "imapd: LOGIN, user.eve, ip=[1.2.3.4], port=[1]");
	session_logs(7, "imapd", "x user=jo@example.co, " WHO ", user=" WHO,
	    "imapd: x user.jo@example.co, " WHO ", user." WHO);
	session_logs(7, "imapd", "LOGOUT, " WHO "9",
	    "imapd: LOGOUT, user.jo@example.com, ip=[::ffff:192.0.2.7], port=[4711]9");
	session_logs(7, "imapd", "LOGIN FAILED, " WHO,
	    "waypostd: dropped a line: a session server tried to log a refused login, which only login workers may do");
	session_logs(8, "imapd", "LOGOUT, " WHO,
	    "waypostd: a session server whose LOGIN is not known logs: LOGOUT, user.jo@example.com, "
	    "ip=[::ffff:192.0.2.7], port=[4711]");
	for (int i = 0; i < LOG_SESSION_LINES * 2; i++) {
		struct log_record rec = { LOG_LEVEL_INFO, "imapd", text };

		snprintf(text, sizeof(text), "line %d", i);
		all = log_sessions_allow(7, &rec, other) && all;
	}
	CU_ASSERT(!all);
	log_sessions_note(7, &login); /* another process with that number */
	session_logs(7, "pop3d", "hello", "imapd: hello");
	log_sessions_fini();
}

/* Whichever socket is read first: LOGIN is written first. */
static void a_session_ends_after_its_login_in_the_log(void)
{
	static const char login[] = "2imapd: LOGIN, " WHO ", protocol=IMAP\n",
	                  end[] = "2imapd: DISCONNECTED, " WHO "\n";
	char path[] = "/tmp/waypost-log-XXXXXX", text[2048];

	close(mkstemp(path));
	CU_ASSERT_FATAL(logfile_open(path));
	for (int turn = 0; turn < 2; turn++) {
		struct ev_loop *loop = ev_loop_new(0);
		int spawn[2], session[2];
		FILE *f;

		CU_ASSERT_FATAL(
		    logfile_pair(turn == 0 ? spawn : session) == 0 && logfile_pair(turn == 0 ? session : spawn) == 0);
		logfile_listen(loop, spawn[0], LOGFILE_SPAWN, NULL);
		logfile_listen(loop, session[0], LOGFILE_SESSION, NULL);
		CU_ASSERT(send(spawn[1], login, strlen(login), 0) > 0 && send(session[1], end, strlen(end), 0) > 0);
		ev_run(loop, EVRUN_NOWAIT);
		close(spawn[1]);
		close(session[1]);
		ev_run(loop, EVRUN_NOWAIT);
		ev_loop_destroy(loop);
		f = fopen(path, "r");
		text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
		fclose(f);
		CU_ASSERT_PTR_NOT_NULL_FATAL(strstr(text, "DISCONNECTED, user=jo@"));
		CU_ASSERT(strstr(text, "LOGIN, ") != NULL && strstr(text, "LOGIN, ") < strstr(text, "DISCONNECTED, "));
		CU_ASSERT_EQUAL(truncate(path, 0), 0);
	}
	CU_ASSERT(logfile_open("stderr"));
	unlink(path);
	log_sessions_fini();
}

/* The log writer with the sockets of spawn and of what it forks. */
struct log_rig {
	char path[32];
	struct ev_loop *loop;
	int spawn[2], session[2], err[2];
};

static void rig_open(struct log_rig *r)
{
	strcpy(r->path, "/tmp/waypost-log-XXXXXX");
	close(mkstemp(r->path));
	CU_ASSERT_FATAL(logfile_open(r->path));
	CU_ASSERT_FATAL(logfile_pair(r->spawn) == 0 && logfile_pair(r->session) == 0 && logfile_pair(r->err) == 0);
	r->loop = ev_loop_new(0);
	logfile_listen(r->loop, r->spawn[0], LOGFILE_SPAWN, NULL);
	logfile_listen(r->loop, r->session[0], LOGFILE_SESSION, NULL);
	logfile_listen_stderr(r->loop, r->err[0], "spawn", getpid());
}

/* All that was logged; the caller frees it. */
static char *rig_read(struct log_rig *r)
{
	struct str text = STR_INIT;
	FILE *f = fopen(r->path, "r");
	size_t n;

	for (int i = 0; i < 4; i++)
		ev_run(r->loop, EVRUN_NOWAIT);
	logfile_drain();
	while ((n = fread(str_room(&text, 65536), 1, 65536, f)) != 0)
		text.len += n;
	fclose(f);
	str_addc(&text, '\0');
	return text.data;
}

static void rig_close(struct log_rig *r)
{
	close(r->spawn[1]);
	close(r->session[1]);
	close(r->err[1]);
	for (int i = 0; i < 4; i++)
		ev_run(r->loop, EVRUN_NOWAIT);
	ev_loop_destroy(r->loop);
	CU_ASSERT(logfile_open("stderr"));
	unlink(r->path);
	log_sessions_fini();
}

static void rig_send(struct log_rig *r, int sock, const char *text)
{
	while (send(sock, text, strlen(text), MSG_DONTWAIT) < 0)
		ev_run(r->loop, EVRUN_NOWAIT);
}

/* Another process sends TEXT to SOCK, COUNT times. */
static void rig_fork(struct log_rig *r, int sock, const char *text, int count)
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		for (int i = 0; i < count; i++)
			send(sock, text, strlen(text), 0);
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0)
		ev_run(r->loop, EVRUN_NOWAIT);
}

static size_t count_of(const char *text, const char *what)
{
	size_t n = 0;

	for (const char *p = text; (p = strstr(p, what)) != NULL; p += strlen(what))
		n++;
	return n;
}

#define LOGIN_OF_JO "2imapd: LOGIN, " WHO ", protocol=IMAP, session=1\n"

/* While ECHO is set, its socket gets another line for each line that is counted. */
static struct log_rig *echo;
static int echoes;
static int seconds_later;

double clock_now(void)
{
	struct timespec t;

	if (echo != NULL && ++echoes < 100000)
		send(echo->session[1], "2imapd: more\n", 13, MSG_DONTWAIT);
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9 + seconds_later;
}

#include "tests/unit/fake_clock.h"

/* The master drains the log when a role has ended: who floods it cannot keep the master at that. */
static void a_flood_does_not_hold_the_master(void)
{
	struct log_rig r;

	rig_open(&r);
	rig_send(&r, r.session[1], "2imapd: one\n");
	echo = &r;
	logfile_drain();
	echo = NULL;
	CU_ASSERT(echoes > 0 && echoes < 50000);
	logfile_drain();
	rig_close(&r);
}

/* An empty datagram of one session server is not the end of all. */
static void an_empty_datagram_closes_no_log(void)
{
	struct log_rig r;
	char *text;

	rig_open(&r);
	CU_ASSERT(send(r.session[1], "", 0, 0) == 0 && send(r.err[1], "", 0, 0) == 0);
	for (int i = 0; i < 4; i++)
		ev_run(r.loop, EVRUN_NOWAIT);
	rig_send(&r, r.spawn[1], LOGIN_OF_JO);
	CU_ASSERT_EQUAL(send(r.session[1], "2imapd: here\n", 13, MSG_NOSIGNAL), 13);
	CU_ASSERT_EQUAL(send(r.err[1], "there\n", 6, MSG_NOSIGNAL), 6);
	text = rig_read(&r);
	CU_ASSERT(strstr(text, " imapd: here\n") != NULL && strstr(text, "stderr of spawn: there\n") != NULL);
	mem_free(&text);
	rig_close(&r);
}

/* Compromised session servers that fork. */
static void what_is_no_known_session_logs_little(void)
{
	struct log_rig r;
	char *text;

	rig_open(&r);
	for (int i = 0; i < 20; i++)
		rig_fork(&r, r.session[1], "2imapd: LOGIN, user=jo, ip=[1.2.3.4]\n", 100);
	text = rig_read(&r);
	CU_ASSERT_EQUAL(count_of(text, "LOGIN is not known logs: LOGIN, user.jo"), LOG_STRANGER_LINES);
	mem_free(&text);
	rig_close(&r);
}

static void lines_of_a_session_are_short_and_bounded_in_bytes(void)
{
	struct log_rig r;
	char *text, line[60000];

	memset(line, 'x', sizeof(line));
	memcpy(line, "2imapd: ", 8);
	memcpy(line + sizeof(line) - 2, "\n", 2);
	rig_open(&r);
	rig_send(&r, r.spawn[1], LOGIN_OF_JO);
	rig_send(&r, r.session[1], line);
	text = rig_read(&r);
	CU_ASSERT(strlen(text) < 2 * LOG_LINE_MAX && strstr(text, "imapd: xxx") != NULL);
	mem_free(&text);
	line[1000] = '\n';
	line[1001] = '\0';
	for (int i = 0; i < LOG_SESSION_BYTES / 900; i++)
		rig_send(&r, r.session[1], line);
	rig_send(&r, r.session[1], "2imapd: LOGOUT, " WHO "\n");
	text = rig_read(&r);
	CU_ASSERT(strlen(text) > LOG_SESSION_BYTES && strlen(text) < LOG_SESSION_BYTES / 10 * 11);
	CU_ASSERT(
	    strstr(text, "imapd: LOGOUT, " WHO ", left_out=") != NULL); /* its end is logged, whatever came before */
	mem_free(&text);
	rig_close(&r);
}

static void stderr_of_one_session_leaves_room_for_others(void)
{
	struct log_rig r;
	char *text;

	rig_open(&r);
	rig_send(&r, r.spawn[1], LOGIN_OF_JO);
	ev_run(r.loop, EVRUN_NOWAIT);
	for (int i = 0; i < LOG_SESSION_LINES + 10; i++)
		rig_send(&r, r.err[1], "LOGIN FAILED, user=eve\n");
	rig_fork(&r, r.err[1], "the report of another, user=eve\n", 1);
	text = rig_read(&r);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: LOGIN.FAILED, user.eve\n"), LOG_SESSION_LINES);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: the report of another, user.eve\n"), 1);
	mem_free(&text);
	rig_close(&r);
}

/* Programs that print without end leave room for the role, and for each other. */
static void stderr_of_programs_leaves_room(void)
{
	struct log_rig r;
	char *text;

	rig_open(&r);
	for (int i = 0; i < 3; i++)
		rig_fork(&r, r.err[1], "chatter\n", 1000);
	rig_fork(&r, r.err[1], "another one\n", 3);
	for (int i = 0; i < 10; i++)
		rig_fork(&r, r.err[1], "and more\n", 1000);
	rig_send(&r, r.err[1], "the report of spawn\n");
	text = rig_read(&r);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: chatter\n"), 3 * 60);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: another one\n"), 3);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: and more\n"), 300 - 3 * 60 - 3);
	CU_ASSERT_EQUAL(count_of(text, "stderr of spawn: the report of spawn\n"), 1);
	mem_free(&text);
	rig_close(&r);
}

/* Its pid may belong to another process by then. */
static void who_has_logged_its_end_is_no_session_any_more(void)
{
	struct log_rig r;
	char *text;

	rig_open(&r);
	rig_send(&r, r.spawn[1], LOGIN_OF_JO);
	rig_send(&r, r.session[1], "2imapd: LOGOUT, " WHO "\n2imapd: lines were dropped\n");
	rig_send(&r, r.session[1], "2imapd: LOGOUT, " WHO "\n");
	text = rig_read(&r);
	CU_ASSERT(
	    strstr(text, " imapd: LOGOUT, " WHO "\n") != NULL && strstr(text, " imapd: lines were dropped") != NULL);
	CU_ASSERT_EQUAL(count_of(text, "not known logs: LOGOUT, user.jo"), 1);
	mem_free(&text);
	rig_close(&r);
}

/* Its end is reported over one socket, while lines may be left in the other. */
/* Which socket is read first depends on which was written to first. */
static void report_end(bool after_login)
{
	struct log_rig r;
	char *text, ended[64];

	snprintf(ended, sizeof(ended), "2session-ended: %d\n", (int)getpid());
	rig_open(&r);
	rig_send(&r, r.spawn[1], LOGIN_OF_JO);
	for (int i = 0; after_login && i < 4; i++)
		ev_run(r.loop, EVRUN_NOWAIT);
	rig_send(&r, r.session[1], "1imapd: it breaks\n");
	rig_send(&r, r.session[1], "1imapd: it is broken\n");
	rig_send(&r, r.spawn[1], ended);
	for (int i = 0; i < 4; i++)
		ev_run(r.loop, EVRUN_NOWAIT);
	rig_send(&r, r.session[1], "2imapd: still here\n");
	text = rig_read(&r);
	CU_ASSERT(strstr(text, " imapd: it breaks\n") != NULL && strstr(text, " imapd: it is broken\n") != NULL);
	CU_ASSERT_EQUAL(count_of(text, "not known logs: "), 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(text, "not known logs: still here"));
	CU_ASSERT_PTR_NULL(strstr(text, "session-ended"));
	mem_free(&text);
	rig_close(&r);
}

static void whose_end_was_reported_is_no_session_any_more(void)
{
	report_end(false);
	report_end(true);
}

static void log_to(struct ev_loop *loop, int sock, const char *lines)
{
	CU_ASSERT(send(sock, lines, strlen(lines), 0) > 0);
	ev_run(loop, EVRUN_NOWAIT);
}

/* A full disk: the lines are counted until the log works, which then tells how many they were. */
static void lines_of_a_full_disk_are_counted(void)
{
	char path[] = "/tmp/waypost-log-XXXXXX", text[2048];
	struct ev_loop *loop = ev_loop_new(0);
	int fd[2];
	FILE *f;

	close(mkstemp(path));
	CU_ASSERT_FATAL(logfile_pair(fd) == 0 && logfile_open("/dev/full"));
	CU_ASSERT_EQUAL(logfile_lost(), 0);
	logfile_listen(loop, fd[0], LOGFILE_ROLE, NULL);
	log_to(loop, fd[1], "2waypostd: one\n2waypostd: two\n");
	log_to(loop, fd[1], "2waypostd: three\n");
	CU_ASSERT_EQUAL(logfile_lost(), 3);
	CU_ASSERT_FATAL(logfile_open(path));
	CU_ASSERT_EQUAL(logfile_lost(), 3);
	log_to(loop, fd[1], "2waypostd: four\n");
	CU_ASSERT_EQUAL(logfile_lost(), 0);
	f = fopen(path, "r");
	text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
	fclose(f);
	CU_ASSERT(strstr(text, "four\n") != NULL && strstr(text, "lost 3 log lines\n") != NULL);
	close(fd[1]);
	ev_run(loop, EVRUN_NOWAIT);
	ev_loop_destroy(loop);
	CU_ASSERT(logfile_open("stderr"));
	unlink(path);
}

/* A login worker that was taken over. Nothing can be written here: each line that would be is counted as lost. */
static void a_role_does_not_log_without_end(void)
{
	struct ev_loop *loop = ev_loop_new(0);
	struct str lines = STR_INIT;
	int fd[2];

	for (int i = 0; i < 5000; i++)
		str_adds(&lines, "2imapd: x\n");
	CU_ASSERT_FATAL(logfile_pair(fd) == 0 && logfile_open("/dev/full"));
	logfile_listen(loop, fd[0], LOGFILE_ROLE, "worker 0");
	for (int i = 0; i < 210; i++)
		log_to(loop, fd[1], str_cstr(&lines));
	CU_ASSERT_EQUAL(logfile_lost(), 1000 * 1000);
	seconds_later = 60;
	log_to(loop, fd[1], "2imapd: x\n");
	CU_ASSERT_EQUAL(logfile_lost(), 1000 * 1000 + 2); /* with what tells of those that were dropped */
	CU_ASSERT_FATAL(logfile_open("/dev/null"));
	log_to(loop, fd[1], "2imapd: x\n");
	CU_ASSERT_EQUAL(logfile_lost(), 0);
	seconds_later = 0;
	str_fini(&lines);
	close(fd[1]);
	ev_run(loop, EVRUN_NOWAIT);
	ev_loop_destroy(loop);
	CU_ASSERT(logfile_open("stderr"));
}

static void add(struct counts *c, const char *text)
{
	counts_add_lines(c, text, strlen(text));
}

static void counts_are_added_up(void)
{
	struct counts c = { 0 };
	struct str out = STR_INIT;

	add(&c, "logins_ok=3\nlogins_failed=1\n");
	add(&c, "logins_ok=4\npeer=127.0.0.2 is \033down\nbad name=1\n=2\nno_value\nNAME=1\nlast=9");
	add(&c, "peer=127.0.0.3 is up\n");
	counts_write(&c, &out);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out),
	    "count\tlogins_ok\t7\ncount\tlogins_failed\t1\n"
	    "note\tpeer\t127.0.0.2 is .down\nnote\tpeer\t127.0.0.3 is up\n");
	str_fini(&out);
	counts_fini(&c);
}

static void counts_are_bounded(void)
{
	struct counts c = { 0 };
	struct str out = STR_INIT;
	size_t lines = 0;

	for (int i = 0; i < COUNTS_MAX + 10; i++) {
		char line[32];

		snprintf(line, sizeof(line), "n%d=1\n", i);
		add(&c, line);
	}
	counts_write(&c, &out);
	for (size_t i = 0; i < out.len; i++)
		lines += out.data[i] == '\n';
	CU_ASSERT_EQUAL(lines, COUNTS_MAX);
	str_fini(&out);
	counts_fini(&c);
}

static void sockets_of_lost_slots_are_served(void)
{
	struct listener l = { .wanted = true, .slot = 5 };

	CU_ASSERT_TRUE(listen_is_for(&l, 5, 8));
	CU_ASSERT_FALSE(listen_is_for(&l, 1, 8));
	CU_ASSERT_TRUE(listen_is_for(&l, 1, 4));
	CU_ASSERT_FALSE(listen_is_for(&l, 0, 4));
	CU_ASSERT_TRUE(listen_is_for(&l, 0, 1));
	l.wanted = false;
	CU_ASSERT_FALSE(listen_is_for(&l, 0, 1));
}

#define GOOD_HEAD "node\tservera\nversion\t1\npid\t7\nuptime\t61\nrundir\t/run/w\nconfig\t/etc/w\n"
#define GOOD_ROLE "role\tworker 0\tready\t8\t0\t60\n"

static void status_tells_its_state(void)
{
	static const struct {
		const char *lines;
		enum report_state state;
	} cases[] = {
		{ GOOD_HEAD "draining\t0\nreloading\t0\n" GOOD_ROLE "count\tlogins_ok\t5\n", REPORT_WELL },
		{ GOOD_HEAD "draining\t1\n" GOOD_ROLE, REPORT_DRAINING },
		{ GOOD_HEAD "draining\t1\n" GOOD_ROLE "role\tauthd\tdown\t0\t3\t0\n", REPORT_DEGRADED },
		{ GOOD_HEAD "draining\t0\n" GOOD_ROLE "role\tauthd\tstarting\t9\t3\t0\n", REPORT_DEGRADED },
		{ GOOD_HEAD "draining\t0\nrole\tworker 1\tfinishing\t9\t0\t5\n" GOOD_ROLE, REPORT_WELL },
		{ GOOD_HEAD GOOD_ROLE "silent\tworker 0\t8\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tpeers_down\t1\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tpeers_down\t0\n", REPORT_WELL },
		{ GOOD_HEAD GOOD_ROLE "count\tlog_lines_lost\t1\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tuserdb_refused\t1\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tfronts_not_believed\t1\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tnot_believed_by\t2\n", REPORT_DEGRADED },
		{ GOOD_HEAD GOOD_ROLE "count\tsignatures_wrong\t9\n", REPORT_WELL },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		for (int json = 0; json < 2; json++) {
			struct str out = STR_INIT;

			CU_ASSERT_EQUAL(report_status(&out, cases[i].lines, json != 0), cases[i].state);
			CU_ASSERT(strstr(str_cstr(&out), "servera") != NULL);
			str_fini(&out);
		}
}

static void status_as_json(void)
{
	struct str out = STR_INIT;

	report_status(&out,
	    GOOD_HEAD "draining\t0\nreloading\t0\n" GOOD_ROLE "count\tlogins_ok\t5\nnote\tpeer\tsays \"hi\"\n", true);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out),
	    "{\"node\":\"servera\",\"version\":\"1\",\"pid\":7,\"uptime\":61,\"rundir\":\"/run/w\","
	    "\"config\":\"/etc/w\",\"state\":\"well\",\"draining\":false,\"problems\":[],"
	    "\"roles\":[{\"name\":\"worker 0\",\"state\":\"ready\",\"pid\":8,\"restarts\":0,\"age\":60}],"
	    "\"counts\":{\"logins_ok\":5},\"notes\":[{\"name\":\"peer\",\"text\":\"says \\\"hi\\\"\"}]}\n");
	str_fini(&out);
}

static void who_as_table(void)
{
	struct str out = STR_INIT;

	report_who(&out,
	    "a@b.c\timap\t192.0.2.1\t5000\tserverb\t127.0.0.2:143\t999\t2048\t3700\ts1\tTLSv1.3:TLS_AES_128_GCM_SHA256:"
	    "resumed\n"
	    "x\tpop3\t2001:db8::1\t1\tlocal\t\t0\t5368709120\t59\ts\033[2J\n",
	    false);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out),
	    "USER   PROTOCOL  CLIENT           MAILHOST  BACKEND        IN   OUT   AGE    SESSION  TLS\n"
	    "a@b.c  imap      192.0.2.1:5000   serverb   127.0.0.2:143  999  2.0K  1h01m  s1       "
	    "TLSv1.3:TLS_AES_128_GCM_SHA256:resumed\n"
	    "x      pop3      [2001:db8::1]:1  local     -              0    5.0G  59s    s.[2J    -\n");
	str_fini(&out);
}

static void who_as_json(void)
{
	struct str out = STR_INIT;

	report_who(&out, "", true);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out), "[]\n");
	str_clear(&out);
	report_who(&out, "a\\\timap\t192.0.2.1\t5000\tlocal\t\t1\t2\t3\ts\x01\xff\tTLS\n", true);
	CU_ASSERT_STRING_EQUAL(str_cstr(&out),
	    "[\n{\"user\":\"a\\\\\",\"protocol\":\"imap\",\"ip\":\"192.0.2.1\",\"port\":5000,"
	    "\"mailhost\":\"local\",\"backend\":\"\",\"rcvd\":1,\"sent\":2,\"age\":3,\"session\":"
	    "\"s\\u0001\xef\xbf\xbd\",\"tls\":\"TLS\"}\n]\n");
	str_fini(&out);
}

static void terminals_are_safe(void)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "plain", "plain" },
		{ "\x1b[31m", ".[31m" },
		{ "\xc2\23331m", ".31m" }, /* CSI as one character */
		{ "caf\xc3\xa9", "caf\xc3\xa9" },
		{ "\xc3", "." },
		{ "\xed\xa0\x80", "..." }, /* a surrogate */
		{ "\xf4\x90\x80\x80", "...." },
		{ "\xe0\x80\x80", "..." },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str out = STR_INIT;

		report_clean(&out, cases[i].in, strlen(cases[i].in));
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), cases[i].out);
		str_fini(&out);
	}
}

static const struct unit_case cases[] = {
	{ "back-off doubles for those who die young", backoff_doubles_for_the_young },
	{ "back-off forgives those who lived", backoff_forgives_the_old },
	{ "log line of a file", log_line_of_a_file },
	{ "log line of syslog", log_line_of_syslog },
	{ "sessions cannot forge a refused login", sessions_cannot_forge_a_refusal },
	{ "sessions log for their own account alone", sessions_log_for_their_own_account_alone },
	{ "a session ends after its LOGIN in the log", a_session_ends_after_its_login_in_the_log },
	{ "what is no known session logs little", what_is_no_known_session_logs_little },
	{ "a flood of the log does not hold the master", a_flood_does_not_hold_the_master },
	{ "an empty datagram closes no log", an_empty_datagram_closes_no_log },
	{ "a role does not log without end", a_role_does_not_log_without_end },
	{ "lines of a session are short, and bounded in bytes", lines_of_a_session_are_short_and_bounded_in_bytes },
	{ "stderr of one session leaves room for others", stderr_of_one_session_leaves_room_for_others },
	{ "stderr of programs leaves room for the role", stderr_of_programs_leaves_room },
	{ "who has logged its end is no session any more", who_has_logged_its_end_is_no_session_any_more },
	{ "whose end was reported is no session any more", whose_end_was_reported_is_no_session_any_more },
	{ "lines of a full disk are counted", lines_of_a_full_disk_are_counted },
	{ "figures are added up", counts_are_added_up },
	{ "figures are bounded", counts_are_bounded },
	{ "sockets of slots that are gone are served", sockets_of_lost_slots_are_served },
	{ "status tells its state", status_tells_its_state },
	{ "status as JSON", status_as_json },
	{ "who as table", who_as_table },
	{ "who as JSON", who_as_json },
	{ "terminals are safe", terminals_are_safe },
	{ NULL, NULL },
};
UNIT_MAIN("master", cases)
