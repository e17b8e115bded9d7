/* The parts of pop3d/ that need no mailbox. */
#include "settings/capability.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "pop3d/pop3_capa.h"
#include "pop3d/pop3_dots.h"
#include "pop3d/pop3_line.h"

static const struct {
	const char *name, *in;
	uint64_t lines;
	const char *out;
} dots[] = {
	{ "empty", "", UINT64_MAX, ".\r\n" },
	{ "LF", "a: b\n\nx\ny\n", UINT64_MAX, "a: b\r\n\r\nx\r\ny\r\n.\r\n" },
	{ "CRLF stays", "a: b\r\n\r\nx\r\n", UINT64_MAX, "a: b\r\n\r\nx\r\n.\r\n" },
	{ "no last LF", "a\n\nx", UINT64_MAX, "a\r\n\r\nx\r\n.\r\n" },
	{ "last CR alone", "a\n\nx\r", UINT64_MAX, "a\r\n\r\nx\r\n.\r\n" },
	{ "CR within", "a\rb\r\r\n", UINT64_MAX, "a\rb\r\r\n.\r\n" },
	{ "dots", ".\n..\n.x\na.\n.", UINT64_MAX, "..\r\n...\r\n..x\r\na.\r\n..\r\n.\r\n" },
	{ "dot CRLF", ".\r\n\r\n.\r\n", UINT64_MAX, "..\r\n\r\n..\r\n.\r\n" },
	{ "dot after a lone CR", "a\r.\n\r.\n", UINT64_MAX, "a\r.\r\n\r.\r\n.\r\n" },
	{ "TOP 0", "a: b\nc: d\n\nx\ny\n", 0, "a: b\r\nc: d\r\n\r\n.\r\n" },
	{ "TOP 1", "a: b\n\nx\ny\n", 1, "a: b\r\n\r\nx\r\n.\r\n" },
	{ "TOP 2, all there is", "a: b\n\nx\ny\n", 2, "a: b\r\n\r\nx\r\ny\r\n.\r\n" },
	{ "TOP many", "a: b\n\nx\ny", UINT64_MAX - 1, "a: b\r\n\r\nx\r\ny\r\n.\r\n" },
	{ "TOP, CRLF, dots", "a: b\r\n\r\n.x\r\n.y\r\n.z\r\n", 2, "a: b\r\n\r\n..x\r\n..y\r\n.\r\n" },
	{ "TOP without body", "a: b\nc: d\n", 1, "a: b\r\nc: d\r\n.\r\n" },
	{ "TOP without header", "\nx\ny\n", 1, "\r\nx\r\n.\r\n" },
	{ "TOP counts empty lines", "a\n\n\n\nx\n", 2, "a\r\n\r\n\r\n\r\n.\r\n" },
	{ "CR CR LF is no empty line", "a\r\n\r\r\nb\n\nx\n", 0, "a\r\n\r\r\nb\r\n\r\n.\r\n" },
};

/* Feeds IN in two pieces, or (cut SIZE_MAX) byte by byte. */
static size_t feed(const char *in, size_t len, size_t cut, uint64_t lines, char *out)
{
	struct pop3_dots d;
	size_t n = 0;

	pop3_dots_init(&d, lines);
	if (cut == SIZE_MAX)
		for (size_t i = 0; i < len; i++)
			n += pop3_dots_feed(&d, in + i, 1, out + n);
	else
		n += pop3_dots_feed(&d, in, cut, out), n += pop3_dots_feed(&d, in + cut, len - cut, out + n);
	return n + pop3_dots_end(&d, out + n);
}

static void test_dots(void)
{
	char out[256];

	for (size_t i = 0; i < ARRAY_LEN(dots); i++) {
		size_t len = strlen(dots[i].in), want = strlen(dots[i].out), n;

		for (size_t cut = 0; cut <= len + 1; cut++) {
			n = feed(dots[i].in, len, cut <= len ? cut : SIZE_MAX, dots[i].lines, out);
			if (n != want || memcmp(out, dots[i].out, n) != 0)
				printf("\n%s, cut at %zu: \"%.*s\"\n", dots[i].name, cut, (int)n, out);
			CU_ASSERT(n == want && memcmp(out, dots[i].out, n) == 0);
		}
	}
}

