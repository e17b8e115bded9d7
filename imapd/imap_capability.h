/* The CAPABILITY list, before and after login. */
#ifndef IMAPD_IMAP_CAPABILITY_H
#define IMAPD_IMAP_CAPABILITY_H

#include "lib/str.h"
#include "settings/settings.h"

/* Appends the words of a CAPABILITY reply to OUT, without the word CAPABILITY itself.
 * BEFORE_LOGIN: IMAP_CAPABILITY as the operator wrote it, as it may describe peers of another kind. After login:
 * the same without AUTH=, STARTTLS and LOGINDISABLED, and without what our own session server does not do. */
void imap_capability(struct str *out, const struct settings *set, bool before_login);

#endif
