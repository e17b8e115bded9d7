/* A digest of what a settings file says, by which the nodes of a pool see whether all have the same. It is of the file
 * as it was parsed, with all that it includes, but before ${NAME} is replaced: comments, blanks, line ends, and the
 * order of groups and of settings within a group make no difference; values do, even if they mean the same (1, true,
 * "1"). */
#ifndef SETTINGS_SAME_H
#define SETTINGS_SAME_H

#include <libconfig.h>

enum { SETTINGS_SAME_MAX = 2 * 32 + 1 /* hexadecimal digits, and NUL */ };

/* The digest of ROOT into OUT. */
void settings_same(const config_setting_t *root, char out[SETTINGS_SAME_MAX]);

#endif
