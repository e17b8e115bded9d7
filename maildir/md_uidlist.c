/* courierimapuiddb, read and replaced. */
#include "maildir/md_uidlist.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>

#include "lib/mem.h"
#include "maildir/md_dir.h"
#include "maildir/md_name.h"

enum { UIDLIST_BYTES_MAX = 1 << 30 }; /* a larger file is not ours */

void md_uidlist_fini(struct md_uidlist *l)
{
	mem_free(&l->e);
	str_fini(&l->text);
	memset(l, 0, sizeof(*l));
}

void md_uidlist_clear(struct md_uidlist *l)
{
	l->uidvalidity = l->uidnext = 0;
	l->n = 0;
	str_clear(&l->text);
	memset(&l->file, 0, sizeof(l->file));
}

const char *md_uidlist_name(const struct md_uidlist *l, size_t i)
{
	return l->text.data + l->e[i].name;
}

void md_uidlist_add(struct md_uidlist *l, uint32_t uid, const char *base, size_t len)
{
	if (l->n == l->cap) {
		l->cap = l->cap != 0 ? l->cap * 2 : 16;
		l->e = mem_grow(l->e, l->cap * sizeof(*l->e));
	}
	l->e[l->n].uid = uid;
	l->e[l->n++].name = (uint32_t)l->text.len;
	str_add(&l->text, base, len);
	str_addc(&l->text, '\0');
	if (uid >= l->uidnext)
		l->uidnext = uid + 1;
}

/* Reads a decimal number of at most 32 bits, and the byte STOP after it. */
static bool take_num(const char **p, const char *end, char stop, uint32_t *out)
{
	uint64_t v = 0;
	const char *at = *p;

	for (; at < end && *at >= '0' && *at <= '9'; at++) {
		v = v * 10 + (unsigned)(*at - '0');
		if (v > UINT32_MAX)
			return false;
	}
	if (at == *p || at == end || *at != stop)
		return false;
	*p = at + 1;
	*out = (uint32_t)v;
	return true;
}

static bool parse_header(struct md_uidlist *l, const char **p, const char *end)
{
	uint32_t version;

	return take_num(p, end, ' ', &version) && version == 1 && take_num(p, end, ' ', &l->uidvalidity) &&
	    l->uidvalidity != 0 && take_num(p, end, '\n', &l->uidnext) && l->uidnext != 0;
}

bool md_uidlist_parse(struct md_uidlist *l, const char *p, size_t len)
{
	const char *end = p + len, *nl;
	uint32_t uid, last = 0;

	md_uidlist_clear(l);
	if (!parse_header(l, &p, end)) {
		md_uidlist_clear(l);
		return false;
	}
	while (p < end && take_num(&p, end, ' ', &uid)) {
		nl = memchr(p, '\n', (size_t)(end - p));
		if (nl == NULL || uid <= last || uid == UINT32_MAX)
			break;
		/* A name that no file can have is skipped: its UID stays used. */
		if (nl != p && nl - p <= MD_NAME_MAX && memchr(p, '\0', (size_t)(nl - p)) == NULL &&
		    memchr(p, '/', (size_t)(nl - p)) == NULL)
			md_uidlist_add(l, uid, p, (size_t)(nl - p));
		else if (uid >= l->uidnext)
			l->uidnext = uid + 1;
		last = uid;
		p = nl + 1;
	}
	return true;
}

void md_uidlist_format(const struct md_uidlist *l, struct str *out)
{
	str_addf(out, "1 %u %u\n", l->uidvalidity, l->uidnext);
	for (size_t i = 0; i < l->n; i++) {
		char num[16];
		unsigned v = l->e[i].uid, at = sizeof(num);

		/* Formatted by hand for speed: for each message at each delivery. */
		num[--at] = ' ';
		do {
			num[--at] = (char)('0' + v % 10);
			v /= 10;
		} while (v != 0);
		str_add(out, num + at, sizeof(num) - at);
		str_adds(out, md_uidlist_name(l, i));
		str_addc(out, '\n');
	}
}

uint32_t md_uidlist_above(uint32_t last)
{
	int64_t now = (int64_t)time(NULL) - MD_UIDLIST_EPOCH;

	now = MIN(MAX(now, (int64_t)1), (int64_t)UINT32_MAX);
	return now > last ? (uint32_t)now : last + 1;
}

const char *md_uidlist_used_up(const struct md_uidlist *l)
{
	return l->uidvalidity != UINT32_MAX ?
	    "it gets new ones, under a new UIDVALIDITY, when it is next opened" :
	    "and no UIDVALIDITY for new ones; remove courierimapuiddb when nobody has it open, then mail programs "
	    "read it anew";
}

enum md_err md_uidlist_read(struct md_root *r, int dirfd, const char *folder, struct md_uidlist *l)
{
	struct str text = STR_INIT;
	struct md_stamp at;
	struct stat st;
	enum md_err e = MD_OK;
	int err;

	md_stamp_begin(&at);
	if (md_read_file(dirfd, MD_UIDLIST_FILE, UIDLIST_BYTES_MAX, &text, &st) != 0) {
		err = errno;
		md_uidlist_clear(l);
		/* Anything but a regular file of a sane size counts as no list, and is replaced. */
		e = err == ENOENT || err == EINVAL || err == EFBIG || err == ELOOP ? MD_GONE : md_errno(err);
		if (e != MD_GONE)
			md_fail(r, e, err, "cannot read " MD_UIDLIST_FILE " of folder %s", md_folder_text(folder));
	} else if (md_uidlist_parse(l, str_cstr(&text), text.len)) {
		md_stamp_set(&at, &st);
		l->file = at;
	} else {
		e = MD_GONE;
	}
	str_fini(&text);
	return e;
}

enum md_err md_uidlist_write(struct md_root *r, int dirfd, const char *folder, struct md_uidlist *l)
{
	struct str text = STR_INIT;
	struct stat st;
	bool fresh = l->uidvalidity == 0;
	int err;

	if (fresh)
		l->uidvalidity = md_uidlist_above(0);
	if (l->uidnext == 0)
		l->uidnext = 1;
	md_uidlist_format(l, &text);
	/* A UID sent to a client must not belong to another message after a power failure. */
	if (md_replace_file(r, dirfd, dirfd, MD_UIDLIST_FILE, &text, true, &st) != 0 || md_sync_dir(dirfd, ".") != 0) {
		err = errno;
		if (fresh)
			l->uidvalidity = 0;
		str_fini(&text);
		return md_fail(r, md_errno_dir(err), err, "cannot write " MD_UIDLIST_FILE " of folder %s",
		    md_folder_text(folder));
	}
	memset(&l->file, 0, sizeof(l->file)); /* known again when it is read */
	str_fini(&text);
	return MD_OK;
}
