/* POP3 after login (RFC 1939, 2449, 6856): the session server of one client. */
#ifndef POP3D_POP3D_H
#define POP3D_POP3D_H

#include "node/session.h"

/* A session_server_fn. */
void pop3d_session(int fd, const struct session_start *start);
/* The same with two descriptors, for standard input and output. */
void pop3d_session_on(int in, int out, const struct session_start *start);

#endif
