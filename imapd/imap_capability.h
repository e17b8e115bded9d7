/* The CAPABILITY list, before and after login. */
#ifndef IMAPD_IMAP_CAPABILITY_H
#define IMAPD_IMAP_CAPABILITY_H

#include "lib/str.h"
#include "settings/settings.h"

/* Appends the words of a CAPABILITY reply to OUT, without the word CAPABILITY itself and those of the list WITHHELD.
 * BEFORE: the list as the operator wrote it, as it may describe peers of another kind, but for STARTTLS and
 * LOGINDISABLED, which the caller adds where they are true. LOGINDISABLED: the same without AUTH=. AFTER: without
 * these, and without what our own session server does not do. */
enum imap_capability_when { IMAP_CAPABILITY_BEFORE, IMAP_CAPABILITY_LOGINDISABLED, IMAP_CAPABILITY_AFTER };
void imap_capability(struct str *out, const char *list, const char *withheld, enum imap_capability_when when);
/* Appends the list that LIST, one with "auto", stands for before login, where COMMON is what all servers of the pool
 * have in common ("": not known). */
void imap_capability_add_auto(struct str *out, const char *common, const char *list);
/* Appends to OUT, with blanks between, what the client that calls itself CLIENT ("": it has not said) is not told, of
 * what this node does. */
void imap_capability_withheld(const struct settings *set, const char *client, struct str *out);
/* The list for clients with TLS, or without. */
const char *imap_capability_list(const struct settings *set, bool tls);

#endif
