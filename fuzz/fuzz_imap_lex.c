/* Any bytes: where commands end, in pieces and whole, and words from the front of them. */
#include <stdint.h>
#include <string.h>

#include "imapd/imap_lex.h"
#include "imapd/imap_match.h"
#include "imapd/imap_seq.h"
#include "lib/die.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct imap_frame_limits limits = { 4096, 4096 };

static size_t frame_end(const char *p, size_t len, size_t step)
{
	struct imap_frame f = { 0 };
	size_t have = 0;

	for (;;) {
		enum imap_frame_result got = imap_frame_next(&f, p, have, &limits);

		if (got == IMAP_FRAME_MORE && have < len)
			have += step < len - have ? step : len - have;
		else if (got != IMAP_FRAME_LITERAL)
			return got == IMAP_FRAME_DONE ? f.pos : 0;
	}
}

/* Skipped input ends at the same byte, in whatever pieces it comes. */
static size_t skip_end(const char *p, size_t len, size_t step)
{
	struct imap_skip k = { 0 };
	bool over = false;
	size_t at = 0;

	while (!over && at < len)
		at += imap_skip_next(&k, p + at, MIN(step, len - at), &over);
	DIE_IF(k.passed != at);
	return at;
}

static void words(const char *p, size_t len)
{
	static int (*const take[])(struct imap_lex *, struct str *) = { imap_lex_tag, imap_lex_atom, imap_lex_name,
		imap_lex_string, imap_lex_astring, imap_lex_pattern, imap_lex_flag, imap_lex_set };

	for (size_t i = 0; i < ARRAY_LEN(take); i++) {
		struct str out = STR_INIT;
		struct imap_set set = { 0 };
		struct imap_lex l;
		int got;

		imap_lex_init(&l, p, len);
		got = take[i](&l, &out);
		DIE_IF(got != 1 && l.pos != 0);
		DIE_IF(l.pos > len);
		DIE_IF(out.len > 0 && memchr(out.data, '\0', out.len) != NULL);
		if (got == 1) {
			struct imap_pattern pattern;

			imap_set_parse(&set, str_cstr(&out), out.len, 7);
			imap_pattern_init(&pattern, "", str_cstr(&out), '.');
			imap_pattern_match(&pattern, "INBOX.a.b.c");
			imap_pattern_fini(&pattern);
		}
		imap_set_fini(&set);
		str_fini(&out);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *p = (const char *)data;

	DIE_IF(frame_end(p, size, 1) != frame_end(p, size, size > 0 ? size : 1));
	DIE_IF(skip_end(p, size, 1) != skip_end(p, size, size > 0 ? size : 1));
	words(p, size);
	return 0;
}
