/* The table as data; defaults; writing and reading the copy for a role; the digest of the directories. */
#include "settings/settings.h"

#include <errno.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/die.h"
#include "lib/fd.h"
#include "lib/mem.h"
#include "settings/settings_rows.h"

#define ROLES(group, name, type, def, least, most, unit, roles, text) \
	_Static_assert(((roles) & ~SF_ALL) == 0 && (roles) != 0, "roles of " #group "." #name);
SETTINGS_TABLE(ROLES)
#undef ROLES

const struct settings_row settings_rows[SETTINGS_ROW_COUNT + 1] = {
#define ROW(group, name, type, def, least, most, unit, roles, text) \
	{ #group, #name, SETTINGS_T_##type, offsetof(struct settings, group##_##name), def, least, most, unit, roles, \
		text },
	SETTINGS_TABLE(ROW)
#undef ROW
	    { NULL, NULL, SETTINGS_T_STR, 0, NULL, 0, 0, NULL, 0, NULL }
};

enum { WRITTEN_MAX = 16 * 1024 * 1024, WRITTEN_STR_MAX = 1024 * 1024 };

bool settings_is_text(enum settings_type type)
{
	return type != SETTINGS_T_INT && type != SETTINGS_T_BOOL && type != SETTINGS_T_SIZE && type != SETTINGS_T_TIME;
}

char **settings_text_at(struct settings *s, const struct settings_row *row)
{
	DIE_IF(!settings_is_text(row->type));
	return (char **)(void *)((char *)s + row->offset);
}

int64_t settings_number(const struct settings *s, const struct settings_row *row)
{
	const char *at = (const char *)s + row->offset;
	int64_t v;

	if (row->type == SETTINGS_T_BOOL)
		return *(const bool *)at;
	memcpy(&v, at, sizeof(v));
	return v;
}

void settings_set_number(struct settings *s, const struct settings_row *row, int64_t v)
{
	char *at = (char *)s + row->offset;

	if (row->type == SETTINGS_T_BOOL)
		*(bool *)at = v != 0;
	else
		memcpy(at, &v, sizeof(v));
}

const char *settings_group_name(const char *group, char buf[SETTINGS_GROUP_MAX])
{
	size_t i = 0;

	for (; group[i] != '\0' && i + 1 < SETTINGS_GROUP_MAX; i++)
		buf[i] = group[i] == '_' ? '-' : group[i];
	buf[i] = '\0';
	if (strcmp(buf, "node") == 0)
		buf[0] = '\0';
	return buf;
}

static bool name_fits(const char *pattern, const char *name)
{
	size_t len = strlen(pattern);

	if (len != 0 && pattern[len - 1] == '*')
		return strncmp(pattern, name, len - 1) == 0;
	return strcmp(pattern, name) == 0;
}

const struct settings_known *settings_known_find(const char *group, const char *name)
{
	for (const struct settings_known *k = settings_known; k->name != NULL; k++)
		if (strcmp(k->group, group) == 0 && name_fits(k->name, name))
			return k;
	return NULL;
}

const struct settings_row *settings_row_find(const char *group, const char *name)
{
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++) {
		size_t len = strlen(row->name);

		if (strcmp(row->group, group) != 0)
			continue;
		if (row->type == SETTINGS_T_PORTMAP ? strncmp(name, row->name, len) == 0 && name[len] != '\0' &&
		            name[len + strspn(name + len, "0123456789")] == '\0' :
		                                      strcmp(name, row->name) == 0)
			return row;
	}
	return NULL;
}

bool settings_is_group(const char *group)
{
	if (strcmp(group, "node") == 0)
		return false;
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (strcmp(row->group, group) == 0)
			return true;
	for (const struct settings_known *k = settings_known; k->name != NULL; k++)
		if (strcmp(k->group, group) == 0)
			return true;
	return false;
}

struct settings *settings_defaults(void)
{
	struct settings *s = mem_alloc(sizeof(*s));

	for (const struct settings_row *row = settings_rows; row->name != NULL; row++) {
		int64_t v;

		if (settings_is_text(row->type)) {
			*settings_text_at(s, row) = mem_strdup(row->def);
		} else {
			DIE_IF(!settings_parse_number(row->type, row->def, &v));
			settings_set_number(s, row, v);
		}
	}
	s->self[0] = mem_strdup("");
	s->self[1] = mem_strdup("");
	s->node_id = mem_strdup("");
	s->listens = mem_strdup("");
	s->same = mem_strdup("");
	s->pool_secret = mem_strdup("");
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		s->access[p] = mem_strdup("");
	return s;
}

void settings_free(struct settings **s)
{
	if (*s == NULL)
		return;
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if (settings_is_text(row->type))
			mem_free(settings_text_at(*s, row));
	mem_free(&(*s)->self[0]);
	mem_free(&(*s)->self[1]);
	mem_free(&(*s)->node_id);
	mem_free(&(*s)->listens);
	mem_free(&(*s)->same);
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		mem_free(&(*s)->access[p]);
	mem_free_secret(&(*s)->pool_secret);
	mem_free(s);
}

/* The memory file starts with this number, followed by each row that the role may see, then the rest. Both ends are the
 * same build, so rows need no names; the count of rows and the length detect a mix-up. */
static const uint64_t written_magic = 0x3130746573707977; /* "wypset01" */

static void put_u64(struct str *out, uint64_t v)
{
	str_add(out, &v, sizeof(v));
}

static void put_str(struct str *out, const char *s)
{
	put_u64(out, strlen(s));
	str_adds(out, s);
}

