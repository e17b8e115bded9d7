/* The gate of a login worker: when clients are taken, lent, and refused. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/loop.h"
#include "login/gate.h"

static struct ev_loop *loop;
static struct gate *gate;
static struct net_addr here;
static unsigned used, taken, refused, trimmed, told;
static bool told_full, gives_back;

static unsigned in_use(void *arg UNUSED) { return used; }

static void trim(void *arg UNUSED)
{
	trimmed++;
	if (gives_back)
		used -= 8;
}

static void on_client(void *arg UNUSED, enum protocol protocol, int fd, const struct net_addr *client UNUSED, uint16_t port)
{
	CU_ASSERT_EQUAL(protocol, PROTOCOL_POP3);
	CU_ASSERT_EQUAL(port, here.port);
	close(fd);
	used += 2;
	taken++;
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

static const struct gate_hooks hooks = { in_use, trim, on_client, on_refuse, on_tell };

static void set_limit(unsigned n)
{
	struct rlimit lim;

	CU_ASSERT_EQUAL(getrlimit(RLIMIT_NOFILE, &lim), 0);
	lim.rlim_cur = n;
	CU_ASSERT_EQUAL(setrlimit(RLIMIT_NOFILE, &lim), 0);
}

static int listener(void)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	CU_ASSERT(net_addr_parse(&here, "127.0.0.1", 0));
	fd = net_listen(&here, 64);
	CU_ASSERT_FATAL(fd != -1 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0);
	net_addr_from(&here, &ss);
	return fd;
}

/* N clients come and go; what the gate does with them. */
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
	used = taken = refused = trimmed = told = 0;
	told_full = gives_back = false;
	gate = gate_new(loop, &hooks, NULL);
	gate_add(gate, 0, PROTOCOL_POP3, listener());
}

static void test_open_and_shut(void)
{
	setup(1000);
	come(3);
	CU_ASSERT_EQUAL(taken, 0); /* they wait in the queue */
	gate_open(gate);
	come(2);
	CU_ASSERT_EQUAL(taken, 5);
	CU_ASSERT_EQUAL(told, 0);
	gate_answer(gate, false); /* nobody has asked */
	CU_ASSERT_EQUAL(gate_state(gate), GATE_TAKING);
	gate_shut(gate);
	gate_add(gate, 1, PROTOCOL_POP3, listener()); /* too late */
	CU_ASSERT_EQUAL(gate_state(gate), GATE_SHUT);
	gate_free(&gate);
	CU_ASSERT_PTR_NULL(gate);
}

/* The descriptors that logins may need yet are never given to a client; the master is asked once. */
static void test_full(void)
{
	int lowest;

	setup(100);
	lowest = dup(0);
	close(lowest);
	gate_open(gate);
	come(60);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_ASKING);
	CU_ASSERT_EQUAL(taken, (100 - 16 - (unsigned)lowest) / 2);
	CU_ASSERT(told == 1 && told_full && trimmed == 1);
	come(5);
	CU_ASSERT_EQUAL(refused, 0);
	gate_answer(gate, true);
	come(5);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_LENT);
	CU_ASSERT_EQUAL(refused, 0);
	gate_answer(gate, false);
	come(5);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_REFUSING);
	CU_ASSERT(refused >= 5);
	CU_ASSERT_EQUAL(gate_refused(gate), refused);
	used -= 2; /* one has gone: not enough to begin again */
	gate_tick(gate);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_REFUSING);
	used -= 10;
	gate_tick(gate);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_TAKING);
	CU_ASSERT(told == 2 && !told_full);
	gate_free(&gate);
}

/* What is held for convenience is given back first. */
static void test_trim(void)
{
	setup(100);
	gate_open(gate);
	while (gate_has_room(gate, 2))
		used++;
	gives_back = true;
	come(1);
	CU_ASSERT(trimmed == 1 && taken == 1 && told == 0);
	gate_free(&gate);
}

/* The limit lies below what is open already: no accept() succeeds, and the loop has nothing to do. */
static void test_no_descriptor_at_all(void)
{
	int fd[5];

	setup(100);
	gate_open(gate);
	for (int i = 0; i < 5; i++)
		fd[i] = net_connect(&here);
	set_limit(3);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_ASKING);
	gate_answer(gate, false);
	for (int i = 0; i < 100; i++)
		ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT(told == 1 && taken == 0 && refused == 0);
	gate_tick(gate); /* tries again; nothing has changed */
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT(told == 1 && refused == 0);
	set_limit(100);
	gate_tick(gate);
	ev_run(loop, EVRUN_NOWAIT);
	CU_ASSERT_EQUAL(taken, 5);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_TAKING);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	gate_free(&gate);
}

/* Sockets of another slot come and go in any state. */
static void test_lent_sockets(void)
{
	int sock, masters, client;

	setup(1000);
	gate_open(gate);
	sock = listener();
	masters = dup(sock); /* the master keeps it */
	gate_add(gate, 3, PROTOCOL_POP3, sock);
	come(2);
	CU_ASSERT_EQUAL(taken, 2);
	gate_drop(gate, 3);
	/* The loop is told nothing of it any more: libev would rebuild its table, and abort where there is no descriptor for that. */
	client = net_connect(&here);
	set_limit(3);
	for (int i = 0; i < 3; i++)
		ev_run(loop, EVRUN_NOWAIT);
	set_limit(1000);
	CU_ASSERT_EQUAL(taken, 2);
	close(client);
	close(masters);
	CU_ASSERT_EQUAL(gate_state(gate), GATE_TAKING);
	gate_drop(gate, 3);
	gate_free(&gate);
}

static const struct unit_case cases[] = {
	{ "open and shut", test_open_and_shut },
	{ "full", test_full },
	{ "what can be given back", test_trim },
	{ "no descriptor at all", test_no_descriptor_at_all },
	{ "sockets of another slot", test_lent_sockets },
	{ NULL, NULL }
};

UNIT_MAIN("gate", cases)
