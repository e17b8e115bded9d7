/* SEARCH in a message's text (RFC 3501 section 6.4.4): substrings, ignoring case, in decoded UTF-8.
 *
 * All texts of a command are searched together: a message's header and its body are read, decoded and folded at most
 * once for all of them, and only when first needed. */
#ifndef IMAPD_IMAP_TEXT_H
#define IMAPD_IMAP_TEXT_H

#include "lib/str.h"
#include "mime/part.h"
#include "node/work.h"

/* Texts in one command. Each costs a search through everything read: so many would take hours for the bodies of a large
 * mailbox, but work_do() ends that long before. */
enum { IMAP_TEXTS_MAX = 10000 };

/* Where to search for a text. */
enum imap_text_where {
	/* HEADER name (SUBJECT is the same with a fixed name): in the decoded value of a field of that name. An empty
	 * text only requires the field. */
	IMAP_TEXT_HEADER,
	/* BCC, CC, FROM, TO: in the addresses of a field of that name as ENVELOPE has them, written
	 * `name <mailbox@host>` and joined by ", " (a group begins with `name:`), without comments, quotes and folds,
	 * decoded. A field with encoded words is also searched as a whole, as their texts may hold what separates
	 * addresses. */
	IMAP_TEXT_ADDRESS,
	/* BODY: in text parts, decoded and converted, and the headers of inner parts and messages. */
	IMAP_TEXT_BODY,
	IMAP_TEXT_ANY /* TEXT: in the header or the body */
};

struct imap_text {
	enum imap_text_where where;
	char *name; /* of the header field, or NULL */
	size_t name_len;
	struct str folded; /* UTF-8, case folded */
	uint64_t letters;  /* which bytes it contains: see letters_of() */
	bool found;        /* in the current message, by the readings so far */
};

/* All-zero is the empty list; free with imap_texts_fini(). */
struct imap_texts {
	struct imap_text *text;
	size_t n, cap;
	/* private */
	struct imap_text **order; /* made at the first message: texts with a field name, sorted by it */
	size_t n_named;
	struct imap_text **pending; /* those that the current reading searches for */
	size_t n_pending;
	bool read_header, read_body;
};

/* Adds the UTF-8 text of LEN bytes at P (convert from the client's charset with mime_charset_to_utf8() before), before
 * the first message; NAME is for IMAP_TEXT_HEADER and IMAP_TEXT_ADDRESS, else NULL. Its number, or -1 if there are
 * IMAP_TEXTS_MAX. */
int imap_texts_add(struct imap_texts *t, enum imap_text_where where, const char *name, const char *p, size_t len);
void imap_texts_fini(struct imap_texts *t);
/* Begins another message. */
void imap_texts_begin(struct imap_texts *t);
/* True if text I is in message M, which must be the same until imap_texts_begin(). WORK (may be NULL) counts the bytes
 * read; once it says stop, the result is meaningless. */
bool imap_texts_find(struct imap_texts *t, struct mime_msg *m, size_t i, struct work *work);

/* SENTBEFORE, SENTON, SENTSINCE compare this: the Date field's day as days since 1970-01-01, time and zone ignored.
 * False if there is no valid Date (none of the three matches then). */
bool imap_text_sent_day(const struct mime_msg *m, int64_t *day_out);

#endif
