/* From text to image. The image grows in a memory file; a table of slots with the names' hashes grows beside it
 * and is packed behind it in the end. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authlib/password.h"
#include "authlib/userdb_image.h"
#include "lib/log.h"
#include "lib/mem.h"

enum {
	LINE_MAX_LEN = 64 * 1024,
	READ_CHUNK = 256 * 1024,
	POOL_SLOTS = 4096, /* different option lists that are stored once; a site has a few per node */
	CLASS_MAX = 32,
	SHRINK_LEAST = 10  /* accounts that a file must have had before its shrinking is judged */
};

struct slot { uint32_t at, hash; }; /* offset / 4; low bits of the hash */

struct class { uint64_t count; size_t len; char sample[ACCOUNT_HASH_MAX]; };

struct builder {
	int fd;
	uint8_t *base;
	size_t len, cap;
	bool failed;
	uint64_t seed, count;
	struct slot *slots;
	uint64_t nslots;
	uint64_t pool[POOL_SLOTS]; /* offsets of option lists, 0 = free */
	unsigned npool;
	struct class classes[CLASS_MAX];
	unsigned nclasses;
	uint64_t path_hash;
	struct str sources, cuts;
	uint32_t nsources;
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

/* --- growing the image --- */

static void fail(struct builder *b, const char *what)
{
	if (!b->failed)
		tell(b, "%s: no image can be made of it: %s: %s", b->path, what, strerror(errno));
	b->failed = true;
}

static bool reserve(struct builder *b, size_t more)
{
	size_t cap = b->cap;
	void *p;

	if (b->failed)
		return false;
	if (b->len + more <= b->cap)
		return true;
	while (cap < b->len + more)
		cap *= 2;
	if (cap / 4 > UINT32_MAX) {
		errno = EFBIG;
		fail(b, "too many accounts");
		return false;
	}
	if (ftruncate(b->fd, (off_t)cap) != 0) {
		fail(b, "ftruncate");
		return false;
	}
	if ((p = mremap(b->base, b->cap, cap, MREMAP_MAYMOVE)) == MAP_FAILED) {
		fail(b, "mremap");
		return false;
	}
	b->base = p;
	b->cap = cap;
	return true;
}

/* The room has been reserved. */
static void put_num(struct builder *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		b->base[b->len++] = (uint8_t)(v | 0x80);
	b->base[b->len++] = (uint8_t)v;
}

static void put_text(struct builder *b, struct userdb_text t)
{
	put_num(b, t.len);
	if (t.len != 0)
		memcpy(b->base + b->len, t.p, t.len);
	b->len += t.len;
}

static void put_field(struct builder *b, enum userdb_tag tag, struct userdb_text t)
{
	if (t.p == NULL || (t.len == 0 && tag < USERDB_TAG_SYSTEMPW))
		return;
	b->base[b->len++] = (uint8_t)tag;
	put_text(b, t);
}

static struct userdb_text text_at(const struct builder *b, uint64_t at)
{
	struct userdb_text t = { "", 0 };
	unsigned shift = 0;

