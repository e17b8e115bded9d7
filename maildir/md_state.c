/* waypoststate: read, added to, written anew. */
#include "maildir/md_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "maildir/md_cache.h"
#include "maildir/md_dir.h"

#define MAGIC 0x3165746174735057u /* "WPstate1": the digit is the version */
#define BLOCK_MAGIC 0x31625057u   /* "WPb1" */

enum { WASTE_MIN = 65536 }; /* bytes out of date for which a file is not written anew */

struct header {
	uint64_t magic, sum; /* of what comes after it */
	uint64_t id[2], floor, uidvalidity;
};

_Static_assert(sizeof(struct header) == MD_STATE_HEADER_BYTES, "the header's length");

/* What stands before the entries of a block. */
struct block {
	uint32_t magic, n; /* entries */
	uint64_t highest;
	uint32_t uidnext, head_sum; /* of what is before it: how long a block is can be believed without its end */
	uint64_t sum;               /* of what is before it, and of the entries */
};

void md_state_drop_file(struct md_state *s)
{
	if (s->ino != 0)
		close(s->fd);
	s->ino = 0;
}

void md_state_fini(struct md_state *s)
{
	md_state_drop_file(s);
	mem_free(&s->e);
	memset(s, 0, sizeof(*s));
}

/* --- entries --- */

const struct md_state_entry *md_state_find(const struct md_state *s, uint32_t uid)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->e[mid].uid < uid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->e[lo].uid == uid ? &s->e[lo] : NULL;
}

/* Merges the N entries at E, by UID, into S: they are later. */
static void merge(struct md_state *s, const struct md_state_entry *e, size_t n)
{
	struct md_state_entry *all = mem_array(s->n + n, sizeof(*all));
	size_t i = 0, k = 0, to = 0;

	s->n_gone = 0;
	while (i < s->n || k < n) {
		bool later = k < n && (i == s->n || e[k].uid <= s->e[i].uid);

		if (later && i < s->n && s->e[i].uid == e[k].uid)
			i++;
		all[to] = later ? e[k++] : s->e[i++];
		s->n_gone += all[to++].look == MD_STATE_GONE;
	}
	mem_free(&s->e);
	s->e = all;
	s->n = to;
}

/* An entry of a file, and which one it was. */
struct placed {
	struct md_state_entry e;
	size_t at;
};

