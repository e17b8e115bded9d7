/* The inside of a POP3 view: for md_pop3.c, md_pop3list.c and the unit tests. */
#ifndef MAILDIR_MD_POP3_PRIVATE_H
#define MAILDIR_MD_POP3_PRIVATE_H

#include "maildir/md_pop3.h"

struct md_pop3_msg {
	size_t i;         /* of its file in the box */
	uint64_t octets;  /* with CRLF */
	uint32_t n, uidv; /* n 0: the UIDL is made from the name */
	bool utf8;        /* the header has bytes above 127 (RFC 6856) */
	bool deleted;     /* md_pop3_commit() deletes it */
	bool known;       /* in the list */
	char *uidl;       /* NULL, or a UIDL not made from N ("ENOMEM-...") */
};

struct md_pop3 {
	struct md_root *root;
	struct md_box *box; /* the files */
	size_t n;
	struct md_pop3_msg *msgs; /* by leading number of the name, then bytes: the message numbers less one */
	uint32_t next, uidv;      /* of the list */
};

#endif
