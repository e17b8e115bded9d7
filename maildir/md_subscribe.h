/* courierimapsubscribed in the Maildir's root: one folder per line, with Courier's "INBOX" prefix, UTF-8.
 * Lines that are not folders of this tree ("#shared....") are kept untouched and are not in the set. */
#ifndef MAILDIR_MD_SUBSCRIBE_H
#define MAILDIR_MD_SUBSCRIBE_H

#include "maildir/md.h"

struct md_names {
	size_t n;
	char **name;
};

/* The subscribed folders (they need not exist), sorted by bytes, none twice. No file: none.
 * MD_OK, MD_PERM, MD_IO. N needs md_names_fini() in any case. */
enum md_err md_subscribed(struct md_root *r, struct md_names *n) MUST_CHECK;
void md_names_fini(struct md_names *n);
/* Binary search in a set that md_subscribed() made. */
bool md_names_has(const struct md_names *n, const char *name);
/* Adds or removes FOLDER. MD_OK also if nothing changed. MD_BADNAME, MD_FULL, MD_PERM, MD_READONLY, MD_BUSY,
 * MD_IO. */
enum md_err md_subscribe(struct md_root *r, const char *folder) MUST_CHECK;
enum md_err md_unsubscribe(struct md_root *r, const char *folder) MUST_CHECK;

#endif
