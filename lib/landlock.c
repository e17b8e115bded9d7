/* The kernel's interface; the header of the system may be older than the kernel. */
#include "lib/landlock.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(SYS_landlock_create_ruleset)

struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

struct port_attr {
	uint64_t allowed, port;
};

enum { RULE_PATH_BENEATH = 1, RULE_NET_PORT = 2, CREATE_VERSION = 1 };

long landlock_abi(void)
{
	static long abi;

	if (abi == 0)
		abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	return abi;
}

int landlock_new(struct landlock *what)
{
	long abi = landlock_abi();

	if (abi < 1)
		return -1;
	if (abi < 2) /* moving from one directory to another */
		what->fs &= ~(1ULL << 13);
	if (abi < 3)
		what->fs &= ~LANDLOCK_FS_TRUNCATE;
	if (abi < 4)
		what->net = 0;
	if (abi < 5)
		what->fs &= ~LANDLOCK_FS_DEVICES;
	if (abi < 6)
		what->scoped = 0;
	return (int)syscall(SYS_landlock_create_ruleset, what, sizeof(*what), 0);
}

bool landlock_allow(int rules, int dir, const char *name, uint64_t access)
{
	struct path_attr p = { .allowed = access };
	struct stat st;
	bool ok;

	if ((p.parent_fd = openat(dir, name, O_PATH | O_CLOEXEC)) == -1)
		return false;
	if (fstat(p.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode)) /* the others are for directories */
		p.allowed &= LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE | LANDLOCK_FS_TRUNCATE;
	ok = syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &p, 0) == 0;
	close(p.parent_fd);
	return ok;
}

bool landlock_allow_port(int rules, uint16_t port, uint64_t access)
{
	struct port_attr p = { .allowed = access, .port = port };

	return syscall(SYS_landlock_add_rule, rules, RULE_NET_PORT, &p, 0) == 0;
}

bool landlock_enter(int rules)
{
	bool ok = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;

	close(rules);
	return ok;
}

#else

long landlock_abi(void)
{
	return -1;
}

int landlock_new(struct landlock *what UNUSED)
{
	return -1;
}

bool landlock_allow(int rules UNUSED, int dir UNUSED, const char *name UNUSED, uint64_t access UNUSED)
{
	return false;
}

bool landlock_allow_port(int rules UNUSED, uint16_t port UNUSED, uint64_t access UNUSED)
{
	return false;
}

bool landlock_enter(int rules UNUSED)
{
	return false;
}

#endif
