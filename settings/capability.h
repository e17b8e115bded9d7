/* What our IMAP session servers can do: the words of IMAP_CAPABILITY that they stand by. */
#ifndef SETTINGS_CAPABILITY_H
#define SETTINGS_CAPABILITY_H

#include <stdbool.h>
#include <stddef.h>

/* Our session servers support the capability of LEN bytes at WORD, in any case (RFC 3501, 7.2.1). AUTH=, STARTTLS and
 * LOGINDISABLED are no business of theirs: false. */
bool capability_is_ours(const char *word, size_t len);

#endif
