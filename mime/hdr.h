/* Header fields of a message or of a body part (RFC 5322 section 2.2, with the obsolete forms of section 4).
 * Works on the raw text, which may hold LF, CRLF or both, NULs and 8-bit bytes; copies nothing. */
#ifndef MIME_HDR_H
#define MIME_HDR_H

#include "lib/str.h"

struct mime_hdr {
	const char *name;  /* as written, without blanks before the colon */
	size_t name_len;   /* 0: not a field: an mbox From line or a line without a colon */
	const char *value; /* after the colon and leading blanks; folds are left in */
	size_t value_len;  /* without trailing blanks and line end */
	const char *start; /* the whole field, first byte of the name */
	size_t len;        /* including the line end of its last line */
};

/* A walk over the fields of a header; set by mime_hdr_begin(). */
struct mime_hdr_iter {
	const char *p, *end;
};

/* Length of the header at the start of the LEN bytes at TEXT, with the empty line that ends it (the body
 * starts there); LEN if there is no empty line. */
size_t mime_hdr_len(const char *text, size_t len);
/* Starts a walk over the header at TEXT; LEN may reach into the body; the walk ends at the empty line. */
void mime_hdr_begin(struct mime_hdr_iter *it, const char *text, size_t len);
/* The next field in *OUT (pointers into the text); false at the end. Lines that are not fields are returned too, with
 * name_len 0. */
bool mime_hdr_next(struct mime_hdr_iter *it, struct mime_hdr *out);
/* True if the field is called NAME, ignoring case. */
bool mime_hdr_is(const struct mime_hdr *h, const char *name);
/* The first field called NAME in the header at TEXT; false if there is none. */
bool mime_hdr_find(const char *text, size_t len, const char *name, struct mime_hdr *out);
/* Appends the LEN bytes at P to OUT without the line ends of folds (the blanks after them stay) and with other line
 * ends and NULs as blanks. */
void mime_hdr_unfold(struct str *out, const char *p, size_t len);

#endif
