/* Who can change a program. */
#include "lib/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a folder, a link, or the program itself. */
static bool step_is_trusted(const char *path, char why[PROGRAM_WHY_MAX])
{
	struct stat st;

	if (lstat(path, &st) != 0) {
		snprintf(why, PROGRAM_WHY_MAX, "%.300s: %s", path, strerror(errno));
		return false;
	}
	if (st.st_uid != 0 && st.st_uid != geteuid()) {
		snprintf(why, PROGRAM_WHY_MAX, "%.300s belongs to uid %u; only root may be able to change it", path,
		    (unsigned)st.st_uid);
		return false;
	}
	if (S_ISLNK(st.st_mode) || (st.st_mode & 022) == 0 || (S_ISDIR(st.st_mode) && (st.st_mode & S_ISVTX) != 0))
		return true;
	snprintf(why, PROGRAM_WHY_MAX, "%.300s can be changed by others than its owner; run: chmod go-w %.100s", path,
	    path);
	return false;
}

/* Each part of PATH, from the root on. */
static bool way_is_trusted(const char *path, char why[PROGRAM_WHY_MAX])
{
	char part[PATH_MAX];

	for (const char *end = path; *end != '\0';) {
		size_t len;

		end += strspn(end, "/");
		end += strcspn(end, "/");
		len = (size_t)(end - path);
		if (len >= sizeof(part)) {
			snprintf(why, PROGRAM_WHY_MAX, "the path is too long");
			return false;
		}
		memcpy(part, path, len);
		part[len] = '\0';
		if (!step_is_trusted(part, why))
			return false;
	}
	return step_is_trusted("/", why);
}

bool program_is_trusted(const char *path, char why[PROGRAM_WHY_MAX])
{
	char real[PATH_MAX];
	struct stat st;

	if (realpath(path, real) == NULL) {
		snprintf(why, PROGRAM_WHY_MAX, "%.300s: %s", path, strerror(errno));
		return false;
	}
	if (!way_is_trusted(path, why) || !way_is_trusted(real, why))
		return false;
	if (stat(real, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0)
		return true;
	snprintf(why, PROGRAM_WHY_MAX, "%.300s is not an executable file", path);
	return false;
}
