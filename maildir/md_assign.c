/* Gives UIDs to what a scan found: those in the list, or new ones under the lock. */
#include <stdlib.h>
#include <string.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_name.h"
#include "maildir/md_recent.h"
#include "maildir/md_scan_private.h"

/* A folder with fewer UIDs left gets a new UIDVALIDITY when opened: an open session cannot get one. */
enum { UIDS_LEFT_MIN = 1 << 16 };

static int by_name(const void *a, const void *b)
{
	return md_name_order(((const struct md_msg *)a)->name, ((const struct md_msg *)b)->name);
}

static int by_uid(const void *a, const void *b)
{
	uint32_t ua = ((const struct md_msg *)a)->uid, ub = ((const struct md_msg *)b)->uid;

	return ua < ub ? -1 : ua > ub;
}

/* The list has another UID for a message of the view, or may have given its UID to another message. For our client the
 * message that it knows is gone, and the one in the list is new: the next scan finds it. */
static void replace(struct md_scan *sc, struct md_msg *m)
{
	md_msg_gone(sc->box, m);
	sc->n_replaced++;
	sc->again = true;
}

/* Gives fresh messages the UIDs that the list has for them. */
static void take_listed(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	const struct md_uidlist *l = &box->uids;

	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].in_pass = false; /* in_pass means "in the list" from here on */
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		struct md_msg *m = md_scan_find(sc, name, strlen(name));

		if (m == NULL || (md_scan_in_view(sc, m) && m->in_pass))
			continue; /* of two lines with the same name the first counts */
		if (md_scan_in_view(sc, m) && m->uid != l->e[i].uid && !m->gone)
			replace(sc, m);
		if (!md_scan_in_view(sc, m) && m->uid == 0)
			m->uid = l->e[i].uid;
		m->in_pass = true;
	}
	/* UIDs that we could not record may be in use by now. */
	for (size_t i = 0; i < box->n && !box->uid_sticky && !sc->no_list; i++)
		if (box->msgs[i].found && !box->msgs[i].in_pass && !box->msgs[i].gone && box->msgs[i].uid < l->uidnext)
			replace(sc, &box->msgs[i]);
}

static size_t unlisted(const struct md_scan *sc)
{
	size_t n = 0;

	for (size_t i = 0; i < sc->n_fresh; i++)
		n += sc->fresh[i].uid == 0 && !sc->fresh[i].gone;
	return n;
}

static const char *fresh_stem(const void *arg, uint32_t val, size_t *len_out)
{
	const struct md_scan *sc = arg;

	*len_out = md_name_stem_len(sc->fresh[val].name);
	return sc->fresh[val].name;
}

/* Files whose names differ from the list's only in ",S=...": someone added or removed it. */
static void take_listed_by_stem(struct md_scan *sc)
{
	const struct md_uidlist *l = &sc->box->uids;
	struct md_hash h;

	md_hash_init(&h, sc->n_fresh);
	for (size_t i = 0; i < sc->n_fresh; i++) {
		size_t len = md_name_stem_len(sc->fresh[i].name);

		if (sc->fresh[i].uid == 0 && !sc->fresh[i].gone &&
		    md_hash_find(&h, sc->fresh[i].name, len, fresh_stem, sc) == MD_HASH_NONE)
			md_hash_add(&h, sc->fresh[i].name, len, (uint32_t)i);
	}
	for (size_t i = 0; h.used != 0 && i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		uint32_t v;

		if (md_scan_find(sc, name, strlen(name)) != NULL)
			continue;
		v = md_hash_find(&h, name, md_name_stem_len(name), fresh_stem, sc);
		if (v != MD_HASH_NONE && sc->fresh[v].uid == 0)
			sc->fresh[v].uid = l->e[i].uid;
	}
	md_hash_fini(&h);
}

/* True if all UIDs differ. If the list gives one twice, takes it from all but one. */
static bool all_differ(struct md_scan *sc)
{
	bool ok = true;

	for (size_t i = 1; i < sc->n_fresh; i++)
		if (sc->fresh[i].uid != 0 && sc->fresh[i].uid == sc->fresh[i - 1].uid && !sc->fresh[i - 1].gone) {
			sc->fresh[i - 1].uid = 0;
			ok = false;
		}
	return ok;
}

/* Gives UIDs to messages without, in Courier's order. False if some are left without. */
static bool give_uids(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	uint32_t next = MAX(MAX(box->uids.uidnext, box->uidnext), 1u);
	bool enough = true;

	if (sc->n_fresh != 0)
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_name);
	for (size_t i = 0; i < sc->n_fresh; i++) {
		if (sc->fresh[i].uid != 0 || sc->fresh[i].gone)
			continue;
		enough = next != UINT32_MAX;
		if (!enough)
			break;
		sc->fresh[i].uid = next++;
		sc->write = true;
	}
	box->uids.uidnext = next;
	if (sc->n_fresh != 0)
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_uid);
	return all_differ(sc) && enough;
}

