/* courierimapkeywords/: read, written, merged. */
#include "maildir/md_keyword.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/mem.h"
#include "lib/race.h"
#include "maildir/md_dir.h"
#include "maildir/md_lock.h"
#include "maildir/md_name.h"
#include "maildir/md_scan.h"

#define LIST_FILE MD_KW_DIR "/:list"

enum {
	LIST_BYTES_MAX = 256 << 20,
	UPDATE_BYTES_MAX = 1 << 20,
	SLICE = 300,     /* seconds of one N */
	KEEP_SLICES = 3, /* 15 minutes */
	LOAD_TRIES = 4
};

/* Characters that no IMAP atom may contain, and those that Courier forbids. */
static bool is_forbidden(unsigned char c)
{
	return c <= ' ' || c >= 127 || strchr("(){%*\"\\]", c) != NULL;
}

bool md_kw_valid(const char *name, size_t len)
{
	if (len == 0 || len > MD_KEYWORD_LEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (is_forbidden((unsigned char)name[i]))
			return false;
	return true;
}

/* Appends NAME, with '_' for bytes that no keyword may contain. False if it is empty or too long. */
static bool md_kw_clean(struct str *out, const char *name, size_t len)
{
	if (len == 0 || len > MD_KEYWORD_LEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		str_addc(out, is_forbidden((unsigned char)name[i]) ? '_' : name[i]);
	return true;
}

/* --- ":list" --- */

void md_kwlist_fini(struct md_kwlist *l)
{
	str_fini(&l->text);
	mem_free(&l->name);
	mem_free(&l->msg);
	mem_free(&l->idx);
	memset(l, 0, sizeof(*l));
}

/* Grows ARRAY, which has N members, by doubling when N is a power of two. */
#define PUSH(array, n) \
	do { \
		if (((n) & ((n)-1)) == 0) \
			(array) = mem_grow((array), ((n) != 0 ? (n)*2 : 1) * sizeof(*(array))); \
	} while (0)

static void add_name(struct md_kwlist *l, const char *p, size_t len)
{
	size_t at = l->text.len;

	/* A name that we cannot keep still counts, or later indices would be wrong. */
	if (!md_kw_clean(&l->text, p, len))
		str_adds(&l->text, "");
	str_addc(&l->text, '\0');
	PUSH(l->name, l->n_names);
	l->name[l->n_names++] = (uint32_t)at;
}

static void add_indices(struct md_kwlist *l, const char *p, const char *end, struct md_kwlist_msg *m)
{
	while (p < end) {
		uint32_t v = 0;
		const char *start = p;

		for (; p < end && *p >= '0' && *p <= '9' && v <= MD_KEYWORDS_MAX; p++)
			v = v * 10 + (unsigned)(*p - '0');
		if (p != start && (p == end || *p == ' ') && v < l->n_names && m->n < l->n_names) {
			PUSH(l->idx, l->n_idx);
			l->idx[l->n_idx++] = v;
			m->n++;
		}
		while (p < end && *p != ' ')
			p++;
		while (p < end && *p == ' ')
			p++;
	}
}

static void add_msg(struct md_kwlist *l, const char *p, size_t len)
{
	const char *colon = memrchr(p, ':', len);
	struct md_kwlist_msg m;

	if (colon == NULL || colon == p || colon - p > MD_NAME_MAX || memchr(p, '\0', len) != NULL)
		return;
	m.base = (uint32_t)l->text.len;
	m.first = (uint32_t)l->n_idx;
	m.n = 0;
	add_indices(l, colon + 1, p + len, &m);
	if (m.n == 0)
		return;
	str_add(&l->text, p, (size_t)(colon - p));
	str_addc(&l->text, '\0');
	PUSH(l->msg, l->n_msgs);
	l->msg[l->n_msgs++] = m;
}

void md_kwlist_parse(struct md_kwlist *l, const char *p, size_t len)
{
	const char *end = p + len;
	bool names = true;

	while (p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((nl != NULL ? nl : end) - p);

		if (names && n == 0)
			names = false;
		else if (!names)
			add_msg(l, p, n);
		else if (l->n_names < MD_KEYWORDS_MAX)
			add_name(l, p, n);
		p += n + 1;
	}
}

/* --- sets of keywords --- */

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* A set of the N indices IDX (sorted here); NULL if there are none. */
static struct md_kwset *set_new(uint32_t *idx, size_t n)
{
	struct md_kwset *s;
	uint32_t k = 0;

	if (n == 0)
		return NULL;
	qsort(idx, n, sizeof(*idx), by_value);
	s = mem_alloc(sizeof(*s) + n * sizeof(*idx));
	for (size_t i = 0; i < n; i++)
		if (k == 0 || s->idx[k - 1] != idx[i])
			s->idx[k++] = idx[i];
	s->n = k;
	return s;
}

static bool set_same(const struct md_kwset *a, const struct md_kwset *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->n == b->n && memcmp(a->idx, b->idx, a->n * sizeof(a->idx[0])) == 0;
}

bool md_kwset_has(const struct md_kwset *s, uint32_t i)
{
	return s != NULL && bsearch(&i, s->idx, s->n, sizeof(i), by_value) != NULL;
}

/* --- loading --- */

struct load {
	struct md_box *box;
	struct md_hash hash;
	struct md_kwset **set; /* the keywords of each message of the view now */
	bool *known;           /* ... and whether a pending change gave them */
	size_t pending;
};

static void load_list(struct load *ld, const struct md_kwlist *l)
{
	struct md_box *box = ld->box;
	int64_t *map = mem_array(l->n_names, sizeof(*map));
	uint32_t *idx = mem_array(l->n_names, sizeof(*idx));

	for (size_t i = 0; i < l->n_names; i++) {
		const char *name = l->text.data + l->name[i];

		map[i] = md_box_keyword_add(box, name, strlen(name));
	}
	for (size_t i = 0; i < l->n_msgs; i++) {
		const char *base = l->text.data + l->msg[i].base;
		uint32_t v = md_hash_find_msg(&ld->hash, box, base, strlen(base));
		size_t n = 0;

		if (v == MD_HASH_NONE || ld->known[v])
			continue;
		for (uint32_t k = 0; k < l->msg[i].n; k++)
			if (map[l->idx[l->msg[i].first + k]] >= 0)
				idx[n++] = (uint32_t)map[l->idx[l->msg[i].first + k]];
		mem_free(&ld->set[v]);
		ld->set[v] = set_new(idx, n);
	}
	mem_free(&map);
	mem_free(&idx);
}

/* The lines of a pending change as a set of keywords of BOX. */
static struct md_kwset *parse_update(struct md_box *box, const char *p, size_t len)
{
	const char *end = p + len;
	struct str name = STR_INIT;
	struct md_kwset *set;
	uint32_t *idx = NULL;
	size_t n = 0;

	while (p < end && n < MD_KEYWORDS_MAX) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t l = (size_t)((nl != NULL ? nl : end) - p);

		str_clear(&name);
		if (md_kw_clean(&name, p, l)) {
			int64_t i = md_box_keyword_add(box, name.data, name.len);

			if (i >= 0) {
				PUSH(idx, n);
				idx[n++] = (uint32_t)i;
			}
		}
		p += l + 1;
	}
	set = set_new(idx, n);
	mem_free(&idx);
	str_fini(&name);
	return set;
}

/* The pending change of BASE, if there is one. */
static bool read_update(struct md_box *box, const char *base, size_t len, struct md_kwset **set_out)
{
	struct str path = STR_INIT, text = STR_INIT;
	struct stat st;
	bool there;

	str_adds(&path, MD_KW_DIR "/");
	str_add(&path, base, len);
	there = md_read_file(box->fd, path.data, UPDATE_BYTES_MAX, &text, &st) == 0;
	box->kw_unsure = box->kw_unsure || (!there && errno != ENOENT);
	if (there)
		*set_out = parse_update(box, str_cstr(&text), text.len);
	str_fini(&path);
	str_fini(&text);
	return there;
}

static enum md_err load_updates(struct load *ld)
{
	struct md_box *box = ld->box;
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	enum md_err e = md_dirlist_read(box->root, box->fd, box->folder, MD_KW_DIR, MD_LIST_MESSAGES, &l);

	for (size_t i = 0; e == MD_OK && i < l.n; i++) {
		const char *base = md_dirlist_name(&l, i);
		uint32_t v;

		if (*base == ':')
			continue;
		ld->pending++;
		v = md_hash_find_msg(&ld->hash, box, base, strlen(base));
		if (v != MD_HASH_NONE && read_update(box, base, strlen(base), &ld->set[v]))
			ld->known[v] = true;
	}
	md_dirlist_fini(&l);
	return e == MD_NOTMAILDIR ? MD_OK : e;
}

static void take_list_stamp(struct md_box *box, const struct stat *st)
{
	box->kw_ino = st->st_ino;
	box->kw_mtime_s = st->st_mtim.tv_sec;
	box->kw_mtime_ns = st->st_mtim.tv_nsec;
}

/* Notes the identity of :list, before the changes are read: they may be folded into a later :list before it is read,
 * too. */
static void note_list(struct md_box *box)
{
	struct stat st;

	if (fstatat(box->fd, LIST_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0)
		memset(&st, 0, sizeof(st));
	take_list_stamp(box, &st);
}

static enum md_err load_files(struct load *ld)
{
	struct md_box *box = ld->box;
	struct md_kwlist l = { STR_INIT, 0, 0, 0, NULL, NULL, NULL };
	struct str text = STR_INIT;
	struct stat st;
	enum md_err e;

	box->kw_unsure = false;
	note_list(box);
	e = load_updates(ld);
	RACE("keywords: the changes were read, :list not yet");
	if (e == MD_OK && md_read_file(box->fd, LIST_FILE, LIST_BYTES_MAX, &text, &st) == 0) {
		md_kwlist_parse(&l, str_cstr(&text), text.len);
		load_list(ld, &l);
		md_kwlist_fini(&l);
	} else if (e == MD_OK && errno != ENOENT && errno != ENOTDIR && errno != EFBIG && errno != EINVAL &&
	    errno != ELOOP) {
		e = md_fail(box->root, md_errno(errno), errno, "cannot read the keywords of folder %s",
		    md_folder_text(box->folder));
	}
	str_fini(&text);
	return e;
}

static bool any_keywords(const struct md_box *box)
{
	for (size_t i = 0; i < box->n; i++)
		if (box->msgs[i].kw != NULL)
			return true;
	return false;
}

static bool list_changed(const struct md_box *box)
{
	struct stat st;

	if (fstatat(box->fd, LIST_FILE, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return box->kw_ino != 0;
	return st.st_ino != box->kw_ino || st.st_mtim.tv_sec != box->kw_mtime_s ||
	    st.st_mtim.tv_nsec != box->kw_mtime_ns;
}

/* The result of HOW on OLD. */
static struct md_kwset *combine(const struct md_kwset *old, enum md_store how, const uint32_t *kw, size_t nkw)
{
	size_t n = 0, n_old = old != NULL && how != MD_STORE_SET ? old->n : 0;
	uint32_t *idx = mem_array(n_old + nkw, sizeof(*idx));
	struct md_kwset *s, *named;

	if (nkw != 0)
		memcpy(idx, kw, nkw * sizeof(*idx));
	named = set_new(idx, nkw);
	for (size_t i = 0; i < n_old; i++)
		if (!md_kwset_has(named, old->idx[i]))
			idx[n++] = old->idx[i];
	for (size_t k = 0; named != NULL && how != MD_STORE_REMOVE && k < named->n; k++)
		idx[n++] = named->idx[k];
	s = set_new(idx, n);
	mem_free(&named);
	mem_free(&idx);
	return s;
}

/* While others replace files in the directory, reading it may miss one, and old keywords in :list must not take its
 * place: so messages whose keywords would change are looked up by name. */
static void ask_by_name(struct load *ld)
{
	struct md_box *box = ld->box;

	for (size_t i = 0; i < box->n; i++) {
		const struct md_msg *m = &box->msgs[i];
		struct md_kwset *set = NULL;

		if (ld->known[i] || m->gone || set_same(m->kw, ld->set[i]) ||
		    !read_update(box, m->name, m->base_len, &set))
			continue;
		mem_free(&ld->set[i]);
		ld->set[i] = set;
	}
}

static void load_again(struct load *ld)
{
	for (size_t i = 0; i < ld->box->n; i++) {
		mem_free(&ld->set[i]);
		ld->known[i] = false;
	}
	ld->pending = 0;
}

/* Reads the folder's files; again if changes were folded into another :list meanwhile. */
static enum md_err load_all(struct load *ld)
{
	struct md_box *box = ld->box;

	for (int i = 1;; i++) {
		enum md_err e = load_files(ld);

		if (e == MD_OK && md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR))
			ask_by_name(ld);
		if (e != MD_OK || i == LOAD_TRIES || !list_changed(box))
			return e;
		load_again(ld);
		md_stamp_take(&box->at_kw, box->fd, MD_KW_DIR);
	}
}

enum md_err md_kw_load(struct md_box *box, size_t known)
{
	struct load ld = { .box = box };
	enum md_err e;

	md_stamp_take(&box->at_kw, box->fd, MD_KW_DIR);
	if (box->at_kw.ino == 0 && !any_keywords(box))
		return MD_OK;
	md_hash_box(&ld.hash, box);
	ld.set = mem_array(box->n, sizeof(*ld.set));
	ld.known = mem_array(box->n, sizeof(*ld.known));
	e = load_all(&ld);
	for (size_t i = 0; i < box->n; i++) {
		struct md_msg *m = &box->msgs[i];

		if (e != MD_OK || m->gone || set_same(m->kw, ld.set[i])) {
			mem_free(&ld.set[i]);
			continue;
		}
		mem_free(&m->kw);
		m->kw = ld.set[i];
		if (i < known && !m->changed) {
			m->changed = true;
			box->flagged++;
		}
	}
	if (e == MD_OK)
		box->kw_pending = ld.pending;
	else
		box->at_kw.ino = box->kw_ino = UINT64_MAX; /* no file has this: what is there is still to be read */
	mem_free(&ld.set);
	mem_free(&ld.known);
	md_hash_fini(&ld.hash);
	return e;
}

/* --- writing --- */

static bool make_dir(int dirfd)
{
	return mkdirat(dirfd, MD_KW_DIR, 0755) == 0 ? md_sync_dir(dirfd, ".") == 0 : errno == EEXIST;
}

enum md_err md_kw_write(struct md_root *r, int dirfd, const char *folder, const char *base, size_t base_len,
    const char *const *name, size_t n)
{
	struct str path = STR_INIT, text = STR_INIT;
	struct stat st;
	int rc, err;

	str_adds(&path, MD_KW_DIR "/");
	str_add(&path, base, base_len);
	for (size_t i = 0; i < n; i++)
		str_addf(&text, "%s\n", name[i]);
	rc = md_replace_file(r, dirfd, dirfd, path.data, &text, true, &st);
	if (rc != 0 && errno == ENOENT && make_dir(dirfd))
		rc = md_replace_file(r, dirfd, dirfd, path.data, &text, true, &st);
	err = errno;
	str_fini(&path);
	str_fini(&text);
	if (rc == 0)
		return MD_OK;
	return md_fail(r, md_errno_dir(err), err, "cannot write keywords of folder %s", md_folder_text(folder));
}

void md_kw_forget(int dirfd, const char *base, size_t base_len)
{
	struct str path = STR_INIT;

	str_adds(&path, MD_KW_DIR "/");
	str_add(&path, base, base_len);
	unlinkat(dirfd, path.data, 0);
	str_fini(&path);
}

static enum md_err write_set(struct md_box *box, const struct md_msg *m, const struct md_kwset *s)
{
	const char **name = mem_array(s != NULL ? s->n : 0, sizeof(*name));
	enum md_err e;

	for (uint32_t i = 0; s != NULL && i < s->n; i++)
		name[i] = box->keywords[s->idx[i]];
	e = md_kw_write(box->root, box->fd, box->folder, m->name, m->base_len, name, s != NULL ? s->n : 0);
	mem_free(&name);
	return e;
}

/* Under the lock: updates M's keywords, including changes by others. */
static enum md_err refresh(struct md_box *box, struct md_msg *m)
{
	struct md_kwset *set = NULL;

	if (read_update(box, m->name, m->base_len, &set)) {
		if (!set_same(m->kw, set) && !m->changed) {
			m->changed = true;
			box->flagged++;
		}
		mem_free(&m->kw);
		m->kw = set;
		return MD_OK;
	}
	return list_changed(box) ? md_kw_load(box, box->n) : MD_OK;
}

enum md_err md_kw_store(struct md_box *box, struct md_msg *m, enum md_store how, const uint32_t *kw, size_t nkw)
{
	struct md_kwset *want = combine(m->kw, how, kw, nkw);
	struct md_lock lock = MD_LOCK_INIT;
	enum md_err e = MD_OK;

	/* Nothing to do if what we know is up to date. */
	if (set_same(want, m->kw) && !md_stamp_dirty(&box->at_kw, box->fd, MD_KW_DIR)) {
		box->unsynced |= want != NULL ? MD_SYNC_KEYWORDS : 0; /* another session may not have synced them yet */
		goto out;
	}
	e = md_lock_take(box->root, box->fd, box->folder, &lock);
	if (e != MD_OK)
		goto out;
	e = refresh(box, m);
	RACE("keywords: read, not replaced");
	if (e == MD_OK) {
		mem_free(&want);
		want = combine(m->kw, how, kw, nkw);
		if (!set_same(want, m->kw))
			e = write_set(box, m, want);
		box->unsynced |= want != NULL || m->kw != NULL ? MD_SYNC_KEYWORDS : 0;
	}
	md_lock_drop(&lock);
	if (e == MD_OK) {
		mem_free(&m->kw);
		m->kw = want;
		want = NULL;
		box->kw_pending++;
	}
out:
	mem_free(&want);
	return e;
}

/* --- folding --- */

/* The text of ":list": the keywords in use and who has them. */
static void format_list(const struct md_box *box, struct str *out)
{
	uint32_t *number = mem_array(box->n_keywords, sizeof(*number)), n = 0;
	bool *used = mem_array(box->n_keywords, sizeof(*used));

	for (size_t i = 0; i < box->n; i++)
		for (uint32_t k = 0; box->msgs[i].kw != NULL && !box->msgs[i].gone && k < box->msgs[i].kw->n; k++)
			used[box->msgs[i].kw->idx[k]] = true;
	for (uint32_t k = 0; k < box->n_keywords; k++)
		if (used[k]) {
			number[k] = n++;
			str_addf(out, "%s\n", box->keywords[k]);
		}
	str_addc(out, '\n');
	for (size_t i = 0; i < box->n; i++) {
		const struct md_msg *m = &box->msgs[i];

		if (m->kw == NULL || m->gone)
			continue;
		str_add(out, m->name, m->base_len);
		for (uint32_t k = 0; k < m->kw->n; k++)
			str_addf(out, "%c%u", k == 0 ? ':' : ' ', number[m->kw->idx[k]]);
		str_addc(out, '\n');
	}
	mem_free(&number);
	mem_free(&used);
}

/* Splits ".<N>.<base>"; the base, or NULL. */
static const char *aged_base(const char *name, uint64_t *n_out)
{
	uint64_t v = 0;
	const char *p = name + 1;

	if (*name != '.' || *p < '0' || *p > '9')
		return NULL;
	for (; *p >= '0' && *p <= '9'; p++) {
		if (v > UINT32_MAX)
			return NULL;
		v = v * 10 + (unsigned)(*p - '0');
	}
	*n_out = v;
	return *p == '.' && p[1] != '\0' ? p + 1 : NULL;
}

/* Renames the plain file of BASE to its aged name ".<N>.<base>". */
static void age(int kwfd, const char *base, uint64_t n)
{
	struct str to = STR_INIT;

	str_addf(&to, ".%llu.%s", (unsigned long long)n, base);
	if (renameat(kwfd, base, kwfd, to.data) != 0 && errno == ENAMETOOLONG)
		unlinkat(kwfd, base, 0);
	str_fini(&to);
}

/* After ":list" was written: renames changes to aged ones, and deletes old aged ones. */
static void fold_names(struct md_box *box, int kwfd, const struct md_dirlist *l)
{
	uint64_t now = (uint64_t)(md_now_ms() / 1000) / SLICE + 1, top = now, n;
	struct md_hash h;
	struct stat st;

	md_hash_box(&h, box);
	for (size_t i = 0; i < l->n; i++) /* if the clock went back: stay above those there */
		if (aged_base(md_dirlist_name(l, i), &n) != NULL && n > top)
			top = n;
	for (size_t i = 0; i < l->n; i++) {
		const char *name = md_dirlist_name(l, i);

		if (aged_base(name, &n) != NULL) {
			if (n + KEEP_SLICES < now)
				unlinkat(kwfd, name, 0);
		} else if (strncmp(name, ".tmp.", 5) == 0) {
			if (fstatat(kwfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    st.st_mtime < md_now_ms() / 1000 - MD_TMP_HOURS * 3600)
				unlinkat(kwfd, name, 0);
		} else if (*name != ':' && *name != '.') {
			if (md_hash_find_msg(&h, box, name, strlen(name)) != MD_HASH_NONE)
				age(kwfd, name, top);
			else if (fstatat(kwfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    st.st_mtime < md_now_ms() / 1000 - KEEP_SLICES * SLICE)
				/* The message is gone; only that of a young change may still come. */
				unlinkat(kwfd, name, 0);
		}
	}
	md_hash_fini(&h);
}

enum md_err md_kw_fold(struct md_box *box)
{
	struct md_dirlist l = { STR_INIT, NULL, 0, 0 };
	struct str text = STR_INIT;
	struct stat st;
	enum md_err e;
	int kwfd;

	e = md_kw_load(box, box->n); /* including changes since */
	if (e == MD_OK)
		e = md_dirlist_read(box->root, box->fd, box->folder, MD_KW_DIR, MD_LIST_ALL, &l);
	if (e == MD_OK) {
		format_list(box, &text);
		RACE("keywords: all read, :list not replaced");
		if (md_replace_file(box->root, box->fd, box->fd, LIST_FILE, &text, true, &st) != 0 ||
		    md_sync_dir(box->fd, MD_KW_DIR) != 0)
			e = md_fail(box->root, md_errno(errno), errno, "cannot write the keywords of folder %s",
			    md_folder_text(box->folder));
	}
	kwfd = e == MD_OK ? openat(box->fd, MD_KW_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	if (kwfd >= 0) {
		fold_names(box, kwfd, &l);
		close(kwfd);
		box->kw_pending = 0;
		take_list_stamp(box, &st);
	}
	md_dirlist_fini(&l);
	str_fini(&text);
	return e;
}
