/* TLS of the load generator. */
#include "bench/client_tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <sys/epoll.h>

#include "bench/wire.h"
#include "lib/die.h"

static SSL_CTX *ctx;

static NORETURN void die_tls(const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	die_fatal("%s: %s", what, reason != NULL ? reason : "the connection ended, or broke");
}

static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
	SSL_SESSION **ticket = SSL_get_app_data(ssl);

	SSL_SESSION_free(*ticket);
	*ticket = session;
	return 1; /* it is ours */
}

/* Of the certificates none is looked at: that is the client's work, and nobody measures it. */
static int believe(X509_STORE_CTX *store UNUSED, void *arg UNUSED)
{
	return 1;
}

void client_tls_init(const char *suites)
{
	ctx = SSL_CTX_new(TLS_client_method());
	if (ctx == NULL || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
	    (suites != NULL && SSL_CTX_set_ciphersuites(ctx, suites) != 1))
		die_tls("no TLS");
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ctx, WIRE_CHUNK);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_set_cert_verify_callback(ctx, believe, NULL);
	SSL_CTX_sess_set_new_cb(ctx, on_ticket);
}

SSL *client_tls_new(int fd, SSL_SESSION **ticket)
{
	SSL *ssl = SSL_new(ctx);

	if (ssl == NULL || SSL_set_fd(ssl, fd) != 1 || SSL_set_app_data(ssl, ticket) != 1)
		die_tls("no TLS");
	SSL_set_connect_state(ssl);
	if (*ticket == NULL)
		return ssl;
	if (SSL_SESSION_is_resumable(*ticket) == 1 && SSL_set_session(ssl, *ticket) != 1)
		die_tls("a ticket");
	SSL_SESSION_free(*ticket);
	*ticket = NULL;
	return ssl;
}

int client_tls_shake(SSL *ssl)
{
	int result = SSL_do_handshake(ssl);

	if (result == 1)
		return 0;
	switch (SSL_get_error(ssl, result)) {
	case SSL_ERROR_WANT_READ:
		return EPOLLIN;
	case SSL_ERROR_WANT_WRITE:
		return EPOLLOUT;
	default:
		die_tls("TLS handshake");
	}
}

ssize_t client_tls_read(SSL *ssl, char *p, size_t room)
{
	int n = SSL_read(ssl, p, (int)room);

	if (n > 0)
		return n;
	switch (SSL_get_error(ssl, n)) {
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	case SSL_ERROR_WANT_READ:
		errno = EAGAIN;
		return -1;
	default:
		die_tls("TLS");
	}
}

void client_tls_write(SSL *ssl, const char *p, size_t len)
{
	if (SSL_write(ssl, p, (int)len) != (int)len)
		die_tls("cannot send");
}

void client_tls_end(SSL **ssl)
{
	if (*ssl == NULL)
		return;
	SSL_shutdown(*ssl);
	ERR_clear_error();
	SSL_free(*ssl);
	*ssl = NULL;
}
