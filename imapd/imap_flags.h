/* Flags and keywords: as text, and from a client's list. */
#ifndef IMAPD_IMAP_FLAGS_H
#define IMAPD_IMAP_FLAGS_H

#include "imapd/imap_lex.h"
#include "maildir/md_box.h"

/* Appends "(\Seen Junk \Recent)": the flags of message I. */
void imap_flags_add(struct str *out, const struct md_box *box, size_t i);
/* Appends " name" for each keyword of BOX. */
void imap_keywords_add(struct str *out, const struct md_box *box);

/* A client's list. All-zero is empty; free with imap_flaglist_fini(). */
struct imap_flaglist {
	unsigned flags; /* MD_ bits */
	char **kw;      /* keywords as written, none twice */
	size_t n, cap;
	size_t words; /* keywords in the list, with repetitions */
};

enum { IMAP_FLAGLIST_MAX = 1000 }; /* keywords of one command, with repetitions */

/* Reads "(\Seen foo)"; also without parentheses if BARE ("\Seen foo"). Ignores \Recent, as clients send back what they
 * got. NULL; or what is wrong, for a BAD. */
const char *imap_flaglist_read(struct imap_flaglist *f, struct imap_lex *l, bool bare);
void imap_flaglist_fini(struct imap_flaglist *f);

#endif
