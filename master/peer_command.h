/* `waypost peer`: the file RUNDIR/peers (settings/peer_orders.h), which only the master writes. It outlives the daemon,
 * but not the machine if RUNDIR is in memory, as it should be. */
#ifndef MASTER_PEER_COMMAND_H
#define MASTER_PEER_COMMAND_H

#include "settings/peer_orders.h"

/* Writes what O says into the file in RUNDIR, dated NOW (unix seconds): up takes back what was said about the same.
 * False: WHY (appended, a line) says why it could not. */
bool peer_command_save(const char *rundir, const struct peer_order *o, int64_t now, struct str *why);

#endif
