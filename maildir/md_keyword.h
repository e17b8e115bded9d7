/* courierimapkeywords/ of a folder.
 *
 * ":list" has the keywords' names, an empty line, and "<base>:<i> <i>..." for each message that has any. A change is
 * first a file with the base as name that holds all keywords of the message, one a line (put there by rename under
 * the folder's lock). Now and then the changes are folded into ":list"; their files are then renamed to ".<N>.<base>",
 * where N is a time in units of 300 s (Courier prefers the highest of them to ":list"), and deleted after 15 minutes.
 * ":list" is replaced before that rename, so a reader that reads the plain files first and ":list" last needs no
 * others. */
#ifndef MAILDIR_MD_KEYWORD_H
#define MAILDIR_MD_KEYWORD_H

#include "lib/str.h"
#include "maildir/md_box_private.h"

#define MD_KW_DIR "courierimapkeywords"

/* A parsed ":list". All-zero is empty. */
struct md_kwlist {
	struct str text; /* names and bases, each ended by a NUL */
	size_t n_names, n_msgs, n_idx;
	uint32_t *name; /* where each name begins in text */
	struct md_kwlist_msg {
		uint32_t base, first, n;
	} * msg;       /* base in text; its indices in idx[first...] */
	uint32_t *idx; /* each below n_names */
};

/* Parses the LEN bytes at P. Never fails: invalid parts are left out. */
void md_kwlist_parse(struct md_kwlist *l, const char *p, size_t len);
void md_kwlist_fini(struct md_kwlist *l);

/* Reads all keywords of the folder into the messages of BOX; of the first KNOWN messages, marks those changed whose
 * keywords differ from before. MD_OK, or a failure (the messages keep what they had). */
enum md_err md_kw_load(struct md_box *box, size_t known) MUST_CHECK;
/* Folds pending changes into ":list". The lock must be held and BOX's view be complete (a scan under the same lock). */
enum md_err md_kw_fold(struct md_box *box) MUST_CHECK;
/* Changes the keywords of M as HOW says, on disk first; takes and releases the lock. */
enum md_err md_kw_store(struct md_box *box, struct md_msg *m, enum md_store how, const uint32_t *kw,
    size_t nkw) MUST_CHECK;
/* Records that the message BASE of folder DIRFD has the N keywords NAME. The lock must be held. Their file is synced
 * before it replaces an older one; its name is on disk once the caller has synced MD_KW_DIR. */
enum md_err md_kw_write(struct md_root *r, int dirfd, const char *folder, const char *base, size_t base_len,
    const char *const *name, size_t n) MUST_CHECK;
/* Deletes a pending change of BASE. */
void md_kw_forget(int dirfd, const char *base, size_t base_len);
/* S (NULL: no keyword) has the keyword with index K. */
bool md_kwset_has(const struct md_kwset *s, uint32_t k);
/* A keyword that a client may set: not empty, not too long, atom characters only. */
bool md_kw_valid(const char *name, size_t len);

#endif
