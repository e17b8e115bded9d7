/* Inside of the userdb: makes an image from records (authlib/userdb_image.h). After a failure it can only be ended. */
#ifndef AUTHLIB_USERDB_WRITER_H
#define AUTHLIB_USERDB_WRITER_H

#include "authlib/userdb_image.h"

enum {
	USERDB_POOL_SLOTS = 4096, /* different option lists that are stored once; a site has a few per node */
	USERDB_CLASS_MAX = 32     /* kinds of hashes that are counted */
};

struct userdb_slot;

/* Others may read the members, but not change them. */
struct userdb_writer {
	const char *failed; /* the failed operation, or NULL */
	int error;          /* the errno of it */
	int fd;
	uint8_t *base;
	size_t len, cap;
	uint64_t seed, path;
	uint64_t count;     /* records */
	uint64_t nameless;  /* lines without a readable name: set by the builder */
	uint64_t passwords; /* accounts that have one */
	struct userdb_slot *slots;
	uint64_t nslots;
	uint64_t pool[USERDB_POOL_SLOTS]; /* offsets of option lists, 0: free */
	unsigned npool;
	struct userdb_class {
		uint64_t count;
		size_t len;
		char sample[ACCOUNT_HASH_MAX];
	} classes[USERDB_CLASS_MAX];
	unsigned nclasses;
	struct str sources;
	uint32_t nsources;
};

/* Starts an image of the userdb at PATH; W is all zero before. False if it failed. */
bool userdb_writer_begin(struct userdb_writer *w, const char *path);
/* Adds a file that the next records come from: number nsources - 1. */
void userdb_writer_add_source(struct userdb_writer *w, const char *path);
/* There is a record of NAME. */
bool userdb_writer_has(const struct userdb_writer *w, struct userdb_text name);
/* Adds the record E, of whose name there is none yet. */
void userdb_writer_add(struct userdb_writer *w, const struct userdb_entry *e);
/* Completes and seals the image; its descriptor, the caller's, or -1 if it (or anything before) failed. Its size is in
 * W->len. */
int userdb_writer_finish(struct userdb_writer *w);
/* Frees what W has. */
void userdb_writer_end(struct userdb_writer *w);

#endif
