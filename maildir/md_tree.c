/* The folders: listed, made, renamed, deleted. */
#include "maildir/md_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "lib/utf8.h"
#include "maildir/md_copy.h"
#include "maildir/md_deposit.h"
#include "maildir/md_dir.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_recent.h"
#include "maildir/md_uidlist.h"

enum { DIR_MODE = 0700, LATE_TRIES = 120, LATE_US = 10000 };

/* --- names --- */

bool md_tree_valid(const char *name)
{
	size_t len = strlen(name);

	if (len == 0)
		return true;
	if (len > MD_FOLDER_MAX || name[0] == '.' || name[len - 1] == '.' || strstr(name, "..") != NULL)
		return false;
	for (size_t i = 0, n; i < len; i += n) {
		uint32_t c;

		n = utf8_get(name + i, len - i, &c);
		if (n == 0 || utf8_is_control(c) || c == '/')
			return false;
	}
	return true;
}

/* Order of bytes, but '.' first, so that a folder is directly followed by those below it. */
static int name_cmp(const char *a, const char *b)
{
	unsigned char x, y;

	for (; *a == *b && *a != '\0'; a++, b++)
		;
	x = (unsigned char)*a;
	y = (unsigned char)*b;
	if (x == y)
		return 0;
	if (x == '\0' || y == '\0')
		return x == '\0' ? -1 : 1;
	if (x == '.' || y == '.')
		return x == '.' ? -1 : 1;
	return x < y ? -1 : 1;
}

static bool is_below(const char *name, const char *parent)
{
	size_t len = strlen(parent);

	return strncmp(name, parent, len) == 0 && name[len] == '.';
}

static enum md_err bad_name(struct md_root *r, const char *folder)
{
	return md_fail(r, MD_BADNAME, 0, "%s cannot be a folder's name", md_folder_text(folder));
}

/* --- listing --- */

static bool has_sub(int dirfd, const char *folder, const char *sub)
{
	char path[MD_FOLDER_MAX + 16];

	snprintf(path, sizeof(path), ".%s/%s", folder, sub);
	return faccessat(dirfd, path, F_OK, 0) == 0;
}

bool md_tree_has_new(struct md_root *r, const char *folder)
{
	char path[MD_FOLDER_MAX + 16];
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	bool any;

	snprintf(path, sizeof(path), "%s%s/new", *folder != '\0' ? "." : "./", folder);
	any = md_dirlist_read(r, r->fd, folder, path, MD_LIST_MESSAGES, &l) == MD_OK && l.n != 0;
	md_dirlist_fini(&l);
	return any;
}

static struct md_folder *add(struct md_folders *l, const char *name, size_t len, bool exists)
{
	struct md_folder *f;

	if ((l->n & (l->n - 1)) == 0)
		l->f = mem_grow(l->f, (l->n != 0 ? l->n * 2 : 1) * sizeof(*l->f));
	f = &l->f[l->n++];
	memset(f, 0, sizeof(*f));
	f->name = mem_memdup(name, len);
	f->exists = exists;
	return f;
}

static int by_name(const void *a, const void *b)
{
	return name_cmp(*(const char *const *)a, *(const char *const *)b);
}

/* Adds NAME, preceded by those of its parents that do not exist. */
static void add_with_parents(struct md_folders *l, const char *name)
{
	for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
		size_t len = (size_t)(dot - name);
		const char *last = l->f[l->n - 1].name;

		/* Sorted: if the parent is there, it is the last one or a parent of the last one. */
		if (strncmp(last, name, len) != 0 || (last[len] != '\0' && last[len] != '.'))
			add(l, name, len, false);
	}
	add(l, name, strlen(name), true);
}

/* Names of all directories that could be folders, sorted. Points into D. */
static enum md_err read_names(struct md_root *r, struct md_dirlist *d, const char ***names_out, size_t *n_out)
{
	enum md_err e = md_dirlist_read(r, r->fd, "", ".", MD_LIST_ALL, d);
	const char **names = mem_array(d->n, sizeof(*names));
	size_t n = 0;

	for (size_t i = 0; e == MD_OK && i < d->n; i++) {
		const char *name = md_dirlist_name(d, i);

		if (*name == '.' && name[1] != '\0' && md_tree_valid(name + 1) && has_sub(r->fd, name + 1, "cur"))
			names[n++] = name + 1;
	}
	qsort(names, n, sizeof(*names), by_name);
	*names_out = names;
	*n_out = n;
	return e;
}

