/* Structured MIME fields: Content-Type, Content-Disposition, Content-Transfer-Encoding, Content-Language (RFC 2045
 * section 5.1, RFC 2183, RFC 3282). Tolerant: the list of parameters ends at what cannot be parsed. The sections of RFC
 * 2231 (name*0, name*1) are returned as they are; param.h joins them. */
#ifndef MIME_CTYPE_H
#define MIME_CTYPE_H

#include "lib/str.h"
#include "mime/part.h"

/* A walk over one field value from left to right. The text is not copied. */
struct mime_ctype {
	const char *p, *end;
};

/* Starts on a field value. */
void mime_ctype_begin(struct mime_ctype *c, const struct mime_text *value);
/* Reads "type/subtype" into TYPE and SUBTYPE (both emptied first), as written. False, with both empty, if there is
 * none. */
bool mime_ctype_type(struct mime_ctype *c, struct str *type, struct str *subtype);
/* Reads one word (a disposition, an encoding, a language) into WORD (emptied first); false if there is none. */
bool mime_ctype_word(struct mime_ctype *c, struct str *word);
/* Reads the next word of a comma-separated list (Content-Language). */
bool mime_ctype_next_word(struct mime_ctype *c, struct str *word);
/* Reads the next parameter ("; name=value", quoted or not) into NAME and VALUE (both emptied first); false at
 * the end. */
bool mime_ctype_param(struct mime_ctype *c, struct str *name, struct str *value);

#endif
