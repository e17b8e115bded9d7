/* Courier's access files: which addresses may connect. The text that makeimapaccess compiles is read; its .dat is not
 * needed. A line is a network, a tab (or blanks), and "allow" or "deny"; the most specific network decides, and who is
 * in none is allowed.
 *   192.68.0.2          an address, IPv6 too      192.68.0.0/22, 2001:db8::/32   a network
 *   192.68, 192.68.0    Courier's networks        *                              everybody
 *   :2001:0db8          Courier's IPv6: groups of 16 bits behind a colon
 * What Courier has behind "allow," are variables for its programs: they have no meaning here. */
#ifndef SETTINGS_ACCESS_FILE_H
#define SETTINGS_ACCESS_FILE_H

#include "lib/str.h"

enum { ACCESS_RULES_MAX = 1000 * 1000 }; /* bytes of what access_file_read() returns */

/* Reads the file PATH, or all files of the folder PATH but hidden ones, in the order of their names. Returns lines
 * "allow NETWORK" and "deny NETWORK" (net_network_parse()), to be freed by the caller; of two for the same network the
 * later one counts. NULL if there are mistakes: there is no such file, or what it says is not understood. MISTAKES and
 * ODD get lines that tell them. */
char *access_file_read(const char *path, struct str *mistakes, struct str *odd);

#endif
