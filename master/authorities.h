/* Whose certificates are believed, those of clients (TLS_TRUSTCERTS) and of peers (PROXY_TLS_CAFILE, or the system's):
 * the master reads the files and passes the certificates and revocation lists in them (CTL_TRUST) to login workers and
 * authd, which cannot open files. What has changed is passed again within a few seconds. The master keeps what is
 * believed: a new process gets that, whatever has become of the file since. */
#ifndef MASTER_AUTHORITIES_H
#define MASTER_AUTHORITIES_H

#include "master/master.h"

/* Takes the files from m->set: at the start, and after each reload. */
void authorities_update(struct master *m);
/* Passes everything to C, which begins. */
void authorities_begin(struct child *c);
/* Passes those of WHOSE (node/msg_control.h) to C again, which has missed them. */
void authorities_repeat(struct child *c, unsigned whose);
/* Adds lines of "status". */
void authorities_describe(struct str *s);

#endif
