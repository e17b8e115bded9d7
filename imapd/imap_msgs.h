/* Messages that a command names: sequence sets against the selected mailbox. */
#ifndef IMAPD_IMAP_MSGS_H
#define IMAPD_IMAP_MSGS_H

#include "imapd/imap_seq.h"
#include "imapd/imap_session.h"

/* Reads " sequence-set" from L (of UIDs if s->uid) into SET as ranges of indices + 1 of messages that exist. False:
 * the reply is set to a BAD. UIDs that do not exist are left out; sequence numbers that do not exist are an error. */
bool imap_take_messages(struct imap_session *s, struct imap_lex *l, struct imap_set *set);
/* Reads a sequence-set of UIDs from L into SET, as it is; false: it is none. */
bool imap_take_uids(const struct imap_session *s, struct imap_lex *l, struct imap_set *set);
/* The indices of SET's messages, rising, without those that are gone; *MISSED counts these. Free with mem_free(). */
size_t *imap_messages_list(const struct imap_session *s, const struct imap_set *set, size_t *n_out, size_t *missed_out);

#endif
