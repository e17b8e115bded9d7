/* waypostparsed: read, asked, appended to, written anew. */
#include "maildir/md_parsed.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "maildir/md_box_private.h"
#include "maildir/md_cache.h"
#include "maildir/md_dir.h"

#define MAGIC 0x31725057u /* "WPr1": the digit is the version */

/* What stands before the bytes of a record. */
struct head {
	uint32_t magic, uid, kind, len;
	uint64_t base;
	uint64_t sum; /* of those before it and the bytes */
};

/* Where the bytes of a message's records are. */
struct place {
	const char *p; /* NULL: there is none */
	uint32_t len;
};

struct known {
	uint32_t uid;
	struct place of[MD_PARSED_KINDS];
};

struct md_parsed {
	bool read;           /* the file was */
	bool damaged;        /* what it holds after some place is not believed */
	size_t asked;        /* before it was read */
	char *text;          /* of the file */
	size_t len, wasted;  /* bytes of it, those of them that are of no message */
	struct known *known; /* for each message of the view, by index */
	size_t n;
	struct str noted; /* records for the file */
	size_t added;     /* bytes of those that it got already */
};

enum { NOTED_MAX = 1 << 20 };

uint64_t md_parsed_base(const char *name, size_t len)
{
	return md_cache_sum(len, name, len);
}

static uint64_t record_sum(const struct head *h, const char *p)
{
	return md_cache_sum(md_cache_sum(MAGIC, h, offsetof(struct head, sum)), p, h->len);
}

void md_parsed_seal(char *p, size_t len)
{
	struct head h;

	memcpy(&h, p, sizeof(h));
	h.magic = MAGIC;
	h.len = (uint32_t)(len - sizeof(h));
	h.sum = record_sum(&h, p + sizeof(h));
	memcpy(p, &h, sizeof(h));
}

void md_parsed_add(struct str *out, const struct md_parsed_record *r)
{
	struct head h = { .uid = r->uid, .kind = r->kind, .base = r->base };
	size_t start = out->len;

	str_add(out, &h, sizeof(h));
	str_add(out, r->p, r->len);
	md_parsed_seal(out->data + start, out->len - start);
}

bool md_parsed_take(const char *p, size_t len, size_t *at, struct md_parsed_record *r)
{
	size_t left = len - *at;
	struct head h;

	if (left < sizeof(h))
		return false;
	memcpy(&h, p + *at, sizeof(h));
	if (h.magic != MAGIC || h.kind >= MD_PARSED_KINDS || h.len > MD_PARSED_RECORD_MAX || h.len > left - sizeof(h))
		return false;
	r->p = p + *at + sizeof(h);
	if (h.sum != record_sum(&h, r->p))
		return false;
	r->uid = h.uid;
	r->kind = h.kind;
	r->base = h.base;
	r->len = h.len;
	*at += sizeof(h) + h.len;
	return true;
}

static struct md_parsed *parsed_of(struct md_box *box)
{
	if (box->parsed == NULL)
		box->parsed = mem_alloc(sizeof(*box->parsed));
	return box->parsed;
}

/* --- reading --- */

/* Opens the file with FLAGS if it is the owner's alone; *ST describes it. -1: there is none; it may be replaced. */
static int open_file(const struct md_box *box, int flags, struct stat *st)
{
	int fd = openat(box->fd, MD_PARSED_FILE, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, st) == 0 && md_cache_is_ours(box->fd, st) && st->st_size <= MD_PARSED_FILE_MAX)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* Puts the records of the text into their places. */
static void place_records(const struct md_box *box, struct md_parsed *ps)
{
	struct md_parsed_record r;
	size_t at = 0, was = 0, i;

	for (; md_parsed_take(ps->text, ps->len, &at, &r); was = at) {
		i = md_box_find(box, r.uid);
		if (i == ps->n || ps->known[i].uid != r.uid || ps->known[i].of[r.kind].p != NULL ||
		    r.base != md_parsed_base(box->msgs[i].name, box->msgs[i].base_len)) {
			ps->wasted += at - was;
			continue;
		}
		ps->known[i].of[r.kind].p = r.p;
		ps->known[i].of[r.kind].len = (uint32_t)r.len;
	}
	ps->damaged = at != ps->len;
	if (ps->damaged && !box->root->said_parsed) {
		if (box->root->cache_use == MD_CACHE_USED)
			log_warn("%.120s: " MD_PARSED_FILE
			         " of folder %s is damaged, or of another version: what follows byte %zu "
			         "is not used, and made anew",
			    box->root->path, md_folder_text(box->folder), at);
		box->root->said_parsed = true;
	}
}

/* Reads the file, of SIZE bytes, from FD (-1: there is none). */
static void read_file(struct md_box *box, struct md_parsed *ps, int fd, size_t size)
{
	ssize_t n;

	ps->n = box->n;
	ps->known = mem_array(box->n, sizeof(*ps->known));
	for (size_t i = 0; i < box->n; i++)
		ps->known[i].uid = box->msgs[i].uid;
	ps->read = true;
	if (fd < 0)
		return;
	ps->text = mem_grow(NULL, size + 1);
	n = fd_read_all(fd, ps->text, size);
	ps->len = n < 0 ? 0 : (size_t)n;
	place_records(box, ps);
}

