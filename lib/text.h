/* Control characters (0 to 31, and 127). They could end lines of protocols, logs and files, so text from outside must
 * have none. Bytes above 127 do not count as such, whatever the charset. Also: comparing words regardless of case. */
#ifndef LIB_TEXT_H
#define LIB_TEXT_H

#include "lib/base.h"

/* How many of the LEN bytes at P come before the first control character; LEN: there is none. */
size_t text_plain(const char *p, size_t len);
/* S has no control character. */
bool text_is_plain(const char *s);
/* Replaces each control character of S by WITH. */
void text_make_plain(char *s, char with);

/* C is a control character. */
static inline bool text_is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* C is a printable character of ASCII: blank to tilde. */
static inline bool text_is_printable(char c)
{
	return c >= 0x20 && c < 0x7f;
}

/* The LEN bytes at P are WORD, ignoring the case of ASCII letters. */
bool text_is_word(const char *p, size_t len, const char *word);

#endif
