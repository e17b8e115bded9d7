/* One packet to a channel, bundle or not: what is delivered was in it, and the channel accepts the next packet. */
#include <sys/socket.h>

#include "lib/chan.h"
#include "lib/die.h"

static unsigned messages;
static size_t bytes;
static volatile uint8_t sink;

static void on_msg(struct chan *c UNUSED, struct msgr *r, int fd, void *arg UNUSED)
{
	DIE_IF(fd != -1);
	messages++;
	for (const uint8_t *p = r->p; p < r->end; p++, bytes++)
		sink = *p;
}

static void on_gone(struct chan *c UNUSED, void *arg UNUSED)
{
	DIE_IF(true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ev_loop *loop;
	static int fd[2];

	if (size == 0) /* that is the end */
		return 0;
	if (loop == NULL) {
		loop = ev_default_loop(0);
		DIE_IF(msg_pair(fd) != 0);
		chan_new(loop, fd[0], on_msg, on_gone, NULL);
	}
	messages = 0;
	bytes = 0;
	DIE_IF(send(fd[1], data, size, 0) != (ssize_t)size);
	ev_run(loop, EVRUN_NOWAIT);
	DIE_IF(messages > 33 || bytes > size);
	/* Only an empty bundle has none, and the greeting of the channel. */
	DIE_IF(messages == 0 && (size != 2 || data[0] != 0xff || data[1] != 0xff) &&
	    (size != 4 || data[0] != 0xfe || data[1] != 0xff));
	return 0;
}
