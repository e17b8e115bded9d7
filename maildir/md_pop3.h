/* INBOX as POP3 sees it: a snapshot with UIDLs out of courierpop3dsizelist. IMAP UIDs have no part in it.
 *   /3 <next n> <uidv>
 *   <file name> <octets> <n>:<uidv>:<0|1>
 * If the list cannot be saved, new messages are hidden, as their UIDL could change (RFC 1939 section 7: it must
 * not); if no message is known, the first one is shown with a UIDL made from its file alone. */
#ifndef MAILDIR_MD_POP3_H
#define MAILDIR_MD_POP3_H

#include "lib/str.h"
#include "maildir/md.h"

#define MD_POP3_FILE "courierpop3dsizelist"

struct md_pop3; /* private to maildir/ */

/* Moves mail from new/ to cur/, reads and updates the list, deletes files in tmp/ older than 36 hours.
 * MD_OK and *P; if the list could not be saved root->why tells why ("" otherwise).
 * MD_NOTMAILDIR, MD_PERM, MD_IO, MD_LIMIT; MD_STOPPED: while measuring mail that is not in the list, which stays as it
 * was. */
enum md_err md_pop3_open(struct md_root *r, struct md_pop3 **p_out) MUST_CHECK;
void md_pop3_close(struct md_pop3 **p);
/* Messages have an index I, their number less one, which never changes. */
size_t md_pop3_count(const struct md_pop3 *p);
/* Octets when every line ends in CRLF. */
uint64_t md_pop3_octets(const struct md_pop3 *p, size_t i);
/* Appends the UIDL of message I, as Courier makes it: printable characters; at most 70, unless made from a long file
 * name, as the client already knows it. */
void md_pop3_uidl(const struct md_pop3 *p, size_t i, struct str *out);
/* The name of its file, for the log. Valid until the next call that is not const. */
const char *md_pop3_file_name(const struct md_pop3 *p, size_t i);
/* Will md_pop3_commit() delete it? */
bool md_pop3_marked(const struct md_pop3 *p, size_t i);
void md_pop3_mark(struct md_pop3 *p, size_t i, bool mark);
/* Opens the file of message I for reading; lines end in LF (or CRLF, if so delivered). *FD is the caller's.
 * MD_OK, MD_GONE (someone else deleted it), MD_PERM, MD_IO. */
enum md_err md_pop3_read(struct md_pop3 *p, size_t i, int *fd_out) MUST_CHECK;
/* Gives message I the flag S, for RETR. The command must not fail if this does. */
enum md_err md_pop3_seen(struct md_pop3 *p, size_t i) MUST_CHECK;
/* QUIT: deletes the messages that are marked; what cannot be deleted stays marked. *DELETED counts those gone now,
 * whoever deleted them. MD_OK: they will not come back; else MD_PERM, MD_READONLY, MD_STOPPED, MD_IO: some are still
 * there, or may be after a power failure (RFC 1939 section 6: -ERR some deleted messages not removed). */
enum md_err md_pop3_commit(struct md_pop3 *p, size_t *deleted_out) MUST_CHECK;

#endif
