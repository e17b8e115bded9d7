/* The acceptor of a login worker: when clients are taken, lent, and refused. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "login/acceptor.h"
#include "tests/unit/listening.h"

static struct ev_loop *loop;
static struct acceptor *acceptor;
static struct net_addr here;
static unsigned used, taken, refused, trimmed, told, displaced;
static bool told_full, gives_back, gives_way, denies;

static unsigned in_use(void *arg UNUSED)
{
	return used;
}

static void trim(void *arg UNUSED)
{
	trimmed++;
	if (gives_back)
		used -= 8;
}

static void on_client(void *arg UNUSED, enum protocol protocol, bool tls UNUSED, int fd,
    const struct net_addr *client UNUSED, uint16_t port)
{
	CU_ASSERT_EQUAL(protocol, PROTOCOL_POP3);
	CU_ASSERT_EQUAL(port, here.port);
	close(fd);
	used += 2;
	taken++;
}

static bool admits(void *arg UNUSED, enum protocol protocol, const struct net_addr *client, uint16_t port)
{
	CU_ASSERT(protocol == PROTOCOL_POP3 && client->family == AF_INET && port == here.port);
	return !denies;
}

static void on_refuse(void *arg UNUSED, enum protocol protocol UNUSED, int fd)
{
	CU_ASSERT(fcntl(fd, F_GETFD) != -1);
	refused++;
}

static void on_tell(void *arg UNUSED, bool full)
{
	told++;
	told_full = full;
}

static bool on_displace(void *arg UNUSED, const struct net_addr *client)
{
	CU_ASSERT_EQUAL(client->family, AF_INET);
	if (!gives_way)
		return false;
	used -= 2;
	displaced++;
	return true;
}

static const struct acceptor_hooks hooks = { in_use, trim, admits, on_client, on_displace, on_refuse, on_tell };

static void set_limit(unsigned n)
{
	struct rlimit lim;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = n;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

/* N clients connect and leave. */
static void come(unsigned n)
{
	int fd[64];

	for (unsigned i = 0; i < n; i++) {
		fd[i] = net_connect(&here);
		CU_ASSERT_FATAL(fd[i] != -1);
	}
	for (int i = 0; i < 4; i++)
		ev_run(loop, EVRUN_NOWAIT);
	for (unsigned i = 0; i < n; i++)
		close(fd[i]);
}

static void setup(unsigned limit)
{
	set_limit(limit);
	if (loop == NULL)
		loop = loop_new();
	used = taken = refused = trimmed = told = displaced = 0;
	told_full = gives_back = gives_way = denies = false;
	acceptor = acceptor_new(loop, &hooks, NULL);
	acceptor_add(acceptor, 0, PROTOCOL_POP3, false, listen_at(&here));
}

static void test_open_and_shut(void)
{
	setup(1000);
	come(3);
	CU_ASSERT_EQUAL(taken, 0); /* they are waiting in the queue */
	acceptor_open(acceptor);
	come(2);
	CU_ASSERT_EQUAL(taken, 5);
	CU_ASSERT_EQUAL(told, 0);
	acceptor_answer(acceptor, false); /* nothing was asked */
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_TAKING);
	acceptor_shut(acceptor);
	acceptor_add(acceptor, 1, PROTOCOL_POP3, false, listen_at(&here)); /* too late */
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_SHUT);
	acceptor_free(&acceptor);
	CU_ASSERT_PTR_NULL(acceptor);
}

/* The descriptors that pending logins may still need are never used for new clients; the master is asked once. */
static void test_full(void)
{
	int lowest;

	setup(100);
	lowest = dup(0);
	close(lowest);
	acceptor_open(acceptor);
	come(60);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_ASKING);
	CU_ASSERT_EQUAL(taken, (100 - 16 - (unsigned)lowest) / 2);
	CU_ASSERT(told == 1 && told_full && trimmed == 1);
	come(5);
	CU_ASSERT_EQUAL(refused, 0);
	acceptor_answer(acceptor, true);
	come(5);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_LENT);
	CU_ASSERT_EQUAL(refused, 0);
	acceptor_answer(acceptor, false);
	come(5);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_REFUSING);
	CU_ASSERT(refused >= 5);
	CU_ASSERT_EQUAL(acceptor_refused(acceptor), refused);
	used -= 2; /* one is gone: not enough to accept again */
	acceptor_tick(acceptor);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_REFUSING);
	used -= 10;
	acceptor_tick(acceptor);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_TAKING);
	CU_ASSERT(told == 2 && !told_full);
	acceptor_free(&acceptor);
}

