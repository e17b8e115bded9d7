/* Drops users, capabilities, root directories and system calls, for each role. */
#include "node/priv.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/landlock.h"
#include "lib/log.h"
#include "settings/local_server.h"

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

#ifdef WITH_SANITIZERS
/* They open files of /proc, fork and trace. */
static void confine(enum role role UNUSED, const struct settings *set UNUSED) { }
#else
/* Valgrind makes executable memory and reads files from within the process that it runs; it is recognised by the
 * library that it preloads. Anyone who can set that variable for root can run anything anyway. */
static bool under_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload_core") != NULL;
}

/* What an event loop over sockets needs. A worker opens no file, starts no process and no thread, and makes no
 * memory executable. More calls are allowed with some arguments only: see add_sockets() and those near it. */
static const int worker_calls[] = {
	/* clients, peers, messages, the log; splice(): relays between two plain sides */
	SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(recvfrom), SCMP_SYS(recvmsg),
	SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(splice), SCMP_SYS(pipe2), SCMP_SYS(accept), SCMP_SYS(accept4),
	SCMP_SYS(connect), SCMP_SYS(shutdown), SCMP_SYS(getsockopt), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
	/* descriptors that it has */
	SCMP_SYS(close), SCMP_SYS(dup), SCMP_SYS(fstat), SCMP_SYS(lseek),
	/* libev */
	SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4),
	SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	/* memory, random numbers, time: the C library, OpenSSL */
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday), SCMP_SYS(sched_yield), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getuid),
	SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid),
	/* its own signals, its end */
	SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
	SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group)
};

/* What an event loop needs over the sockets that the process has, and gets by message. */
static const int key_calls[] = { SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close), SCMP_SYS(recvmsg), SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom), SCMP_SYS(sendto), SCMP_SYS(fstat), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime), SCMP_SYS(signalfd4), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl),
	SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(munmap),
	SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex), SCMP_SYS(getrandom),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall), SCMP_SYS(exit),
	SCMP_SYS(exit_group) };

/* What no role and no child of one has a use for: other processes' memory, new rights within a world of its own, and
 * the parts of the kernel in which most holes were found. */
static const int needless_calls[] = { SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
	SCMP_SYS(kcmp), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
	SCMP_SYS(chroot), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(kexec_load), SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module),
	/* the ways around a filter: what is asked for there is not looked at */
	SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register) };
/* ... and libraries of auth workers may: PAM's modules and Kerberos keep keys there, and start helpers, as authpipe
 * does, which may be anything. */
static const int auth_worker_calls[] = { SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(listen) };
static const int program_calls[] = { SCMP_SYS(execve), SCMP_SYS(execveat) };

/* The numbers of these are not in all versions of libseccomp; they are the same on all machines. */
enum { CALL_PIDFD_GETFD = 438, CALL_PROCESS_MADVISE = 440 };

static int add_all(scmp_filter_ctx f, uint32_t action, const int *calls, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(f, action, calls[i], 0);
	return rc;
}

/* A call with one of these values as its argument ARG, an int: the kernel looks at the lower half only. */
static int add_with(scmp_filter_ctx f, int call, unsigned arg, const int *values, size_t n)
{
	int rc = 0;

	for (size_t i = 0; i < n && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
		    SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)values[i]));
	return rc;
}

/* Those of setsockopt() that are in use, without SO_LINGER: see forbid_lingering(). */
static int add_socket_options(scmp_filter_ctx f)
{
	static const struct {
		int level, name;
	} options[] = {
		{ SOL_SOCKET, SO_KEEPALIVE },
		{ SOL_SOCKET, SO_SNDBUF },
		{ IPPROTO_TCP, TCP_NODELAY },
		{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT },
	};
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(options) && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 2,
		    SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)options[i].level),
		    SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)options[i].name));
	return rc;
}

/* TCP to peers. No pairs: descriptors that are on their way in one count for all workers (see make_stream() of
 * master/spawn.c). */
static int add_sockets(scmp_filter_ctx f)
{
	static const int families[] = { AF_INET, AF_INET6 };
	const scmp_datum_t type = UINT32_MAX & ~(scmp_datum_t)(SOCK_NONBLOCK | SOCK_CLOEXEC);
	int rc = 0;

	for (size_t i = 0; i < ARRAY_LEN(families) && rc == 0; i++)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 3,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, (scmp_datum_t)families[i]),
		    SCMP_A1(SCMP_CMP_MASKED_EQ, type, SOCK_STREAM), SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, 0));
	return rc;
}

/* Without F_SETOWN and F_SETSIG, which would send any signal to any process of the same user. */
static int add_fcntl(scmp_filter_ctx f)
{
	static const int commands[] = { F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ,
		F_SETPIPE_SZ };

	return add_with(f, SCMP_SYS(fcntl), 1, commands, ARRAY_LEN(commands));
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
	return rc == 0 ? add_fcntl(f) : rc;
}

static const char *const role_titles[ROLE_COUNT] = {
	[ROLE_WORKER] = "login worker",
	[ROLE_AUTHD] = "authd",
	[ROLE_AUTHWORKER] = "auth worker",
	[ROLE_SPAWN] = "session server",
	[ROLE_KEY] = "key process",
};

/* F, which was made with the result RC, begins to apply to the calls of ROLE. */
static void use_filter(scmp_filter_ctx f, int rc, enum role role)
{
	if (rc == 0)
		rc = seccomp_load(f);
	seccomp_release(f);
	if (rc == -EINVAL || rc == -ENOSYS || rc == -ECANCELED)
		log_warn("this kernel has no system call filter; each %s runs without one", role_titles[role]);
	else if (rc != 0)
		die_fatal("cannot filter the system calls of a %s: %s", role_titles[role], strerror(-rc));
}

