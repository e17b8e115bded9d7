/* What unit tests that play the other end of a channel share. */
#ifndef TESTS_MSG_TEST_H
#define TESTS_MSG_TEST_H

#include <poll.h>

#include "lib/msg.h"

enum { UNIT_HELLO = 0xfffe }; /* lib/chan.c: the first message of a channel */

/* As msg_recv(), but skips the greeting of a channel. */
static inline int unit_recv(int sock, void *buf, struct msgr *r, int *fd)
{
	int got;

	do
		got = msg_recv(sock, buf, r, fd);
	while (got == 1 && r->type == UNIT_HELLO);
	return got;
}

/* The next message of SOCK, which is blocking, if there is one now; a descriptor that comes with it is in *FD. */
static inline bool unit_next(int sock, void *buf, struct msgr *r, int *fd)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	while (poll(&p, 1, 0) == 1 && msg_recv(sock, buf, r, fd) == 1)
		if (r->type != UNIT_HELLO)
			return true;
	return false;
}

#endif
