/* What SEARCH and SORT answer with: RETURN options (RFC 4466, RFC 4731, RFC 5267 for SORT, RFC 9394 for PARTIAL), and
 * the result that "$" stands for (RFC 5182). */
#ifndef IMAPD_IMAP_RESULT_H
#define IMAPD_IMAP_RESULT_H

#include "imapd/imap_session.h"

enum {
	IMAP_RETURN_MIN = 1,
	IMAP_RETURN_MAX = 2,
	IMAP_RETURN_ALL = 4,
	IMAP_RETURN_COUNT = 8,
	IMAP_RETURN_SAVE = 16,
	IMAP_RETURN_PARTIAL = 32,
};

/* All-zero: the command has no RETURN. */
struct imap_return {
	bool given;
	unsigned what; /* IMAP_RETURN_ bits */
	/* PARTIAL: the first to the last result wanted, from 1; counted from the end if FROM_END */
	uint32_t first, last;
	bool from_end;
	struct str partial; /* the range as the client wrote it */
};

/* Reads " RETURN (...)", if it follows. False: the reply is set to a BAD. Free with imap_return_fini(), always. */
bool imap_return_read(struct imap_session *s, struct imap_lex *l, struct imap_return *r);
void imap_return_fini(struct imap_return *r);

/* Answers a SEARCH or SORT, which is NAME ("SEARCH"): puts the untagged reply for the N messages with the indices at
 * LIST, in the order of the result, and saves what R says. Returns IMAP_OK with the tagged reply set. */
enum imap_status imap_result_put(struct imap_session *s, const char *name, const struct imap_return *r,
    const uint32_t *list, size_t n);
/* The command failed after R was read: with SAVE nothing is saved now (RFC 5182 section 2.1). */
void imap_result_failed(struct imap_session *s, const struct imap_return *r);

#endif
