/* TLS of the load generator: what a client in a hurry does. No certificate is verified (its signature is). A failure
 * ends the program with a message. */
#ifndef BENCH_CLIENT_TLS_H
#define BENCH_CLIENT_TLS_H

#include <openssl/ssl.h>
#include <sys/types.h>

/* Call once before the others. SUITES: those of TLS 1.3 that are offered, as OpenSSL names them; NULL: what it does by
 * itself. */
void client_tls_init(const char *suites);
/* A client at the non-blocking socket FD, which need not be connected yet. *TICKET (NULL: none) is shown if it may be,
 * and used up; each new one that comes is put there. TICKET has to outlive the connection. */
SSL *client_tls_new(int fd, SSL_SESSION **ticket);
/* Goes on with the handshake: 0 when it is done, else EPOLLIN or EPOLLOUT, which it waits for. */
int client_tls_shake(SSL *ssl);
/* As recv(): -1 with errno EAGAIN if there is nothing now, 0 at the end, with close_notify or without. */
ssize_t client_tls_read(SSL *ssl, char *p, size_t room);
/* All of it. */
void client_tls_write(SSL *ssl, const char *p, size_t len);
/* Says that nothing more is written, and frees it; NULL is allowed. */
void client_tls_end(SSL **ssl);

#endif
