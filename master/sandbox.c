/* Landlock around a session server. */
#include "master/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(SYS_landlock_create_ruleset)

/* The kernel's interface; the header of the system may be older than the kernel. */
struct ruleset_attr {
	uint64_t handled_fs, handled_net, scoped;
};
struct path_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

enum { RULE_PATH_BENEATH = 1, CREATE_VERSION = 1 };
enum { LEAST_ABI = 2 }; /* before, nothing could be moved from one directory to another: new/ to cur/ */

#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_ALL_ABI2 ((1ULL << 14) - 1)
#define FS_TRUNCATE (1ULL << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#define NET_TCP_ALL 3ULL          /* ABI 4 */
#define SCOPE_ALL 3ULL            /* ABI 6: abstract sockets, signals */

static const char *const readable[] = {
	"/usr/lib",
	"/usr/lib64",
	"/usr/share",
	"/lib",
	"/lib64", /* iconv's modules, locales, time zones */
	"/etc/localtime",
	"/etc/ld.so.cache",
#ifdef WITH_SANITIZERS
	"/proc",
	"/usr/bin",
#endif
};

static struct {
	bool ready;
	long abi;                        /* of the kernel; less than 1: it has no Landlock */
	bool again[ARRAY_LEN(readable)]; /* the same directory as one before it: /lib may be a link to /usr/lib */
} known;

static bool is_again(size_t n)
{
	struct stat st, before;

	if (stat(readable[n], &st) != 0)
		return false;
	for (size_t i = 0; i < n; i++)
		if (stat(readable[i], &before) == 0 && st.st_dev == before.st_dev && st.st_ino == before.st_ino)
			return true;
	return false;
}

void sandbox_prepare(void)
{
	known.ready = true;
	known.abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		known.again[i] = is_again(i);
}

static int new_ruleset(uint64_t *fs)
{
	struct ruleset_attr attr = { .handled_fs = FS_ALL_ABI2 };

	if (known.abi < LEAST_ABI)
		return -1;
	if (known.abi >= 3)
		attr.handled_fs |= FS_TRUNCATE;
	if (known.abi >= 4)
		attr.handled_net = NET_TCP_ALL;
	if (known.abi >= 5)
		attr.handled_fs |= FS_IOCTL_DEV;
	if (known.abi >= 6)
		attr.scoped = SCOPE_ALL;
	*fs = attr.handled_fs;
	return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
}

/* Allows ACCESS below the directory (or to the file) NAME in DIR. */
static bool allow(int rules, int dir, const char *name, uint64_t access)
{
	struct path_attr p = { .allowed = access };
	struct stat st;
	bool ok;

	if ((p.parent_fd = openat(dir, name, O_PATH | O_CLOEXEC)) == -1)
		return false;
	if (fstat(p.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		p.allowed &= FS_READ_FILE | FS_WRITE_FILE | FS_TRUNCATE; /* the others are for directories */
	ok = syscall(SYS_landlock_add_rule, rules, RULE_PATH_BENEATH, &p, 0) == 0;
	close(p.parent_fd);
	return ok;
}

static void allow_links(int rules, const char *maildir, uint64_t fs)
{
	DIR *d = opendir(maildir);
	struct dirent *e;
	struct stat st;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		if (e->d_type == DT_LNK && fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
			allow(rules, dirfd(d), e->d_name, fs);
	closedir(d);
}

bool sandbox_enter(const char *maildir)
{
	uint64_t fs;
	int rules;
	bool ok;

	if (!known.ready)
		sandbox_prepare();
	if ((rules = new_ruleset(&fs)) == -1)
		return false;
	ok = allow(rules, AT_FDCWD, maildir, fs);
	allow_links(rules, maildir, fs);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		if (!known.again[i])
			allow(rules, AT_FDCWD, readable[i], FS_READ_FILE | FS_READ_DIR);
	allow(rules, AT_FDCWD, "/dev/null", FS_READ_FILE | FS_WRITE_FILE);
	ok = ok && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
	close(rules);
	return ok;
}

#else

void sandbox_prepare(void) { }

bool sandbox_enter(const char *maildir UNUSED)
{
	return false;
}

#endif
