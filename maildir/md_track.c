/* Modification sequences of an open mailbox. */
#include "maildir/md_track.h"

#include <ctype.h>
#include <string.h>
#include <unistd.h>

#include "lib/hex.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_cache.h"
#include "maildir/md_lock.h"
#include "maildir/md_scan_private.h"

/* --- what a view looks like --- */

/* A number that differs for each set of keywords, in whatever order or case their names come. */
static uint64_t keywords_sum(const struct md_box *box, const struct md_kwset *kw)
{
	char name[MD_KEYWORD_LEN_MAX];
	uint64_t sum = 0;

	for (uint32_t k = 0; kw != NULL && k < kw->n; k++) {
		const char *p = box->keywords[kw->idx[k]];
		size_t len = strnlen(p, sizeof(name));

		for (size_t i = 0; i < len; i++)
			name[i] = (char)tolower((unsigned char)p[i]);
		sum += md_cache_sum(len, name, len);
	}
	return sum;
}

static struct md_state_entry look_of(const struct md_box *box, const struct md_msg *m, uint64_t modseq)
{
	return (struct md_state_entry){ m->uid, m->flags & MD_FLAGS_ALL, keywords_sum(box, m->kw), modseq };
}

/* An entry for each message of the view that is there, by UID; *N: how many. The caller frees it. */
static struct md_state_entry *look(const struct md_box *box, uint64_t modseq, size_t *n)
{
	struct md_state_entry *e = mem_array(box->n, sizeof(*e));

	*n = 0;
	for (size_t i = 0; i < box->n; i++)
		if (!box->msgs[i].gone)
			e[(*n)++] = look_of(box, &box->msgs[i], modseq);
	return e;
}

/* NULL: no such message. */
static bool same_look(const struct md_state_entry *a, const struct md_state_entry *b)
{
	if (a == NULL || b == NULL)
		return (a == NULL || a->look == MD_STATE_GONE) && (b == NULL || b->look == MD_STATE_GONE);
	return a->look == b->look && a->keywords == b->keywords;
}

/* --- comparing --- */

/* Entries in the order of their UIDs, taken one after another. */
struct row {
	const struct md_state_entry *e;
	size_t n, at;
};

static uint32_t next_uid(const struct row *r, uint32_t uid)
{
	return r->at < r->n && r->e[r->at].uid < uid ? r->e[r->at].uid : uid;
}

static const struct md_state_entry *take(struct row *r, uint32_t uid)
{
	return r->at < r->n && r->e[r->at].uid == uid ? &r->e[r->at++] : NULL;
}

/* What a comparison found. */
struct news {
	struct md_state_entry *e; /* by UID */
	size_t n, cap;
	bool behind;
	uint64_t complete;
};

static void add(struct news *nw, uint32_t uid, const struct md_state_entry *now)
{
	struct md_state_entry gone = { .uid = uid, .look = MD_STATE_GONE };

	if (nw->n == nw->cap) {
		nw->cap = nw->cap != 0 ? nw->cap * 2 : 16;
		nw->e = mem_grow(nw->e, nw->cap * sizeof(*nw->e));
	}
	nw->e[nw->n++] = now != NULL ? *now : gone;
}

static void compare_one(struct news *nw, uint32_t uid, const struct md_state_entry *now,
    const struct md_state_entry *seen, const struct md_state_entry *recorded)
{
	if (recorded == NULL ? now == NULL : same_look(now, recorded))
		return;
	if (recorded == NULL || !same_look(now, seen)) {
		add(nw, uid, now);
		return;
	}
	nw->behind = true;
	nw->complete = MIN(nw->complete, recorded->modseq - 1);
}

/* Compares the N entries NOW with what was seen before and with what is recorded. UIDs from GAP on, which were given
 * since, that are not there count as gone: a session that compares nothing may have told its client of them. */
static void compare(const struct md_track *t, const struct md_state_entry *now, size_t n, uint32_t gap,
    uint32_t uidnext, struct news *nw)
{
	struct row rn = { now, n, 0 }, rs = { t->seen, t->n_seen, 0 }, rr = { t->s.e, t->s.n, 0 };
	uint32_t uid;

	while ((uid = next_uid(&rn, next_uid(&rs, next_uid(&rr, UINT32_MAX)))) != UINT32_MAX) {
		const struct md_state_entry *was = take(&rs, uid), *is = take(&rn, uid), *recorded = take(&rr, uid);

		for (; gap < MIN(uid, uidnext); gap++)
			add(nw, gap, NULL);
		gap += gap == uid && is != NULL;
		compare_one(nw, uid, is, was, recorded);
	}
	for (; gap < uidnext; gap++)
		add(nw, gap, NULL);
}

/* --- recording; under the lock --- */

/* The next UID, which a view that has found nothing new may not know. */
static uint32_t uidnext_now(struct md_box *box)
{
	struct md_uidlist l = { 0 };
	uint32_t uidnext = box->uidnext;

	if (md_uidlist_read(box->root, box->fd, box->folder, &l) == MD_OK && l.uidvalidity == box->uidvalidity)
		uidnext = MAX(uidnext, l.uidnext);
	md_uidlist_fini(&l);
	return uidnext;
}

