/* From text to image: reads the files, checks each line, compares with the old image. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authlib/userdb_writer.h"
#include "lib/log.h"
#include "lib/mem.h"

enum {
	LINE_MAX_LEN = 64 * 1024,
	READ_CHUNK = 256 * 1024,
	SHRINK_LEAST = 10 /* accounts, or passwords, that there must have been for a loss to count */
};

struct builder {
	struct userdb_writer w;
	/* the file being read */
	const char *path;
	uint32_t line;
	bool unreadable;
	bool empty;   /* a file is */
	bool damaged; /* a file is half written, or not a userdb */
	const struct userdb *old;
	struct userdb_report *rep;
	uint64_t untold; /* report lines for which there was no room */
};

/* --- the report --- */

static void tell(struct builder *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void tell(struct builder *b, const char *fmt, ...)
{
	struct str *text = &b->rep->text;
	va_list ap;

	if (text->len > USERDB_REPORT_TEXT_MAX - 2 * LOG_LINE_MAX) {
		b->untold++;
		return;
	}
	va_start(ap, fmt);
	str_addv(text, fmt, ap);
	va_end(ap);
	if (text->len > USERDB_REPORT_TEXT_MAX - LOG_LINE_MAX) {
		text->len = USERDB_REPORT_TEXT_MAX - LOG_LINE_MAX;
		text->data[text->len] = '\0';
	}
	str_addc(text, '\n');
}

/* For the log. Text after a character of fields, hashes or passwd files is not a name, and may be a password hash,
 * which is at the front if the line was broken. */
static const char *clean_name(char dst[128], struct userdb_text name)
{
	char raw[128];
	size_t len = MIN(name.len, sizeof(raw) - 1);

	if (len != 0)
		memcpy(raw, name.p, len);
	raw[len] = '\0';
	raw[strcspn(raw, "|={}$:")] = '\0';
	return log_clean(dst, 128, raw);
}

static void tell_bad_line(struct builder *b, struct userdb_text name, const char *why, const char *consequence)
{
	char clean[128];

	if (name.len == 0)
		tell(b,
		    "%s:%u: %s; the account name of this line is unknown, so logins of unknown names fail temporarily: "
		    "repair or remove it",
		    b->path, b->line, why);
	else
		tell(b, "%s:%u: account %s: %s; %s: repair the line", b->path, b->line, clean_name(clean, name), why,
		    consequence);
}

/* --- lines --- */

static void add_entry(struct builder *b, const struct userdb_entry *e)
{
	userdb_writer_add(&b->w, e);
	b->rep->broken += e->kind == USERDB_BROKEN;
	b->rep->kept += e->kind == USERDB_KEPT;
}

/* The good record of NAME in the old image. */
static bool old_record(const struct builder *b, struct userdb_text name, struct userdb_entry *e)
{
	uint64_t at = b->old != NULL ? userdb_find(b->old, name.p, name.len) : 0;

	return at != 0 && userdb_read_record(b->old, at, e) && e->kind != USERDB_BROKEN;
}

static void keep_record(struct builder *b, struct userdb_entry *e)
{
	e->kind = USERDB_KEPT;
	e->source = b->w.nsources - 1;
	e->line = b->line;
	add_entry(b, e);
}

static void take_bad_line(struct builder *b, const struct userdb_entry *e, const char *why)
{
	struct userdb_entry broken = *e, old;

	if (e->name.len == 0) {
		b->w.nameless++;
		b->rep->broken++;
		tell_bad_line(b, e->name, why, "");
	} else if (userdb_writer_has(&b->w, e->name)) {
		b->rep->duplicates++;
		tell_bad_line(b, e->name, why, "the earlier line of this account is used");
	} else if (old_record(b, e->name, &old)) {
		keep_record(b, &old);
		tell_bad_line(b, e->name, why, "its previous state stays in use");
	} else {
		broken.source = b->w.nsources - 1;
		broken.line = b->line;
		add_entry(b, &broken);
		tell_bad_line(b, e->name, why, "its logins fail temporarily");
	}
}

static void take_good_line(struct builder *b, struct userdb_entry *e)
{
	char clean[128];

	if (userdb_writer_has(&b->w, e->name)) {
		b->rep->duplicates++;
		tell(b, "%s:%u: duplicate account %s; the first line is used: remove one", b->path, b->line,
		    clean_name(clean, e->name));
		return;
	}
	e->source = b->w.nsources - 1;
	e->line = b->line;
	add_entry(b, e);
}

static void take_line(struct builder *b, const char *line, size_t len)
{
	struct userdb_entry e;
	const char *why;

	b->line++;
	switch (userdb_parse(line, len, &e, &why)) {
	case USERDB_LINE_SKIP:
		break;
	case USERDB_LINE_GOOD:
		take_good_line(b, &e);
		break;
	case USERDB_LINE_BAD:
		take_bad_line(b, &e, why);
	}
}

/* --- files --- */

static void tell_permissions(struct builder *b, const struct stat *st)
{
	if ((st->st_mode & S_IROTH) != 0)
		tell(b,
		    "%s is readable by everyone, including password hashes: run chmod o= (expected: root:waypostauth "
		    "0640)",
		    b->path);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		tell(b, "%s is writable by others than its owner, who could log in as anyone: run chmod go-w", b->path);
}

/* Feeds the lines in BUF (LEN bytes) and moves the unfinished rest to its front; returns the length of the rest. */
static size_t take_lines(struct builder *b, char *buf, size_t len)
{
	char *p = buf, *end = buf + len, *nl;

	while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		take_line(b, p, (size_t)(nl - p));
		p = nl + 1;
	}
	memmove(buf, p, (size_t)(end - p));
	return (size_t)(end - p);
}

