/* What a role lacks because a descriptor could not be passed: the role (MSG_CTRUNC) or the master has too many open. It
 * is sent again each second until the role stops complaining; meanwhile `waypost status` reports it. */
#ifndef MASTER_MISSING_H
#define MASTER_MISSING_H

#include "master/master.h"

/* TO lacks WHAT: CTL_CHANNEL (to OTHER), CTL_LISTEN (of SLOT), CTL_TRUST (SLOT: whose), CTL_SETTINGS or CTL_KEY. One
 * entry for each, however often. */
void missing_add(struct child *to, uint16_t what, struct child *other, unsigned slot);
/* C is gone. */
void missing_forget(const struct child *c);
/* C lacks listening sockets. */
bool missing_sockets(const struct child *c);
unsigned missing_count(void);

#endif
