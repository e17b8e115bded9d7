/* The parts of a message (RFC 2045, 2046) as a tree of small structs over the raw text, which must outlive it (a mapped
 * file, say). Made in one pass, in time proportional to the length of the message, whatever it contains.
 *
 * On disk lines may end in LF or CRLF; on the wire all end in CRLF. Offsets are on disk, sizes are given for both. */
#ifndef MIME_PART_H
#define MIME_PART_H

#include "mime/charset.h"

enum {
	MIME_DEPTH_MAX = 100, /* parts nested deeper are not parsed */
	/* Further parts of a message are skipped; there may be one empty part more for each open multipart. */
	MIME_PARTS_MAX = 10000,
};

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART, /* its parts: child, child->next, ...; if the message has none, an empty text */
	MIME_MESSAGE,   /* message/rfc822: child is the root of the message within */
};

/* A piece of the raw text. */
struct mime_span {
	size_t off;     /* on disk, from the start of the message */
	size_t len;     /* on disk */
	uint64_t wire;  /* bytes on the wire */
	uint64_t lines; /* line ends within */
};

/* A header value as in the text, with its folds; p is NULL if there is no such field. */
struct mime_text {
	const char *p;
	size_t len;
};

struct mime_part {
	struct mime_part *parent; /* NULL for the root */
	struct mime_part *child, *next;
	enum mime_kind kind;
	bool digest;          /* multipart/digest */
	bool in_digest;       /* a part of a digest: the default type is message/rfc822 */
	struct mime_span hdr; /* with the empty line */
	struct mime_span body;
	/* the fields of BODYSTRUCTURE, the first of each name */
	struct mime_text type, encoding, id, description, md5, disposition, language, location;
};

struct mime_part_block;
/* A message: set text and tree by mime_msg_init(), free with mime_msg_fini(). */
struct mime_msg {
	const char *text;
	size_t len;
	struct mime_part *root; /* NULL until asked for: use mime_msg_root() */
	struct mime_part_block *blocks;
	size_t parts;
	struct mime_charsets charsets; /* those named in it: see mime_charset_begin() */
	/* of wire.c */
	uint64_t *bare; /* NULL, or the LFs without CR before each kilobyte */
	size_t hdr_len;
	bool have_hdr_len;
};

/* Sets M up for the LEN bytes at TEXT (not copied; may be NULL if LEN is 0). Reads nothing yet. */
void mime_msg_init(struct mime_msg *m, const char *text, size_t len);
/* The tree, made at the first call. Owned by M. Never NULL. */
struct mime_part *mime_msg_root(struct mime_msg *m);
/* The media type to act on and to show, as written: TYPE and SUBTYPE are emptied first. False if it is a default:
 * text/plain (also for a Content-Type that cannot be read and for a multipart without parts to find), message/rfc822
 * within a digest, or application/octet-stream for a message that is not parsed; the parameters of the field mean
 * nothing then. */
bool mime_part_type(const struct mime_part *p, struct str *type, struct str *subtype);
/* Frees the tree; M can be initialised again. */
void mime_msg_fini(struct mime_msg *m);

/* The size of the LEN bytes at TEXT on the wire: each LF without a CR before it counts twice. TEXT must be the start of
 * a line or of the message. (RFC822.SIZE without a tree.) */
uint64_t mime_wire_size(const char *text, size_t len);

#endif
