/* The words for what is thought of a forwarded login's signature. */
#include "node/hop_check.h"

#include <string.h>

static const struct { const char *word, *count, *note; } texts[] = {
#define X(name, word, count, note) { word, count, note },
	HOP_CHECKS(X)
#undef X
};

const char *hop_check_word(enum hop_check c)
{
	return texts[c].word;
}

const char *hop_check_count_name(enum hop_check c)
{
	return texts[c].count;
}

const char *hop_check_note(enum hop_check c)
{
	return texts[c].note;
}

enum hop_check hop_check_read(const char *line)
{
	size_t len = strlen(line);

	for (enum hop_check c = HOP_CHECK_GOOD + 1; c < HOP_CHECK_COUNT; c++) {
		size_t n = strlen(texts[c].note);

		if (len >= n && memcmp(line + len - n, texts[c].note, n) == 0)
			return c;
	}
	return HOP_CHECK_NONE;
}
