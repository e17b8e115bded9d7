/* What a process of each role can still do once it is not ours any more: each deed is tried by a process of its own, as
 * that role, and first by one that has only changed the user, to show that it could be done at all. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/landlock.h"
#include "node/priv.h"

#ifndef WITH_SANITIZERS /* nothing is filtered then */

static char top[64];      /* RUNDIR */
static char writable[96]; /* a file that everybody may write */
static pid_t victim;      /* of the same user; it sleeps */
static long word = 0x1234;
static struct sockaddr_in tcp;
static struct sockaddr_un hidden; /* an abstract socket that listens */

/* --- deeds: true if it was done --- */

static bool reads_a_file(void)
{
	return open("/etc/passwd", O_RDONLY) != -1;
}

static bool writes_a_file(void)
{
	return open(writable, O_WRONLY) != -1;
}

static bool makes_a_file(void)
{
	return open("/tmp", O_TMPFILE | O_RDWR, 0600) != -1;
}

static bool runs_a_program(void)
{
	execl("/bin/true", "/bin/true", (char *)NULL);
	return false;
}

static bool forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool sends_to(void)
{
	return syscall(SYS_kill, victim, 0) == 0;
}

static bool sends_by_descriptor(void)
{
	int fd[2];

	return pipe2(fd, 0) == 0 && fcntl(fd[0], F_SETOWN, victim) == 0;
}

static bool chooses_a_signal(void)
{
	int fd[2];

	return pipe2(fd, 0) == 0 && fcntl(fd[0], F_SETSIG, SIGKILL) == 0;
}

static bool traces(void)
{
	return ptrace(PTRACE_SEIZE, victim, 0, 0) == 0;
}

static bool reads_memory(void)
{
	long got = 0;
	struct iovec here = { &got, sizeof(got) }, there = { &word, sizeof(word) };

	return process_vm_readv(victim, &here, 1, &there, 1, 0) == sizeof(got);
}

static bool takes_a_descriptor(void)
{
	int fd = (int)syscall(434, victim, 0);

	return fd != -1 && syscall(438, fd, 0, 0) != -1;
}

static bool opens_socket(int family, int type, int protocol)
{
	return socket(family, type, protocol) != -1;
}

static bool opens_udp(void)
{
	return opens_socket(AF_INET, SOCK_DGRAM, 0);
}

static bool opens_unix(void)
{
	return opens_socket(AF_UNIX, SOCK_STREAM, 0);
}

static bool opens_netlink(void)
{
	return opens_socket(AF_NETLINK, SOCK_RAW, 0);
}

static bool opens_mptcp(void)
{
	return opens_socket(AF_INET, SOCK_STREAM, 262);
}

static bool connects(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&tcp, sizeof(tcp)) == 0;
}

static bool binds(uint32_t address, in_port_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = port, .sin_addr.s_addr = htonl(address) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0;
}

static bool binds_an_address(void)
{
	return binds(INADDR_LOOPBACK, 0);
}

/* That of a socket at another address, which therefore is free here. */
static bool binds_a_port(void)
{
	return binds(INADDR_LOOPBACK + 1, tcp.sin_port);
}

static bool listens(void)
{
	return listen(socket(AF_INET, SOCK_STREAM, 0), 1) == 0;
}

static bool connects_hidden(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	return connect(fd, (struct sockaddr *)&hidden, sizeof(hidden)) == 0;
}

/* One end of a pair of datagram sockets can be sent anywhere. */
static bool makes_a_datagram_pair(void)
{
	int fd[2];

	return socketpair(AF_UNIX, SOCK_DGRAM, 0, fd) == 0;
}

static bool makes_a_stream_pair(void)
{
	int fd[2];

	return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) == 0;
}

static bool lingers(void)
{
	const struct linger forever = { 1, 1000 };

	return setsockopt(STDIN_FILENO, SOL_SOCKET, SO_LINGER, &forever, sizeof(forever)) == 0;
}

static bool goes_around(void)
{
	char params[256] = "";

	return syscall(SYS_io_uring_setup, 1, params) != -1;
}

static bool maps_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static bool makes_code(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}

static bool makes_a_memory_file(void)
{
	return syscall(SYS_memfd_create, "x", 0) != -1;
}

static bool is_root_elsewhere(void)
{
	return unshare(CLONE_NEWUSER) == 0;
}

static bool has_a_root_child(void)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool has_a_root_child3(void)
{
	uint64_t args[8] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
	long pid = syscall(435, args, sizeof(args));

	if (pid == 0)
		_exit(0);
	return pid > 0;
}