enum md_err md_tree_list(struct md_root *r, bool want_new, struct md_folders *l)
{
	struct md_dirlist d = { STR_INIT, NULL, 0, 0 };
	const char **names;
	enum md_err e;
	size_t n;

	memset(l, 0, sizeof(*l));
	e = read_names(r, &d, &names, &n);
	if (e == MD_OK) {
		add(l, "", 0, true);
		for (size_t i = 0; i < n; i++)
			add_with_parents(l, names[i]);
		l->f[0].has_children = l->n > 1;
		for (size_t i = 1; i + 1 < l->n; i++)
			l->f[i].has_children = is_below(l->f[i + 1].name, l->f[i].name);
		for (size_t i = 0; want_new && i < l->n; i++)
			l->f[i].has_new = l->f[i].exists && md_tree_has_new(r, l->f[i].name);
	}
	mem_free(&names);
	md_dirlist_fini(&d);
	return e;
}

void md_folders_fini(struct md_folders *l)
{
	for (size_t i = 0; i < l->n; i++)
		mem_free(&l->f[i].name);
	mem_free(&l->f);
	l->n = 0;
}

const struct md_folder *md_folders_find(const struct md_folders *l, const char *name)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = name_cmp(l->f[mid].name, name);

		if (c == 0)
			return &l->f[mid];
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/* --- creating --- */

/* A name that is reused must not get its old UIDVALIDITY, with other messages under the same UIDs: folders made within
 * the same second share one, and a folder may be deleted and made again within that second. So deleting or renaming a
 * folder leaves its UIDVALIDITY in tmp/, until that is cleaned. */
static bool uidv_path(const char *folder, char *path, size_t size)
{
	return (size_t)snprintf(path, size, "tmp/uidv.%s", folder) < size && strlen(path) - 4 <= MD_NAME_MAX;
}

static bool remember_uidv(struct md_root *r, const char *folder, uint32_t uidvalidity)
{
	char path[MD_FOLDER_MAX + 16];
	int64_t due = (int64_t)uidvalidity + MD_UIDLIST_EPOCH;
	struct str text = STR_INIT;
	struct stat st;
	bool ok = uidv_path(folder, path, sizeof(path));

	str_addf(&text, "1 %u 1\n", uidvalidity);
	ok = ok && md_replace_file(r, r->fd, r->fd, path, &text, true, &st) == 0;
	if (ok && due > time(NULL)) /* not a leftover before the clock gets there */
		(void)utimensat(r->fd, path, (struct timespec[2]){ { .tv_sec = due }, { .tv_sec = due } },
		    AT_SYMLINK_NOFOLLOW);
	ok = ok && md_sync_dir(r->fd, "tmp") == 0;
	str_fini(&text);
	return ok;
}

/* The UIDVALIDITY of the folder DIRFD; 0: it has none. One that cannot be read is not above that of a folder made
 * now. */
static uint32_t read_uidv(struct md_root *r, int dirfd, const char *folder)
{
	struct md_uidlist l = { 0 };
	enum md_err e = md_uidlist_read(r, dirfd, folder, &l);
	uint32_t v = e == MD_OK || e == MD_GONE ? l.uidvalidity : md_uidlist_above(0);

	md_uidlist_fini(&l);
	return v;
}

/* Nobody has the name FOLDER any more, whose UIDVALIDITY could not be remembered (a full disk). There may be room
 * by now; else the clock goes on until a successor gets another. */
static void remember_late(struct md_root *r, const char *folder, uint32_t uidvalidity)
{
	int64_t due = (int64_t)uidvalidity + MD_UIDLIST_EPOCH + 1;

	if (remember_uidv(r, folder, uidvalidity))
		return;
	for (int i = 0; i < LATE_TRIES && time(NULL) < due; i++)
		usleep(LATE_US);
	if (time(NULL) < due)
		log_warn("%.120s: the UIDVALIDITY of folder %s, which is no more, could not be written to tmp/: "
		         "another of that name may get it again, so that mail programs show the wrong messages; make "
		         "room on the file system",
		    r->path, md_folder_text(folder));
}

/* *V: the last UIDVALIDITY known of the name FOLDER, or 0. A failure if that cannot be told, or if none is left for the
 * name: clients may remember a smaller one. */
static enum md_err recall_uidv(struct md_root *r, const char *folder, uint32_t *v)
{
	char path[MD_FOLDER_MAX + 16];
	struct md_uidlist l = { 0 };
	struct str text = STR_INIT;
	struct stat st;
	enum md_err e = MD_OK;

