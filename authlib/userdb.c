/* Opens an image of the userdb and looks accounts up in it, with bounds checks. */
#include "authlib/userdb.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authlib/hmac_state.h"
#include "authlib/password.h"
#include "authlib/userdb_image.h"
#include "lib/mem.h"
#include "lib/str.h"

/* A place in the image; BAD after a read beyond the end. */
struct cursor {
	const uint8_t *p, *end;
	bool bad;
};

static uint64_t get_num(struct cursor *c)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		uint8_t b;

		if (c->p == c->end)
			break;
		b = *c->p++;
		v |= (uint64_t)(b & 0x7f) << shift;
		if (b < 0x80)
			return v;
	}
	c->bad = true;
	return 0;
}

static uint32_t get_num32(struct cursor *c)
{
	uint64_t v = get_num(c);

	if (v > UINT32_MAX)
		c->bad = true;
	return (uint32_t)v;
}

static struct userdb_text get_text(struct cursor *c)
{
	uint64_t len = get_num(c);
	struct userdb_text t = { "", 0 };

	if (c->bad || len > (uint64_t)(c->end - c->p)) {
		c->bad = true;
		return t;
	}
	t.p = (const char *)c->p;
	t.len = len;
	c->p += len;
	return t;
}

static struct cursor cursor_at(const struct userdb *db, uint64_t from, uint64_t end)
{
	struct cursor c = { db->base + MIN(from, end), db->base + end, from > end };

	return c;
}

uint64_t userdb_hash(uint64_t seed, const char *name, size_t len)
{
	uint64_t h = seed ^ len * UINT64_C(0x9e3779b97f4a7c15);

	while (len != 0) {
		size_t n = MIN(len, 8);
		uint64_t part = 0;

		memcpy(&part, name, n);
		h = (h ^ part) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
		name += n;
		len -= n;
	}
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	return h ^ h >> 29;
}

static struct userdb_text pooled(const struct userdb *db, uint64_t offset)
{
	struct cursor c = cursor_at(db, db->h->records, db->h->records_end);
	struct userdb_text none = { NULL, 0 }, t;

	if (offset > (uint64_t)(c.end - c.p))
		return none;
	c.p += offset;
	t = get_text(&c);
	return c.bad ? none : t;
}

static void read_field(const struct userdb *db, struct cursor *c, uint8_t tag, struct userdb_entry *e)
{
	struct userdb_text *const member[] = {
		[USERDB_TAG_HOME] = &e->home,
		[USERDB_TAG_MAIL] = &e->mail,
		[USERDB_TAG_QUOTA] = &e->quota,
		[USERDB_TAG_GECOS] = &e->gecos,
		[USERDB_TAG_OPTIONS] = &e->options,
		[USERDB_TAG_SYSTEMPW] = &e->systempw,
		[USERDB_TAG_IMAPPW] = &e->imappw,
		[USERDB_TAG_POP3PW] = &e->pop3pw,
	};

	if (tag == USERDB_TAG_OPTIONS_REF) {
		e->options = pooled(db, get_num(c));
		if (e->options.p == NULL)
			c->bad = true;
	} else if (tag == USERDB_TAG_PASSWORD && e->npw < USERDB_PW_MAX) {
		e->pw[e->npw++] = get_text(c);
	} else if (tag < ARRAY_LEN(member) && member[tag] != NULL) {
		*member[tag] = get_text(c);
	} else {
		c->bad = true;
	}
}

bool userdb_read_record(const struct userdb *db, uint64_t offset, struct userdb_entry *e)
{
	struct cursor c = cursor_at(db, offset, db->h->records_end);

	memset(e, 0, sizeof(*e));
	if (offset < db->h->records || c.bad)
		return false;
	e->kind = (enum userdb_kind)get_num32(&c);
	e->name = get_text(&c);
	e->source = get_num32(&c);
	e->line = get_num32(&c);
	if (e->kind == USERDB_BROKEN)
		return !c.bad;
	e->uid = get_num32(&c);
	e->gid = get_num32(&c);
	while (!c.bad && c.p < c.end && *c.p != USERDB_TAG_END) {
		uint8_t tag = *c.p++;

		read_field(db, &c, tag, e);
	}
	return !c.bad && c.p < c.end && (e->kind == USERDB_GOOD || e->kind == USERDB_KEPT);
}

/* The record at OFFSET is NAME's. Reads no more than the name: this is the inner loop of a lookup. */
static bool is_named(const struct userdb *db, uint64_t offset, const char *name, size_t len)
{
	struct cursor c = cursor_at(db, offset, db->h->records_end);
	struct userdb_text t;

	get_num(&c);
	t = get_text(&c);
	return !c.bad && t.len == len && memcmp(t.p, name, len) == 0;
}

