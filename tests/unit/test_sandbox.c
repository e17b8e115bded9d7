/* What session servers and login workers still can and no longer can do, each in a process of its own. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <iconv.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "master/sandbox.h"
#include "node/priv.h"

static char top[64];

static const char *in_top(const char *name)
{
	static char path[2][256];
	static int which;

	which = !which;
	snprintf(path[which], sizeof(path[which]), "%s/%s", top, name);
	return path[which];
}

static bool make_file(const char *name)
{
	int fd = open(in_top(name), O_CREAT | O_TRUNC | O_RDWR, 0600);
	bool ok = fd != -1 && write(fd, "x", 1) == 1 && fsync(fd) == 0;

	if (fd != -1)
		close(fd);
	return ok;
}

/* Newer kernels restrict signals, too, but not those to oneself. */
static bool watch_tells(void)
{
	const struct timespec patience = { 5, 0 };
	int fd = open(in_top("Maildir/new"), O_RDONLY | O_DIRECTORY);
	sigset_t io;

	sigemptyset(&io);
	sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, NULL);
	if (fd == -1 || fcntl(fd, F_NOTIFY, DN_CREATE) != 0)
		return fd != -1 && errno == EINVAL; /* a kernel without it */
	return make_file("Maildir/new/n") && sigtimedwait(&io, NULL, &patience) == SIGIO;
}

/* 0: all is well; else the number of the failed step. */
static int inside(void)
{
	char name[] = "program";
	iconv_t cd;
	int fd;

	if (!make_file("Maildir/tmp/a"))
		return 1;
	if (rename(in_top("Maildir/tmp/a"), in_top("Maildir/new/a")) != 0)
		return 2;
	if (link(in_top("Maildir/new/a"), in_top("Maildir/cur/b")) != 0)
		return 3;
	if (unlink(in_top("Maildir/new/a")) != 0 || truncate(in_top("Maildir/cur/b"), 0) != 0)
		return 4;
	if (mkdir(in_top("Maildir/.Sent"), 0700) != 0 || rename(in_top("Maildir/.Sent"), in_top("Maildir/.Out")) != 0 ||
	    rmdir(in_top("Maildir/.Out")) != 0)
		return 5;
	if (!make_file("Maildir/.Linked/cur/c")) /* a folder that is a link */
		return 6;
	if (rename(in_top("Maildir/.Linked/cur/c"), in_top("Maildir/cur/c")) != 0)
		return 7;
	if ((cd = iconv_open("UTF-8", "KOI8-R")) == (iconv_t)-1) /* a module that must be loaded */
		return 8;
	iconv_close(cd);
	if ((fd = inotify_init1(IN_CLOEXEC)) != -1 && inotify_add_watch(fd, in_top("Maildir/new"), IN_MOVED_TO) == -1)
		return 9;
	if (!watch_tells())
		return 10;
	tzset();
	execv(in_top("Maildir/cur/program"), (char *[]){ name, NULL });
	if (errno != EACCES) /* ENOEXEC: it was read, and is none */
		return 11;
	return 0;
}

/* By whatever name, also where one is a link to the other. */
static int libraries(void)
{
	static const char *const dirs[] = { "/usr/lib", "/usr/lib64", "/usr/share", "/lib", "/lib64" };
	struct stat st;

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		if (stat(dirs[i], &st) == 0 && open(dirs[i], O_RDONLY | O_DIRECTORY) == -1)
			return (int)i + 1;
	return 0;
}

static int outside(void)
{
	if (make_file("other"))
		return 1;
	if (open(in_top("secret"), O_RDONLY) != -1 || errno != EACCES)
		return 2;
	if (open("/etc/passwd", O_RDONLY) != -1 || errno != EACCES)
		return 3;
	if (rename(in_top("Maildir/cur/b"), in_top("b")) == 0)
		return 4;
	if (open(in_top("missing"), O_RDONLY) != -1 || errno != ENOENT) /* errors can still be told apart */
		return 5;
	return 0;
}

static int in_linked(void)
{
	return make_file("Maildir/.Linked/cur/d") ? outside() : 10;
}

