/* proxy/backend, with a made-up protocol and peers that misbehave. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/conn_tls.h"
#include "lib/mem.h"
#include "lib/tls_ctx.h"
#include "proxy/backend.h"
#include "tests/unit/clock_step.h"
#include "tests/unit/decoded.h"
#include "tests/unit/listening.h"
#include "tests/unit/tls_test.h"

/* A made-up protocol: the peer greets with "HELLO", gets "GO" and answers "OK", "NO" or "LATER"; "LIT n" is followed by
 * n bytes that belong to it; "BUSY", "LATER" (of this login) and "NO TLS" say so. */
static bool wants_tls; /* it begins TLS behind the greeting */

static enum backend_step on_line(const char *line, size_t len, struct str *out, uint64_t *skip, void *arg UNUSED)
{
	CU_ASSERT_EQUAL(line[len], '\0');
	if (strcmp(line, "HELLO") == 0 && wants_tls) {
		str_adds(out, "TLS\r\n");
		return BACKEND_STEP_ASK;
	}
	if (strcmp(line, "BEGIN") == 0) {
		str_adds(out, "GO\r\n");
		return BACKEND_STEP_TLS;
	}
	if (strcmp(line, "HELLO") == 0) {
		str_adds(out, "GO\r\n");
		return BACKEND_STEP_MORE;
	}
	if (strncmp(line, "LIT ", 4) == 0) {
		*skip = (uint64_t)(line[4] - '0');
		return BACKEND_STEP_MORE;
	}
	if (strcmp(line, "MORE") == 0)
		return BACKEND_STEP_MORE;
	return strcmp(line, "OK") == 0  ? BACKEND_STEP_OK :
	    strcmp(line, "NO") == 0     ? BACKEND_STEP_REFUSED :
	    strcmp(line, "BUSY") == 0   ? BACKEND_STEP_NEXT :
	    strcmp(line, "LATER") == 0  ? BACKEND_STEP_LATER :
	    strcmp(line, "NO TLS") == 0 ? BACKEND_STEP_NO_TLS :
	                                  BACKEND_STEP_INVALID;
}

static const char *on_why(void *arg UNUSED)
{
	return "because";
}

struct outcome {
	int calls;
	enum backend_result result;
	int alive, dead, slow, busy, later;
	char leftover[64], error[200], errors[4][100];
	bool untrusted[4];
	unsigned index;
};

static void on_done(struct backend *b, enum backend_result result, void *arg)
{
	struct outcome *o = arg;

	o->calls++;
	o->result = result;
	o->index = backend_index(b);
	snprintf(o->error, sizeof(o->error), "%s", backend_error(b, backend_index(b)));
	for (unsigned i = 0; i < 4; i++) {
		int verdict;

		snprintf(o->errors[i], sizeof(o->errors[i]), "%s", backend_error(b, i));
		o->untrusted[i] = backend_is_untrusted(b, i, &verdict);
	}
	if (result == BACKEND_OK) {
		struct str left = STR_INIT;
		const struct conn *c = backend_take(b, &left);

		CU_ASSERT(conn_is_open(c) && conn_wants(c) == 0);
		snprintf(o->leftover, sizeof(o->leftover), "%s", str_cstr(&left));
		str_fini(&left);
	}
	backend_free(&b);
}

static void on_health(unsigned index UNUSED, enum peer_result result, uint32_t took UNUSED, void *arg)
{
	struct outcome *o = arg;

	if (result == PEER_ANSWERS)
		o->alive++;
	else if (result == PEER_SLOW)
		o->slow++;
	else if (result == PEER_BUSY)
		o->busy++;
	else if (result == PEER_LATER)
		o->later++;
	else
		o->dead++;
}

static const struct backend_fns fns = { on_line, on_why, on_done, on_health, NULL, NULL, NULL };

/* An address at which nobody listens. */
static struct net_addr closed_address(void)
{
	struct net_addr a;

	close(listen_at(&a));
	return a;
}

static bool hasty; /* the peer replies before the command arrives */

static struct ev_loop *loop;

