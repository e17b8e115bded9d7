/* Makes all new connections coded ones, with relays that decode them at their far ends. */
#include "tests/unit/decoded.h"

#include <CUnit/CUnit.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "lib/conn_tls.h"
#include "lib/tls_ctx.h"
#include "proxy/relay.h"
#include "tests/unit/coded.h"
#include "tests/unit/tls_test.h"

static bool running;
static SSL_CTX *server_ctx, *client_ctx; /* NULL: coded */
static struct ev_loop *the_loop;
static struct relay_pool *pool;

void __real_conn_open(struct conn *c, int fd, void (*fn)(struct ev_loop *, ev_io *, int), void *data);
void __wrap_conn_open(struct conn *c, int fd, void (*fn)(struct ev_loop *, ev_io *, int), void *data);

static bool is_local(int fd)
{
	struct sockaddr_storage a;
	socklen_t len = sizeof(a);

	return getsockname(fd, (struct sockaddr *)&a, &len) == 0 && a.ss_family == AF_UNIX;
}

/* C, of FD, is of the other kind; at the near end, or at the test's. */
static void use(struct ev_loop *loop, struct conn *c, int fd, bool is_near)
{
	if (server_ctx == NULL)
		conn_use(loop, c, coded_new(fd));
	else if (is_local(fd) == is_near)
		conn_tls_accept(loop, c, server_ctx);
	else
		conn_tls_connect(loop, c, SSL_new(client_ctx));
}

/* Those without a callback are the tests' own. */
void __wrap_conn_open(struct conn *c, int fd, void (*fn)(struct ev_loop *, ev_io *, int), void *data)
{
	__real_conn_open(c, fd, fn, data);
	if (running && fd != -1 && fn != NULL)
		use(the_loop, c, fd, true);
}

void decoded_run(void (*test)(void))
{
	running = true;
	test();
	running = false;
}

void decoded_run_tls(void (*test)(void))
{
	server_ctx = tls_test_server("node.example");
	client_ctx = tls_ctx_new(false);
	decoded_run(test);
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
	server_ctx = client_ctx = NULL;
}

void decoded_on(struct ev_loop *loop)
{
	the_loop = loop;
}

static void on_relay_end(struct relay *r UNUSED, enum relay_end end UNUSED, void *session UNUSED, void *arg UNUSED) { }

int decoded(struct ev_loop *loop, int fd)
{
	unsigned before = coded_count();
	struct str none = STR_INIT;
	struct conn outer, inner;
	const int on = 1;
	int sv[2];

	if (fd == -1 || !running)
		return fd;
	CU_ASSERT_FATAL(before != 0 || server_ctx != NULL); /* the near end */
	if (pool == NULL)
		pool = relay_pool_new(loop, 0, on_relay_end, NULL);
	CU_ASSERT_EQUAL_FATAL(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
	/* For TCP sockets, because the tests count turns of the loop. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	conn_open(&outer, fd, NULL, NULL);
	use(loop, &outer, fd, false);
	conn_open(&inner, sv[0], NULL, NULL);
	relay_new(pool, &outer, &inner, &none, &none, NULL);
	return sv[1];
}

static void stop_relay(struct relay *r, void *session UNUSED, void *arg UNUSED)
{
	relay_stop(r, RELAY_END_KICK);
}

void decoded_end(void)
{
	if (pool != NULL)
		relay_pool_each(pool, stop_relay, NULL);
	relay_pool_free(&pool);
	CU_ASSERT_EQUAL(coded_count(), 0);
}
