/* lib/program: who can change a program. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/program.h"

static char dir[] = "/tmp/wp-program-XXXXXX"; /* below a folder with the sticky bit */

static char *in_dir(char path[128], const char *name)
{
	snprintf(path, 128, "%s/%s", dir, name);
	return path;
}

static void make(const char *name, mode_t mode)
{
	char path[128];
	int fd = open(in_dir(path, name), O_CREAT | O_WRONLY | O_CLOEXEC, 0700);

	CU_ASSERT(fd != -1);
	close(fd);
	CU_ASSERT_EQUAL(chmod(path, mode), 0);
}

static bool trusted(const char *name, const char *why_part)
{
	char path[128], why[PROGRAM_WHY_MAX] = "";
	bool good = program_is_trusted(in_dir(path, name), why);

	CU_ASSERT(good ? why[0] == '\0' : strstr(why, why_part) != NULL);
	return good;
}

static void test_modes(void)
{
	make("good", 0755);
	make("group", 0775);
	make("others", 0757);
	make("plain", 0644);
	CU_ASSERT(trusted("good", ""));
	CU_ASSERT(!trusted("group", "can be changed by others"));
	CU_ASSERT(!trusted("others", "can be changed by others"));
	CU_ASSERT(!trusted("plain", "is not an executable file"));
	CU_ASSERT(!trusted("missing", "No such file"));
	CU_ASSERT(!trusted(".", "is not an executable file"));
}

static void test_folders_and_links(void)
{
	char path[128], to[128];

	CU_ASSERT_EQUAL(mkdir(in_dir(path, "open"), 0700), 0);
	CU_ASSERT_EQUAL(chmod(path, 0777), 0);
	make("open/good", 0755);
	CU_ASSERT(!trusted("open/good", "/open can be changed by others"));
	CU_ASSERT(!trusted("open/../good", "/open can be changed by others"));
	CU_ASSERT_EQUAL(symlink(in_dir(to, "good"), in_dir(path, "link")), 0);
	CU_ASSERT(trusted("link", ""));
	CU_ASSERT_EQUAL(symlink(in_dir(to, "open/good"), in_dir(path, "bad")), 0);
	CU_ASSERT(!trusted("bad", "/open can be changed by others"));
	CU_ASSERT_EQUAL(symlink(in_dir(to, "good"), in_dir(path, "open/link")), 0);
	CU_ASSERT(!trusted("open/link", "/open can be changed by others"));
}

static void link_to(const char *to, const char *name)
{
	char path[128];

	CU_ASSERT_EQUAL(symlink(to, in_dir(path, name)), 0);
}

/* Links that lead to links: each folder on the way counts, not only those of the first path and of the program. */
static void test_chains(void)
{
	char to[128];

	link_to(in_dir(to, "open/link"), "chain"); /* open/link leads to good */
	CU_ASSERT(!trusted("chain", "/open can be changed by others"));
	link_to("open/../good", "through");
	CU_ASSERT(!trusted("through", "/open can be changed by others"));
	link_to("open", "folder");
	CU_ASSERT(!trusted("folder/../good", "/open can be changed by others"));
	link_to(".", "here");
	link_to("here/./here//good", "relative");
	CU_ASSERT(trusted("relative", ""));
	CU_ASSERT(trusted("here/here/relative", ""));
	link_to("good/", "slash");
	CU_ASSERT(!trusted("slash", "Not a directory"));
	CU_ASSERT(!trusted("good/../good", "Not a directory"));
}

/* As many links as the kernel follows, and neither more nor without end. */
static void test_many_links(void)
{
	char path[PATH_MAX] = "good", name[PATH_MAX + 128], why[PROGRAM_WHY_MAX];

	link_to("loop", "loop");
	CU_ASSERT(!trusted("loop", "Too many levels of symbolic links"));
	for (int i = 0; i <= 40; i++) {
		snprintf(name, sizeof(name), "%s/%s", dir, path);
		CU_ASSERT(program_is_trusted(name, why));
		memmove(path + 5, path, strlen(path) + 1);
		memcpy(path, "here/", 5);
	}
	snprintf(name, sizeof(name), "%s/%s", dir, path);
	CU_ASSERT(!program_is_trusted(name, why));
	CU_ASSERT_PTR_NOT_NULL(strstr(why, "Too many levels of symbolic links"));
	memset(name, 'x', sizeof(name) - 1);
	name[0] = '/';
	name[sizeof(name) - 1] = '\0';
	CU_ASSERT(!program_is_trusted(name, why));
}

static void test_owner(void)
{
	char path[128];

	if (geteuid() != 0)
		return;
	CU_ASSERT_EQUAL(chown(in_dir(path, "good"), 65534, 65534), 0);
	CU_ASSERT(!trusted("good", "belongs to uid 65534"));
}

static void set_up(void)
{
	CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(dir));
}

static void tear_down(void)
{
	static const char *const names[] = { "good", "group", "others", "plain", "link", "bad", "open/good",
		"open/link", "chain", "through", "folder", "here", "relative", "slash", "loop", NULL };
	char path[128];

	for (size_t i = 0; names[i] != NULL; i++)
		unlink(in_dir(path, names[i]));
	rmdir(in_dir(path, "open"));
	CU_ASSERT_EQUAL(rmdir(dir), 0);
}

static const struct unit_case cases[] = { { "set up", set_up }, { "modes", test_modes },
	{ "folders and links", test_folders_and_links }, { "chains", test_chains }, { "many links", test_many_links },
	{ "owner", test_owner }, { "tear down", tear_down }, { NULL, NULL } };
UNIT_MAIN("program", cases)
