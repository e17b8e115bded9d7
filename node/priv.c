#include "node/priv.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/log.h"

static const struct passwd *account_of(const char *setting, const char *name)
{
	const struct passwd *pw;
	char err[256];

	if (!priv_check_user(setting, name, err, sizeof(err)))
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
	if (chroot(path) != 0 || chdir("/") != 0)
		die_errno("cannot make %s the root directory of a login worker", path);
}

/* Real, effective and saved ids; afterwards there must be no way back. */
static void become(uid_t uid, gid_t gid)
{
	if (setresgid(gid, gid, gid) != 0 || setresuid(uid, uid, uid) != 0)
		die_errno("cannot become uid %u, gid %u", (unsigned)uid, (unsigned)gid);
	if (setuid(0) == 0 || setgid(0) == 0)
		die_fatal("privileges could be regained after becoming uid %u", (unsigned)uid);
}

static void drop_to_login_user(const struct settings *set)
{
	const struct passwd *pw = account_of("LOGIN_USER", set->node_LOGIN_USER);
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

/* spawn stays uid 0, so that no other process of the node may touch it, but root's files are closed to it. */
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

void priv_drop(enum role role, const struct settings *set)
{
	if (geteuid() == 0) {
		switch (role) {
		case ROLE_WORKER:
			drop_to_login_user(set);
			break;
		case ROLE_AUTHD:
		case ROLE_AUTHWORKER:
			drop_to_auth_user(set);
			break;
		case ROLE_SPAWN:
			keep_spawn_capabilities();
			break;
		default:
			die_bug(__FILE__, __LINE__, "no privileges are laid down for this role");
		}
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		die_errno("cannot set no_new_privs");
	/* The switch of users may have set this; only afterwards it stays. */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		die_errno("cannot forbid core dumps");
	/* The system call filter of the workers goes here, as the last step. */
}

bool priv_check_user(const char *setting, const char *name, char *err, size_t errsize)
{
	const struct passwd *pw;

	errno = 0;
	if ((pw = getpwnam(name)) == NULL) {
		snprintf(err, errsize, "%s: there is no user \"%s\"%s%s; create it (systemd-sysusers, or: useradd --system %s)",
		    setting, name, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "", name);
		return false;
	}
	if (pw->pw_uid == 0 || pw->pw_gid == 0) {
		snprintf(err, errsize, "%s: \"%s\" is root or has root's group; name an ordinary system user", setting, name);
		return false;
	}
	return true;
}
