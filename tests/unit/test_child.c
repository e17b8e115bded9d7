/* Child processes of drivers: their start, and that nothing is left of them. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "authlib/child.h"
#include "lib/msg.h"
#include "tests/unit/unit.h"

/* What the child writes until it ends or has written LEN bytes. */
static size_t hear(const struct child *c, char *p, size_t len)
{
	struct pollfd f = { .fd = c->from, .events = POLLIN };
	size_t have = 0;

	while (have < len && poll(&f, 1, 30000) == 1) {
		ssize_t n = read(c->from, p + have, len - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	return have;
}

/* Waits for its end, but does not reap it. */
static void await_end(const struct child *c)
{
	siginfo_t info;

	CU_ASSERT_EQUAL(waitid(P_PID, (id_t)c->pid, &info, WEXITED | WNOWAIT), 0);
}

static int echo(void *arg)
{
	char text[64];
	ssize_t n = read(STDIN_FILENO, text, sizeof(text));

	if (n != 5 || write(STDOUT_FILENO, text, 5) != 5)
		return 1;
	return *(int *)arg;
}

static void test_talk(void)
{
	struct child c = CHILD_INIT;
	struct str why = STR_INIT;
	char text[6] = "";
	int status = 42;

	child_end(&c, &why);
	CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_BYTES, echo, &status, &why));
	CU_ASSERT_EQUAL(write(c.to, "hello", 5), 5);
	CU_ASSERT_EQUAL(hear(&c, text, 5), 5);
	CU_ASSERT_STRING_EQUAL(text, "hello");
	CU_ASSERT_EQUAL(hear(&c, text, 1), 0);
	await_end(&c);
	child_end(&c, &why);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "; it has ended with status 42");
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	child_end(&c, &why);
	str_fini(&why);
}

/* Two messages, the first of the largest size. */
static int report(void *arg UNUSED)
{
	static struct msgw w;

	msgw_begin(&w, 7);
	while (w.len < MSG_SIZE_MAX)
		msgw_u8(&w, (uint8_t)w.len);
	if (msg_send(STDOUT_FILENO, &w, -1) != 0)
		return 1;
	msgw_begin(&w, 8);
	return msg_send(STDOUT_FILENO, &w, -1) == 0 ? 0 : 1;
}

/* The next message of the child; 0: there is none any more. */
static int hear_message(const struct child *c, struct msgr *r)
{
	static uint8_t buf[MSG_SIZE_MAX];
	struct pollfd f = { .fd = c->from, .events = POLLIN };
	int fd;

	return poll(&f, 1, 30000) == 1 ? msg_recv(c->from, buf, r, &fd) : -1;
}

static void test_messages(void)
{
	struct child c = CHILD_INIT;
	struct str why = STR_INIT;
	struct msgr r;

	CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_MESSAGES, report, NULL, &why));
	CU_ASSERT_EQUAL_FATAL(hear_message(&c, &r), 1);
	CU_ASSERT(r.type == 7 && (size_t)(r.end - r.p) == MSG_SIZE_MAX - sizeof(uint16_t));
	CU_ASSERT_EQUAL(hear_message(&c, &r), 1);
	CU_ASSERT(r.type == 8 && msgr_end(&r));
	CU_ASSERT_EQUAL(hear_message(&c, &r), 0);
	await_end(&c);
	child_end(&c, &why);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "; it has ended with status 0");
	str_fini(&why);
}

/* Reports its state: leader of its session, default signals, only three descriptors. */
static int inspect(void *arg)
{
	struct sigaction act;
	sigset_t set;
	bool good = getsid(0) == getpid() && sigaction(SIGPIPE, NULL, &act) == 0 && act.sa_handler == SIG_DFL &&
	    sigprocmask(SIG_BLOCK, NULL, &set) == 0 && sigismember(&set, SIGUSR1) == 0;

	for (int fd = 3; fd < 100; fd++)
		good = good && fcntl(fd, F_GETFD) == -1;
	good = good && fcntl(STDIN_FILENO, F_GETFL) == O_RDONLY && fcntl(STDOUT_FILENO, F_GETFL) == O_WRONLY;
	return good && arg == NULL ? 0 : 1;
}

