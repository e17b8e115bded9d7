/* Patterns of LIST and LSUB. */
#include "imapd/imap_match.h"

#include <string.h>
#include <strings.h>

#include "lib/mem.h"

static bool is_wild(char c)
{
	return c == '*' || c == '%';
}

/* Appends TEXT, with each run of wildcards reduced to one: "*" if it has a "*". */
static void add_short(struct imap_pattern *p, const char *text)
{
	for (; *text != '\0'; text++) {
		char *last = p->text.len > 0 ? &p->text.data[p->text.len - 1] : NULL;

		if (is_wild(*text) && last != NULL && is_wild(*last)) {
			if (*text == '*')
				*last = '*';
			continue;
		}
		str_addc(&p->text, *text);
		p->plain += !is_wild(*text);
	}
}

void imap_pattern_init(struct imap_pattern *p, const char *reference, const char *name, char separator)
{
	memset(p, 0, sizeof(*p));
	p->separator = separator;
	add_short(p, reference);
	add_short(p, name);
}

void imap_pattern_fini(struct imap_pattern *p)
{
	str_fini(&p->text);
}

/* Adds the pattern character C. reach[i]: the pattern so far can match the first i characters of the name. */
static void step(char *reach, const char *name, size_t len, char c, char separator, size_t inbox)
{
	if (is_wild(c)) {
		for (size_t i = 1; i <= len; i++)
			if (reach[i - 1] && (c == '*' || name[i - 1] != separator))
				reach[i] = 1;
		return;
	}
	for (size_t i = len; i > 0; i--) {
		char n = name[i - 1];
		bool same = n == c || (i <= inbox && strncasecmp(&n, &c, 1) == 0);

		reach[i] = reach[i - 1] && same;
	}
	reach[0] = 0;
}

/* The length of the longest of NAME and its parents that reach[] has; 0 if there is none. */
static size_t longest(const char *reach, const char *name, size_t len, char separator)
{
	size_t n = len;

	while (n > 0 && !(reach[n] && (n == len || name[n] == separator)))
		n--;
	return n;
}

size_t imap_pattern_match_level(const struct imap_pattern *p, const char *name)
{
	size_t len = strlen(name), inbox = 0, found;
	char stack[256], *reach = stack;

	if (p->plain > len)
		return 0;
	if (strncasecmp(name, "INBOX", 5) == 0 && (name[5] == '\0' || name[5] == p->separator))
		inbox = 5;
	if (len + 1 > sizeof(stack))
		reach = mem_alloc(len + 1);
	memset(reach, 0, len + 1);
	reach[0] = 1;
	for (size_t i = 0; i < p->text.len; i++)
		step(reach, name, len, p->text.data[i], p->separator, inbox);
	found = longest(reach, name, len, p->separator);
	if (reach != stack)
		mem_free(&reach);
	return found;
}

bool imap_pattern_match(const struct imap_pattern *p, const char *name)
{
	return *name != '\0' && imap_pattern_match_level(p, name) == strlen(name);
}
