/* The option list of an account: comma-separated name=value, Courier's. */
#ifndef SETTINGS_OPTIONS_H
#define SETTINGS_OPTIONS_H

#include "lib/base.h"

/* Option NAME in the list OPTIONS (exact, case-sensitive, first wins, as in Courier): true and, if OUT is
 * not NULL, its value ("" for a bare name) in OUT, cut at OUTSIZE. */
bool options_get(const char *options, const char *name, char *out, size_t outsize);
/* The option is a number other than 0 or a text that begins with t, T, y or Y (Courier's rule for disable*). */
bool options_is_on(const char *options, const char *name);

#endif
