/* Carries bytes between a client and its server until both are done. Knows no protocol and adds no byte.
 *
 * Two one-way streams, client to server and back. Each reads into one buffer that all relays of the process share and
 * writes at once; only what the other side does not take is kept, and the stream reads no more until that is written
 * (back-pressure). In each turn of the loop the relay that has waited longest goes first. After a large read, if both
 * sides are raw (lib/conn.h), the next ones go through a pipe by splice(2), until they get small. A stream has a pipe
 * only while there are bytes in it: an idle relay owns two connections, no buffer and no pipe.
 *
 * The end of one stream is passed on behind all its bytes, as a half-close, while the other stream goes on; a broken
 * connection ends both. Where an end has a word (close_notify in TLS: RFC 8446 section 6.1), that word promises that
 * all was said. So it is said to one side only if the other side itself has ended, and has said so if it has a word for
 * it, or after relay_last_words(). All other ends are cuts, which a side with TLS can tell from an end: a stream that
 * ended without the word, a broken connection, relay_stop(), the idle limit, the limit of a half-open relay. For a
 * relay knows no protocol: it cannot see whether the server was in the middle of an answer. A plain connection has no
 * such word: how its stream ends is believed. */
#ifndef PROXY_RELAY_H
#define PROXY_RELAY_H

#include <ev.h>

#include "lib/conn.h"
#include "lib/str.h"

enum relay_end {
	RELAY_END_CLIENT,  /* the client closed first */
	RELAY_END_SERVER,  /* the server closed first */
	RELAY_END_IDLE,    /* no bytes in either direction for too long */
	RELAY_END_KICK,    /* ended by relay_stop() */
	RELAY_END_SHUTDOWN /* the same, because the node is being stopped */
};

struct relay;

/* The relay ended: both descriptors are closed, or taken over, already and R is about to be freed; use it only to
 * read the figures below. Called exactly once, never from within relay_new(). */
typedef void relay_end_fn(struct relay *r, enum relay_end end, void *session, void *arg);

/* All relays of one process: the shared idle limit. */
struct relay_pool;
/* A relay ends after IDLE_SECONDS without a byte (0: never), or five minutes once one side has closed, or 20 seconds
 * once both have and one does not take the rest. The process ignores SIGPIPE from now on. */
struct relay_pool *relay_pool_new(struct ev_loop *loop, unsigned idle_seconds, relay_end_fn *on_end, void *arg);
/* Frees an empty pool. */
void relay_pool_free(struct relay_pool **pool);
/* ROOM(ARG of relay_pool_new()) says whether there are descriptors for one more pipe; if not, bytes are copied. */
void relay_pool_set_room(struct relay_pool *pool, bool (*room)(void *arg));
/* The server of R has ended when nothing was under way: neither side has said a byte for two seconds, and nothing
 * waits. The client does not know yet: it would be told that this is the END, or be cut. If FN (with ARG of
 * relay_pool_new()) takes over CLIENT, which it returns, that is left to it, and R ends at once. */
typedef bool relay_orphan_fn(struct conn *client, bool end, void *session, void *arg);
void relay_pool_set_orphan(struct relay_pool *pool, relay_orphan_fn *fn);
/* Descriptors of all pipes of this process, also of those that are kept for the next large read; closes the latter. */
unsigned relay_pipe_descriptors(void);
void relay_drop_idle_pipes(void);
unsigned relay_pool_count(const struct relay_pool *pool);
/* Calls FN for each relay; FN may call relay_stop() on it. */
void relay_pool_each(struct relay_pool *pool, void (*fn)(struct relay *r, void *session, void *arg), void *arg);

/* Starts relaying between the connections CLIENT and SERVER, which are taken over and not open any more in the caller.
 * TO_CLIENT and TO_SERVER (may be empty) are sent first: what was read ahead during the login, or could not be sent
 * yet; their memory is taken over. SESSION is passed to on_end. */
struct relay *relay_new(struct relay_pool *pool, struct conn *client, struct conn *server, struct str *to_client,
    struct str *to_server, void *session);
/* TO_CLIENT had bytes of the server in it, behind what we said ourselves. */
void relay_server_has_spoken(struct relay *r);
/* Before relay_stop(): says the LEN bytes at P to the client, if the server has said nothing yet and the client has got
 * all that was said before; at no other time it is known that they would not stand in the middle of something. False:
 * they were not said, or the client has not taken all of them, which closing loses. */
bool relay_last_words(struct relay *r, const char *p, size_t len);
/* Ends R now, from outside: a cut, but for a client that has heard last words. */
void relay_stop(struct relay *r, enum relay_end end);

/* Bytes read from the client and from the server. */
uint64_t relay_rcvd(const struct relay *r);
uint64_t relay_sent(const struct relay *r);

#endif
