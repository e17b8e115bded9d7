/* A child process that answers by a pipe or in messages, for drivers whose code may hang, die or leave things behind:
 * it has its own session and process group, default signals, only descriptors 0, 1 and 2, dies with us, and is gone
 * with its whole group after child_end(). */
#ifndef AUTHLIB_CHILD_H
#define AUTHLIB_CHILD_H

#include "lib/str.h"

/* What the child's standard output is: a pipe, or a message socket (lib/msg.h). */
enum child_output { CHILD_BYTES, CHILD_MESSAGES };

/* All members are private but the two descriptors. */
struct child {
	pid_t pid;    /* 0: there is none */
	int to, from; /* its standard input and output; non-blocking */
};

/* clang-format off */
#define CHILD_INIT { .pid = 0, .to = -1, .from = -1 }
/* clang-format on */

/* Starts a copy of this process that runs RUN(ARG) and then ends with its result as exit status. RUN must not use the
 * log, which belongs to the parent. False, with the reason in WHY, if no child can be started. */
bool child_start(struct child *c, enum child_output output, int (*run)(void *arg), void *arg, struct str *why);
/* Closes the pipes, kills what is left of the group and waits for the child itself. If it had ended by itself, how is
 * appended to WHY (may be NULL). Does nothing if there is no child. */
void child_end(struct child *c, struct str *why);

#endif
