/* The Date field (RFC 5322 section 3.3 with the obsolete forms of 4.3), and the calendar. */
#ifndef MIME_DATE_H
#define MIME_DATE_H

#include "lib/base.h"

struct mime_date {
	int year, month, day; /* as written; month 1-12 */
	int hour, min, sec;
	int zone; /* minutes east of UTC; 0 if none or unknown */
};

/* Parses the LEN bytes of a Date value at P: weekday, comments, folds and seconds may be missing or odd; two- and
 * three-digit years mean what section 4.3 says; a missing time is midnight. False if it is not a date. */
bool mime_date_parse(const char *p, size_t len, struct mime_date *out);
/* Days from 1970-01-01 to the date (Gregorian); may be negative. */
int64_t mime_date_days(int year, int month, int day);
/* 1-12 for "Jan" ... "Dec" (3 bytes at P, any case), else 0. */
int mime_date_month(const char *p);
/* 28-31; month 1-12. */
int mime_date_month_len(int year, int month);
/* Seconds since 1970-01-01 00:00 UTC. */
int64_t mime_date_time(const struct mime_date *d);

#endif