/* A line beyond the limit: its name is taken from its start, the rest is skipped. */
static void take_long_line(struct builder *b, const char *line)
{
	struct userdb_entry e;
	const char *why, *tab = memchr(line, '\t', LINE_MAX_LEN);

	b->line++;
	if (line[0] == '#')
		return;
	memset(&e, 0, sizeof(e));
	/* Parsing the bare name gives it only if it is a possible one. */
	if (tab != NULL)
		userdb_parse(line, (size_t)(tab - line) + 1, &e, &why);
	e.kind = USERDB_BROKEN;
	take_bad_line(b, &e, "the line is longer than 65536 bytes");
}

/* Left by a copy that was interrupted or is not finished, by a power failure, or by a full disk. */
static void tell_damaged(struct builder *b, uint32_t line, const char *what)
{
	char at[16] = "";

	if (line != 0)
		snprintf(at, sizeof(at), ":%u", line);
	tell(b,
	    "%s%s: %s: the file is refused, because missing accounts would get a wrong-password error; write it under "
	    "another name and rename it into place",
	    b->path, at, what);
}

struct reader {
	char *buf;
	size_t len;
	bool skipping; /* the rest of a line that is too long */
	bool ended;    /* the last byte was a newline */
};

/* Handles N more bytes. */
static void take_bytes(struct builder *b, struct reader *r, size_t n)
{
	char *from = r->buf;

	r->ended = r->buf[r->len + n - 1] == '\n';
	r->len += n;
	if (r->skipping) {
		if ((from = memchr(r->buf, '\n', r->len)) == NULL) {
			r->len = 0;
			return;
		}
		r->skipping = false;
		r->len -= (size_t)(++from - r->buf);
		memmove(r->buf, from, r->len);
	}
	r->len = take_lines(b, r->buf, r->len);
	if (r->len > LINE_MAX_LEN) {
		take_long_line(b, r->buf);
		r->skipping = true;
		r->len = 0;
	}
}

static bool read_lines(struct builder *b, int fd)
{
	struct reader r = { .buf = mem_alloc(LINE_MAX_LEN + READ_CHUNK) };
	bool nul = false, any = false;
	ssize_t n;

	while (!nul && ((n = read(fd, r.buf + r.len, READ_CHUNK)) > 0 || (n < 0 && errno == EINTR))) {
		nul = n > 0 && memchr(r.buf + r.len, '\0', (size_t)n) != NULL;
		any = any || n > 0;
		if (n > 0 && !nul)
			take_bytes(b, &r, (size_t)n);
	}
	if (nul)
		tell_damaged(b, 0, "it contains NUL bytes, as after a power failure");
	else if (n == 0 && !any)
		tell_damaged(b, 0, "it is empty");
	else if (n == 0 && !r.ended)
		tell_damaged(b, b->line + !r.skipping,
		    "the last line has no newline and may be truncated (if it is complete, add the newline)");
	b->empty = b->empty || (n == 0 && !any);
	b->damaged = b->damaged || nul || (n == 0 && any && !r.ended);
	mem_wipe(r.buf, LINE_MAX_LEN + READ_CHUNK);
	mem_free(&r.buf);
	return nul || n == 0;
}

static void read_file(const char *path, void *arg)
{
	struct builder *b = arg;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	b->path = path;
	b->line = 0;
	b->rep->files++;
	userdb_writer_add_source(&b->w, path);
	if (fd == -1 || fstat(fd, &st) != 0) {
		tell(b, "cannot open %s: %s; AUTH_USER must be able to read it (root:waypostauth 0640)", path,
		    strerror(errno));
		b->unreadable = true;
	} else {
		tell_permissions(b, &st);
		if (!read_lines(b, fd)) {
			tell(b, "cannot read %s: %s", path, strerror(errno));
			b->unreadable = true;
		}
	}
	if (fd != -1)
		close(fd);
}

/* --- what the old image had and the new one lacks --- */

struct loss {
	uint64_t had, lost;
};

