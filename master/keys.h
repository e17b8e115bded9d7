/* The certificates that the settings name, and their keys (master/cert_files.h): the master opens the files and passes
 * them to the key processes, which read them (CTL_KEY). Files that changed, and new ones, are passed within three
 * checks: when they stayed as they are for one of them. What a key process takes replaces what it had for the same
 * use; what it refuses does not, and is told if it is refused again in the next check, or when all that waits for key
 * processes was passed. What cannot be looked for,
 * because a folder cannot be read, stays. */
#ifndef MASTER_KEYS_H
#define MASTER_KEYS_H

#include "master/master.h"

enum { KEYS_CHECK_SECONDS = 2 };

/* The settings name a certificate: there have to be key processes. */
bool keys_wanted(const struct settings *set);
/* Takes the files from m->set: at the start, and after each reload. */
void keys_update(struct master *m);
/* Passes all keys to C, a key process that begins, when there is room for each on its channel; then calls
 * children_begin(). It knows of keys that wait, now and later (CTL_KEYS), so that login workers wait with it. */
void keys_begin(struct child *c);
/* Not all keys were passed to C yet. */
bool keys_are_waiting(const struct child *c);
/* C has ended. */
void keys_forget(struct child *c);
/* Adds lines of "status" on what was not found. */
void keys_describe(struct str *s);
/* C, a key process, lacks some because descriptors ran out: keys_repeat() comes in a moment, and until then none is
 * passed. */
void keys_lack(struct child *c);
/* Passes all keys to C, a key process, once more. */
void keys_repeat(struct child *c);

#endif
