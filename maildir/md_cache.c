/* waypostcache: checked, read, written. */
#include "maildir/md_cache.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"
#include "maildir/md_recent.h"

#define MAGIC 0x3165686361635057u /* "WPcache1": the digit is the version */

enum { PART_BYTES_MAX = 1 << 28, FUTURE_MS = 1000, BATCH = 256, PARTS = 4 };
#define UIDNEXT_MAX 0x7fffffffu /* what comes near the end is for md_assign.c */
#define TIME_MAX (INT64_C(1) << 40)

/* The header: 64-bit numbers. */
enum word {
	W_MAGIC,
	W_SUM, /* of all words after it */
	W_BODY_SUM,
	W_READONLY, /* made by a box that could change nothing: it may have left work for one that can */
	W_UIDVALIDITY,
	W_UIDNEXT,
	W_MESSAGES,
	W_IN_NEW,
	W_UNSEEN,
	W_KEYWORDS,
	W_KEYWORD_BYTES,
	W_NAME_BYTES,
	W_INDICES,
	W_KW_PENDING,
	W_KW_INO,
	W_KW_S,
	W_KW_NS,
	W_STAMPS,
	W_STAMP_WORDS = 8,
	W_COUNT = W_STAMPS + 4 * W_STAMP_WORDS /* STAMPED */
};

enum { HEADER_BYTES = W_COUNT * 8 };
_Static_assert((int)HEADER_BYTES == (int)MD_CACHE_HEADER_BYTES, "the header's length");

/* The body: the names of the keywords, each ended by a NUL; the names of all files, so too; one of these for each
 * message, by UID; for each message that has keywords its number (from 0), how many they are, and their indices,
 * ascending: 32 bits each. */
struct entry {
	uint32_t uid;
	uint16_t name_len, in_new;
	int64_t mtime, bytes, octets;
};

/* Whichever single word differs, the sum does: each step maps different values
 * to different ones. */
uint64_t md_cache_sum(uint64_t h, const void *p, size_t len)
{
	uint64_t w;

	for (size_t at = 0; at < len; at += sizeof(w)) {
		size_t n = MIN(sizeof(w), len - at);

		w = 0;
		memcpy(&w, (const char *)p + at, n);
		h = (h ^ w) * 0xff51afd7ed558ccdu;
		h ^= h >> 32;
	}
	return h;
}

static uint64_t header_sum(const uint64_t *w)
{
	return md_cache_sum(W_COUNT, w + W_SUM + 1, (W_COUNT - W_SUM - 1) * sizeof(*w));
}

/* The bytes that the body's part number I has by the header W. */
static uint64_t part_bytes(const uint64_t *w, size_t i)
{
	switch (i) {
	case 0:
		return w[W_KEYWORD_BYTES];
	case 1:
		return w[W_NAME_BYTES];
	case 2:
		return MIN(w[W_MESSAGES], (uint64_t)PART_BYTES_MAX) * sizeof(struct entry);
	default:
		return MIN(w[W_INDICES], (uint64_t)PART_BYTES_MAX) * sizeof(uint32_t);
	}
}

static void put_stamp(uint64_t *w, const struct md_stamp *s)
{
	w[0] = s->dev;
	w[1] = s->ino;
	w[2] = s->size;
	w[3] = (uint64_t)s->s;
	w[4] = (uint64_t)s->ns;
	w[5] = (uint64_t)s->cs;
	w[6] = (uint64_t)s->cns;
	w[7] = (uint64_t)s->read_at_ms;
}

static void get_stamp(const uint64_t *w, struct md_stamp *s)
{
	memset(s, 0, sizeof(*s));
	s->dev = w[0];
	s->ino = w[1];
	s->size = w[2];
	s->s = (int64_t)w[3];
	s->ns = (int64_t)w[4];
	s->cs = (int64_t)w[5];
	s->cns = (int64_t)w[6];
	s->read_at_ms = (int64_t)w[7];
	s->settled = true;
}