/* A peer that sends SAY, STEP bytes at a time (the second line and later only after it received something), and closes
 * if CLOSES. */
static struct outcome run(const struct net_addr *addrs, unsigned n, int listener, const char *say, size_t step,
    bool closes, double timeout)
{
	struct outcome o = { 0 };
	size_t said = 0, len = strlen(say), greeting = MIN(strcspn(say, "\n") + 1, len);
	bool told = hasty;
	int peer = -1;

	loop = ev_loop_new(EVFLAG_AUTO);
	decoded_on(loop);
	backend_start(loop, addrs, n, timeout, &fns, &o);
	CU_ASSERT_EQUAL(o.calls, 0); /* never from within backend_start() */
	for (int i = 0; i < 20000 && o.calls == 0; i++) {
		if (listener != -1 && peer == -1)
			peer = decoded(loop, accept(listener, NULL, NULL));
		if (peer != -1 && said == greeting && !told) {
			char go[8];

			told = recv(peer, go, sizeof(go), MSG_DONTWAIT) > 0;
		}
		if (peer != -1 && (said < greeting || (told && said < len))) {
			ssize_t r = send(peer, say + said, MIN(step, (told ? len : greeting) - said), MSG_NOSIGNAL);

			said = r > 0 ? said + (size_t)r : len;
		} else if (peer != -1 && said == len && closes) {
			shutdown(peer, SHUT_WR);
		}
		ev_run(loop, EVRUN_NOWAIT);
		usleep(500);
	}
	CU_ASSERT_EQUAL(o.calls, 1);
	if (peer != -1)
		close(peer);
	decoded_end();
	ev_loop_destroy(loop);
	return o;
}

static void test_verdicts(void)
{
	static const struct {
		const char *say;
		bool closes;
		enum backend_result result;
	} t[] = {
		{ "HELLO\r\nOK\r\n", false, BACKEND_OK },
		{ "HELLO\nOK\n", false, BACKEND_OK },
		{ "HELLO\r\nMORE\r\nOK\r\n", false, BACKEND_OK },
		{ "HELLO\r\nLIT 5\r\nOK\r\nxMORE\r\nOK\r\n", false, BACKEND_OK },
		{ "HELLO\r\nNO\r\n", false, BACKEND_REFUSED },
		{ "HELLO\r\nWHAT\r\n", false, BACKEND_INVALID },
		{ "HELLO\r\nBUSY\r\n", false, BACKEND_REFUSED },
		{ "HELLO\r\nLATER\r\n", false, BACKEND_REFUSED },
		{ "WHAT\r\n", false, BACKEND_UNREACHABLE },
		{ "\r\n", false, BACKEND_UNREACHABLE },
		{ "HELLO\r\n", true, BACKEND_SILENT },
		{ "HEL", true, BACKEND_UNREACHABLE },
		{ "", true, BACKEND_UNREACHABLE },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		for (size_t step = 1; step < 100; step += 33) {
			struct net_addr a;
			int fd = listen_at(&a);
			struct outcome o = run(&a, 1, fd, t[i].say, step, t[i].closes, 10);
			bool later;

			CU_ASSERT_EQUAL(o.result, t[i].result);
			if (o.result != t[i].result)
				printf("\n%zu: %d instead of %d: %s\n", i, o.result, t[i].result, o.error);
			later = strstr(t[i].say, "BUSY") != NULL || strstr(t[i].say, "LATER") != NULL;
			CU_ASSERT_EQUAL(o.later, later);
			CU_ASSERT_EQUAL(o.alive,
			    t[i].result == BACKEND_OK || (t[i].result == BACKEND_REFUSED && !later) ||
			        (t[i].result == BACKEND_INVALID && t[i].say[0] == 'H'));
			CU_ASSERT_EQUAL(o.slow, t[i].result == BACKEND_SILENT);
			CU_ASSERT_EQUAL(o.alive + o.slow + o.dead + o.busy + o.later, 1);
			close(fd);
		}
}

/* A reply that arrives before the command was sent: the command would never be sent. */
static void test_hasty(void)
{
	struct net_addr a;
	int fd = listen_at(&a);
	struct outcome o;

	hasty = true;
	o = run(&a, 1, fd, "HELLO\r\nOK\r\n", 1000, false, 10);
	hasty = false;
	CU_ASSERT_EQUAL(o.result, BACKEND_INVALID);
	close(fd);
}

static void test_leftover(void)
{
	struct net_addr a;
	int fd = listen_at(&a);
	struct outcome o = run(&a, 1, fd, "HELLO\r\nOK\r\n* BYE at once\r\n", 1000, false, 10);

	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_STRING_EQUAL(o.leftover, "* BYE at once\r\n");
	close(fd);
}

static void test_addresses(void)
{
	struct net_addr a[3];
	int fd = listen_at(&a[1]);
	struct outcome o;

	a[0] = a[2] = closed_address();
	o = run(a, 3, fd, "HELLO\r\nOK\r\n", 1000, false, 10); /* after a refused one the next is tried at once */
	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_EQUAL(o.index, 1);
	CU_ASSERT(o.dead == 1 && o.alive == 1);
	close(fd);
	o = run(a, 1, -1, "", 1, false, 10);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.error, "refused"));
	a[1] = closed_address();
	net_addr_parse(&a[2], "255.255.255.255", 1);
	o = run(a, 3, -1, "", 1, false, 10); /* each has its own reason */
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	for (int i = 0; i < 3; i++) {
		char start[80], ip[NET_IP_TEXT_MAX];

		snprintf(start, sizeof(start), "%s port %u: ", net_addr_text(&a[i], ip), a[i].port);
		CU_ASSERT_NSTRING_EQUAL(o.errors[i], start, strlen(start));
		CU_ASSERT_EQUAL(strstr(o.errors[i], "refused") != NULL, i < 2);
	}
	CU_ASSERT_STRING_EQUAL(o.errors[3], "");
	net_addr_parse(&a[0], "255.255.255.255", 1); /* a connect that fails at once */
	o = run(a, 1, -1, "", 1, false, 10);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
}

