/* The file in which authd/pool_capability.h outlives authd: STATEDIR/capabilities. authd reads it once, and opens no
 * file for writing: that is a job for an auth worker. */
#ifndef AUTHD_POOL_FILE_H
#define AUTHD_POOL_FILE_H

#include "authd/authd_private.h"

/* Makes A->pool_capability, from the file if there is a good one; a bad one is logged and written anew. */
void pool_file_read(struct authd *a);
/* To be called every second: has the file written if there is something new. */
void pool_file_tick(struct authd *a);
/* For auth workers: the file of SET gets the content of CONTENT, as a whole or not at all. False: it could not be
 * written, and that was logged. authd does not say where, or it could have any file of AUTH_USER written. */
bool pool_file_write(const struct settings *set, int content);

#endif
