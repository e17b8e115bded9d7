/* Opens a channel between two processes; handles messages that the reader does not know. */
#include "node/msg_channel.h"

#include "lib/log.h"

struct chan *msg_channel_open(struct ev_loop *loop, int sock, chan_fn *on_msg, chan_gone_fn *on_gone, void *arg)
{
	struct chan *c = chan_new(loop, sock, on_msg, on_gone, arg);

	chan_greet(c, MSG_CHANNEL_VERSION);
	return c;
}

bool msg_channel_skips(const struct chan *c, const struct msgr *r, const char *who)
{
	if (r->type >= MSG_OPTIONAL_FIRST && r->type <= MSG_OPTIONAL_LAST && !r->bad)
		return true;
	if (chan_version(c) != MSG_CHANNEL_VERSION)
		log_error("unexpected message %u from %s, which has version %u of the messages; this process has "
		          "version %u",
		    r->type, who, chan_version(c), MSG_CHANNEL_VERSION);
	else
		log_error("unexpected message %u from %s", r->type, who);
	return false;
}