/* What the stamps are of, in the order of the header. */
enum { STAMPED = 4 };
static const char *const stamped[STAMPED] = { "new", "cur", MD_KW_DIR, MD_UIDLIST_FILE };

static const struct md_stamp *stamp_of(const struct md_box *box, int i)
{
	const struct md_stamp *all[STAMPED] = { &box->at_new, &box->at_cur, &box->at_kw, &box->uids.file };

	return all[i];
}

/* True if what BOX was read from looks as it did. */
static bool is_as_read(const struct md_box *box)
{
	struct md_stamp now;

	for (int i = 0; i < STAMPED; i++) {
		md_stamp_take(&now, box->fd, stamped[i]);
		if (!md_stamp_same(&now, stamp_of(box, i)))
			return false;
	}
	return true;
}

static bool is_settled(const struct md_box *box, int64_t fs_now_ms)
{
	for (int i = 0; i < STAMPED; i++)
		if (!md_stamp_is_settled(stamp_of(box, i), fs_now_ms))
			return false;
	return true;
}

/* --- writing --- */

static void put_header(const struct md_box *box, uint64_t *w)
{
	memset(w, 0, HEADER_BYTES);
	w[W_MAGIC] = MAGIC;
	w[W_READONLY] = box->readonly && !box->cache_rw;
	w[W_UIDVALIDITY] = box->uidvalidity;
	w[W_UIDNEXT] = box->uidnext;
	w[W_MESSAGES] = box->n;
	w[W_KEYWORDS] = box->n_keywords;
	w[W_KW_PENDING] = box->kw_pending;
	w[W_KW_INO] = box->kw_ino;
	w[W_KW_S] = (uint64_t)box->kw_mtime_s;
	w[W_KW_NS] = (uint64_t)box->kw_mtime_ns;
	for (int i = 0; i < STAMPED; i++)
		put_stamp(w + W_STAMPS + i * W_STAMP_WORDS, stamp_of(box, i));
}

static void put_entry(const struct md_msg *m, uint64_t *w, struct str *out)
{
	struct entry e = { .uid = m->uid,
		.mtime = m->mtime,
		.bytes = m->bytes,
		.octets = m->octets,
		.name_len = (uint16_t)strlen(m->name),
		.in_new = m->in_new };

	w[W_IN_NEW] += m->in_new;
	w[W_UNSEEN] += (m->flags & MD_SEEN) == 0;
	w[W_NAME_BYTES] += e.name_len + 1u;
	w[W_INDICES] += m->kw != NULL ? 2 + m->kw->n : 0;
	str_add(out, &e, sizeof(e));
}

void md_cache_seal(char *p, size_t len)
{
	uint64_t w[W_COUNT], sum = HEADER_BYTES;

	memcpy(w, p, sizeof(w));
	w[W_MAGIC] = MAGIC;
	for (size_t at = HEADER_BYTES, part = 0; part < PARTS; part++) {
		size_t n = (size_t)MIN(part_bytes(w, part), len - at);

		sum = md_cache_sum(sum, p + at, n);
		at += n;
	}
	w[W_BODY_SUM] = sum;
	w[W_SUM] = header_sum(w);
	memcpy(p, w, sizeof(w));
}

static void put_keywords(const struct md_box *box, uint32_t i, struct str *out)
{
	const struct md_kwset *kw = box->msgs[i].kw;

	if (kw == NULL)
		return;
	str_add(out, &i, sizeof(i));
	str_add(out, &kw->n, sizeof(kw->n));
	str_add(out, kw->idx, kw->n * sizeof(kw->idx[0]));
}