/* Begins anew: all that is there has one sequence, of all that went before it is not known when. */
static enum md_err begin_anew(struct md_box *box, struct md_track *t)
{
	uint64_t modseq = md_state_next(&t->s);
	enum md_err e;

	mem_free(&t->s.e);
	t->s.e = look(box, modseq, &t->s.n);
	t->s.n_gone = 0;
	t->s.uidvalidity = box->uidvalidity;
	t->s.uidnext = uidnext_now(box);
	t->s.floor = t->s.highest = modseq;
	e = md_state_write(box->root, box->fd, box->folder, &t->s);
	if (e != MD_OK) { /* nobody may be told of it */
		t->s.n = 0;
		t->s.uidvalidity = 0;
		md_state_drop_file(&t->s);
	}
	return e;
}

/* Raises the floor, so that UIDs below UIDNEXT that were never compared need not be listed. */
static enum md_err pass_over(struct md_box *box, struct md_state *s, uint32_t uidnext)
{
	enum md_err e;

	s->floor = s->highest = md_state_next(s);
	s->uidnext = uidnext;
	e = md_state_write(box->root, box->fd, box->folder, s);
	if (e != MD_OK)
		md_state_drop_file(s);
	return e;
}

/* Records what is new among the N entries NOW. LOCKED: why the lock could not be had, or MD_OK. */
static enum md_err record_news(struct md_box *box, struct md_track *t, const struct md_state_entry *now, size_t n,
    enum md_err locked)
{
	uint32_t gap = MAX(t->s.uidnext, 1), uidnext = MAX(box->uidnext, gap);
	struct news nw = { 0 };
	enum md_err e = MD_OK;
	uint64_t modseq;

	nw.complete = UINT64_MAX;
	if (uidnext - gap > n + MD_STATE_GONE_MAX) {
		e = locked == MD_OK ? pass_over(box, &t->s, uidnext) : locked;
		gap = uidnext;
	}
	compare(t, now, n, gap, uidnext, &nw);
	if (e == MD_OK && (nw.n != 0 || (t->s.torn != 0 && locked == MD_OK))) {
		modseq = nw.n != 0 ? md_state_next(&t->s) : t->s.highest;
		for (size_t i = 0; i < nw.n; i++)
			nw.e[i].modseq = modseq;
		RACE("track: what is new is known, not recorded");
		e = locked == MD_OK ?
		    md_state_add(box->root, box->fd, box->folder, &t->s, nw.e, nw.n, modseq, uidnext) :
		    locked;
	}
	if (e == MD_OK) {
		t->behind = nw.behind;
		t->complete = MIN(nw.complete, t->s.highest);
	}
	mem_free(&nw.e);
	return e;
}

static enum md_err record(struct md_box *box, struct md_track *t, enum md_err locked)
{
	enum md_state_read how = md_state_read(box->root, box->fd, box->folder, &t->s);
	struct md_state_entry *now;
	enum md_err e = MD_OK;
	size_t n;

	if (how == MD_STATE_FAILED)
		return MD_IO;
	if (how == MD_STATE_NONE || how == MD_STATE_DAMAGED || t->s.uidvalidity != box->uidvalidity) {
		e = locked == MD_OK ? begin_anew(box, t) : locked;
		t->behind = false;
		t->complete = t->s.highest;
	}
	now = look(box, 0, &n);
	if (e == MD_OK)
		e = record_news(box, t, now, n, locked);
	if (e == MD_OK) {
		mem_free(&t->seen);
		t->seen = now;
		t->n_seen = n;
	} else {
		mem_free(&now);
	}
	return e;
}

enum md_err md_track_record(struct md_box *box)
{
	struct md_track *t = box->track;
	struct md_lock lock = MD_LOCK_INIT;
	enum md_err locked, e;

	t->due = true;
	if (!box->uid_sticky)
		return md_fail(box->root, MD_READONLY, 0,
		    "folder %s has UIDs that are not recorded, so no change of it can be", md_folder_text(box->folder));
	locked = md_lock_take(box->root, box->fd, box->folder, &lock);
	if (locked != MD_OK && !md_scan_unwritable(locked))
		return locked;
	e = record(box, t, locked);
	md_lock_drop(&lock);
	t->due = e != MD_OK;
	return e;
}

/* What is recorded was seen: whatever differs in a view that is read after that has changed since. */
static void take_as_seen(struct md_track *t)
{
	mem_free(&t->seen);
	t->seen = mem_array(t->s.n, sizeof(*t->seen));
	t->n_seen = 0;
	for (size_t i = 0; i < t->s.n; i++)
		if (t->s.e[i].look != MD_STATE_GONE)
			t->seen[t->n_seen++] = t->s.e[i];
}

void md_track_caught_up(struct md_box *box)
{
	struct md_track *t = box->track;

	if (t->behind && !box->incomplete && !box->hides && !box->force_scan)
		take_as_seen(t);
}

