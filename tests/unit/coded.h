/* A second kind of connection, for tests: no secret, but all the habits of TLS.
 * - Either side says a hello first; nothing can be written before the other's has come.
 * - Bytes travel changed, in records. One is read when all of it has come; more than one may lie inside, unknown to
 *   poll.
 * - A record that the socket took only a part of holds up all others: the same bytes have to be written again.
 * - The end of a direction is a record of its own. An end without it is a failure. */
#ifndef TESTS_CODED_H
#define TESTS_CODED_H

#include "lib/conn.h"

enum { CODED_RECORD = 1000 }; /* bytes of a record at most */

/* For conn_use() of the connection of FD. */
struct conn_state *coded_new(int fd);
/* How many of them there are now. */
unsigned coded_count(void);

#endif
