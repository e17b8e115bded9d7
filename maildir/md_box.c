/* An open mailbox: sync, flags, keywords, expunge, STATUS. */
#include "maildir/md_box.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_cache.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"
#include "maildir/md_parsed.h"
#include "maildir/md_scan.h"
#include "maildir/md_track.h"

enum { COUNT_BUF = 65536, TRACK_TRIES = 3 };

/* Makes a box of FOLDER with nothing read yet. */
static enum md_err make_box(struct md_root *r, const char *folder, bool readonly, struct md_box **box_out)
{
	struct md_box *box;
	int fd;
	enum md_err e;

	*box_out = NULL;
	r->why[0] = '\0';
	e = md_folder_open_mail(r, folder, &fd);
	if (e != MD_OK)
		return e;
	box = mem_alloc(sizeof(*box));
	box->root = r;
	box->folder = mem_strdup(folder);
	box->fd = fd;
	box->readonly = readonly;
	box->uid_sticky = true;
	if (!readonly)
		md_clean_tmp(fd, time(NULL));
	*box_out = box;
	return MD_OK;
}

enum md_err md_box_open_files(struct md_root *r, struct md_box **box_out)
{
	enum md_err e = make_box(r, "", false, box_out);

	if (e == MD_OK)
		e = md_scan_files(*box_out);
	if (e != MD_OK)
		md_box_close(box_out);
	return e;
}

/* Reads a box that was just made; closes it if that fails. */
static enum md_err fill(struct md_box **boxp)
{
	struct md_box *box = *boxp;
	struct md_root *r = box->root;
	struct md_changes ch = { 0 };
	enum md_err e = MD_OK;

	if (!md_cache_load(box))
		e = md_scan(box, true, &ch);
	if (e == MD_OK && !box->readonly && faccessat(box->fd, "cur", W_OK | X_OK, AT_EACCESS) != 0) {
		md_fail(r, md_errno(errno), errno, "folder %s can only be read", md_folder_text(box->folder));
		box->readonly = true;
	}
	if (e == MD_OK) {
		md_cache_save(box);
	} else {
		e = md_folder_gone(r, box->fd, box->folder, e);
		md_box_close(boxp);
	}
	return e;
}

enum md_err md_box_open(struct md_root *r, const char *folder, bool readonly, struct md_box **box_out)
{
	enum md_err e = make_box(r, folder, readonly, box_out);

	return e == MD_OK ? fill(box_out) : e;
}

void md_msg_set_name(const struct md_box *box, struct md_msg *m, const char *name)
{
	uintptr_t at = (uintptr_t)m->name - (uintptr_t)box->names;

	if (box->names == NULL || at >= box->names_bytes)
		mem_free(&m->name);
	m->name = mem_strdup(name);
}

static void msg_fini(const struct md_box *box, struct md_msg *m)
{
	md_msg_set_name(box, m, NULL);
	mem_free(&m->kw);
}

void md_box_close(struct md_box **boxp)
{
	struct md_box *box = *boxp;

	if (box == NULL)
		return;
	md_parsed_end(box);
	md_track_end(box);
	md_cache_save(box);
	for (size_t i = 0; i < box->n; i++)
		msg_fini(box, &box->msgs[i]);
	for (uint32_t i = 0; i < box->n_keywords; i++)
		mem_free(&box->keywords[i]);
	mem_free(&box->msgs);
	mem_free(&box->names);
	mem_free(&box->keywords);
	mem_free(&box->keyword_order);
	mem_free(&box->folder);
	md_uidlist_fini(&box->uids);
	close(box->fd);
	mem_free(boxp);
}

bool md_box_renamed(struct md_box *box, const char *folder)
{
	struct md_uidlist l = { 0 };
	uint32_t before = box->uidvalidity;

	/* Others renamed our folder earlier; the one renamed now took its place. */
	if (md_folder_gone(box->root, box->fd, folder, MD_RESET) == MD_NOFOLDER)
		return false;
	mem_free(&box->folder);
	box->folder = mem_strdup(folder);
	if (md_uidlist_read(box->root, box->fd, folder, &l) == MD_OK)
		box->uidvalidity = l.uidvalidity;
	md_uidlist_fini(&l);
	return box->uidvalidity != before;
}

/* Records what changed. If others have recorded what the view does not show yet, it is brought up to that. */
static enum md_err record(struct md_box *box, struct md_changes *ch)
{
	enum md_err e = MD_OK;