void md_cache_format(const struct md_box *box, struct str *out)
{
	struct str entries = STR_INIT;
	size_t start = out->len;
	uint64_t w[W_COUNT];

	put_header(box, w);
	for (size_t i = 0; i < box->n; i++)
		put_entry(&box->msgs[i], w, &entries);
	str_add(out, w, sizeof(w));
	for (uint32_t k = 0; k < box->n_keywords; k++) {
		size_t len = strlen(box->keywords[k]) + 1;

		str_add(out, box->keywords[k], len);
		w[W_KEYWORD_BYTES] += len;
	}
	for (size_t i = 0; i < box->n; i++)
		str_add(out, box->msgs[i].name, strlen(box->msgs[i].name) + 1);
	str_add(out, str_cstr(&entries), entries.len);
	for (size_t i = 0; i < box->n; i++)
		put_keywords(box, (uint32_t)i, out);
	str_fini(&entries);
	memcpy(out->data + start, w, sizeof(w));
	md_cache_seal(out->data + start, out->len - start);
}

bool md_cache_is_read(const struct md_root *r)
{
	return r->cache_use == MD_CACHE_USED || r->cache_use == MD_CACHE_READ;
}

bool md_cache_is_written(const struct md_root *r)
{
	return r->cache_use == MD_CACHE_USED || r->cache_use == MD_CACHE_ANEW;
}

bool md_cache_may_write(const struct md_box *box)
{
	struct stat st;

	return fstat(box->fd, &st) == 0 && st.st_uid == geteuid();
}

