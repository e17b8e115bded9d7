/* Makes an image: writes records one by one to a growing memory file and keeps the slots of names beside it, which
 * follow the records in the end; then the file is sealed. */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "authlib/password.h"
#include "authlib/userdb_writer.h"
#include "lib/mem.h"

struct userdb_slot {
	uint32_t at, hash;
}; /* offset / 4; low bits of the hash */

/* --- growing the image --- */

static void fail(struct userdb_writer *w, const char *what)
{
	if (w->failed == NULL) {
		w->failed = what;
		w->error = errno;
	}
}

static bool reserve(struct userdb_writer *w, size_t more)
{
	size_t cap = w->cap;
	void *p;

	if (w->failed != NULL)
		return false;
	if (w->len + more <= w->cap)
		return true;
	while (cap < w->len + more)
		cap *= 2;
	if (cap / 4 > UINT32_MAX) {
		errno = EFBIG;
		fail(w, "too many accounts");
		return false;
	}
	if (ftruncate(w->fd, (off_t)cap) != 0) {
		fail(w, "ftruncate");
		return false;
	}
	if ((p = mremap(w->base, w->cap, cap, MREMAP_MAYMOVE)) == MAP_FAILED) {
		fail(w, "mremap");
		return false;
	}
	w->base = p;
	w->cap = cap;
	return true;
}

/* The room has been reserved. */
static void put_num(struct userdb_writer *w, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		w->base[w->len++] = (uint8_t)(v | 0x80);
	w->base[w->len++] = (uint8_t)v;
}

static void put_text(struct userdb_writer *w, struct userdb_text t)
{
	put_num(w, t.len);
	if (t.len != 0)
		memcpy(w->base + w->len, t.p, t.len);
	w->len += t.len;
}

static void put_field(struct userdb_writer *w, enum userdb_tag tag, struct userdb_text t)
{
	if (t.p == NULL || (t.len == 0 && tag < USERDB_TAG_SYSTEMPW))
		return;
	w->base[w->len++] = (uint8_t)tag;
	put_text(w, t);
}

static struct userdb_text text_at(const struct userdb_writer *w, uint64_t at)
{
	struct userdb_text t = { "", 0 };
	unsigned shift = 0;

	while (w->base[at] >= 0x80) {
		t.len |= (size_t)(w->base[at++] & 0x7f) << shift;
		shift += 7;
	}
	t.len |= (size_t)w->base[at++] << shift;
	t.p = (const char *)w->base + at;
	return t;
}

