/* Programs of LOCAL_IMAP and LOCAL_POP3 whose stream nobody else has any more: the login worker has closed its end, or
 * is gone. A program may overlook that, or leave its stream to other processes. */
#ifndef MASTER_PROGRAMS_H
#define MASTER_PROGRAMS_H

#include <ev.h>
#include <sys/types.h>

#include "lib/base.h"

/* Nobody has the other end of the stream of process PID any more, which serves the session whose lower 32 bits are
 * SESSION. It may have ended. */
typedef void programs_alone_fn(pid_t pid, uint32_t session);

void programs_init(struct ev_loop *loop, programs_alone_fn *alone);
/* Calls ALONE, once, when the other end of STREAM is closed while some process still has this one. The caller may close
 * it now: process PID has it. */
void programs_watch(int stream, pid_t pid, uint64_t session);

#endif
