/* THREAD: each line is a message, "DATE subject TAB field of ids". Every message is in the answer once, whose
 * parentheses match; a base subject has no other base subject. */
#include <stdlib.h>
#include <string.h>

#include "imapd/imap_thread.h"
#include "lib/mem.h"
#include "mime/collate.h"
#include "mime/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MESSAGES_MAX = 2000 };

/* Adds the subject of LEN bytes at P, collated. True: a reply's. */
static bool add_subject(struct str *out, const char *p, size_t len)
{
	struct mime_charsets set = { .n = 0 };
	struct str base = STR_INIT, again = STR_INIT;
	bool reply = mime_base_subject(&base, p, len, &set);

	if (base.len > len * 4 + 4)
		abort();
	if (base.len == 0 || memmem(base.data, base.len, "=?", 2) == NULL) {
		(void)mime_base_subject(&again, str_cstr(&base), base.len, &set);
		if (strcmp(str_cstr(&again), str_cstr(&base)) != 0)
			abort();
	}
	mime_collate(out, str_cstr(&base), base.len);
	str_fini(&base);
	str_fini(&again);
	return reply;
}

static void add_message(struct imap_threads *t, uint32_t number, const char *p, size_t len)
{
	const char *tab = memchr(p, '\t', len);
	size_t n = tab != NULL ? (size_t)(tab - p) : len;
	struct str subject = STR_INIT;
	bool reply = add_subject(&subject, p + (n > 0), n - (n > 0));

	imap_threads_add(t, number, n > 0 ? p[0] : 0, &subject, reply);
	str_fini(&subject);
	if (tab == NULL)
		return;
	(void)imap_threads_add_ids(t, tab + 1, len - n - 1, true);
	if (imap_threads_add_ids(t, tab + 1, len - n - 1, false) == 0)
		imap_threads_add_first_id(t, tab + 1, len - n - 1);
}

/* ANSWER has each number up to N once, and its parentheses match. */
static void check(const char *answer, uint32_t n)
{
	bool *seen = mem_array(n + 1, sizeof(*seen));
	uint32_t count = 0;
	int depth = 0;

	for (const char *p = answer; *p != '\0';) {
		if (*p >= '0' && *p <= '9') {
			char *end;
			unsigned long number = strtoul(p, &end, 10);

			if (number < 1 || number > n || seen[number] || depth < 1)
				abort();
			seen[number] = true;
			count++;
			p = end;
			continue;
		}
		depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
		if (depth < 0 || (*p == ' ' && depth == 0) || strncmp(p, "()", 2) == 0 || strncmp(p, "  ", 2) == 0)
			abort();
		p++;
	}
	if (depth != 0 || count != n)
		abort();
	mem_free(&seen);
}

static void run(enum imap_thread_how how, const char *p, size_t len)
{
	struct imap_threads *t = imap_threads_new(how);
	struct str out = STR_INIT;
	const char *end = p + len;
	uint32_t n = 0;

	while (p < end && n < MESSAGES_MAX) {
		const char *line_end = memchr(p, '\n', (size_t)(end - p));

		if (line_end == NULL)
			line_end = end;
		add_message(t, ++n, p, (size_t)(line_end - p));
		p = line_end + (line_end < end);
	}
	imap_threads_print(t, &out, NULL);
	check(str_cstr(&out), n);
	str_fini(&out);
	imap_threads_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	run(IMAP_THREAD_REFERENCES, (const char *)data, size);
	run(IMAP_THREAD_ORDEREDSUBJECT, (const char *)data, size);
	return 0;
}