static void test_silence(void)
{
	struct net_addr a[2];
	int fd[2] = { listen_at(&a[0]), listen_at(&a[1]) };
	struct outcome o = run(a, 2, fd[1], "HELLO\r\nOK\r\n", 1000, false, 1); /* half of the time each */

	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_EQUAL(o.index, 1);
	o = run(a, 1, fd[0], "", 1, false, 0.2);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	close(fd[0]);
	close(fd[1]);
	fd[0] = listen_at(&a[0]);
	a[1] = closed_address();
	o = run(a, 2, fd[0], "HELLO\r\n", 1000, false, 0.2); /* it greeted, then was silent: no other is tried */
	CU_ASSERT_EQUAL(o.result, BACKEND_SILENT);
	CU_ASSERT_EQUAL(o.index, 0);
	close(fd[0]);
}

static void test_floods(void)
{
	struct str flood = STR_INIT;
	struct net_addr a;
	int fd = listen_at(&a);
	struct outcome o;

	for (int i = 0; i < BACKEND_LINE_MAX + 100; i++)
		str_addc(&flood, 'x');
	o = run(&a, 1, fd, flood.data, 1000, false, 10);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	close(fd);
	str_clear(&flood);
	str_adds(&flood, "HELLO\r\n");
	for (int i = 0; i < 1000; i++)
		str_adds(&flood, "MORE\r\n");
	fd = listen_at(&a);
	o = run(&a, 1, fd, flood.data, 1000, false, 10);
	CU_ASSERT_EQUAL(o.result, BACKEND_INVALID);
	close(fd);
	str_fini(&flood);
}

static void on_first(unsigned index, struct str *out, void *arg UNUSED)
{
	str_addf(out, "FIRST %u\r\n", index);
}

