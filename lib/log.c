/* Log lines: formats them, cleans text from outside, sends them in batches. */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/text.h"

enum { PROGRAM_MAX = 48 };

static const char *program_name = "waypost";
static int sink = -1;
static bool debug_on;
static char batch[16 * LOG_LINE_MAX];
static size_t batch_len;
static unsigned long dropped;

void log_set_program(const char *name)
{
	program_name = name;
}

void log_set_socket(int fd)
{
	log_flush();
	sink = fd;
}

void log_set_debug(bool on)
{
	debug_on = on;
}

size_t log_waiting(void)
{
	return sink != -1 ? batch_len : 0;
}

unsigned long log_dropped(void)
{
	return dropped;
}

static unsigned count_lines(const char *p, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += p[i] == '\n';
	return n;
}

void log_flush(void)
{
	if (batch_len == 0 || sink == -1)
		return;
	if (dropped != 0 && batch_len + 128 < sizeof(batch)) {
		unsigned long lost = dropped;

		batch_len += (size_t)snprintf(batch + batch_len, sizeof(batch) - batch_len,
		    "%d%s: %lu log lines were dropped because the log could not keep up\n", LOG_LEVEL_WARN,
		    program_name, lost);
		if (send(sink, batch, batch_len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
			dropped -= lost;
		else
			dropped += count_lines(batch, batch_len) - 1;
	} else if (send(sink, batch, batch_len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
		dropped += count_lines(batch, batch_len);
	}
	batch_len = 0;
}

/* "<level digit><program>: "; its length. */
static size_t begin_line(char line[LOG_LINE_MAX], const char *prog, enum log_level level)
{
	size_t len = strnlen(prog, PROGRAM_MAX);

	line[0] = (char)('0' + level);
	memcpy(line + 1, prog, len);
	memcpy(line + 1 + len, ": ", 2);
	return len + 3;
}

/* Replaces bytes behind HEAD that could forge another line, and queues the line of LEN bytes. */
static void end_line(char line[LOG_LINE_MAX], size_t head, size_t len)
{
	for (size_t i = head; (i += text_plain(line + i, len - i)) < len; i++)
		line[i] = '.';
	line[len++] = '\n';
	if (sink == -1) {
		ssize_t r UNUSED = write(STDERR_FILENO, line + 1, len - 1);
		return;
	}
	if (batch_len + len > sizeof(batch))
		log_flush();
	memcpy(batch + batch_len, line, len);
	batch_len += len;
}

/* One line, cut to its limit. */
PRINTF_LIKE(3, 0)
static void put_line(const char *prog, enum log_level level, const char *fmt, va_list ap)
{
	char line[LOG_LINE_MAX];
	size_t head = begin_line(line, prog, level);
	int n = vsnprintf(line + head, sizeof(line) - head - 1, fmt, ap);

	if (n >= 0)
		end_line(line, head, MIN(head + (size_t)n, sizeof(line) - 2));
}

void log_text(const char *program, enum log_level level, const char *text, size_t len)
{
	char line[LOG_LINE_MAX];
	size_t head = begin_line(line, program, level);

	len = MIN(len, sizeof(line) - 2 - head);
	memcpy(line + head, text, len);
	end_line(line, head, head + len);
}
#define LOG_FN(name, level) \
	void name(const char *fmt, ...) \
	{ \
		int saved = errno; \
		va_list ap; \
		va_start(ap, fmt); \
		put_line(program_name, level, fmt, ap); \
		va_end(ap); \
		errno = saved; \
	}
LOG_FN(log_error, LOG_LEVEL_ERROR)
LOG_FN(log_warn, LOG_LEVEL_WARN)
LOG_FN(log_info, LOG_LEVEL_INFO)

void log_debug(const char *fmt, ...)
{
	va_list ap;

	if (!debug_on)
		return;
	va_start(ap, fmt);
	put_line(program_name, LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}

void log_as(const char *program, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	if (level == LOG_LEVEL_DEBUG && !debug_on)
		return;
	va_start(ap, fmt);
	put_line(program, level, fmt, ap);
	va_end(ap);
}

char *log_clean(char *dst, size_t dstsize, const char *src)
{
	size_t i = 0;

	for (; src[i] != '\0' && i + 1 < dstsize; i++)
		dst[i] = text_is_printable(src[i]) ? src[i] : '.';
	dst[i] = '\0';
	return dst;
}

char *log_value(char *dst, size_t dstsize, const char *src)
{
	log_clean(dst, dstsize, src);
	for (char *p = dst; (p = strchr(p, ',')) != NULL; p++)
		*p = '.';
	return dst;
}

bool log_parse(char **p, size_t *len, struct log_record *rec)
{
	char *line = *p, *end = memchr(line, '\n', *len), *colon;

	if (end == NULL || end == line || line[0] < '0' || line[0] > '0' + LOG_LEVEL_DEBUG)
		return false;
	*end = '\0';
	if ((colon = strstr(line, ": ")) == NULL || memchr(line, '\0', (size_t)(end - line)) != NULL)
		return false;
	*colon = '\0';
	if (colon - line > 1 + PROGRAM_MAX)
		return false;
	if (end - colon > LOG_LINE_MAX) /* nobody of ours sends it */
		colon[LOG_LINE_MAX] = '\0';
	rec->level = (enum log_level)(line[0] - '0');
	rec->program = line + 1;
	rec->text = colon + 2;
	*len -= (size_t)(end + 1 - line);
	*p = end + 1;
	return true;
}

bool log_due(uint32_t *until, uint32_t seconds)
{
	uint32_t now = clock_seconds();

	if (now < *until)
		return false;
	*until = now + seconds;
	return true;
}
