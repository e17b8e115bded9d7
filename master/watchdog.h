/* The watchdog: asks login workers, authd and spawn every few seconds whether their loops turn, and replaces those that
 * do not answer (watch.h). What may block, auth workers and session servers, is not asked. */
#ifndef MASTER_WATCHDOG_H
#define MASTER_WATCHDOG_H

#include "lib/str.h"
#include "master/master.h"

/* Begins; it ends by itself when the daemon stops. */
void watchdog_start(struct master *m);
/* C has said CTL_PONG. */
void watchdog_answer(struct child *c);
/* Adds what the watchdog has done so far, if anything, as lines of "status". */
void watchdog_describe(struct str *s);

#endif
