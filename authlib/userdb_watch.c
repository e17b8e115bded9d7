/* Which files make up a userdb, and whether they have changed. */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "authlib/userdb_image.h"
#include "lib/mem.h"

enum { DEPTH_MAX = 8 }; /* nesting of folders, which also ends loops of links */

/* --- walking --- */

static int is_listed(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && d->d_name[0] != '#' && d->d_name[len - 1] != '~';
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

typedef void visit_fn(const char *path, const struct stat *st, void *arg);

static bool walk(const char *path, unsigned depth, visit_fn *fn, void *arg)
{
	struct dirent **names = NULL;
	struct stat st;
	bool good = true;
	int n, err = 0;

	if (stat(path, &st) != 0)
		return false;
	if (!S_ISDIR(st.st_mode)) {
		if (S_ISREG(st.st_mode))
			fn(path, &st, arg);
		return true;
	}
	if (depth == DEPTH_MAX) {
		errno = ELOOP;
		return false;
	}
	fn(path, &st, arg);
	if ((n = scandir(path, &names, is_listed, by_bytes)) < 0)
		return false;
	for (int i = 0; i < n; i++) {
		char *below = mem_printf("%s/%s", path, names[i]->d_name);

		/* A name that is gone by now is a change that the next check will see; the rest still counts. */
		if (good && !walk(below, depth + 1, fn, arg) && errno != ENOENT) {
			good = false;
			err = errno;
		}
		mem_free(&below);
		free(names[i]);
	}
	free(names);
	errno = err;
	return good;
}

struct each {
	userdb_file_fn *fn;
	void *arg;
};

static void visit_file(const char *path, const struct stat *st, void *arg)
{
	const struct each *e = arg;

	if (S_ISREG(st->st_mode))
		e->fn(path, e->arg);
}

bool userdb_each_file(const char *path, userdb_file_fn *fn, void *arg)
{
	struct each e = { fn, arg };

	return walk(path, 0, visit_file, &e);
}

/* --- stamps --- */

static void mix(uint64_t *h, uint64_t v)
{
	*h = userdb_hash(*h, (const char *)&v, sizeof(v));
}

static void mix_time(uint64_t *h, struct timespec t)
{
	mix(h, (uint64_t)t.tv_sec);
	mix(h, (uint64_t)t.tv_nsec);
}

struct stamp {
	uint64_t all, file;
	bool settled;
	time_t newest;
};

static void visit_stamp(const char *path, const struct stat *st, void *arg)
{
	struct stamp *s = arg;

	mix(&s->all, userdb_hash(0, path, strlen(path)));
	mix(&s->all, (uint64_t)st->st_dev);
	mix(&s->all, (uint64_t)st->st_ino);
	mix(&s->all, (uint64_t)st->st_mode);
	/* The times of a folder are ignored: they say no more than its files, and change with dot files. */
	if (S_ISDIR(st->st_mode)) {
		s->file = 0;
		s->settled = false;
		return;
	}
	s->newest = MAX(s->newest, st->st_mtim.tv_sec);
	mix(&s->all, (uint64_t)st->st_size);
	mix_time(&s->all, st->st_mtim);
	mix_time(&s->all, st->st_ctim);
}

static void look(const char *path, struct stamp *s)
{
	struct stat st;

	*s = (struct stamp){ .all = 1 };
	if (stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
		mix(&s->file, (uint64_t)st.st_dev);
		mix(&s->file, (uint64_t)st.st_ino);
		/* Writing sets both times, renaming only the second. */
		s->settled = st.st_ctim.tv_sec > st.st_mtim.tv_sec ||
		    (st.st_ctim.tv_sec == st.st_mtim.tv_sec && st.st_ctim.tv_nsec > st.st_mtim.tv_nsec);
	}
	if (!walk(path, 0, visit_stamp, s))
		mix(&s->all, (uint64_t)errno);
}

uint64_t userdb_stamp(const char *path)
{
	struct stamp s;

	look(path, &s);
	return s.all;
}

/* --- when to read again --- */

static const double at_rest = 0.99;     /* seconds without a change; a timer of one second may fire a little early */
static const double first_patience = 5; /* the most seconds that logins wait at a start */

void userdb_watch_init(struct userdb_watch *w)
{
	memset(w, 0, sizeof(*w));
}

static int take(struct userdb_watch *w)
{
	w->started = true;
	w->pending = false;
	w->taken = w->seen;
	w->taken_file = w->seen_file;
	return 1;
}

/* It may still be being written. */
static bool is_young(const struct stamp *s)
{
	time_t now = time(NULL);

	return !s->settled && s->newest >= now - 1 && s->newest <= now + 1;
}

int userdb_watch_poll(struct userdb_watch *w, const char *path, double now)
{
	struct stamp s;
	bool was_seen;

	look(path, &s);
	was_seen = w->looked && s.all == w->seen;
	w->seen = s.all;
	w->seen_file = s.file;
	if (!w->looked)
		w->first = now;
	w->looked = true;
	if (!was_seen)
		w->since = now;
	if (!w->started && (!is_young(&s) || now - w->first >= first_patience))
		return take(w);
	if (w->started && s.all == w->taken && !w->pending)
		return 0;
	if (w->started && s.settled && s.file != 0 && s.file != w->taken_file)
		return take(w);
	return was_seen && now - w->since >= at_rest ? take(w) : 0;
}

bool userdb_watch_waits(const struct userdb_watch *w)
{
	return !w->started;
}

void userdb_watch_again(struct userdb_watch *w)
{
	w->pending = true;
}