/* The worst input needs exactly the documented room. */
static void test_dots_room(void)
{
	char in[64], *out = malloc(2 * sizeof(in));
	struct pop3_dots d;

	for (size_t i = 0; i < sizeof(in); i += 2)
		memcpy(in + i, ".\n", 2);
	pop3_dots_init(&d, UINT64_MAX);
	CU_ASSERT_EQUAL(pop3_dots_feed(&d, in, sizeof(in), out), 2 * sizeof(in));
	free(out);
}

static void test_line(void)
{
	static const struct {
		const char *in;
		bool ok;
		const char *verb;
		unsigned args;
		const char *last;
	} t[] = {
		{ "STAT", true, "STAT", 0, NULL },
		{ "stat", true, "STAT", 0, NULL },
		{ "sTaT  ", true, "STAT", 0, NULL },
		{ "TOP 1 10", true, "TOP", 2, "10" },
		{ "  TOP  1   10 ", true, "TOP", 2, "10" },
		{ "UTF8", true, "UTF8", 0, NULL },
		{ "LIST -1", true, "LIST", 1, "-1" },
		{ "TOP 1 2 3", false, NULL, 0, NULL },
		{ "", false, NULL, 0, NULL },
		{ "   ", false, NULL, 0, NULL },
		{ "RETR\t1", false, NULL, 0, NULL },
		{ "RETR 1\r", false, NULL, 0, NULL },
		{ "ABCDEFGH", false, NULL, 0, NULL },
		{ "XCLIENT a", true, "XCLIENT", 1, "a" },
		{ "ST*T", false, NULL, 0, NULL },
		{ "RETR \303\244", false, NULL, 0, NULL },
		{ "RETR 1\177", false, NULL, 0, NULL },
	};
	char text[64];
	struct pop3_line l;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		memcpy(text, t[i].in, strlen(t[i].in) + 1);
		CU_ASSERT_EQUAL(pop3_line_parse(&l, text, strlen(t[i].in)), t[i].ok);
		if (!t[i].ok)
			continue;
		CU_ASSERT_STRING_EQUAL(l.verb, t[i].verb);
		CU_ASSERT_EQUAL_FATAL(l.args, t[i].args);
		if (t[i].last != NULL)
			CU_ASSERT_STRING_EQUAL(l.arg[l.args - 1], t[i].last);
	}
	memcpy(text, "NOOP\0RETR", 10);
	CU_ASSERT(!pop3_line_parse(&l, text, 9)); /* a NUL within */
}

static void test_capa(void)
{
	struct str before = STR_INIT, after = STR_INIT;

	pop3_capa(&before, "TOP x UTF8 pipelining", "PLAIN APOP LOGIN");
	pop3_capa(&after, capability_ours(PROTOCOL_POP3), NULL);
	CU_ASSERT_PTR_NOT_NULL(strstr(before.data, "SASL PLAIN LOGIN\r\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(before.data, "\r\nUSER\r\n"));
	CU_ASSERT_STRING_EQUAL(before.data,
	    "SASL PLAIN LOGIN\r\nUSER\r\nTOP\r\nUTF8 USER\r\nPIPELINING\r\nIMPLEMENTATION Waypost\r\n");
	CU_ASSERT_PTR_NULL(strstr(after.data, "SASL"));
	CU_ASSERT_PTR_NULL(strstr(after.data, "\r\nUSER\r\n"));
	CU_ASSERT_PTR_NOT_NULL(strstr(after.data, "\r\nPIPELINING\r\n"));
	CU_ASSERT_STRING_EQUAL(after.data + after.len - 2, "\r\n");
	str_fini(&before);
	str_fini(&after);
}

static const struct unit_case cases[] = {
	{ "messages with dots, cut at every byte", test_dots },
	{ "room for dots", test_dots_room },
	{ "command lines", test_line },
	{ "CAPA", test_capa },
	{ NULL, NULL },
};
UNIT_MAIN("pop3", cases)
