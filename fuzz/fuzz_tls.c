/* Any bytes from a client to a server of TLS, in pieces: the first byte is their size. Whatever they are, the server
 * does not ask to be called for ever, and a handshake that a stranger's bytes alone complete is a mistake. */
#include <ev.h>
#include <openssl/x509.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/conn_tls.h"
#include "lib/die.h"
#include "lib/tls_ctx.h"
#include "lib/tls_tickets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned calls;

static void on_event(struct ev_loop *loop, ev_io *io, int revents)
{
	struct conn *c = io->data;
	int ready = conn_ready(c, revents);
	char buf[4096];

	calls++;
	DIE_IF((ready & EV_WRITE) != 0 && conn_write(c, "* OK\r\n", 6) != CONN_FAILED);
	if ((ready & EV_READ) == 0)
		return;
	DIE_IF(conn_read(c, buf, sizeof(buf)) > 0);
	if (conn_error(c) != NULL)
		conn_watch(loop, c, 0);
}

static SSL_CTX *new_context(void)
{
	static struct tls_ticket_keys keys = { .n = 3 };
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *cert = X509_new();
	SSL_CTX *ctx = tls_ctx_new(true);
	struct tls_tickets *t = tls_tickets_new();

	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	DIE_IF(X509_set_pubkey(cert, key) != 1 || X509_sign(cert, key, EVP_sha256()) == 0);
	DIE_IF(SSL_CTX_use_certificate(ctx, cert) != 1 || SSL_CTX_use_PrivateKey(ctx, key) != 1);
	tls_tickets_set(t, &keys);
	tls_tickets_use(t, ctx, "imapd-ssl");
	X509_free(cert);
	EVP_PKEY_free(key);
	return ctx;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ev_loop *loop;
	static SSL_CTX *ctx;
	static char answer[65536];
	size_t step = size != 0 ? (size_t)data[0] * 8 + 1 : 1;
	struct conn c;
	int fd[2];

	if (ctx == NULL) {
		loop = ev_loop_new(EVFLAG_AUTO);
		ctx = new_context();
	}
	DIE_IF(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) != 0);
	conn_open(&c, fd[1], on_event, &c);
	conn_tls_accept(loop, &c, ctx);
	conn_watch(loop, &c, EV_READ | EV_WRITE);
	for (size_t at = 1; at < size; at += step) {
		if (send(fd[0], data + at, MIN(step, size - at), MSG_NOSIGNAL) < 0)
			break;
		calls = 0;
		for (int i = 0; i < 5; i++)
			ev_run(loop, EVRUN_NOWAIT);
		DIE_IF(calls > 4);
		DIE_IF(recv(fd[0], answer, sizeof(answer), 0) == 0);
	}
	shutdown(fd[0], SHUT_WR);
	for (int i = 0; i < 5; i++)
		ev_run(loop, EVRUN_NOWAIT);
	DIE_IF(conn_error(&c) == NULL);
	conn_close(loop, &c);
	close(fd[0]);
	return 0;
}
