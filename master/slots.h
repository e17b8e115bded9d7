/* Which worker accepts the clients of which slot. The kernel distributes clients among the listening sockets of all
 * slots, whether or not a worker reads them. So if the worker of a slot is down, stopped (SIGSTOP) or out of
 * descriptors, its sockets are passed to another worker until it is back. Closing them instead would reset the clients
 * that are queued there. */
#ifndef MASTER_SLOTS_H
#define MASTER_SLOTS_H

#include "master/master.h"

/* Passes C, a new login worker, the sockets of its own slot. */
void slots_begin(struct child *c);
/* C should have the sockets of slot SLOT: it is its own, or C accepts the clients of that slot. */
bool slots_serves(const struct child *c, unsigned slot);
/* Passes C the sockets of slot SLOT again, because it missed some. */
void slots_repeat(struct child *c, unsigned slot);
/* To be called when a worker has become ready, full, or not full any more, was retired or stopped, or is gone: gives
 * each slot the worker that it should have, and tells full workers whether others accept their clients. */
void slots_update(struct master *m);
/* To be called before a reload changes posts and listeners: returns each slot to its own worker. */
void slots_take_back(struct master *m);
/* C is gone. */
void slots_forget(const struct child *c);

#endif
