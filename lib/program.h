/* Whether a program may be executed in the name of others: only if nobody else can change what it is. */
#ifndef LIB_PROGRAM_H
#define LIB_PROGRAM_H

#include "lib/base.h"

enum { PROGRAM_WHY_MAX = 512 };

/* The program at PATH (absolute), every folder on the way to it, and every symbolic link there belongs to root, or to
 * the user of this process, and can be changed by nobody else; and it is an executable file. The way is that of the
 * kernel: also the folders through which a link leads, and those of the links that it leads to, at most 40 in all. A
 * folder with the sticky bit may be writable: what is in it belongs to those two. False: WHY says what is wrong. */
bool program_is_trusted(const char *path, char why[PROGRAM_WHY_MAX]);

#endif
