/* imapd/imap_lex: words and literals, cut at every byte. */
#include <string.h>

#include "imapd/imap_lex.h"
#include "tests/unit/unit.h"

enum kind { TAG, ATOM, NAME, STRING, ASTRING, PATTERN, FLAG, SET, NUMBER, END };

static int take(enum kind kind, struct imap_lex *l, struct str *out)
{
	uint64_t n;
	int got;

	switch (kind) {
	case TAG:
		return imap_lex_tag(l, out);
	case ATOM:
		return imap_lex_atom(l, out);
	case NAME:
		return imap_lex_name(l, out);
	case STRING:
		return imap_lex_string(l, out);
	case ASTRING:
		return imap_lex_astring(l, out);
	case PATTERN:
		return imap_lex_pattern(l, out);
	case FLAG:
		return imap_lex_flag(l, out);
	case SET:
		return imap_lex_set(l, out);
	case NUMBER:
		got = imap_lex_number(l, UINT32_MAX, &n);
		if (got == 1) {
			str_clear(out);
			str_addf(out, "%llu", (unsigned long long)n);
		}
		return got;
	case END:
		return imap_lex_end(l);
	}
	return -1;
}

static const struct {
	enum kind kind;
	const char *in;
	int got;
	const char *out;
	size_t pos;
} words[] = {
	{ TAG, "a1 ", 1, "a1", 2 },
	{ TAG, "a]b ", 1, "a]b", 3 },
	{ TAG, "+ ", -1, "", 0 },
	{ TAG, "a+ ", 1, "a", 1 },
	{ TAG, " x", -1, "", 0 },
	{ TAG, "abc", 0, "", 0 },
	{ TAG, "*\r\n", -1, "", 0 },
	{ ATOM, "Foo\r\n", 1, "Foo", 3 },
	{ ATOM, "a]", 1, "a", 1 },
	{ ATOM, "\x80 ", -1, "", 0 },
	{ ATOM, "(", -1, "", 0 },
	{ NAME, "login ", 1, "LOGIN", 5 },
	{ NAME, "body.peek[", 1, "BODY.PEEK", 9 },
	{ NAME, "(x", -1, "", 0 },
	{ STRING, "\"a b\" ", 1, "a b", 5 },
	{ STRING, "\"\"", 1, "", 2 },
	{ STRING, "\"a\\\"\\\\\"", 1, "a\"\\", 7 },
	{ STRING, "\"a\\x\"", -1, "", 0 },
	{ STRING, "\"a\r\n\"", -1, "", 0 },
	{ STRING, "\"abc", 0, "", 0 },
	{ STRING, "\"\xc3\xa4\"", 1, "\xc3\xa4", 4 },
	{ STRING, "{3}\r\na\r\n)", 1, "a\r\n", 8 },
	{ STRING, "{3+}\r\nabc ", 1, "abc", 9 },
	{ STRING, "{0}\r\n", 1, "", 5 },
	{ STRING, "{3}\nabc", 1, "abc", 7 },
	{ STRING, "{3}\r\nab", 0, "", 0 },
	{ STRING, "{3", 0, "", 0 },
	{ STRING, "{}\r\n", -1, "", 0 },
	{ STRING, "{-1}\r\n", -1, "", 0 },
	{ STRING, "{+}\r\n", -1, "", 0 },
	{ STRING, "{99999}\r\n", -1, "", 0 },
	{ STRING, "{99999999999999999999999}\r\n", -1, "", 0 },
	{ STRING, "{000000000000000000000000000000000000001}\r\na", -1, "", 0 },
	{ ASTRING, "a]b)", 1, "a]b", 3 },
	{ ASTRING, "\"x\"", 1, "x", 3 },
	{ ASTRING, "%", -1, "", 0 },
	{ PATTERN, "INBOX.%*\r", 1, "INBOX.%*", 8 },
	{ PATTERN, "\"*\"", 1, "*", 3 },
	{ FLAG, "\\Seen)", 1, "\\Seen", 5 },
	{ FLAG, "$Junk ", 1, "$Junk", 5 },
	{ FLAG, "\\*)", -1, "", 0 },
	{ FLAG, "\\", 0, "", 0 },
	{ SET, "1:*,4 ", 1, "1:*,4", 5 },
	{ SET, "x", -1, "", 0 },
	{ NUMBER, "12)", 1, "12", 2 },
	{ NUMBER, "4294967296 ", -1, "", 0 },
	{ NUMBER, "12", 0, "", 0 },
	{ NUMBER, "-1 ", -1, "", 0 },
	{ NUMBER, "99999999999999999999999999 ", -1, "", 0 },
	{ END, "\r\n", 1, "", 2 },
	{ END, "\n", 1, "", 1 },
	{ END, "  \r\n", 1, "", 4 },
	{ END, " x", -1, "", 0 },
	{ END, "\r", 0, "", 0 },
	{ END, "\rx", -1, "", 0 },
};