uint64_t userdb_find(const struct userdb *db, const char *name, size_t len)
{
	const uint32_t *slots = (const void *)(db->base + db->h->slots);
	uint64_t mask = db->h->nslots - 1, i = userdb_hash(db->h->seed, name, len) & mask;

	for (uint64_t n = 0; n < db->h->nslots && slots[i] != 0; n++, i = (i + 1) & mask)
		if (is_named(db, (uint64_t)slots[i] * 4, name, len))
			return (uint64_t)slots[i] * 4;
	return 0;
}

struct userdb_text userdb_source(const struct userdb *db, uint32_t source)
{
	struct cursor c = cursor_at(db, db->h->sources, db->h->sources_end);
	struct userdb_text t = { "", 0 };

	for (uint32_t i = 0; i <= source && !c.bad; i++)
		t = get_text(&c);
	return t;
}

/* --- opening --- */

static bool in_image(uint64_t from, uint64_t end, uint64_t size)
{
	return from >= sizeof(struct userdb_header) && from <= end && end <= size;
}

static const char *check_header(const struct userdb_header *h, uint64_t size)
{
	if (size < sizeof(*h) || memcmp(h->magic, USERDB_MAGIC, sizeof(h->magic)) != 0)
		return "not a userdb image";
	if (h->version != USERDB_VERSION)
		return "an image of another version of Waypost";
	if (h->size != size || !in_image(h->records, h->records_end, size) ||
	    !in_image(h->sources, h->sources_end, size) || h->nslots == 0 || (h->nslots & (h->nslots - 1)) != 0 ||
	    h->nslots > size / 4 || h->slots % 4 != 0 || !in_image(h->slots, h->slots + h->nslots * 4, size) ||
	    memchr(h->dummy, '\0', sizeof(h->dummy)) == NULL)
		return "it is damaged";
	return NULL;
}

struct userdb *userdb_open_fd(int fd, const char **why)
{
	const int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	struct userdb *db = NULL;
	struct stat st;
	void *p = MAP_FAILED;

	/* Sealed: what was checked cannot change, and no page can vanish under the map. */
	if ((fcntl(fd, F_GET_SEALS) & seals) != seals || fcntl(fd, F_GET_SEALS) == -1)
		*why = "not a sealed memory file";
	else if (fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(struct userdb_header))
		*why = "it is too short";
	else if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
		*why = strerror(errno);
	else if ((*why = check_header(p, (uint64_t)st.st_size)) == NULL) {
		db = mem_alloc(sizeof(*db));
		db->fd = fd;
		db->base = p;
		db->h = p;
		db->mapped = (size_t)st.st_size;
		return db;
	}
	if (p != MAP_FAILED)
		munmap(p, (size_t)st.st_size);
	close(fd);
	return NULL;
}

void userdb_close(struct userdb **dbp)
{
	struct userdb *db = *dbp;

	if (db == NULL)
		return;
	munmap((void *)(uintptr_t)db->base, db->mapped);
	close(db->fd);
	mem_free(dbp);
}

bool userdb_is_of(const struct userdb *db, const char *path)
{
	return db->h->path == userdb_hash(0, path, strlen(path));
}

int userdb_fd(const struct userdb *db)
{
	return db->fd;
}

uint64_t userdb_count(const struct userdb *db)
{
	return db->h->count;
}

const char *userdb_dummy_hash(const struct userdb *db)
{
	static char fallback[ACCOUNT_HASH_MAX];

	if (db != NULL && db->h->dummy[0] != '\0')
		return db->h->dummy;
	if (fallback[0] == '\0')
		password_dummy(fallback, "");
	return fallback;
}

/* --- looking up --- */

static enum auth_result find_entry(const struct userdb *db, const char *name, struct userdb_entry *e)
{
	size_t len = strlen(name);
	uint64_t offset;

	if (db == NULL)
		return AUTH_TRY_LATER;
	if ((offset = userdb_find(db, name, len)) == 0)
		return db->h->nameless != 0 ? AUTH_TRY_LATER : AUTH_UNKNOWN;
	if (!userdb_read_record(db, offset, e))
		return AUTH_BROKEN;
	return e->kind == USERDB_BROKEN ? AUTH_TRY_LATER : AUTH_OK;
}

/* Password field FIELD; a text with p NULL if there is none. */
static struct userdb_text find_password(const struct userdb_entry *e, const char *field)
{
	struct userdb_text none = { NULL, 0 };
	size_t len = strlen(field);

	if (strcmp(field, "systempw") == 0)
		return e->systempw;
	if (strcmp(field, "imappw") == 0)
		return e->imappw;
	if (strcmp(field, "pop3pw") == 0)
		return e->pop3pw;
	for (unsigned i = 0; i < e->npw; i++) {
		struct userdb_text t = e->pw[i];

		if (t.len > len && t.p[len] == '=' && memcmp(t.p, field, len) == 0)
			return (struct userdb_text){ t.p + len + 1, t.len - len - 1 };
	}
	return none;
}

