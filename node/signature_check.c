/* The words for what is thought of a forwarded login's signature. */
#include "node/signature_check.h"

#include <string.h>

static const struct {
	const char *word, *count, *note;
} texts[] = {
#define X(name, word, count, note) { word, count, note },
	SIGNATURE_CHECKS(X)
#undef X
};

const char *signature_check_word(enum signature_check c)
{
	return texts[c].word;
}

const char *signature_check_count_name(enum signature_check c)
{
	return texts[c].count;
}

const char *signature_check_note(enum signature_check c)
{
	return texts[c].note;
}

enum signature_check signature_check_read(const char *line)
{
	size_t len = strlen(line);

	for (enum signature_check c = SIGNATURE_GOOD + 1; c < SIGNATURE_COUNT; c++) {
		size_t n = strlen(texts[c].note);

		if (len >= n && memcmp(line + len - n, texts[c].note, n) == 0)
			return c;
	}
	return SIGNATURE_NONE;
}
