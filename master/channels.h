/* The channels between processes: made here, their ends are passed to both.
 * A login worker and the key processes of its slot have one for the worker's whole life, of which the master keeps the
 * key process's end: what a worker asks while there is no key process waits there for the next one. */
#ifndef MASTER_CHANNELS_H
#define MASTER_CHANNELS_H

#include "master/master.h"
#include "node/msg_control.h"

/* Their processes talk to each other. Of key processes and login workers, those of the same slot do. */
bool channels_are_peers(const struct post *a, const struct post *b);
/* C, which was just started, gets its channels to all who run. A login worker gets the one to key processes, if there
 * shall be some, even before there are: it waits there for the certificates before it accepts clients. */
void channels_begin(struct child *c);
/* C has got no descriptor for its channel to OTHER: it is made again, if they are peers. */
void channels_missed(struct child *c, const struct control_process *other);
/* Makes the channel between A and B again, unless one of them takes none any more. */
void channels_repeat(struct child *a, struct child *b);
/* C has ended. */
void channels_forget(struct child *c);
/* A login worker runs in this slot that has a channel to key processes. */
bool channels_use_keys(const struct master *m, unsigned slot);

#endif
