/* Control characters (0 to 31, and 127). They end lines of protocols, logs and files: text from outside has none. Bytes
 * beyond 127 are none here, whatever the charset. And words of protocols and files, in which case does not matter. */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include "lib/base.h"

/* How many of the LEN bytes at P stand before the first control character; LEN: there is none. */
size_t text_plain(const char *p, size_t len);
/* S has no control character. */
bool text_is_plain(const char *s);
/* Puts WITH in the place of each control character of S. */
void text_make_plain(char *s, char with);

/* C is a control character. */
static inline bool text_is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* C is a character of ASCII that is none: blank to tilde. */
static inline bool text_is_printable(char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* The LEN bytes at P are WORD; upper and lower case of ASCII are the same. */
bool text_is_word(const char *p, size_t len, const char *word);

#endif