/* Other calls fail with EPERM: an unforeseen call of a library then fails alone, and does not cost the worker its
 * clients. */
static void allow_only(enum role role, bool binds)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc = f == NULL ? -ENOMEM : 0;

	if (rc == 0 && role == ROLE_KEY)
		rc = add_all(f, SCMP_ACT_ALLOW, key_calls, ARRAY_LEN(key_calls));
	else if (rc == 0)
		rc = add_all(f, SCMP_ACT_ALLOW, worker_calls, ARRAY_LEN(worker_calls));
	if (rc == 0 && role == ROLE_WORKER)
		rc = add_socket_options(f);
	if (rc == 0 && role == ROLE_WORKER)
		rc = add_sockets(f);
	if (rc == 0 && binds)
		rc = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(bind), 0);
	if (rc == 0)
		rc = add_conditional_calls(f);
	use_filter(f, rc, role);
}

/* SO_LINGER. Whoever closes such a socket last waits until its peer has read all, or for as many seconds as were set.
 * Every message can carry a descriptor, one to the log too, and the kernel closes it in the name of who reads that,
 * even if it takes none: a session server that was taken over could make the master wait for ever. */
static int forbid_lingering(scmp_filter_ctx f)
{
	return seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(setsockopt), 2,
	    SCMP_A1(SCMP_CMP_MASKED_EQ, UINT32_MAX, SOL_SOCKET), SCMP_A2(SCMP_CMP_MASKED_EQ, UINT32_MAX, SO_LINGER));
}

/* A new process that is root in a world of its own; clone3(), whose arguments cannot be seen, is said not to exist:
 * libraries then use clone(). */
static int forbid_new_users(scmp_filter_ctx f)
{
	int rc = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER));

	return rc == 0 ? seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0) : rc;
}

/* For authd, auth workers and spawn, and so for each session server: libraries are at work there whose calls nobody
 * can list. */
static void forbid_some(enum role role, const struct settings *set)
{
	const bool programs = role == ROLE_AUTHWORKER || (role == ROLE_SPAWN && local_server_runs_program(set));
	static const int others[] = { CALL_PIDFD_GETFD, CALL_PROCESS_MADVISE };
	const uint32_t deny = SCMP_ACT_ERRNO(EPERM);
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
	int rc = f == NULL ? -ENOMEM : add_all(f, deny, needless_calls, ARRAY_LEN(needless_calls));

	if (rc == 0)
		rc = add_all(f, deny, others, ARRAY_LEN(others));
	if (rc == 0 && role != ROLE_AUTHWORKER)
		rc = add_all(f, deny, auth_worker_calls, ARRAY_LEN(auth_worker_calls));
	if (rc == 0 && !programs)
		rc = add_all(f, deny, program_calls, ARRAY_LEN(program_calls));
	if (rc == 0)
		rc = forbid_new_users(f);
	if (rc == 0)
		rc = forbid_lingering(f);
	if (rc == 0) /* some kernels slow the process down without it; old ones do not know it, and do not */
		seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1);
	use_filter(f, rc, role);
}

/* Files that are opened, ports and signals, where the kernel can. Session servers have rules of their own
 * (master/sandbox.h), and spawn has to signal those of the spawn before it. */
static void forbid_files(enum role role, bool binds)
{
	struct landlock what = { .net = role != ROLE_AUTHWORKER ? LANDLOCK_NET_BIND : 0,
		.scoped = LANDLOCK_SCOPE_SIGNAL };
	int rules;

	if (role == ROLE_WORKER || role == ROLE_KEY) {
		what.fs = LANDLOCK_FS_ALL;
		what.scoped |= LANDLOCK_SCOPE_ABSTRACT;
	} else if (role == ROLE_AUTHD) { /* it reads: the system's tables, libraries */
		what.fs = LANDLOCK_FS_ALL & ~(LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR | LANDLOCK_FS_DEVICES);
	}
	if (role == ROLE_KEY)
		what.net |= LANDLOCK_NET_CONNECT;
	if ((rules = landlock_new(&what)) == -1)
		return;
	if (binds)
		landlock_allow_port(rules, 0, LANDLOCK_NET_BIND);
	landlock_enter(rules);
}

/* A worker binds sockets to addresses of PROXY_SOURCE_ADDRESS, if there are any; it may not listen there. */
static void confine(enum role role, const struct settings *set)
{
	bool binds = role == ROLE_WORKER && set->proxy_PROXY_SOURCE_ADDRESS[0] != '\0';

	if (under_valgrind())
		return;
	if (role != ROLE_SPAWN)
		forbid_files(role, binds);
	if (role == ROLE_WORKER || role == ROLE_KEY)
		allow_only(role, binds);
	else
		forbid_some(role, set);
}
#endif

/* No core of what held secrets; processes only where there are some. */
static void limit_resources(enum role role UNUSED)
{
	static const struct rlimit none;

	if (setrlimit(RLIMIT_CORE, &none) != 0)
		die_errno("cannot forbid core dumps");
#ifndef WITH_SANITIZERS /* their reports at the end are made by another process */
	if (role == ROLE_WORKER || role == ROLE_KEY)
		setrlimit(RLIMIT_NPROC, &none);
#endif
}

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
	limit_resources(role);
	confine(role, set);
}
