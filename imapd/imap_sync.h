/* Reports changes of the selected mailbox to the client (RFC 3501 section 7.3 and 7.4). */
#ifndef IMAPD_IMAP_SYNC_H
#define IMAPD_IMAP_SYNC_H

#include "imapd/imap_session.h"

/* Checks for changes and reports them: EXPUNGE (only if EXPUNGE), EXISTS and RECENT, FLAGS for new keywords, FETCH for
 * flags that others changed. Does nothing if no mailbox is selected. False: the session is over, because the mailbox
 * is gone. */
bool imap_sync(struct imap_session *s, bool expunge);
/* Put "* FLAGS (...)" and "* OK [PERMANENTFLAGS (...)]"; the second function only if there are keywords that the client
 * does not know: before a FETCH that may name one. */
void imap_put_flag_lists(struct imap_session *s);
void imap_put_new_keywords(struct imap_session *s);
/* Closes the selected mailbox, if there is one. */
void imap_unselect(struct imap_session *s);

#endif
