/* The certificates that those of peers have to lead to (PROXY_TLS_CAFILE, or the system's): the master reads the file
 * and passes what it has to the login workers (CTL_KEY), again within TRUST_CHECK_SECONDS of a change. What they could
 * not read is not passed: that before stays. Where there is no file nobody is believed. */
#ifndef MASTER_TRUST_H
#define MASTER_TRUST_H

#include "master/master.h"

enum { TRUST_CHECK_SECONDS = 5 };

/* Takes the file from m->set: at the start, and after each reload. */
void trust_update(struct master *m);
/* Passes it to C, a login worker that begins, or has lost its descriptor. */
void trust_begin(struct child *c);
/* Adds lines of "status", if peers can be asked for certificates. */
void trust_describe(struct str *s);

#endif
