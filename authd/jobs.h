/* The queue in front of the auth workers: slow work goes to whichever is free, each caller is called back once.
 * A job whose worker died is given to another once; then it fails.
 *
 * Who waits for what:
 * - the node's own work (the userdb, hashes for the operator's tool) goes first;
 * - the rest goes round robin between the addresses that it is for, so that one that guesses passwords waits for
 *   itself alone;
 * - of several auth workers one is kept from each class of work (own, look-ups, hashes) while others wait, and from
 *   look-ups at all times: neither hashes of seconds nor directories that do not answer take all of them.
 * No address has more than JOBS_CLIENT_MAX jobs waiting. When JOBS_QUEUE_MAX wait, the address with the most of them
 * loses its latest, not the newcomer. Nothing here takes longer the more jobs wait. */
#ifndef AUTHD_JOBS_H
#define AUTHD_JOBS_H

#include <ev.h>

#include "authd/job.h"
#include "lib/chan.h"

struct jobs;

/* DONE is the answer, or NULL: there is none (workers gone, queue full). FD came with it (or -1) and is the
 * callee's. */
typedef void jobs_fn(const struct job_done *done, int fd, void *arg);

struct jobs *jobs_new(struct ev_loop *loop);
void jobs_free(struct jobs **j);
/* A worker's channel: takes over SOCK. An older channel of the same SLOT finishes its job first. */
void jobs_add_worker(struct jobs *j, unsigned slot, uint64_t generation, int sock);
/* A number for the next job_write_...() into W, then jobs_submit() with it. */
uint32_t jobs_next_id(struct jobs *j);
/* Queues the message in W (copied, wiped later), with a duplicate of FD unless -1. CLIENT: the address that the work is
 * for (copied; IPv6 counts by /64, the port does not matter); NULL: it is the node's own. FN is never called from
 * here. */
void jobs_submit(struct jobs *j, uint32_t id, const struct msgw *w, int fd, const struct net_addr *client, jobs_fn *fn,
    void *arg);
/* The caller ARG is going away: it is not called any more, and what waits for it is not done. */
void jobs_forget(struct jobs *j, void *arg);
/* Jobs that wait for a worker; jobs refused so far; workers that are connected. */
unsigned jobs_waiting(const struct jobs *j);
uint64_t jobs_refused(const struct jobs *j);
unsigned jobs_workers(const struct jobs *j);
/* Jobs that an auth worker is at. */
unsigned jobs_running(const struct jobs *j);

enum { JOBS_QUEUE_MAX = 4096, JOBS_CLIENT_MAX = 1024 };

#endif
