/* Drops users, capabilities, root directories and system calls, for each role. */
#include "node/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/log.h"

static const struct passwd *account_of(const char *setting, const char *name)
{
	const struct passwd *pw;
	char err[256];

	if (!settings_user_fit(setting, name, err, sizeof(err)))
		die_fatal("%s", err);
	pw = getpwnam(name);
	DIE_IF(pw == NULL);
	return pw;
}

static void enter_empty_root(const char *rundir)
{
	char path[4096];

	if ((size_t)snprintf(path, sizeof(path), "%s/" PRIV_EMPTY_DIR, rundir) >= sizeof(path))
		die_fatal("RUNDIR is too long: %.200s...", rundir);
#ifndef WITH_SANITIZERS /* they read /proc when the process ends */
	if (chroot(path) != 0 || chdir("/") != 0)
		die_errno("cannot make %s the root directory", path);
#endif
}

/* Real, effective and saved ids; afterwards there must be no way back. */
static void become(uid_t uid, gid_t gid)
{
	if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		die_errno("cannot become uid %u, gid %u", (unsigned)uid, (unsigned)gid);
	if (setuid(0) == 0 || setgid(0) == 0)
		die_fatal("privileges could be regained after becoming uid %u", (unsigned)uid);
}

/* The user NAME, whom SETTING names, with its own group alone and without any file. */
static void drop_to_nothing(const struct settings *set, const char *setting, const char *name)
{
	const struct passwd *pw = account_of(setting, name);
	uid_t uid = pw->pw_uid;
	gid_t gid = pw->pw_gid;

	enter_empty_root(set->node_RUNDIR);
	if (setgroups(1, &gid) != 0)
		die_errno("cannot give up supplementary groups");
	become(uid, gid);
}

static void drop_to_auth_user(const struct settings *set)
{
	const struct passwd *pw = account_of("AUTH_USER", set->node_AUTH_USER);

	if (initgroups(pw->pw_name, pw->pw_gid) != 0)
		die_errno("cannot take the groups of %s", pw->pw_name);
	become(pw->pw_uid, pw->pw_gid);
}

/* spawn stays uid 0, so that no other process of the node can touch it, but it cannot override file permissions. */
static void keep_spawn_capabilities(void)
{
	const uint32_t keep = 1U << CAP_SETUID | 1U << CAP_SETGID | 1U << CAP_KILL;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { { .effective = keep, .permitted = keep } };

	if (setgroups(0, NULL) != 0)
		die_errno("cannot give up supplementary groups");
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if ((cap >= 32 || (keep & 1U << cap) == 0) && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
			die_errno("cannot drop capability %d from the bounding set", cap);
	if (syscall(SYS_capset, &head, data) != 0)
		die_errno("cannot give up capabilities; the role spawn needs CAP_SETUID, CAP_SETGID and CAP_KILL");
}

/* Valgrind makes executable memory and reads files from within the process that it runs; it is recognised by the
 * library that it preloads. Anyone who can set that variable for root can run anything anyway. */
static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload_core") != NULL;
}

#ifdef WITH_SANITIZERS
/* They open files of /proc, fork and trace. */
static void filter_system_calls(enum role role UNUSED) { }
static void forbid_lingering(void) { }
#else
/* What an event loop over sockets needs. A worker opens no file, starts no process and no thread, and makes no
 * memory executable. */
static const int worker_calls[] = { SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev),
	SCMP_SYS(splice), SCMP_SYS(close), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg), SCMP_SYS(sendto), SCMP_SYS(sendmsg),
	SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(socketpair),
	SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(dup), SCMP_SYS(fcntl),
	SCMP_SYS(fstat), SCMP_SYS(lseek), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(munmap),
	SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
	SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall), SCMP_SYS(sched_yield), SCMP_SYS(exit), SCMP_SYS(exit_group) };

/* What an event loop needs over the sockets that the process has, and gets by message. */
static const int key_calls[] = { SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(fcntl), SCMP_SYS(fstat), SCMP_SYS(eventfd2),
	SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4), SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll),
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group) };