/* The place of the option list T in the image (added if it is new); 0: the pool is full. */
static uint64_t pool_options(struct userdb_writer *w, struct userdb_text t)
{
	uint64_t i = userdb_hash(w->seed, t.p, t.len) % USERDB_POOL_SLOTS;

	for (; w->pool[i] != 0; i = (i + 1) % USERDB_POOL_SLOTS) {
		struct userdb_text is = text_at(w, w->pool[i]);

		if (is.len == t.len && memcmp(is.p, t.p, t.len) == 0)
			return w->pool[i];
	}
	if (w->npool == USERDB_POOL_SLOTS / 2 || !reserve(w, t.len + 16))
		return 0;
	w->npool++;
	w->pool[i] = w->len;
	put_text(w, t);
	return w->pool[i];
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
static uint64_t put_entry(struct userdb_writer *w, const struct userdb_entry *e)
{
	uint64_t options = e->options.len != 0 ? pool_options(w, e->options) : 0, at;

	if (!reserve(w, entry_size(e)))
		return 0;
	while (w->len % 4 != 0)
		w->base[w->len++] = 0;
	at = w->len;
	put_num(w, e->kind);
	put_text(w, e->name);
	put_num(w, e->source);
	put_num(w, e->line);
	if (e->kind == USERDB_BROKEN)
		return at;
	put_num(w, e->uid);
	put_num(w, e->gid);
	put_field(w, USERDB_TAG_HOME, e->home);
	put_field(w, USERDB_TAG_MAIL, e->mail);
	put_field(w, USERDB_TAG_QUOTA, e->quota);
	put_field(w, USERDB_TAG_GECOS, e->gecos);
	if (options != 0) {
		w->base[w->len++] = USERDB_TAG_OPTIONS_REF;
		put_num(w, options - sizeof(struct userdb_header));
	} else {
		put_field(w, USERDB_TAG_OPTIONS, e->options);
	}
	put_field(w, USERDB_TAG_SYSTEMPW, e->systempw);
	put_field(w, USERDB_TAG_IMAPPW, e->imappw);
	put_field(w, USERDB_TAG_POP3PW, e->pop3pw);
	for (unsigned i = 0; i < e->npw; i++)
		put_field(w, USERDB_TAG_PASSWORD, e->pw[i]);
	w->base[w->len++] = USERDB_TAG_END;
	return at;
}

/* --- the slots --- */

/* The slot of the name, or the free one where it belongs. */
static struct userdb_slot *find_slot(const struct userdb_writer *w, struct userdb_text name, uint32_t hash)
{
	uint64_t i = hash & (w->nslots - 1);

	for (; w->slots[i].at != 0; i = (i + 1) & (w->nslots - 1)) {
		struct userdb_text is;

		if (w->slots[i].hash != hash)
			continue;
		is = text_at(w, (uint64_t)w->slots[i].at * 4 + 1); /* the kind is one byte */
		if (is.len == name.len && memcmp(is.p, name.p, name.len) == 0)
			break;
	}
	return &w->slots[i];
}

static uint32_t name_hash(const struct userdb_writer *w, struct userdb_text name)
{
	return (uint32_t)userdb_hash(w->seed, name.p, name.len);
}

static void grow_slots(struct userdb_writer *w)
{
	struct userdb_slot *old = w->slots;
	uint64_t n = w->nslots;

	w->nslots = n * 2;
	w->slots = mem_array(w->nslots, sizeof(*w->slots));
	for (uint64_t i = 0; i < n; i++) {
		uint64_t j = old[i].hash & (w->nslots - 1);

		if (old[i].at == 0)
			continue;
		while (w->slots[j].at != 0)
			j = (j + 1) & (w->nslots - 1);
		w->slots[j] = old[i];
	}
	mem_free(&old);
}

/* --- the most common kind of hash, for the dummy --- */

static void count_class(struct userdb_writer *w, struct userdb_text t)
{
	char hash[ACCOUNT_HASH_MAX];
	struct userdb_class *c;
	size_t len;
	unsigned i;

	if (t.len == 0 || t.len >= sizeof(hash) || t.p[0] == '*' || t.p[0] == '!')
		return;
	memcpy(hash, t.p, t.len);
	hash[t.len] = '\0';
	len = password_class(hash);
	for (i = 0; i < w->nclasses; i++) {
		c = &w->classes[i];
		if (c->len == len && memcmp(c->sample, hash, len) == 0) {
			c->count++;
			return;
		}
	}
	if (i == USERDB_CLASS_MAX)
		return;
	c = &w->classes[w->nclasses++];
	c->count = 1;
	c->len = len;
	memcpy(c->sample, hash, t.len + 1);
}

static void make_dummy(struct userdb_writer *w, char dst[ACCOUNT_HASH_MAX])
{
	const struct userdb_class *best = NULL;

	for (unsigned i = 0; i < w->nclasses; i++)
		if (best == NULL || w->classes[i].count > best->count)
			best = &w->classes[i];
	password_dummy(dst, best != NULL ? best->sample : "");
}

/* --- what follows the records --- */

static uint64_t put_block(struct userdb_writer *w, const struct str *s, uint64_t *end)
{
	uint64_t at = w->len;

	if (reserve(w, s->len) && s->len != 0) {
		memcpy(w->base + w->len, s->data, s->len);
		w->len += s->len;
	}
	*end = w->len;
	return at;
}

static bool put_slots(struct userdb_writer *w, struct userdb_header *h)
{
	uint32_t *to;

	if (!reserve(w, w->nslots * 4 + 4))
		return false;
	while (w->len % 4 != 0)
		w->base[w->len++] = 0;
	h->slots = w->len;
	h->nslots = w->nslots;
	to = (void *)(w->base + w->len);
	for (uint64_t i = 0; i < w->nslots; i++)
		to[i] = w->slots[i].at;
	w->len += w->nslots * 4;
	return true;
}

/* --- the public part --- */

bool userdb_writer_begin(struct userdb_writer *w, const char *path)
{
	enum { FIRST = 64 * 1024 };

	w->path = userdb_hash(0, path, strlen(path));
	w->nslots = 1024;
	w->slots = mem_array(w->nslots, sizeof(*w->slots));
	w->fd = memfd_create("waypost-userdb", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->fd == -1 || ftruncate(w->fd, FIRST) != 0 ||
	    RAND_bytes((unsigned char *)&w->seed, sizeof(w->seed)) != 1) {
		fail(w, "memfd_create");
		return false;
	}
	w->base = mmap(NULL, FIRST, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);
	if (w->base == MAP_FAILED) {
		w->base = NULL;
		fail(w, "mmap");
		return false;
	}
	w->cap = FIRST;
	w->len = sizeof(struct userdb_header);
	return true;
}

static void add_text(struct str *s, struct userdb_text t)
{
	size_t v = t.len;

	for (; v >= 0x80; v >>= 7)
		str_addc(s, (char)(v | 0x80));
	str_addc(s, (char)v);
	str_add(s, t.p, t.len);
}

void userdb_writer_add_source(struct userdb_writer *w, const char *path)
{
	struct userdb_text t = { path, strlen(path) };

	w->nsources++;
	add_text(&w->sources, t);
}

bool userdb_writer_has(const struct userdb_writer *w, struct userdb_text name)
{
	return find_slot(w, name, name_hash(w, name))->at != 0;
}

void userdb_writer_add(struct userdb_writer *w, const struct userdb_entry *e)
{
	uint32_t hash = name_hash(w, e->name);
	uint64_t at = put_entry(w, e);
	struct userdb_slot *s;

	if (at == 0)
		return;
	if (w->count * 3 >= w->nslots * 2)
		grow_slots(w);
	s = find_slot(w, e->name, hash);
	s->at = (uint32_t)(at / 4);
	s->hash = hash;
	w->count++;
	w->passwords += userdb_has_password(e);
	if (e->kind == USERDB_GOOD) {
		count_class(w, e->systempw);
		count_class(w, e->imappw);
		count_class(w, e->pop3pw);
	}
}

int userdb_writer_finish(struct userdb_writer *w)
{
	struct userdb_header h;
	int fd;

	memset(&h, 0, sizeof(h));
	memcpy(h.magic, USERDB_MAGIC, sizeof(h.magic));
	h.version = USERDB_VERSION;
	h.nsources = w->nsources;
	h.seed = w->seed;
	h.path = w->path;
	h.count = w->count;
	h.records = sizeof(h);
	h.records_end = w->len;
	h.sources = put_block(w, &w->sources, &h.sources_end);
	h.nameless = w->nameless;
	make_dummy(w, h.dummy);
	if (!put_slots(w, &h) || w->failed != NULL)
		return -1;
	h.size = w->len;
	memcpy(w->base, &h, sizeof(h));
	munmap(w->base, w->cap);
	w->base = NULL;
	if (ftruncate(w->fd, (off_t)w->len) != 0 ||
	    fcntl(w->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0) {
		fail(w, "sealing");
		return -1;
	}
	fd = w->fd;
	w->fd = -1;
	return fd;
}

void userdb_writer_end(struct userdb_writer *w)
{
	if (w->base != NULL)
		munmap(w->base, w->cap);
	if (w->fd != -1)
		close(w->fd);
	mem_free(&w->slots);
	mem_wipe(w->classes, sizeof(w->classes));
	str_fini(&w->sources);
}
