/* The base subject (RFC 5256 section 2.1): what the subjects of a message, of replies to it and of its forwarded copies
 * have in common. */
#ifndef MIME_SUBJECT_H
#define MIME_SUBJECT_H

#include "lib/str.h"
#include "mime/charset.h"

/* Appends the base subject of the raw value of LEN bytes at P to OUT, as UTF-8. True if "re", "fwd" or the like was
 * taken off, so that the message is a reply or forwarded. SET: see mime_charset_begin(). */
bool mime_base_subject(struct str *out, const char *p, size_t len, struct mime_charsets *set);

#endif
