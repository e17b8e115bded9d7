/* Who takes the clients of which worker slot. The kernel deals clients out to the listening sockets of all slots,
 * whether somebody looks at them or not: so the sockets of a slot whose worker is not there, hangs (SIGSTOP), or has
 * no descriptors left are passed to another worker, until it is back. Closing them instead would reset the clients
 * that are queued there. */
#ifndef MASTER_SLOTS_H
#define MASTER_SLOTS_H

#include "master/master.h"

/* Passes C, a login worker that begins, the sockets of its own slot. */
void slots_begin(struct child *c);
/* C is to have the sockets of slot SLOT: it is its own, or another's whose clients C takes. */
bool slots_serves(const struct child *c, unsigned slot);
/* The same once more, for slot SLOT, of which C has missed some. */
void slots_repeat(struct child *c, unsigned slot);
/* After a worker has become ready, full, or not full any more, was retired, held, or is gone: sees to it that each
 * slot has the worker that it should have, and tells full workers whether others take their clients. */
void slots_update(struct master *m);
/* Before posts and listeners are changed by a reload: no slot is served by another's worker. */
void slots_take_back(struct master *m);
/* C is no more. */
void slots_forget(const struct child *c);

#endif
