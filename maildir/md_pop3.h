/* INBOX as POP3 sees it: a snapshot with UIDLs out of courierpop3dsizelist. IMAP UIDs have no part in it.
 *   /3 <next n> <uidv>
 *   <file name> <octets> <n>:<uidv>:<0|1>
 * If the list cannot be saved, new messages are hidden, for their UIDL could change (RFC 1939 section 7: it must
 * not); if no message is known, the first one is shown with a UIDL that its file alone makes. */
#ifndef MAILDIR_MD_POP3_H
#define MAILDIR_MD_POP3_H

#include "lib/str.h"
#include "maildir/md.h"

#define MD_POP3_FILE "courierpop3dsizelist"

struct md_pop3_msg {
	char *name;       /* of the file in cur/ */
	uint64_t octets;  /* with CRLF */
	uint32_t n, uidv; /* n 0: the UIDL is made of the name */
	bool utf8;        /* the header has bytes above 127 (RFC 6856) */
	bool deleted;     /* for the caller: md_pop3_commit() deletes these */
	bool known;       /* of md_pop3.c */
	bool unreadable;  /* likewise */
	char *uidl;       /* NULL, or a UIDL that stands for itself ("ENOMEM-...") */
};

struct md_pop3 {
	struct md_root *root;
	size_t n;
	struct md_pop3_msg *msgs; /* leading number of the name, then bytes: the message numbers less one */
	uint32_t next, uidv;      /* of the list */
};

/* Moves mail from new/ to cur/, reads and brings up to date the list, deletes files in tmp/ older than 36 hours.
 * MD_OK and *P; if the list could not be saved root->why tells why ("" otherwise).
 * MD_NOTMAILDIR, MD_PERM, MD_IO, MD_LIMIT; MD_STOPPED: mail of which the list knew nothing was being measured, the list is as it was. */
enum md_err md_pop3_open(struct md_root *r, struct md_pop3 **p_out) MUST_CHECK;
void md_pop3_close(struct md_pop3 **p);
/* Appends the UIDL of M, as Courier makes it: printable characters; at most 70 unless it is made of a long file name
 * (n 0), where the client knows it so already. */
void md_pop3_uidl(const struct md_pop3_msg *m, struct str *out);
/* Opens the file of M for reading; lines end in LF (or CRLF, if so delivered). *FD is the caller's.
 * MD_OK, MD_GONE (someone else deleted it), MD_PERM, MD_IO. */
enum md_err md_pop3_read(struct md_pop3 *p, struct md_pop3_msg *m, int *fd_out) MUST_CHECK;
/* Gives M the flag S, as RETR does. Failing is no reason to fail the command. */
enum md_err md_pop3_seen(struct md_pop3 *p, struct md_pop3_msg *m) MUST_CHECK;
/* QUIT: deletes the messages marked ->deleted (the marks are used up). *DELETED counts those gone now, whoever deleted them.
 * MD_OK; else MD_PERM, MD_READONLY, MD_IO: some could not be deleted (RFC 1939 section 6: -ERR some deleted messages not removed). */
enum md_err md_pop3_commit(struct md_pop3 *p, size_t *deleted_out) MUST_CHECK;

#endif
