/* Mailbox names and the patterns of LIST, as clients send them: "pattern LF name". A pattern matches what RFC 3501
 * section 6.3.8 says, tried step by step; an accepted name is valid, and the same after it was listed and sent
 * again. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "imapd/imap_match.h"
#include "imapd/imap_names.h"
#include "lib/mem.h"
#include "maildir/md_tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_MAX = 32 }; /* bytes of texts that are matched the slow way */

static bool same(char pattern, char name, bool inbox)
{
	return pattern == name || (inbox && strncasecmp(&pattern, &name, 1) == 0);
}

/* Whether PATTERN matches all of NAME (LEN bytes), of which the first INBOX bytes are in any case. */
static bool matches(const char *pattern, const char *name, size_t len, size_t inbox)
{
	static bool can[PLAIN_MAX + 1]
	               [PLAIN_MAX + 1]; /* the rest of the pattern from I matches that of the name from K */
	size_t n = strlen(pattern);

	for (size_t i = n + 1; i-- > 0;)
		for (size_t k = len + 1; k-- > 0;) {
			char c = pattern[i];

			if (i == n)
				can[i][k] = k == len;
			else if (c == '*' || c == '%')
				can[i][k] = can[i + 1][k] || (k < len && (c == '*' || name[k] != '.') && can[i][k + 1]);
			else
				can[i][k] = k < len && same(c, name[k], k < inbox) && can[i + 1][k + 1];
		}
	return can[0][0];
}

static void check_pattern(const char *pattern, const char *name)
{
	size_t len = strlen(name), inbox = strncasecmp(name, "INBOX", 5) == 0 && strchr(".", name[5]) != NULL ? 5 : 0,
	       level;
	size_t want = 0;
	struct imap_pattern p;

	imap_pattern_init(&p, "", pattern, '.');
	level = imap_pattern_match_level(&p, name);
	if (level > len || (level > 0 && imap_pattern_match(&p, name) != (level == len)))
		abort();
	imap_pattern_fini(&p);
	if (strlen(pattern) > PLAIN_MAX || len > PLAIN_MAX)
		return;
	for (size_t n = 1; n <= len; n++)
		if ((n == len || name[n] == '.') && matches(pattern, name, n, MIN(inbox, n)))
			want = n;
	if (level != want)
		abort();
}

static void check_name(struct settings *set, const char *wire, size_t len)
{
	struct str in = STR_INIT, folder = STR_INIT, out = STR_INIT, again = STR_INIT;

	str_add(&in, wire, len);
	if (imap_name_in(set, &in, &folder) == IMAP_NAME_OK) {
		if (folder.len > 0 && (!md_tree_valid(folder.data) || strlen(folder.data) != folder.len))
			abort();
		imap_name_out(set, str_cstr(&folder), &out);
		if (imap_name_in(set, &out, &again) != IMAP_NAME_OK || strcmp(str_cstr(&again), str_cstr(&folder)) != 0)
			abort();
	}
	str_fini(&in);
	str_fini(&folder);
	str_fini(&out);
	str_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct settings *set[2];
	char *pattern = mem_memdup(data, size), *name = memchr(pattern, '\n', size);

	if (set[0] == NULL)
		for (int i = 0; i < 2; i++) {
			set[i] = settings_defaults();
			mem_free(&set[i]->imapd_IMAP_NAMESPACE_PREFIX);
			set[i]->imapd_IMAP_NAMESPACE_PREFIX = mem_strdup(i == 0 ? "INBOX." : "");
		}
	if (name != NULL)
		*name++ = '\0';
	else
		name = pattern;
	check_pattern(pattern, name);
	for (int i = 0; i < 2; i++)
		check_name(set[i], name, size - (size_t)(name - pattern));
	mem_free(&pattern);
	return 0;
}