/* An open folder keeps its UIDVALIDITY: mail without a UID appears when it is reopened. */
static void say_used_up(const struct md_box *box)
{
	if (!box->incomplete) /* else logged before */
		log_warn("%.120s: folder %s has no UIDs left for new mail; %s", box->root->path,
		    md_folder_text(box->folder), md_uidlist_used_up(&box->uids));
}

static bool can_renumber(const struct md_scan *sc)
{
	return sc->first && md_uidlist_above(sc->box->uids.uidvalidity) != 0;
}

static bool nearly_used_up(const struct md_scan *sc)
{
	return can_renumber(sc) && sc->box->uids.uidnext > UINT32_MAX - UIDS_LEFT_MIN;
}

/* Messages stored since the last session are recent for the session that takes the mark under the lock, including those
 * it has already seen while the lock was busy. Read-only sessions see the mark but do not take it. */
static void take_recent(struct md_scan *sc, uint32_t uidvalidity)
{
	struct md_box *box = sc->box;

	sc->first_recent = MD_RECENT_NONE;
	if (box->readonly)
		sc->first_recent = md_recent_first(box->fd, uidvalidity);
	else if (sc->locked)
		sc->first_recent = md_recent_take(box->fd, uidvalidity);
	for (size_t i = box->n; !box->readonly && i > 0 && box->msgs[i - 1].uid >= sc->first_recent; i--) {
		struct md_msg *m = &box->msgs[i - 1];

		if (m->gone || m->recent)
			continue;
		m->recent = true;
		box->n_recent++;
		box->flagged += !m->changed;
		m->changed = true;
	}
}

/* Gives all messages new UIDs under a new UIDVALIDITY: only when the old UIDs cannot be kept. */
static void renumber(struct md_scan *sc)
{
	struct md_uidlist *l = &sc->box->uids;
	uint32_t old = l->uidvalidity;

	md_uidlist_clear(l);
	l->uidvalidity = md_uidlist_above(old);
	sc->box->uidnext = 0;
	sc->n_kept = 0;
	take_recent(sc, old);
	for (size_t i = 0; i < sc->n_fresh; i++) {
		struct md_msg *m = &sc->fresh[i];

		m->recent = m->recent || (m->uid != 0 && m->uid >= sc->first_recent);
		m->uid = 0;
	}
	(void)give_uids(sc);
	sc->write = true;
}

struct entry {
	uint32_t uid;
	const char *name;
	size_t len;
};

static int entry_by_uid(const void *a, const void *b)
{
	uint32_t ua = ((const struct entry *)a)->uid, ub = ((const struct entry *)b)->uid;

	return ua < ub ? -1 : ua > ub;
}

static size_t add_found(struct entry *e, const struct md_msg *m, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++)
		if (m[i].found && !m[i].gone && m[i].uid != 0)
			e[k++] = (struct entry){ m[i].uid, m[i].name, m[i].base_len };
	return k;
}

/* Writes the list: what the scan found, and the entries that it keeps. */
static enum md_err write_list(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	struct md_uidlist *l = &box->uids, out = { .uidvalidity = l->uidvalidity, .uidnext = l->uidnext };
	struct entry *list = mem_array(box->n + sc->n_fresh + sc->n_kept, sizeof(*list));
	size_t n = add_found(list, box->msgs, box->n);
	bool ordered = true;
	enum md_err e;

	n += add_found(list + n, sc->fresh, sc->n_fresh);
	for (size_t i = 0; i < sc->n_kept; i++) {
		const char *name = md_uidlist_name(l, sc->kept[i]);

		list[n++] = (struct entry){ l->e[sc->kept[i]].uid, name, strlen(name) };
	}
	for (size_t i = 1; i < n; i++)
		ordered = ordered && list[i - 1].uid < list[i].uid;
	if (!ordered)
		qsort(list, n, sizeof(*list), entry_by_uid);
	for (size_t i = 0; i < n; i++)
		if (i == 0 || list[i].uid != list[i - 1].uid) /* else the name changed only in ",S=" */
			md_uidlist_add(&out, list[i].uid, list[i].name, list[i].len);
	mem_free(&list);
	e = md_uidlist_write(box->root, box->fd, box->folder, &out);
	md_uidlist_fini(l);
	*l = out;
	if (e == MD_OK)
		box->dropped = sc->n_kept;
	return e;
}

