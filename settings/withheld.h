/* IMAP_CAPABILITY_WITHHELD: capabilities that are not announced to some clients, by what they call themselves in ID,
 * because they break on them. Rows "PATTERN=WORD:WORD": in a pattern * stands for any characters, ? for one; letters
 * in any case. */
#ifndef SETTINGS_WITHHELD_H
#define SETTINGS_WITHHELD_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/str.h"

enum { WITHHELD_CLIENT_MAX = 100 /* bytes of a client's name that count, with NUL */ };

/* NAME matches the pattern of LEN bytes at PATTERN. Takes no more than their lengths multiplied. */
bool withheld_matches(const char *pattern, size_t len, const char *name);
/* The next row of *LIST, which is moved behind it: its pattern, and its words with colons between. False at the end,
 * or (then *LIST is not at its end) if the row is malformed. */
bool withheld_next(const char **list, const char **pattern, size_t *pattern_len, const char **words, size_t *words_len);
/* Appends to OUT, with blanks between, what LIST (of a setting) withholds from the client that calls itself NAME; ""
 * is one that has not said so. */
void withheld_from(const char *list, const char *name, struct str *out);

#endif
