/* The file of certificates that those of peers have to lead to (PROXY_TLS_CAFILE, or the system's): the master opens it
 * and passes it to the login workers, which read it (CTL_KEY). If it changed it is passed again within
 * TRUST_CHECK_SECONDS. Where it is not there they get an empty one: nobody is believed then. */
#ifndef MASTER_TRUST_H
#define MASTER_TRUST_H

#include "master/master.h"

enum { TRUST_CHECK_SECONDS = 5 };

/* Takes the file from m->set: at the start, and after each reload. */
void trust_update(struct master *m);
/* Passes it to C, a login worker that begins, or has lost its descriptor. */
void trust_begin(struct child *c);

#endif