bool md_cache_belongs(const struct stat *dir, const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == dir->st_uid && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool md_cache_is_ours(int dirfd, const struct stat *st)
{
	struct stat dir;

	return fstat(dirfd, &dir) == 0 && md_cache_belongs(&dir, st);
}

/* True if a part of TEXT is longer than readers take. */
static bool is_too_long(const struct str *text)
{
	uint64_t w[W_COUNT];

	memcpy(w, text->data, sizeof(w));
	for (size_t i = 0; i < PARTS; i++)
		if (part_bytes(w, i) > PART_BYTES_MAX)
			return true;
	return false;
}

bool md_cache_replace(const struct md_box *box, const char *name, md_cache_text_fn *text, const void *arg)
{
	struct str made = STR_INIT, tmp = STR_INIT;
	struct stat st;
	bool ok = false;
	int fd;

	str_adds(&tmp, "tmp/");
	fd = md_tmp_create(box->root, box->fd, 0600, &tmp);
	if (fd >= 0) {
		ok = fstat(fd, &st) == 0 && md_cache_is_ours(box->fd, &st) && text(box, &st, &made, arg) &&
		    fd_write_all(fd, str_cstr(&made), made.len);
		ok = close(fd) == 0 && ok;
		RACE("cache: written, not in its place");
		ok = ok && renameat(box->fd, tmp.data, box->fd, name) == 0;
		if (!ok)
			unlinkat(box->fd, tmp.data, 0);
	}
	str_fini(&made);
	str_fini(&tmp);
	return ok;
}

/* None if the file system's clock says that the stamps are not settled. */
static bool text_of(const struct md_box *box, const struct stat *made, struct str *out, const void *arg UNUSED)
{
	if (!is_settled(box, md_ms(made->st_mtim.tv_sec, made->st_mtim.tv_nsec)))
		return false;
	md_cache_format(box, out);
	return !is_too_long(out);
}

void md_cache_save(struct md_box *box)
{
	if (!md_cache_is_written(box->root) || (!box->cache_due && box->learned <= box->n / 8))
		return;
	/* The view must be what any session would read from the same files. */
	if (box->uids.file.ino == 0 || box->n < MD_CACHE_MESSAGES_MIN || box->n_gone != 0 || box->force_scan ||
	    box->incomplete || box->hides || box->kw_unsure || !box->uid_sticky ||
	    box->uidvalidity != box->uids.uidvalidity || box->uidnext != box->uids.uidnext ||
	    box->uidnext > UIDNEXT_MAX)
		return;
	if (!is_settled(box, md_now_ms()) || !is_as_read(box) || !md_cache_may_write(box))
		return;
	box->cache_due = false;
	box->learned = 0;
	md_cache_replace(box, MD_CACHE_FILE, text_of, NULL);
}

/* --- reading --- */

/* The body of a file that is read. */
struct body {
	int fd;
	uint64_t sum; /* of what was taken so far */
};

/* Takes the next LEN bytes to P. */
static bool take(struct body *b, void *p, size_t len)
{
	if (fd_read_all(b->fd, p, len) != (ssize_t)len)
		return false;
	b->sum = md_cache_sum(b->sum, p, len);
	return true;
}

static bool take_keywords(struct md_box *box, struct body *b, const uint64_t *w)
{
	size_t bytes = (size_t)w[W_KEYWORD_BYTES], at = 0;
	char *text = mem_grow(NULL, bytes);
	bool ok = take(b, text, bytes);

	while (ok && at < bytes) {
		size_t len = strnlen(text + at, bytes - at);
		uint32_t n = box->n_keywords;

		/* It must be a new one, so that indices stay what they were. */
		ok = len < bytes - at && md_box_keyword_add(box, text + at, len) == n && box->n_keywords == n + 1;
		at += len + 1;
	}
	mem_free(&text);
	return ok && box->n_keywords == w[W_KEYWORDS];
}

static bool take_names(struct md_box *box, struct body *b, const uint64_t *w)
{
	box->names_bytes = (size_t)w[W_NAME_BYTES];
	box->names = mem_grow(NULL, box->names_bytes);
	return take(b, box->names, box->names_bytes);
}

static bool is_size(int64_t v)
{
	return v == MD_UNKNOWN || v >= 0;
}

static bool is_time(int64_t v)
{
	return v == MD_UNKNOWN || (v >= -TIME_MAX && v <= TIME_MAX);
}

/* Adds the message of E; its name is at *AT of the names. */
static bool add_message(struct md_box *box, const struct entry *e, size_t *at)
{
	struct md_msg *m = &box->msgs[box->n];
	size_t left = box->names_bytes - *at;
	char *name = box->names + *at;

	if (e->uid <= md_box_last_uid(box) || e->uid >= box->uidnext || e->in_new > 1 || !is_size(e->bytes) ||
	    !is_size(e->octets) || !is_time(e->mtime))
		return false;
	if (e->name_len > MD_NAME_MAX || strnlen(name, left) != e->name_len || e->name_len == left ||
	    !md_name_valid(name))
		return false;
	m->uid = e->uid;
	m->name = name;
	m->base_len = (uint16_t)md_name_base_len(name);
	m->flags = (uint8_t)md_name_flags(name);
	m->in_new = e->in_new != 0;
	m->mtime = e->mtime;
	m->bytes = e->bytes;
	m->octets = e->octets;
	box->n++;
	*at += e->name_len + 1;
	return true;
}

static bool take_messages(struct md_box *box, struct body *b, const uint64_t *w)
{
	struct entry batch[BATCH];
	size_t n = (size_t)w[W_MESSAGES], at = 0;

	box->cap = n;
	box->msgs = mem_array(n, sizeof(*box->msgs));
	while (box->n < n) {
		size_t some = MIN(n - box->n, (size_t)BATCH);

		if (!take(b, batch, some * sizeof(batch[0])))
			return false;
		for (size_t i = 0; i < some; i++)
			if (!add_message(box, &batch[i], &at))
				return false;
	}
	return at == box->names_bytes;
}

/* Takes the keywords of one message at IDX, before END; *LAST: the number of the one before, plus 1. The words that
 * were taken; 0: impossible. */
static size_t set_keywords(struct md_box *box, const uint32_t *idx, const uint32_t *end, uint32_t *last)
{
	size_t left = (size_t)(end - idx);
	struct md_kwset *kw;
	uint32_t n;

	if (left < 3 || idx[0] < *last || idx[0] >= box->n || idx[1] == 0 || idx[1] > left - 2)
		return 0;
	*last = idx[0] + 1;
	n = idx[1];
	for (uint32_t k = 0; k < n; k++)
		if (idx[2 + k] >= box->n_keywords || (k != 0 && idx[2 + k] <= idx[1 + k]))
			return 0;
	kw = box->msgs[idx[0]].kw = mem_alloc(sizeof(*kw) + n * sizeof(kw->idx[0]));
	kw->n = n;
	memcpy(kw->idx, idx + 2, n * sizeof(*idx));
	return 2 + (size_t)n;
}

static bool take_indices(struct md_box *box, struct body *b, const uint64_t *w)
{
	size_t n = (size_t)w[W_INDICES], some;
	uint32_t *idx = mem_grow(NULL, n * sizeof(*idx)), last = 0;
	bool ok = take(b, idx, n * sizeof(*idx));

	for (size_t at = 0; ok && at < n; at += some) {
		some = set_keywords(box, idx + at, idx + n, &last);
		ok = some != 0;
	}
	mem_free(&idx);
	return ok;
}

static void empty(struct md_box *box)
{
	for (size_t i = 0; i < box->n; i++)
		mem_free(&box->msgs[i].kw);
	for (uint32_t k = 0; k < box->n_keywords; k++)
		mem_free(&box->keywords[k]);
	mem_free(&box->msgs);
	mem_free(&box->names);
	mem_free(&box->keywords);
	mem_free(&box->keyword_order);
	box->n = box->cap = box->names_bytes = box->n_keywords = 0;
	box->uidnext = 0;
}

/* Fills BOX from the body in FD, which the header W is of. */
static bool take_body(struct md_box *box, int fd, const uint64_t *w)
{
	struct body b = { fd, HEADER_BYTES };

	box->uidnext = (uint32_t)w[W_UIDNEXT];
	if (!take_keywords(box, &b, w) || !take_names(box, &b, w) || !take_messages(box, &b, w) ||
	    !take_indices(box, &b, w) || b.sum != w[W_BODY_SUM]) {
		empty(box);
		return false;
	}
	box->uidvalidity = box->uids.uidvalidity = (uint32_t)w[W_UIDVALIDITY];
	box->uids.uidnext = box->uidnext;
	box->uid_highest = md_box_last_uid(box);
	box->kw_pending = (size_t)w[W_KW_PENDING];
	box->kw_ino = w[W_KW_INO];
	box->kw_mtime_s = (int64_t)w[W_KW_S];
	box->kw_mtime_ns = (int64_t)w[W_KW_NS];
	get_stamp(w + W_STAMPS, &box->at_new);
	get_stamp(w + W_STAMPS + W_STAMP_WORDS, &box->at_cur);
	get_stamp(w + W_STAMPS + 2 * W_STAMP_WORDS, &box->at_kw);
	get_stamp(w + W_STAMPS + 3 * W_STAMP_WORDS, &box->uids.file);
	return true;
}

/* Reads the header at the start of FD, a file of SIZE bytes. */
static bool take_header(int fd, off_t size, uint64_t *w)
{
	uint64_t bytes = HEADER_BYTES;

	if (size < HEADER_BYTES || fd_read_all(fd, w, HEADER_BYTES) != HEADER_BYTES || w[W_MAGIC] != MAGIC ||
	    w[W_SUM] != header_sum(w) || w[W_UIDVALIDITY] - 1 >= UINT32_MAX || w[W_UIDNEXT] - 1 >= UIDNEXT_MAX ||
	    w[W_MESSAGES] >= w[W_UIDNEXT] || w[W_IN_NEW] > w[W_MESSAGES] || w[W_UNSEEN] > w[W_MESSAGES])
		return false;
	for (size_t i = 0; i < PARTS; i++) {
		if (part_bytes(w, i) > PART_BYTES_MAX)
			return false;
		bytes += part_bytes(w, i);
	}
	return bytes == (uint64_t)size;
}

bool md_cache_read_bytes(struct md_box *box, int fd)
{
	uint64_t w[W_COUNT];
	struct stat st;

	return fstat(fd, &st) == 0 && take_header(fd, st.st_size, w) && take_body(box, fd, w);
}

static void say_unusable(struct md_root *r, const char *folder)
{
	if (!r->said_cache && r->cache_use == MD_CACHE_USED)
		log_warn("%.120s: " MD_CACHE_FILE " of folder %s is damaged, or not ours, or of another version: it is "
		         "not used, and made anew",
		    r->path, md_folder_text(folder));
	r->said_cache = true;
}

/* What NAME looks like now. It is opened, for NFS asks the server then, while stat() may answer from memory. */
static void ask(struct md_stamp *s, int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	md_stamp_begin(s);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0)
		md_stamp_set(s, &st);
	close(fd);
}

