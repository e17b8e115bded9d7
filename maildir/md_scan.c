/* The scan of new/ and cur/.
 *
 * A directory that is read while others rename files in it may show a file twice or not at all, and one that was
 * added may be missed while a later one is seen. So a scan that found messages missing or new counts only if the
 * directory did not change meanwhile; else it is repeated under the folder's lock, in several passes whose results
 * are joined. A stamp that is too young (md_stamp.h) is taken for changed. */
#include "maildir/md_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"
#include "maildir/md_scan_private.h"

enum { RETRY_MS = 5000, KW_PENDING_MAX = 64 };

/* A directory was read once more between BEFORE and AFTER. LAST is AFTER of the previous pass (zeros: there was none),
 * and QUIET the number of passes in a row so far without a visible change. Returns their number now. */
static unsigned md_stamp_quiet(unsigned quiet, const struct md_stamp *last, const struct md_stamp *before,
    const struct md_stamp *after)
{
	if (!md_stamp_same(before, after))
		return 0;
	return md_stamp_same(last, before) ? quiet + 1 : 1;
}

bool md_scan_unchanged(struct md_box *box)
{
	if (box->force_scan || md_stamp_dirty(&box->at_new, box->fd, "new") ||
	    md_stamp_dirty(&box->at_cur, box->fd, "cur") || md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR))
		return false;
	return box->uid_sticky || box->readonly || md_now_ms() - box->retry_ms < RETRY_MS;
}

const char *md_msg_path(const struct md_msg *m, struct str *out)
{
	str_clear(out);
	str_adds(out, m->in_new ? "new/" : "cur/");
	str_adds(out, m->name);
	return out->data;
}

bool md_msg_has_name(const struct md_box *box, const struct md_msg *m)
{
	struct str path = STR_INIT;
	bool has = faccessat(box->fd, md_msg_path(m, &path), F_OK, AT_SYMLINK_NOFOLLOW) == 0;

	str_fini(&path);
	return has;
}

static const char *scan_name(const void *arg, uint32_t val, size_t *len_out)
{
	const struct md_scan *sc = arg;
	const struct md_msg *m = val < sc->box->n ? &sc->box->msgs[val] : &sc->fresh[val - sc->box->n];

	*len_out = m->base_len;
	return m->name;
}

struct md_msg *md_scan_find(struct md_scan *sc, const char *name, size_t base_len)
{
	uint32_t v = md_hash_find(&sc->hash, name, base_len, scan_name, sc);

	if (v == MD_HASH_NONE)
		return NULL;
	return v < sc->box->n ? &sc->box->msgs[v] : &sc->fresh[v - sc->box->n];
}

bool md_scan_in_view(const struct md_scan *sc, const struct md_msg *m)
{
	return sc->box->n != 0 && m >= sc->box->msgs && m < sc->box->msgs + sc->box->n;
}

static struct md_msg *add_fresh(struct md_scan *sc, const char *name, size_t base_len, bool in_new)
{
	struct md_msg *m;

	if (sc->n_fresh == sc->cap) {
		sc->cap = sc->cap != 0 ? sc->cap * 2 : 16;
		sc->fresh = mem_grow(sc->fresh, sc->cap * sizeof(*sc->fresh));
	}
	m = &sc->fresh[sc->n_fresh];
	memset(m, 0, sizeof(*m));
	m->name = mem_strdup(name);
	m->base_len = (uint16_t)base_len;
	m->flags = (uint8_t)md_name_flags(name);
	m->in_new = in_new;
	m->recent = in_new;
	m->found = m->in_pass = true;
	m->proven = sc->locked;
	m->mtime = m->bytes = m->octets = MD_UNKNOWN;
	md_hash_add(&sc->hash, name, base_len, (uint32_t)(sc->box->n + sc->n_fresh));
	sc->n_fresh++;
	return m;
}