	*v = 0;
	if (!uidv_path(folder, path, sizeof(path)))
		return MD_OK;
	if (md_read_file(r->fd, path, 64, &text, &st) == 0)
		*v = md_uidlist_parse(&l, str_cstr(&text), text.len) ? l.uidvalidity : 0;
	else if (errno != ENOENT && errno != EINVAL && errno != EFBIG && errno != ELOOP) /* else it is not ours */
		e = md_fail(r, md_errno(errno), errno, "cannot read tmp/uidv.%s", md_folder_text(folder));
	if (md_uidlist_above(*v) == 0)
		e = md_fail(r, MD_LIMIT, 0,
		    "no UIDVALIDITY is left for another folder of the name %s; use another name, or remove tmp/uidv.%s "
		    "if no mail program remembers the last one",
		    md_folder_text(folder), md_folder_text(folder));
	md_uidlist_fini(&l);
	str_fini(&text);
	return e;
}

/* Gives the new folder DIRFD, which will be FOLDER, its UIDVALIDITY and remembers it: a deletion without us (rm -r)
 * leaves no trace of it. */
static enum md_err begin_uidv(struct md_root *r, int dirfd, const char *folder)
{
	struct md_uidlist l = { 0 };
	uint32_t last;
	enum md_err e = recall_uidv(r, folder, &last);

	l.uidvalidity = md_uidlist_above(last);
	if (e == MD_OK)
		e = md_uidlist_write(r, dirfd, folder, &l);
	if (e == MD_OK)
		(void)remember_uidv(r, folder, l.uidvalidity);
	md_uidlist_fini(&l);
	return e;
}

/* Makes everything that FOLDER consists of in the directory TMP. 0, or -1 with errno. */
static int fill(struct md_root *r, const char *tmp, const char *folder)
{
	static const char *const sub[] = { "cur", "new", "tmp" };
	int dirfd, fd, rc = 0, err;

	if (mkdirat(r->fd, tmp, DIR_MODE) != 0)
		return -1;
	dirfd = openat(r->fd, tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dirfd < 0)
		return -1;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(sub); i++)
		rc = mkdirat(dirfd, sub[i], DIR_MODE);
	if (rc == 0) {
		fd = openat(dirfd, "maildirfolder", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
		rc = fd < 0 ? -1 : close(fd);
	}
	if (rc == 0 && begin_uidv(r, dirfd, folder) != MD_OK)
		rc = -1;
	if (rc == 0)
		rc = fsync(dirfd);
	err = errno;
	close(dirfd);
	errno = err;
	return rc;
}

/* The folder DIR was just made of TMP, but may not be on disk: takes it back, unless there is mail in it already. */
static void unmake(struct md_root *r, const char *dir, const char *tmp)
{
	int fd;

	if (md_rename_new(r->fd, dir, r->fd, tmp) != 0)
		return;
	fd = openat(r->fd, tmp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd >= 0 && unlinkat(fd, "new", AT_REMOVEDIR) == 0 && unlinkat(fd, "cur", AT_REMOVEDIR) == 0)
		(void)md_remove_tree(r->fd, tmp);
	else if (fd < 0 || mkdirat(fd, "new", DIR_MODE) == 0 || errno == EEXIST)
		(void)md_rename_new(r->fd, tmp, r->fd, dir);
	if (fd >= 0)
		close(fd);
}

/* Gives what was made as TMP the name DIR, on disk. 0, or -1 with errno. */
static int publish(struct md_root *r, const char *tmp, const char *dir)
{
	int err;

	if (md_rename_new(r->fd, tmp, r->fd, dir) != 0)
		return -1;
	if (md_sync_dir(r->fd, ".") == 0)
		return 0;
	err = errno;
	unmake(r, dir, tmp);
	errno = err;
	return -1;
}

enum md_err md_tree_create(struct md_root *r, const char *folder)
{
	char dir[MD_FOLDER_MAX + 2];
	struct str tmp = STR_INIT;
	enum md_err e = MD_OK;
	uint32_t last;
	int err;

