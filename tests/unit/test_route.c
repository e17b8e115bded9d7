/* Where an account's mail is: every form of mailhost, valid and invalid. */
#include "tests/unit/unit.h"

#include <string.h>

#include "lib/mem.h"
#include "proxy/route.h"

/* Names the row at which it failed. */
#define ASSERT_AT(condition, row) CU_assertImplementation(condition, __LINE__, row, __FILE__, "", CU_FALSE)

static void test_route(void)
{
	static const char *const self[2] = { "nodea.example.com", "nodea" };
	static const struct route_protocol ports[] = {
		{ "imap", 143, 0, 4, { 143, 993, 2143, 7000 } },
		{ "pop3", 110, 0, 4, { 110, 995, 2110, 7000 } },
	};
	static const struct {
		const char *mailhost;
		bool on, ok;
		unsigned n;
		const char *name;
		uint16_t port;
		bool self;
	} t[] = {
		{ NULL, true, true, 0, NULL, 0, false },
		{ "", true, true, 0, NULL, 0, false },
		{ "  ", true, true, 0, NULL, 0, false },
		{ "nodeb", false, true, 0, NULL, 0, false },
		{ "nodea", true, true, 0, NULL, 0, false },
		{ "NODEA.Example.COM.", true, true, 0, NULL, 0, false },
		{ "nodea nodea.example.com", true, true, 0, NULL, 0, false },
		{ "nodea:1143", true, true, 0, NULL, 0, false },
		{ "nodeb", true, true, 1, "nodeb", 143, false },
		{ "nodeb.", true, true, 1, "nodeb", 143, false },
		{ "nodeb:1143", true, true, 1, "nodeb", 1143, false },
		{ "127.0.0.2:1143", true, true, 1, "127.0.0.2", 1143, false },
		{ "2001:db8::2", true, true, 1, "2001:db8::2", 143, false },
		{ "[2001:db8::2]", true, true, 1, "2001:db8::2", 143, false },
		{ "[2001:db8::2]:1143", true, true, 1, "2001:db8::2", 1143, false },
		{ "nodea nodeb", true, true, 2, "nodea", 143, true },
		{ "  nodeb   nodea ", true, true, 2, "nodeb", 143, false },
		{ "nodeax", true, true, 1, "nodeax", 143, false },
		{ "nodeb:", true, false, 0, NULL, 0, false },
		{ "nodeb:0", true, false, 0, NULL, 0, false },
		{ "nodeb:65536", true, false, 0, NULL, 0, false },
		{ "nodeb:x", true, false, 0, NULL, 0, false },
		{ ":143", true, false, 0, NULL, 0, false },
		{ "[::1", true, false, 0, NULL, 0, false },
		{ "[::1]x", true, false, 0, NULL, 0, false },
		{ "-b", true, false, 0, NULL, 0, false },
		{ "no\"de", true, false, 0, NULL, 0, false },
		{ "node\r\nX", true, false, 0, NULL, 0, false },
		{ "a b c d e f g h i", true, false, 0, NULL, 0, false },
	};
	struct route r;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct route_rules rules = {
			.protocols = ports,
			.nprotocols = 2,
			.proxy_on = t[i].on,
			.self = { self[0], self[1] },
		};

		CU_ASSERT_EQUAL(route_decide(&r, t[i].mailhost, &rules), t[i].ok);
		CU_ASSERT_PTR_NOT_NULL(r.why);
		if (!t[i].ok)
			continue;
		CU_ASSERT_EQUAL(r.n, t[i].n);
		if (t[i].n == 0 || r.n == 0)
			continue;
		CU_ASSERT_STRING_EQUAL(r.host[0].name, t[i].name);
		CU_ASSERT_EQUAL(r.host[0].port, t[i].port);
		CU_ASSERT_EQUAL(r.host[0].self, t[i].self);
	}
}