/* M's file is now called NAME. */
static void take_name(struct md_scan *sc, struct md_msg *m, const char *name, bool in_new)
{
	uint8_t flags = (uint8_t)md_name_flags(name);

	m->in_new = in_new;
	if (strcmp(m->name, name) == 0)
		return;
	md_msg_set_name(sc->box, m, name);
	if (m->flags == flags)
		return;
	m->flags = flags;
	if (md_scan_in_view(sc, m) && !m->gone && !m->changed) {
		m->changed = true;
		sc->box->flagged++;
	}
}

static void see(struct md_scan *sc, const char *name, bool in_new);

/* Gives the file OLD (a path) a new name in cur/: its base belongs to another message already. */
static void give_new_name(struct md_scan *sc, const char *old, const char *name, const struct stat *st)
{
	struct md_box *box = sc->box;
	struct str tmp = STR_INIT, base = STR_INIT, to = STR_INIT;

	md_name_tmp(box->root, &tmp);
	md_name_new(&base, tmp.data, st->st_dev, st->st_ino, (uint64_t)st->st_size);
	str_adds(&base, ":2,");
	str_adds(&to, "cur/");
	md_name_with_flags(&to, base.data, md_name_flags(name));
	if (md_rename_new(box->fd, old, box->fd, to.data) == 0)
		see(sc, to.data + 4, false);
	else
		box->hides = true;
	str_fini(&tmp);
	str_fini(&base);
	str_fini(&to);
}

/* cur/ seems to hold two files with the same base: usually one, renamed while we read. */
static void see_twice(struct md_scan *sc, struct md_msg *m, const char *name)
{
	struct md_box *box = sc->box;
	struct str a = STR_INIT, b = STR_INIT;
	struct stat sa, sb;

	md_msg_path(m, &a);
	str_addf(&b, "cur/%s", name);
	if (fstatat(box->fd, b.data, &sb, AT_SYMLINK_NOFOLLOW) != 0)
		goto out;
	if (fstatat(box->fd, a.data, &sa, AT_SYMLINK_NOFOLLOW) != 0) {
		take_name(sc, m, name, false);
		goto out;
	}
	if (box->readonly || sc->update_only)
		goto out;
	if (sa.st_ino != sb.st_ino || sa.st_dev != sb.st_dev)
		give_new_name(sc, b.data, name, &sb);
	else if (sa.st_nlink > 1 && sb.st_nlink > 1) /* else renamed between the two calls, perhaps back again */
		unlinkat(box->fd, b.data, 0);        /* an interrupted rename by link and unlink */
out:
	str_fini(&a);
	str_fini(&b);
}

/* Renames a file whose name no list can hold (a line feed in it, nothing before the ':'). */
static void see_nameless(struct md_scan *sc, const char *name, bool in_new)
{
	struct md_box *box = sc->box;
	struct str path = STR_INIT;
	struct stat st;

	if (name[0] == '.' || box->readonly || sc->update_only)
		return;
	str_addf(&path, "%s/%s", in_new ? "new" : "cur", name);
	if (fstatat(box->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) == 0)
		give_new_name(sc, path.data, name, &st);
	str_fini(&path);
}

/* There is a file called NAME. */
static void see(struct md_scan *sc, const char *name, bool in_new)
{
	size_t base_len;
	struct md_msg *m;

	if (!md_name_valid(name)) {
		see_nameless(sc, name, in_new);
		return;
	}
	base_len = md_name_base_len(name);
	m = md_scan_find(sc, name, base_len);
	if (m == NULL) {
		add_fresh(sc, name, base_len, in_new);
		return;
	}
	if (m->in_pass && strcmp(m->name, name) != 0 && !m->in_new && !in_new)
		see_twice(sc, m, name);
	else
		take_name(sc, m, name, in_new);
	m->found = m->in_pass = true;
	m->proven = m->proven || sc->locked;
}

/* True if an earlier pass saw a message that the last one did not: probably deleted in between, and our stamp is later
 * than that. Only another scan can tell. */
static bool lost_between_passes(const struct md_scan *sc)
{
	for (size_t i = 0; i < sc->box->n; i++) {
		const struct md_msg *m = &sc->box->msgs[i];

		if (m->found && !m->in_pass && !m->in_new && !m->gone)
			return true;
	}
	for (size_t i = 0; i < sc->n_fresh; i++)
		if (!sc->fresh[i].in_pass)
			return true;
	return false;
}

