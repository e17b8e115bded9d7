/* The form of a log line. */
#include "master/logline.h"

#include <ctype.h>
#include <string.h>
#include <syslog.h>

#include "lib/text.h"
#include "settings/protocol.h"

#define REFUSED "LOGIN FAILED"

/* Appends BEFORE, then N in two characters, the first of which is ZERO if N is below ten. */
static void add_two(struct str *out, char before, char zero, int n)
{
	const char text[3] = { before, n < 10 ? zero : (char)('0' + n / 10 % 10), (char)('0' + n % 10) };

	str_add(out, text, sizeof(text));
}

static void add_date(struct str *out, const struct tm *when)
{
	static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov",
		"Dec" };

	str_adds(out, months[(unsigned)when->tm_mon % 12]);
	add_two(out, ' ', ' ', when->tm_mday);
	add_two(out, ' ', '0', when->tm_hour);
	add_two(out, ':', '0', when->tm_min);
	add_two(out, ':', '0', when->tm_sec);
	str_addc(out, ' ');
}

/* Appends Appends TEXT with dots for control characters. */
static void add_clean(struct str *out, const char *text)
{
	for (size_t len = strlen(text);;) {
		size_t n = text_plain(text, len);

		str_add(out, text, n);
		if (n == len)
			return;
		str_addc(out, '.');
		text += n + 1;
		len -= n + 1;
	}
}

/* Lines about clients have Courier's shape, "imapd: LOGIN, ...", which programs that read logs search for; their
 * session= tells more than a process id, which many sessions share. */
static bool is_protocol(const char *program)
{
	for (int p = 0; p < PROTOCOL_COUNT; p++)
		if (strcmp(program, protocols[p].group) == 0)
			return true;
	return false;
}

/* "program[pid]: text" */
static void add_event(struct str *out, const struct log_record *rec, pid_t pid)
{
	for (const char *p = rec->program; *p != '\0'; p++)
		str_addc(out, isalnum((unsigned char)*p) || *p == '-' || *p == '_' ? *p : '_');
	if (!is_protocol(rec->program))
		str_addf(out, "[%ld]", (long)pid);
	str_adds(out, ": ");
	add_clean(out, rec->text);
}

void logline_file(struct str *out, const struct tm *when, const char *host, const struct log_record *rec, pid_t pid)
{
	add_date(out, when);
	str_adds(out, host);
	str_addc(out, ' ');
	add_event(out, rec, pid);
	str_addc(out, '\n');
}

void logline_syslog(struct str *out, const struct tm *when, const struct log_record *rec, pid_t pid)
{
	static const int severity[] = {
		[LOG_LEVEL_ERROR] = LOG_ERR,
		[LOG_LEVEL_WARN] = LOG_WARNING,
		[LOG_LEVEL_INFO] = LOG_INFO,
		[LOG_LEVEL_DEBUG] = LOG_DEBUG,
	};

	str_addf(out, "<%d>", LOG_MAIL | severity[rec->level]);
	add_date(out, when);
	add_event(out, rec, pid);
}

bool logline_session_may(char *text)
{
	const char *start = strncmp(text, "INFO: ", 6) == 0 ? text + 6 : text;

	if (strncmp(start, REFUSED, strlen(REFUSED)) == 0)
		return false;
	for (char *p = text; (p = strstr(p, REFUSED)) != NULL; p += strlen(REFUSED))
		p[5] = '.';
	return true;
}
