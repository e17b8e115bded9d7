/* A message socket on an event loop: sending never waits, messages that arrive go to a callback. What the socket does
 * not take at once is queued, up to a limit in bytes, and sent when there is room. Descriptors in the queue are
 * duplicates and owned by it. */
#ifndef LIB_CHAN_H
#define LIB_CHAN_H

#include <ev.h>

#include "lib/msg.h"

struct chan;

/* One message; a truncated one has r->bad set, or an unknown type. FD is the descriptor that came with it, or -1: the
 * callee owns it. The callee may free C with chan_free(). */
typedef void chan_fn(struct chan *c, struct msgr *r, int fd, void *arg);
/* The other side is gone, or the socket failed. Called once; the callee frees C. */
typedef void chan_gone_fn(struct chan *c, void *arg);

/* Takes over SOCK (made non-blocking). */
struct chan *chan_new(struct ev_loop *loop, int sock, chan_fn *on_msg, chan_gone_fn *on_gone, void *arg);
/* Tells the other end which VERSION (not 0) of the messages this end speaks, as the first message of the channel. */
void chan_greet(struct chan *c, uint16_t version);
/* The version of the other end; 0: not known yet. */
uint16_t chan_version(const struct chan *c);
/* Closes the socket, drops the queue and sets *C to NULL (it may be NULL before). No callback is called after this. */
void chan_free(struct chan **c);
/* Takes all messages that have arrived by now, and the end of the channel if it has come: for a channel that is about
 * to be replaced because its other side has died. Its callbacks are called, and may free C. Do not call it from within
 * them. */
void chan_drain(struct chan *c);
/* Sends W, with a duplicate of FD unless -1. 0 sent or queued (or the other side is gone: on_gone will tell); -1 not
 * sent: the queue is full (CHAN_QUEUE_MAX bytes), the message is too large, or the system cannot pass it on: the caller
 * ends the session of that message. */
int chan_send(struct chan *c, const struct msgw *w, int fd) MUST_CHECK;
/* As chan_send() without a descriptor, but W leaves at the end of this turn of the loop, together with what else is
 * posted until then: one system call, one packet and one wake-up for all of them. The other end has to be a channel,
 * too. Messages stay in order, whichever of the two functions sends them. What is posted in a turn that ends the loop
 * is sent by chan_free() only. */
int chan_post(struct chan *c, const struct msgw *w) MUST_CHECK;
/* For more than there is room for in the queue: FN is called, once in a turn of the loop, whenever the socket has room
 * and nothing is queued, until it returns false: it has nothing more to send. It sends with chan_send(), and does not
 * free C. */
typedef bool chan_feed_fn(struct chan *c, void *arg);
void chan_feed(struct chan *c, chan_feed_fn *fn);
/* Bytes in the queue. */
size_t chan_queued(const struct chan *c);

enum { CHAN_QUEUE_MAX = 8 * 1024 * 1024 };

#endif
