/* UIDs for what a scan found: from the list, or new ones under the lock. */
#include <stdlib.h>
#include <string.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_name.h"
#include "maildir/md_scan_in.h"

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
static bool take_listed(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	const struct md_uidlist *l = &box->uids;

	for (size_t i = 0; i < box->n; i++)
		box->msgs[i].in_pass = false; /* from here on: is in the list */
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_uidlist_name(l, i);
		struct md_msg *m = md_scan_find(sc, name, strlen(name));

		if (m == NULL)
			continue;
		if (md_scan_in_view(sc, m) && m->uid != l->e[i].uid && !m->gone)
			return false;
		if (!md_scan_in_view(sc, m) && m->uid == 0)
			m->uid = l->e[i].uid;
		m->in_pass = true;
	}
	/* UIDs that we could not record must still be free. */
	for (size_t i = 0; i < box->n && !box->uid_sticky; i++)
		if (box->msgs[i].found && !box->msgs[i].in_pass && box->msgs[i].uid < l->uidnext)
			return false;
	return true;
}

static size_t unlisted(const struct md_scan *sc)
{
	size_t n = 0;

	for (size_t i = 0; i < sc->n_fresh; i++)
		n += sc->fresh[i].uid == 0;
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

		if (sc->fresh[i].uid == 0 && md_hash_find(&h, sc->fresh[i].name, len, fresh_stem, sc) == MD_HASH_NONE)
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

/* UIDs for the messages that have none, in Courier's order. False if there are no numbers left. */
static bool give_uids(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	uint32_t next = MAX(MAX(box->uids.uidnext, box->uidnext), 1u);

	if (sc->n_fresh != 0)
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
	if (sc->n_fresh != 0)
		qsort(sc->fresh, sc->n_fresh, sizeof(*sc->fresh), by_uid);
	for (size_t i = 1; i < sc->n_fresh; i++)
		if (sc->fresh[i].uid == sc->fresh[i - 1].uid)
			return false; /* a list that names two files alike */
	return true;
}

/* All UIDs anew under a new UIDVALIDITY: only when the old ones cannot go on. */
static void renumber(struct md_scan *sc)
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
static enum md_err write_list(struct md_scan *sc)
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
static enum md_err read_list(struct md_scan *sc)
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

/* Messages that the list has and the scan has not found. */
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

/* Under the lock: what the list has may be missing only because it was renamed while we read. It would lose its
 * UID, so look until nobody renames. */
static enum md_err look_again(struct md_scan *sc)
{
	struct md_box *box = sc->box;
	enum md_err e = MD_OK;

	for (int i = 0; e == MD_OK && !sc->stable && i < MD_SCAN_PASSES && unfound(sc) != 0; i++) {
		e = md_scan_pass(sc, &box->at_cur);
		if (e == MD_OK && !take_listed(sc))
			e = md_fail(box->root, MD_RESET, 0, "UIDs of folder %s were given anew", md_folder_text(box->folder));
	}
	return e;
}

/* Reads the list and takes from it what it has; under the lock if something must be added to it. */
static enum md_err consult_list(struct md_scan *sc)
{
	struct md_box *box = sc->box;

	for (;;) {
		bool had_lock = sc->locked;
		enum md_err e = read_list(sc);

		if (e != MD_OK)
			return e;
		if (!take_listed(sc))
			return md_fail(box->root, MD_RESET, 0, "UIDs of folder %s were given anew", md_folder_text(box->folder));
		if (had_lock)
			return look_again(sc);
		if (unlisted(sc) == 0 && !sc->write)
			return MD_OK;
		RACE("assign: the list was read without the lock");
		if (!md_scan_lock(sc))
			return is_unwritable(sc->lock_err) ? MD_OK : sc->lock_err;
		/* Only now nobody else adds to list and folder: look at both again. */
		for (size_t i = 0; i < sc->n_fresh; i++)
			sc->fresh[i].uid = 0;
		e = md_scan_pass(sc, &box->at_cur);
		if (e != MD_OK)
			return e;
	}
}

/* UIDs for everything in fresh, recorded if that is possible. */
static enum md_err assign(struct md_scan *sc)
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
	RACE("assign: UIDs are given, the list is not written");
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
static enum md_err join(struct md_scan *sc, struct md_changes *ch)
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

/* UIDs of what is new; the list without what is gone. A large list is not written for each message that goes. */
enum md_err md_scan_uids(struct md_scan *sc, struct md_changes *ch)
{
	struct md_box *box = sc->box;
	size_t dropped = box->dropped + md_scan_missing(sc);
	enum md_err e = MD_OK;

	sc->tidy = !box->readonly && dropped > box->n / 64;
	sc->write = !box->uid_sticky;
	/* An append by someone else may have written the list already and its file not yet: only a scan under the lock
	 * tells what is missing for good. */
	if (sc->tidy && !sc->locked && md_scan_lock(sc))
		e = md_scan_pass(sc, &box->at_cur);
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
