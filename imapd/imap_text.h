/* What SEARCH asks of a message's text (RFC 3501 section 6.4.4): substrings, ignoring case, in decoded UTF-8. */
#ifndef IMAPD_IMAP_TEXT_H
#define IMAPD_IMAP_TEXT_H

#include "lib/str.h"
#include "mime/part.h"

/* A search key, prepared once. */
struct imap_key {
	struct str folded; /* UTF-8, case folded */
};

/* KEY is the UTF-8 text of LEN bytes at P; convert from the client's charset with mime_charset_to_utf8() before. */
void imap_key_init(struct imap_key *key, const char *p, size_t len);
void imap_key_fini(struct imap_key *key);

/* HEADER name key (BCC, CC, FROM, SUBJECT, TO are the same with a fixed name): a field NAME, decoded, has KEY in it.
 * An empty key asks only for the field. Needs no tree. */
bool imap_text_header(const struct mime_msg *m, const char *name, const struct imap_key *key);
/* BODY key: text parts, decoded and converted, and the headers of inner parts and messages. Memory use does not grow
 * with the message. */
bool imap_text_body(struct mime_msg *m, const struct imap_key *key);
/* TEXT key: the header or the body has KEY in it. */
bool imap_text_any(struct mime_msg *m, const struct imap_key *key);
/* SENTBEFORE, SENTON, SENTSINCE compare this: the Date field's day as days since 1970-01-01, time and zone ignored.
 * False if there is no Date that can be read (none of the three matches then). */
bool imap_text_sent_day(const struct mime_msg *m, int64_t *day_out);

#endif