/* The port of each of two protocols (0: mailhost is malformed), and its source. */
static void test_route_ports(void)
{
	static const struct route_protocol ports[] = {
		{ "imap", 143, 0, 4, { 143, 993, 2143, 7000 } },
		{ "pop3", 110, 0, 4, { 110, 995, 2110, 7000 } },
	};
	enum {
		U = ROUTE_PORT_DEFAULT,
		N = ROUTE_PORT_NAMED,
		K = ROUTE_PORT_KNOWN,
		S = ROUTE_PORT_SHARED,
		O = ROUTE_PORT_OTHERS
	};
	static const struct {
		const char *mailhost;
		uint16_t port[2];
		unsigned from[2];
		const char *name;
	} t[] = {
		{ "b", { 143, 110 }, { U, U }, "b" },
		{ "b:imap=1143", { 1143, 110 }, { N, U }, "b" },
		{ "b:pop3=1110", { 143, 1110 }, { U, N }, "b" },
		{ "b:imap=1143:pop3=1110", { 1143, 1110 }, { N, N }, "b" },
		{ "b:POP3=1110:Imap=1143", { 1143, 1110 }, { N, N }, "b" },
		{ "b.:imap=1143", { 1143, 110 }, { N, U }, "b" },
		{ "b:imap=110", { 110, 110 }, { N, U }, "b" }, /* a named port is used as it is */
		{ "b:1143", { 1143, 1143 }, { S, S }, "b" },
		{ "b:143", { 143, 110 }, { K, O }, "b" },
		{ "b:110", { 143, 110 }, { O, K }, "b" },
		{ "b:995", { 143, 995 }, { O, K }, "b" },
		{ "b:2143", { 2143, 110 }, { K, O }, "b" },
		{ "b:7000", { 7000, 7000 }, { K, K }, "b" }, /* both serve there: on addresses of their own */
		{ "[2001:db8::2]:imap=1143:pop3=1110", { 1143, 1110 }, { N, N }, "2001:db8::2" },
		{ "[2001:db8::2]:2110", { 143, 2110 }, { O, K }, "2001:db8::2" },
		{ "2001:db8::2", { 143, 110 }, { U, U }, "2001:db8::2" },
		{ "a:imap=1 b:imap=2", { 1, 110 }, { N, U }, "a" },
		{ "2001:db8::2:imap=1143", { 0, 0 }, { U, U }, "" },
		{ "b:imap", { 0, 0 }, { U, U }, "" },
		{ "b:imap=", { 0, 0 }, { U, U }, "" },
		{ "b:imap=0", { 0, 0 }, { U, U }, "" },
		{ "b:imap=65536", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1:", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1:imap=2", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1:IMAP=1", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1:2", { 0, 0 }, { U, U }, "" },
		{ "b:2:imap=1", { 0, 0 }, { U, U }, "" },
		{ "b:=1", { 0, 0 }, { U, U }, "" },
		{ "b:=", { 0, 0 }, { U, U }, "" },
		{ "b=1", { 0, 0 }, { U, U }, "" },
		{ "=", { 0, 0 }, { U, U }, "" },
		{ ":imap=1", { 0, 0 }, { U, U }, "" },
		{ "[]:imap=1", { 0, 0 }, { U, U }, "" },
		{ "b:impa=1", { 0, 0 }, { U, U }, "" },
		{ "b:ima=1", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1x", { 0, 0 }, { U, U }, "" },
		{ "b:imap==1", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1=2", { 0, 0 }, { U, U }, "" },
		{ "b:imap=1;pop3=2", { 0, 0 }, { U, U }, "" },
	};
	struct route r;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (unsigned p = 0; p < 2; p++) {
			struct route_rules rules = {
				.protocols = ports,
				.nprotocols = 2,
				.protocol = p,
				.proxy_on = true,
				.self = { "self", "" },
			};
			bool ok = route_decide(&r, t[i].mailhost, &rules);

			ASSERT_AT(ok == (t[i].port[p] != 0), t[i].mailhost);
			if (!ok)
				continue;
			ASSERT_AT(r.host[0].port == t[i].port[p] && r.host[0].source == t[i].from[p], t[i].mailhost);
			ASSERT_AT(strcmp(r.host[0].name, t[i].name) == 0, t[i].mailhost);
		}
}

/* A mailhost that was cut leads to the port that is left, or nowhere; nothing beyond its end is read. */
static void test_route_cut(void)
{
	static const char whole[] = "nodeb:imap=1143:pop3=1110 [2001:db8::2]:pop3=99 nodec:2143";
	static const struct route_protocol ports[] = { { "imap", 143, 0, 1, { 143 } }, { "pop3", 110, 0, 1, { 110 } } };
	struct route_rules rules = {
		.protocols = ports,
		.nprotocols = 2,
		.proxy_on = true,
		.self = { "self", "" },
	};
	struct route r;

	for (size_t len = 0; len <= strlen(whole); len++) {
		char *cut = mem_alloc(len + 1); /* of exact size, so that a sanitizer sees a read beyond it */

		memcpy(cut, whole, len);
		cut[len] = '\0';
		for (rules.protocol = 0; rules.protocol < 2; rules.protocol++) {
			bool ok = route_decide(&r, cut, &rules);

			CU_ASSERT_PTR_NOT_NULL(r.why);
			for (unsigned i = 0; ok && i < r.n; i++)
				CU_ASSERT(r.host[i].port != 0 && r.host[i].name[0] != '\0');
			if (len == strlen(whole))
				CU_ASSERT(ok && r.n == 3 && r.host[0].port == (rules.protocol == 0 ? 1143 : 1110));
		}
		mem_free(&cut);
	}
}

/* Whether mailhost names another node first: also where nothing is forwarded, whether it is well-formed or not. */
static void test_route_later(void)
{
	static const struct {
		const char *mailhost;
		bool later;
	} t[] = { { NULL, false }, { " \t", false }, { "self", false }, { "self self:99", false },
		{ "SELF. nodeb", false }, { "self:x", true }, { "nodeb", true }, { " nodeb self", true },
		{ "nodeb:x self", true }, { ":143", true } };
	static const struct route_protocol ports[] = { { "imap", 143, 0, 1, { 143 } } };
	struct route r;

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (unsigned on = 0; on < 2; on++) {
			const struct route_rules rules = { .protocols = ports,
				.nprotocols = 1,
				.proxy_on = on != 0,
				.self = { "self", "" } };

			if (route_decide(&r, t[i].mailhost, &rules))
				ASSERT_AT(r.later == t[i].later, t[i].mailhost);
			else
				ASSERT_AT(on != 0 && strchr(t[i].mailhost, ':') != NULL, t[i].mailhost);
		}
}

static const struct unit_case cases[] = {
	{ "route", test_route },
	{ "ports", test_route_ports },
	{ "cut at every byte", test_route_cut },
	{ "another node is first", test_route_later },
	{ NULL, NULL },
};

UNIT_MAIN("route", cases)