/* What goes before all else does so at each address, once, whatever came of the one before. */
static void test_first(void)
{
	static const struct backend_fns first_fns = { on_line, on_why, on_done, on_health, on_first, NULL, NULL };
	static const char *const heard[] = { "FIRST 1\r\n", "FIRST 1\r\nGO\r\n" };
	static const char *const say[] = { "HELLO\r\n", "OK\r\n" };
	struct outcome o = { 0 };
	struct net_addr a[2];
	char got[100] = "";
	size_t n = 0, said = 0;
	int fd = listen_at(&a[1]), peer = -1;

	a[0] = closed_address();
	loop = ev_loop_new(EVFLAG_AUTO);
	backend_start(loop, a, 2, 10, &first_fns, &o);
	for (int i = 0; i < 20000 && o.calls == 0; i++) {
		ssize_t r = -1;

		if (peer == -1)
			peer = accept(fd, NULL, NULL);
		if (peer != -1)
			r = recv(peer, got + n, sizeof(got) - 1 - n, MSG_DONTWAIT);
		n += r > 0 ? (size_t)r : 0;
		if (said < 2 && strcmp(got, heard[said]) == 0) {
			CU_ASSERT(send(peer, say[said], strlen(say[said]), MSG_NOSIGNAL) > 0);
			said++;
		}
		ev_run(loop, EVRUN_NOWAIT);
		usleep(500);
	}
	CU_ASSERT_EQUAL(o.calls, 1);
	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_EQUAL(o.index, 1);
	CU_ASSERT(o.dead == 1 && o.alive == 1);
	CU_ASSERT_PTR_NOT_NULL(strstr(o.errors[0], "refused"));
	CU_ASSERT_STRING_EQUAL(got, heard[1]);
	close(peer);
	close(fd);
	ev_loop_destroy(loop);
}

/* --- STARTTLS --- */

static SSL_CTX *client_ctx, *server_ctx;
static const char *tls_name; /* whom the backend means */

static SSL *on_tls(unsigned index UNUSED, bool is_new, void *arg UNUSED)
{
	return is_new ? NULL : tls_client_new(client_ctx, tls_name);
}

static const struct backend_fns tls_fns = { on_line, on_why, on_done, on_health, NULL, on_tls, NULL };

