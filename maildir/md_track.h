/* Modification sequences of an open mailbox (md_box_track() in md_box.h): compares the view with waypoststate, and
 * records what has changed.
 *
 * Several sessions compare, with views of different moments. What a session has seen change since it compared last,
 * it records, unless the state has it already. Where its view is as it was then but the state says otherwise, it is
 * behind: others have recorded what it has not seen yet. It records nothing there, and scans again; what differs from
 * the state still has changed once more. So nothing goes back and forth, and the state ends as what the files say,
 * whoever is late. Until a session has seen all that others have recorded, its client is told no highest sequence
 * that would hide it. */
#ifndef MAILDIR_MD_TRACK_H
#define MAILDIR_MD_TRACK_H

#include "maildir/md_box_private.h"
#include "maildir/md_state.h"

struct md_track {
	struct md_state s;
	struct md_state_entry *seen; /* the view when it was compared last, without sequences; by UID */
	size_t n_seen;
	uint64_t complete; /* of all changes up to this sequence the view has all */
	bool behind;       /* others have recorded what the view does not show */
	bool due;          /* the last comparison was not recorded, or there was none */
};

/* Records what changed in BOX since it was compared last, if anything did. MD_OK; MD_BUSY, MD_FULL, MD_PERM,
 * MD_READONLY, MD_LIMIT, MD_IO: those changes have no sequence yet. */
enum md_err md_track_record(struct md_box *box) MUST_CHECK;
/* The view of BOX was brought up to date after the last comparison. */
void md_track_caught_up(struct md_box *box);
/* True if there can be something to record though no scan has seen a change. */
bool md_track_is_due(const struct md_box *box);
void md_track_end(struct md_box *box);

#endif
