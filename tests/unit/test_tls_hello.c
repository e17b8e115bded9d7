/* The first message of a TLS client, in all pieces. */
#include "tests/unit/unit.h"

#include "lib/str.h"
#include "lib/tls_hello.h"

/* A message of LEN bytes with its head, in records of RECORD bytes. */
static void add_message(struct str *s, size_t len, size_t record, uint8_t type)
{
	uint8_t head[4] = { type, (uint8_t)((len - 4) >> 16), (uint8_t)((len - 4) >> 8), (uint8_t)(len - 4) };

	for (size_t at = 0; at < len; at += record) {
		size_t n = MIN(record, len - at);

		str_addc(s, 0x16);
		str_addc(s, 3);
		str_addc(s, 1);
		str_addc(s, (char)(n >> 8));
		str_addc(s, (char)n);
		for (size_t i = at; i < at + n; i++)
			str_addc(s, i < 4 ? (char)head[i] : 'x');
	}
}

static enum tls_hello_state all_at_once(const void *p, size_t len)
{
	struct tls_hello h = { .have = 0 };

	return tls_hello_add(&h, p, len);
}

/* In pieces of PIECE bytes. */
static enum tls_hello_state in_pieces(const char *p, size_t len, size_t piece)
{
	struct tls_hello h = { .have = 0 };
	enum tls_hello_state state = TLS_HELLO_MORE;

	for (size_t at = 0; at < len && state == TLS_HELLO_MORE; at += piece)
		state = tls_hello_add(&h, p + at, MIN(piece, len - at));
	return state;
}

static void expect(const void *p, size_t len, enum tls_hello_state state)
{
	static const size_t pieces[] = { 1, 2, 3, 7, 1000 };

	CU_ASSERT_EQUAL(all_at_once(p, len), state);
	for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
		CU_ASSERT_EQUAL(in_pieces(p, len, pieces[i]), state);
}

/* It is whole with its last byte and not before; what follows does not matter. */
static void test_whole(void)
{
	static const size_t lens[] = { 5, 6, 200, 517, 1700 }, records[] = { 1, 2, 3, 4, 100, 16384 };

	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		for (size_t j = 0; j < ARRAY_LEN(records); j++) {
			struct str s = STR_INIT;

			add_message(&s, lens[i], records[j], 1);
			for (size_t cut = 0; cut < s.len; cut++)
				CU_ASSERT_EQUAL(all_at_once(s.data, cut), TLS_HELLO_MORE);
			expect(s.data, s.len, TLS_HELLO_WHOLE);
			str_adds(&s, "GET / HTTP/1.0");
			expect(s.data, s.len, TLS_HELLO_WHOLE);
			str_fini(&s);
		}
}

/* A message as long as is allowed, and one byte longer; one in too many records. */
static void test_long(void)
{
	static const struct {
		size_t len, record;
		enum tls_hello_state state;
	} cases[] = {
		{ TLS_HELLO_MAX, 16384, TLS_HELLO_WHOLE },
		{ TLS_HELLO_MAX, 100, TLS_HELLO_WHOLE },
		{ TLS_HELLO_MAX + 1, 16384, TLS_HELLO_LONG },
		{ 0xffffff, 16384, TLS_HELLO_LONG },
		{ TLS_HELLO_MAX, 1, TLS_HELLO_LONG },
		{ 3200, 1, TLS_HELLO_WHOLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct str s = STR_INIT;

		add_message(&s, MIN(cases[i].len, (size_t)100000), cases[i].record, 1);
		if (cases[i].len == 0xffffff)
			memset(s.data + 6, 0xff, 3);
		expect(s.data, s.len, cases[i].state);
		str_fini(&s);
	}
	/* Its head is enough to know. */
	expect("\x16\x03\x01\x40\x00\x01\x00\x40\x01", 9, TLS_HELLO_LONG);
}

static void test_other(void)
{
	static const struct {
		const char *bytes;
		size_t len;
	} cases[] = {
		{ "G", 1 },
		{ "\x80", 1 },                             /* SSL 2 */
		{ "\x15", 1 },                             /* an alert */
		{ "\x17\x03\x03\x00\x10", 5 },             /* data */
		{ "\x16\x02", 2 },                         /* a version that was never there */
		{ "\x16\x03\x01\x00\x00", 5 },             /* an empty record */
		{ "\x16\x03\x01\x40\x01", 5 },             /* a record too long */
		{ "\x16\x03\x01\x00\x04\x02", 6 },         /* a server's hello */
		{ "\x16\x03\x01\x00\x02\x01\x00\x17", 8 }, /* cut by a record of data */
		{ "\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x00", 12 },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect(cases[i].bytes, cases[i].len, TLS_HELLO_OTHER);
}

static const struct unit_case cases[] = {
	{ "whole", test_whole },
	{ "long", test_long },
	{ "other", test_other },
	{ NULL, NULL },
};
UNIT_MAIN("tls_hello", cases)