/* One pass over cur/; *AT: its stamp before. Sets sc->stable if nobody changed it meanwhile. */
static enum md_err md_scan_pass(struct md_scan *sc, struct md_stamp *at)
{
	struct md_box *box = sc->box;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct md_stamp after;
	enum md_err e;

	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].in_pass = false;
	for (size_t i = 0; i < sc->n_fresh; i++)
		sc->fresh[i].in_pass = sc->fresh[i].in_new;
	md_stamp_take(at, box->fd, "cur");
	e = md_dirlist_read(box->root, box->fd, box->folder, "cur", MD_LIST_MESSAGES, &l);
	RACE("scan: the names of cur/ are known");
	if (e == MD_OK) {
		if (sc->hash.used == 0) { /* the first pass: allocate the full size at once */
			md_hash_fini(&sc->hash);
			md_hash_init(&sc->hash, l.n);
		}
		for (size_t i = 0; i < l.n; i++)
			see(sc, md_dirlist_name(&l, i), false);
		md_stamp_take(&after, box->fd, "cur");
		sc->quiet = md_stamp_quiet(sc->quiet, &sc->last, at, &after);
		sc->last = after;
		sc->stable = sc->quiet != 0 && !md_stamp_young(at, at->read_at_ms);
		sc->lost = lost_between_passes(sc);
	}
	md_dirlist_fini(&l);
	return e;
}

/* The number of messages of the view that the scan has not found. */
size_t md_scan_missing(const struct md_scan *sc)
{
	size_t n = 0;

	for (size_t i = 0; i < sc->box->n; i++)
		n += !sc->box->msgs[i].found && !sc->box->msgs[i].gone;
	return n;
}

/* Takes the lock if it is not held; false if that fails. */
bool md_scan_lock(struct md_scan *sc)
{
	if (!sc->locked && !sc->files_only && sc->lock_err == MD_OK) {
		sc->lock_err = md_lock_take(sc->box->root, sc->box->fd, sc->box->folder, &sc->lock);
		sc->locked = sc->lock_err == MD_OK;
	}
	return sc->locked;
}

bool md_scan_try_lock(struct md_scan *sc)
{
	struct md_root *r = sc->box->root;
	char why[MD_WHY_MAX];

	if (sc->locked || sc->lock_err != MD_OK)
		return sc->locked;
	memcpy(why, r->why, sizeof(why)); /* a busy lock is no failure */
	sc->locked = md_lock_try(r, sc->box->fd, sc->box->folder, &sc->lock) == MD_OK;
	memcpy(r->why, why, sizeof(why));
	return sc->locked;
}

bool md_scan_unwritable(enum md_err e)
{
	return e == MD_FULL || e == MD_PERM || e == MD_READONLY;
}

