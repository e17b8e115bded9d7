/* proxy/let_go: when connections end, how, and who is sooner. */
#include "proxy/let_go.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/conn_tls.h"
#include "lib/mem.h"
#include "lib/rnd.h"
#include "lib/tls_ctx.h"
#include "tests/unit/clock_step.h"
#include "tests/unit/tls_test.h"
#include "tests/unit/unit.h"

enum { N = 8 };

static uint32_t next_random, random_step;

void __real_rnd_bytes(void *p, size_t len);
void __wrap_rnd_bytes(void *p, size_t len);

void __wrap_rnd_bytes(void *p, size_t len)
{
	if (random_step == 0) {
		__real_rnd_bytes(p, len);
		return;
	}
	memcpy(p, &next_random, len);
	next_random += random_step;
}

static struct ev_loop *loop;
static struct let_go *all;
static struct conn far[N];               /* the clients' ends */
static ssize_t got[N];                   /* what reading there gave last */
static SSL_CTX *server_ctx, *client_ctx; /* NULL: plain */

static void turn(void)
{
	for (int i = 0; i < 6; i++)
		ev_run(loop, EVRUN_NOWAIT);
}

static void on_far(struct ev_loop *l UNUSED, ev_io *io, int revents)
{
	struct conn *c = io->data;
	char buf[16];

	if ((conn_ready(c, revents) & EV_READ) == 0)
		return;
	got[c - far] = conn_read(c, buf, sizeof(buf));
	if (got[c - far] != CONN_LATER)
		conn_watch(loop, c, 0);
}

static void on_near(struct ev_loop *l UNUSED, ev_io *io, int revents)
{
	conn_ready(io->data, revents);
}

static void begin(unsigned spread)
{
	loop = ev_loop_new(EVFLAG_AUTO);
	all = let_go_new(loop, spread);
	next_random = 0;
	random_step = UINT32_MAX / N; /* 0, 1/8, 2/8, ... of the time */
	jump = 0;
}

static bool add(unsigned i, bool end)
{
	struct conn near;
	int sv[2];
	bool taken;

	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	conn_open(&near, sv[0], on_near, &near);
	conn_open(&far[i], sv[1], on_far, &far[i]);
	got[i] = CONN_LATER;
	if (server_ctx != NULL) {
		conn_tls_accept(loop, &near, server_ctx);
		conn_tls_connect(loop, &far[i], SSL_new(client_ctx));
	}
	conn_watch(loop, &near, EV_READ);
	conn_watch(loop, &far[i], EV_READ);
	turn();
	taken = let_go_add(all, &near, end);
	CU_ASSERT_EQUAL(conn_is_open(&near), !taken);
	conn_close(loop, &near);
	return taken;
}

static void finish(void)
{
	let_go_free(&all);
	CU_ASSERT_PTR_NULL(all);
	for (unsigned i = 0; i < N; i++)
		if (far[i].io.fd > 0)
			conn_close(loop, &far[i]);
	memset(far, 0, sizeof(far));
	random_step = 0;
	ev_loop_destroy(loop);
}

/* Each at its time, all before the time is over; what they are told. */
static void test_spread(void)
{
	begin(80);
	for (unsigned i = 0; i < N; i++)
		CU_ASSERT_TRUE(add(i, i % 2 == 0));
	for (unsigned i = 0; i < N; i++) {
		turn();
		CU_ASSERT_EQUAL(let_go_count(all), N - 1 - i);
		for (unsigned k = 0; k < N; k++)
			CU_ASSERT_EQUAL(got[k], k > i ? CONN_LATER : k % 2 != 0 && server_ctx != NULL ? CONN_CUT : 0);
		jump += 10;
	}
	finish();
	/* The last moment. */
	begin(30);
	next_random = UINT32_MAX;
	CU_ASSERT_TRUE(add(0, true));
	jump += 29;
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 1);
	jump += 1;
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 0);
	finish();
}

/* At random, if nobody says otherwise. */
static void test_random(void)
{
	begin(600);
	random_step = 0;
	for (unsigned i = 0; i < N; i++)
		CU_ASSERT_TRUE(add(i, true));
	jump += 600;
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 0);
	finish();
}

/* A client that says something, or ends, is let go then, and nobody else. */
static void test_client_acts(void)
{
	begin(80);
	next_random = UINT32_MAX / 2;
	random_step = 1;
	for (unsigned i = 0; i < 4; i++)
		CU_ASSERT_TRUE(add(i, true));
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 4);
	CU_ASSERT_EQUAL(conn_write(&far[1], "NOOP\r\n", 6), 6);
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 3);
	CU_ASSERT_EQUAL(got[1], 0); /* no reset */
	conn_shut(&far[2]);
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 2);
	CU_ASSERT_EQUAL(got[2], 0);
	conn_close(loop, &far[3]);
	turn();
	CU_ASSERT_EQUAL(let_go_count(all), 1);
	CU_ASSERT_EQUAL(got[0], CONN_LATER);
	finish();
}

/* Some are let go because there is need, or all. */
static void test_now(void)
{
	begin(80);
	next_random = UINT32_MAX / 2;
	random_step = 1;
	for (unsigned i = 0; i < N; i++)
		CU_ASSERT_TRUE(add(i, true));
	let_go_now(all, 3);
	CU_ASSERT_EQUAL(let_go_count(all), N - 3);
	let_go_now(all, 0);
	CU_ASSERT_EQUAL(let_go_count(all), N - 3);
	let_go_now(all, 100);
	CU_ASSERT_EQUAL(let_go_count(all), 0);
	turn();
	for (unsigned i = 0; i < N; i++)
		CU_ASSERT_EQUAL(got[i], 0);
	conn_close(loop, &far[0]);
	CU_ASSERT_TRUE(add(0, true));
	let_go_free(&all);
	turn();
	CU_ASSERT_EQUAL(got[0], 0);
	let_go_free(&all);
	finish();
}

/* Without a time nobody stays. */
static void test_none(void)
{
	begin(0);
	CU_ASSERT_FALSE(add(0, true));
	CU_ASSERT_EQUAL(let_go_count(all), 0);
	finish();
}

static void test_tls(void)
{
	server_ctx = tls_test_server("node.example");
	client_ctx = tls_ctx_new(false);
	test_spread();
	test_client_acts();
	test_now();
	test_none();
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	server_ctx = client_ctx = NULL;
}

static const struct unit_case cases[] = {
	{ "spread", test_spread },
	{ "at random", test_random },
	{ "the client acts", test_client_acts },
	{ "now", test_now },
	{ "none", test_none },
	{ "TLS", test_tls },
	{ NULL, NULL },
};
UNIT_MAIN("let_go", cases)