/* True if the folder looks as it did when the cache was made, and the clock was not set back since. */
static bool counts(int dirfd, const uint64_t *w, const struct stat *st)
{
	struct md_stamp then, now;

	for (int i = 0; i < STAMPED; i++) {
		get_stamp(w + W_STAMPS + i * W_STAMP_WORDS, &then);
		ask(&now, dirfd, stamped[i]);
		if (!md_stamp_same(&then, &now) || then.read_at_ms < 0 || then.read_at_ms > TIME_MAX * 1000)
			return false;
	}
	return now.ino != 0 && st->st_mtim.tv_sec <= TIME_MAX &&
	    md_ms(st->st_mtim.tv_sec, st->st_mtim.tv_nsec) <= now.read_at_ms + FUTURE_MS;
}

/* Opens the cache, if there is one that counts, behind its header W; else -1. */
static int open_cache(struct md_root *r, int dirfd, const char *folder, uint64_t *w)
{
	int fd = openat(dirfd, MD_CACHE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) != 0 || !md_cache_is_ours(dirfd, &st) || !take_header(fd, st.st_size, w))
		say_unusable(r, folder);
	else if (counts(dirfd, w, &st))
		return fd;
	close(fd);
	return -1;
}

/* What no stamp tells: messages that were stored and that no session has had as recent yet. */
static void mark_recent(struct md_box *box)
{
	uint32_t first = md_recent_first(box->fd, box->uidvalidity);

	for (size_t i = 0; i < box->n; i++) {
		box->msgs[i].recent = box->msgs[i].in_new || box->msgs[i].uid >= first;
		box->n_recent += box->msgs[i].recent;
	}
}

