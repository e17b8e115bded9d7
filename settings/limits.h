/* The limits of the operating system that a node reaches first, for `waypost check`. */
#ifndef SETTINGS_LIMITS_H
#define SETTINGS_LIMITS_H

#include "lib/str.h"
#include "settings/settings.h"

/* Appends one line per limit to OUT: its name, its value, what the settings require and why, and "ok" or what to type.
 * The number of sessions is MAXDAEMONS if every protocol has one, else 10,000. */
void limits_report(const struct settings *set, struct str *out);
/* What LimitNOFILE has to be if descriptors have run out: what the settings require, and twice what there is now. */
uint64_t limits_more_descriptors(const struct settings *set);

#endif
