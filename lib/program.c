/* Who can change a program. */
#include "lib/program.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/str.h"

enum { LINKS_MAX = 40 }; /* as in the kernel */

/* A way through the file system, link by link: the folder or file reached, and the path that is left from there. */
struct walk {
	char at[PATH_MAX]; /* without links and final '/': "" is the root */
	char left[PATH_MAX];
	struct stat st; /* of AT */
	unsigned links; /* followed */
	char *why;
};

static bool fail(struct walk *w, const char *reason)
{
	snprintf(w->why, PROGRAM_WHY_MAX, "%.300s: %s", w->at[0] != '\0' ? w->at : "/", reason);
	return false;
}

/* AT, a folder, a link, or the program itself, can be changed by root and us only. */
static bool is_trusted(struct walk *w)
{
	const char *at = w->at[0] != '\0' ? w->at : "/";

	if (lstat(at, &w->st) != 0)
		return fail(w, strerror(errno));
	if (w->st.st_uid != 0 && w->st.st_uid != geteuid()) {
		snprintf(w->why, PROGRAM_WHY_MAX, "%.300s belongs to uid %u; only root may be able to change it", at,
		    (unsigned)w->st.st_uid);
		return false;
	}
	if (S_ISLNK(w->st.st_mode) || (w->st.st_mode & 022) == 0 ||
	    (S_ISDIR(w->st.st_mode) && (w->st.st_mode & S_ISVTX) != 0))
		return true;
	snprintf(w->why, PROGRAM_WHY_MAX, "%.300s can be changed by others than its owner; run: chmod go-w %.100s", at,
	    at);
	return false;
}

/* From AT to the folder that it is in. */
static void go_up(struct walk *w)
{
	char *slash = strrchr(w->at, '/');

	if (slash != NULL)
		*slash = '\0';
}

/* AT is a link: what it says comes before what is left, and begins at the root or in the link's folder. */
static bool follow(struct walk *w)
{
	char to[PATH_MAX], left[PATH_MAX];
	ssize_t n = readlink(w->at, to, sizeof(to) - 1);
	int len;

	if (n == -1)
		return fail(w, strerror(errno));
	if (++w->links > LINKS_MAX)
		return fail(w, strerror(ELOOP));
	to[n] = '\0';
	len = snprintf(left, sizeof(left), "%s%s", to, w->left);
	if (len < 0 || (size_t)len >= sizeof(left))
		return fail(w, strerror(ENAMETOOLONG));
	memcpy(w->left, left, (size_t)len + 1);
	if (to[0] == '/')
		w->at[0] = '\0';
	else
		go_up(w);
	return true;
}

/* One name further: the LEN bytes at the begin of the path that is left, at NAME, which are taken from it. */
static bool go_on(struct walk *w, const char *name, size_t len)
{
	size_t have = strlen(w->at), rest = strlen(name + len);

	if (have + 1 + len >= sizeof(w->at))
		return fail(w, strerror(ENAMETOOLONG));
	w->at[have] = '/';
	memcpy(w->at + have + 1, name, len);
	w->at[have + 1 + len] = '\0';
	memmove(w->left, name + len, rest + 1);
	if (!is_trusted(w))
		return false;
	if (S_ISLNK(w->st.st_mode))
		return follow(w);
	return rest == 0 || S_ISDIR(w->st.st_mode) || fail(w, strerror(ENOTDIR));
}

/* Takes the next name of the path that is left. False: the way is not good. */
static bool step(struct walk *w)
{
	const char *name = w->left + strspn(w->left, "/");
	size_t len = strcspn(name, "/");
	bool up = len == 2 && memcmp(name, "..", 2) == 0;

	if (len > 1 + (size_t)up || (len == 1 && name[0] != '.'))
		return go_on(w, name, len);
	if (up)
		go_up(w);
	memmove(w->left, name + len, strlen(name + len) + 1);
	return !up || is_trusted(w);
}

bool program_is_trusted(const char *path, char why[PROGRAM_WHY_MAX])
{
	struct walk w = { .why = why };

	if (strlen(path) >= sizeof(w.left)) {
		snprintf(why, PROGRAM_WHY_MAX, "the path is too long");
		return false;
	}
	str_copy(w.left, sizeof(w.left), path);
	if (!is_trusted(&w))
		return false;
	while (w.left[0] != '\0')
		if (!step(&w))
			return false;
	return (S_ISREG(w.st.st_mode) && (w.st.st_mode & 0111) != 0) || fail(&w, "is not an executable file");
}
