/* What people and monitors say of peers: the lines, the files, and what counts. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "authd/orders.h"
#include "authd/peers.h"
#include "lib/clock.h"
#include "lib/mem.h"
#include "master/peer_command.h"
#include "tests/unit/logged.h"

/* Names the row at which it failed. */
#define ASSERT_AT(condition, row) CU_assertImplementation(condition, __LINE__, row, __FILE__, "", CU_FALSE)

static char folder[] = "/tmp/test_orders.XXXXXX", path[64], monitor[64];

static void test_lines(void)
{
	static const struct {
		const char *line, *again; /* NULL: it is refused */
	} t[] = {
		{ "nodeb down", "nodeb down" },
		{ "\t NodeB.example.com.\tDRAIN ", "NodeB.example.com drain" },
		{ "nodeb:143 up", "nodeb:143 up" },
		{ "nodeb:143 imap down since=1700000000", "nodeb:143 imap down since=1700000000" },
		{ "nodeb POP3 drain", "nodeb pop3 drain" },
		{ "192.0.2.7 down", "192.0.2.7 down" },
		{ "192.0.2.7:993 imap down", "192.0.2.7:993 imap down" },
		{ "2001:db8::7 down", "2001:db8::7 down" },
		{ "[2001:db8::7] down", "2001:db8::7 down" },
		{ "[2001:db8::7]:143 down", "[2001:db8::7]:143 down" },
		{ "up down", "up down" },
		{ "imap down", "imap down" },
		{ "down", NULL },
		{ "nodeb", NULL },
		{ "nodeb imap", NULL },
		{ "nodeb dead", NULL },
		{ "nodeb down down", NULL },
		{ "nodeb down imap", NULL },
		{ "nodeb lmtp down", NULL },
		{ "nodeb imap pop3 down", NULL },
		{ "nodeb: down", NULL },
		{ "nodeb:0 down", NULL },
		{ "nodeb:65536 down", NULL },
		{ "nodeb:+1 down", NULL },
		{ "nodeb:imap=143 down", NULL },
		{ ":143 down", NULL },
		{ "[2001:db8::7 down", NULL },
		{ "[2001:db8::7]x down", NULL },
		{ "2001:db8::x down", NULL },
		{ "-nodeb down", NULL },
		{ ".example.com down", NULL },
		{ "no/de down", NULL },
		{ "node\x01 down", NULL },
		{ "nodeb down since=", NULL },
		{ "nodeb down since=x", NULL },
		{ "nodeb down since=99999999999", NULL },
		{ "nodeb down since=1 x", NULL },
		{ "", NULL },
	};
	struct str again = STR_INIT;
	struct peer_order o;
	const char *why;

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		bool good = peer_order_parse(&o, t[i].line, strlen(t[i].line), &why);

		ASSERT_AT(good == (t[i].again != NULL), t[i].line);
		str_clear(&again);
		if (good)
			peer_order_write(&o, &again);
		ASSERT_AT(strcmp(str_cstr(&again), good ? t[i].again : "") == 0, t[i].line);
	}
	CU_ASSERT(!peer_order_parse(&o, "node\0b down", 11, &why) && !peer_order_parse(&o, "b down\0", 7, &why));
	str_fini(&again);
}

static const struct net_addr *addr(const char *text)
{
	static struct net_addr a;

	CU_ASSERT_FATAL(net_addr_parse(&a, text, 7));
	return &a;
}

