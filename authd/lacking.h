/* Accounts of the userdb that cannot log in by a mechanism that their clients are offered. What is offered is the same
 * for all: it is said before anybody has a name, and most clients take the strongest and try no other. */
#ifndef AUTHD_LACKING_H
#define AUTHD_LACKING_H

#include "authlib/userdb.h"

enum { LACKING_TEXT_MAX = 12 * 1024 }; /* bytes of all lines of a report */

/* Appends a line to OUT for each protocol and mechanism (CRAM, APOP, SCRAM) that SET offers and for which accounts of
 * DB lack the data: how many, the first of them, and what to do. Accounts that may not use the protocol, are locked, or
 * have no password at all, do not count. Reads the whole image unless SET offers no such mechanism: seconds for a
 * million accounts. */
void lacking_report(struct str *out, const struct settings *set, const struct userdb *db);

#endif