/* Reads the file, unless it WAITS until that is worth it. */
static void read_once(struct md_box *box, struct md_parsed *ps, bool waits)
{
	struct stat st = { 0 };
	int fd;

	if (ps->read || box->n == 0)
		return;
	ps->asked++;
	fd = md_cache_is_read(box->root) ? open_file(box, O_RDONLY, &st) : -1;
	if (fd < 0 || !waits || (uint64_t)st.st_size / MD_PARSED_WORTH <= ps->asked)
		read_file(box, ps, fd, (size_t)st.st_size);
	if (fd >= 0)
		close(fd);
}

void md_parsed_read(struct md_box *box)
{
	read_once(box, parsed_of(box), false);
}

/* The place of that of message I; NULL if the view has changed since the file was read. */
static struct place *place_of(const struct md_box *box, const struct md_parsed *ps, size_t i, enum md_parsed_kind kind)
{
	if (!ps->read || i >= ps->n || ps->known[i].uid != box->msgs[i].uid)
		return NULL;
	return &ps->known[i].of[kind];
}

bool md_parsed_get(struct md_box *box, size_t i, enum md_parsed_kind kind, const char **p, size_t *len)
{
	struct md_parsed *ps = parsed_of(box);
	const struct place *at;

	if (box->msgs[i].gone)
		return false;
	read_once(box, ps, true);
	at = place_of(box, ps, i, kind);
	if (at == NULL || at->p == NULL)
		return false;
	*p = at->p;
	*len = at->len;
	return true;
}

/* --- writing --- */

/* The records that are of a message, then the new ones. */
static bool text_anew(const struct md_box *box, const struct stat *made UNUSED, struct str *out, const void *arg)
{
	const struct md_parsed *ps = arg;

	for (size_t i = 0; i < ps->n; i++)
		for (uint32_t k = 0; k < MD_PARSED_KINDS; k++) {
			const struct place *at = &ps->known[i].of[k];
			struct md_parsed_record r = { ps->known[i].uid, k,
				md_parsed_base(box->msgs[i].name, box->msgs[i].base_len), at->p, at->len };

			if (at->p != NULL && box->msgs[i].uid == r.uid)
				md_parsed_add(out, &r);
		}
	str_add(out, str_cstr(&ps->noted), ps->noted.len);
	return true;
}

/* Appends the new records in one write. One that is cut short is found by the next reader. */
static void append(const struct md_box *box, const struct md_parsed *ps, int fd)
{
	ssize_t n = write(fd, ps->noted.data, ps->noted.len);

	if (n >= 0 && (size_t)n < ps->noted.len)
		log_debug("%.120s: " MD_PARSED_FILE " is cut short", box->root->path);
}

/* Nothing is kept of a box that changes nothing, but where the caches are made anew. */
static bool is_kept(const struct md_box *box)
{
	return (!box->readonly || box->root->cache_use == MD_CACHE_ANEW) && md_cache_is_written(box->root);
}

/* Writes what was noted. If that fails with a damaged file, it is removed: else each command would try again. */
static void save(struct md_box *box, struct md_parsed *ps)
{
	bool anew = ps->damaged || ps->wasted > ps->len / 2;
	struct stat st;
	int fd;

	if (!ps->read || box->n < ps->n || (ps->noted.len == 0 && !anew) || !is_kept(box) || !md_cache_may_write(box))
		return;
	fd = anew ? -1 : open_file(box, O_WRONLY | O_APPEND, &st);
	if (fd >= 0) {
		append(box, ps, fd);
		close(fd);
	} else if (!md_cache_replace(box, MD_PARSED_FILE, text_anew, ps) && ps->damaged) {
		unlinkat(box->fd, MD_PARSED_FILE, 0);
	}
	ps->damaged = false;
	ps->wasted = 0;
	ps->added += ps->noted.len;
	str_clear(&ps->noted);
}

void md_parsed_put(struct md_box *box, size_t i, enum md_parsed_kind kind, const void *p, size_t len)
{
	struct md_parsed *ps = parsed_of(box);
	struct place *at = place_of(box, ps, i, kind);
	struct md_parsed_record r = { .uid = box->msgs[i].uid, .kind = kind, .p = p, .len = len };

	if (at == NULL || at->p != NULL || len > MD_PARSED_RECORD_MAX || !box->uid_sticky ||
	    ps->len + ps->added + ps->noted.len + len > MD_PARSED_FILE_MAX / 2 || !is_kept(box))
		return;
	r.base = md_parsed_base(box->msgs[i].name, box->msgs[i].base_len);
	md_parsed_add(&ps->noted, &r);
	if (ps->noted.len >= NOTED_MAX)
		save(box, ps);
}

void md_parsed_end(struct md_box *box)
{
	struct md_parsed *ps = box->parsed;

	if (ps == NULL)
		return;
	save(box, ps);
	str_fini(&ps->noted);
	mem_free(&ps->known);
	mem_free(&ps->text);
	mem_free(&box->parsed);
}
