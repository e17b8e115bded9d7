/* A scan while it goes on: shared by md_scan.c (what is there) and md_assign.c (its UIDs), and nobody else. */
#ifndef MAILDIR_MD_SCAN_IN_H
#define MAILDIR_MD_SCAN_IN_H

#include "maildir/md_lock.h"
#include "maildir/md_scan.h"

enum { MD_SCAN_PASSES = 4 }; /* over a directory that others change all the time */

struct md_scan {
	struct md_box *box;
	struct md_hash hash;   /* values below box->n: the view; above: fresh */
	struct md_msg *fresh;  /* files that are not in the view */
	size_t n_fresh, cap;
	bool locked, stable, first;
	bool lost;             /* the last pass over cur/ missed what an earlier one saw */
	bool write;            /* the UID list must be written: it lacks messages */
	bool tidy;             /* it should be: it has messages that are gone */
	bool update_only;      /* md_scan_refind(): nothing may be moved */
	struct md_lock lock;
	enum md_err lock_err;  /* why there is no lock although one was wanted */
};

/* The message with the BASE_LEN bytes at NAME as base, in the view or fresh; NULL if there is none. */
struct md_msg *md_scan_find(struct md_scan *sc, const char *name, size_t base_len);
bool md_scan_in_view(const struct md_scan *sc, const struct md_msg *m);
/* Messages that the view has and the scan has not found. */
size_t md_scan_missing(const struct md_scan *sc);
/* Takes the lock if it is not held; false if there can be none (lock_err tells why). */
bool md_scan_lock(struct md_scan *sc);
/* One pass over cur/; *AT is what it looked like before. sc->stable: nobody changed it meanwhile. */
enum md_err md_scan_pass(struct md_scan *sc, struct md_stamp *at) MUST_CHECK;
/* Gives UIDs to all fresh messages, records them, and joins them to the view; marks what is missing gone. */
enum md_err md_scan_uids(struct md_scan *sc, struct md_changes *ch) MUST_CHECK;

#endif
