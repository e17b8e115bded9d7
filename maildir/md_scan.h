/* For an open box: the scan of new/ and cur/, and how renamed files are found again. */
#ifndef MAILDIR_MD_SCAN_H
#define MAILDIR_MD_SCAN_H

#include "maildir/md_box_private.h"

/* From base name to message. Values are the caller's indices. */
struct md_hash {
	struct md_hslot {
		uint32_t hash, val;
	} * slot; /* val: index + 1; 0: free */
	uint32_t mask, used;
};

enum { MD_HASH_NONE = UINT32_MAX };

enum {
	MD_SCAN_PASSES = 4,  /* over a directory that others keep changing */
	MD_RENAME_TRIES = 8, /* for a file that others keep renaming */
	/* So many quiet passes are enough even if the last change is younger than a clock tick. */
	MD_SCAN_QUIET = 3
};

typedef const char *md_hash_name_fn(const void *arg, uint32_t val, size_t *len_out);

void md_hash_init(struct md_hash *h, size_t expected);
void md_hash_fini(struct md_hash *h);
/* Adds VAL for the LEN bytes at NAME, which must be new. */
void md_hash_add(struct md_hash *h, const char *name, size_t len, uint32_t val);
/* The value whose name (by FN) is the LEN bytes at NAME, or MD_HASH_NONE. */
uint32_t md_hash_find(const struct md_hash *h, const char *name, size_t len, md_hash_name_fn *fn, const void *arg);
/* A hash of all messages of BOX by base name. */
void md_hash_box(struct md_hash *h, const struct md_box *box);
uint32_t md_hash_find_msg(const struct md_hash *h, const struct md_box *box, const char *name, size_t len);

/* The work of md_box_sync(), whether or not anything seems changed. FIRST: of md_box_open(). */
enum md_err md_scan(struct md_box *box, bool first, struct md_changes *ch) MUST_CHECK;
/* The work of md_box_open_files(). */
enum md_err md_scan_files(struct md_box *box) MUST_CHECK;
/* True if the directories look as they did when last read, and were not read too soon after a change. */
bool md_scan_unchanged(struct md_box *box);
/* Reads cur/ and new/ again and updates the names and flags of all messages in the view; adds nothing. If M is missing,
 * marks it gone, with all others that are missing. MD_OK, MD_GONE, or another failure. */
enum md_err md_scan_refind(struct md_box *box, struct md_msg *m) MUST_CHECK;
/* The path of M below the folder, "cur/...": in OUT, which is emptied first. */
const char *md_msg_path(const struct md_msg *m, struct str *out);
/* True if the file of M has the name that we know; else it was renamed or is gone. */
bool md_msg_has_name(const struct md_box *box, const struct md_msg *m);
/* Marks M gone, unless it is already, and counts it. */
void md_msg_gone(struct md_box *box, struct md_msg *m);

#endif