static void test_words(void)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct str out = STR_INIT;
		struct imap_lex l;
		int got;

		imap_lex_init(&l, words[i].in, strlen(words[i].in));
		got = take(words[i].kind, &l, &out);
		if (got != words[i].got || l.pos != words[i].pos ||
		    (got == 1 && strcmp(str_cstr(&out), words[i].out) != 0))
			fprintf(stderr, "case %zu %s: %d %zu %s\n", i, words[i].in, got, l.pos, str_cstr(&out));
		CU_ASSERT_EQUAL(got, words[i].got);
		CU_ASSERT_EQUAL(l.pos, words[i].pos);
		CU_ASSERT_STRING_EQUAL(str_cstr(&out), words[i].got == 1 ? words[i].out : "");
		str_fini(&out);
	}
}

/* Once a cut is long enough to recognise a word, every longer one gives the same result. */
static void test_words_cut(void)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		size_t len = strlen(words[i].in);
		bool settled = false;

		for (size_t cut = 0; cut <= len; cut++) {
			struct str out = STR_INIT;
			struct imap_lex l;
			int got;

			imap_lex_init(&l, words[i].in, cut);
			got = take(words[i].kind, &l, &out);
			if (got != 0)
				settled = true;
			if (settled) {
				CU_ASSERT_EQUAL(got, words[i].got);
				CU_ASSERT_EQUAL(l.pos, words[i].pos);
			} else {
				CU_ASSERT_EQUAL(l.pos, 0);
			}
			str_fini(&out);
		}
		CU_ASSERT_EQUAL(settled, words[i].got != 0);
	}
}

static void test_nul(void)
{
	struct str out = STR_INIT;
	struct imap_lex l;

	imap_lex_init(&l, "a\0b ", 4);
	CU_ASSERT_EQUAL(imap_lex_atom(&l, &out), 1);
	CU_ASSERT_EQUAL(imap_lex_space(&l), -1);
	imap_lex_init(&l, "\"a\0b\"", 5);
	CU_ASSERT_EQUAL(imap_lex_string(&l, &out), -1);
	imap_lex_init(&l, "{1}\r\n\0", 6);
	CU_ASSERT_EQUAL(imap_lex_string(&l, &out), -1);
	str_fini(&out);
}

static void test_long_words(void)
{
	struct str in = STR_INIT, out = STR_INIT;
	struct imap_lex l;

	for (size_t i = 0; i < IMAP_WORD_MAX; i++)
		str_addc(&in, '7');
	str_addc(&in, ' ');
	imap_lex_init(&l, in.data, in.len);
	CU_ASSERT_EQUAL(imap_lex_atom(&l, &out), 1);
	CU_ASSERT_EQUAL(out.len, IMAP_WORD_MAX);
	in.data[in.len - 1] = '7';
	imap_lex_init(&l, in.data, in.len);
	CU_ASSERT_EQUAL(imap_lex_atom(&l, &out), -1);
	CU_ASSERT_EQUAL(imap_lex_tag(&l, &out), -1);
	CU_ASSERT_EQUAL(imap_lex_set(&l, &out), 0);
	in.data[0] = '"';
	CU_ASSERT_EQUAL(imap_lex_string(&l, &out), 0);
	str_addc(&in, '7');
	imap_lex_init(&l, in.data, in.len);
	CU_ASSERT_EQUAL(imap_lex_string(&l, &out), -1);
	str_fini(&in);
	str_fini(&out);
}

static const struct imap_frame_limits limits = { 64, 20 };

/* Feeds IN in pieces of STEP bytes; appends one letter per event. */
static void frame_run(const char *in, size_t step, struct str *events, size_t *pos)
{
	struct imap_frame f = { 0 };
	size_t len = strlen(in), have = 0;
	enum imap_frame_result got = IMAP_FRAME_MORE;

	str_clear(events);
	for (;;) {
		got = imap_frame_next(&f, in, have, &limits);
		if (got == IMAP_FRAME_MORE) {
			if (have == len)
				break;
			have = MIN(len, have + step);
			continue;
		}
		str_addc(events, "MDLXB"[got]);
		if (got == IMAP_FRAME_LITERAL) {
			str_addf(events, "%llu%s", (unsigned long long)f.literal, f.sync ? "" : "+");
			continue;
		}
		break;
	}
	if (got == IMAP_FRAME_MORE)
		str_addc(events, 'M');
	*pos = f.pos;
}