	if (*folder == '\0')
		return md_fail(r, MD_EXISTS, 0, "INBOX exists already");
	if (!md_tree_valid(folder))
		return bad_name(r, folder);
	snprintf(dir, sizeof(dir), ".%s", folder);
	if (faccessat(r->fd, dir, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return md_fail(r, MD_EXISTS, 0, "folder %s exists already", md_folder_text(folder));
	e = recall_uidv(r, folder, &last);
	if (e != MD_OK)
		return e;
	/* Made elsewhere and then renamed: the folder appears complete, or not at all. */
	str_adds(&tmp, "tmp/");
	md_name_tmp(r, &tmp);
	if (fill(r, tmp.data, folder) != 0 || publish(r, tmp.data, dir) != 0) {
		err = errno;
		(void)md_remove_tree(r->fd, tmp.data);
		e = err == EEXIST || err == ENOTEMPTY ? MD_EXISTS : md_errno(err);
		e = md_fail(r, e == MD_GONE ? MD_NOTMAILDIR : e, err, "cannot create folder %s",
		    md_folder_text(folder));
	}
	str_fini(&tmp);
	return e;
}

/* --- deleting --- */

static enum md_err missing(struct md_root *r, const char *folder)
{
	struct md_folders l;
	const struct md_folder *f;
	enum md_err e = MD_NOFOLDER;

	if (md_tree_list(r, false, &l) == MD_OK && (f = md_folders_find(&l, folder)) != NULL && !f->exists)
		e = MD_REFUSED;
	md_folders_fini(&l);
	if (e == MD_REFUSED)
		return md_fail(r, e, 0, "folder %s exists only as the parent of others", md_folder_text(folder));
	return md_fail(r, e, 0, "folder %s does not exist", md_folder_text(folder));
}

/* Renames the folder's directory DIR to TMP. That is synced before its mail is removed, or a power failure could bring
 * it back with a part of its mail. 0; -1 with errno, and all is as before. */
static int put_away(struct md_root *r, const char *dir, const char *tmp)
{
	int err;

	if (md_rename_new(r->fd, dir, r->fd, tmp) != 0)
		return -1;
	if (md_sync_dir(r->fd, ".") == 0)
		return 0;
	err = errno;
	(void)md_rename_new(r->fd, tmp, r->fd, dir);
	errno = err;
	return -1;
}

enum md_err md_tree_delete(struct md_root *r, const char *folder)
{
	char dir[MD_FOLDER_MAX + 2];
	struct str tmp = STR_INIT;
	struct stat st;
	uint32_t uidvalidity;
	bool remembered;
	enum md_err e;
	int fd, rc;

	if (*folder == '\0')
		return md_fail(r, MD_REFUSED, 0, "INBOX cannot be deleted");
	e = md_folder_open(r, folder, &fd);
	if (e == MD_NOFOLDER)
		return missing(r, folder);
	if (e != MD_OK)
		return e;
	uidvalidity = read_uidv(r, fd, folder);
	remembered = uidvalidity == 0 || remember_uidv(r, folder, uidvalidity);
	close(fd);
	RACE("tree: the folder to delete was opened");
	snprintf(dir, sizeof(dir), ".%s", folder);
	str_adds(&tmp, "tmp/");
	md_name_tmp(r, &tmp);
	/* Renamed out of sight first; if we crash, cleaning tmp/ removes what is left. */
	rc = fstatat(r->fd, dir, &st, AT_SYMLINK_NOFOLLOW);
	if (rc == 0)
		rc = S_ISLNK(st.st_mode) ? unlinkat(r->fd, dir, 0) : put_away(r, dir, tmp.data);
	if (rc == 0 && S_ISLNK(st.st_mode))
		rc = md_sync_dir(r->fd, ".");
	if (rc != 0)
		e = md_fail(r, errno == ENOENT ? MD_NOFOLDER : md_errno(errno), errno, "cannot delete folder %s",
		    md_folder_text(folder));
	else if (S_ISDIR(st.st_mode)) {
		md_size_folder_left(r, folder, tmp.data);
		(void)md_remove_tree(r->fd, tmp.data);
	}
	if (e == MD_OK && !remembered)
		remember_late(r, folder, uidvalidity);
	str_fini(&tmp);
	return e;
}

/* --- renaming --- */

/* True if SUB of FOLDER is there and holds no message. */
static bool is_empty(struct md_root *r, const char *folder, const char *sub)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	bool empty;
	int fd;

	if (md_folder_open(r, folder, &fd) != MD_OK)
		return false;
	empty = md_dirlist_read(r, fd, folder, sub, MD_LIST_ALL, &l) == MD_OK && l.n == 0;
	close(fd);
	md_dirlist_fini(&l);
	return empty;
}

/* Renames INBOX: moves its messages to the new folder TO. */
static enum md_err rename_inbox(struct md_root *r, const char *to)
{
	struct md_copied c;
	struct md_box *box;
	size_t *idx, n;
	enum md_err e = md_tree_create(r, to);

