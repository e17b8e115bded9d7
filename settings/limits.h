/* The limits of the operating system that a node runs into first, for `waypost check`. */
#ifndef SETTINGS_LIMITS_H
#define SETTINGS_LIMITS_H

#include "lib/str.h"
#include "settings/settings.h"

/* Appends one line a limit to OUT: its name, what it is, what the settings ask for and why, and "ok" or what to
 * type. The number of sessions is MAXDAEMONS where every protocol has one, else 10,000. */
void limits_report(const struct settings *set, struct str *out);

#endif
