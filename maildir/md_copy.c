/* Copying and moving messages into another folder. */
#include "maildir/md_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "maildir/md_deposit.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"
#include "maildir/md_scan.h"

enum { COPY_BUF = 65536 };

struct copy {
	struct md_box *box;
	int tofd;
	const char *folder;
	bool all; /* copy none if one is gone */
	struct md_item *it;
	size_t n;
};

void md_copied_fini(struct md_copied *c)
{
	mem_free(&c->from);
	mem_free(&c->to);
	c->n = 0;
}

static void add_keywords(const struct md_box *box, const struct md_msg *m, struct md_item *it)
{
	it->nkw = m->kw != NULL ? m->kw->n : 0;
	it->kw = mem_array(it->nkw, sizeof(*it->kw));
	for (size_t i = 0; i < it->nkw; i++)
		it->kw[i] = box->keywords[m->kw->idx[i]];
}

/* The name in the target: TMP with device, inode and size, and the message's flags. */
static void set_name(struct md_item *it, const struct md_msg *m, const char *tmp, const struct stat *st)
{
	struct str base = STR_INIT;

	md_name_new(&base, tmp, st->st_dev, st->st_ino, (uint64_t)st->st_size);
	it->base_len = base.len;
	if (strrchr(m->name, ':') != NULL && strncmp(m->name + m->base_len, ":2,", 3) == 0)
		str_adds(&base, m->name + m->base_len); /* unknown letters are kept */
	str_clear(&it->name);
	md_name_with_flags(&it->name, base.data, m->flags);
	str_fini(&base);
}