	while (b->base[at] >= 0x80) {
		t.len |= (size_t)(b->base[at++] & 0x7f) << shift;
		shift += 7;
	}
	t.len |= (size_t)b->base[at++] << shift;
	t.p = (const char *)b->base + at;
	return t;
}

/* Where the option list T stands in the image (put there if it is new); 0: the pool is full. */
static uint64_t pool_options(struct builder *b, struct userdb_text t)
{
	uint64_t i = userdb_hash(b->seed, t.p, t.len) % POOL_SLOTS;

	for (; b->pool[i] != 0; i = (i + 1) % POOL_SLOTS) {
		struct userdb_text is = text_at(b, b->pool[i]);

		if (is.len == t.len && memcmp(is.p, t.p, t.len) == 0)
			return b->pool[i];
	}
	if (b->npool == POOL_SLOTS / 2 || !reserve(b, t.len + 16))
		return 0;
	b->npool++;
	b->pool[i] = b->len;
	put_text(b, t);
	return b->pool[i];
}

static size_t entry_size(const struct userdb_entry *e)
{
	size_t n = e->name.len + e->home.len + e->mail.len + e->quota.len + e->gecos.len + e->options.len +
	    e->systempw.len + e->imappw.len + e->pop3pw.len;

	for (unsigned i = 0; i < e->npw; i++)
		n += e->pw[i].len;
	return n + 64 + 12 * (10 + (size_t)e->npw); /* numbers, tags, lengths */
}

/* Appends the record of E; its offset, or 0 if the image cannot grow. */
static uint64_t put_entry(struct builder *b, const struct userdb_entry *e)
{
	uint64_t options = e->options.len != 0 ? pool_options(b, e->options) : 0, at;

	if (!reserve(b, entry_size(e)))
		return 0;
	while (b->len % 4 != 0)
		b->base[b->len++] = 0;
	at = b->len;
	put_num(b, e->kind);
	put_text(b, e->name);
	put_num(b, e->source);
	put_num(b, e->line);
	if (e->kind == USERDB_BROKEN)
		return at;
	put_num(b, e->uid);
	put_num(b, e->gid);
	put_field(b, USERDB_TAG_HOME, e->home);
	put_field(b, USERDB_TAG_MAIL, e->mail);
	put_field(b, USERDB_TAG_QUOTA, e->quota);
	put_field(b, USERDB_TAG_GECOS, e->gecos);
	if (options != 0) {
		b->base[b->len++] = USERDB_TAG_OPTIONS_REF;
		put_num(b, options - sizeof(struct userdb_header));
	} else {
		put_field(b, USERDB_TAG_OPTIONS, e->options);
	}
	put_field(b, USERDB_TAG_SYSTEMPW, e->systempw);
	put_field(b, USERDB_TAG_IMAPPW, e->imappw);
	put_field(b, USERDB_TAG_POP3PW, e->pop3pw);
	for (unsigned i = 0; i < e->npw; i++)
		put_field(b, USERDB_TAG_PASSWORD, e->pw[i]);
	b->base[b->len++] = USERDB_TAG_END;
	return at;
}

/* --- the slots --- */

/* The slot of the name, or the free one where it belongs. */
static struct slot *find_slot(struct builder *b, struct userdb_text name, uint32_t hash)
{
	uint64_t i = hash & (b->nslots - 1);