/* True if a list with another UIDVALIDITY has the UIDs that our client knows: the folder was renamed to a name that was
 * used before (md_tree_rename()). Under the old name, which our client knows, nothing changed. */
static bool same_uids(struct md_scan *sc)
{
	const struct md_uidlist *l = &sc->box->uids;
	size_t same = 0;

	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		const struct md_msg *m = md_scan_find(sc, name, strlen(name));

		if (m == NULL || !md_scan_in_view(sc, m) || m->gone)
			continue;
		if (m->uid != l->e[i].uid)
			return false;
		same++;
	}
	return l->uidnext >= sc->box->uidnext && (same != 0 || sc->box->n == sc->box->n_gone + md_scan_missing(sc));
}

/* Reads the list. MD_RESET: it belongs to another folder by now. */
static enum md_err read_list(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = md_uidlist_read(box->root, box->fd, box->folder, &box->uids);

	sc->no_list = e == MD_GONE;
	if (e == MD_GONE) {
		/* The list was deleted: the UIDs sent to our client stay valid. */
		box->uids.uidvalidity = box->uidvalidity;
		box->uids.uidnext = box->uidnext;
		sc->write = true;
		return MD_OK;
	}
	if (e != MD_OK || box->uidvalidity == 0 || box->uids.uidvalidity == box->uidvalidity)
		return e;
	if (!same_uids(sc))
		return md_fail(box->root, MD_RESET, 0, "folder %s got a new UIDVALIDITY", md_folder_text(box->folder));
	/* Under the UIDVALIDITY that our client keeps, UIDs below box->uidnext may have been other messages'. */
	box->uid_highest = MAX(box->uid_highest, box->uidnext - 1);
	return MD_OK;
}

/* The number of listed messages that the scan has not found. */
static size_t unfound(struct md_scan *sc)
{
	const struct md_uidlist *l = &sc->box->uids;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		const struct md_msg *m = md_scan_find(sc, name, strlen(name));

		n += m == NULL || !m->found;
	}
	return n;
}

/* Under the lock: reads the directories again until all listed messages are found, or certainly missing. One that was
 * renamed during a read only seems to be missing, and would lose its UID. */
static enum md_err look_again(struct md_scan *sc)
{
	enum md_err e = MD_OK;

	for (int i = 0; e == MD_OK && !md_scan_sure(sc) && i < MD_SCAN_PASSES && unfound(sc) != 0; i++) {
		e = md_scan_look(sc);
		if (e == MD_OK)
			take_listed(sc);
	}
	return e;
}

/* Reads the list and takes UIDs from it; under the lock if the list needs additions. */
static enum md_err consult_list(struct md_scan *sc)
{
	for (;;) {
		bool had_lock = sc->locked;
		enum md_err e = read_list(sc);

		RACE("assign: the list was read without the lock");
		if (e != MD_OK)
			return e;
		take_listed(sc);
		sc->write = sc->write || nearly_used_up(sc);
		if (had_lock)
			return look_again(sc);
		if (unlisted(sc) == 0 && !sc->write)
			return MD_OK;
		if (!md_scan_lock(sc))
			return md_scan_unwritable(sc->lock_err) ? MD_OK : sc->lock_err;
		/* Neither list nor folder grows under the lock: check both again. */
		for (size_t i = 0; i < sc->n_fresh; i++)
			sc->fresh[i].uid = 0;
		e = md_scan_look(sc);
		if (e != MD_OK)
			return e;
	}
}

/* Gives no UID to a file that was seen before we had the lock, but not since: another session may have given it one,
 * deleted it and forgotten it by now. If it still exists, the next scan finds it. */
static void pass_over_unproven(struct md_scan *sc)
{
	for (size_t i = 0; i < sc->n_fresh && sc->locked; i++) {
		struct md_msg *m = &sc->fresh[i];

		if (m->proven)
			continue;
		m->gone = m->uid == 0 || md_scan_sure(sc);
		sc->again = true;
	}
}

/* Keeps entries whose file may still exist: if dropped, it would come back with another UID. */
static void keep_listed(struct md_scan *sc)
{
	const struct md_uidlist *l = &sc->box->uids;

	if (!sc->locked || l->n == 0)
		return;
	sc->kept = mem_array(l->n, sizeof(*sc->kept));
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		const struct md_msg *m = md_scan_find(sc, name, strlen(name));
		bool found = m != NULL && m->found;

		if (found ? m->gone : !md_scan_sure(sc))
			sc->kept[sc->n_kept++] = (uint32_t)i;
	}
}

