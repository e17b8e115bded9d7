/* The auth workers: blocking processes that do for authd whatever may wait (authd/job.h), one job at a time.
 * They own the connections to directories. They outlive authd: its successor gets a new channel to each. */
#ifndef AUTHD_AUTHWORKER_H
#define AUTHD_AUTHWORKER_H

#include "authd/job.h"
#include "node/role.h"

/* Does JOB; IMAGE is the descriptor that came with it (-1: none), still the caller's. DONE (uninitialised before) is
 * the answer; *FD_OUT the descriptor to send with it (-1: none), the caller's. CHAIN may be NULL (no driver that
 * waits). */
void authworker_do(const struct job *job, int image, struct auth_chain *chain, struct job_done *done, int *fd_out);

/* The image that JOB has led to is good for the next authd, too: what is in it has come from the file at PATH (that of
 * this process's settings) alone, none of it out of the image that authd has sent with JOB. */
bool authworker_image_lasts(const struct job *job, const struct job_done *done, const char *path);

/* The role's main. */
int authworker_main(const struct role_start *who);

#endif
