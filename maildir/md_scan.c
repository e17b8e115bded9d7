/* The scan of new/ and cur/.
 *
 * A directory that is read while others rename files in it may show a file twice or not at all, and one that was
 * added may be missed while a later one is seen. So a scan that found messages missing or new counts only if the
 * directory did not change meanwhile; else it is repeated under the folder's lock, in several passes whose results
 * are joined. Time stamps of directories advance in steps of the kernel's clock (10 ms at most, a second on
 * some file systems): a stamp younger than that is taken for changed. */
#include "maildir/md_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"

enum {
	PASSES_MAX = 4,
	CLOCK_STEP_MS = 20, CLOCK_STEP_COARSE_MS = 1100,
	SETTLE_MS = 2000,      /* after which a directory that was read soon after a change is read once more */
	FUTURE_MS = 5000,      /* time stamps further ahead say nothing */
	RETRY_MS = 5000,
	KW_PENDING_MAX = 64
};

struct scan {
	struct md_box *box;
	struct md_hash hash;   /* values below box->n: the view; above: fresh */
	struct md_msg *fresh;  /* files that are not in the view */
	size_t n_fresh, cap;
	bool locked, stable, first;
	bool write;            /* the UID list must be written: it lacks messages */
	bool tidy;             /* it should be: it has messages that are gone */
	bool update_only;      /* md_scan_refind(): nothing may be moved */
	struct md_lock lock;
	enum md_err lock_err;  /* why there is no lock although one was wanted */
};

int64_t md_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void md_stamp_take(struct md_stamp *s, int dirfd, const char *sub)
{
	struct stat st;

	memset(s, 0, sizeof(*s));
	s->read_at_ms = md_now_ms();
	if (fstatat(dirfd, sub, &st, 0) != 0)
		return;
	s->s = st.st_mtim.tv_sec;
	s->ns = st.st_mtim.tv_nsec;
	s->ino = st.st_ino;
}

static bool stamp_same(const struct md_stamp *a, const struct md_stamp *b)
{
	return a->s == b->s && a->ns == b->ns && a->ino == b->ino;
}

/* Was AT taken so soon after the directory's last change that another may have got the same time stamp? */
static bool stamp_young(const struct md_stamp *at, int64_t now_ms)
{
	int64_t age = at->read_at_ms - (at->s * 1000 + at->ns / 1000000);

	if (at->ino == 0 || age < -FUTURE_MS)
		return false;
	if (age < (at->ns != 0 ? CLOCK_STEP_MS : CLOCK_STEP_COARSE_MS))
		return true;
	return age < SETTLE_MS && now_ms - at->read_at_ms > SETTLE_MS;
}

bool md_stamp_dirty(const struct md_stamp *at, int dirfd, const char *sub)
{
	struct md_stamp now;

	md_stamp_take(&now, dirfd, sub);
	return !stamp_same(at, &now) || stamp_young(at, now.read_at_ms);
}

bool md_scan_unchanged(struct md_box *box)
{
	if (box->force_scan || md_stamp_dirty(&box->at_new, box->fd, "new") || md_stamp_dirty(&box->at_cur, box->fd, "cur") ||
	    md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR))
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

static const char *scan_name(const void *arg, uint32_t val, size_t *len_out)
{
	const struct scan *sc = arg;
	const struct md_msg *m = val < sc->box->n ? &sc->box->msgs[val] : &sc->fresh[val - sc->box->n];

	*len_out = m->base_len;
	return m->name;
}

static struct md_msg *scan_find(struct scan *sc, const char *name, size_t base_len)
{
	uint32_t v = md_hash_find(&sc->hash, name, base_len, scan_name, sc);

	if (v == MD_HASH_NONE)
		return NULL;
	return v < sc->box->n ? &sc->box->msgs[v] : &sc->fresh[v - sc->box->n];
}

