/* SORT (RFC 5256, RFC 5957): the criteria of a command, and the messages in their order. */
#ifndef IMAPD_IMAP_SORT_H
#define IMAPD_IMAP_SORT_H

#include "imapd/imap_msg.h"
#include "lib/str.h"

enum imap_sort_by {
	IMAP_SORT_ARRIVAL,
	IMAP_SORT_CC,
	IMAP_SORT_DATE,
	IMAP_SORT_DISPLAYFROM,
	IMAP_SORT_DISPLAYTO,
	IMAP_SORT_FROM,
	IMAP_SORT_SIZE,
	IMAP_SORT_SUBJECT,
	IMAP_SORT_TO,
	IMAP_SORT_COUNT
};

/* All-zero is no criterion: the order of the mailbox. A criterion that is there already is not added again, as it would
 * change nothing. */
struct imap_sort_program {
	struct {
		enum imap_sort_by by;
		bool reverse;
	} keys[IMAP_SORT_COUNT];
	size_t n;
};

struct imap_sort; /* messages to be sorted */

/* Adds the criterion NAME, in capitals; false: there is none of that name. */
bool imap_sort_program_add(struct imap_sort_program *program, const char *name, bool reverse);
/* Messages are sorted by PROGRAM (copied). Free with imap_sort_free(). */
struct imap_sort *imap_sort_new(const struct imap_sort_program *program);
void imap_sort_free(struct imap_sort **sort);
/* Adds MSG, in the order of the mailbox, whose header is read if the program needs it. MD_OK; else as imap_msg_load()
 * or md_box_date(), and it is not added. */
enum md_err imap_sort_add(struct imap_sort *sort, struct imap_msg *msg);
/* The indices in the mailbox of the messages that were added, sorted; *N: how many. Valid until imap_sort_free(). */
const uint32_t *imap_sort_result(struct imap_sort *sort, size_t *n);

/* A message's sent date in seconds since 1970 (RFC 5256 section 2.2): the Date of its header, which must be loaded; the
 * internal date if that is none. Results as md_box_date(). */
enum md_err imap_sent_date(struct imap_msg *msg, int64_t *sent);

#endif