/* True if new/NAME, which ST describes, is in cur/ under that name already: a power cut kept both ends of a rename. */
static bool is_in_cur(const struct md_box *box, const char *name, const struct stat *st)
{
	struct str path = STR_INIT;
	struct stat there;
	bool same;

	str_addf(&path, "cur/%s%s", name, strchr(name, ':') == NULL ? ":2," : "");
	same = fstatat(box->fd, path.data, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st->st_ino &&
	    there.st_dev == st->st_dev;
	str_fini(&path);
	return same;
}

/* Moves one file from new/ to cur/; it is recent here. */
static void move_one(struct md_scan *sc, const char *name)
{
	struct md_box *box = sc->box;
	struct str path = STR_INIT, to = STR_INIT;
	struct stat st;
	size_t before;
	struct md_msg *m;

	before = sc->n_fresh;
	if (!md_name_valid(name)) {
		see_nameless(sc, name, true);
	} else if (md_move_new(box->fd, name, &to) == 0) {
		see(sc, to.data, false);
	} else if (errno == EEXIST) {
		str_addf(&path, "new/%s", name);
		if (fstatat(box->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) != 0)
			; /* moved by another session */
		else if (is_in_cur(box, name, &st))
			unlinkat(box->fd, path.data, 0);
		else
			give_new_name(sc, path.data, name, &st);
	} else if (errno != ENOENT) {
		enum md_err e = md_errno(errno);

		if (!sc->files_only && (e == MD_PERM || e == MD_READONLY)) {
			md_fail(box->root, e, errno, "cannot move new mail to cur/ of folder %s",
			    md_folder_text(box->folder));
			box->readonly = true;
		}
		see(sc, name, true);
	}
	if (sc->n_fresh > before) {
		m = &sc->fresh[sc->n_fresh - 1];
		m->recent = true;
	}
	str_fini(&path);
	str_fini(&to);
}

/* Reads new/, and moves its files to cur/ unless nothing may be moved. */
static enum md_err scan_new(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	enum md_err e;
	bool stays;

	sc->new_locked = sc->locked;
	md_stamp_take(&box->at_new, box->fd, "new");
	e = md_dirlist_read(box->root, box->fd, box->folder, "new", MD_LIST_MESSAGES, &l);
	if (e == MD_OK && l.n != 0 && !sc->update_only && !sc->locked && md_scan_lock(sc)) {
		md_dirlist_fini(&l);
		sc->new_locked = true;
		e = md_dirlist_read(box->root, box->fd, box->folder, "new", MD_LIST_MESSAGES, &l);
	}
	RACE("scan: the names of new/ are known");
	/* Without the lock it gets no UID and joins no view: if moved, it would be recent for nobody. */
	stays = sc->lock_err != MD_OK && !md_scan_unwritable(sc->lock_err);
	for (size_t i = 0; e == MD_OK && i < l.n; i++) {
		if (stays || box->readonly || sc->update_only)
			see(sc, md_dirlist_name(&l, i), true);
		else
			move_one(sc, md_dirlist_name(&l, i));
	}
	md_dirlist_fini(&l);
	return e;
}

enum md_err md_scan_look(struct md_scan *sc)
{
	enum md_err e = scan_new(sc);

	RACE("scan: new/ was read, cur/ not yet");
	return e == MD_OK ? md_scan_pass(sc, &sc->box->at_cur) : e;
}

bool md_scan_sure(const struct md_scan *sc)
{
	return sc->locked && sc->new_locked && (sc->stable || sc->quiet >= MD_SCAN_QUIET);
}

/* Reads new/ and cur/, as often as needed to be sure. */
static enum md_err scan_dirs(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = md_scan_look(sc);
	int passes = 0;

	RACE("scan: cur/ was read without the lock");
	/* A scan without the lock counts only if nobody changed the directory meanwhile. */
	if (e == MD_OK && !sc->stable && !sc->locked && (sc->n_fresh != 0 || md_scan_missing(sc) != 0) &&
	    md_scan_lock(sc))
		e = md_scan_look(sc);
	while (e == MD_OK && !sc->stable && md_scan_missing(sc) != 0 && ++passes < MD_SCAN_PASSES)
		e = md_scan_pass(sc, &box->at_cur);
	return e;
}

void md_msg_gone(struct md_box *box, struct md_msg *m)
{
	if (m->gone)
		return;
	m->gone = true;
	box->n_gone++;
	box->n_recent -= m->recent;
	box->dropped++;
}

static void scan_begin(struct md_scan *sc, struct md_box *box)
{
	memset(sc, 0, sizeof(*sc));
	sc->box = box;
	sc->lock = (struct md_lock)MD_LOCK_INIT;
	md_hash_box(&sc->hash, box);
	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].found = box->msgs[i].in_pass = box->msgs[i].proven = false;
}

void md_scan_end(struct md_scan *sc)
{
	md_lock_drop(&sc->lock);
	md_hash_fini(&sc->hash);
	for (size_t i = 0; i < sc->n_fresh; i++)
		mem_free(&sc->fresh[i].name);
	mem_free(&sc->fresh);
	mem_free(&sc->kept);
}