static bool in_view(const struct scan *sc, const struct md_msg *m)
{
	return sc->box->n > 0 && m >= sc->box->msgs && m < sc->box->msgs + sc->box->n;
}

static struct md_msg *add_fresh(struct scan *sc, const char *name, size_t base_len, bool in_new)
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
	m->mtime = m->bytes = m->octets = MD_UNKNOWN;
	md_hash_add(&sc->hash, name, base_len, (uint32_t)(sc->box->n + sc->n_fresh));
	sc->n_fresh++;
	return m;
}

/* M's file is now called NAME. */
static void take_name(struct scan *sc, struct md_msg *m, const char *name, bool in_new)
{
	uint8_t flags = (uint8_t)md_name_flags(name);

	m->in_new = in_new;
	if (strcmp(m->name, name) == 0)
		return;
	mem_free(&m->name);
	m->name = mem_strdup(name);
	if (m->flags == flags)
		return;
	m->flags = flags;
	if (in_view(sc, m) && !m->gone && !m->changed) {
		m->changed = true;
		sc->box->flagged++;
	}
}

static void see(struct scan *sc, const char *name, bool in_new);

/* The file OLD (a path) gets a name of its own in cur/: its base belongs to another message already. */
static void give_new_name(struct scan *sc, const char *old, const char *name, const struct stat *st)
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
	str_fini(&tmp);
	str_fini(&base);
	str_fini(&to);
}

/* cur/ seems to hold two files of one base. Mostly it is one that was renamed while we read. */
static void see_twice(struct scan *sc, struct md_msg *m, const char *name)
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
	if (sa.st_ino == sb.st_ino && sa.st_dev == sb.st_dev)
		unlinkat(box->fd, b.data, 0); /* a rename by link and unlink that was cut off */
	else
		give_new_name(sc, b.data, name, &sb);
out:
	str_fini(&a);
	str_fini(&b);
}

/* There is a file called NAME. */
static void see(struct scan *sc, const char *name, bool in_new)
{
	size_t base_len;
	struct md_msg *m;

	if (!md_name_valid(name))
		return;
	base_len = md_name_base_len(name);
	m = scan_find(sc, name, base_len);
	if (m == NULL) {
		add_fresh(sc, name, base_len, in_new);
		return;
	}
	if (m->in_pass && strcmp(m->name, name) != 0 && !m->in_new && !in_new)
		see_twice(sc, m, name);
	else
		take_name(sc, m, name, in_new);
	m->found = m->in_pass = true;
}

/* One pass over cur/. */
static enum md_err pass(struct scan *sc, struct md_stamp *at)
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
	e = md_dirlist_read(box->root, box->fd, box->folder, "cur", false, &l);
	if (e == MD_OK) {
		for (size_t i = 0; i < l.n; i++)
			see(sc, md_dirlist_name(&l, i), false);
		md_stamp_take(&after, box->fd, "cur");
		sc->stable = stamp_same(at, &after) && !stamp_young(at, at->read_at_ms);
	}
	md_dirlist_fini(&l);
	return e;
}

/* Messages that the view has and the scan has not found. */
static size_t missing(const struct scan *sc)
{
	size_t n = 0;

	for (size_t i = 0; i < sc->box->n; i++)
		n += !sc->box->msgs[i].found && !sc->box->msgs[i].gone;
	return n;
}

/* Takes the lock if it is not held; false if there can be none. */
static bool want_lock(struct scan *sc)
{
	if (!sc->locked && sc->lock_err == MD_OK) {
		sc->lock_err = md_lock_take(sc->box->root, sc->box->fd, sc->box->folder, &sc->lock);
		sc->locked = sc->lock_err == MD_OK;
	}
	return sc->locked;
}