static bool keeps_keys(void)
{
	return syscall(SYS_add_key, "user", "x", "y", 1, -1) != -1;
}

static bool can_be_dumped(void)
{
	return prctl(PR_GET_DUMPABLE) == 1;
}

static bool leaves_a_core(void)
{
	struct rlimit l;

	return getrlimit(RLIMIT_CORE, &l) == 0 && l.rlim_max != 0;
}

static bool is_root(void)
{
	return setuid(0) == 0;
}

/* --- who may what --- */

enum {
	W = 1 << ROLE_WORKER,
	K = 1 << ROLE_KEY,
	A = 1 << ROLE_AUTHD,
	J = 1 << ROLE_AUTHWORKER, /* jobs */
	S = 1 << ROLE_SPAWN
};

static const struct deed {
	const char *name;
	bool (*done)(void);
	int may;
	int abi; /* from this version of Landlock on */
} deeds[] = {
	{ "read a file", reads_a_file, A | J | S, 0 },
	{ "write a file", writes_a_file, J | S, 1 },
	{ "make a file", makes_a_file, J | S, 1 },
	{ "run a program", runs_a_program, J, 0 },
	{ "fork", forks, A | J | S, 0 },
	{ "signal others", sends_to, S, 6 },
	{ "signal others by a descriptor", sends_by_descriptor, A | J | S, 0 },
	{ "choose the signal of a descriptor", chooses_a_signal, A | J | S, 0 },
	{ "trace others", traces, 0, 0 },
	{ "read memory of others", reads_memory, 0, 0 },
	{ "take descriptors of others", takes_a_descriptor, 0, 0 },
	{ "open an UDP socket", opens_udp, A | J | S, 0 },
	{ "open an AF_UNIX socket", opens_unix, A | J | S, 0 },
	{ "open a netlink socket", opens_netlink, A | J | S, 0 },
	{ "open a socket of another protocol", opens_mptcp, A | J | S, 0 },
	{ "connect", connects, W | A | J | S, 0 },
	{ "bind an address", binds_an_address, J | S, 4 },
	{ "bind a port", binds_a_port, J | S, 4 },
	{ "listen", listens, J, 0 },
	{ "connect to an abstract socket", connects_hidden, A | J | S, 0 },
	{ "make a pair of datagram sockets", makes_a_datagram_pair, A | J | S, 0 },
	{ "make a pair of streams", makes_a_stream_pair, A | J | S, 0 },
	{ "make a socket whose closing waits", lingers, 0, 0 },
	{ "use io_uring", goes_around, 0, 0 },
	{ "map code", maps_code, A | J | S, 0 },
	{ "make code", makes_code, A | J | S, 0 },
	{ "make a memory file", makes_a_memory_file, A | J | S, 0 },
	{ "be root in a world of its own", is_root_elsewhere, 0, 0 },
	{ "have a child that is", has_a_root_child, 0, 0 },
	{ "have a child that is, by clone3()", has_a_root_child3, 0, 0 },
	{ "keep keys in the kernel", keeps_keys, J, 0 },
	{ "be dumped", can_be_dumped, 0, 0 },
	{ "leave a core", leaves_a_core, 0, 0 },
};

static const enum role roles[] = { ROLE_WORKER, ROLE_KEY, ROLE_AUTHD, ROLE_AUTHWORKER, ROLE_SPAWN };
enum { NOBODY = 65534 };

/* As an ordinary user; standard input is a TCP socket. */
static void become_nobody(void)
{
	if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
		_exit(100);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	dup2(socket(AF_INET, SOCK_STREAM, 0), STDIN_FILENO);
}