/* A server that shows a certificate for node.example. */
static void make_contexts(void)
{
	EVP_PKEY *key = tls_test_key("P-256");
	X509 *cert = tls_test_signed(key, "DNS:node.example", NULL, key, -60, 3600, true);

	server_ctx = tls_ctx_new(true);
	client_ctx = tls_ctx_new(false);
	SSL_CTX_use_certificate(server_ctx, cert);
	SSL_CTX_use_PrivateKey(server_ctx, key);
	tls_test_believe(client_ctx, cert);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void free_contexts(void)
{
	SSL_CTX_free(server_ctx);
	SSL_CTX_free(client_ctx);
}

static void turn(unsigned n)
{
	while (n-- > 0) {
		ev_run(loop, EVRUN_NOWAIT);
		usleep(300);
	}
}

/* The peer's end of the connection to LISTENER. */
static int accepted(int listener)
{
	int fd = -1;

	for (int i = 0; i < 3000 && fd == -1; i++) {
		fd = accept(listener, NULL, NULL);
		turn(1);
	}
	CU_ASSERT_FATAL(fd != -1);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return fd;
}

/* The peer sends SAY, and waits for the answer WANT. */
static void talk(int fd, const char *say, const char *want)
{
	char got[64];
	ssize_t n = -1;

	CU_ASSERT_EQUAL(send(fd, say, strlen(say), MSG_NOSIGNAL), (ssize_t)strlen(say));
	for (int i = 0; i < 3000 && n < 0; i++) {
		turn(1);
		n = recv(fd, got, sizeof(got) - 1, 0);
	}
	CU_ASSERT_FATAL(n >= 0);
	got[n] = '\0';
	CU_ASSERT_STRING_EQUAL(got, want);
}

/* The peer within TLS: answers GO. */
static void on_peer(struct ev_loop *l UNUSED, ev_io *io, int revents)
{
	static const char answer[] = "OK\r\n* left\r\n";
	struct conn *c = io->data;
	char got[64];
	ssize_t n;

	if ((conn_ready(c, revents) & EV_READ) == 0)
		return;
	n = conn_read(c, got, sizeof(got));
	if (n <= 0) {
		if (n != CONN_LATER)
			conn_watch(loop, c, 0);
		return;
	}
	CU_ASSERT(n == 4 && memcmp(got, "GO\r\n", 4) == 0);
	CU_ASSERT_EQUAL(conn_write(c, answer, strlen(answer)), (ssize_t)strlen(answer));
}

static void serve_tls(struct conn *c, int fd)
{
	conn_open(c, fd, on_peer, c);
	conn_tls_accept(loop, c, server_ctx);
	conn_watch(loop, c, EV_READ);
}

static void wait_done(const struct outcome *o)
{
	for (int i = 0; i < 10000 && o->calls == 0; i++)
		turn(1);
	CU_ASSERT_EQUAL(o->calls, 1);
}

static void begin(const struct net_addr *a, unsigned n, double timeout, const struct backend_fns *f, struct outcome *o)
{
	memset(o, 0, sizeof(*o));
	loop = ev_loop_new(EVFLAG_AUTO);
	decoded_on(loop);
	backend_start(loop, a, n, timeout, f, o);
}

/* What is said of a connection that somebody else has made. */
static void test_started_on(void)
{
	struct outcome o = { 0 };
	int pair[2];

	CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	loop = ev_loop_new(EVFLAG_AUTO);
	backend_start_on(loop, pair[0], "unix:/a/path", 10, &fns, &o);
	talk(pair[1], "HELLO\r\n", "GO\r\n");
	CU_ASSERT_EQUAL(send(pair[1], "OK\r\n* left\r\n", 12, 0), 12);
	wait_done(&o);
	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_STRING_EQUAL(o.leftover, "* left\r\n");
	close(pair[1]);

	memset(&o, 0, sizeof(o));
	CU_ASSERT_EQUAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	backend_start_on(loop, pair[0], "unix:/a/path", 10, &fns, &o);
	close(pair[1]);
	wait_done(&o);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	CU_ASSERT_STRING_EQUAL(o.error, "unix:/a/path: it closed the connection without a greeting");
	ev_loop_destroy(loop);
}

static void begin_starttls(const struct net_addr *a, unsigned n, double timeout, struct outcome *o)
{
	wants_tls = true;
	tls_name = "node.example";
	make_contexts();
	begin(a, n, timeout, &tls_fns, o);
}

static void end_starttls(void)
{
	free_contexts();
	wants_tls = false;
	ev_loop_destroy(loop);
}

/* The peer at FD greets, is asked for TLS, and begins it. */
static void agree_on_tls(int fd)
{
	talk(fd, "HELLO\r\n", "TLS\r\n");
	CU_ASSERT_EQUAL(send(fd, "BEGIN\r\n", 7, 0), 7);
}

/* The answer to STARTTLS, cut at every byte. */
static void test_starttls(void)
{
	for (size_t cut = 0; cut <= 7; cut++) {
		struct net_addr a;
		int listener = listen_at(&a), fd;
		struct outcome o;
		struct conn c;

		begin_starttls(&a, 1, 10, &o);
		fd = accepted(listener);
		talk(fd, "HELLO\r\n", "TLS\r\n");
		CU_ASSERT_EQUAL(send(fd, "BEGIN\r\n", cut, 0), (ssize_t)cut);
		turn(3);
		CU_ASSERT_EQUAL(send(fd, &"BEGIN\r\n"[cut], 7 - cut, 0), (ssize_t)(7 - cut));
		serve_tls(&c, fd);
		wait_done(&o);
		CU_ASSERT_EQUAL(o.result, BACKEND_OK);
		CU_ASSERT_STRING_EQUAL(o.leftover, "* left\r\n");
		CU_ASSERT(o.alive == 1 && o.dead == 0 && !o.untrusted[0]);
		conn_close(loop, &c);
		close(listener);
		end_starttls();
	}
}

/* Not even TLS is begun. */
static void test_bytes_behind(void)
{
	static const char *const behind[] = { "x", "OK\r\n", "* OK [ALERT] evil\r\n", "\r\n", "\x16\x03\x03" };

	for (size_t i = 0; i < ARRAY_LEN(behind); i++) {
		struct net_addr a;
		int listener = listen_at(&a), fd;
		struct outcome o;
		char all[64];

		begin_starttls(&a, 1, 10, &o);
		fd = accepted(listener);
		talk(fd, "HELLO\r\n", "TLS\r\n");
		snprintf(all, sizeof(all), "BEGIN\r\n%s", behind[i]);
		talk(fd, all, "");
		wait_done(&o);
		CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
		CU_ASSERT(o.untrusted[0] && o.dead == 0);
		CU_ASSERT_PTR_NOT_NULL(strstr(o.error, "in clear"));
		close(fd);
		close(listener);
		end_starttls();
	}
}

/* TLS is begun before the request for it was sent. */
static void test_hasty_tls_answer(void)
{
	struct net_addr a;
	int listener = listen_at(&a), fd;
	struct outcome o;

	begin_starttls(&a, 1, 10, &o);
	fd = accepted(listener);
	talk(fd, "HELLO\r\nBEGIN\r\n", "");
	wait_done(&o);
	CU_ASSERT_EQUAL(o.result, BACKEND_UNREACHABLE);
	close(fd);
	close(listener);
	end_starttls();
}

/* A certificate for another name, and a handshake that does not end: the next address is tried, as the first has got
 * nothing but the request for TLS. Only silence makes it one that is down. */
static void test_tls_fails(void)
{
	for (int silent = 0; silent < 2; silent++) {
		struct net_addr a[2];
		int listener[2] = { listen_at(&a[0]), listen_at(&a[1]) }, fd;
		struct conn c[2];
		struct outcome o;

		begin_starttls(a, 2, silent ? 2 : 10, &o);
		tls_name = silent ? "node.example" : "other.example";
		fd = accepted(listener[0]);
		agree_on_tls(fd);
		if (!silent)
			serve_tls(&c[0], fd);
		c[1] = (struct conn){ .state = NULL };
		/* The first one gives up; the second has to begin anew. */
		int second = accepted(listener[1]);

		tls_name = "node.example";
		agree_on_tls(second);
		serve_tls(&c[1], second);
		wait_done(&o);
		CU_ASSERT_EQUAL(o.result, BACKEND_OK);
		CU_ASSERT_EQUAL(o.index, 1);
		CU_ASSERT_EQUAL(o.dead, silent);
		CU_ASSERT_EQUAL(o.untrusted[0], !silent);
		CU_ASSERT_PTR_NOT_NULL(
		    strstr(o.errors[0], silent ? "TLS handshake in time" : "TLS: hostname mismatch"));
		if (silent)
			close(fd);
		else
			conn_close(loop, &c[0]);
		conn_close(loop, &c[1]);
		close(listener[0]);
		close(listener[1]);
		end_starttls();
	}
}

/* A handshake has as much time as the greeting had, whatever that took, but not all of the time: there is a second
 * address. It comes so LATE, in seconds, with TLS in time or not. */
static void late_handshake(time_t late, bool in_time)
{
	struct net_addr a[2];
	int listener[2] = { listen_at(&a[0]), listen_at(&a[1]) }, fd;
	struct outcome o;
	struct conn c;

	begin_starttls(a, 2, 10, &o);
	fd = accepted(listener[0]);
	jump += 4; /* of 5 */
	agree_on_tls(fd);
	turn(5);
	jump += late; /* of half of the other 6 */
	turn(5);
	if (!in_time) {
		close(fd);
		fd = accepted(listener[1]);
		agree_on_tls(fd);
	}
	serve_tls(&c, fd);
	wait_done(&o);
	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	CU_ASSERT_EQUAL(o.index, !in_time);
	CU_ASSERT_EQUAL(o.dead, !in_time);
	conn_close(loop, &c);
	close(listener[0]);
	close(listener[1]);
	end_starttls();
}

static void test_time_for_a_handshake(void)
{
	late_handshake(2, true);
	late_handshake(4, false);
}

/* What may go wrong with an address before it gets anything of the login: the next one is tried, within the same time.
 * Each has its own class: what says that it has no time is well, one that does not begin TLS is not to be believed. */
static void test_next_before_the_login(void)
{
	static const struct {
		const char *greeting, *answer; /* to the request for TLS; NULL: it hangs up; "": it is silent */
		int busy, dead;
		bool untrusted;
		const char *error;
	} t[] = {
		{ "BUSY\r\n", NULL, 1, 0, false, "takes no logins now: because" },
		{ "NO TLS\r\n", NULL, 0, 0, true, "does not begin TLS: because" },
		{ "WHAT\r\n", NULL, 0, 1, false, "invalid answer: because" },
		{ "BEGIN\r\nHELLO\r\n", NULL, 0, 0, true, "does not begin TLS: bytes in clear" },
		{ "HELLO\r\n", "BUSY\r\n", 1, 0, false, "takes no logins now: because" },
		{ "HELLO\r\n", "NO TLS\r\n", 0, 0, true, "does not begin TLS: because" },
		{ "HELLO\r\n", "WHAT\r\n", 0, 1, false, "invalid answer: because" },
		{ "HELLO\r\n", "BEGIN\r\nx", 0, 0, true, "does not begin TLS: bytes in clear" },
		{ "HELLO\r\n", "", 0, 1, false, "no answer before the login in time" },
		{ "HELLO\r\n", NULL, 0, 1, false, "closed the connection before the login" },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct net_addr a[2];
		int listener[2] = { listen_at(&a[0]), listen_at(&a[1]) }, fd, second;
		struct outcome o;
		struct conn c;

		begin_starttls(a, 2, t[i].answer != NULL && t[i].answer[0] == '\0' ? 2 : 10, &o);
		fd = accepted(listener[0]);
		talk(fd, t[i].greeting, strcmp(t[i].greeting, "HELLO\r\n") == 0 ? "TLS\r\n" : "");
		if (t[i].answer == NULL)
			close(fd);
		else
			CU_ASSERT(send(fd, t[i].answer, strlen(t[i].answer), 0) >= 0);
		second = accepted(listener[1]);
		agree_on_tls(second);
		serve_tls(&c, second);
		wait_done(&o);
		CU_ASSERT_EQUAL(o.result, BACKEND_OK);
		CU_ASSERT_EQUAL(o.index, 1);
		CU_ASSERT_EQUAL(o.alive, 1);
		CU_ASSERT_EQUAL(o.busy, t[i].busy);
		CU_ASSERT_EQUAL(o.dead, t[i].dead);
		CU_ASSERT_EQUAL(o.slow + o.later, 0);
		CU_ASSERT_EQUAL(o.untrusted[0], t[i].untrusted);
		CU_ASSERT_PTR_NOT_NULL(strstr(o.errors[0], t[i].error));
		if (strstr(o.errors[0], t[i].error) == NULL)
			printf("\n%zu: %s\n", i, o.errors[0]);
		if (t[i].answer != NULL)
			close(fd);
		conn_close(loop, &c);
		close(listener[0]);
		close(listener[1]);
		end_starttls();
	}
}

/* Once the peer has got the login, nothing that it says or does leads to another address. */
static void test_no_other_after_the_login(void)
{
	static const struct {
		const char *answer; /* NULL: it hangs up */
		enum backend_result result;
		int alive, later, slow;
	} t[] = {
		{ "BUSY\r\n", BACKEND_REFUSED, 0, 1, 0 }, /* it may be about this account alone */
		{ "LATER\r\n", BACKEND_REFUSED, 0, 1, 0 },
		{ "NO TLS\r\n", BACKEND_REFUSED, 0, 0, 0 },
		{ "NO\r\n", BACKEND_REFUSED, 1, 0, 0 },
		{ "WHAT\r\n", BACKEND_INVALID, 1, 0, 0 },
		{ NULL, BACKEND_SILENT, 0, 0, 1 },
	};

	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		struct net_addr a[2];
		int listener[2] = { listen_at(&a[0]), listen_at(&a[1]) }, fd;
		struct outcome o;

		begin(a, 2, 10, &fns, &o);
		fd = accepted(listener[0]);
		talk(fd, "HELLO\r\n", "GO\r\n");
		if (t[i].answer == NULL)
			close(fd);
		else
			CU_ASSERT(send(fd, t[i].answer, strlen(t[i].answer), 0) > 0);
		wait_done(&o);
		CU_ASSERT_EQUAL(o.result, t[i].result);
		CU_ASSERT(o.alive == t[i].alive && o.later == t[i].later && o.slow == t[i].slow);
		CU_ASSERT(o.index == 0 && o.busy + o.dead == 0);
		fcntl(listener[1], F_SETFL, O_NONBLOCK);
		CU_ASSERT(accept(listener[1], NULL, NULL) == -1);
		if (t[i].answer != NULL)
			close(fd);
		close(listener[0]);
		close(listener[1]);
		ev_loop_destroy(loop);
	}
}

