/* SEARCH: the client's keys as a tree, and whether a message fits them (RFC 3501 section 6.4.4). */
#ifndef IMAPD_IMAP_SEARCH_H
#define IMAPD_IMAP_SEARCH_H

#include "imapd/imap_msg.h"
#include "imapd/imap_session.h"

/* Keys of one command, however deeply nested; NOT, OR and parentheses count. Each takes some 100 bytes while the
 * command runs, and each message may be tested by all of them, at nanoseconds per key. */
enum { IMAP_SEARCH_KEYS_MAX = 50000 };

struct imap_search; /* a tree of keys, owned */

/* Reads " [CHARSET name] key key ..." to the end of the command; the mailbox must be selected. The tree, or NULL:
 * then the tagged reply is set and *STATUS is its kind (BAD or NO [BADCHARSET]). Free with imap_search_free(). */
struct imap_search *imap_search_read(struct imap_session *s, struct imap_lex *l, enum imap_status *status);
/* As imap_search_read(), but for SORT and THREAD (RFC 5256): " name key key ...". */
struct imap_search *imap_search_read_charset(struct imap_session *s, struct imap_lex *l, enum imap_status *status);
void imap_search_free(struct imap_search **search);
/* A message that fits; its text is read if FN needs it. MD_OK, or why it could not be read. */
typedef enum md_err imap_found_fn(struct imap_msg *msg, void *arg);
/* Calls FN for each message that fits, first to last. Messages that cannot be read do not fit: that is logged, once, as
 * a failure of WHAT ("SEARCH"). False: s->work says stop. */
bool imap_search_each(struct imap_session *s, struct imap_search *search, const char *what, imap_found_fn *fn,
    void *arg);

#endif
