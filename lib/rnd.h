/* Unpredictable random bytes, a few at a time: tickets, numbers of sessions. They come out of a pool that OpenSSL's
 * generator fills, because a call of it costs as much for 8 bytes as for 500. Bytes are wiped from the pool as they are
 * handed out; a forked child starts with an empty pool. */
#ifndef LIB_RND_H
#define LIB_RND_H

#include "lib/base.h"

/* Fills LEN bytes at P. Ends the process if the system has no randomness. */
void rnd_bytes(void *p, size_t len);

#endif
