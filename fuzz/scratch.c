/* A folder for a fuzz target that needs files. */
#include "fuzz/scratch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/mem.h"
#include "maildir/md_dir.h"

static char *dir;

static void remove_dir(void)
{
	(void)md_remove_tree(AT_FDCWD, dir);
	mem_free(&dir);
}

const char *scratch_dir(void)
{
	const char *below = getenv("TMPDIR");

	if (dir == NULL) {
		dir = mem_printf("%s/waypost-fuzz-XXXXXX", below != NULL ? below : "/tmp");
		DIE_IF(mkdtemp(dir) == NULL);
		DIE_IF(atexit(remove_dir) != 0);
	}
	return dir;
}

void scratch_clear(void)
{
	DIE_IF(md_remove_tree(AT_FDCWD, scratch_dir()) < 0 || mkdir(dir, 0700) < 0);
}

char *scratch_maildir(const char *name)
{
	static const char *const folders[] = { "", "/cur", "/new", "/tmp" };
	char *maildir = mem_printf("%s/%s", scratch_dir(), name);

	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		char *path = mem_printf("%s%s", maildir, folders[i]);

		DIE_IF(mkdir(path, 0700) < 0);
		mem_free(&path);
	}
	return maildir;
}

void scratch_file(const char *below, const char *name, const char *text)
{
	char *path = mem_printf("%s/%s", below, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	DIE_IF(fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text));
	close(fd);
	mem_free(&path);
}
