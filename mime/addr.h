/* Addresses of From, To, Cc, ... (RFC 5322 section 3.4 and 4.4) as ENVELOPE needs them (RFC 3501 section 7.4.2).
 * Accepts anything: garbage becomes an address without a host, not an error. */
#ifndef MIME_ADDR_H
#define MIME_ADDR_H

#include "lib/str.h"

enum mime_addr_kind {
	MIME_ADDR_BOX,         /* a mailbox */
	MIME_ADDR_GROUP_START, /* `mailbox` is the name of the group; no other part */
	MIME_ADDR_GROUP_END,   /* no part at all */
};

/* One address. have_x is false for a missing part (NIL). Texts are unfolded and unquoted but not decoded (RFC 2047
 * forms stay); they may be 8-bit, and hold no NUL and no line end. One word without "@" is a mailbox without a host,
 * several are a name only. */
struct mime_addr {
	enum mime_addr_kind kind;
	bool have_name, have_adl, have_mailbox, have_host;
	struct str name; /* display name; if there is none, the comment after the address */
	struct str adl;  /* source route "@a,@b" */
	struct str mailbox;
	struct str host;
};

/* A walk over a list of addresses. */
struct mime_addr_iter {
	const char *p, *end;
	bool in_group;
};

/* Starts on the LEN bytes of a raw field value at TEXT. */
void mime_addr_begin(struct mime_addr_iter *it, const char *text, size_t len);
/* The next address in *A, whose texts are overwritten (start with an all-zero struct); false at the end. A group
 * without an end is closed at the end of the list. */
bool mime_addr_next(struct mime_addr_iter *it, struct mime_addr *a);
/* Frees the texts. */
void mime_addr_fini(struct mime_addr *a);

#endif