static const struct {
	const char *in, *events;
	size_t pos;
} frames[] = {
	{ "a NOOP\r\nb", "D", 8 },
	{ "a NOOP\nb", "D", 7 },
	{ "a NOOP", "M", 6 },
	{ "\r\n", "D", 2 },
	{ "a LOGIN {3}\r\nabc {2+}\r\n\r\n\r\nx", "L3L2+D", 27 },
	{ "a X {0}\r\n\r\n", "L0D", 11 },
	{ "a X {3}\r\nab", "L3M", 11 },
	{ "a x{3}\r\n", "D", 8 },
	{ "a ({3}\r\nabc)\r\n", "L3D", 14 },
	{ "{3}\r\n", "D", 5 },
	{ "a ~{3+}\r\nx\r\n\r\n", "L3+D", 14 },
	{ "a (~{3+}\r\nx\r\n)\r\n", "L3+D", 16 },
	{ "a ~{3}\r\nb", "D", 8 },
	{ "~{3+}\r\n", "D", 7 },
	{ "a x~{3+}\r\n", "D", 10 },
	{ "a ~~{3+}\r\n", "D", 10 },
	{ "a {3} \r\n", "D", 8 },
	{ "a {}\r\n", "D", 6 },
	{ "a {21}\r\n", "B", 8 },
	{ "a {18}\r\n123456789012345678 {3}\r\n", "L18B", 32 },
	{ "a {99999999999999999999999999}\r\n", "B", 32 },
	{ "0123456789012345678901234567890123456789012345678901234567890123456789", "X", 0 },
	{ "01234567890123456789012345678901234567890123456789 {1}\r\na01234567890123456789\r\n", "L1X", 0 },
};

/* A skipped command ends where its frame ends. */
static void test_skip(void)
{
	static const struct {
		const char *in;
		size_t end;
	} rows[] = {
		{ "x y\r\nz", 5 },
		{ "\nz", 1 },
		{ "x {3+}\r\na\nb\r\nz", 13 },
		{ "x {3+}\r\na\nb {2+}\r\n\r\n {0+}\r\n \n", 29 },
		{ "x ~{3+}\r\na\nb\r\nz", 14 },
		{ "x ~{3}\r\nz", 8 },
		{ "x {3}\r\nz", 7 },
		{ "x{3+}\r\nz", 7 },
		{ "x {+}\nz", 6 },
		{ "x ({1+}\n\n\n", 10 },
		{ "x {3+} \r\nz", 9 },
		{ "0123456789012345678901234567890123456789012345678901234567890123456789 {1+}\r\n\n\nz", 79 },
		{ "x {00000000000000000001+}\r\n\n\nz", 29 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		for (size_t step = 1; step <= strlen(rows[i].in); step++) {
			struct imap_skip k = { 0 };
			size_t at = 0, len = strlen(rows[i].in);
			bool over = false;

			while (!over && at < len)
				at += imap_skip_next(&k, rows[i].in + at, MIN(step, len - at), &over);
			CU_ASSERT(over);
			CU_ASSERT_EQUAL(at, rows[i].end);
			CU_ASSERT_EQUAL(k.passed, rows[i].end);
		}
}

static void test_frames(void)
{
	for (size_t i = 0; i < ARRAY_LEN(frames); i++)
		for (size_t step = 1; step <= strlen(frames[i].in); step++) {
			struct str events = STR_INIT;
			size_t pos;

			frame_run(frames[i].in, step, &events, &pos);
			CU_ASSERT_STRING_EQUAL(str_cstr(&events), frames[i].events);
			if (frames[i].pos > 0)
				CU_ASSERT_EQUAL(pos, frames[i].pos);
			str_fini(&events);
		}
}

static void test_literal_head(void)
{
	struct imap_lex l;
	uint64_t size = 0;
	bool sync = false;

	imap_lex_init(&l, "{123456789+}\r\nx", 15);
	CU_ASSERT_EQUAL(imap_lex_literal(&l, &size, &sync), 1);
	CU_ASSERT_EQUAL(size, 123456789);
	CU_ASSERT_FALSE(sync);
	CU_ASSERT_EQUAL(l.pos, 14);
	CU_ASSERT(imap_is_atom("abc", 3));
	CU_ASSERT_FALSE(imap_is_atom("a c", 3));
	CU_ASSERT_FALSE(imap_is_atom("", 0));
}

static const struct unit_case cases[] = { { "words", test_words }, { "words cut at every byte", test_words_cut },
	{ "NUL", test_nul }, { "long words", test_long_words }, { "frames cut at every byte", test_frames },
	{ "commands passed over, cut at every byte", test_skip }, { "literal announcement", test_literal_head },
	{ NULL, NULL } };
UNIT_MAIN("imap_lex", cases)