/* A full worker, while no other has room, takes a client if another one gives way; not while that is too little. */
static void test_another_gives_way(void)
{
	unsigned before;

	setup(100);
	acceptor_open(acceptor);
	come(60);
	acceptor_answer(acceptor, true);
	gives_way = true;
	come(5);
	CU_ASSERT_EQUAL(displaced, 0); /* another worker takes them */
	acceptor_answer(acceptor, false);
	before = taken;
	come(5);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_REFUSING);
	CU_ASSERT(displaced >= 5 && taken == before + displaced && refused == 0);
	gives_way = false;
	come(5);
	CU_ASSERT_EQUAL(refused, 5);
	used -= 2;
	before = taken;
	come(5); /* one has left: its place is taken before anybody gives way */
	CU_ASSERT_EQUAL(taken, before + 1);
	CU_ASSERT_EQUAL(refused, 9);
	gives_way = true;
	used += 10; /* the limit was lowered */
	before = displaced;
	come(5);
	CU_ASSERT(displaced == before && refused == 14);
	acceptor_free(&acceptor);
}

/* Who may not connect is closed in every state, without a word, and takes nobody's place. */
static void test_not_admitted(void)
{
	setup(100);
	acceptor_open(acceptor);
	denies = gives_way = true;
	come(5);
	CU_ASSERT_EQUAL(taken, 0);
	denies = false;
	come(60);
	acceptor_answer(acceptor, false);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_REFUSING);
	denies = true;
	taken = refused = displaced = 0;
	come(5);
	CU_ASSERT(taken == 0 && displaced == 0 && refused == 0 && acceptor_refused(acceptor) == 0);
	acceptor_free(&acceptor);
}

/* Descriptors that are only kept for reuse are released first. */
static void test_trim(void)
{
	setup(100);
	acceptor_open(acceptor);
	while (acceptor_has_room(acceptor, 2))
		used++;
	gives_back = true;
	come(1);
	CU_ASSERT(trimmed == 1 && taken == 1 && told == 0);
	acceptor_free(&acceptor);
}

/* The limit is below what is open already: no accept() succeeds, and the loop must not spin. */
static void test_no_descriptor_at_all(void)
{
	int fd[5];

	setup(100);
	acceptor_open(acceptor);
	for (int i = 0; i < 5; i++)
		fd[i] = net_connect(&here);
	set_limit(3);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_ASKING);
	acceptor_answer(acceptor, false);
	for (int i = 0; i < 100; i++)
		ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT(told == 1 && taken == 0 && refused == 0);
	acceptor_tick(acceptor); /* tries again; nothing has changed */
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT(told == 1 && refused == 0);
	set_limit(100);
	acceptor_tick(acceptor);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(taken, 5);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_TAKING);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	acceptor_free(&acceptor);
}

/* Sockets of another slot come and go in any state. */
static void test_lent_sockets(void)
{
	int sock, masters, client;

	setup(1000);
	acceptor_open(acceptor);
	sock = listen_at(&here);
	masters = dup(sock); /* the master keeps it */
	acceptor_add(acceptor, 3, PROTOCOL_POP3, false, sock);
	come(2);
	CU_ASSERT_EQUAL(taken, 2);
	acceptor_drop(acceptor, 3);
	/* Its events must be gone from the loop: libev would rebuild its table, and abort if it has no descriptor for
	 * that. */
	client = net_connect(&here);
	set_limit(3);
	for (int i = 0; i < 3; i++)
		ev_run(loop, EVRUN_NOWAIT);
	set_limit(1000);
	CU_ASSERT_EQUAL(taken, 2);
	close(client);
	close(masters);
	CU_ASSERT_EQUAL(acceptor_state(acceptor), ACCEPTOR_TAKING);
	acceptor_drop(acceptor, 3);
	acceptor_free(&acceptor);
}

static const struct unit_case cases[] = { { "open and shut", test_open_and_shut }, { "full", test_full },
	{ "another client gives way", test_another_gives_way }, { "not admitted", test_not_admitted },
	{ "what can be given back", test_trim }, { "no descriptor at all", test_no_descriptor_at_all },
	{ "sockets of another slot", test_lent_sockets }, { NULL, NULL } };

UNIT_MAIN("acceptor", cases)