static void test_about(void)
{
	static const char text[] = "nodeb drain\nNODEB.:143 imap down\n# comment down\n\n192.0.2.7 drain\r\n"
	                           "[2001:db8::7]:110 pop3 down\nnodec down\nnodec up\n";
	struct peer_orders all = { 0 };
	struct str bad = STR_INIT;

	CU_ASSERT_EQUAL(peer_orders_parse(&all, text, sizeof(text) - 1, &bad), 0);
	CU_ASSERT_EQUAL(all.n, 5);
#define WORD(host, a, port, p) \
	(peer_orders_about(&all, host, a, port, p) != NULL ? peer_orders_about(&all, host, a, port, p)->word : \
	                                                     PEER_WORDS)
	CU_ASSERT_EQUAL(WORD("nodeb", NULL, 143, PROTOCOL_IMAP), PEER_WORD_DOWN);
	CU_ASSERT_EQUAL(WORD("nodeb.", NULL, 143, PROTOCOL_POP3), PEER_WORD_DRAIN);
	CU_ASSERT_EQUAL(WORD("Nodeb", NULL, 144, PROTOCOL_IMAP), PEER_WORD_DRAIN);
	CU_ASSERT_EQUAL(WORD("nodebb", NULL, 143, PROTOCOL_IMAP), PEER_WORDS);
	CU_ASSERT_EQUAL(WORD("any", addr("192.0.2.7"), 1, PROTOCOL_IMAP), PEER_WORD_DRAIN);
	CU_ASSERT_EQUAL(WORD("192.0.2.7", NULL, 1, PROTOCOL_IMAP), PEER_WORDS);
	CU_ASSERT_EQUAL(WORD("any", addr("2001:db8:0::7"), 110, PROTOCOL_POP3), PEER_WORD_DOWN);
	CU_ASSERT_EQUAL(WORD("any", addr("2001:db8:0::7"), 110, PROTOCOL_IMAP), PEER_WORDS);
	CU_ASSERT_EQUAL(WORD("nodec", NULL, 1, PROTOCOL_IMAP), PEER_WORD_UP); /* the last line about it */
#undef WORD
	peer_orders_fini(&all);
	str_fini(&bad);
}

/* A file that is cut at any byte says nothing that the whole one does not say. */
static void test_cut(void)
{
	static const char text[] = "nodeb.example.com:1143 imap down since=1700000000\nnodec drain\n"
	                           "192.0.2.77 pop3 down\r\n[2001:db8::7]:110 drain\n";
	struct peer_orders whole = { 0 };
	struct str bad = STR_INIT;

	CU_ASSERT_EQUAL(peer_orders_parse(&whole, text, sizeof(text) - 1, &bad), 0);
	for (size_t len = 0; len < sizeof(text); len++) {
		char *copy = mem_memdup(text, len + 1); /* for sanitizers: nothing behind it */
		struct peer_orders all = { 0 };
		unsigned nbad = peer_orders_parse(&all, copy, len, &bad);

		CU_ASSERT(nbad <= 1 && (nbad == 1) == (len != 0 && text[len - 1] != '\n'));
		CU_ASSERT(all.n <= whole.n);
		for (unsigned i = 0; i < all.n; i++) {
			const struct peer_order *o = peer_orders_find(&whole, &all.order[i]);

			CU_ASSERT(o != NULL && o->word == all.order[i].word && o->since == all.order[i].since);
		}
		peer_orders_fini(&all);
		mem_free(&copy);
	}
	peer_orders_fini(&whole);
	str_fini(&bad);
}

static void test_bounds(void)
{
	struct str text = STR_INIT, bad = STR_INIT;
	struct peer_orders all = { 0 };
	struct peer_order o;
	const char *why;

	for (unsigned i = 0; i < PEER_ORDERS_MAX + 15; i++)
		str_addf(&text, "node%u down\n", i);
	CU_ASSERT_EQUAL(peer_orders_parse(&all, text.data, text.len, &bad), 15);
	CU_ASSERT_EQUAL(all.n, PEER_ORDERS_MAX);
	CU_ASSERT(strncmp(bad.data, "line 1001: ", 11) == 0 && strstr(bad.data, "\nand 5 more\n") != NULL);
	CU_ASSERT(peer_order_parse(&o, "node0 drain", 11, &why));
	CU_ASSERT(peer_orders_set(&all, &o) && all.n == PEER_ORDERS_MAX);
	peer_orders_remove(&all, &o);
	CU_ASSERT(all.n == PEER_ORDERS_MAX - 1 && peer_orders_find(&all, &o) == NULL);
	peer_orders_remove(&all, &o);
	CU_ASSERT(all.n == PEER_ORDERS_MAX - 1 && peer_orders_set(&all, &o));
	peer_orders_fini(&all);
	str_clear(&text);
	for (unsigned i = 0; i < 255; i++)
		str_addc(&text, 'x');
	str_adds(&text, " down");
	CU_ASSERT(peer_order_parse(&o, text.data, text.len, &why) && strlen(o.host) == 255);
	str_clear(&text);
	for (unsigned i = 0; i < 256; i++)
		str_addc(&text, 'x');
	str_adds(&text, " down");
	CU_ASSERT(!peer_order_parse(&o, text.data, text.len, &why));
	str_fini(&text);
	str_fini(&bad);
}

