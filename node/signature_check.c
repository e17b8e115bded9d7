/* The words for verdicts on the signature of a forwarded login. */
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

/* The note at the end of the LEN bytes at LINE. */
static enum signature_check note_at_end(const char *line, size_t len)
{
	for (enum signature_check c = SIGNATURE_GOOD + 1; c < SIGNATURE_COUNT; c++) {
		size_t n = strlen(texts[c].note);

		if (len >= n && memcmp(line + len - n, texts[c].note, n) == 0)
			return c;
	}
	return SIGNATURE_NONE;
}

size_t signature_check_text(const char *line)
{
	size_t len = strlen(line);
	enum signature_check c;

	while ((c = note_at_end(line, len)) != SIGNATURE_NONE)
		len -= strlen(texts[c].note);
	return len;
}

enum signature_check signature_check_read(const char *line)
{
	return note_at_end(line, strlen(line));
}
