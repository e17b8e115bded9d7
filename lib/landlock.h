/* Landlock, landlock(7): what a process and its children may reach from now on, for good, whoever they are. A kernel
 * may know none of it or a part. */
#ifndef LIB_LANDLOCK_H
#define LIB_LANDLOCK_H

#include <stdint.h>

#include "lib/base.h"

/* The kernel's bits, in those of its versions ("ABI") that have them. */
#define LANDLOCK_FS_EXECUTE (1ULL << 0)
#define LANDLOCK_FS_WRITE_FILE (1ULL << 1)
#define LANDLOCK_FS_READ_FILE (1ULL << 2)
#define LANDLOCK_FS_READ_DIR (1ULL << 3)
#define LANDLOCK_FS_TRUNCATE (1ULL << 14)
#define LANDLOCK_FS_DEVICES (1ULL << 15) /* ioctl() */
#define LANDLOCK_FS_ALL ((1ULL << 16) - 1)
#define LANDLOCK_NET_BIND (1ULL << 0) /* TCP; the next one as well */
#define LANDLOCK_NET_CONNECT (1ULL << 1)
#define LANDLOCK_SCOPE_ABSTRACT (1ULL << 0) /* abstract sockets of others */
#define LANDLOCK_SCOPE_SIGNAL (1ULL << 1)   /* signals to others */

/* What is forbidden unless a rule allows it. */
struct landlock {
	uint64_t fs, net, scoped;
};

/* From this version on files can be moved from one directory to another (new/ to cur/). */
enum { LANDLOCK_ABI_MOVES = 2 };

/* The kernel's version; less than 1: it has no Landlock. Children of who has asked once need not ask. */
long landlock_abi(void);
/* New rules that forbid WHAT, of which only that is left which the kernel knows: a descriptor, or -1. */
int landlock_new(struct landlock *what);
/* RULES allow ACCESS below the directory (or to the file) NAME in the directory DIR. False: it cannot be opened. */
bool landlock_allow(int rules, int dir, const char *name, uint64_t access);
/* RULES allow ACCESS with the TCP port PORT; 0, for binding: one that the system chooses. False: the kernel cannot. */
bool landlock_allow_port(int rules, uint16_t port, uint64_t access);
/* RULES, which is closed, apply to the process, and no_new_privs is set. False: they do not. */
bool landlock_enter(int rules);

#endif