static void test_state(void)
{
	struct child c = CHILD_INIT;
	struct str why = STR_INIT;
	sigset_t set, before;
	char text[1];
	int other = open("/dev/null", O_RDONLY);

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, &before);
	signal(SIGPIPE, SIG_IGN);
	CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_BYTES, inspect, NULL, &why));
	CU_ASSERT_EQUAL(hear(&c, text, 1), 0);
	await_end(&c);
	child_end(&c, &why);
	CU_ASSERT_STRING_EQUAL(str_cstr(&why), "; it has ended with status 0");
	CU_ASSERT_TRUE(fcntl(c.from, F_GETFD) == -1 && fcntl(c.to, F_GETFD) == -1);
	sigprocmask(SIG_SETMASK, &before, NULL);
	close(other);
	str_fini(&why);
}

/* Starts another process, reports both pids, and stays. */
static int stay(void *arg)
{
	pid_t pids[2];

	signal(SIGTERM, SIG_IGN);
	pids[0] = getpid();
	if ((pids[1] = fork()) == 0)
		for (;;)
			pause();
	if (write(STDOUT_FILENO, pids, sizeof(pids)) != sizeof(pids) || arg != NULL)
		return 7; /* the other stays */
	for (;;)
		pause();
}

static bool is_gone(pid_t pid)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	for (int i = 0; i < 10000; i++) {
		char path[64], stat[256] = "", *state;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
		if ((fd = open(path, O_RDONLY)) == -1)
			return true;
		if (read(fd, stat, sizeof(stat) - 1) <= 0 ||
		    ((state = strrchr(stat, ')')) != NULL && state[2] == 'Z')) {
			close(fd);
			return true;
		}
		close(fd);
		nanosleep(&pause, NULL);
	}
	return false;
}

static void test_nobody_is_left(void)
{
	int leaves = 1;

	for (int i = 0; i < 2; i++) {
		struct child c = CHILD_INIT;
		struct str why = STR_INIT;
		pid_t pids[2];

		CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_BYTES, stay, i == 0 ? NULL : &leaves, &why));
		CU_ASSERT_EQUAL_FATAL(hear(&c, (char *)pids, sizeof(pids)), sizeof(pids));
		CU_ASSERT_EQUAL(pids[0], c.pid);
		if (i == 1)
			await_end(&c);
		child_end(&c, &why);
		CU_ASSERT_STRING_EQUAL(str_cstr(&why), i == 0 ? "" : "; it has ended with status 7");
		CU_ASSERT_TRUE(kill(pids[0], 0) == -1 && errno == ESRCH);
		CU_ASSERT_TRUE(is_gone(pids[1]));
		str_fini(&why);
	}
}

static int forever(void *arg)
{
	for (;;)
		pause();
	return arg == NULL;
}

/* One that ends at once, and one that was already reaped. */
static void test_early_and_late(void)
{
	struct child c = CHILD_INIT;
	struct str why = STR_INIT;
	int status = 0;

	for (int i = 0; i < 50; i++) {
		CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_BYTES, forever, NULL, &why));
		child_end(&c, NULL);
	}
	CU_ASSERT_EQUAL(waitpid(-1, NULL, WNOHANG), -1);
	CU_ASSERT_TRUE_FATAL(child_start(&c, CHILD_BYTES, echo, &status, &why));
	kill(c.pid, SIGKILL);
	CU_ASSERT_EQUAL(waitpid(c.pid, &status, 0), c.pid);
	child_end(&c, &why);
	CU_ASSERT_EQUAL(why.len, 0);
	str_fini(&why);
}

static const struct unit_case cases[] = { { "talk", test_talk }, { "messages", test_messages },
	{ "the state of a child", test_state }, { "nobody is left", test_nobody_is_left },
	{ "ended early, waited for by others", test_early_and_late }, { NULL, NULL } };

UNIT_MAIN("child", cases)