/* Those of setsockopt() that are in use, without SO_LINGER: see forbid_lingering(). */
static int add_socket_options(scmp_filter_ctx f)
{
	static const struct {
		int level, name;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE },
		{ SOL_SOCKET, SO_SNDBUF },
		{ IPPROTO_TCP, TCP_NODELAY },
	};
	int rc = 0;

	/* The kernel looks at the lower half of the arguments only. */
	for (size_t i = 0; i < ARRAY_LEN(options) && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)options[i].level),
		    SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)options[i].name));
	return rc;
}

/* Of a worker: sockets to peers. */
static int add_socket_calls(scmp_filter_ctx f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int rc = add_socket_options(f);

	for (size_t i = 0; i < ARRAY_LEN(families) && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i], 0));
	return rc;
}

static int add_conditional_calls(scmp_filter_ctx f)
{
	const struct scmp_arg_cmp not_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
	int rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &not_exec);

	if (rc == 0)
		rc = seccomp_rule_add_array(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &not_exec);
	if (rc == 0) /* getrlimit() */
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2, SCMP_A0(SCMP_CMP_EQ, 0, 0),
		    SCMP_A2(SCMP_CMP_EQ, 0, 0));
	if (rc == 0) /* abort() */
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
	return rc;
}

/* F, which was made with the result RC, begins to apply to WHOSE calls. */
static void use_filter(scmp_filter_ctx f, int rc, const char *whose)
{
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -ECANCELED)
		log_warn("this kernel has no system call filter; each %s runs without one", whose);
	else if (rc != 0)
		die_fatal("cannot filter the system calls of a %s: %s", whose, strerror(-rc));
}

/* Other calls fail with EPERM: an unforeseen call of a library then fails alone, and does not cost the worker its
 * clients. */
static void filter_system_calls(enum role role)
{
	const int *calls = role == ROLE_KEY ? key_calls : worker_calls;
	size_t n = role == ROLE_KEY ? ARRAY_LEN(key_calls) : ARRAY_LEN(worker_calls);
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = f == NULL ? -ENOMEM : 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0);
	if (rc == 0 && role == ROLE_WORKER)
		rc = add_socket_calls(f);
	if (rc == 0)
		rc = add_conditional_calls(f);
	use_filter(f, rc, role == ROLE_KEY ? "key process" : "login worker");
}

/* For spawn, and so for each session server: SO_LINGER, and the way around this filter. Whoever closes such a socket
 * last waits until its peer has read all, or for as many seconds as were set. Every message can carry a descriptor, one
 * to the log too, and the kernel closes it in the name of who reads that, even if it takes none: a session server that
 * was taken over could make the master wait for ever. */
static void forbid_lingering(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc = f == NULL ? -ENOMEM : 0;

	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, SOL_SOCKET),
		    SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, SO_LINGER));
	if (rc == 0)
		rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(io_uring_setup), 0);
	if (rc == 0) /* some kernels slow the process down without it; old ones do not know it, and do not */
		seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
	use_filter(f, rc, "session server");
}
#endif

void priv_drop(enum role role, const struct settings *set)
{
	if (geteuid() == 0) {
		switch (role) {
		case ROLE_WORKER:
			drop_to_nothing(set, "LOGIN_USER", set->node_LOGIN_USER);
			break;
		case ROLE_KEY:
			drop_to_nothing(set, "AUTH_USER", set->node_AUTH_USER);
			break;
		case ROLE_AUTHD:
		case ROLE_AUTHWORKER:
			drop_to_auth_user(set);
			break;
		case ROLE_SPAWN:
			keep_spawn_capabilities();
			break;
		default:
			die_bug(__FILE__, __LINE__, "no privileges are defined for this role");
		}
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die_errno("cannot set no_new_privs");
	/* Switching users may set this again, so it comes last. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		die_errno("cannot forbid core dumps");
	if ((role == ROLE_WORKER || role == ROLE_KEY) && !under_valgrind())
		filter_system_calls(role);
	if (role == ROLE_SPAWN && !under_valgrind())
		forbid_lingering();
}