/* One file of new/ goes to cur/ and is recent here. */
static void move_one(struct scan *sc, const char *name)
{
	struct md_box *box = sc->box;
	struct str path = STR_INIT, to = STR_INIT;
	struct stat st;
	size_t before;
	struct md_msg *m;

	if (!md_name_valid(name))
		return;
	before = sc->n_fresh;
	if (md_move_new(box->fd, name, &to) == 0) {
		see(sc, to.data, false);
	} else if (errno == EEXIST) {
		str_addf(&path, "new/%s", name);
		if (fstatat(box->fd, path.data, &st, AT_SYMLINK_NOFOLLOW) == 0)
			give_new_name(sc, path.data, name, &st);
	} else if (errno != ENOENT) {
		enum md_err e = md_errno(errno);

		if (e == MD_PERM || e == MD_READONLY) {
			md_fail(box->root, e, errno, "cannot move new mail to cur/ of folder %s", md_folder_text(box->folder));
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

/* new/: moved to cur/, or only looked at. */
static enum md_err scan_new(struct scan *sc)
{
	struct md_box *box = sc->box;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	enum md_err e;

	md_stamp_take(&box->at_new, box->fd, "new");
	e = md_dirlist_read(box->root, box->fd, box->folder, "new", false, &l);
	if (e == MD_OK && l.n != 0 && !sc->update_only)
		want_lock(sc);
	for (size_t i = 0; e == MD_OK && i < l.n; i++) {
		if (box->readonly || sc->update_only)
			see(sc, md_dirlist_name(&l, i), true);
		else
			move_one(sc, md_dirlist_name(&l, i));
	}
	md_dirlist_fini(&l);
	return e;
}

/* new/ and cur/, as often as needed to be sure. */
static enum md_err scan_dirs(struct scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = scan_new(sc);
	int passes = 0;

	if (e == MD_OK)
		e = pass(sc, &box->at_cur);
	/* A scan without the lock counts only if nobody changed the directory under it. */
	if (e == MD_OK && !sc->stable && !sc->locked && (sc->n_fresh != 0 || missing(sc) != 0) && want_lock(sc))
		e = pass(sc, &box->at_cur);
	while (e == MD_OK && !sc->stable && missing(sc) != 0 && ++passes < PASSES_MAX)
		e = pass(sc, &box->at_cur);
	return e;
}

static int by_name(const void *a, const void *b)
{
	return md_name_order(((const struct md_msg *)a)->name, ((const struct md_msg *)b)->name);
}

static int by_uid(const void *a, const void *b)
{
	uint32_t ua = ((const struct md_msg *)a)->uid, ub = ((const struct md_msg *)b)->uid;

	return ua < ub ? -1 : ua > ub;
}

/* Gives fresh messages the UIDs that the list has for them. False if the list contradicts the view. */
static bool take_listed(struct scan *sc)
{
	struct md_box *box = sc->box;
	const struct md_uidlist *l = &box->uids;

	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].in_pass = false; /* from here on: is in the list */
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		struct md_msg *m = scan_find(sc, name, strlen(name));

		if (m == NULL)
			continue;
		if (in_view(sc, m) && m->uid != l->e[i].uid && !m->gone)
			return false;
		if (!in_view(sc, m) && m->uid == 0)
			m->uid = l->e[i].uid;
		m->in_pass = true;
	}
	/* UIDs that we could not record must still be free. */
	for (size_t i = 0; i < box->n && !box->uid_sticky; i++)
		if (box->msgs[i].found && !box->msgs[i].in_pass && box->msgs[i].uid < l->uidnext)
			return false;
	return true;
}

static size_t unlisted(const struct scan *sc)
{
	size_t n = 0;

	for (size_t i = 0; i < sc->n_fresh; i++)
		n += sc->fresh[i].uid == 0;
	return n;
}

static const char *fresh_stem(const void *arg, uint32_t val, size_t *len_out)
{
	const struct scan *sc = arg;

	*len_out = md_name_stem_len(sc->fresh[val].name);
	return sc->fresh[val].name;
}

/* Files whose names differ from the list's only in ",S=...": someone added or removed it. */
static void take_listed_by_stem(struct scan *sc)
{
	const struct md_uidlist *l = &sc->box->uids;
	struct md_hash h;

	md_hash_init(&h, sc->n_fresh);
	for (size_t i = 0; i < sc->n_fresh; i++) {
		size_t len = md_name_stem_len(sc->fresh[i].name);

		if (sc->fresh[i].uid == 0 && md_hash_find(&h, sc->fresh[i].name, len, fresh_stem, sc) == MD_HASH_NONE)
			md_hash_add(&h, sc->fresh[i].name, len, (uint32_t)i);
	}
	for (size_t i = 0; h.used != 0 && i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		uint32_t v;

		if (scan_find(sc, name, strlen(name)) != NULL)
			continue;
		v = md_hash_find(&h, name, md_name_stem_len(name), fresh_stem, sc);
		if (v != MD_HASH_NONE && sc->fresh[v].uid == 0)
			sc->fresh[v].uid = l->e[i].uid;
	}
	md_hash_fini(&h);
}

/* UIDs for the messages that have none, in Courier's order. False if there are no numbers left. */
static bool give_uids(struct scan *sc)
{
	struct md_box *box = sc->box;
	uint32_t next = MAX(MAX(box->uids.uidnext, box->uidnext), 1u);

	if (sc->n_fresh != 0) /* not on a null pointer */
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_name);
	for (size_t i = 0; i < sc->n_fresh; i++) {
		if (sc->fresh[i].uid != 0)
			continue;
		if (next == UINT32_MAX)
			return false;
		sc->fresh[i].uid = next++;
		sc->write = true;
	}
	box->uids.uidnext = next;
	if (sc->n_fresh != 0) /* not on a null pointer */
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_uid);
	for (size_t i = 1; i < sc->n_fresh; i++)
		if (sc->fresh[i].uid == sc->fresh[i - 1].uid)
			return false; /* a list that names two files alike */
	return true;
}