static void put(const char *file, const char *text)
{
	char new[80];
	int fd;

	snprintf(new, sizeof(new), "%s.new", file);
	fd = open(new, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CU_ASSERT_FATAL(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	CU_ASSERT_FATAL(rename(new, file) == 0);
}

static bool say(const char *line, int64_t now)
{
	struct str why = STR_INIT;
	struct peer_order o;
	const char *wrong;
	bool good;

	CU_ASSERT_FATAL(peer_order_parse(&o, line, strlen(line), &wrong));
	good = peer_command_save(folder, &o, now, &why);
	CU_ASSERT_EQUAL(good, why.len == 0);
	str_fini(&why);
	return good;
}

static void on_up(const struct peer_order *o UNUSED, void *arg)
{
	(*(unsigned *)arg)++;
}

static const char *described(const struct orders *o)
{
	static char text[1024];
	struct str out = STR_INIT;

	orders_describe(o, &out);
	snprintf(text, sizeof(text), "%s", str_cstr(&out));
	str_fini(&out);
	return text;
}

static void test_operator(void)
{
	unsigned ups = 0;
	struct orders *o = orders_new(on_up, &ups);
	enum orders_by by;

	orders_use(o, path, "");
	CU_ASSERT_STRING_EQUAL(described(o), "");
	CU_ASSERT(say("nodeb down", 1700000000) && say("nodec:143 imap drain", 1700000060));
	CU_ASSERT(orders_about(o, "nodeb", NULL, 1, PROTOCOL_IMAP, &by) == NULL);
	orders_changed(o);
	CU_ASSERT_STRING_EQUAL(described(o),
	    "nodeb: down, the operator said so at 2023-11-14T22:13:20Z\n"
	    "nodec:143 imap: drain, the operator said so at 2023-11-14T22:14:20Z\n");
	CU_ASSERT(strstr(str_cstr(&logged), "I: peer nodeb is down, says the operator: it gets no logins\n") != NULL);
	/* said again it is newer; taken back it is gone, and only that */
	CU_ASSERT(say("nodeb:143 up", 1700000070) && say("NODEB drain", 1700000080) && say("nodec:143 imap up", 0));
	orders_changed(o);
	CU_ASSERT_STRING_EQUAL(described(o), "NODEB: drain, the operator said so at 2023-11-14T22:14:40Z\n");
	CU_ASSERT(strstr(str_cstr(&logged),
	              "I: peer nodec:143 imap is up, says the operator: it gets logins again\n") != NULL);
	orders_free(&o);
	/* another authd, or daemon, reads the same */
	o = orders_new(on_up, &ups);
	orders_use(o, path, "");
	CU_ASSERT(orders_about(o, "nodeb", NULL, 1, PROTOCOL_IMAP, &by) != NULL && by == ORDERS_OPERATOR);
	CU_ASSERT_EQUAL(ups, 0);
	orders_free(&o);
	str_fini(&logged);
	/* it cannot be written: said, and what was there stays */
	CU_ASSERT(chmod(folder, 0500) == 0);
	CU_ASSERT(geteuid() == 0 || !say("nodex down", 1));
	CU_ASSERT(chmod(folder, 0700) == 0 && unlink(path) == 0);
}

static void test_monitor(void)
{
	static struct str list;
	unsigned ups = 0;
	struct orders *o = orders_new(on_up, &ups);
	enum orders_by by;
	double now = clock_now();

	put(monitor, "nodeb down since=1700000000\nnodec wrong\nnoded drain since=1700000060\n");
	CU_ASSERT(say("nodeb drain", 1700000120) && say("noded down", 1700000180));
	orders_use(o, path, monitor);
	CU_ASSERT_EQUAL(orders_bad_lines(o), 1);
	CU_ASSERT(strstr(str_cstr(&logged),
	              ": line 2: write HOST[:PORT] [imap|pop3] up|down|drain; the line is left out") != NULL);
	/* of both the more cautious counts */
	CU_ASSERT(
	    orders_about(o, "nodeb", NULL, 1, PROTOCOL_IMAP, &by)->word == PEER_WORD_DOWN && by == ORDERS_MONITOR);
	CU_ASSERT(
	    orders_about(o, "noded", NULL, 1, PROTOCOL_IMAP, &by)->word == PEER_WORD_DOWN && by == ORDERS_OPERATOR);
	CU_ASSERT_EQUAL(orders_list(o, PEER_WORD_DOWN, &list), 2);
	CU_ASSERT_STRING_EQUAL(list.data, "noded(operator,2023-11-14T22:16:20Z) nodeb(monitor,2023-11-14T22:13:20Z)");
	str_fini(&list);
	/* a file that was renamed into place is read at once, and its "up" is told once */
	put(monitor, "nodeb up\nnoded:143 up\n");
	orders_tick(o, now += 1);
	orders_tick(o, now += 1);
	CU_ASSERT(orders_about(o, "nodeb", NULL, 1, PROTOCOL_IMAP, &by)->word == PEER_WORD_DRAIN);
	CU_ASSERT(orders_bad_lines(o) == 0 && ups == 2);
	put(monitor, "nodeb up\n");
	orders_tick(o, now += 1);
	orders_tick(o, now += 1);
	CU_ASSERT_EQUAL(ups, 2);
	/* one that cannot be read changes nothing; one that is gone says nothing */
	put(monitor, "nodex down\n");
	orders_tick(o, now += 1);
	orders_tick(o, now += 1);
	CU_ASSERT(unlink(monitor) == 0 && mkdir(monitor, 0700) == 0);
	for (unsigned i = 0; i < 3; i++)
		orders_tick(o, now += 1);
	CU_ASSERT(orders_about(o, "nodex", NULL, 1, PROTOCOL_IMAP, &by) != NULL && orders_bad_lines(o) == 1);
	CU_ASSERT(rmdir(monitor) == 0);
	for (unsigned i = 0; i < 3; i++)
		orders_tick(o, now += 1);
	CU_ASSERT(orders_about(o, "nodex", NULL, 1, PROTOCOL_IMAP, &by) == NULL && orders_bad_lines(o) == 0);
	orders_free(&o);
	str_fini(&logged);
	CU_ASSERT(unlink(path) == 0);
}

static void no_lookup(struct peers *p UNUSED, const char *host UNUSED, void *arg UNUSED) { }

/* "up" ends what logins have learned of that peer, and only of that. */
static void test_believe(void)
{
	struct peer_service s = { PROTOCOL_IMAP, PEER_TLS_NONE, *addr("192.0.2.7") }, other = s, pop3 = s;
	struct net_addr found[RESOLVER_ADDRS_MAX];
	struct peers *peers = peers_new(no_lookup, NULL);
	struct peer_order o;
	const char *why;
	unsigned n;

	peers_set(peers, 60, 30, 8);
	other.addr = *addr("192.0.2.8");
	pop3.protocol = PROTOCOL_POP3;
	peers_lookup(peers, "NodeB.", 7, 1, found, &n);
	peers_resolved(peers, "NodeB.", NAME_FOUND, &s.addr, 1, 2);
	for (unsigned i = 0; i < 2; i++) {
		static const char *const lines[] = { "nodeb:7 imap up", "192.0.2.7 imap up" };

		peers_failed(peers, &s, 1, 10, 11);
		peers_failed(peers, &other, 1, 10, 11);
		peers_failed(peers, &pop3, 1, 10, 11);
		CU_ASSERT(peer_order_parse(&o, "nodeb:8 up", 10, &why));
		peers_believe(peers, &o, true);
		CU_ASSERT(peers_down(peers, &s, 12));
		CU_ASSERT(peer_order_parse(&o, lines[i], strlen(lines[i]), &why));
		peers_believe(peers, &o, false);
		CU_ASSERT(!peers_down(peers, &s, 12) && peers_down(peers, &other, 12) && peers_down(peers, &pop3, 12));
		/* After a monitor's word it gets few logins at first, as after an answer; the operator says: all. */
		CU_ASSERT_EQUAL(peers_room(peers, &s), PEERS_WELCOME);
		peers_believe(peers, &o, true);
		CU_ASSERT_EQUAL(peers_room(peers, &s), PEERS_MOST);
	}
	peers_free(&peers);
}

/* The first case makes the folder, the last one removes it. */
static void begin(void)
{
	CU_ASSERT_FATAL(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/peers", folder);
	snprintf(monitor, sizeof(monitor), "%s/monitor", folder);
}

static void end(void)
{
	CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static const struct unit_case cases[] = {
	{ "begin", begin },
	{ "lines", test_lines },
	{ "which peers they are about", test_about },
	{ "cut at each byte", test_cut },
	{ "bounds", test_bounds },
	{ "the operator", test_operator },
	{ "the monitor", test_monitor },
	{ "believed up", test_believe },
	{ "end", end },
	{ NULL, NULL },
};
UNIT_MAIN("orders", cases)
