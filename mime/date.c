/* The parser of Date fields; days of the calendar. */
#include "mime/date.h"

#include <string.h>
#include <strings.h>

static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

int mime_date_month(const char *p)
{
	for (int i = 0; i < 12; i++)
		if (strncasecmp(p, months + 3 * i, 3) == 0)
			return i + 1;
	return 0;
}

int mime_date_month_len(int year, int month)
{
	static const int len[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
		return 29;
	return len[month - 1];
}

/* Years are counted from March here, so that the leap day is the last of its year. */
int64_t mime_date_days(int year, int month, int day)
{
	int64_t y = month > 2 ? year : (int64_t)year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400, in_era = y - era * 400;
	int64_t in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
}

int64_t mime_date_time(const struct mime_date *d)
{
	return mime_date_days(d->year, d->month, d->day) * 86400 + d->hour * 3600 + d->min * 60 + d->sec -
	    (int64_t)d->zone * 60;
}

/* --- the Date field --- */

struct reader {
	const char *p, *end;
	struct mime_date *d;
	bool have_time, have_zone;
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_alpha(char c)
{
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
}

static void skip_comment(struct reader *r)
{
	int depth = 0;

	for (; r->p < r->end; r->p++) {
		if (*r->p == '\\' && r->end - r->p > 1)
			r->p++;
		else if (*r->p == '(')
			depth++;
		else if (*r->p == ')' && --depth == 0) {
			r->p++;
			return;
		}
	}
}

/* A run of digits; -1 if it is longer than any that belongs in a date. */
static int take_number(struct reader *r, int *n_digits)
{
	int v = 0, n = 0;

	for (; r->p < r->end && is_digit(*r->p); r->p++, n++)
		if (n < 6)
			v = v * 10 + (*r->p - '0');
	*n_digits = n;
	return n <= 5 ? v : -1;
}

static void set_year(struct mime_date *d, int v, int n_digits)
{
	if (n_digits == 2)
		v += v < 50 ? 2000 : 1900;
	else if (n_digits == 3)
		v += 1900;
	d->year = v;
}

static void skip_spaces(struct reader *r)
{
	while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r' || *r->p == '\n'))
		r->p++;
}

/* ":min" and perhaps ":sec" after the hour. */
static bool take_time(struct reader *r, int hour)
{
	int part[2] = { 0, 0 }, n;

	for (int i = 0; i < 2; i++) {
		skip_spaces(r);
		if (r->p >= r->end || (*r->p != ':' && *r->p != '.'))
			break;
		r->p++;
		skip_spaces(r);
		part[i] = take_number(r, &n);
		if (n == 0 || n > 2)
			return false;
	}
	if (hour > 23 || part[0] > 59 || part[1] > 60)
		return false;
	r->d->hour = hour;
	r->d->min = part[0];
	r->d->sec = part[1];
	r->have_time = true;
	return true;
}

static bool take_digits(struct reader *r)
{
	int n, v = take_number(r, &n);
	const char *q;

	if (v < 0)
		return false;
	for (q = r->p; q < r->end && (*q == ' ' || *q == '\t');)
		q++;
	if (!r->have_time && n <= 2 && q < r->end && *q == ':')
		return take_time(r, v);
	if (r->d->day == 0 && n <= 2)
		r->d->day = v;
	else if (r->d->year == 0 && n >= 2)
		set_year(r->d, v, n);
	return true;
}

/* "+hhmm" after the time. */
static void take_zone(struct reader *r)
{
	int sign = *r->p == '-' ? -1 : 1, n, v;

	r->p++;
	v = take_number(r, &n);
	if (n == 4 && v / 100 < 24 && v % 100 < 60) {
		r->d->zone = sign * (v / 100 * 60 + v % 100);
		r->have_zone = true;
	}
}

static void take_zone_name(struct reader *r, const char *p, size_t n)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = {
		{ "EST", -5 },
		{ "EDT", -4 },
		{ "CST", -6 },
		{ "CDT", -5 },
		{ "MST", -7 },
		{ "MDT", -6 },
		{ "PST", -8 },
		{ "PDT", -7 },
	};

	for (size_t i = 0; n == 3 && i < ARRAY_LEN(zones); i++)
		if (strncasecmp(p, zones[i].name, 3) == 0)
			r->d->zone = zones[i].hours * 60;
	r->have_zone = true; /* GMT, UT, Z; all others are unknown: -0000 */
}

static void take_word(struct reader *r)
{
	const char *p = r->p;
	size_t n;

	while (r->p < r->end && is_alpha(*r->p))
		r->p++;
	n = (size_t)(r->p - p);
	if (r->d->month == 0 && n >= 3 && mime_date_month(p) != 0)
		r->d->month = mime_date_month(p);
	else if (r->have_time && !r->have_zone && r->d->year != 0)
		take_zone_name(r, p, n);
}

bool mime_date_parse(const char *p, size_t len, struct mime_date *out)
{
	struct reader r = { .p = p, .end = p + len, .d = out };

	memset(out, 0, sizeof(*out));
	while (r.p < r.end) {
		if (*r.p == '(')
			skip_comment(&r);
		else if (is_digit(*r.p)) {
			if (!take_digits(&r))
				return false;
		} else if (is_alpha(*r.p))
			take_word(&r);
		else if ((*r.p == '+' || *r.p == '-') && r.have_time && !r.have_zone)
			take_zone(&r);
		else
			r.p++;
	}
	return out->year > 0 && out->month > 0 && out->day > 0 &&
	    out->day <= mime_date_month_len(out->year, out->month);
}
