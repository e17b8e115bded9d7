/* Capabilities withheld from some clients. */
#include "settings/withheld.h"

#include <string.h>

static char lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool withheld_matches(const char *pattern, size_t len, const char *name)
{
	const char *end = pattern + len, *star = NULL, *from = NULL;

	while (*name != '\0') {
		if (pattern != end && *pattern == '*') {
			star = ++pattern;
			from = name;
		} else if (pattern != end && (*pattern == '?' || lower(*pattern) == lower(*name))) {
			pattern++;
			name++;
		} else if (star != NULL) { /* the last * stands for one more */
			pattern = star;
			name = ++from;
		} else {
			return false;
		}
	}
	while (pattern != end && *pattern == '*')
		pattern++;
	return pattern == end;
}

bool withheld_next(const char **list, const char **pattern, size_t *pattern_len, const char **words, size_t *words_len)
{
	const char *row = *list + strspn(*list, " ");
	size_t len = strcspn(row, " "), at = strcspn(row, "= ");

	*list = row;
	if (at == 0 || at + 1 >= len || row[at] != '=')
		return false;
	*pattern = row;
	*pattern_len = at;
	*words = row + at + 1;
	*words_len = len - at - 1;
	*list = row + len;
	*list += strspn(*list, " ");
	return true;
}

void withheld_from(const char *list, const char *name, struct str *out)
{
	const char *pattern, *words;
	size_t len, n, word;

	while (name[0] != '\0' && withheld_next(&list, &pattern, &len, &words, &n)) {
		if (!withheld_matches(pattern, len, name))
			continue;
		for (const char *end = words + n; words < end; words += word + 1) {
			word = strcspn(words, ": ");
			if (out->len != 0)
				str_addc(out, ' ');
			str_add(out, words, word);
		}
	}
}