static enum md_err scan_keywords(struct md_scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;
	enum md_err e = MD_OK;

	if (sc->first || ch->added != 0 || md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR))
		e = md_kw_load(box, box->n - ch->added);
	if (e == MD_OK && sc->fold && md_scan_sure(sc) && !sc->again && !box->incomplete && md_kw_fold(box) != MD_OK)
		box->root->why[0] = '\0'; /* the changes stay pending: no harm done */
	return e;
}

enum md_err md_scan(struct md_box *box, bool first, struct md_changes *ch)
{
	struct md_scan sc;
	enum md_err e;

	scan_begin(&sc, box);
	box->hides = box->cache_rw = false;
	sc.first = first;
	sc.fold = !box->readonly && box->kw_pending > KW_PENDING_MAX && md_scan_lock(&sc);
	e = scan_dirs(&sc);
	/* The view must be complete: messages missing from it would lose their keywords. */
	for (int i = 1; e == MD_OK && sc.fold && !md_scan_sure(&sc) && i < MD_SCAN_PASSES; i++)
		e = md_scan_look(&sc);
	if (e == MD_NOTMAILDIR && !first)
		e = md_fail(box->root, MD_RESET, 0, "folder %s was deleted", md_folder_text(box->folder));
	if (e == MD_OK)
		e = md_scan_uids(&sc, ch);
	if (e == MD_OK)
		e = scan_keywords(&sc, ch);
	box->force_scan = e != MD_OK || sc.lost || sc.again;
	box->cache_due = true;
	ch->flagged += box->flagged;
	box->flagged = 0;
	md_scan_end(&sc);
	return e;
}

enum md_err md_scan_files(struct md_box *box)
{
	struct md_scan sc;
	enum md_err e = MD_OK;

	scan_begin(&sc, box);
	sc.files_only = true;
	if (scan_new(&sc) != MD_OK)
		box->root->why[0] = '\0'; /* the next login finds what is in there */
	for (int i = 0; i < MD_SCAN_PASSES && e == MD_OK && sc.quiet == 0; i++)
		e = md_scan_pass(&sc, &box->at_cur);
	if (e == MD_OK)
		md_scan_take_files(&sc);
	md_scan_end(&sc);
	return e;
}

/* Marks everything gone that the passes missed together with one lost message: if another program deleted thousands,
 * looking for each would cost a scan. While others rename files, a message whose file still has its known name is
 * there. */
static void mark_missing(struct md_scan *sc)
{
	struct md_box *box = sc->box;

	for (size_t i = 0; i < box->n; i++) {
		struct md_msg *m = &box->msgs[i];

		if (!m->found && !m->gone && (sc->stable || !md_msg_has_name(box, m)))
			md_msg_gone(box, m);
	}
}

/* One scan that moves nothing. */
static enum md_err look_only(struct md_scan *sc)
{
	struct md_stamp keep = sc->box->at_new, at;
	enum md_err e = scan_new(sc);

	sc->box->at_new = keep;
	return e == MD_OK ? md_scan_pass(sc, &at) : e;
}

enum md_err md_scan_again(struct md_scan *sc, struct md_box *box)
{
	enum md_err e = MD_OK;

	scan_begin(sc, box);
	sc->update_only = true;
	sc->locked = true;
	for (int i = 0; i < MD_SCAN_PASSES && e == MD_OK && !md_scan_sure(sc); i++)
		e = look_only(sc);
	return e;
}

enum md_err md_scan_refind(struct md_box *box, struct md_msg *m)
{
	struct md_scan sc;
	enum md_err e = MD_OK;

	scan_begin(&sc, box);
	sc.update_only = true;
	for (int i = 0; i < MD_SCAN_PASSES && e == MD_OK && !m->found && !sc.stable; i++)
		e = look_only(&sc);
	RACE("scan: a message was looked for again");
	box->force_scan = true;
	if (e == MD_OK && !m->found) {
		e = MD_GONE;
		md_msg_gone(box, m);
		mark_missing(&sc);
	}
	md_scan_end(&sc);
	return e;
}