	for (int i = 0; e == MD_OK && i < TRACK_TRIES; i++) {
		if (i != 0)
			e = md_scan(box, false, ch);
		md_track_caught_up(box);
		if (e == MD_OK)
			e = md_track_record(box);
		if (!box->track->behind)
			break;
	}
	return e;
}

enum md_err md_box_sync(struct md_box *box, struct md_changes *ch)
{
	bool changed = !md_scan_unchanged(box);
	enum md_err e = MD_OK;

	memset(ch, 0, sizeof(*ch));
	if (changed) {
		e = md_scan(box, false, ch);
	} else {
		ch->flagged = box->flagged;
		box->flagged = 0;
	}
	if (e == MD_OK && box->track != NULL && (changed || md_track_is_due(box)))
		e = record(box, ch);
	return e;
}

size_t md_box_drop_gone(struct md_box *box, void (*fn)(uint32_t seq, uint32_t uid, void *arg), void *arg)
{
	size_t kept = 0, dropped;

	if (box->n_gone == 0)
		return 0;
	for (size_t i = 0; i < box->n; i++) {
		struct md_msg *m = &box->msgs[i];

		if (!m->gone) {
			if (kept != i)
				box->msgs[kept] = *m;
			kept++;
			continue;
		}
		if (fn != NULL)
			fn((uint32_t)kept + 1, m->uid, arg);
		msg_fini(box, m);
	}
	dropped = box->n - kept;
	box->n = kept;
	box->n_gone = 0;
	return dropped;
}

