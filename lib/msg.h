/* Typed, bounded messages between the processes of a node. A message is one packet on a SOCK_SEQPACKET socket: a 16-bit
 * type, then fields in the order that the two sides agree on (node/msg_channel.h). At most one descriptor travels with
 * it. The writer never fails before msg_send(); the reader checks every field against the end of the message and the
 * size of its destination, and msgr_end() tells whether the message was whole, well-formed and read to its end. Use
 * nothing of a message before msgr_end() has returned true. */
#ifndef LIB_MSG_H
#define LIB_MSG_H

#include "lib/str.h"

enum { MSG_SIZE_MAX = 64 * 1024 }; /* bytes of a message with its type */
/* A message whose type is in this range may be skipped by a reader that does not know the type. Types above it are
 * lib/chan.c's. */
enum { MSG_OPTIONAL_FIRST = 0x8000, MSG_OPTIONAL_LAST = 0xfeff };

struct msgw {
	size_t len;
	bool overflow; /* a field did not fit; msg_send() refuses the message */
	uint8_t buf[MSG_SIZE_MAX];
};

/* Starts a message of TYPE in W. W is large: keep one static one per process or module. */
void msgw_begin(struct msgw *w, uint16_t type);
void msgw_u8(struct msgw *w, uint8_t v);
void msgw_u16(struct msgw *w, uint16_t v);
void msgw_u32(struct msgw *w, uint32_t v);
void msgw_u64(struct msgw *w, uint64_t v);
/* LEN raw bytes (may hold NUL). */
void msgw_bytes(struct msgw *w, const void *p, size_t len);
/* A C string; NULL is sent as "". */
void msgw_str(struct msgw *w, const char *s);

struct msgr {
	const uint8_t *p, *end;
	uint16_t type;
	bool bad; /* something was missing, too long or malformed */
};

/* Starts reading the LEN bytes at P, which must outlive R. */
void msgr_begin(struct msgr *r, const void *p, size_t len);
uint8_t msgr_u8(struct msgr *r);
uint16_t msgr_u16(struct msgr *r);
uint32_t msgr_u32(struct msgr *r);
uint64_t msgr_u64(struct msgr *r);
/* A byte that is 0 or 1; anything else makes the message bad, and gives false. */
bool msgr_bool(struct msgr *r);
/* A byte below LIMIT, as an enum's value is below its count; anything else makes the message bad, and gives 0. */
uint8_t msgr_below(struct msgr *r, unsigned limit);
/* Up to MAX raw bytes: a pointer into the message, and their number in *LEN. */
const void *msgr_bytes(struct msgr *r, size_t max, size_t *len);
/* Exactly LEN raw bytes, into DST. */
void msgr_fixed(struct msgr *r, void *dst, size_t len);
/* A string without control characters (lib/text.h) into DST of SIZE bytes; one that has some, or is too long, makes the
 * message bad: a compromised process cannot inject a line into what others send, write or sign. */
void msgr_str(struct msgr *r, char *dst, size_t size);
/* As msgr_str(), into new memory of at most MAX bytes; never NULL. Free with mem_free(). */
char *msgr_strdup(struct msgr *r, size_t max);
/* The same two for text of several lines, which may hold anything but NUL. */
void msgr_lines(struct msgr *r, char *dst, size_t size);
char *msgr_linesdup(struct msgr *r, size_t max);
/* True if the message was good and was read to its end. */
bool msgr_end(struct msgr *r);

/* Sends W, with descriptor FD unless -1 (the caller keeps its own copy).
 * 0 done; 1 no room now (non-blocking socket); -1 error in errno (EMSGSIZE: too large). */
int msg_send(int sock, const struct msgw *w, int fd);
/* Receives one message into BUF (MSG_SIZE_MAX bytes). *FD is the descriptor that came with it, or -1 (also if this
 * process can have no more); the caller owns it. Waits if the socket is blocking.
 * 1 got one (R is set up); 0 the other side is gone; -1 error in errno (EAGAIN: nothing there now). */
int msg_recv(int sock, void *buf, struct msgr *r, int *fd);
/* The last time (clock_seconds()) that a descriptor was lost because this process could open no more; 0: never. */
uint32_t msg_lost_at(void);
/* A connected pair of message sockets, close-on-exec, blocking, with room for the largest message. 0, or -1 with
 * errno. */
int msg_pair(int fd[2]);

#endif
