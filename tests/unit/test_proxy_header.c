/* lib/proxy_header: what a proxy in front says, whole and in pieces. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/mem.h"
#include "lib/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define INET "\x21\x11"
#define INET6 "\x21\x21"
#define ADDRS "\xc0\x00\x02\x07\x0a\x00\x00\x01\x10\x92\x00\x8f" /* 192.0.2.7:4242 to 10.0.0.1:143 */
#define ADDRS6 "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x10\x92\x03\xe1"
#define PATH36 "/var/run/front.sock\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
#define PATHS PATH36 PATH36 PATH36 PATH36 PATH36 PATH36 /* the room of two, whatever they are */
#define TEXT(s) s, sizeof(s) - 1

struct header_case {
	const char *p;
	size_t len;
	const char
	    *client; /* "IP PORT SERVER PORT"; "": no address; NULL: it is bad; "own": not of another connection */
};

static const struct header_case cases_of_headers[] = {
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242 143\r\n"), "192.0.2.7 4242 10.0.0.1 143" },
	{ TEXT("PROXY TCP6 2001:db8::7 2001:db8::1 4242 993\r\n"), "2001:db8::7 4242 2001:db8::1 993" },
	{ TEXT("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"),
	    "255.255.255.255 65535 255.255.255.255 65535" },
	{ TEXT("PROXY UNKNOWN\r\n"), "" },
	{ TEXT("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), "" },
	{ TEXT(SIGNATURE INET "\0\x0c" ADDRS), "192.0.2.7 4242 10.0.0.1 143" },
	{ TEXT(SIGNATURE INET6 "\0\x24" ADDRS6), "2001:db8::7 4242 2001:db8::1 993" },
	/* A TLV that means nothing here, an empty one, one of 0 bytes at the end */
	{ TEXT(SIGNATURE INET "\0\x16" ADDRS "\x02\0\x01x\xee\0\0\x04\0\0"), "192.0.2.7 4242 10.0.0.1 143" },
	/* LOCAL, with and without an address; UNSPEC; UNIX */
	{ TEXT(SIGNATURE "\x20\0\0\0"), "own" },
	{ TEXT(SIGNATURE "\x20\x11\0\x0c" ADDRS), "own" },
	{ TEXT(SIGNATURE "\x21\0\0\0"), "" },
	{ TEXT(SIGNATURE "\x21\0\0\x04\x02\0\x01x"), "" },
	{ TEXT(SIGNATURE "\x21\x31\0\xdc" PATHS "\x02\0\x01x"), "" },

	{ TEXT("PROXY\r\n"), NULL },
	{ TEXT("PROXY \r\n"), NULL },
	{ TEXT("proxy TCP4 192.0.2.7 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242 143\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242 143 1\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242 143 \r\n"), NULL },
	{ TEXT("PROXY TCP4  192.0.2.7 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 65536 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 -1 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7 10.0.0.1 4242 0x8f\r\n"), NULL },
	{ TEXT("PROXY TCP4 2001:db8::7 2001:db8::1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP6 192.0.2.7 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP6 [2001:db8::7] 2001:db8::1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 host.example.com 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY TCP4 192.0.2.7\0 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY UDP4 192.0.2.7 10.0.0.1 4242 143\r\n"), NULL },
	{ TEXT("PROXY UNKNOWN "
	       "12345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012\r\n"),
	    NULL }, /* 108 bytes */
	{ TEXT("a LOGIN x y\r\n"), NULL },
	{ TEXT("\r\n\r\n\0\r\nQUIX\n" INET "\0\x0c" ADDRS), NULL },
	{ TEXT(SIGNATURE "\x11\x11\0\x0c" ADDRS), NULL }, /* version 1 */
	{ TEXT(SIGNATURE "\x22\x11\0\x0c" ADDRS), NULL }, /* a command that there is not */
	{ TEXT(SIGNATURE "\x21\x12\0\x0c" ADDRS), NULL }, /* datagrams */
	{ TEXT(SIGNATURE "\x21\x41\0\x0c" ADDRS), NULL }, /* a family that there is not */
	{ TEXT(SIGNATURE INET "\0\x0b\xc0\0\x02\x07\x0a\0\0\x01\x10\x92\0"), NULL },
	{ TEXT(SIGNATURE INET6 "\0\x0c" ADDRS), NULL },
	{ TEXT(SIGNATURE INET "\0\0"), NULL },
	{ TEXT(SIGNATURE "\x21\0\0\x05hello"), NULL }, /* nobody knows whether the client speaks TLS */
	{ TEXT(SIGNATURE "\x21\x31\0\x02xy"), NULL },
	{ TEXT(SIGNATURE INET "\0\x0d" ADDRS "\x02"), NULL },        /* half a TLV */
	{ TEXT(SIGNATURE INET "\0\x10" ADDRS "\x02\0\x02x"), NULL }, /* one that is longer than its room */
	{ TEXT(SIGNATURE INET "\0\x13" ADDRS "\x20\0\x04\x01\0\0\0"), NULL },
	{ TEXT(SIGNATURE INET "\x08\0"), NULL }, /* 2,064 bytes */
	{ TEXT(SIGNATURE INET "\xff\xff"), NULL },
};

static void expect(const struct header_case *c, enum proxy_header_state got, const struct proxy_header_facts *f)
{
	char client[NET_IP_TEXT_MAX], server[NET_IP_TEXT_MAX], text[256];

	CU_ASSERT_EQUAL(got, c->client != NULL ? PROXY_HEADER_DONE : PROXY_HEADER_BAD);
	if (got != PROXY_HEADER_DONE || c->client == NULL)
		return;
	snprintf(text, sizeof(text), "%s %u %s %u", net_addr_text(&f->client, client), f->client.port,
	    net_addr_text(&f->server, server), f->server.port);
	CU_ASSERT_EQUAL(f->proxied, strcmp(c->client, "own") != 0);
	CU_ASSERT_EQUAL(f->client.family != 0, f->proxied && c->client[0] != '\0');
	if (f->client.family != 0)
		CU_ASSERT_STRING_EQUAL(text, c->client);
}

/* In two pieces that part at CUT, with bytes of the client behind it, which stay. */
static void take_cut(const struct header_case *c, size_t cut)
{
	static const char behind[] = "\x16\x03\x01 the client's own";
	char bytes[2 * PROXY_HEADER_MAX];
	struct proxy_header h = { 0 };
	struct proxy_header_facts f;
	enum proxy_header_state got;
	size_t used, all = 0;

	memcpy(bytes, c->p, c->len);
	memcpy(bytes + c->len, behind, sizeof(behind));
	got = proxy_header_take(&h, bytes, cut, &used, &f);
	CU_ASSERT(used <= cut);
	if (got == PROXY_HEADER_MORE) {
		CU_ASSERT_EQUAL(used, cut);
		all = used;
		got = proxy_header_take(&h, bytes + all, c->len - cut + sizeof(behind), &used, &f);
	}
	all += used;
	expect(c, got, &f);
	if (got == PROXY_HEADER_DONE)
		CU_ASSERT_EQUAL(all, c->len);
}

static void test_headers(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases_of_headers); i++) {
		const struct header_case *c = &cases_of_headers[i];

		for (size_t cut = 0; cut <= c->len; cut++)
			take_cut(c, cut);
	}
}