/* All UIDs anew under a new UIDVALIDITY: only when the old ones cannot go on. */
static void renumber(struct scan *sc)
{
	struct md_uidlist *l = &sc->box->uids;
	uint32_t now = (uint32_t)(md_now_ms() / 1000 - MD_UIDLIST_EPOCH), old = l->uidvalidity;

	md_uidlist_clear(l);
	l->uidvalidity = MAX(now, old + 1) != 0 ? MAX(now, old + 1) : 1;
	sc->box->uidnext = 0;
	for (size_t i = 0; i < sc->n_fresh; i++)
		sc->fresh[i].uid = 0;
	(void)give_uids(sc);
	sc->write = true;
}

/* Puts the list together from what the scan found, and writes it. */
static enum md_err write_list(struct scan *sc)
{
	struct md_box *box = sc->box;
	struct md_uidlist *l = &box->uids;
	enum md_err e;

	l->n = 0;
	str_clear(&l->text);
	for (size_t i = 0; i < box->n; i++)
		if (box->msgs[i].found)
			md_uidlist_add(l, box->msgs[i].uid, box->msgs[i].name, box->msgs[i].base_len);
	for (size_t i = 0; i < sc->n_fresh; i++)
		md_uidlist_add(l, sc->fresh[i].uid, sc->fresh[i].name, sc->fresh[i].base_len);
	e = md_uidlist_write(box->root, box->fd, box->folder, l);
	if (e == MD_OK)
		box->dropped = 0;
	return e;
}

static bool is_unwritable(enum md_err e)
{
	return e == MD_FULL || e == MD_PERM || e == MD_READONLY;
}