/* What an address has said before it hung up is not taken for the beginning of what the next one says. */
static void test_half_a_greeting(void)
{
	struct net_addr a[2];
	int listener[2] = { listen_at(&a[0]), listen_at(&a[1]) }, fd;
	struct outcome o;

	begin(a, 2, 10, &fns, &o);
	fd = accepted(listener[0]);
	CU_ASSERT_EQUAL(send(fd, "HEL", 3, 0), 3);
	turn(5);
	close(fd);
	fd = accepted(listener[1]);
	talk(fd, "HELLO\r\n", "GO\r\n");
	CU_ASSERT_EQUAL(send(fd, "OK\r\n", 4, 0), 4);
	wait_done(&o);
	CU_ASSERT_EQUAL(o.result, BACKEND_OK);
	close(fd);
	close(listener[0]);
	close(listener[1]);
	ev_loop_destroy(loop);
}

/* The same over connections of another kind. */
#define CODED(test) \
	static void test##_coded(void) \
	{ \
		decoded_run(test); \
	} \
	static void test##_tls(void) \
	{ \
		decoded_run_tls(test); \
	}
CODED(test_verdicts)
CODED(test_hasty)
CODED(test_leftover)
CODED(test_addresses)
CODED(test_silence)
CODED(test_floods)

static const struct unit_case cases[] = {
	{ "verdicts", test_verdicts },
	{ "hasty", test_hasty },
	{ "what goes before all else", test_first },
	{ "bytes behind the answer", test_leftover },
	{ "several addresses", test_addresses },
	{ "silence", test_silence },
	{ "floods", test_floods },
	{ "half a greeting", test_half_a_greeting },
	{ "over a connection that is there", test_started_on },
	{ "STARTTLS", test_starttls },
	{ "STARTTLS: bytes behind the answer", test_bytes_behind },
	{ "STARTTLS: an answer too early", test_hasty_tls_answer },
	{ "STARTTLS: TLS fails", test_tls_fails },
	{ "STARTTLS: time for a handshake", test_time_for_a_handshake },
	{ "before the login the next address is tried", test_next_before_the_login },
	{ "after it none is", test_no_other_after_the_login },
	{ "coded: verdicts", test_verdicts_coded },
	{ "coded: hasty", test_hasty_coded },
	{ "coded: bytes behind the answer", test_leftover_coded },
	{ "coded: several addresses", test_addresses_coded },
	{ "coded: silence", test_silence_coded },
	{ "coded: floods", test_floods_coded },
	{ "TLS: verdicts", test_verdicts_tls },
	{ "TLS: hasty", test_hasty_tls },
	{ "TLS: bytes behind the answer", test_leftover_tls },
	{ "TLS: several addresses", test_addresses_tls },
	{ "TLS: silence", test_silence_tls },
	{ "TLS: floods", test_floods_tls },
	{ NULL, NULL },
};
UNIT_MAIN("backend", cases)
