/* Sections of a message: the text between the brackets of BODY[...] (RFC 3501 section 6.4.5), and the bytes it names as
 * sent over the wire (every line ends in CRLF, a NUL byte is sent as 0x80). */
#ifndef IMAPD_IMAP_SECTION_H
#define IMAPD_IMAP_SECTION_H

#include "imapd/imap_lex.h"
#include "lib/str.h"
#include "mime/part.h"

enum imap_section_kind {
	IMAP_SECTION_ALL, /* "" or part numbers alone */
	IMAP_SECTION_HEADER,
	IMAP_SECTION_FIELDS,
	IMAP_SECTION_FIELDS_NOT,
	IMAP_SECTION_TEXT,
	IMAP_SECTION_MIME,
};

enum {
	IMAP_SECTION_PATH_MAX = 2 * MIME_DEPTH_MAX, /* part numbers in one section */
	IMAP_SECTION_NAMES_MAX = 1000,              /* header names in one section */
};

/* All-zero is the empty section, the whole message. Free with imap_section_fini(). */
struct imap_section {
	enum imap_section_kind kind;
	uint32_t *path; /* part numbers, from 1 */
	size_t n_path;
	char **names; /* header names as the client wrote them */
	size_t n_names;
	char **sorted; /* the same pointers in order, for look-up; made by imap_section_find() */
};

/* Reads a section from L, which is after "[", and the "]" that ends it: "]", "HEADER]", "1.2.MIME]",
 * "HEADER.FIELDS (To {7}\r\nSubject \"Cc\")]", ... False for bad syntax (*OUT needs no freeing then). */
bool imap_section_read(struct imap_section *out, struct imap_lex *l);
void imap_section_fini(struct imap_section *s);
/* Appends the section with its brackets to OUT as in a reply: "[1.2.HEADER.FIELDS (To Subject)]". */
void imap_section_print(struct str *out, const struct imap_section *s);

/* Bytes that go out: found by imap_section_find(); keeps pointers to the message and the section, owns nothing. */
struct imap_wire {
	struct mime_msg *m;
	size_t off, len;                   /* on disk: the start of a line, and bytes */
	const struct imap_section *fields; /* NULL, or: only these header fields, and the empty line */
	uint64_t size;                     /* on the wire, once known */
	bool have_size;
};

/* Finds section S of message M. False if the message has no such part (the reply is NIL then). */
bool imap_section_find(struct mime_msg *m, struct imap_section *s, struct imap_wire *out);
/* RFC822, RFC822.HEADER, RFC822.TEXT are the sections "", "HEADER", "TEXT". */

/* Its size on the wire, as RFC822.SIZE and a literal's length count it. */
uint64_t imap_wire_size(struct imap_wire *w);
/* The size of the partial <START.COUNT> of it; COUNT UINT64_MAX: to the end. */
uint64_t imap_wire_part_size(struct imap_wire *w, uint64_t start, uint64_t count);
/* Takes a piece of output (LEN > 0); false: stop. */
typedef bool (*imap_wire_fn)(void *ctx, const char *p, size_t len);
/* Passes COUNT bytes (or as many as there are) from wire offset START on to FN, in pieces, without making a copy of
 * all. False if FN said stop. */
bool imap_wire_write(const struct imap_wire *w, uint64_t start, uint64_t count, imap_wire_fn fn, void *ctx);

#endif
