/* The names and protocols that a ClientHello can ask for. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/tls_choice.h"
#include "node/key_use.h"

/* From memory that ends where TEXT does. */
static bool take(const char *text, size_t len, char name[TLS_NAME_MAX], bool pattern)
{
	char *exact = mem_alloc(MAX(len, 1U));
	bool good;

	memcpy(exact, text, len);
	good = pattern ? tls_choice_pattern(exact, len, name) : tls_choice_name(exact, len, name);
	mem_free(&exact);
	return good;
}

static void test_names(void)
{
	static const struct {
		const char *text, *name; /* NULL: it is none */
	} t[] = {
		{ "mail.example.com", "mail.example.com" },
		{ "Mail.EXAMPLE.com.", "mail.example.com" },
		{ "localhost", "localhost" },
		{ "xn--mnchen-3ya.example", "xn--mnchen-3ya.example" },
		{ "_imaps._tcp.example.com", "_imaps._tcp.example.com" },
		{ "1.2.3.com", "1.2.3.com" },
		{ "192.0.2.1", NULL },
		{ "2001:db8::1", NULL },
		{ "", NULL },
		{ ".", NULL },
		{ "a..b", NULL },
		{ ".a", NULL },
		{ "a..", NULL },
		{ "-a.b", NULL },
		{ "a-.b", NULL },
		{ "a b", NULL },
		{ "a/b", NULL },
		{ "../../etc/passwd", NULL },
		{ "a\nb", NULL },
		{ "m\xc3\xbcnchen.example", NULL },
		{ "*.example.com", NULL },
		{ "a.*.com", NULL },
		{ "42", NULL },
	};
	char name[TLS_NAME_MAX];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		memset(name, 'x', sizeof(name));
		CU_ASSERT_EQUAL(take(t[i].text, strlen(t[i].text), name, false), t[i].name != NULL);
		CU_ASSERT_STRING_EQUAL(name, t[i].name != NULL ? t[i].name : "");
	}
	CU_ASSERT_FALSE(take("a.b\0.c", 6, name, false));
}

static void test_lengths(void)
{
	char text[400], name[TLS_NAME_MAX];

	for (size_t len = 1; len < sizeof(text); len++) {
		memset(text, 'a', len);
		for (size_t at = 63; at < len; at += 64)
			text[at] = '.';
		CU_ASSERT_EQUAL(take(text, len, name, false), len <= (text[len - 1] == '.' ? 254 : 253));
		memset(text, 'a', len);
		CU_ASSERT_EQUAL(take(text, len, name, false), len <= 63);
	}
}

/* Cut at every byte: each piece is a name or none, and nothing is read behind it. */
static void test_cut(void)
{
	static const char text[] = "*.Mail.example-1.com.";
	char name[TLS_NAME_MAX], again[TLS_NAME_MAX];

	for (size_t from = 0; from < sizeof(text); from++)
		for (size_t to = from; to < sizeof(text); to++)
			if (take(text + from, to - from, name, true)) {
				CU_ASSERT(strlen(name) <= to - from);
				CU_ASSERT(take(name, strlen(name), again, true));
				CU_ASSERT_STRING_EQUAL(name, again);
			}
}

static void test_patterns(void)
{
	char name[TLS_NAME_MAX];

	CU_ASSERT(tls_choice_pattern("*.Example.com", 13, name));
	CU_ASSERT_STRING_EQUAL(name, "*.example.com");
	CU_ASSERT(tls_choice_pattern("a.b", 3, name));
	CU_ASSERT_FALSE(tls_choice_pattern("*.*.com", 7, name));
	CU_ASSERT_FALSE(tls_choice_pattern("*", 1, name));
	CU_ASSERT_FALSE(tls_choice_pattern("*.", 2, name));
	CU_ASSERT_FALSE(tls_choice_pattern("*.192.0.2.1", 11, name));
	CU_ASSERT_FALSE(tls_choice_pattern("m*.example.com", 14, name));
	CU_ASSERT(tls_choice_wildcard("mail.example.com", name));
	CU_ASSERT_STRING_EQUAL(name, "*.example.com");
	CU_ASSERT_FALSE(tls_choice_wildcard("localhost", name));
}