bool md_track_is_due(const struct md_box *box)
{
	return box->track->due || box->track->behind || !md_state_is_same(box->fd, &box->track->s);
}

void md_track_end(struct md_box *box)
{
	if (box->track == NULL)
		return;
	md_state_fini(&box->track->s);
	mem_free(&box->track->seen);
	mem_free(&box->track);
}

/* --- what is known of it now: for md_box.h --- */

static enum md_err begin(struct md_box *box, struct md_track *t)
{
	struct md_lock lock = MD_LOCK_INIT;
	enum md_err e = md_lock_take(box->root, box->fd, box->folder, &lock);
	enum md_state_read how;

	if (e != MD_OK && !md_scan_unwritable(e))
		return e;
	how = md_state_read(box->root, box->fd, box->folder, &t->s);
	if (how == MD_STATE_READ && t->s.uidvalidity == box->uidvalidity)
		take_as_seen(t);
	md_lock_drop(&lock);
	return how == MD_STATE_FAILED ? MD_IO : MD_OK;
}

enum md_err md_box_track(struct md_box *box, struct md_changes *ch)
{
	enum md_err e;

	memset(ch, 0, sizeof(*ch));
	if (box->track != NULL)
		return MD_OK;
	if (!md_cache_may_write(box))
		return md_fail(box->root, MD_READONLY, 0,
		    "folder %s belongs to another user, who alone may record its "
		    "changes",
		    md_folder_text(box->folder));
	box->track = mem_alloc(sizeof(*box->track));
	box->track->due = true;
	e = begin(box, box->track);
	if (e == MD_OK)
		e = md_box_sync(box, ch);
	if (e != MD_OK)
		md_track_end(box);
	return e;
}

uint64_t md_box_highest_modseq(const struct md_box *box)
{
	return box->track->complete;
}

uint64_t md_box_modseq(const struct md_box *box, size_t i)
{
	const struct md_state_entry *e = md_state_find(&box->track->s, box->msgs[i].uid);
	struct md_state_entry now = look_of(box, &box->msgs[i], 0);

	return e != NULL && same_look(&now, e) ? e->modseq : 0;
}

/* Calls FN for each range of UIDs that are not there. */
static void all_missing(const struct md_box *box, md_uids_fn *fn, void *arg)
{
	uint32_t next = 1, end = MAX(box->uidnext, box->track->s.uidnext);

	for (size_t i = 0; i < box->n; i++) {
		if (box->msgs[i].gone)
			continue;
		if (box->msgs[i].uid > next)
			fn(next, box->msgs[i].uid - 1, arg);
		next = box->msgs[i].uid + 1;
	}
	if (end > next)
		fn(next, end - 1, arg);
}

static bool is_there(const struct md_box *box, uint32_t uid)
{
	size_t i = md_box_find(box, uid);

	return i < box->n && box->msgs[i].uid == uid && !box->msgs[i].gone;
}

void md_box_expunged_since(const struct md_box *box, uint64_t since, md_uids_fn *fn, void *arg)
{
	const struct md_state *s = &box->track->s;
	uint32_t first = 0, last = 0;

	if (since < s->floor) {
		all_missing(box, fn, arg);
		return;
	}
	for (size_t i = 0; i < s->n; i++) {
		const struct md_state_entry *e = &s->e[i];

		if (e->look != MD_STATE_GONE || e->modseq <= since || is_there(box, e->uid))
			continue;
		if (first != 0 && e->uid != last + 1)
			fn(first, last, arg);
		if (first == 0 || e->uid != last + 1)
			first = e->uid;
		last = e->uid;
	}
	if (first != 0)
		fn(first, last, arg);
}

/* --- the mailbox id --- */

static enum md_err make_id(struct md_root *r, int dirfd, const char *folder, struct md_state *s)
{
	struct md_lock lock = MD_LOCK_INIT;
	enum md_err e = md_lock_take(r, dirfd, folder, &lock);
	enum md_state_read how;

	if (e != MD_OK)
		return e;
	how = md_state_read(r, dirfd, folder, s);
	if (how == MD_STATE_NONE || how == MD_STATE_DAMAGED) {
		s->n = 0;
		s->uidvalidity = 0;
	}
	if (how == MD_STATE_FAILED)
		e = MD_IO;
	else if (how != MD_STATE_READ || (s->id[0] == 0 && s->id[1] == 0))
		e = md_state_write(r, dirfd, folder, s);
	md_lock_drop(&lock);
	return e;
}

enum md_err md_mailbox_id(struct md_root *r, const char *folder, char id[MD_MAILBOX_ID_SIZE])
{
	struct md_state s = { 0 };
	enum md_err e;
	int fd;

	e = md_folder_open(r, folder, &fd);
	if (e != MD_OK)
		return e;
	if (!md_state_read_id(fd, s.id))
		e = make_id(r, fd, folder, &s);
	if (e == MD_OK) {
		id[0] = 'M';
		hex_text(id + 1, s.id, sizeof(s.id));
	}
	md_state_fini(&s);
	close(fd);
	return e;
}