/* What is written is read again, in any two pieces. */
static void test_written(void)
{
	static const struct {
		const char *client, *server, *read_client, *read_server;
	} t[] = {
		{ "192.0.2.7", "10.0.0.1", NULL, NULL },
		{ "2001:db8::7", "2001:db8::1", NULL, NULL },
		{ "192.0.2.7", "2001:db8::1", NULL, NULL },
		{ "2001:db8::7", "10.0.0.1", NULL, NULL },
		{ "::ffff:192.0.2.7", "::ffff:10.0.0.1", "192.0.2.7", "10.0.0.1" },
		{ "1234:5678:9abc:def0:1234:5678:9abc:def0", "255.255.255.255", NULL, NULL },
		{ "", "10.0.0.1", "", "" },
		{ "192.0.2.7", "", "", "" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (unsigned kind = 0; kind < 8; kind++) {
			unsigned version = 1 + kind % 2;
			struct proxy_header_facts f = { .tls = kind >= 2, .tls_verified = kind >= 6 };
			const char *client = t[i].read_client != NULL ? t[i].read_client : t[i].client;
			char text[256] = "";
			struct str out = STR_INIT;

			if (t[i].client[0] != '\0')
				net_addr_parse(&f.client, t[i].client, 65535);
			if (t[i].server[0] != '\0')
				net_addr_parse(&f.server, t[i].server, 143);
			if (kind >= 4) {
				strcpy(f.tls_version, "TLSv1.3");
				strcpy(f.tls_cipher, "TLS_AES_256_GCM_SHA384");
			}
			proxy_header_write(&out, version, &f);
			CU_ASSERT(proxy_header_begins(out.data, out.len));
			if (client[0] != '\0')
				snprintf(text, sizeof(text), "%s 65535 %s 143", client,
				    t[i].read_server != NULL ? t[i].read_server : t[i].server);
			for (size_t cut = 0; cut <= out.len; cut++)
				take_cut(&(struct header_case){ out.data, out.len, text }, cut);
			if (version == 2) {
				struct proxy_header h = { 0 };
				struct proxy_header_facts got = { 0 };
				size_t used;

				CU_ASSERT_EQUAL(proxy_header_take(&h, out.data, out.len, &used, &got),
				    PROXY_HEADER_DONE);
				CU_ASSERT(got.proxied && got.tls == f.tls && got.tls_verified == f.tls_verified);
				CU_ASSERT_STRING_EQUAL(got.tls_version, f.tls_version);
				CU_ASSERT_STRING_EQUAL(got.tls_cipher, f.tls_cipher);
			}
			str_fini(&out);
		}
}

static void test_byte_by_byte(void)
{
	for (size_t i = 0; i < ARRAY_LEN(cases_of_headers); i++) {
		const struct header_case *c = &cases_of_headers[i];
		enum proxy_header_state got = PROXY_HEADER_MORE;
		struct proxy_header h = { 0 };
		struct proxy_header_facts f;
		size_t at = 0, used;

		while (got == PROXY_HEADER_MORE && at < c->len)
			got = proxy_header_take(&h, c->p + at++, 1, &used, &f);
		CU_ASSERT(got != PROXY_HEADER_MORE);
		expect(c, got, &f);
	}
}

static void test_tlvs(void)
{
	static const char header[] =
	    SIGNATURE INET "\0\x38" ADDRS "\x05\0\x06id\1\n 7" /* blanks and control characters */
	                   "\x20\0\x20\x01\0\0\0\0\x21\0\x07TLSv1.3\x23\0\x08"
	                   "AES256-G\x22\0\x03"
	                   "CN7";
	static const char off[] = SIGNATURE INET "\0\x14" ADDRS "\x20\0\x05\0\0\0\0\0"; /* no TLS */
	struct proxy_header h = { 0 };
	struct proxy_header_facts f;
	size_t used;

	CU_ASSERT_EQUAL(proxy_header_take(&h, TEXT(header), &used, &f), PROXY_HEADER_DONE);
	CU_ASSERT_EQUAL(used, sizeof(header) - 1);
	CU_ASSERT_STRING_EQUAL(f.unique_id, "id???7");
	CU_ASSERT(f.tls);
	CU_ASSERT_STRING_EQUAL(f.tls_version, "TLSv1.3");
	CU_ASSERT_STRING_EQUAL(f.tls_cipher, "AES256-G");
	memset(&h, 0, sizeof(h));
	CU_ASSERT_EQUAL(proxy_header_take(&h, TEXT(off), &used, &f), PROXY_HEADER_DONE);
	CU_ASSERT(!f.tls && f.tls_version[0] == '\0' && f.unique_id[0] == '\0');
}

/* HEADER, LEN bytes, ends in an SSL TLV without texts, where CLIENT and VERIFY are put. */
static void expect_certificate(const char *header, size_t len, char client, const char verify[4], bool tls,
    bool verified)
{
	char bytes[512];
	struct proxy_header h = { 0 };
	struct proxy_header_facts f;
	size_t used;

	memcpy(bytes, header, len);
	bytes[len - 5] = client;
	memcpy(bytes + len - 4, verify, 4);
	CU_ASSERT_EQUAL(proxy_header_take(&h, bytes, len, &used, &f), PROXY_HEADER_DONE);
	CU_ASSERT_EQUAL(f.tls, tls);
	CU_ASSERT_EQUAL(f.tls_verified, verified);
}

/* A certificate counts if it was shown, now or when the session began, and was found good. Whether the client has an
 * address that can be named does not matter. */
static void test_certificate_of_client(void)
{
	static const char inet[] = SIGNATURE INET "\0\x14" ADDRS "\x20\0\x05\0\0\0\0\0";
	static const char unspec[] = SIGNATURE "\x21\0\0\x08\x20\0\x05\0\0\0\0\0";
	static const char local[] = SIGNATURE "\x21\x31\0\xe0" PATHS "\x20\0\x05\0\0\0\0\0";
	static const struct {
		char client, verify[4];
		bool tls, verified;
	} rows[] = {
		{ 0x01, "\0\0\0", true, false },
		{ 0x03, "\0\0\0", true, true },
		{ 0x05, "\0\0\0", true, true },
		{ 0x07, "\0\0\0", true, true },
		{ 0x07, { 0, 0, 0, 1 }, true, false },
		{ 0x07, { 1, 0, 0, 0 }, true, false },
		{ 0x06, "\0\0\0", false, false },
		{ 0x00, "\0\0\0", false, false },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		expect_certificate(TEXT(inet), rows[i].client, rows[i].verify, rows[i].tls, rows[i].verified);
		expect_certificate(TEXT(unspec), rows[i].client, rows[i].verify, rows[i].tls, rows[i].verified);
		expect_certificate(TEXT(local), rows[i].client, rows[i].verify, rows[i].tls, rows[i].verified);
	}
}

/* As much as a header may hold. */
static void test_long_texts(void)
{
	char bytes[PROXY_HEADER_MAX] = SIGNATURE INET "\x07\xf0" ADDRS "\x05\x07\xe1";
	struct proxy_header h = { 0 };
	struct proxy_header_facts f;
	size_t used;

	memset(bytes + 31, 'x', sizeof(bytes) - 31);
	CU_ASSERT_EQUAL(proxy_header_take(&h, bytes, sizeof(bytes), &used, &f), PROXY_HEADER_DONE);
	CU_ASSERT(used == sizeof(bytes) && strlen(f.unique_id) == PROXY_HEADER_TEXT_MAX);
}

/* Each good header is known by its beginning, whatever it says; commands are not. Nothing beyond the end is read. */
static void test_beginnings(void)
{
	static const char *const none[] = { "", "PROXY", "PROXY \r\n", "PROXY NOOP\r\n", "PROXY LOGIN TCP4 x\r\n",
		"proxy TCP4 x\r\n", "PROXYTCP4 ", "a LOGIN x y\r\n", "\r\n\r\n", "CAPA\r\n" };

	for (size_t i = 0; i < ARRAY_LEN(cases_of_headers); i++) {
		const struct header_case *c = &cases_of_headers[i];
		size_t least = c->p[0] != 'P' ? 12 : strncmp(c->p, "PROXY UNKNOWN", 13) == 0 ? 13 : 11;

		for (size_t len = 0; c->client != NULL && len <= c->len; len++) {
			char *exact = mem_memdup(c->p, len);

			CU_ASSERT_EQUAL(proxy_header_begins(exact, len), len >= least);
			mem_free(&exact);
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		CU_ASSERT_FALSE(proxy_header_begins(none[i], strlen(none[i])));
}

static const struct unit_case cases[] = { { "beginnings", test_beginnings },
	{ "headers, cut at every byte", test_headers }, { "byte by byte", test_byte_by_byte },
	{ "what is written", test_written }, { "what is told besides", test_tlvs },
	{ "a client's certificate", test_certificate_of_client }, { "texts that are too long", test_long_texts },
	{ NULL, NULL } };

UNIT_MAIN("proxy_header", cases)