	for (; b->slots[i].at != 0; i = (i + 1) & (b->nslots - 1)) {
		struct userdb_text is;

		if (b->slots[i].hash != hash)
			continue;
		is = text_at(b, (uint64_t)b->slots[i].at * 4 + 1); /* the kind is one byte */
		if (is.len == name.len && memcmp(is.p, name.p, name.len) == 0)
			break;
	}
	return &b->slots[i];
}

static uint32_t name_hash(const struct builder *b, struct userdb_text name)
{
	return (uint32_t)userdb_hash(b->seed, name.p, name.len);
}

static bool has_name(struct builder *b, struct userdb_text name)
{
	return find_slot(b, name, name_hash(b, name))->at != 0;
}

static void grow_slots(struct builder *b)
{
	struct slot *old = b->slots;
	uint64_t n = b->nslots;

	b->nslots = n * 2;
	b->slots = mem_array(b->nslots, sizeof(*b->slots));
	for (uint64_t i = 0; i < n; i++) {
		uint64_t j = old[i].hash & (b->nslots - 1);

		if (old[i].at == 0)
			continue;
		while (b->slots[j].at != 0)
			j = (j + 1) & (b->nslots - 1);
		b->slots[j] = old[i];
	}
	mem_free(&old);
}

static void add_entry(struct builder *b, const struct userdb_entry *e)
{
	uint32_t hash = name_hash(b, e->name);
	uint64_t at = put_entry(b, e);
	struct slot *s;

	if (at == 0)
		return;
	if (b->count * 3 >= b->nslots * 2)
		grow_slots(b);
	s = find_slot(b, e->name, hash);
	s->at = (uint32_t)(at / 4);
	s->hash = hash;
	b->count++;
	b->rep->broken += e->kind == USERDB_BROKEN;
	b->rep->kept += e->kind == USERDB_KEPT;
}

/* --- the most common kind of hash, for the dummy --- */

static void count_class(struct builder *b, struct userdb_text t)
{
	char hash[ACCOUNT_HASH_MAX];
	struct class *c;
	size_t len;
	unsigned i;

	if (t.len == 0 || t.len >= sizeof(hash) || t.p[0] == '*' || t.p[0] == '!')
		return;
	memcpy(hash, t.p, t.len);
	hash[t.len] = '\0';
	len = password_class(hash);
	for (i = 0; i < b->nclasses; i++) {
		c = &b->classes[i];
		if (c->len == len && memcmp(c->sample, hash, len) == 0) {
			c->count++;
			return;
		}
	}
	if (i == CLASS_MAX)
		return;
	c = &b->classes[b->nclasses++];
	c->count = 1;
	c->len = len;
	memcpy(c->sample, hash, t.len + 1);
}

static void make_dummy(struct builder *b, char dst[ACCOUNT_HASH_MAX])
{
	const struct class *best = NULL;

	for (unsigned i = 0; i < b->nclasses; i++)
		if (best == NULL || b->classes[i].count > best->count)
			best = &b->classes[i];
	password_dummy(dst, best != NULL ? best->sample : "");
}

/* --- lines --- */

/* The good record that the old image has of NAME. */
static bool old_record(const struct builder *b, struct userdb_text name, struct userdb_entry *e)
{
	uint64_t at = b->old != NULL ? userdb_find(b->old, name.p, name.len) : 0;

	return at != 0 && userdb_read_record(b->old, at, e) && e->kind != USERDB_BROKEN;
}

static void keep_record(struct builder *b, struct userdb_entry *e)
{
	e->kind = USERDB_KEPT;
	e->source = b->nsources - 1;
	e->line = b->line;
	add_entry(b, e);
}

static void take_bad_line(struct builder *b, const struct userdb_entry *e, const char *why)
{
	struct userdb_entry broken = *e, old;

	if (e->name.len == 0) {
		tell_bad_line(b, e->name, why, "");
	} else if (has_name(b, e->name)) {
		b->rep->duplicates++;
		tell_bad_line(b, e->name, why, "an earlier line of this account counts");
	} else if (old_record(b, e->name, &old)) {
		keep_record(b, &old);
		tell_bad_line(b, e->name, why, "its earlier state stays in use");
	} else {
		broken.source = b->nsources - 1;
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

	if (has_name(b, e->name)) {
		b->rep->duplicates++;
		tell(b, "%s:%u: account %s was there before; the first line of it counts: remove one", b->path, b->line,
		    clean_name(clean, e->name));
		return;
	}
	if (!whole && old_record(b, e->name, &old) && is_cut_of(&old, e)) {
		take_bad_line(b, e, "the last line has no newline and looks cut");
		return;
	}
	e->source = b->nsources - 1;
	e->line = b->line;
	count_class(b, e->systempw);
	count_class(b, e->imappw);
	count_class(b, e->pop3pw);
	add_entry(b, e);
}

static void add_text(struct str *s, struct userdb_text t)
{
	size_t v = t.len;

	for (; v >= 0x80; v >>= 7)
		str_addc(s, (char)(v | 0x80));
	str_addc(s, (char)v);
	str_add(s, t.p, t.len);
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
			add_text(&b->cuts, e.name);
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
	struct userdb_text name = { path, strlen(path) };
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	b->path = path;
	b->line = 0;
	b->nsources++;
	b->rep->files++;
	add_text(&b->sources, name);
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

static bool matches_cut(const struct builder *b, struct userdb_text name)
{
	const uint8_t *p = (const uint8_t *)b->cuts.data, *end = p + b->cuts.len;

	while (p < end) {
		size_t len = 0;
		unsigned shift = 0;

		for (; *p >= 0x80; shift += 7)
			len |= (size_t)(*p++ & 0x7f) << shift;
		len |= (size_t)*p++ << shift;
		if (len <= name.len && memcmp(p, name.p, len) == 0)
			return true;
		p += len;
	}
	return false;
}

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
		if (has_name(b, e.name))
			continue;
		if (e.kind != USERDB_BROKEN && matches_cut(b, e.name)) {
			keep_record(b, &e);
			continue;
		}
		b->rep->lost++;
		if (e.source < nsources)
			by_source[e.source].lost++;
	}
}

static bool shrunk(struct builder *b, const char *path, struct loss l, unsigned percent)
{
	if (percent >= 100 || l.had < SHRINK_LEAST || l.lost * 100 <= percent * l.had)
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
	if (percent < 100 && all.had != 0 && all.lost == all.had && all.had < SHRINK_LEAST)
		all.had = all.lost = SHRINK_LEAST; /* nothing is left of a small one either */
	for (uint32_t i = 0; i < n; i++) {
		char name[ACCOUNT_PATH_MAX];
		struct userdb_text t;

		if (by_source[i].lost == 0)
			continue;
		t = userdb_source(b->old, i);
		snprintf(name, sizeof(name), "%.*s", (int)MIN(t.len, sizeof(name) - 1), t.p);
		refused = shrunk(b, name, by_source[i], percent) || refused;
	}
	if (!refused)
		refused = shrunk(b, path, all, percent);
	mem_free(&by_source);
	return refused;
}

/* --- start and end --- */

static bool begin(struct builder *b)
{
	enum { FIRST = 64 * 1024 };

	b->nslots = 1024;
	b->slots = mem_array(b->nslots, sizeof(*b->slots));
	b->fd = memfd_create("waypost-userdb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (b->fd == -1 || ftruncate(b->fd, FIRST) != 0 || RAND_bytes((unsigned char *)&b->seed, sizeof(b->seed)) != 1) {
		fail(b, "memfd_create");
		return false;
	}
	b->base = mmap(NULL, FIRST, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
	if (b->base == MAP_FAILED) {
		b->base = NULL;
		fail(b, "mmap");
		return false;
	}
	b->cap = FIRST;
	b->len = sizeof(struct userdb_header);
	return true;
}

static uint64_t put_block(struct builder *b, const struct str *s, uint64_t *end)
{
	uint64_t at = b->len;

	if (reserve(b, s->len) && s->len != 0) {
		memcpy(b->base + b->len, s->data, s->len);
		b->len += s->len;
	}
	*end = b->len;
	return at;
}

static bool put_slots(struct builder *b, struct userdb_header *h)
{
	uint32_t *to;

	if (!reserve(b, b->nslots * 4 + 4))
		return false;
	while (b->len % 4 != 0)
		b->base[b->len++] = 0;
	h->slots = b->len;
	h->nslots = b->nslots;
	to = (void *)(b->base + b->len);
	for (uint64_t i = 0; i < b->nslots; i++)
		to[i] = b->slots[i].at;
	b->len += b->nslots * 4;
	return true;
}

/* Writes what follows the records, and the header; seals the file. */
static bool finish(struct builder *b)
{
	struct userdb_header h;

	memset(&h, 0, sizeof(h));
	memcpy(h.magic, USERDB_MAGIC, sizeof(h.magic));
	h.version = USERDB_VERSION;
	h.nsources = b->nsources;
	h.seed = b->seed;
	h.path = b->path_hash;
	h.count = b->count;
	h.records = sizeof(h);
	h.records_end = b->len;
	h.sources = put_block(b, &b->sources, &h.sources_end);
	h.cuts = put_block(b, &b->cuts, &h.cuts_end);
	make_dummy(b, h.dummy);
	if (!put_slots(b, &h) || b->failed)
		return false;
	h.size = b->rep->bytes = b->len;
	memcpy(b->base, &h, sizeof(h));
	munmap(b->base, b->cap);
	b->base = NULL;
	if (ftruncate(b->fd, (off_t)b->len) != 0 ||
	    fcntl(b->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		fail(b, "sealing");
		return false;
	}
	return true;
}

static void end(struct builder *b)
{
	if (b->base != NULL)
		munmap(b->base, b->cap);
	if (b->fd != -1)
		close(b->fd);
	mem_free(&b->slots);
	mem_wipe(b->classes, sizeof(b->classes));
	str_fini(&b->sources);
	str_fini(&b->cuts);
	if (b->untold != 0)
		str_addf(&b->rep->text, "%llu more such lines\n", (unsigned long long)b->untold);
}

static enum userdb_status build(struct builder *b, const char *path, unsigned shrink_percent)
{
	uint64_t file, before, after;
	bool settled, readable;

	b->path = path;
	if (!begin(b))
		return USERDB_FAILED;
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
	if (b->old != NULL && check_losses(b, path, shrink_percent))
		return USERDB_SHRUNK;
	return !b->failed && finish(b) ? USERDB_BUILT : USERDB_FAILED;
}

enum userdb_status userdb_build(const char *path, const struct userdb *old, unsigned shrink_percent,
    struct userdb_report *rep, int *fd_out)
{
	struct builder *b = mem_alloc(sizeof(*b));

	*fd_out = b->fd = -1;
	b->path_hash = userdb_hash(0, path, strlen(path));
	b->old = old != NULL && old->h->path == b->path_hash ? old : NULL;
	b->rep = rep;
	rep->status = build(b, path, shrink_percent);
	rep->entries = b->count;
	if (rep->status == USERDB_BUILT) {
		*fd_out = b->fd;
		b->fd = -1;
	}
	end(b);
	mem_free(&b);
	return rep->status;
}
