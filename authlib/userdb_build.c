/* From text to image: reads the files, judges each line, compares with the image before. */
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
	SHRINK_LEAST = 10  /* accounts that a file must have had before its shrinking is judged */
};

struct builder {
	struct userdb_writer w;
	/* the file being read */
	const char *path;
	uint32_t line;
	bool unreadable;
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

static const char *clean_name(char dst[128], struct userdb_text name)
{
	char raw[128];
	size_t len = MIN(name.len, sizeof(raw) - 1);

	if (len != 0)
		memcpy(raw, name.p, len);
	raw[len] = '\0';
	return log_clean(dst, 128, raw);
}

static void tell_bad_line(struct builder *b, struct userdb_text name, const char *why, const char *consequence)
{
	char clean[128];

	if (name.len == 0)
		tell(b, "%s:%u: %s; the line is left out: repair it", b->path, b->line, why);
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

/* The good record that the old image has of NAME. */
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
		tell_bad_line(b, e->name, why, "");
	} else if (userdb_writer_has(&b->w, e->name)) {
		b->rep->duplicates++;
		tell_bad_line(b, e->name, why, "an earlier line of this account counts");
	} else if (old_record(b, e->name, &old)) {
		keep_record(b, &old);
		tell_bad_line(b, e->name, why, "its earlier state stays in use");
	} else {
		broken.source = b->w.nsources - 1;
		broken.line = b->line;
		add_entry(b, &broken);
		tell_bad_line(b, e->name, why, "its logins are put off");
	}
}

static bool begins(struct userdb_text whole, struct userdb_text part, bool *shorter)
{
	*shorter = *shorter || part.len < whole.len;
	return part.len <= whole.len && (part.len == 0 || memcmp(whole.p, part.p, part.len) == 0);
}

static bool begins_number(uint32_t whole, uint32_t part, bool *shorter)
{
	char w[16], p[16];
	struct userdb_text wt = { w, (size_t)snprintf(w, sizeof(w), "%u", whole) };
	struct userdb_text pt = { p, (size_t)snprintf(p, sizeof(p), "%u", part) };

	return begins(wt, pt, shorter);
}

/* All that NEW has is in OLD or is the beginning of it, and something is missing: a line cut by a writer that
 * has not finished, or never will. */
static bool is_cut_of(const struct userdb_entry *old, const struct userdb_entry *new)
{
	bool shorter = new->npw < old->npw;

	if (!begins(old->home, new->home, &shorter) || !begins(old->mail, new->mail, &shorter) ||
	    !begins(old->quota, new->quota, &shorter) || !begins(old->gecos, new->gecos, &shorter) ||
	    !begins(old->options, new->options, &shorter) || !begins(old->systempw, new->systempw, &shorter) ||
	    !begins(old->imappw, new->imappw, &shorter) || !begins(old->pop3pw, new->pop3pw, &shorter) ||
	    !begins_number(old->uid, new->uid, &shorter) || !begins_number(old->gid, new->gid, &shorter) ||
	    new->npw > old->npw)
		return false;
	for (unsigned i = 0; i < new->npw; i++)
		if (!begins(old->pw[i], new->pw[i], &shorter))
			return false;
	return shorter;
}

static void take_good_line(struct builder *b, struct userdb_entry *e, bool whole)
{
	struct userdb_entry old;
	char clean[128];

	if (userdb_writer_has(&b->w, e->name)) {
		b->rep->duplicates++;
		tell(b, "%s:%u: account %s was there before; the first line of it counts: remove one", b->path, b->line,
		    clean_name(clean, e->name));
		return;
	}
	if (!whole && old_record(b, e->name, &old) && is_cut_of(&old, e)) {
		take_bad_line(b, e, "the last line has no newline and looks cut");
		return;
	}
	e->source = b->w.nsources - 1;
	e->line = b->line;
	add_entry(b, e);
}

static void take_line(struct builder *b, const char *line, size_t len, bool whole)
{
	struct userdb_entry e;
	const char *why;

	b->line++;
	switch (userdb_parse(line, len, whole, &e, &why)) {
	case USERDB_LINE_SKIP:
		break;
	case USERDB_LINE_GOOD:
		take_good_line(b, &e, whole);
		break;
	case USERDB_LINE_BAD:
		if (!whole && e.name.len == len) {
			userdb_writer_add_cut(&b->w, e.name);
			tell_bad_line(b, e.name, "the last line ends within the name",
			    "logins of names that begin so and are not known are put off");
		} else {
			take_bad_line(b, &e, why);
		}
	}
}

/* --- files --- */

static void tell_permissions(struct builder *b, const struct stat *st)
{
	if ((st->st_mode & S_IROTH) != 0)
		tell(b, "%s can be read by everyone, password hashes included: chmod o= it (root:waypostauth 0640 is meant)",
		    b->path);
	if ((st->st_mode & (S_IWGRP | S_IWOTH)) != 0)
		tell(b, "%s can be written by others than its owner, who so can log in as anyone: chmod go-w it", b->path);
}

/* Feeds the lines in BUF (LEN bytes) and moves the unfinished rest to its front; returns the length of the rest. */
static size_t take_lines(struct builder *b, char *buf, size_t len)
{
	char *p = buf, *end = buf + len, *nl;

	while ((nl = memchr(p, '\n', (size_t)(end - p))) != NULL) {
		take_line(b, p, (size_t)(nl - p), true);
		p = nl + 1;
	}
	memmove(buf, p, (size_t)(end - p));
	return (size_t)(end - p);
}

