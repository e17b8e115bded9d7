/* ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 section 7.4.2): a parsed message as IMAP data. Output is bounded: at
 * most about four times the size of the header fields it is made from, plus a constant (a megabyte or two for 20,000
 * addresses and MIME_PARTS_MAX parts); addresses, parameters and languages beyond a limit are left out. */
#ifndef IMAPD_IMAP_BODY_H
#define IMAPD_IMAP_BODY_H

#include "lib/str.h"
#include "mime/part.h"

/* Appends the parenthesised envelope of the header at TEXT to OUT (LEN may reach into the body; needs no tree).
 * The caller writes the item's name and the blank before it. */
void imap_envelope_add(struct str *out, const char *text, size_t len);
/* Appends the parenthesised body structure of M to OUT: with extension data for BODYSTRUCTURE (EXTENDED), without for
 * BODY. */
void imap_body_add(struct str *out, struct mime_msg *m, bool extended);
/* True if the LEN bytes at P are one parenthesised list as imap_body_add() makes them: nothing of it can end the reply
 * that it is put into, whoever made it. */
bool imap_body_valid(const char *p, size_t len);
/* Appends LEN bytes at P as a string of RFC 3501: quoted if they are short 7-bit text, else a literal; omits NUL
 * bytes. */
void imap_string_add(struct str *out, const char *p, size_t len);
/* As imap_string_add(), or NIL if P is NULL. */
void imap_nstring_add(struct str *out, const char *p, size_t len);

#endif
