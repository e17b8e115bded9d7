/* Control characters (0 to 31, and 127). They end lines of protocols, logs and files: text from outside has none. Bytes
 * beyond 127 are none here, whatever the charset. */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include "lib/base.h"

/* How many of the LEN bytes at P stand before the first control character; LEN: there is none. */
size_t text_plain(const char *p, size_t len);
/* S has no control character. */
bool text_is_plain(const char *s);
/* Puts WITH in the place of each control character of S. */
void text_make_plain(char *s, char with);

#endif
