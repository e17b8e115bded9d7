/* A stream connection on an event loop, plain or of another kind (TLS, later). Its user reads, writes and says what it
 * waits for, without knowing what lies between it and the socket.
 *
 * A connection is plain at first: bytes pass unchanged. Another kind is a struct conn_kind, with its state for one
 * connection in a struct conn_state; conn_use() switches to it, before the first byte or between two. A kind may
 * - hold bytes that poll() does not report, and need to write before it can read, or read before it can write. So a
 *   user does not wait for the descriptor to be ready, but says what it wants to do itself (conn_watch()) and asks in
 *   the callback of the loop what it can do now (conn_ready(), which may be 0: the event was for the kind alone);
 * - end one direction by a message of its own (conn_shut()); an end without that message is told apart (CONN_CUT);
 * - change the bytes. Splice them, or give the descriptor away, only if conn_raw_fd() returns it.
 * No function waits. EV_READ and EV_WRITE are libev's.
 */
#ifndef LIB_CONN_H
#define LIB_CONN_H

#include <sys/types.h>

#include <ev.h>

#include "lib/base.h"
#include "lib/str.h"

/* Results that are not a number of bytes. */
enum {
	CONN_LATER = -1,  /* nothing can be read, or written, now */
	CONN_FAILED = -2, /* the connection is broken: conn_error() */
	CONN_CUT = -3     /* of reading: the stream has ended without the kind's word for that, and may not be all */
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
/* Stops watching C and closes it, if it is open. If the kind still has something to send, that is tried once. */
void conn_close(struct ev_loop *loop, struct conn *c);
/* Moves the connection FROM, with all that its kind holds, to TO, which is not watched yet; FROM is not open any more.
 * If TO is watched in the same turn of the loop for what FROM was watched for, a plain connection costs no system
 * call. */
void conn_take_over(struct ev_loop *loop, struct conn *to, void (*fn)(struct ev_loop *, ev_io *, int), void *data,
    struct conn *from);

/* From now on the callback is called when the user can do WANT: EV_READ, EV_WRITE, both, or 0. */
void conn_watch(struct ev_loop *loop, struct conn *c, int want);
/* The WANT of the last conn_watch(). */
int conn_wants(const struct conn *c);
/* To be called first in the callback, with the loop's REVENTS: what of conn_wants() can be tried now. */
int conn_ready(struct conn *c, int revents);

/* Reads up to ROOM bytes (at least 1); C need not be watched. Returns their number, 0 at the end of the stream,
 * CONN_LATER, CONN_FAILED, or CONN_CUT, which conn_error() tells too, and which ends this direction alone. */
ssize_t conn_read(struct conn *c, void *p, size_t room);
/* The same, but the bytes stay to be read. */
ssize_t conn_peek(struct conn *c, void *p, size_t room);
/* Writes some of the LEN bytes (at least 1) at P. Returns their number (never 0), CONN_LATER if none can be written now
 * (the next write must begin with the same bytes), or CONN_FAILED. No signal is raised. */
ssize_t conn_write(struct conn *c, const void *p, size_t len);
/* Writes OUT; what was written is wiped and dropped from it. 0: all of it; CONN_LATER: some is left; CONN_FAILED. */
ssize_t conn_flush(struct conn *c, struct str *out);
/* Tells the other side, after all that was written, that nothing more comes. */
void conn_shut(struct conn *c);
/* The same without a word: who reads there can see that it is not all, if the kind has a word for the end. */
void conn_break_off(struct conn *c);
/* Of what was written the kind still holds some, which conn_close() would lose. Whoever watches C for anything, or for
 * nothing, is called when that has changed. */
bool conn_holds(const struct conn *c);
/* Ends both directions at once, also for those who have copies of the descriptor; C stays open. */
void conn_cut(struct conn *c);
/* The other side has reset C, or both directions have ended. For connections that are not watched. */
bool conn_is_cut(const struct conn *c);
/* Why the last call returned CONN_FAILED, as text for people. Ask before any other call. */
const char *conn_error(const struct conn *c);
/* What is written goes out: the kind has agreed on its terms with the other side. */
bool conn_is_up(const struct conn *c);
/* Bytes of memory that C's kind holds, about. The other side has a part in it: see what is said of a kind. */
size_t conn_memory(const struct conn *c);
/* The descriptor, if the bytes pass through it unchanged; -1 if this kind changes them. */
int conn_raw_fd(const struct conn *c);

/* --- for kinds --- */

/* All are called with an open connection that has the kind's state, and return what the functions above return. */
struct conn_kind {
	ssize_t (*read)(struct conn *c, void *p, size_t room);
	ssize_t (*peek)(struct conn *c, void *p, size_t room);
	ssize_t (*write)(struct conn *c, const void *p, size_t len);
	/* Nothing more is written, which is said if it is the END; what cannot be sent at once is left to ready(). */
	void (*shut)(struct conn *c, bool end);
	const char *(*error)(const struct conn *c);
	/* What to watch the descriptor for: for WANT, and for the kind's own needs. Asked after each call. */
	int (*events)(const struct conn *c, int want);
	/* The descriptor is ready for REVENTS: does the kind's own work, and returns what the user can try now. */
	int (*ready)(struct conn *c, int revents);
	/* read() has something to return that poll() on the descriptor does not show; false once an end or a failure
	 * was reported. */
	bool (*pending)(const struct conn *c);
	bool (*is_up)(const struct conn *c);
	size_t (*memory)(const struct conn *c);
	/* Some of what was written waits to be sent. */
	bool (*holds)(const struct conn *c);
	/* Frees the state. The descriptor is closed next. */
	void (*close)(struct conn *c);
};

/* The first member of a kind's state of a connection. All but `kind` belongs to conn.c. */
struct conn_state {
	const struct conn_kind *kind;
	struct conn *conn;
	struct ev_loop *loop;
	int want;
	ev_idle more; /* runs while the user waits for bytes that the kind holds */
};

/* Turns the plain connection C, watched or not, into one of kind S->kind, which does not see what was read before. */
void conn_use(struct ev_loop *loop, struct conn *c, struct conn_state *s);

#endif