static int run(int (*steps)(void))
{
	int status;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0)
		_exit(sandbox_enter(in_top("Maildir")) ? steps() : 100);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* A file system that does not tell the type of what it lists. */
static bool no_types;
struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);

struct dirent *__wrap_readdir(DIR *d)
{
	struct dirent *e = __real_readdir(d);

	if (no_types && e != NULL)
		e->d_type = DT_UNKNOWN;
	return e;
}

static void test_sandbox(void)
{
	static const char *const dirs[] = { "Maildir", "Maildir/cur", "Maildir/new", "Maildir/tmp", "far", "far/cur" };
	int in, out;

	snprintf(top, sizeof(top), "/tmp/waypost-test-sandbox.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		CU_ASSERT_EQUAL(mkdir(in_top(dirs[i]), 0700), 0);
	CU_ASSERT_EQUAL(symlink(in_top("far"), in_top("Maildir/.Linked")), 0);
	CU_ASSERT(make_file("secret") && make_file("Maildir/cur/program"));
	CU_ASSERT_EQUAL(chmod(in_top("Maildir/cur/program"), 0700), 0);
	in = run(inside);
	out = run(outside);
	if (in == 100)
		printf("(this kernel has no Landlock that could be used) ");
	else
		CU_ASSERT(in == 0 && out == 0);
	if (in != 100 && (in != 0 || out != 0))
		printf("\nstep %d inside, %d outside\n", in, out);
	for (int i = 0; i < 2 && in != 100; i++) {
		CU_ASSERT_EQUAL(run(libraries), 0);
		CU_ASSERT_EQUAL(run(outside), 0);
		sandbox_prepare(); /* the parent may do it for all */
	}
	no_types = true;
	CU_ASSERT(in == 100 || run(in_linked) == 0);
	no_types = false;
	char command[128];
	snprintf(command, sizeof(command), "rm -rf %s", top);
	CU_ASSERT_EQUAL(system(command), 0);
}

static void test_no_maildir(void)
{
	snprintf(top, sizeof(top), "/nonexistent");
	CU_ASSERT_EQUAL(run(inside), 100); /* nothing is restricted, and the server says so */
}

#ifndef WITH_SANITIZERS /* no system call is filtered then */
static bool may_set(int fd, long level, long name)
{
	struct linger forever = { 1, 1000 };

	return syscall(SYS_setsockopt, fd, level, name, &forever, sizeof(forever)) == 0;
}

/* 0: all is well; else the number of the failed step. */
static int options_of_sockets(void)
{
	const long high = 1L << 32; /* the kernel does not look at it */
	int tcp = socket(AF_INET, SOCK_STREAM, 0);

	if (tcp == -1 || !may_set(tcp, SOL_SOCKET, SO_KEEPALIVE) || !may_set(tcp, IPPROTO_TCP, TCP_NODELAY))
		return 1;
	if (may_set(tcp, SOL_SOCKET, SO_LINGER) || errno != EPERM)
		return 2;
	if (may_set(tcp, SOL_SOCKET | high, SO_LINGER) || may_set(tcp, SOL_SOCKET, SO_LINGER | high))
		return 3;
	return syscall(SYS_io_uring_setup, 1, NULL) == -1 && errno == EPERM ? 0 : 4;
}

static int as_ordinary_user(enum role role)
{
	struct settings *set = settings_defaults();
	int status;
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0)
			_exit(100);
		priv_drop(role, set);
		_exit(options_of_sockets());
	}
	settings_free(&set);
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
#endif

/* Else one in a message, or to the log, would make its reader wait, which may be the master. */
static void test_no_lingering_sockets(void)
{
#ifndef WITH_SANITIZERS
	CU_ASSERT_EQUAL(as_ordinary_user(ROLE_WORKER), 0);
	CU_ASSERT_EQUAL(as_ordinary_user(ROLE_SPAWN), 0);
#endif
}

static const struct unit_case cases[] = {
	{ "inside and outside", test_sandbox },
	{ "no Maildir", test_no_maildir },
	{ "no sockets whose closing waits", test_no_lingering_sockets },
	{ NULL, NULL },
};
UNIT_MAIN("sandbox", cases)
