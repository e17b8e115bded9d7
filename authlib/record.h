/* Values from a directory, checked and stored in a record: shared by the directory drivers. */
#ifndef AUTHLIB_RECORD_H
#define AUTHLIB_RECORD_H

#include "lib/str.h"
#include "node/account.h"

/* Sets MEMBER of a record to the LEN bytes at P (NULL: ""). False, and what is wrong appended to WHY, if they are too
 * long for the record (ACCOUNT_..._MAX, MAX with NUL) or contain control characters, which no value may have: a
 * password is sent to other servers as a line. WHAT names the value; the value itself is never in WHY. */
bool record_set(char **member, const void *p, size_t len, size_t max, const char *what, struct str *why);
/* Parses the LEN bytes at P (NULL: none) as a uid or gid, ignoring blanks around it. False, and the reason in WHY, if
 * it is not a number, or 0: mail never belongs to root. */
bool record_id(const void *p, size_t len, const char *what, uint32_t *out, struct str *why);
/* uid, gid and home are there and usable. */
bool record_check(const struct account *a, struct str *why);
/* No text of A has control characters, whatever its source. */
bool record_is_plain(const struct account *a, struct str *why);

#endif
