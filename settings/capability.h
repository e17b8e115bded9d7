/* The capabilities that our IMAP session servers support. */
#ifndef SETTINGS_CAPABILITY_H
#define SETTINGS_CAPABILITY_H

#include <stdbool.h>
#include <stddef.h>

/* Our session servers support the capability of LEN bytes at WORD, in any case (RFC 3501, 7.2.1). False for AUTH=,
 * STARTTLS and LOGINDISABLED, which do not concern session servers. */
bool capability_is_ours(const char *word, size_t len);

#endif
