/* A listener at a port of 127.0.0.1 that is free. */
#ifndef TESTS_LISTENING_H
#define TESTS_LISTENING_H

#include <sys/socket.h>

#include "lib/net.h"
#include "tests/unit/unit.h"

/* Its descriptor; *A is its address. */
static inline int listen_at(struct net_addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd;

	CU_ASSERT(net_addr_parse(a, "127.0.0.1", 0));
	fd = net_listen(a, 64);
	CU_ASSERT_FATAL(fd != -1 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0);
	net_addr_from(a, &ss);
	return fd;
}

#endif