bool md_cache_load(struct md_box *box)
{
	uint64_t w[W_COUNT];
	int fd = md_cache_is_read(box->root) ? open_cache(box->root, box->fd, box->folder, w) : -1;
	bool ok = false;

	if (fd < 0)
		return false;
	/* Who may change something takes the recent messages, under the lock, moves new mail to cur/, and does what is
	 * left to do. */
	if (box->readonly || (w[W_READONLY] == 0 && w[W_IN_NEW] == 0 && !md_recent_there(box->fd))) {
		ok = take_body(box, fd, w);
		box->cache_rw = ok && w[W_READONLY] == 0;
		if (ok)
			mark_recent(box);
		else
			say_unusable(box->root, box->folder);
	}
	close(fd);
	return ok;
}

bool md_cache_status(struct md_root *r, int dirfd, const char *folder, struct md_status *st)
{
	uint64_t w[W_COUNT];
	int fd = md_cache_is_read(r) ? open_cache(r, dirfd, folder, w) : -1;

	if (fd < 0)
		return false;
	close(fd);
	if (md_recent_there(dirfd))
		return false; /* the messages must be asked which are recent */
	st->messages = (uint32_t)w[W_MESSAGES];
	st->recent = (uint32_t)w[W_IN_NEW];
	st->unseen = (uint32_t)w[W_UNSEEN];
	st->uidnext = (uint32_t)w[W_UIDNEXT];
	st->uidvalidity = (uint32_t)w[W_UIDVALIDITY];
	return true;
}