static void test_alpn(void)
{
	static const uint8_t list[] = "\x02h2\x04imap\x05imap5";
	size_t len = sizeof(list) - 1;

	CU_ASSERT_PTR_EQUAL(tls_choice_alpn(list, len, "imap"), list + 4);
	CU_ASSERT_PTR_EQUAL(tls_choice_alpn(list, len, "imap5"), list + 9);
	CU_ASSERT_PTR_NULL(tls_choice_alpn(list, len, "ima"));
	CU_ASSERT_PTR_NULL(tls_choice_alpn(list, len, "pop3"));
	CU_ASSERT_PTR_NULL(tls_choice_alpn((const uint8_t *)"\0\0\0", 3, "imap"));
	for (size_t n = 0; n <= len; n++) {
		uint8_t *cut = mem_alloc(MAX(n, 1U));

		memcpy(cut, list, n);
		CU_ASSERT_EQUAL(tls_choice_alpn(cut, n, "imap") != NULL, n >= 8);
		mem_free(&cut);
	}
}

/* --- what a certificate is for --- */

static void test_uses(void)
{
	static const struct {
		struct key_use use;
		const char *file, *text;
	} t[] = {
		{ { PROTOCOL_IMAP, KEY_FOR_ALL, "" }, "", "imapd_ssl" },
		{ { PROTOCOL_POP3, KEY_FOR_ALL, "" }, "rsa", "pop3d_ssl all rsa" },
		{ { PROTOCOL_IMAP, KEY_FOR_NAME, "*.example.com" }, "", "imapd_ssl name *.example.com " },
		{ { PROTOCOL_IMAP, KEY_FOR_ADDRESS, "192.0.2.1" }, "ecdsa", "imapd_ssl address 192.0.2.1 ecdsa" },
		{ { PROTOCOL_IMAP, KEY_FOR_ITS_OWN, "" }, "a file.pem", "imapd_ssl its-own a file.pem" },
		{ { PROTOCOL_IMAP, KEY_FOR_PEERS, "" }, "", "proxy" },
	};
	struct key_use out;
	char text[KEY_USE_MAX];

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		CU_ASSERT(key_use_write(text, &t[i].use, t[i].file));
		CU_ASSERT_STRING_EQUAL(text, t[i].text);
		CU_ASSERT_FATAL(key_use_read(text, &out));
		CU_ASSERT(out.protocol == t[i].use.protocol && out.what == t[i].use.what);
		CU_ASSERT_STRING_EQUAL(out.name, t[i].use.name);
		for (size_t cut = 0; cut < strlen(t[i].text); cut++) {
			memcpy(text, t[i].text, cut);
			text[cut] = '\0';
			if (key_use_read(text, &out))
				CU_ASSERT(out.protocol == t[i].use.protocol);
		}
	}
	CU_ASSERT_FALSE(key_use_read("", &out));
	CU_ASSERT_FALSE(key_use_read("proxy all", &out));
	CU_ASSERT_FALSE(key_use_read("smtpd_ssl", &out));
	CU_ASSERT_FALSE(key_use_read("imapd_ssl else", &out));
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	CU_ASSERT_FALSE(key_use_write((char[KEY_USE_MAX]){ 0 }, &t[1].use, text));
}

static const struct unit_case cases[] = {
	{ "names", test_names },
	{ "lengths", test_lengths },
	{ "cut", test_cut },
	{ "patterns", test_patterns },
	{ "alpn", test_alpn },
	{ "uses", test_uses },
	{ NULL, NULL },
};
UNIT_MAIN("tls_choice", cases)