/* Reads the list if it is not the one we know. MD_RESET: it is another folder's by now. */
static enum md_err read_list(struct scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = md_uidlist_read(box->root, box->fd, box->folder, &box->uids);

	if (e == MD_GONE) {
		/* Someone deleted it: what we told our client stays true. */
		box->uids.uidvalidity = box->uidvalidity;
		box->uids.uidnext = box->uidnext;
		sc->write = true;
		return MD_OK;
	}
	if (e == MD_OK && box->uidvalidity != 0 && box->uids.uidvalidity != box->uidvalidity)
		return md_fail(box->root, MD_RESET, 0, "folder %s has got a new UIDVALIDITY", md_folder_text(box->folder));
	return e;
}

/* Reads the list and takes from it what it has; under the lock if something must be added to it. */
static enum md_err consult_list(struct scan *sc)
{
	struct md_box *box = sc->box;

	for (;;) {
		bool had_lock = sc->locked;
		enum md_err e = read_list(sc);

		if (e != MD_OK)
			return e;
		if (!take_listed(sc))
			return md_fail(box->root, MD_RESET, 0, "UIDs of folder %s were given anew", md_folder_text(box->folder));
		if ((unlisted(sc) == 0 && !sc->write) || had_lock)
			return MD_OK;
		if (!want_lock(sc))
			return is_unwritable(sc->lock_err) ? MD_OK : sc->lock_err;
		/* Only now nobody else adds to list and folder: look at both again. */
		for (size_t i = 0; i < sc->n_fresh; i++)
			sc->fresh[i].uid = 0;
		e = pass(sc, &box->at_cur);
		if (e != MD_OK)
			return e;
	}
}

/* UIDs for everything in fresh, recorded if that is possible. */
static enum md_err assign(struct scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = consult_list(sc);

	if (e != MD_OK)
		return e;
	if (unlisted(sc) != 0)
		take_listed_by_stem(sc);
	if (!give_uids(sc)) {
		if (!sc->first)
			return md_fail(box->root, MD_RESET, 0, "UIDs of folder %s are used up", md_folder_text(box->folder));
		renumber(sc);
	}
	if (!sc->write && !(sc->tidy && sc->locked))
		return MD_OK;
	e = sc->locked ? write_list(sc) : sc->lock_err;
	if (e != MD_OK && !is_unwritable(e))
		return e;
	if (e == MD_OK || sc->write)
		box->uid_sticky = e == MD_OK;
	if (e == MD_OK)
		return MD_OK;
	box->retry_ms = md_now_ms();
	if (box->uids.uidvalidity == 0)
		box->uids.uidvalidity = (uint32_t)(md_now_ms() / 1000 - MD_UIDLIST_EPOCH);
	return MD_OK;
}

/* The fresh messages become part of the view. */
static enum md_err join(struct scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;

	if (sc->n_fresh != 0 && box->n != 0 && sc->fresh[0].uid <= box->msgs[box->n - 1].uid)
		return md_fail(box->root, MD_RESET, 0, "UIDs of folder %s are not in order", md_folder_text(box->folder));
	if (box->n + sc->n_fresh > box->cap) {
		/* A quarter to spare where messages come one by one; nothing for a folder that is only read. */
		box->cap = box->n + sc->n_fresh + (sc->first ? 0 : (box->n + sc->n_fresh) / 4 + 8);
		box->msgs = mem_grow(box->msgs, box->cap * sizeof(*box->msgs));
	}
	for (size_t i = 0; i < sc->n_fresh; i++)
		box->n_recent += sc->fresh[i].recent;
	if (sc->n_fresh != 0)
		memcpy(box->msgs + box->n, sc->fresh, sc->n_fresh * sizeof(*sc->fresh));
	box->n += sc->n_fresh;
	ch->added += sc->n_fresh;
	sc->n_fresh = 0;
	return MD_OK;
}

static void mark_gone(struct scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;

	for (size_t i = 0; i < box->n; i++) {
		struct md_msg *m = &box->msgs[i];

		if (m->found || m->gone)
			continue;
		m->gone = true;
		box->n_gone++;
		box->n_recent -= m->recent;
		box->dropped++;
		ch->gone++;
	}
}

