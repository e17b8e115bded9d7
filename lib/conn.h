/* A connection of a stream socket on an event loop, whatever its kind: its user reads, writes, says what it waits for,
 * and never asks what lies between it and the socket.
 *
 * A connection is plain at first: bytes go as they are. Another kind is a struct conn_kind with what it keeps of one
 * connection, a struct conn_state; conn_use() puts it there, before all bytes or between them. What a kind may do:
 * - Hold bytes inside that no poll tells of, write before it can read, read before it can write. So a user does not
 *   wait for what the descriptor can do, but for what it wants to do itself: conn_watch(), and conn_ready() in the
 *   callback of the loop, which may say 0: what came was the kind's own business.
 * - Tell the end of one direction by a message of its own (conn_shut()); an end without it is a failure then.
 * - Change the bytes. They may be spliced, and the descriptor given away, only where conn_raw_fd() gives it.
 * No function waits. EV_READ and EV_WRITE are libev's.
 */
#ifndef LIB_CONN_H
#define LIB_CONN_H

#include <sys/types.h>

#include <ev.h>

#include "lib/base.h"
#include "lib/str.h"

/* What is no number of bytes. */
enum {
	CONN_LATER = -1, /* nothing can be read, or written, now */
	CONN_FAILED = -2 /* the connection is broken: conn_error() */
};

struct conn_state;

struct conn {
	ev_io io;                 /* ours; its data is the user's */
	struct conn_state *state; /* NULL: plain */
};

/* Takes over the non-blocking socket FD (-1: none yet) as a plain connection that is not watched. FN is the callback of
 * the loop, DATA its io->data. */
void conn_open(struct conn *c, int fd, void (*fn)(struct ev_loop *, ev_io *, int), void *data);
/* There is a descriptor: C was neither closed nor taken over. */
bool conn_is_open(const struct conn *c);
/* Stops watching C and closes it, if it is open. What the kind still has to say is tried once. */
void conn_close(struct ev_loop *loop, struct conn *c);
/* TO is what FROM was, with all that its kind holds inside, and is not watched; FROM is not open any more. If TO is
 * watched in the same turn of the loop for what FROM was watched for, a plain connection costs no system call. */
void conn_take_over(struct ev_loop *loop, struct conn *to, void (*fn)(struct ev_loop *, ev_io *, int), void *data,
    struct conn *from);

/* From now on the callback is called when the user may go on with WANT: EV_READ, EV_WRITE, both, or 0. */
void conn_watch(struct ev_loop *loop, struct conn *c, int want);
/* What conn_watch() was told last. */
int conn_wants(const struct conn *c);
/* First of all in the callback: what of conn_wants() can be tried now. REVENTS is what the loop said. */
int conn_ready(struct conn *c, int revents);

/* Up to ROOM bytes (at least 1), also of one that is not watched. The number; 0: the other side has said its last byte;
 * CONN_LATER; CONN_FAILED. */
ssize_t conn_read(struct conn *c, void *p, size_t room);
/* The same without taking them. */
ssize_t conn_peek(struct conn *c, void *p, size_t room);
/* Some of the LEN bytes (at least 1) at P. The number, which is not 0; CONN_LATER: none now, and what is written next
 * begins with these; CONN_FAILED. No signal is raised. */
ssize_t conn_write(struct conn *c, const void *p, size_t len);
/* Writes what is in OUT; what was taken is wiped and dropped. 0: all of it; CONN_LATER: the rest waits; CONN_FAILED. */
ssize_t conn_flush(struct conn *c, struct str *out);
/* Nothing more is written: tells the other side, behind all that was. */
void conn_shut(struct conn *c);
/* Ends both directions at once, also for those who have copies of the descriptor; C stays open. */
void conn_cut(struct conn *c);
/* The other side has reset it, or both directions have ended: for one that is not watched. */
bool conn_is_cut(const struct conn *c);
/* Why the last call gave CONN_FAILED, for people; asked before anything else is called. */
const char *conn_error(const struct conn *c);
/* The descriptor through which the very bytes go; -1 if this kind changes them. */
int conn_raw_fd(const struct conn *c);

/* --- for kinds --- */

/* Each is called with a connection that is open and has the kind's state; results are those of the functions above. */
struct conn_kind {
	ssize_t (*read)(struct conn *c, void *p, size_t room);
	ssize_t (*peek)(struct conn *c, void *p, size_t room);
	ssize_t (*write)(struct conn *c, const void *p, size_t len);
	/* Says that nothing more is written; what cannot be sent at once goes by ready(). */
	void (*shut)(struct conn *c);
	const char *(*error)(const struct conn *c);
	/* What the descriptor is to be watched for, for WANT and for the kind's own sake. Asked after each call. */
	int (*events)(const struct conn *c, int want);
	/* The descriptor can do REVENTS: does the kind's own business. What the user can try now. */
	int (*ready)(struct conn *c, int revents);
	/* read() would tell something that the descriptor does not tell of; false once an end or a failure was told. */
	bool (*pending)(const struct conn *c);
	/* Frees the state. The descriptor is closed next. */
	void (*close)(struct conn *c);
};

/* The first member of what a kind keeps of a connection. All but KIND is conn.c's. */
struct conn_state {
	const struct conn_kind *kind;
	struct conn *conn;
	struct ev_loop *loop;
	int want;
	ev_idle more; /* while the user waits for what is inside */
};

/* The plain connection C, watched or not, is of kind S->kind from now on, which does not see what was read before. */
void conn_use(struct ev_loop *loop, struct conn *c, struct conn_state *s);

#endif
