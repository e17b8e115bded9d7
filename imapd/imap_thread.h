/* THREAD (RFC 5256 section 3): messages as trees of replies.
 *
 * Takes time proportional to n log n of all message ids, except where senders make up long chains of references that
 * contradict each other: that is counted as work. */
#ifndef IMAPD_IMAP_THREAD_H
#define IMAPD_IMAP_THREAD_H

#include "lib/str.h"
#include "node/work.h"

/* Message ids of one message that count: its own, and the last ones of its References. */
enum { IMAP_THREAD_IDS_MAX = 1000 };

struct imap_threads; /* the messages of one command */

enum imap_thread_how { IMAP_THREAD_ORDEREDSUBJECT, IMAP_THREAD_REFERENCES };

/* Free with imap_threads_free(). */
struct imap_threads *imap_threads_new(enum imap_thread_how how);
void imap_threads_free(struct imap_threads **t);

/* Adds a message, in the order of the mailbox: NUMBER is what the reply calls it, SENT its sent date (seconds).
 * SUBJECT: its base subject as mime_collate() makes it (copied). REPLY: see mime_base_subject(). */
void imap_threads_add(struct imap_threads *t, uint32_t number, int64_t sent, const struct str *subject, bool reply);
/* Adds to the last message the ids in a raw field of LEN bytes at P (of its header; copied): MESSAGE_ID: the first is
 * its own. Else all are references, first the oldest; returns how many. */
size_t imap_threads_add_ids(struct imap_threads *t, const char *p, size_t len, bool message_id);
/* As imap_threads_add_ids(), but of the references only the first: for In-Reply-To. */
void imap_threads_add_first_id(struct imap_threads *t, const char *p, size_t len);

/* Appends the threads, "(1 2)(3 (4)(5))", once all messages are added. WORK (may be NULL): once it says stop, the
 * result is meaningless. */
void imap_threads_print(struct imap_threads *t, struct str *out, struct work *work);

#endif
