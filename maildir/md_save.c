/* A new message on its way from tmp/ into the folder. */
#include "maildir/md_save.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/fd.h"
#include "lib/mem.h"
#include "lib/race.h"
#include "lib/str.h"
#include "maildir/md_box.h"
#include "maildir/md_deposit.h"
#include "maildir/md_dir.h"
#include "maildir/md_keyword.h"
#include "maildir/md_name.h"

enum { SAVE_BUF = 16384 };

struct md_save {
	struct md_root *root;
	char *folder;
	int dirfd;      /* the folder */
	int fd;         /* the file in tmp/ */
	struct str tmp; /* its name there; empty when there is none */
	uint64_t crs;   /* CRs at the end of the input so far: dropped if an LF follows */
	size_t len;     /* in buf */
	char buf[SAVE_BUF];
};

static enum md_err fail(struct md_save *s, int err, const char *what)
{
	return md_fail(s->root, md_errno(err), err, "cannot %s a new message of folder %s", what,
	    md_folder_text(s->folder));
}

enum md_err md_save_begin(struct md_root *r, const char *folder, struct md_save **save_out)
{
	struct md_save *s;
	enum md_err e;
	int fd, err;

	*save_out = NULL;
	e = md_folder_open_mail(r, folder, &fd);
	if (e != MD_OK)
		return e;
	s = mem_alloc(sizeof(*s));
	s->root = r;
	s->folder = mem_strdup(folder);
	s->dirfd = fd;
	s->fd = md_tmp_create(r, fd, 0666, &s->tmp);
	if (s->fd < 0) {
		err = errno;
		e = fail(s, err, "create");
		e = md_folder_gone(r, fd, folder, err == ENOENT || err == ENOTDIR ? MD_NOTMAILDIR : e);
		md_save_abort(&s);
		return e;
	}
	*save_out = s;
	return MD_OK;
}

static enum md_err flush(struct md_save *s)
{
	if (!fd_write_all(s->fd, s->buf, s->len))
		return fail(s, errno, "write");
	s->len = 0;
	return MD_OK;
}

static enum md_err put(struct md_save *s, const char *p, size_t len)
{
	while (len != 0) {
		size_t n = MIN(len, sizeof(s->buf) - s->len);

		memcpy(s->buf + s->len, p, n);
		s->len += n;
		p += n;
		len -= n;
		if (s->len == sizeof(s->buf)) {
			enum md_err e = flush(s);

			if (e != MD_OK)
				return e;
		}
	}
	return MD_OK;
}

/* Writes CRs that no LF followed: they belong to the message. */
static enum md_err put_crs(struct md_save *s)
{
	enum md_err e = MD_OK;

	for (; e == MD_OK && s->crs != 0; s->crs--)
		e = put(s, "\r", 1);
	return e;
}

enum md_err md_save_write(struct md_save *s, const void *data, size_t len)
{
	const char *p = data, *end = p + len;
	enum md_err e = MD_OK;

	while (e == MD_OK && p < end) {
		const char *cr;

		if (*p == '\r') {
			s->crs++;
			p++;
			continue;
		}
		if (*p == '\n')
			s->crs = 0;
		e = put_crs(s);
		cr = memchr(p, '\r', (size_t)(end - p));
		if (cr == NULL)
			cr = end;
		if (e == MD_OK)
			e = put(s, p, (size_t)(cr - p));
		p = cr;
	}
	return e;
}

/* Writes the rest to the file and syncs it. */
static enum md_err finish_file(struct md_save *s, struct stat *st)
{
	enum md_err e = put_crs(s);
	int rc, err;

	if (e == MD_OK)
		e = flush(s);
	if (e != MD_OK)
		return e;
	if (fsync(s->fd) != 0 || fstat(s->fd, st) != 0)
		return fail(s, errno, "sync");
	rc = close(s->fd);
	err = errno;
	s->fd = -1;
	return rc == 0 ? MD_OK : fail(s, err, "close");
}

static struct md_item *make_item(struct md_save *s, const struct stat *st, unsigned flags, const char *const *kw,
    size_t nkw)
{
	struct md_item *it = mem_alloc(sizeof(*it));
	struct str base = STR_INIT;

	it->fromfd = s->dirfd;
	str_addf(&it->from, "tmp/%s", s->tmp.data);
	md_name_new(&base, s->tmp.data, st->st_dev, st->st_ino, (uint64_t)st->st_size);
	it->base_len = base.len;
	md_name_with_flags(&it->name, base.data, flags);
	it->kw = mem_array(nkw, sizeof(*it->kw));
	if (nkw != 0)
		memcpy(it->kw, kw, nkw * sizeof(*kw));
	it->nkw = nkw;
	str_fini(&base);
	return it;
}

static bool keywords_ok(const char *const *kw, size_t nkw)
{
	bool ok = nkw <= MD_KEYWORDS_MAX;

	for (size_t i = 0; ok && i < nkw; i++)
		ok = md_kw_valid(kw[i], strlen(kw[i]));
	return ok;
}

enum md_err md_save_commit(struct md_save **save, unsigned flags, const char *const *kw, size_t nkw, const time_t *when,
    uint32_t *uid_out, uint32_t *uidvalidity_out)
{
	struct md_save *s = *save;
	struct md_item *it;
	struct stat st;
	enum md_err e;
	bool cross;

	if (keywords_ok(kw, nkw))
		e = finish_file(s, &st);
	else
		e = md_fail(s->root, MD_LIMIT, 0,
		    "a keyword of a new message for %s is too long or has invalid characters",
		    md_folder_text(s->folder));
	if (e == MD_OK) {
		it = make_item(s, &st, flags, kw, nkw);
		it->dated = when != NULL;
		if (when != NULL)
			it->date.tv_sec = *when;
		RACE("save: the file is complete in tmp/");
		e = md_deposit(s->root, s->dirfd, s->folder, it, 1, NULL, NULL, uidvalidity_out, &cross);
		*uid_out = it->uid;
		md_items_free(it, 1);
	}
	if (e == MD_OK)
		str_clear(&s->tmp); /* it is in cur/ */
	md_save_abort(save);
	return e;
}

void md_save_abort(struct md_save **save)
{
	struct md_save *s = *save;
	struct str path = STR_INIT;

	if (s == NULL)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (s->tmp.len != 0) {
		str_addf(&path, "tmp/%s", s->tmp.data);
		unlinkat(s->dirfd, path.data, 0);
		str_fini(&path);
	}
	close(s->dirfd);
	str_fini(&s->tmp);
	mem_free(&s->folder);
	mem_free(save);
}
