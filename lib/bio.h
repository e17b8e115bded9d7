/* Buffered input and output of a process that serves one client and may wait for it: lines in, replies out.
 * Both directions work on sockets and on pipes or terminals; the descriptors may be blocking or not.
 * - Output is collected and sent before any wait for input, so that the answers to pipelined commands
 *   leave together. The lines of lib/log are flushed at the same moment.
 * - Every wait has a limit, and ends when a signal handler sets *stop. Block the signals at all other times (see
 *   wait_mask), so that none is missed; node/session.h does.
 * - A failure of output is remembered: all further output is dropped, and the next read reports it. */
#ifndef LIB_BIO_H
#define LIB_BIO_H

#include <signal.h>

#include "lib/base.h"

enum bio_result {
	BIO_OK = 1,
	BIO_EOF = 0,       /* the client closed its side (an unfinished line is dropped) */
	BIO_ERROR = -1,    /* the connection failed, or does not take our output */
	BIO_TIMEOUT = -2,  /* nothing (or no whole line) within the limit */
	BIO_STOP = -3,     /* *stop is set, and no whole line is there */
	BIO_TOO_LONG = -4, /* the line is longer than allowed; nothing was taken: bio_skip_line() or end */
	BIO_OTHER = 2      /* bio_wait() only: the other descriptor is readable */
};

enum {
	BIO_IN_SIZE = 64 * 1024,  /* longest line, with its end, that a caller may ask for */
	BIO_OUT_SIZE = 64 * 1024, /* bytes collected before they are sent */
	BIO_STOP_GRACE = 3000     /* ms that output may still wait once *stop is set */
};

/* How many bytes passed, for another process to read. */
struct bio_figures {
	uint64_t rcvd, sent;
};

struct bio {
	int in, out;                       /* the same descriptor for a socket */
	const volatile sig_atomic_t *stop; /* may be NULL */
	const sigset_t *wait_mask;         /* signal mask during waits (as ppoll), may be NULL */
	int send_timeout;                  /* ms without any progress until the client counts as gone */
	uint64_t *rcvd, *sent;             /* counters that grow with what passed; may be NULL */
	/* A copy of both (then not NULL), written and never read; may be NULL. */
	struct bio_figures *figures;
	bool out_failed;
	/* private */
	char *in_buf, *out_buf;
	size_t in_pos, in_len, out_len;
	bool in_socket, out_socket;
};

/* Sets up B without a stop flag, with a send timeout of 60 s and no counters; change the members then. The
 * descriptors stay the caller's. */
void bio_init(struct bio *b, int in, int out);
/* Output goes to OUT instead, from now on. */
void bio_set_out(struct bio *b, int out);
/* Frees the buffers (what was not flushed is lost). */
void bio_fini(struct bio *b);
/* LEN bytes (at most BIO_IN_SIZE; more end the process as our own bug) that were read already, as the first
 * input: before any read. Counted as received. */
void bio_preload(struct bio *b, const void *p, size_t len);

/* The next line, without its CRLF or LF, NUL-terminated, writable, valid until the next read; *LEN tells of NUL bytes
 * within. At most MAX bytes with the line's end. TIMEOUT in ms (-1: none) is for the whole line, however slowly it
 * arrives. BIO_OK, _EOF, _ERROR, _TIMEOUT, _STOP, _TOO_LONG. A line that has arrived already is returned even if *stop
 * is set: test the flag between commands. */
int bio_line(struct bio *b, size_t max, int timeout, char **line_out, size_t *len_out);
/* Drops input up to and with the next LF, at most MAX bytes (BIO_TOO_LONG if there is none within them). */
int bio_skip_line(struct bio *b, size_t max, int timeout);
/* Some of the input: between 1 and MAX bytes, valid until the next read. TIMEOUT as above. For literals.
 * BIO_OK, _EOF, _ERROR, _TIMEOUT, _STOP (only if nothing is there). */
int bio_some(struct bio *b, size_t max, int timeout, char **p_out, size_t *len_out);
/* As bio_some(), but nothing beyond the first LF: a piece of a line; the last piece ends in LF. For lines of any
 * length. */
int bio_piece(struct bio *b, size_t max, int timeout, char **p_out, size_t *len_out);
/* Waits until there is input, or descriptor OTHER (-1: none) is readable. Takes nothing.
 * BIO_OK (read on: data or the end), _OTHER, _ERROR, _TIMEOUT, _STOP. */
int bio_wait(struct bio *b, int other, int timeout);
/* The state of the client's side, as seen without reading. */
enum bio_peer {
	BIO_PEER_THERE,
	BIO_PEER_SILENT, /* it will send nothing more; it may still read */
	BIO_PEER_GONE    /* nothing can reach it */
};
enum bio_peer bio_peer(const struct bio *b);
/* Bytes of input that can be read without waiting. */
size_t bio_pending(const struct bio *b);

/* Output: collected, sent when the buffer is full; large pieces are sent without being copied.
 * False once output has failed. */
bool bio_put(struct bio *b, const void *p, size_t len);
bool bio_puts(struct bio *b, const char *text);
/* Any length. */
bool bio_printf(struct bio *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* Sends what was collected; waits for the client up to send_timeout for each bit of progress. */
bool bio_flush(struct bio *b);
/* For the end, after the last flush: shuts down our side and discards input for up to MS ms. Unread input would make
 * the kernel reset the connection and lose our last reply. */
void bio_linger(struct bio *b, int ms);

#endif
