/* Dates of the protocol (RFC 3501 section 9: date, date-time). */
#ifndef IMAPD_IMAP_DATE_H
#define IMAPD_IMAP_DATE_H

#include <time.h>

#include "lib/str.h"

/* Appends INTERNALDATE's form of T in the server's time zone, with quotes: "17-Jul-1996 02:44:25 -0700" (the day
 * padded with a blank). */
void imap_date_print(struct str *out, time_t t);
/* Reads a date-time (without the quotes) of LEN bytes at P, strictly; for APPEND. */
bool imap_date_parse(const char *p, size_t len, time_t *out);
/* Reads a date ("1-Feb-1994", without quotes) strictly: days since 1970-01-01; for SEARCH. */
bool imap_date_parse_day(const char *p, size_t len, int64_t *day_out);
/* The day on which T falls in the server's time zone: BEFORE, ON and SINCE compare this. */
int64_t imap_date_day(time_t t);

#endif