/* Gives UIDs to all fresh messages, and records them if possible. */
static enum md_err assign(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = consult_list(sc);
	bool enough;

	if (e != MD_OK)
		return e;
	pass_over_unproven(sc);
	if (unlisted(sc) != 0)
		take_listed_by_stem(sc);
	keep_listed(sc);
	enough = give_uids(sc);
	if (can_renumber(sc) && (!enough || (sc->locked && nearly_used_up(sc))))
		renumber(sc);
	else if (!enough)
		say_used_up(box);
	if (!sc->write && !(sc->tidy && md_scan_sure(sc)))
		return MD_OK;
	RACE("assign: UIDs are given, the list is not written");
	e = sc->locked ? write_list(sc) : sc->lock_err;
	if (e != MD_OK && !md_scan_unwritable(e))
		return e;
	if (e == MD_OK || sc->write)
		box->uid_sticky = e == MD_OK;
	if (e == MD_OK)
		return MD_OK;
	box->retry_ms = md_now_ms();
	if (box->uids.uidvalidity == 0)
		box->uids.uidvalidity = md_uidlist_above(0);
	return MD_OK;
}

/* Adds the fresh messages to the view, except those whose UID is not above all that our client knows: it finds them
 * when it selects the folder again. */
static void join(struct md_scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;

	if (box->n + sc->n_fresh > box->cap) {
		/* Room for a quarter more if messages come one by one; none at the first scan. */
		box->cap = box->n + sc->n_fresh + (sc->first ? 0 : (box->n + sc->n_fresh) / 4 + 8);
		box->msgs = mem_grow(box->msgs, box->cap * sizeof(*box->msgs));
	}
	for (size_t i = 0; i < sc->n_fresh; i++) {
		struct md_msg *m = &sc->fresh[i];

		if (m->gone || m->uid <= box->uid_highest) {
			box->incomplete = box->incomplete || !m->gone;
			mem_free(&m->name);
			continue;
		}
		m->recent = m->recent || m->uid >= sc->first_recent;
		box->n_recent += m->recent;
		box->uid_highest = m->uid;
		box->msgs[box->n++] = *m;
		ch->added++;
	}
	sc->n_fresh = 0;
}

void md_scan_take_files(struct md_scan *sc)
{
	struct md_box *box = sc->box;

	if (sc->n_fresh != 0)
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_name);
	box->cap = sc->n_fresh;
	box->msgs = mem_array(sc->n_fresh, sizeof(*box->msgs));
	for (size_t i = 0; i < sc->n_fresh; i++) {
		struct md_msg *m = &sc->fresh[i];

		if (m->in_new) {
			mem_free(&m->name);
			continue;
		}
		m->uid = (uint32_t)box->n + 1;
		box->msgs[box->n++] = *m;
	}
	sc->n_fresh = 0;
}

static void mark_gone(struct md_scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;

	for (size_t i = 0; i < box->n; i++) {
		struct md_msg *m = &box->msgs[i];

		if (m->found || m->gone)
			continue;
		md_msg_gone(box, m);
		ch->gone++;
	}
}

/* True if messages that may be recent will join the view. */
static bool may_have_recent(const struct md_scan *sc)
{
	const struct md_box *box = sc->box;

	if (box->readonly || (!sc->first && sc->n_fresh == 0) || !md_recent_there(box->fd))
		return false;
	return sc->first || md_recent_first(box->fd, box->uidvalidity) > box->uid_highest;
}

/* Gives new messages UIDs and drops lost ones from the list; a large list is not written for each lost message. */
enum md_err md_scan_uids(struct md_scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;
	size_t dropped = box->dropped + md_scan_missing(sc);
	enum md_err e = MD_OK;

	sc->tidy = !box->readonly && dropped > box->n / 64;
	sc->write = !box->uid_sticky;
	/* Another session's append may have written the list already but not its file: only a scan under the lock
	 * tells what is missing for good, and finds all that is recent. */
	if (!sc->locked && ((sc->tidy && md_scan_lock(sc)) || (may_have_recent(sc) && md_scan_try_lock(sc))))
		e = md_scan_look(sc);
	if (e == MD_OK && (sc->first || sc->n_fresh != 0 || sc->write || (sc->tidy && sc->locked))) {
		e = assign(sc);
		if (e == MD_OK) {
			box->uidvalidity = box->uids.uidvalidity;
			box->uidnext = box->uids.uidnext;
			take_recent(sc, box->uidvalidity);
			join(sc, ch);
		}
	}
	if (e == MD_OK)
		mark_gone(sc, ch);
	ch->gone += sc->n_replaced;
	/* An idle session needs no memory for the entries; only the file's identity is kept. */
	mem_free(&box->uids.e);
	box->uids.n = box->uids.cap = 0;
	str_fini(&box->uids.text);
	return e;
}
