/* Whose certificates clients may show (TLS_TRUSTCERTS): the master reads the files and passes what they hold, not
 * looking into it, to login workers and authd (CTL_TRUST), which cannot open files. What has changed is passed again
 * within CLIENT_TRUST_CHECK_SECONDS; what cannot be read, and what they cannot use, replaces nothing. */
#ifndef MASTER_CLIENT_TRUST_H
#define MASTER_CLIENT_TRUST_H

#include "master/master.h"

enum { CLIENT_TRUST_CHECK_SECONDS = 2 };

/* Takes the files from m->set: at the start, and after each reload. */
void client_trust_update(struct master *m);
/* Passes everything to C, which begins. */
void client_trust_begin(struct child *c);
/* Somebody has not got it: everybody gets it again soon. */
void client_trust_missed(void);

#endif