/* A line beyond the limit: its name is still known from its beginning; what follows is skipped. */
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
		userdb_parse(line, (size_t)(tab - line) + 1, true, &e, &why);
	e.kind = USERDB_BROKEN;
	take_bad_line(b, &e, "the line is longer than 65536 bytes");
}

static bool read_lines(struct builder *b, int fd)
{
	char *buf = mem_alloc(LINE_MAX_LEN + READ_CHUNK);
	size_t len = 0;
	bool skipping = false;
	ssize_t n;

	while ((n = read(fd, buf + len, READ_CHUNK)) > 0 || (n < 0 && errno == EINTR)) {
		char *from = buf;

		if (n < 0)
			continue;
		len += (size_t)n;
		if (skipping) {
			if ((from = memchr(buf, '\n', len)) == NULL) {
				len = 0;
				continue;
			}
			skipping = false;
			len -= (size_t)(++from - buf);
			memmove(buf, from, len);
		}
		len = take_lines(b, buf, len);
		if (len > LINE_MAX_LEN) {
			take_long_line(b, buf);
			skipping = true;
			len = 0;
		}
	}
	if (n == 0 && len != 0)
		take_line(b, buf, len, false);
	mem_wipe(buf, LINE_MAX_LEN + READ_CHUNK);
	mem_free(&buf);
	return n == 0;
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
		tell(b, "cannot open %s: %s; it must be readable for the auth user (root:waypostauth 0640)", path,
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

struct loss { uint64_t had, lost; };

static void count_losses(struct builder *b, struct loss *by_source, uint32_t nsources)
{
	const struct userdb_header *h = b->old->h;
	const uint32_t *slots = (const void *)(b->old->base + h->slots);

	for (uint64_t i = 0; i < h->nslots; i++) {
		struct userdb_entry e;

		if (slots[i] == 0 || !userdb_read_record(b->old, (uint64_t)slots[i] * 4, &e))
			continue;
		if (e.source < nsources)
			by_source[e.source].had++;
		if (userdb_writer_has(&b->w, e.name))
			continue;
		if (e.kind != USERDB_BROKEN && userdb_writer_is_cut(&b->w, e.name)) {
			keep_record(b, &e);
			continue;
		}
		b->rep->lost++;
		if (e.source < nsources)
			by_source[e.source].lost++;
	}
}

static bool shrunk(struct builder *b, const char *path, struct loss l, unsigned percent, unsigned least)
{
	if (percent >= 100 || l.had < least || l.lost * 100 <= percent * l.had)
		return false;
	tell(b, "%s: %llu of its %llu accounts are gone, which is more than USERDB_SHRINK = %u %%: this state of the file is "
	    "refused and the one read before stays in use; repair the file, or if this is meant set USERDB_SHRINK = 100 and "
	    "reload", path, (unsigned long long)l.lost, (unsigned long long)l.had, percent);
	return true;
}

/* Compares with the old image; true if too much is gone. */
static bool check_losses(struct builder *b, const char *path, unsigned percent)
{
	const struct userdb_header *h = b->old->h;
	uint32_t n = (uint32_t)MIN(h->nsources, h->sources_end - h->sources); /* each takes a byte at least */
	struct loss *by_source = mem_array(n, sizeof(*by_source)), all;
	bool refused = false;

	count_losses(b, by_source, n);
	all.had = h->count;
	all.lost = b->rep->lost;
	for (uint32_t i = 0; i < n; i++) {
		char name[ACCOUNT_PATH_MAX];
		struct userdb_text t;

		if (by_source[i].lost == 0)
			continue;
		t = userdb_source(b->old, i);
		snprintf(name, sizeof(name), "%.*s", (int)MIN(t.len, sizeof(name) - 1), t.p);
		refused = shrunk(b, name, by_source[i], percent, SHRINK_LEAST) || refused;
	}
	/* Of a small one something must be left at least. */
	if (!refused)
		refused = shrunk(b, path, all, percent, all.lost == all.had ? 1 : SHRINK_LEAST);
	mem_free(&by_source);
	return refused;
}

/* --- the whole --- */

static enum userdb_status read_all(struct builder *b, const char *path, unsigned shrink_percent)
{
	uint64_t file, before, after;
	bool settled, readable;

	before = userdb_stamp(path, &file, &settled);
	readable = userdb_each_file(path, read_file, b);
	if (!readable)
		tell(b, "cannot read %s: %s; USERDB names the file, which must be readable for the auth user "
		    "(root:waypostauth 0640)", path, strerror(errno));
	after = userdb_stamp(path, &file, &settled);
	b->path = path;
	if (before != after)
		return USERDB_CHANGED;
	if (!readable || b->unreadable)
		return USERDB_MISSING;
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
		b->old = old != NULL && old->h->path == w->path ? old : NULL;
		rep->status = read_all(b, path, shrink_percent);
		rep->entries = w->count;
		if (rep->status == USERDB_BUILT && (*fd_out = userdb_writer_finish(w)) == -1)
			rep->status = USERDB_FAILED;
	}
	rep->bytes = rep->status == USERDB_BUILT ? w->len : 0;
	if (w->failed != NULL)
		tell(b, "%s: no image can be made of it: %s: %s", path, w->failed, strerror(w->error));
	if (b->untold != 0)
		str_addf(&rep->text, "%llu more such lines\n", (unsigned long long)b->untold);
	userdb_writer_end(w);
	mem_free(&b);
	return rep->status;
}
