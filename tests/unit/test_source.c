/* proxy/source.c: addresses in turn, the next one when no port is free, and what the peer sees. */
#include "proxy/source.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/str.h"
#include "tests/unit/listening.h"

static struct str asked;    /* the addresses connected from, each with a blank */
static const char *no_port; /* there no port is free; "*": nowhere */
static bool really;

int __real_net_connect_from(const struct net_addr *a, const struct net_addr *from);
int __wrap_net_connect_from(const struct net_addr *a, const struct net_addr *from);

int __wrap_net_connect_from(const struct net_addr *a, const struct net_addr *from)
{
	char ip[NET_IP_TEXT_MAX];

	if (really)
		return __real_net_connect_from(a, from);
	str_addf(&asked, "%s ", net_addr_text(from, ip));
	if (no_port != NULL && (strcmp(no_port, "*") == 0 || strcmp(no_port, ip) == 0)) {
		errno = EADDRNOTAVAIL;
		return -1;
	}
	errno = ECONNREFUSED;
	return -1;
}

static const char *connect_to(struct source *s, const char *to)
{
	struct net_addr a;

	net_addr_parse(&a, to, 143);
	str_clear(&asked);
	CU_ASSERT_EQUAL(source_connect(s, &a), -1);
	return str_cstr(&asked);
}

static void test_in_turn(void)
{
	struct source *s = source_new("192.0.2.1 2001:db8::1 no.address 192.0.2.2");

	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 ");
	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.2 ");
	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 ");
	CU_ASSERT_STRING_EQUAL(connect_to(s, "2001:db8::99"), "2001:db8::1 ");
	CU_ASSERT_EQUAL(errno, ECONNREFUSED);
	source_free(&s);
	CU_ASSERT_PTR_NULL(s);
	source_free(&s);
}

static void test_no_port(void)
{
	struct source *s = source_new("192.0.2.1 2001:db8::1 192.0.2.2");

	no_port = "192.0.2.1";
	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 192.0.2.2 ");
	CU_ASSERT_EQUAL(errno, ECONNREFUSED);
	no_port = "*";
	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 192.0.2.2 ");
	CU_ASSERT_EQUAL(errno, EADDRNOTAVAIL);
	no_port = NULL;
	source_free(&s);
}

/* An address of this machine alone leads nowhere else, and others are no address of a neighbour here. */
static void test_loopback(void)
{
	struct source *s = source_new("127.0.0.7 192.0.2.1");
	struct net_addr a;

	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 ");
	CU_ASSERT_STRING_EQUAL(connect_to(s, "192.0.2.99"), "192.0.2.1 ");
	CU_ASSERT_STRING_EQUAL(connect_to(s, "127.0.0.1"), "127.0.0.7 ");
	source_free(&s);
	s = source_new("127.0.0.7");
	net_addr_parse(&a, "192.0.2.99", 143);
	CU_ASSERT_PTR_NOT_NULL(strstr(source_no_address(s, &a), "ip_local_port_range"));
	source_free(&s);
}

/* Connects from the addresses LIST to a listener; whom that sees. */
static const char *seen(const char *list, char ip[NET_IP_TEXT_MAX])
{
	struct source *s = source_new(list);
	struct net_addr a;
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int listener = listen_at(&a), fd, accepted;

	fd = source_connect(s, &a);
	CU_ASSERT_NOT_EQUAL(fd, -1);
	CU_ASSERT_EQUAL(poll(&(struct pollfd){ .fd = listener, .events = POLLIN }, 1, 10000), 1);
	accepted = accept(listener, (struct sockaddr *)&ss, &len);
	CU_ASSERT_FATAL(accepted != -1);
	net_addr_from(&a, &ss);
	close(accepted);
	close(fd);
	close(listener);
	source_free(&s);
	return net_addr_text(&a, ip);
}

static void test_seen(void)
{
	char ip[NET_IP_TEXT_MAX];

	really = true;
	CU_ASSERT_STRING_EQUAL(seen("127.0.0.7", ip), "127.0.0.7");
	CU_ASSERT_STRING_EQUAL(seen("", ip), "127.0.0.1");
	CU_ASSERT_STRING_EQUAL(seen("::1", ip), "127.0.0.1"); /* no such family in the list */
	CU_ASSERT_STRING_EQUAL(seen("192.0.2.1 127.0.0.8", ip), "127.0.0.8");
	really = false;
}

static void test_words(void)
{
	struct source *s = source_new("192.0.2.1");
	struct net_addr four, six;

	net_addr_parse(&four, "192.0.2.99", 143);
	net_addr_parse(&six, "2001:db8::99", 143);
	CU_ASSERT_PTR_NOT_NULL(strstr(source_no_address(s, &four), "any address of PROXY_SOURCE_ADDRESS"));
	CU_ASSERT_PTR_NOT_NULL(strstr(source_no_address(s, &six), "ip_local_port_range"));
	CU_ASSERT_PTR_NOT_NULL(strstr(source_no_address(NULL, &four), "ip_local_port_range"));
	source_free(&s);
}

static const struct unit_case cases[] = {
	{ "addresses in turn", test_in_turn },
	{ "no free port", test_no_port },
	{ "this machine alone", test_loopback },
	{ "what the peer sees", test_seen },
	{ "words for the log", test_words },
	{ NULL, NULL },
};

UNIT_MAIN("source", cases)
