/* Runs the code that opens connections over ones of the coded kind, or over TLS, while the test talks to it in plain
 * bytes. The test program is linked with --wrap=conn_open. */
#ifndef TESTS_DECODED_H
#define TESTS_DECODED_H

#include "lib/conn.h"

/* Runs TEST: meanwhile all connections that are opened are coded, on the loop that decoded_on() has told. */
void decoded_run(void (*test)(void));
/* The same with TLS: as its server on local sockets, for they come from clients, and as its client on those of TCP. */
void decoded_run_tls(void (*test)(void));
void decoded_on(struct ev_loop *loop);
/* FD is the far end of such a connection; the result, the caller's to close, is the same without the code, carried by a
 * relay on LOOP. While decoded_run() does not run, or for -1, it is FD itself. */
int decoded(struct ev_loop *loop, int fd);
/* Ends these relays; call it before freeing the loop. No coded connection may be left. */
void decoded_end(void);

#endif