	if (e != MD_OK)
		return e;
	e = md_box_open(r, "", false, &box);
	if (e == MD_OK) {
		n = md_box_count(box);
		idx = mem_array(n, sizeof(*idx));
		for (size_t i = 0; i < n; i++)
			idx[i] = i;
		e = md_move(box, idx, n, to, &c);
		md_copied_fini(&c);
		mem_free(&idx);
		md_box_close(&box);
	}
	if (e != MD_OK) {
		char why[MD_WHY_MAX];

		memcpy(why, r->why, sizeof(why));
		/* Messages that could not be moved back, or that others have delivered, must not be deleted with it. */
		if (!is_empty(r, to, "cur") || !is_empty(r, to, "new"))
			log_warn("%.120s: folder %s stays, with the mail that it holds, though INBOX could not be "
			         "renamed to it",
			    r->path, md_folder_text(to));
		else if (md_tree_delete(r, to) != MD_OK)
			log_warn("%s", r->why);
		memcpy(r->why, why, sizeof(why));
	}
	return e;
}

struct step {
	char *from, *to;
	/* The folder's UIDVALIDITY, and what it was before it was raised for TO; 0: not known, not raised. */
	uint32_t uidvalidity, was;
	bool remembered; /* for the name FROM */
};

static int step_do(struct md_root *r, const char *from, const char *to)
{
	char a[MD_FOLDER_MAX + 2], b[MD_FOLDER_MAX + 2];

	snprintf(a, sizeof(a), ".%s", from);
	snprintf(b, sizeof(b), ".%s", to);
	return md_rename_new(r->fd, a, r->fd, b);
}

/* Plans what must be renamed to what. */
static enum md_err plan(struct md_root *r, const char *from, const char *to, const char **names, size_t n,
    struct step *step, size_t *nsteps)
{
	size_t len = strlen(from);
	uint32_t last;
	enum md_err e;

	for (size_t i = 0; i < n; i++) {
		struct step *s = &step[*nsteps];

		if (strcmp(names[i], from) != 0 && !is_below(names[i], from))
			continue;
		s->from = mem_strdup(names[i]);
		s->to = mem_printf("%s%s", to, names[i] + len);
		++*nsteps;
		if (!md_tree_valid(s->to))
			return md_fail(r, MD_BADNAME, 0, "folder %s would get a name that is too long",
			    md_folder_text(names[i]));
	}
	for (size_t i = 0; i < *nsteps; i++) {
		const char *key = step[i].to;

		if (bsearch(&key, names, n, sizeof(*names), by_name) != NULL || has_sub(r->fd, key, ""))
			return md_fail(r, MD_EXISTS, 0, "folder %s exists already", md_folder_text(key));
		e = recall_uidv(r, key, &last);
		if (e != MD_OK)
			return e;
	}
	return *nsteps != 0 ? MD_OK : md_fail(r, MD_NOFOLDER, 0, "folder %s does not exist", md_folder_text(from));
}

/* Under the lock: gives the folder DIRFD the UIDVALIDITY V. */
static enum md_err set_uidv(struct md_root *r, int dirfd, struct step *s, struct md_uidlist *l, uint32_t v)
{
	uint32_t before = l->uidvalidity;
	enum md_err e;

	l->uidvalidity = s->uidvalidity = v;
	s->was = before; /* also if the list that has V cannot be synced */
	e = md_uidlist_write(r, dirfd, s->from, l);
	if (e == MD_OK)
		md_recent_revalue(r, dirfd, before, v);
	return e;
}

/* Raises the UIDVALIDITY of the folder DIRFD above the last one of the name that it will get. Before it has that name:
 * whatever happens to us, no client finds other messages under UIDs that it knows. */
static enum md_err raise_uidv(struct md_root *r, int dirfd, struct step *s)
{
	struct md_lock lock = MD_LOCK_INIT;
	struct md_uidlist l = { 0 };
	uint32_t last;
	enum md_err e = recall_uidv(r, s->to, &last);