static void scan_begin(struct scan *sc, struct md_box *box)
{
	memset(sc, 0, sizeof(*sc));
	sc->box = box;
	sc->lock.dirfd = -1;
	md_hash_box(&sc->hash, box);
	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].found = box->msgs[i].in_pass = false;
}

static void scan_end(struct scan *sc)
{
	md_lock_drop(&sc->lock);
	md_hash_fini(&sc->hash);
	for (size_t i = 0; i < sc->n_fresh; i++)
		mem_free(&sc->fresh[i].name);
	mem_free(&sc->fresh);
}

/* UIDs of what is new; the list without what is gone. A large list is not written for each message that goes. */
static enum md_err scan_uids(struct scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;
	size_t dropped = box->dropped + missing(sc);
	enum md_err e = MD_OK;

	sc->tidy = !box->readonly && dropped > box->n / 64;
	sc->write = !box->uid_sticky;
	/* An append by someone else may have written the list already and its file not yet: only a scan under the lock
	 * tells what is missing for good. */
	if (sc->tidy && !sc->locked && want_lock(sc))
		e = pass(sc, &box->at_cur);
	if (e == MD_OK && (sc->first || sc->n_fresh != 0 || sc->write || (sc->tidy && sc->locked))) {
		e = assign(sc);
		if (e == MD_OK) {
			box->uidvalidity = box->uids.uidvalidity;
			box->uidnext = box->uids.uidnext;
			e = join(sc, ch);
		}
	}
	if (e == MD_OK)
		mark_gone(sc, ch);
	/* Entries are memory that an idle session needs not; what the file was is kept. */
	mem_free(&box->uids.e);
	box->uids.n = box->uids.cap = 0;
	str_fini(&box->uids.text);
	return e;
}

static enum md_err scan_keywords(struct scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;
	bool grew = false;
	enum md_err e = MD_OK;

	if (sc->first || ch->added != 0 || md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR))
		e = md_kw_load(box, box->n - ch->added, &grew);
	if (e == MD_OK && !box->readonly && box->kw_pending > KW_PENDING_MAX && sc->locked && md_kw_fold(box) != MD_OK)
		box->root->why[0] = '\0'; /* it stays pending, no harm done */
	ch->new_keywords |= grew;
	return e;
}

enum md_err md_scan(struct md_box *box, bool first, struct md_changes *ch)
{
	struct scan sc;
	enum md_err e;

	scan_begin(&sc, box);
	sc.first = first;
	if (!box->readonly && box->kw_pending > KW_PENDING_MAX)
		want_lock(&sc);
	e = scan_dirs(&sc);
	if (e == MD_NOTMAILDIR && !first)
		e = md_fail(box->root, MD_RESET, 0, "folder %s was deleted", md_folder_text(box->folder));
	if (e == MD_OK)
		e = scan_uids(&sc, ch);
	if (e == MD_OK)
		e = scan_keywords(&sc, ch);
	box->force_scan = e != MD_OK;
	ch->flagged += box->flagged;
	box->flagged = 0;
	scan_end(&sc);
	return e;
}

enum md_err md_scan_refind(struct md_box *box, struct md_msg *m)
{
	struct scan sc;
	struct md_stamp at;
	enum md_err e = MD_OK;

	scan_begin(&sc, box);
	sc.update_only = true;
	for (int i = 0; i < PASSES_MAX && e == MD_OK && !m->found; i++) {
		struct md_stamp keep = box->at_new;

		e = scan_new(&sc);
		box->at_new = keep;
		if (e == MD_OK)
			e = pass(&sc, &at);
		if (sc.stable)
			break;
	}
	box->force_scan = true;
	if (e == MD_OK && !m->found) {
		e = MD_GONE;
		if (!m->gone) {
			m->gone = true;
			box->n_gone++;
			box->n_recent -= m->recent;
			box->dropped++;
		}
	}
	scan_end(&sc);
	return e;
}
