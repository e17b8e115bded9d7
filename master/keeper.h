/* The process between spawn and a program of LOCAL_IMAP or LOCAL_POP3: whatever the program starts, and also what a
 * double fork takes out of its family, has ended when this process ends. So spawn has one process to watch. */
#ifndef MASTER_KEEPER_H
#define MASTER_KEEPER_H

#include <signal.h>
#include <sys/types.h>

#include "lib/base.h"

/* What spawn asks a keeper for. */
enum {
	KEEPER_ASK = SIGTERM, /* passes that on to all */
	KEEPER_KILL = SIGHUP  /* kills all; sent by the kernel, too, when spawn dies */
};

/* In a child of spawn, which has already become the account's user: returns in a child of its own, which is to execute
 * the program and dies with the keeper. The keeper has no descriptor left, and ends with the program's exit status, or
 * by the signal that ended it, once the last process of the family is gone. SPAWN is the process id of spawn. */
void keeper_begin(pid_t spawn);

#endif
