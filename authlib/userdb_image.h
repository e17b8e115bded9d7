/* Inside of the userdb: one account as text fields, the image's layout, and the line parser. For authlib/userdb*.c
 * and their tests only.
 *
 * The format is our own for three reasons: it is in a memory file without a name, every read is checked (another
 * process writes it), and it has accounts whose lines cannot be used now. cdb, GDBM and LMDB have none of these.
 *
 *   header | records and pooled strings ... | sources | slots
 *
 * Numbers inside records are LEB128. A record begins on a multiple of 4:
 *   kind, name, source number, line; if it is good: uid, gid, then {tag, text}... and a tag 0.
 * A text is its length and its bytes. Sources (file names) are texts in a row.
 * Slots are 32-bit record offsets divided by 4, 0 for none; collisions go to the next slot. */
#ifndef AUTHLIB_USERDB_IMAGE_H
#define AUTHLIB_USERDB_IMAGE_H

#include "authlib/userdb.h"

#define USERDB_MAGIC "WpUserdb"
enum { USERDB_VERSION = 2 };

struct userdb_header {
	char magic[8];
	uint32_t version, nsources;
	uint64_t seed; /* of the hash */
	uint64_t path; /* userdb_hash() of the path it was read from: another path is another userdb */
	uint64_t size; /* bytes of the image */
	uint64_t count;
	uint64_t records, records_end;
	uint64_t sources, sources_end;
	uint64_t nameless;      /* lines without a readable name */
	uint64_t slots, nslots; /* nslots is a power of two */
	char dummy[ACCOUNT_HASH_MAX];
};

struct userdb {
	int fd;
	const uint8_t *base;
	const struct userdb_header *h;
	size_t mapped;
};

struct userdb_text {
	const char *p;
	size_t len;
};

enum { USERDB_PW_MAX = 16, USERDB_FIELD_MAX = 64 };

enum userdb_kind { USERDB_GOOD = 1, USERDB_BROKEN = 2, USERDB_KEPT = 3 /* good, of an earlier state of the file */ };

/* Tags of a record's fields. PASSWORD texts are "field=value". */
enum userdb_tag {
	USERDB_TAG_END,
	USERDB_TAG_HOME,
	USERDB_TAG_MAIL,
	USERDB_TAG_QUOTA,
	USERDB_TAG_GECOS,
	USERDB_TAG_OPTIONS,     /* the text itself */
	USERDB_TAG_OPTIONS_REF, /* offset of the text from `records`: most sites have few different ones */
	USERDB_TAG_SYSTEMPW,
	USERDB_TAG_IMAPPW,
	USERDB_TAG_POP3PW,
	USERDB_TAG_PASSWORD
};

/* An account; the texts point into a line or an image. */
struct userdb_entry {
	enum userdb_kind kind;
	struct userdb_text name, home, mail, quota, gecos, options;
	struct userdb_text systempw, imappw, pop3pw;
	struct userdb_text pw[USERDB_PW_MAX]; /* the others, "field=value" */
	unsigned npw;
	uint32_t uid, gid;
	uint32_t source, line;
};

/* Some service can log in to it by a password. */
static inline bool userdb_has_password(const struct userdb_entry *e)
{
	return e->systempw.len != 0 || e->imappw.len != 0 || e->pop3pw.len != 0 || e->npw != 0;
}

uint64_t userdb_hash(uint64_t seed, const char *name, size_t len);
/* Reads the record at OFFSET; false if it is damaged. */
bool userdb_read_record(const struct userdb *db, uint64_t offset, struct userdb_entry *e);
/* Offset of NAME's record, 0 if there is none. */
uint64_t userdb_find(const struct userdb *db, const char *name, size_t len);
/* File name number SOURCE ("" if there is none). */
struct userdb_text userdb_source(const struct userdb *db, uint32_t source);

enum userdb_line { USERDB_LINE_SKIP, USERDB_LINE_GOOD, USERDB_LINE_BAD };
/* Parses one line (LEN bytes without the newline). E points into the line. BAD: *WHY (static) is the reason and E has
 * only the name, of length 0 if it is not readable. */
enum userdb_line userdb_parse(const char *line, size_t len, struct userdb_entry *e, const char **why);

/* A stamp of PATH made from the file system's data, without reading it: if it is equal, nothing changed. */
uint64_t userdb_stamp(const char *path);

/* Calls FN for each regular file at or below PATH, in order of names; names that begin with '.' or '#' or end in '~'
 * are skipped. False with errno if PATH or part of it cannot be read. */
typedef void userdb_file_fn(const char *path, void *arg);
bool userdb_each_file(const char *path, userdb_file_fn *fn, void *arg);

#endif