size_t md_box_find(const struct md_box *box, uint32_t uid)
{
	size_t lo = 0, hi = box->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (box->msgs[mid].uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* --- questions --- */

size_t md_box_count(const struct md_box *box)
{
	return box->n;
}

size_t md_box_count_recent(const struct md_box *box)
{
	return box->n_recent;
}

const char *md_box_folder(const struct md_box *box)
{
	return box->folder;
}

bool md_box_readonly(const struct md_box *box)
{
	return box->readonly;
}

bool md_box_uid_sticky(const struct md_box *box)
{
	return box->uid_sticky;
}

uint32_t md_box_uidvalidity(const struct md_box *box)
{
	return box->uidvalidity;
}

uint32_t md_box_uidnext(const struct md_box *box)
{
	return box->uidnext;
}

uint32_t md_box_last_uid(const struct md_box *box)
{
	return box->n != 0 ? box->msgs[box->n - 1].uid : 0;
}

uint32_t md_box_uid(const struct md_box *box, size_t i)
{
	return box->msgs[i].uid;
}

unsigned md_box_flags(const struct md_box *box, size_t i)
{
	return box->msgs[i].flags;
}

const uint32_t *md_box_keywords(const struct md_box *box, size_t i, size_t *n)
{
	const struct md_kwset *kw = box->msgs[i].kw;

	*n = kw != NULL ? kw->n : 0;
	return kw != NULL ? kw->idx : NULL;
}

bool md_box_has_keyword(const struct md_box *box, size_t i, uint32_t k)
{
	return md_kwset_has(box->msgs[i].kw, k);
}

bool md_box_is_recent(const struct md_box *box, size_t i)
{
	return box->msgs[i].recent;
}

bool md_box_is_gone(const struct md_box *box, size_t i)
{
	return box->msgs[i].gone;
}

bool md_box_take_changed(struct md_box *box, size_t i)
{
	bool changed = box->msgs[i].changed;

	box->msgs[i].changed = false;
	return changed;
}

const char *md_box_file_name(const struct md_box *box, size_t i)
{
	return box->msgs[i].name;
}

time_t md_box_save_date(const struct md_box *box, size_t i)
{
	uint64_t t = md_name_time(box->msgs[i].name);

	return t <= INT32_MAX * UINT64_C(16) ? (time_t)t : 0;
}

uint32_t md_box_count_keywords(const struct md_box *box)
{
	return box->n_keywords;
}

const char *md_box_keyword_name(const struct md_box *box, uint32_t k)
{
	return box->keywords[k];
}

/* The index of the keyword NAME in box->keyword_order, or where it belongs. *THERE: it is there. */
static uint32_t keyword_place(const struct md_box *box, const char *name, size_t len, bool *there)
{
	uint32_t lo = 0, hi = box->n_keywords;

	*there = false;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		const char *have = box->keywords[box->keyword_order[mid]];
		int d = strncasecmp(have, name, len);

		if (d == 0 && have[len] == '\0') {
			*there = true;
			return mid;
		}
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int64_t md_box_keyword(const struct md_box *box, const char *name, size_t len)
{
	bool there;
	uint32_t at = keyword_place(box, name, len, &there);

	return there ? (int64_t)box->keyword_order[at] : -1;
}

int64_t md_box_keyword_now(struct md_box *box, const char *name, size_t len)
{
	int64_t i = md_box_keyword(box, name, len);

	if (i < 0 && md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR) && md_kw_load(box, box->n) == MD_OK)
		i = md_box_keyword(box, name, len);
	return i;
}

int64_t md_box_keyword_add(struct md_box *box, const char *name, size_t len)
{
	uint32_t n = box->n_keywords, at, *order;
	bool there;

	if (!md_kw_valid(name, len))
		return -1;
	at = keyword_place(box, name, len, &there);
	if (there)
		return box->keyword_order[at];
	if (n >= MD_KEYWORDS_MAX)
		return -1;
	box->keywords = mem_grow(box->keywords, (n + 1) * sizeof(*box->keywords));
	box->keywords[n] = mem_memdup(name, len);
	order = box->keyword_order = mem_grow(box->keyword_order, (n + 1) * sizeof(*order));
	memmove(order + at + 1, order + at, (n - at) * sizeof(*order));
	order[at] = n;
	return box->n_keywords++;
}

static enum md_err gone(struct md_box *box, const struct md_msg *m)
{
	return md_fail(box->root, MD_GONE, 0, "message %u of folder %s is no longer there", m->uid,
	    md_folder_text(box->folder));
}

/* --- reading --- */

/* Only regular files are served as messages: a link could point anywhere. */
static enum md_err check_file(struct md_box *box, const struct md_msg *m, int fd, struct stat *st)
{
	int err;

	if (fstat(fd, st) == 0 && S_ISREG(st->st_mode))
		return MD_OK;
	err = S_ISREG(st->st_mode) ? errno : ELOOP;
	return md_fail(box->root, MD_PERM, err, "message %u of folder %s is not a regular file", m->uid,
	    md_folder_text(box->folder));
}

static enum md_err open_msg(struct md_box *box, struct md_msg *m, int *fd_out, struct stat *st)
{
	struct str path = STR_INIT;
	enum md_err e = MD_OK;
	int err = 0;

	*fd_out = -1;
	if (m->gone)
		return gone(box, m);
	for (int i = 0; i < MD_RENAME_TRIES; i++) {
		*fd_out = openat(box->fd, md_msg_path(m, &path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		err = errno;
		if (*fd_out >= 0 || err != ENOENT)
			break;
		e = md_scan_refind(box, m);
		if (e != MD_OK)
			break;
	}
	str_fini(&path);
	if (*fd_out >= 0) {
		e = check_file(box, m, *fd_out, st);
		if (e != MD_OK) {
			close(*fd_out);
			*fd_out = -1;
		}
		return e;
	}
	if (e == MD_GONE)
		return gone(box, m);
	if (e != MD_OK)
		return e;
	return md_fail(box->root, err == ENOENT ? MD_IO : md_errno(err), err, "cannot read message %u of folder %s",
	    m->uid, md_folder_text(box->folder));
}

static void note_stat(struct md_box *box, struct md_msg *m, const struct stat *st)
{
	box->learned += m->mtime == MD_UNKNOWN;
	m->mtime = st->st_mtime;
	m->bytes = st->st_size;
}

enum md_err md_box_read(struct md_box *box, size_t i, int *fd_out)
{
	struct md_msg *m = &box->msgs[i];
	struct stat st;
	enum md_err e = open_msg(box, m, fd_out, &st);

	if (e == MD_OK)
		note_stat(box, m, &st);
	return e;
}

enum md_err md_box_read_failed(struct md_box *box, size_t i, int err)
{
	return md_fail(box->root, MD_IO, err, "cannot read message %u of folder %s", box->msgs[i].uid,
	    md_folder_text(box->folder));
}

enum md_err md_box_date(struct md_box *box, size_t i, time_t *t_out)
{
	struct md_msg *m = &box->msgs[i];
	struct str path = STR_INIT;
	struct stat st;
	enum md_err e = MD_OK;
	int fd;

	if (m->mtime == MD_UNKNOWN) {
		if (!m->gone && fstatat(box->fd, md_msg_path(m, &path), &st, AT_SYMLINK_NOFOLLOW) == 0) {
			note_stat(box, m, &st);
		} else {
			e = open_msg(box, m, &fd, &st);
			if (e == MD_OK) {
				note_stat(box, m, &st);
				close(fd);
			}
		}
		str_fini(&path);
	}
	*t_out = e == MD_OK ? (time_t)m->mtime : 0;
	return e;
}

bool md_count_octets(int fd, uint64_t *octets_out)
{
	char *buf = mem_alloc(COUNT_BUF);
	uint64_t octets = 0;
	off_t at = 0;
	char last = 0;
	ssize_t n;

	while ((n = pread(fd, buf, COUNT_BUF, at)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			break;
		for (const char *p = buf, *end = buf + n, *nl; (nl = memchr(p, '\n', (size_t)(end - p))) != NULL;
		     p = nl + 1)
			octets += (nl > buf ? nl[-1] : last) != '\r';
		octets += (uint64_t)n;
		last = buf[n - 1];
		at += n;
	}
	mem_free(&buf);
	*octets_out = octets;
	return n == 0;
}

bool md_box_octets_known(const struct md_box *box, size_t i)
{
	return box->msgs[i].octets != MD_UNKNOWN;
}

void md_box_note_octets(struct md_box *box, size_t i, uint64_t octets)
{
	box->learned += box->msgs[i].octets == MD_UNKNOWN;
	box->msgs[i].octets = (int64_t)octets;
}

enum md_err md_box_octets(struct md_box *box, size_t i, uint64_t *octets_out)
{
	struct md_msg *m = &box->msgs[i];
	uint64_t v = 0;
	enum md_err e;
	int fd;

	*octets_out = 0;
	if (m->octets == MD_UNKNOWN && md_name_vsize(m->name, &v))
		m->octets = (int64_t)v;
	if (m->octets == MD_UNKNOWN) {
		e = md_box_read(box, i, &fd);
		if (e != MD_OK)
			return e;
		if (!md_count_octets(fd, &v)) {
			e = md_box_read_failed(box, i, errno);
			close(fd);
			return e;
		}
		close(fd);
		md_box_note_octets(box, i, v);
	}
	*octets_out = (uint64_t)m->octets;
	return MD_OK;
}

/* --- changing --- */

static unsigned wanted_flags(const struct md_msg *m, enum md_store how, unsigned flags)
{
	flags &= MD_FLAGS_ALL;
	if (how == MD_STORE_SET)
		return flags;
	return how == MD_STORE_ADD ? m->flags | flags : m->flags & ~flags;
}

/* Renames the file of M, in one try, to have FLAGS. 0; -1 with errno. */
static int rename_flags(struct md_box *box, struct md_msg *m, unsigned flags)
{
	struct str from = STR_INIT, to = STR_INIT;
	int64_t bytes = 0;
	int rc = 0, err;

	md_msg_path(m, &from);
	str_adds(&to, "cur/");
	md_name_with_flags(&to, m->name, flags);
	if (((m->flags ^ flags) & MD_DELETED) != 0)
		bytes = md_size_of(box->root, box->fd, from.data);
	RACE("store: the name is known");
	if (strcmp(from.data, to.data) != 0)
		rc = md_rename_new(box->fd, from.data, box->fd, to.data);
	err = errno;
	if (rc == 0) {
		if (((m->flags ^ flags) & MD_DELETED) != 0) { /* only one of the two names counts */
			md_size_left(box->root, box->folder, m->name, bytes);
			md_size_came(box->root, box->folder, to.data, bytes);
		}
		md_msg_set_name(box, m, to.data + 4);
		box->unsynced |= m->in_new ? MD_SYNC_NEW : 0;
		m->flags = (uint8_t)flags;
		m->in_new = false;
	}
	str_fini(&from);
	str_fini(&to);
	errno = err;
	return rc;
}

static enum md_err store_flags(struct md_box *box, struct md_msg *m, enum md_store how, unsigned flags)
{
	enum md_err e;
	int err = 0;

	for (int i = 0; i < MD_RENAME_TRIES; i++) {
		unsigned want = wanted_flags(m, how, flags);

		if (want == m->flags && strchr(m->name, ':') != NULL) {
			/* If others changed the flags meanwhile, M may no longer have those we want. */
			if (md_msg_has_name(box, m))
				return MD_OK;
			errno = ENOENT;
		} else if (rename_flags(box, m, want) == 0) {
			return MD_OK;
		}
		err = errno;
		if (err == ENAMETOOLONG)
			return md_fail(box->root, MD_LIMIT, 0,
			    "message %u of folder %s cannot have flags: the name of its file is too "
			    "long; give the file a shorter one",
			    m->uid, md_folder_text(box->folder));
		if (err != ENOENT && err != EEXIST)
			break;
		e = md_scan_refind(box, m);
		if (e == MD_GONE)
			return gone(box, m);
		if (e != MD_OK)
			return e;
	}
	return md_fail(box->root, err == ENOENT || err == EEXIST ? MD_IO : md_errno(err), err,
	    "cannot change flags of message %u of folder %s", m->uid, md_folder_text(box->folder));
}

static enum md_err check_writable(struct md_box *box)
{
	if (!box->readonly)
		return MD_OK;
	return md_fail(box->root, MD_READONLY, 0, "folder %s is open for reading only", md_folder_text(box->folder));
}

enum md_err md_box_store(struct md_box *box, size_t i, enum md_store how, unsigned flags, const uint32_t *kw,
    size_t nkw)
{
	struct md_msg *m = &box->msgs[i];
	enum md_err e = check_writable(box);

	if (e != MD_OK)
		return e;
	if (m->gone)
		return gone(box, m);
	e = store_flags(box, m, how, flags);
	if (e == MD_OK)
		box->unsynced |= MD_SYNC_CUR; /* another session that set the same flags may not have synced them yet */
	RACE("store: flags are stored, keywords not yet");
	if (e == MD_OK && (nkw != 0 || how == MD_STORE_SET))
		e = md_kw_store(box, m, how, kw, nkw);
	return e;
}

enum md_err md_box_expunge(struct md_box *box, size_t i)
{
	struct md_msg *m = &box->msgs[i];
	struct str path = STR_INIT;
	enum md_err e = check_writable(box);

	if (e != MD_OK || m->gone)
		return e;
	for (int k = 0; k < MD_RENAME_TRIES; k++) {
		int64_t bytes = md_size_of(box->root, box->fd, md_msg_path(m, &path));
		int err;

		RACE("expunge: the name is known");
		if (unlinkat(box->fd, path.data, 0) == 0) {
			md_size_left(box->root, box->folder, path.data, bytes);
			box->unsynced |= m->in_new ? MD_SYNC_NEW : MD_SYNC_CUR;
			e = MD_GONE;
			break;
		}
		err = errno;
		if (err != ENOENT) {
			e = md_fail(box->root, md_errno(err), err, "cannot delete message %u of folder %s", m->uid,
			    md_folder_text(box->folder));
			break;
		}
		e = md_scan_refind(box, m);
		if (e != MD_OK)
			break;
	}
	str_fini(&path);
	if (e == MD_OK) /* renamed by others again and again */
		return md_fail(box->root, MD_IO, 0,
		    "cannot delete message %u of folder %s: other programs keep renaming it", m->uid,
		    md_folder_text(box->folder));
	if (e != MD_GONE)
		return e;
	if (m->kw != NULL)
		md_kw_forget(box->fd, m->name, m->base_len);
	md_msg_gone(box, m);
	return MD_OK;
}

enum md_err md_box_flush(struct md_box *box)
{
	static const struct {
		unsigned bit;
		const char *sub;
	} dirs[] = { { MD_SYNC_NEW, "new" }, { MD_SYNC_CUR, "cur" }, { MD_SYNC_KEYWORDS, MD_KW_DIR } };
	enum md_err e = MD_OK;

	for (size_t i = 0; e == MD_OK && i < ARRAY_LEN(dirs); i++) {
		if ((box->unsynced & dirs[i].bit) == 0)
			continue;
		if (md_sync_dir(box->fd, dirs[i].sub) == 0)
			box->unsynced &= ~dirs[i].bit;
		else
			e = md_fail(box->root, md_errno_dir(errno), errno,
			    "cannot sync %s/ of folder %s, so a power failure may undo what was changed: check the "
			    "file system",
			    dirs[i].sub, md_folder_text(box->folder));
	}
	if (e == MD_OK && box->track != NULL)
		e = md_track_record(box);
	return md_folder_gone(box->root, box->fd, box->folder, e);
}

enum md_err md_status(struct md_root *r, const char *folder, struct md_status *st)
{
	struct md_box *box;
	enum md_err e = make_box(r, folder, true, &box);

	memset(st, 0, sizeof(*st));
	if (e != MD_OK)
		return e;
	if (!md_cache_status(r, box->fd, folder, st)) {
		e = fill(&box);
		if (e != MD_OK)
			return e;
		st->messages = (uint32_t)box->n;
		st->uidnext = box->uidnext;
		st->uidvalidity = box->uidvalidity;
		for (size_t i = 0; i < box->n; i++) {
			st->recent += box->msgs[i].recent;
			st->unseen += (box->msgs[i].flags & MD_SEEN) == 0;
		}
	}
	md_box_close(&box);
	return MD_OK;
}
