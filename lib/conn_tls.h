/* The kind of connection (lib/conn.h) that is TLS.
 * libssl sees no descriptor: it takes from what one recv() has brought and adds to what one send() takes away, both in
 * memory that all connections of the process share. Of a connection only that is kept which the other side does not
 * take, or which its user has not read.
 * - The handshake goes on while the user waits for anything. It is done when conn_ready() says EV_WRITE, or
 *   conn_write() takes something.
 * - What a server says at the end of the handshake leaves with the user's first bytes if it waits to write. Tickets of
 *   TLS 1.3, for which nobody waits, leave with them in any case.
 * - conn_shut() sends close_notify (RFC 8446 section 6.1), and the other direction goes on. The end of the stream
 *   without it is CONN_CUT, after all bytes that came whole: who can cut the connection must not end what was said.
 *   conn_break_off() makes such an end.
 * - A peer that makes us answer (a renegotiation that is refused, new keys) and does not take the answers is not read;
 *   one that changes its keys without need is no peer. */
#ifndef LIB_CONN_TLS_H
#define LIB_CONN_TLS_H

#include <openssl/ssl.h>

#include "lib/conn.h"

/* The plain connection C is TLS from now on: as a server with CTX, which is referenced. Before a client has sent its
 * whole first message (lib/tls_hello.h) nothing is kept of it but that; conn_memory() jumps when libssl gets it, and
 * falls when the handshake is done. */
void conn_tls_accept(struct ev_loop *loop, struct conn *c, SSL_CTX *ctx);
/* The same as a client with SSL, which is taken over and has no BIO yet. The first message is sent at once. */
void conn_tls_connect(struct ev_loop *loop, struct conn *c, SSL *ssl);
/* C, which was to be TLS, has begun with a header of the PROXY protocol, and has failed. */
bool conn_tls_got_proxy_header(const struct conn *c);
/* To ask what was agreed on; C's, and valid until C is closed. NULL: C is not TLS, or the client was not heard yet. */
SSL *conn_tls_ssl(const struct conn *c);
/* What the other side said that is not taken as TLS, or that it took nothing of ours (an alert); text for people. NULL:
 * there was no such thing. That a stream just ends is none. */
const char *conn_tls_refusal(const struct conn *c);
/* C is broken because of what one side does not accept of the other in TLS, not because of the network. Then *VERDICT
 * is that on the other side's certificate: X509_V_OK if that was not the reason. */
bool conn_tls_refused(const struct conn *c, int *verdict);

#endif