static int copy_bytes(struct md_root *r, int from, int to, struct timespec *date)
{
	char *buf = mem_alloc(COPY_BUF);
	struct stat st;
	ssize_t n;
	int rc = 0, err;

	while (rc == 0 && (n = read(from, buf, COPY_BUF)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		rc = n < 0 || !fd_write_all(to, buf, (size_t)n) ? -1 : 0;
		if (rc == 0 && !md_goes_on(r, 0, (size_t)n)) {
			errno = ECANCELED;
			rc = -1;
		}
	}
	if (rc == 0 && (rc = fstat(from, &st)) == 0) {
		*date = st.st_mtim;
		rc = fsync(to);
	}
	err = errno;
	mem_free(&buf);
	errno = err;
	return rc;
}

static enum md_err copy_file(struct copy *c, size_t idx, struct str *tmp, struct timespec *date)
{
	struct md_root *r = c->box->root;
	int from, to, rc, err;
	enum md_err e = md_box_read(c->box, idx, &from);

	if (e != MD_OK)
		return e;
	str_clear(tmp);
	to = md_tmp_create(r, c->tofd, 0666, tmp);
	rc = to < 0 ? -1 : copy_bytes(r, from, to, date);
	err = errno;
	close(from);
	if (to >= 0 && close(to) != 0 && rc == 0) {
		rc = -1;
		err = errno;
	}
	if (rc == 0)
		return MD_OK;
	if (err == ECANCELED)
		return MD_STOPPED;
	return md_fail(r, err == ENOENT ? MD_NOTMAILDIR : md_errno(err), err, "cannot copy a message to folder %s",
	    md_folder_text(c->folder));
}

/* Copies the bytes of message IDX into a new file in tmp/ of the target. MD_GONE: the message is gone. */
static enum md_err prepare_bytes(struct copy *c, size_t idx)
{
	const struct md_msg *m = &c->box->msgs[idx];
	struct md_item *it = &c->it[c->n];
	struct str tmp = STR_INIT;
	struct stat st;
	enum md_err e;

	if (m->gone)
		return MD_GONE;
	memset(it, 0, sizeof(*it));
	it->idx = idx;
	it->fromfd = c->tofd;
	e = copy_file(c, idx, &tmp, &it->date);
	it->dated = true;
	if (tmp.len != 0 && e != MD_GONE) {
		str_addf(&it->from, "tmp/%s", tmp.data);
		c->n++; /* so that its file is removed */
		if (e == MD_OK && fstatat(c->tofd, it->from.data, &st, AT_SYMLINK_NOFOLLOW) != 0)
			e = md_fail(c->box->root, md_errno(errno), errno, "cannot copy a message to folder %s",
			    md_folder_text(c->folder));
		if (e == MD_OK) {
			set_name(it, m, tmp.data, &st);
			add_keywords(c->box, m, it);
		}
	}
	str_fini(&tmp);
	return e;
}

/* Finds the file of M under its current name, even if others rename it meanwhile. */
static enum md_err stat_file(struct md_box *box, struct md_msg *m, struct str *path, struct stat *st)
{
	for (int i = 0; i < MD_RENAME_TRIES; i++) {
		enum md_err e;

		if (fstatat(box->fd, md_msg_path(m, path), st, AT_SYMLINK_NOFOLLOW) == 0)
			return MD_OK;
		e = md_scan_refind(box, m);
		if (e != MD_OK)
			return e;
	}
	return md_fail(box->root, MD_IO, 0, "cannot copy message %u of folder %s: other programs keep renaming it",
	    m->uid, md_folder_text(box->folder));
}

/* Makes an item of message IDX's file in its folder; unless C->all, a message that is gone is left out. */
static enum md_err prepare_file(struct copy *c, size_t idx, bool link)
{
	struct md_msg *m = &c->box->msgs[idx];
	struct md_item *it = &c->it[c->n];
	struct str tmp = STR_INIT, path = STR_INIT;
	struct stat st;
	enum md_err e = m->gone ? MD_GONE : stat_file(c->box, m, &path, &st);

	if (e == MD_OK) {
		memset(it, 0, sizeof(*it));
		it->idx = idx;
		it->fromfd = c->box->fd;
		it->link = link;
		it->must = c->all;
		md_msg_path(m, &it->from);
		md_name_tmp(c->box->root, &tmp);
		set_name(it, m, tmp.data, &st);
		add_keywords(c->box, m, it);
		c->n++;
	}
	str_fini(&tmp);
	str_fini(&path);
	return e == MD_GONE && !c->all ? MD_OK : e;
}

/* The source was renamed by someone else, or is gone. */
static enum md_err find_again(struct md_item *it, void *arg)
{
	struct copy *c = arg;
	struct md_msg *m = &c->box->msgs[it->idx];
	enum md_err e = m->gone ? MD_GONE : md_scan_refind(c->box, m);

	if (e == MD_OK)
		md_msg_path(m, &it->from);
	return e;
}

static void forget_items(struct copy *c)
{
	md_items_free(c->it, c->n);
	c->it = NULL;
	c->n = 0;
}

static void report(const struct copy *c, struct md_copied *out)
{
	out->from = mem_array(c->n, sizeof(*out->from));
	out->to = mem_array(c->n, sizeof(*out->to));
	out->n = 0;
	for (size_t i = 0; i < c->n; i++) {
		if (!c->it[i].placed)
			continue;
		out->from[out->n] = c->box->msgs[c->it[i].idx].uid;
		out->to[out->n++] = c->it[i].uid;
	}
}

/* Gives the files a name in the target (LINK: an additional one). *CROSS: their bytes must be copied instead. */
static enum md_err deposit_files(struct copy *c, const size_t *idx, size_t nidx, bool link, struct md_copied *out,
    bool *cross)
{
	enum md_err e = MD_OK;

	*cross = false;
	c->it = mem_array(nidx, sizeof(*c->it));
	for (size_t i = 0; e == MD_OK && i < nidx; i++)
		e = md_goes_on(c->box->root, 1, 0) ? prepare_file(c, idx[i], link) : MD_STOPPED;
	if (e == MD_OK && c->n != 0)
		e = md_deposit(c->box->root, c->tofd, c->folder, c->it, c->n, find_again, c, &out->uidvalidity, cross);
	if (e == MD_OK) {
		report(c, out);
		out->missed = nidx - out->n;
	}
	return e;
}

static enum md_err copy_bytes_of_all(struct copy *c, const size_t *idx, size_t nidx, struct md_copied *out)
{
	enum md_err e = MD_OK;
	bool cross;

	c->it = mem_array(nidx, sizeof(*c->it));
	for (size_t i = 0; e == MD_OK && i < nidx; i++) {
		e = md_goes_on(c->box->root, 1, 0) ? MD_OK : MD_STOPPED;
		if (e != MD_OK)
			break;
		e = prepare_bytes(c, idx[i]);
		if (e == MD_GONE && !c->all) {
			out->missed++;
			e = MD_OK;
		}
	}
	if (e == MD_OK && c->n != 0)
		e = md_deposit(c->box->root, c->tofd, c->folder, c->it, c->n, NULL, NULL, &out->uidvalidity, &cross);
	if (e == MD_OK)
		report(c, out);
	for (size_t i = 0; i < c->n; i++)
		if (!c->it[i].placed && c->it[i].from.len != 0)
			unlinkat(c->tofd, c->it[i].from.data, 0);
	forget_items(c);
	return e;
}

static enum md_err copy_all(struct copy *c, const size_t *idx, size_t nidx, struct md_copied *out)
{
	bool cross;
	enum md_err e = deposit_files(c, idx, nidx, true, out, &cross);

	forget_items(c);
	return cross ? copy_bytes_of_all(c, idx, nidx, out) : e;
}

static enum md_err copy_to(struct copy *c, const size_t *idx, size_t nidx, struct md_copied *out)
{
	enum md_err e;

	memset(out, 0, sizeof(*out));
	e = md_folder_open_mail(c->box->root, c->folder, &c->tofd);
	if (e != MD_OK)
		return e;
	e = copy_all(c, idx, nidx, out);
	close(c->tofd);
	return e;
}

enum md_err md_copy(struct md_box *box, const size_t *idx, size_t nidx, const char *folder, struct md_copied *out)
{
	struct copy c = { .box = box, .folder = folder };

	return copy_to(&c, idx, nidx, out);
}

enum md_err md_copy_all(struct md_box *box, const size_t *idx, size_t nidx, const char *folder, struct md_copied *out)
{
	struct copy c = { .box = box, .folder = folder, .all = true };

	return copy_to(&c, idx, nidx, out);
}

/* --- moving --- */

/* M's file is now called AS, in another folder. */
static void mark_moved(struct md_box *box, struct md_msg *m, const char *as)
{
	uint64_t bytes;

	md_size_left(box->root, box->folder, m->name,
	    md_size_of(box->root, -1, md_name_size(m->name, &bytes) ? m->name : as));
	if (m->kw != NULL)
		md_kw_forget(box->fd, m->name, m->base_len);
	md_msg_gone(box, m);
}

/* Copies, then deletes the originals: between file systems there is no other way. */
static enum md_err move_across(struct copy *c, const size_t *idx, size_t nidx, struct md_copied *out)
{
	enum md_err e;

	e = copy_bytes_of_all(c, idx, nidx, out);
	for (size_t i = 0; e == MD_OK && i < out->n; i++)
		e = md_box_expunge(c->box, md_box_find(c->box, out->from[i]));
	return e == MD_OK ? md_box_flush(c->box) : e;
}

static enum md_err move_all(struct copy *c, const size_t *idx, size_t nidx, struct md_copied *out)
{
	bool cross;
	enum md_err e = deposit_files(c, idx, nidx, false, out, &cross);

	if (e == MD_OK) {
		for (size_t i = 0; i < c->n; i++)
			if (c->it[i].placed)
				mark_moved(c->box, &c->box->msgs[c->it[i].idx], c->it[i].name.data);
	}
	forget_items(c);
	return cross ? move_across(c, idx, nidx, out) : e;
}

enum md_err md_move(struct md_box *box, const size_t *idx, size_t nidx, const char *folder, struct md_copied *out)
{
	struct copy c = { .box = box, .folder = folder };
	enum md_err e;

	memset(out, 0, sizeof(*out));
	if (box->readonly)
		return md_fail(box->root, MD_READONLY, 0, "folder %s is open for reading only",
		    md_folder_text(box->folder));
	e = md_folder_open_mail(box->root, folder, &c.tofd);
	if (e != MD_OK)
		return e;
	e = move_all(&c, idx, nidx, out);
	close(c.tofd);
	return e;
}
