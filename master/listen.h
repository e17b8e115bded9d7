/* The listening sockets of the node: one per address, port and worker slot, all with SO_REUSEPORT, so that the kernel
 * distributes clients among the workers. The master keeps each one open for as long as its port is configured: closing
 * one would reset the clients that are queued on it. */
#ifndef MASTER_LISTEN_H
#define MASTER_LISTEN_H

#include "lib/net.h"
#include "lib/str.h"
#include "node/msg_channel.h"
#include "settings/settings.h"

struct listener {
	struct listener *next;
	enum protocol protocol;
	bool tls; /* from the first byte */
	struct net_addr addr;
	unsigned slot;
	int fd;
	bool wanted; /* the current settings name its address and port */
};

struct listeners {
	struct listener *first;
};

/* Opens what SET asks for and is not open yet, for SLOTS workers; sockets that SET no longer names are marked as not
 * wanted. On failure ERRORS has a line for each port that cannot be opened, and nothing has changed. Names are resolved
 * here, which may block; call it at start and reload only. */
bool listen_update(struct listeners *ls, const struct settings *set, unsigned slots, struct str *errors);
/* Appends where LS listens, in the format of settings.listens. A wildcard socket is listed with the addresses that the
 * machine has now. */
void listen_describe(const struct listeners *ls, struct str *out);
/* Closes what is not wanted. */
void listen_prune(struct listeners *ls);
/* Closes everything. */
void listen_close(struct listeners *ls);
/* Makes L listen, before a worker gets it: one that had it and was taken over can have ended that (shutdown(),
 * connect()), and the socket is the same for all who have it. Logs an error. */
void listen_again(const struct listener *l);
/* Worker SLOT of SLOTS gets L: it is of its own slot, or of one that is gone (whose clients must be served). */
bool listen_is_for(const struct listener *l, unsigned slot, unsigned slots);

#endif