static int status_of(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* D is tried by a process of ROLE (ROLE_COUNT: of none): 0: done; 1: not. */
static int try(const struct deed *d, enum role role)
{
	pid_t pid;

	fflush(NULL);
	if ((pid = fork()) == 0) {
		become_nobody();
		if (role != ROLE_COUNT)
			priv_drop(role, settings_defaults());
		_exit(d->done() ? 0 : 1);
	}
	return status_of(pid);
}

static void begin(void)
{
	socklen_t len = sizeof(tcp);
	int fd, ready[2];
	char c;

	snprintf(top, sizeof(top), "/tmp/waypost-test-priv.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
	chmod(top, 0755);
	snprintf(writable, sizeof(writable), "%s/file", top);
	CU_ASSERT((fd = open(writable, O_CREAT | O_RDWR, 0666)) != -1 && fchmod(fd, 0666) == 0);
	close(fd);
	tcp.sin_family = AF_INET;
	tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT(bind(fd, (struct sockaddr *)&tcp, sizeof(tcp)) == 0 && listen(fd, 100) == 0);
	getsockname(fd, (struct sockaddr *)&tcp, &len);
	hidden.sun_family = AF_UNIX;
	snprintf(hidden.sun_path + 1, sizeof(hidden.sun_path) - 1, "%s", top);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CU_ASSERT(bind(fd, (struct sockaddr *)&hidden, sizeof(hidden)) == 0 && listen(fd, 100) == 0);
	CU_ASSERT_EQUAL_FATAL(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	if ((victim = fork()) == 0) {
		become_nobody();
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(0);
	}
	CU_ASSERT_EQUAL(read(ready[0], &c, 1), 1);
}

static void end(void)
{
	kill(victim, SIGKILL);
	status_of(victim);
	unlink(writable);
	rmdir(top);
}

static void test_deeds(void)
{
	unsigned untried = 0;

	begin();
	for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
		const struct deed *d = &deeds[i];

		if (try(d, ROLE_COUNT) != 0) {
			printf("(nobody can %s here) ", d->name);
			untried++;
			continue;
		}
		for (size_t r = 0; r < ARRAY_LEN(roles); r++) {
			int result = try(d, roles[r]), expected = (d->may & 1 << roles[r]) != 0 ? 0 : 1;

			if (d->abi > landlock_abi() && (W & 1 << roles[r]) == 0 && (K & 1 << roles[r]) == 0)
				continue;
			if (result != expected)
				printf("\nrole %d, %s: %d\n", roles[r], d->name, result);
			CU_ASSERT_EQUAL(result, expected);
		}
	}
	CU_ASSERT(untried < ARRAY_LEN(deeds) / 3);
	end();
}

/* Started by root: the users, and no way back. */
static void test_users(void)
{
	static const struct {
		enum role role;
		const char *user;
	} cases[] = {
		{ ROLE_WORKER, "nobody" },
		{ ROLE_KEY, "daemon" },
		{ ROLE_AUTHD, "daemon" },
		{ ROLE_AUTHWORKER, "daemon" },
	};
	struct settings *set;
	char empty[96];

	if (geteuid() != 0) {
		printf("(not root) ");
		return;
	}
	snprintf(top, sizeof(top), "/tmp/waypost-test-priv.XXXXXX");
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(top));
	chmod(top, 0755);
	snprintf(empty, sizeof(empty), "%s/" PRIV_EMPTY_DIR, top);
	CU_ASSERT_EQUAL(mkdir(empty, 0755), 0);
	set = settings_defaults();
	mem_free(&set->node_RUNDIR);
	mem_free(&set->node_LOGIN_USER);
	mem_free(&set->node_AUTH_USER);
	set->node_RUNDIR = mem_strdup(top);
	set->node_LOGIN_USER = mem_strdup("nobody");
	set->node_AUTH_USER = mem_strdup("daemon");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uid_t uid = getpwnam(cases[i].user)->pw_uid;
		pid_t pid;

		fflush(NULL);
		if ((pid = fork()) == 0) {
			priv_drop(cases[i].role, set);
			_exit(is_root() || can_be_dumped() ? 1 : geteuid() == uid || errno == EPERM ? 0 : 2);
		}
		CU_ASSERT_EQUAL(status_of(pid), 0);
	}
	settings_free(&set);
	rmdir(empty);
	rmdir(top);
}

/* PROXY_SOURCE_ADDRESS: a worker binds addresses with it, and listens in no case. */
static void test_sources(void)
{
	socklen_t len = sizeof(tcp);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	tcp = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	CU_ASSERT(bind(fd, (struct sockaddr *)&tcp, sizeof(tcp)) == 0);
	getsockname(fd, (struct sockaddr *)&tcp, &len);
	for (int with = 0; with < 2; with++) {
		struct settings *set = settings_defaults();
		pid_t pid;

		if (with)
			unit_set(&set->proxy_PROXY_SOURCE_ADDRESS, "127.0.0.7");
		fflush(NULL);
		if ((pid = fork()) == 0) {
			become_nobody();
			priv_drop(ROLE_WORKER, set);
			if (listens() || (landlock_abi() >= 4 && binds_a_port()))
				_exit(1);
			_exit(binds_an_address() == with ? 0 : 2);
		}
		CU_ASSERT_EQUAL(status_of(pid), 0);
		settings_free(&set);
	}
	close(fd);
}

static const struct unit_case cases[] = {
	{ "addresses that a worker connects from", test_sources },
	{ "what each role can and cannot do", test_deeds },
	{ "users", test_users },
	{ NULL, NULL },
};
#else
static const struct unit_case cases[] = { { NULL, NULL } };
#endif
UNIT_MAIN("priv", cases)
