/* SEARCH: the client's keys as a tree, and whether a message fits them (RFC 3501 section 6.4.4). */
#ifndef IMAPD_IMAP_SEARCH_H
#define IMAPD_IMAP_SEARCH_H

#include "imapd/imap_session.h"

/* Keys of one command, however deeply nested; NOT, OR and parentheses count. Each takes some 100 bytes while the
 * command runs, and each message may be tested by all of them, at nanoseconds per key. */
enum { IMAP_SEARCH_KEYS_MAX = 50000 };

struct imap_search; /* a tree of keys, owned */

/* Reads " [CHARSET name] key key ..." to the end of the command; the mailbox must be selected. The tree, or NULL:
 * then the tagged reply is set and *STATUS is its kind (BAD or NO [BADCHARSET]). Free with imap_search_free(). */
struct imap_search *imap_search_read(struct imap_session *s, struct imap_lex *l, enum imap_status *status);
void imap_search_free(struct imap_search **search);
/* True if message I (an index) fits. One that cannot be read does not; *FAILED then says why. What is read is counted
 * in s->work; once that says stop, the result is meaningless. */
bool imap_search_fits(struct imap_session *s, struct imap_search *search, size_t i, enum md_err *failed);

#endif