static void set_member(char **member, struct userdb_text t)
{
	account_set_bytes(member, t.p, t.len);
}

static void set_members(struct account *out, const struct userdb_entry *e)
{
	set_member(&out->name, e->name);
	set_member(&out->home, e->home);
	set_member(&out->maildir, e->mail);
	set_member(&out->quota, e->quota);
	set_member(&out->fullname, e->gecos);
	set_member(&out->options, e->options);
	out->uid = e->uid;
	out->gid = e->gid;
}

/* Sets the states for CRAM logins, "<service>-hmac-md5pw" before "hmac-md5pw", in the format of struct account. */
static void set_hmac(struct account *out, const struct userdb_entry *e, const char *service)
{
	static const char *const hashes[] = { "md5", "sha1", "sha256" };
	struct str list = STR_INIT;

	str_room(&list, ACCOUNT_HMAC_MAX); /* allocated once: a string that grows leaves copies behind */
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		char field[USERDB_FIELD_MAX];
		struct userdb_text t;

		snprintf(field, sizeof(field), "%.32s-hmac-%spw", service, hashes[i]);
		t = find_password(e, field);
		if (t.p == NULL)
			t = find_password(e, field + strlen(field) - strlen(hashes[i]) - strlen("hmac-pw"));
		if (t.p == NULL || t.len != hmac_state_len(hashes[i]) || memchr(t.p, ',', t.len) != NULL)
			continue; /* a damaged one is ignored */
		str_addf(&list, "%s%s=%.*s", list.len != 0 ? "," : "", hashes[i], (int)t.len, t.p);
	}
	account_set(&out->hmac, str_cstr(&list));
	str_fini_secret(&list);
}

enum auth_result userdb_lookup(const struct userdb *db, const char *service, const char *name, struct account *out)
{
	struct userdb_entry e;
	struct userdb_text hash;
	char field[USERDB_FIELD_MAX];
	size_t len = MIN(strlen(service), USERDB_FIELD_MAX / 2);
	enum auth_result r = find_entry(db, name, &e);

	if (r != AUTH_OK)
		return r;
	memcpy(field, service, len); /* "imappw" */
	str_copy(field + len, sizeof(field) - len, "pw");
	hash = find_password(&e, field);
	if (hash.p == NULL)
		hash = e.systempw;
	set_members(out, &e);
	set_member(&out->hash, hash);
	if (e.npw != 0)
		set_hmac(out, &e, service);
	return AUTH_OK;
}

static int compare_slots(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool tell_entry(const struct userdb *db, uint64_t offset, auth_account_fn *fn, void *arg, bool *damaged)
{
	struct userdb_entry e;
	struct account a;
	struct userdb_text file;
	char *why = NULL;
	bool more;

	*damaged = !userdb_read_record(db, offset, &e);
	if (*damaged)
		return false;
	account_init(&a);
	if (e.kind == USERDB_BROKEN) {
		file = userdb_source(db, e.source);
		why = mem_printf("bad line: %.*s:%u", (int)MIN(file.len, ACCOUNT_PATH_MAX), file.p, e.line);
		set_member(&a.name, e.name);
	} else {
		set_members(&a, &e);
	}
	more = fn(arg, &a, why);
	account_fini(&a);
	mem_free(&why);
	return more;
}

bool userdb_each(const struct userdb *db, auth_account_fn *fn, void *arg, struct str *why)
{
	const uint32_t *slots = (const void *)(db->base + db->h->slots);
	uint32_t *order = mem_alloc((size_t)db->h->nslots * sizeof(*order));
	bool damaged = false;
	uint64_t n = 0, i = 0;

	for (uint64_t k = 0; k < db->h->nslots; k++)
		if (slots[k] != 0)
			order[n++] = slots[k];
	qsort(order, n, sizeof(*order), compare_slots);
	while (i < n && tell_entry(db, (uint64_t)order[i] * 4, fn, arg, &damaged))
		i++;
	mem_free(&order);
	if (damaged)
		str_adds(why, "the image of the userdb is damaged");
	else if (i == n && db->h->nameless != 0)
		str_adds(why, "a line has no account name, so an account is missing");
	return i == n && why->len == 0;
}

const char *userdb_origin(const struct userdb *db, const char *name, char *dst, size_t size)
{
	struct userdb_entry e;
	struct userdb_text file;
	uint64_t offset = db != NULL ? userdb_find(db, name, strlen(name)) : 0;

	dst[0] = '\0';
	if (offset == 0 || !userdb_read_record(db, offset, &e))
		return dst;
	file = userdb_source(db, e.source);
	snprintf(dst, size, "%.*s:%u%s", (int)MIN(file.len, ACCOUNT_PATH_MAX), file.p, e.line,
	    e.kind == USERDB_KEPT ? " (kept from an earlier state of the file)" : "");
	return dst;
}
