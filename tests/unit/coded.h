/* A second kind of connection, for tests: it keeps no secrets, but behaves like TLS.
 * - Each side sends a hello first; nothing can be written before the other's hello has arrived.
 * - Bytes are changed and sent in records. A record can be read once all of it has arrived; several may be held inside,
 *   unknown to poll().
 * - If the socket takes only part of a record, nothing else can be written before it: the same bytes have to be written
 *   again.
 * - The end of a direction is a special record. An end without it is a failure. */
#ifndef TESTS_CODED_H
#define TESTS_CODED_H

#include "lib/conn.h"

enum { CODED_RECORD = 1000 }; /* bytes of a record at most */

/* For conn_use() of the connection of FD. */
struct conn_state *coded_new(int fd);
/* How many of them there are now. */
unsigned coded_count(void);

#endif