static void put_row(struct str *out, const struct settings *s, const struct settings_row *row)
{
	if (settings_is_text(row->type))
		put_str(out, *(char *const *)(const void *)((const char *)s + row->offset));
	else
		put_u64(out, (uint64_t)settings_number(s, row));
}

/* Groups of directories are those of Courier's files and ours like them, auth...rc and auth...; the daemon's own group
 * has, besides the chain, settings that do not change an answer. The userdb is watched separately. */
static bool decides_answers(const struct settings_row *row)
{
	if (strcmp(row->group, "authdaemonrc") == 0)
		return strcmp(row->name, "authmodulelist") == 0 || strncmp(row->name, "LDAPTLS_", 8) == 0;
	return strncmp(row->group, "auth", 4) == 0 && strcmp(row->group, "authuserdb") != 0;
}

void settings_directories_digest(const struct settings *s, uint8_t out[SETTINGS_DIGEST_LEN])
{
	struct str text = STR_INIT;
	size_t len;

	for (const struct settings_row *row = settings_rows; row->name != NULL; row++)
		if ((row->roles & SETTINGS_FOR_AUTHD) != 0 && decides_answers(row))
			put_row(&text, s, row);
	DIE_IF(EVP_Q_digest(NULL, "SHA256", NULL, text.data, text.len, out, &len) != 1 || len != SETTINGS_DIGEST_LEN);
	str_fini_secret(&text);
}

static void put_all(struct str *out, const struct settings *s, unsigned roles)
{
	put_u64(out, written_magic);
	put_u64(out, roles);
	put_u64(out, sizeof(struct settings));
	for (const struct settings_row *row = settings_rows; row->name != NULL; row++) {
		if ((row->roles & roles) == 0)
			continue;
		put_row(out, s, row);
	}
	for (int p = 0; p < PROTOCOL_COUNT; p++) {
		put_u64(out, s->has[p]);
		put_u64(out, s->has_tls[p]);
		put_str(out, (roles & SETTINGS_FOR_WORKER) != 0 ? s->access[p] : "");
	}
	put_u64(out, s->pool_secret[0] != '\0');
	put_str(out, s->self[0]);
	put_str(out, s->self[1]);
	put_str(out, s->node_id);
	put_str(out, (roles & SETTINGS_FOR_AUTHD) != 0 ? s->listens : "");
	put_str(out, (roles & SETTINGS_FOR_AUTHD) != 0 ? s->same : "");
	put_str(out, (roles & SETTINGS_FOR_AUTHD) != 0 ? s->pool_secret : "");
	put_u64(out, written_magic);
}

int settings_write(const struct settings *s, unsigned roles)
{
	struct str out = STR_INIT;
	int fd = memfd_create("settings", MFD_CLOEXEC), err;

	if (fd == -1)
		return -1;
	put_all(&out, s, roles);
	err = fd_write_all(fd, out.data, out.len) ? 0 : errno;
	str_fini_secret(&out);
	if (err == 0)
		return fd;
	close(fd);
	errno = err;
	return -1;
}

struct reader {
	const char *p, *end;
	bool bad;
};

static uint64_t get_u64(struct reader *r)
{
	uint64_t v;

	if (r->bad || (size_t)(r->end - r->p) < sizeof(v)) {
		r->bad = true;
		return 0;
	}
	memcpy(&v, r->p, sizeof(v));
	r->p += sizeof(v);
	return v;
}

static void get_str(struct reader *r, char **out)
{
	uint64_t len = get_u64(r);

	if (r->bad || len > WRITTEN_STR_MAX || len > (size_t)(r->end - r->p) || memchr(r->p, '\0', len) != NULL) {
		r->bad = true;
		return;
	}
	mem_free_secret(out);
	*out = mem_memdup(r->p, len);
	r->p += len;
}

static void get_all(struct reader *r, struct settings *s)
{
	uint64_t roles;

	if (get_u64(r) != written_magic)
		r->bad = true;
	roles = get_u64(r);
	if (get_u64(r) != sizeof(struct settings))
		r->bad = true;
	for (const struct settings_row *row = settings_rows; row->name != NULL && !r->bad; row++) {
		if ((row->roles & roles) == 0)
			continue;
		if (settings_is_text(row->type))
			get_str(r, settings_text_at(s, row));
		else
			settings_set_number(s, row, (int64_t)get_u64(r));
	}
	for (int p = 0; p < PROTOCOL_COUNT; p++) {
		s->has[p] = get_u64(r) != 0;
		s->has_tls[p] = get_u64(r) != 0;
		get_str(r, &s->access[p]);
	}
	s->has_pool_secret = get_u64(r) != 0;
	get_str(r, &s->self[0]);
	get_str(r, &s->self[1]);
	get_str(r, &s->node_id);
	get_str(r, &s->listens);
	get_str(r, &s->same);
	get_str(r, &s->pool_secret);
	if (get_u64(r) != written_magic || r->p != r->end)
		r->bad = true;
}

struct settings *settings_read(int fd)
{
	struct settings *s;
	struct stat st;
	struct reader r = { NULL, NULL, false };
	char *all;
	size_t size;

	if (fstat(fd, &st) != 0 || st.st_size <= 0 || st.st_size > WRITTEN_MAX)
		return NULL;
	size = (size_t)st.st_size;
	all = mem_alloc(size);
	s = settings_defaults();
	/* pread(): the roles share one file position. */
	if (pread(fd, all, size, 0) != (ssize_t)size)
		r.bad = true;
	r.p = all;
	r.end = all + size;
	get_all(&r, s);
	mem_wipe(all, size);
	mem_free(&all);
	if (r.bad)
		settings_free(&s);
	return s;
}