static int by_uid(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;

	if (x->e.uid != y->e.uid)
		return x->e.uid < y->e.uid ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Merges the N entries at P as a file has them: in any order, the last of each UID counts. */
static void merge_unordered(struct md_state *s, struct placed *p, size_t n)
{
	struct md_state_entry *e = mem_array(n, sizeof(*e));
	size_t to = 0;

	if (n != 0)
		qsort(p, n, sizeof(*p), by_uid);
	for (size_t i = 0; i < n; i++) {
		to -= to != 0 && e[to - 1].uid == p[i].e.uid;
		e[to++] = p[i].e;
	}
	merge(s, e, to);
	mem_free(&e);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Drops the expunged ones that went first if there are too many. */
static void drop_oldest(struct md_state *s)
{
	uint64_t *gone;
	size_t n = 0, to = 0;

	if (s->n_gone <= MD_STATE_GONE_MAX)
		return;
	gone = mem_array(s->n_gone, sizeof(*gone));
	for (size_t i = 0; i < s->n; i++)
		if (s->e[i].look == MD_STATE_GONE)
			gone[n++] = s->e[i].modseq;
	qsort(gone, n, sizeof(*gone), by_value);
	s->floor = MAX(s->floor, gone[n - MD_STATE_GONE_MAX - 1]);
	mem_free(&gone);
	s->n_gone = 0;
	for (size_t i = 0; i < s->n; i++) {
		bool is_gone = s->e[i].look == MD_STATE_GONE;

		if (is_gone && s->e[i].modseq <= s->floor)
			continue;
		s->n_gone += is_gone;
		s->e[to++] = s->e[i];
	}
	s->n = to;
}

uint64_t md_state_next(const struct md_state *s)
{
	struct timespec ts;
	uint64_t now = 1;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec > 0 && (uint64_t)ts.tv_sec < MD_STATE_MODSEQ_MAX / 1000000)
		now = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
	return MAX(now, s->highest + 1);
}

/* --- text --- */

static uint64_t header_sum(const struct header *h)
{
	return md_cache_sum(MAGIC, h->id, sizeof(*h) - offsetof(struct header, id));
}

static uint32_t head_sum(const struct block *b)
{
	return (uint32_t)md_cache_sum(BLOCK_MAGIC, b, offsetof(struct block, head_sum));
}

static uint64_t block_sum(const struct block *b, const void *entries, size_t len)
{
	return md_cache_sum(md_cache_sum(BLOCK_MAGIC, b, offsetof(struct block, sum)), entries, len);
}

static void format_header(const struct md_state *s, struct str *out)
{
	struct header h = { .id = { s->id[0], s->id[1] }, .uidvalidity = s->uidvalidity };

	h.floor = s->uidvalidity != 0 ? s->floor : s->highest;
	str_add(out, &h, sizeof(h));
}

static void format_block(const struct md_state_entry *e, size_t n, uint64_t highest, uint32_t uidnext, struct str *out)
{
	struct block b = { .n = (uint32_t)n, .highest = highest, .uidnext = uidnext };

	str_add(out, &b, sizeof(b));
	str_add(out, e, n * sizeof(*e));
}

/* Puts mark, number of entries and checksum into the block at P, of at most LEN bytes. Returns its length. */
static size_t seal_block(char *p, size_t len)
{
	struct block b;

	memcpy(&b, p, sizeof(b));
	b.magic = BLOCK_MAGIC;
	b.n = (uint32_t)MIN((size_t)b.n, (len - sizeof(b)) / sizeof(struct md_state_entry));
	b.head_sum = head_sum(&b);
	b.sum = block_sum(&b, p + sizeof(b), b.n * sizeof(struct md_state_entry));
	memcpy(p, &b, sizeof(b));
	return sizeof(b) + b.n * sizeof(struct md_state_entry);
}

void md_state_seal(char *p, size_t len)
{
	struct header h;

	memcpy(&h, p, sizeof(h));
	h.magic = MAGIC;
	h.sum = header_sum(&h);
	memcpy(p, &h, sizeof(h));
	for (size_t at = sizeof(h); len - at >= sizeof(struct block);)
		at += seal_block(p + at, len - at);
}

void md_state_format(const struct md_state *s, struct str *out)
{
	size_t start = out->len;

	format_header(s, out);
	if (s->uidvalidity != 0)
		format_block(s->e, s->n, s->highest, s->uidnext, out);
	md_state_seal(out->data + start, out->len - start);
}

static bool take_header(struct md_state *s, const char *p, size_t len)
{
	struct header h;

	if (len < sizeof(h))
		return false;
	memcpy(&h, p, sizeof(h));
	if (h.magic != MAGIC || h.sum != header_sum(&h) || h.floor > MD_STATE_MODSEQ_MAX || h.uidvalidity > UINT32_MAX)
		return false;
	s->id[0] = h.id[0];
	s->id[1] = h.id[1];
	s->floor = h.floor;
	s->highest = MAX(s->highest, h.floor);
	s->uidvalidity = (uint32_t)h.uidvalidity;
	return true;
}

static bool is_entry(const struct md_state_entry *e, const struct block *b)
{
	return e->uid != 0 && e->uid < b->uidnext && e->modseq != 0 && e->modseq <= b->highest &&
	    ((e->look & ~(uint32_t)MD_FLAGS_ALL) == 0 || (e->look == MD_STATE_GONE && e->keywords == 0));
}

/* The head of a block at P, of LEN bytes that are left. False if there is none, or it is damaged. */
static bool take_block(const struct md_state *s, const char *p, size_t len, struct block *b)
{
	if (len < sizeof(*b))
		return false;
	memcpy(b, p, sizeof(*b));
	return b->magic == BLOCK_MAGIC && b->head_sum == head_sum(b) &&
	    b->n <= (len - sizeof(*b)) / sizeof(struct md_state_entry) &&
	    b->sum == block_sum(b, p + sizeof(*b), b->n * sizeof(struct md_state_entry)) &&
	    b->highest <= MD_STATE_MODSEQ_MAX && b->highest >= s->floor && b->uidnext >= s->uidnext;
}

/* Whether the LEN bytes at P, after the last whole block, are what is left of a record whose writer ended in the middle
 * of it: then nobody was told of it. */
static bool is_torn(const char *p, size_t len)
{
	struct block b;

	if (len < sizeof(b))
		return true;
	memcpy(&b, p, sizeof(b));
	if (b.magic == BLOCK_MAGIC && b.head_sum == head_sum(&b))
		return b.n > (len - sizeof(b)) / sizeof(struct md_state_entry);
	for (size_t i = 0; i < len; i++)
		if (p[i] != '\0')
			return false;
	return true; /* the file had become longer, but got no bytes */
}

bool md_state_parse_bytes(struct md_state *s, const char *p, size_t len, bool more)
{
	struct placed *all = NULL;
	size_t at = 0, n = 0;
	struct block b;
	bool ok = true;

	s->torn = 0;
	if (!more) {
		if (!take_header(s, p, len))
			return false;
		at = sizeof(struct header);
		ok = (s->uidvalidity != 0) == (len > at);
	}
	all = mem_array(len / sizeof(struct md_state_entry), sizeof(*all));
	while (ok && at < len) {
		ok = take_block(s, p + at, len - at, &b);
		if (!ok) {
			ok = (more || at > sizeof(struct header)) && is_torn(p + at, len - at);
			s->torn = ok ? len - at : 0;
			break;
		}
		at += sizeof(b);
		s->highest = MAX(s->highest, b.highest);
		s->uidnext = b.uidnext;
		for (size_t i = 0; ok && i < b.n; i++, at += sizeof(struct md_state_entry)) {
			memcpy(&all[n].e, p + at, sizeof(all[n].e));
			ok = is_entry(&all[n].e, &b);
			all[n].at = n;
			n++;
		}
	}
	if (ok)
		merge_unordered(s, all, n);
	mem_free(&all);
	return ok;
}

/* --- reading --- */

/* FD, which ST describes, is the file now. */
static void note_file(struct md_state *s, int fd, const struct stat *st)
{
	md_state_drop_file(s);
	s->fd = fd;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	s->size = (uint64_t)st->st_size - s->torn;
}

static bool is_same_file(const struct md_state *s, const struct stat *st)
{
	return s->ino != 0 && s->dev == st->st_dev && s->ino == st->st_ino;
}

bool md_state_is_same(int dirfd, const struct md_state *s)
{
	struct stat st;

	return fstatat(dirfd, MD_STATE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 && is_same_file(s, &st) &&
	    s->size == (uint64_t)st.st_size;
}

/* Reads the file FD, which ST describes, from where it was read before, if it has only grown. */
static enum md_state_read take_file(struct md_state *s, int fd, const struct stat *st)
{
	bool more = is_same_file(s, st) && s->uidvalidity != 0 && s->size < (uint64_t)st->st_size, ok;
	size_t len = (size_t)st->st_size - (more ? (size_t)s->size : 0);
	uint64_t highest = s->highest;
	ssize_t n = -1;
	char *text = mem_grow(NULL, len + 1);

	if (lseek(fd, st->st_size - (off_t)len, SEEK_SET) >= 0)
		n = fd_read_all(fd, text, len);
	if (n >= 0 && !more) {
		md_state_fini(s);
		s->highest = highest;
	}
	ok = n == (ssize_t)len && md_state_parse_bytes(s, text, len, more);
	mem_free(&text);
	return n < 0 ? MD_STATE_FAILED : ok ? MD_STATE_READ : MD_STATE_DAMAGED;
}

/* What is there, opened as FD: -1 with errno if it cannot be. */
static enum md_state_read take(struct md_state *s, int dirfd, int fd, struct stat *st)
{
	struct stat dir;

	if (fd < 0)
		return errno == ENOENT ? MD_STATE_NONE : errno == ELOOP ? MD_STATE_DAMAGED : MD_STATE_FAILED;
	if (fstat(fd, st) != 0 || fstat(dirfd, &dir) != 0)
		return MD_STATE_FAILED;
	if (!md_cache_belongs(&dir, st) || st->st_size > MD_STATE_FILE_MAX)
		return MD_STATE_DAMAGED;
	if (is_same_file(s, st) && s->size == (uint64_t)st->st_size)
		return MD_STATE_SAME;
	return take_file(s, fd, st);
}

static void say_damaged(struct md_root *r, const char *folder)
{
	if (!r->said_state)
		log_warn("%.120s: " MD_STATE_FILE " of folder %s is damaged, or not ours, or of another version: it is "
		         "made anew, and mail programs that synchronise will look at the whole folder once",
		    r->path, md_folder_text(folder));
	r->said_state = true;
}

enum md_state_read md_state_read(struct md_root *r, int dirfd, const char *folder, struct md_state *s)
{
	int fd = openat(dirfd, MD_STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	enum md_state_read how = take(s, dirfd, fd, &st);

	if (how == MD_STATE_FAILED)
		md_fail(r, MD_IO, errno, "cannot read " MD_STATE_FILE " of folder %s", md_folder_text(folder));
	if (how == MD_STATE_READ)
		note_file(s, fd, &st);
	else if (fd >= 0)
		close(fd);
	if (how == MD_STATE_NONE || how == MD_STATE_DAMAGED)
		md_state_drop_file(s);
	if (how == MD_STATE_DAMAGED)
		say_damaged(r, folder);
	return how;
}

bool md_state_read_id(int dirfd, uint64_t id[2])
{
	int fd = openat(dirfd, MD_STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[sizeof(struct header)];
	struct md_state s = { 0 };
	struct stat st;
	bool ok;

	if (fd < 0)
		return false;
	ok = fstat(fd, &st) == 0 && md_cache_is_ours(dirfd, &st) &&
	    fd_read_all(fd, text, sizeof(text)) == sizeof(text) && take_header(&s, text, sizeof(text));
	close(fd);
	id[0] = s.id[0];
	id[1] = s.id[1];
	return ok && (s.id[0] != 0 || s.id[1] != 0);
}

/* --- writing --- */

static enum md_err write_failed(struct md_root *r, const char *folder, int err)
{
	return md_fail(r, md_errno(err) == MD_GONE ? MD_IO : md_errno(err), err,
	    "cannot write " MD_STATE_FILE " of folder %s", md_folder_text(folder));
}

/* Puts TEXT in the place of the file, synced. Its descriptor, or -1 with errno. */
static int put_file(struct md_root *r, int dirfd, const struct str *text, struct stat *st)
{
	struct stat dir;
	int fd = -1;

	if (fstat(dirfd, &dir) != 0 || md_replace_private(r, dirfd, MD_STATE_FILE, text, st) != 0)
		return -1;
	if (!md_cache_belongs(&dir, st)) {
		/* A mount gives files an owner or a mode of its own: no reader would believe it. */
		unlinkat(dirfd, MD_STATE_FILE, 0);
		errno = EPERM;
	} else if (md_sync_dir(dirfd, ".") == 0) {
		fd = openat(dirfd, MD_STATE_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	}
	return fd;
}

enum md_err md_state_write(struct md_root *r, int dirfd, const char *folder, struct md_state *s)
{
	struct str text = STR_INIT;
	struct stat st;
	enum md_err e = MD_OK;
	int fd;

	while (s->id[0] == 0 && s->id[1] == 0)
		rnd_bytes(s->id, sizeof(s->id));
	drop_oldest(s);
	md_state_format(s, &text);
	s->torn = 0;
	if (text.len > MD_STATE_FILE_MAX)
		e = md_fail(r, MD_LIMIT, 0, "folder %s has too many messages for " MD_STATE_FILE,
		    md_folder_text(folder));
	else if ((fd = put_file(r, dirfd, &text, &st)) < 0)
		e = write_failed(r, folder, errno);
	else
		note_file(s, fd, &st);
	str_fini(&text);
	return e;
}

/* Appends TEXT to the file, synced. 0, or -1 with errno: the file is as it was. */
static int append(int dirfd, const struct md_state *s, const struct str *text)
{
	int fd = openat(dirfd, MD_STATE_FILE, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), err;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) == 0 && is_same_file(s, &st) && s->size == (uint64_t)st.st_size) {
		if (fd_write_all(fd, text->data, text->len) && fdatasync(fd) == 0) {
			close(fd); /* it is on disk, whatever that says */
			return 0;
		}
		err = errno;
		if (ftruncate(fd, (off_t)s->size) != 0)
			log_debug("cannot cut " MD_STATE_FILE); /* then its end is torn, or counts */
	} else {
		err = ESTALE;
	}
	close(fd);
	errno = err;
	return -1;
}

static void take_changes(struct md_state *s, const struct md_state_entry *e, size_t n, uint64_t modseq,
    uint32_t uidnext)
{
	merge(s, e, n);
	s->highest = MAX(s->highest, modseq);
	s->uidnext = MAX(s->uidnext, uidnext);
}

/* Writes the file anew, with the changes. */
static enum md_err add_anew(struct md_root *r, int dirfd, const char *folder, struct md_state *s,
    const struct md_state_entry *e, size_t n, uint64_t modseq, uint32_t uidnext)
{
	struct md_state all = *s;
	enum md_err err;

	all.ino = 0;
	all.e = mem_array(s->n, sizeof(*all.e));
	if (s->n != 0)
		memcpy(all.e, s->e, s->n * sizeof(*all.e));
	take_changes(&all, e, n, modseq, uidnext);
	err = md_state_write(r, dirfd, folder, &all);
	if (err == MD_OK) {
		md_state_fini(s);
		*s = all;
	} else {
		md_state_fini(&all);
	}
	return err;
}

enum md_err md_state_add(struct md_root *r, int dirfd, const char *folder, struct md_state *s,
    const struct md_state_entry *e, size_t n, uint64_t modseq, uint32_t uidnext)
{
	size_t gone = s->n_gone, bytes = (s->n + n) * sizeof(*e);
	struct str text = STR_INIT;
	enum md_err err = MD_OK;

	for (size_t i = 0; i < n; i++)
		gone += e[i].look == MD_STATE_GONE;
	if (s->torn != 0 || gone > 2 * MD_STATE_GONE_MAX || s->size + n * sizeof(*e) > WASTE_MIN + 2 * bytes)
		return add_anew(r, dirfd, folder, s, e, n, modseq, uidnext);
	format_block(e, n, modseq, MAX(uidnext, s->uidnext), &text);
	seal_block(text.data, text.len);
	if (append(dirfd, s, &text) == 0) {
		s->size += text.len;
		take_changes(s, e, n, modseq, uidnext);
	} else {
		err = write_failed(r, folder, errno);
	}
	str_fini(&text);
	return err;
}
