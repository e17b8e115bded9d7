/* Dates of the protocol, read and written. */
#include "imapd/imap_date.h"

#include <stdlib.h>
#include <string.h>

#include "lib/num.h"
#include "mime/date.h"

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
	"Dec" };

void imap_date_print(struct str *out, time_t t)
{
	struct tm tm;
	long zone;

	if (localtime_r(&t, &tm) == NULL) { /* a year beyond int: a broken file time */
		t = 0;
		localtime_r(&t, &tm);
	}
	zone = tm.tm_gmtoff / 60;
	str_addf(out, "\"%2d-%s-%04d %02d:%02d:%02d %c%02ld%02ld\"", tm.tm_mday, months[tm.tm_mon],
	    MIN(MAX(tm.tm_year + 1900, 0), 9999), tm.tm_hour, tm.tm_min, tm.tm_sec, zone < 0 ? '-' : '+',
	    labs(zone) / 60, labs(zone) % 60);
}

static bool digits(const char *p, size_t len, int limit, int *out)
{
	uint64_t v;

	if (!num_parse(p, len, (uint64_t)limit, &v))
		return false;
	*out = (int)v;
	return true;
}

/* Parses exactly the LEN bytes at P as "dd-Mon-yyyy". */
static bool parse_day(const char *p, size_t len, struct mime_date *d)
{
	size_t n = len == 11 ? 2 : 1;

	memset(d, 0, sizeof(*d));
	if ((len != 10 && len != 11) || p[n] != '-' || p[n + 4] != '-')
		return false;
	d->month = mime_date_month(p + n + 1);
	return d->month != 0 && digits(p, n, 31, &d->day) && digits(p + n + 5, 4, 9999, &d->year) && d->day > 0 &&
	    d->day <= mime_date_month_len(d->year, d->month);
}

/* "hh:mm:ss +zzzz" */
static bool parse_time(const char *p, struct mime_date *d)
{
	int hours, minutes;

	if (p[2] != ':' || p[5] != ':' || p[8] != ' ' || (p[9] != '+' && p[9] != '-'))
		return false;
	if (!digits(p, 2, 23, &d->hour) || !digits(p + 3, 2, 59, &d->min) || !digits(p + 6, 2, 60, &d->sec) ||
	    !digits(p + 10, 2, 23, &hours) || !digits(p + 12, 2, 59, &minutes))
		return false;
	d->zone = (p[9] == '-' ? -1 : 1) * (hours * 60 + minutes);
	return true;
}

bool imap_date_parse(const char *p, size_t len, time_t *out)
{
	size_t n = len == 25 ? 10 : 11; /* some clients do not pad the day */
	struct mime_date d;

	if (len != 25 && len != 26)
		return false;
	if (*p == ' ' ? !parse_day(p + 1, n - 1, &d) : !parse_day(p, n, &d))
		return false;
	if (p[n] != ' ' || !parse_time(p + n + 1, &d))
		return false;
	*out = (time_t)mime_date_time(&d);
	return true;
}

bool imap_date_parse_day(const char *p, size_t len, int64_t *day_out)
{
	struct mime_date d;

	if (!parse_day(p, len, &d))
		return false;
	*day_out = mime_date_days(d.year, d.month, d.day);
	return true;
}

int64_t imap_date_day(time_t t)
{
	struct tm tm;

	if (localtime_r(&t, &tm) == NULL)
		return 0;
	return mime_date_days(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
}
