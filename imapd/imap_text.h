/* SEARCH in a message's text (RFC 3501 section 6.4.4): substrings, ignoring case, in decoded UTF-8.
 *
 * All texts of a command are looked for together: a message's header and its body are read, decoded and folded at
 * most once for all of them, and only when the first one is asked for. */
#ifndef IMAPD_IMAP_TEXT_H
#define IMAPD_IMAP_TEXT_H

#include "lib/str.h"
#include "mime/part.h"
#include "node/work.h"

/* Texts in one command. Each costs a search through all that is read: of bodies that is some hours for a large
 * mailbox and all of these, which work_do() ends long before. */
enum { IMAP_TEXTS_MAX = 10000 };

/* Where a text is looked for. */
enum imap_text_where {
	/* HEADER name (SUBJECT is the same with a fixed name): in a field of that name as it stands, decoded. An empty
	 * text asks only for the field. */
	IMAP_TEXT_HEADER,
	/* BCC, CC, FROM, TO: in the addresses of a field of that name as ENVELOPE has them, written
	 * `name <mailbox@host>` and joined by ", " (a group begins with `name:`), without comments, quotes and folds,
	 * decoded. A field with encoded words is searched as it stands as well: their texts may hold what parts
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
	uint64_t letters;  /* which bytes are in it: see the code */
	bool found;        /* in the message at hand, by the readings so far */
};

/* All-zero is the empty list; free with imap_texts_fini(). */
struct imap_texts {
	struct imap_text *text;
	size_t n, cap;
	/* private */
	struct imap_text **order; /* made at the first message: those with a field name, in the order of it */
	size_t n_named;
	struct imap_text **pending; /* those that the reading under way looks for */
	size_t n_pending;
	bool read_header, read_body;
};

/* Adds the UTF-8 text of LEN bytes at P (convert from the client's charset with mime_charset_to_utf8() before), before
 * the first message; NAME is for IMAP_TEXT_HEADER and IMAP_TEXT_ADDRESS, else NULL. Its number, or -1 if there are
 * IMAP_TEXTS_MAX. */
int imap_texts_add(struct imap_texts *t, enum imap_text_where where, const char *name, const char *p, size_t len);
void imap_texts_fini(struct imap_texts *t);
/* The next message is another one. */
void imap_texts_begin(struct imap_texts *t);
/* Text I is in message M, which is the same until imap_texts_begin(). WORK (may be NULL) counts the bytes that are
 * read; once it says stop, the answer means nothing. */
bool imap_texts_find(struct imap_texts *t, struct mime_msg *m, size_t i, struct work *work);

/* SENTBEFORE, SENTON, SENTSINCE compare this: the Date field's day as days since 1970-01-01, time and zone ignored.
 * False if there is no Date that can be read (none of the three matches then). */
bool imap_text_sent_day(const struct mime_msg *m, int64_t *day_out);

#endif
