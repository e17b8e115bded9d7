/* The last step of saving, copying and moving: files that are ready elsewhere get UIDs and their places in cur/.
 *
 * Under the folder's lock: the UID list with the new entries is on disk first, then the keywords, then the files are
 * renamed into cur/, which is synced, and then what they left. A crash in between leaves entries without files, which
 * the next scan drops, but never gives one file's UID to another. */
#ifndef MAILDIR_MD_DEPOSIT_H
#define MAILDIR_MD_DEPOSIT_H

#include <time.h>

#include "lib/str.h"
#include "maildir/md.h"

struct md_item {
	int fromfd;      /* directory that FROM is relative to, the same for all items of a deposit: borrowed */
	struct str from; /* path of the file */
	bool must;       /* a FROM that is gone is a failure (MD_GONE), not just missed */
	bool link;       /* FROM stays where it is: the file gets a second name */
	bool dated;      /* DATE is the message's internal date, but not yet the file's */
	struct timespec date;
	struct str name; /* its name in cur/ of the target */
	size_t base_len; /* of name */
	const char **kw; /* names of its keywords: the array is freed with the item, the names are not */
	size_t nkw;
	uint32_t uid; /* out */
	bool placed;  /* out: it is in cur/ */
	bool missed;  /* out: FROM is gone */
	size_t idx;   /* for the caller */
};

void md_items_free(struct md_item *it, size_t n);
/* FROM of IT was not there. MD_OK: FROM was corrected; MD_GONE: the file is gone; others: cannot tell. */
typedef enum md_err md_lost_fn(struct md_item *it, void *arg);
/* Deposits the N items in FOLDER, whose directory is TOFD. LOST may be NULL (a file that is missing is an error
 * then). MD_OK; or a failure (such as MD_STOPPED) after which every file is where it was. *CROSS: it failed because
 * the files cannot be renamed or linked there (usually another file system), but their bytes can be copied. */
enum md_err md_deposit(struct md_root *r, int tofd, const char *folder, struct md_item *it, size_t n, md_lost_fn *lost,
    void *arg, uint32_t *uidvalidity_out, bool *cross) MUST_CHECK;

#endif
