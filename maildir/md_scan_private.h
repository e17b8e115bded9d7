/* A scan in progress: shared by md_scan.c (what is there), md_assign.c (its UIDs) and md_pop3.c (its list) only. */
#ifndef MAILDIR_MD_SCAN_PRIVATE_H
#define MAILDIR_MD_SCAN_PRIVATE_H

#include "maildir/md_lock.h"
#include "maildir/md_scan.h"

struct md_scan {
	struct md_box *box;
	struct md_hash hash;  /* values below box->n: the view; above: fresh */
	struct md_msg *fresh; /* files that are not in the view */
	size_t n_fresh, cap;
	bool locked, stable, first;
	bool new_locked;      /* new/ was read under the lock */
	unsigned quiet;       /* passes over cur/ in a row without a visible change between or during them */
	struct md_stamp last; /* cur/ after the last one */
	bool no_list;         /* there is no UID list */
	bool lost;            /* the last pass over cur/ missed what an earlier one saw */
	bool again;           /* only another scan can settle what this one found */
	uint32_t *kept;       /* list entries whose files were not found but may exist */
	size_t n_kept;
	size_t n_replaced;     /* messages of the view for which the list has other UIDs */
	bool write;            /* the UID list must be written: it lacks messages */
	bool tidy;             /* it should be written: it has messages that are gone */
	bool update_only;      /* nothing may be moved: md_scan_refind(), md_scan_again() */
	bool files_only;       /* md_scan_files(): no UIDs are given, so that no lock is needed */
	bool fold;             /* many changes of keywords are pending */
	uint32_t first_recent; /* messages from this UID on are recent; MD_RECENT_NONE: none */
	struct md_lock lock;
	enum md_err lock_err; /* why the lock could not be taken */
};

/* The message with the BASE_LEN bytes at NAME as base, in the view or fresh; NULL if there is none. */
struct md_msg *md_scan_find(struct md_scan *sc, const char *name, size_t base_len);
bool md_scan_in_view(const struct md_scan *sc, const struct md_msg *m);
/* The number of messages of the view that the scan has not found. */
size_t md_scan_missing(const struct md_scan *sc);
/* Takes the lock if it is not held; false if that fails (lock_err tells why). */
bool md_scan_lock(struct md_scan *sc);
/* The same without waiting: for what is not worth a wait. */
bool md_scan_try_lock(struct md_scan *sc);
/* True if failure E of a lock or a write means that nothing can be written here: go on without. */
bool md_scan_unwritable(enum md_err e);
/* Reads new/ and then cur/, so that files moved between the two are seen. */
enum md_err md_scan_look(struct md_scan *sc) MUST_CHECK;
/* True if a file that the scan did not find is gone: both directories were read under the lock, and cur/ did not
 * change meanwhile. Before Linux 6.13 a change within the same clock tick as an earlier one is invisible; then a file
 * must be missed so often that a rename during each scan cannot be the reason. */
bool md_scan_sure(const struct md_scan *sc);
/* For holders of the folder's lock: a scan that reads new/ and cur/ as often as needed to be sure of what is there
 * (md_scan_sure()), moves nothing and adds nothing to the view. md_scan_find() tells what is there; M->found, whether
 * message M of the view is. SC needs md_scan_end() in any case. MD_OK, or a failure. */
enum md_err md_scan_again(struct md_scan *sc, struct md_box *box) MUST_CHECK;
void md_scan_end(struct md_scan *sc);
/* Makes a view of everything in cur/, in the order of names. */
void md_scan_take_files(struct md_scan *sc);
/* Gives UIDs to all fresh messages, records them, and joins them to the view; marks what is missing gone. */
enum md_err md_scan_uids(struct md_scan *sc, struct md_changes *ch) MUST_CHECK;

#endif