	s->uidvalidity = read_uidv(r, dirfd, s->from);
	if (last == 0 || e != MD_OK)
		return e;
	e = md_lock_take(r, dirfd, s->from, &lock);
	if (e == MD_OK)
		e = md_uidlist_read(r, dirfd, s->from, &l);
	if (e == MD_GONE)
		e = MD_OK;
	if (e == MD_OK && (l.uidvalidity != 0 ? l.uidvalidity : md_uidlist_above(0)) <= last)
		e = set_uidv(r, dirfd, s, &l, md_uidlist_above(last));
	md_lock_drop(&lock);
	md_uidlist_fini(&l);
	return e;
}

/* The folder keeps its name: it gets back what was raised. */
static void lower_uidv(struct md_root *r, struct step *s)
{
	struct md_root quiet = *r; /* report the first failure */
	struct md_lock lock = MD_LOCK_INIT;
	struct md_uidlist l = { 0 };
	int fd;

	if (s->was == 0 || md_folder_open(&quiet, s->from, &fd) != MD_OK)
		return;
	if (md_lock_take(&quiet, fd, s->from, &lock) == MD_OK && md_uidlist_read(&quiet, fd, s->from, &l) == MD_OK &&
	    l.uidvalidity == s->uidvalidity)
		(void)set_uidv(&quiet, fd, s, &l, s->was);
	md_lock_drop(&lock);
	md_uidlist_fini(&l);
	close(fd);
}

/* What must be known and written of UIDVALIDITY before FROM becomes TO. */
static enum md_err prepare_uidv(struct md_root *r, struct step *s)
{
	enum md_err e;
	int fd;

	e = md_folder_open(r, s->from, &fd);
	if (e != MD_OK)
		return e;
	e = raise_uidv(r, fd, s);
	if (e == MD_OK)
		s->remembered = s->uidvalidity == 0 || remember_uidv(r, s->from, s->uidvalidity);
	close(fd);
	return e;
}

/* Renames all N, or none. */
static enum md_err rename_all(struct md_root *r, const struct step *step, size_t n)
{
	enum md_err e;
	size_t done = 0;
	int err;

	while (done < n && step_do(r, step[done].from, step[done].to) == 0)
		done++;
	if (done == n && md_sync_dir(r->fd, ".") == 0)
		return MD_OK;
	err = errno;
	e = err == EEXIST || err == ENOTEMPTY ? MD_EXISTS : err == ENOENT ? MD_NOFOLDER : md_errno(err);
	e = md_fail(r, e, err, "cannot rename folder %s", md_folder_text(step[MIN(done, n - 1)].from));
	while (done-- > 0)
		(void)step_do(r, step[done].to, step[done].from);
	return e;
}

static enum md_err run(struct md_root *r, struct step *step, size_t n)
{
	char dir[MD_FOLDER_MAX + 2];
	enum md_err e = MD_OK;

	RACE("tree: what to rename is known");
	for (size_t i = 0; e == MD_OK && i < n; i++)
		e = prepare_uidv(r, &step[i]);
	if (e == MD_OK)
		e = rename_all(r, step, n);
	for (size_t i = 0; i < n; i++) {
		if (e != MD_OK) {
			lower_uidv(r, &step[i]);
			continue;
		}
		if (!step[i].remembered)
			remember_late(r, step[i].from, step[i].uidvalidity);
		if (md_size_differs(step[i].from, step[i].to)) {
			snprintf(dir, sizeof(dir), ".%s", step[i].to);
			md_size_folder_left(r, step[i].from, dir);
			md_size_folder_came(r, step[i].to, dir);
		}
	}
	return e;
}

enum md_err md_tree_rename(struct md_root *r, const char *from, const char *to)
{
	struct md_dirlist d = { STR_INIT, NULL, 0, 0 };
	const char **names;
	struct step *step;
	size_t n, nsteps = 0;
	enum md_err e;

	if (*to == '\0')
		return md_fail(r, MD_EXISTS, 0, "INBOX exists already");
	if (!md_tree_valid(from) || !md_tree_valid(to))
		return bad_name(r, md_tree_valid(from) ? to : from);
	if (*from == '\0')
		return rename_inbox(r, to);
	if (strcmp(from, to) == 0)
		return md_fail(r, MD_EXISTS, 0, "folder %s exists already", md_folder_text(to));
	e = read_names(r, &d, &names, &n);
	step = mem_array(n, sizeof(*step));
	if (e == MD_OK)
		e = plan(r, from, to, names, n, step, &nsteps);
	if (e == MD_OK)
		e = run(r, step, nsteps);
	for (size_t i = 0; i < nsteps; i++) {
		mem_free(&step[i].from);
		mem_free(&step[i].to);
	}
	mem_free(&step);
	mem_free(&names);
	md_dirlist_fini(&d);
	return e;
}
