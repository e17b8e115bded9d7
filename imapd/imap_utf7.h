/* Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3) to and from UTF-8. Strict both ways, so that each
 * name has one spelling. */
#ifndef IMAPD_IMAP_UTF7_H
#define IMAPD_IMAP_UTF7_H

#include "lib/str.h"

/* Appends the UTF-8 form of LEN bytes at P to OUT. False, OUT unchanged, for 8-bit or control bytes, wrong or needless
 * base64 (a printable character in it, two shifts in a row, bits left over), lone surrogates, U+0000. */
bool imap_utf7_to_utf8(struct str *out, const char *p, size_t len);
/* Appends the modified UTF-7 form of LEN bytes of UTF-8 at P to OUT. False, OUT unchanged, if they are not UTF-8 or
 * hold a NUL. */
bool imap_utf7_from_utf8(struct str *out, const char *p, size_t len);

#endif