/* Returns how many accounts of the old image had a password. */
static uint64_t count_losses(struct builder *b, struct loss *by_source, uint32_t nsources)
{
	const struct userdb_header *h = b->old->h;
	const uint32_t *slots = (const void *)(b->old->base + h->slots);
	uint64_t passwords = 0;

	for (uint64_t i = 0; i < h->nslots; i++) {
		struct userdb_entry e;

		if (slots[i] == 0 || !userdb_read_record(b->old, (uint64_t)slots[i] * 4, &e))
			continue;
		passwords += userdb_has_password(&e);
		if (e.source < nsources)
			by_source[e.source].had++;
		if (userdb_writer_has(&b->w, e.name))
			continue;
		if (e.kind != USERDB_BROKEN && b->w.nameless != 0) {
			keep_record(b, &e);
			continue;
		}
		b->rep->lost++;
		if (e.source < nsources)
			by_source[e.source].lost++;
	}
	return passwords;
}

static bool shrunk(struct builder *b, const char *path, const char *what, struct loss l, unsigned percent,
    unsigned least)
{
	if (percent >= 100 || l.had < least || l.lost * 100 <= percent * l.had)
		return false;
	tell(b,
	    "%s: %llu of %llu %s are gone, more than USERDB_SHRINK = %u %%: the file is refused and the previous state "
	    "stays in use; repair the file, or if this is intended set USERDB_SHRINK = 100 and reload",
	    path, (unsigned long long)l.lost, (unsigned long long)l.had, what, percent);
	return true;
}

/* At least something must be left of a small one. */
static unsigned least(struct loss l)
{
	return l.lost == l.had ? 1 : SHRINK_LEAST;
}

/* Compares with the old image; true if too much is gone. */
static bool check_losses(struct builder *b, const char *path, unsigned percent)
{
	const struct userdb_header *h = b->old->h;
	uint32_t n = (uint32_t)MIN(h->nsources, h->sources_end - h->sources); /* each takes a byte at least */
	struct loss *by_source = mem_array(n, sizeof(*by_source)), all, passwords;
	bool refused = false;

	passwords.had = count_losses(b, by_source, n);
	passwords.lost = passwords.had - MIN(b->w.passwords, passwords.had);
	all.had = h->count;
	all.lost = b->rep->lost;
	for (uint32_t i = 0; i < n; i++) {
		char name[ACCOUNT_PATH_MAX];
		struct userdb_text t;

		if (by_source[i].lost == 0)
			continue;
		t = userdb_source(b->old, i);
		snprintf(name, sizeof(name), "%.*s", (int)MIN(t.len, sizeof(name) - 1), t.p);
		refused = shrunk(b, name, "accounts", by_source[i], percent, least(by_source[i])) || refused;
	}
	if (!refused)
		refused = shrunk(b, path, "accounts", all, percent, least(all)) ||
		    shrunk(b, path, "passwords", passwords, percent, SHRINK_LEAST);
	mem_free(&by_source);
	return refused;
}

/* --- the whole --- */

static enum userdb_status read_all(struct builder *b, const char *path, unsigned shrink_percent)
{
	uint64_t before, after;
	bool readable;

	before = userdb_stamp(path);
	readable = userdb_each_file(path, read_file, b);
	if (!readable)
		tell(b,
		    "cannot read %s: %s; check USERDB; AUTH_USER must be able to read the file (root:waypostauth 0640)",
		    path, strerror(errno));
	after = userdb_stamp(path);
	b->path = path;
	if (before != after)
		return USERDB_CHANGED;
	if (!readable || b->unreadable)
		return USERDB_MISSING;
	if (b->damaged)
		return USERDB_CUT;
	if (b->empty)
		return USERDB_EMPTY;
	return b->old != NULL && check_losses(b, path, shrink_percent) ? USERDB_SHRUNK : USERDB_BUILT;
}

enum userdb_status userdb_build(const char *path, const struct userdb *old, unsigned shrink_percent,
    struct userdb_report *rep, int *fd_out)
{
	struct builder *b = mem_alloc(sizeof(*b));
	struct userdb_writer *w = &b->w;

	*fd_out = -1;
	b->path = path;
	b->rep = rep;
	rep->status = USERDB_FAILED;
	if (userdb_writer_begin(w, path)) {
		b->old = old != NULL && userdb_is_of(old, path) ? old : NULL;
		rep->status = read_all(b, path, shrink_percent);
		rep->entries = w->count;
		if (rep->status == USERDB_BUILT && (*fd_out = userdb_writer_finish(w)) == -1)
			rep->status = USERDB_FAILED;
	}
	rep->bytes = rep->status == USERDB_BUILT ? w->len : 0;
	if (w->failed != NULL)
		tell(b, "%s: cannot create its image: %s: %s", path, w->failed, strerror(w->error));
	if (b->untold != 0)
		str_addf(&rep->text, "%llu more lines of this kind\n", (unsigned long long)b->untold);
	userdb_writer_end(w);
	mem_free(&b);
	return rep->status;
}
