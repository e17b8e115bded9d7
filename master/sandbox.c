/* Landlock around a session server. */
#include "master/sandbox.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/landlock.h"

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
	landlock_abi();
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		known.again[i] = is_again(i);
}

/* True if E of directory FD is a link; some file systems do not tell the type of what they list. */
static bool is_link(int fd, const struct dirent *e)
{
	struct stat st;

	if (e->d_type != DT_UNKNOWN)
		return e->d_type == DT_LNK;
	return fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

static void allow_links(int rules, const char *maildir, uint64_t fs)
{
	DIR *d = opendir(maildir);
	struct dirent *e;
	struct stat st;

	if (d == NULL)
		return;
	while ((e = readdir(d)) != NULL)
		if (is_link(dirfd(d), e) && fstatat(dirfd(d), e->d_name, &st, 0) == 0 && S_ISDIR(st.st_mode))
			landlock_allow(rules, dirfd(d), e->d_name, fs);
	closedir(d);
}

bool sandbox_enter(const char *maildir)
{
	struct landlock all = { LANDLOCK_FS_ALL, LANDLOCK_NET_BIND | LANDLOCK_NET_CONNECT,
		LANDLOCK_SCOPE_ABSTRACT | LANDLOCK_SCOPE_SIGNAL };
	bool ok;
	int rules;

	if (!known.ready)
		sandbox_prepare();
	if (landlock_abi() < LANDLOCK_ABI_MOVES || (rules = landlock_new(&all)) == -1)
		return false;
	ok = landlock_allow(rules, AT_FDCWD, maildir, all.fs & ~LANDLOCK_FS_EXECUTE);
	allow_links(rules, maildir, all.fs & ~LANDLOCK_FS_EXECUTE);
	for (size_t i = 0; i < ARRAY_LEN(readable); i++)
		if (!known.again[i])
			landlock_allow(rules, AT_FDCWD, readable[i], LANDLOCK_FS_READ_FILE | LANDLOCK_FS_READ_DIR);
	landlock_allow(rules, AT_FDCWD, "/dev/null", LANDLOCK_FS_READ_FILE | LANDLOCK_FS_WRITE_FILE);
	if (ok)
		return landlock_enter(rules);
	close(rules);
	return false;
}
