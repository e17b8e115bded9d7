/* The queue in front of the auth workers: slow jobs go to a free worker, and each caller is called back once. A job
 * whose worker died is given to another once; then it fails.
 *
 * Order and limits:
 * - the node's own work (the userdb, hashes for the operator's tool) goes first;
 * - the rest goes round robin between client addresses, so that an address that guesses passwords delays only itself;
 * - no address takes more than half of the workers (of an odd number one more): its slow hashes leave some to others at
 *   any time;
 * - of several auth workers one is kept free of each class of jobs (own, lookups, hashes) while others wait, and always
 *   of lookups: neither slow hashes nor silent directories can occupy all of them.
 * No address has more than JOBS_CLIENT_MAX jobs waiting. When JOBS_QUEUE_MAX wait, the address with the most of them
 * loses its newest, not the newcomer. The cost of each step does not depend on the number of waiting jobs. */
#ifndef AUTHD_JOBS_H
#define AUTHD_JOBS_H

#include <ev.h>

#include "authd/job.h"
#include "lib/chan.h"

struct jobs;

/* DONE is the answer, or NULL: there is none (workers gone, queue full). FD came with it (or -1); the callee owns
 * it. */
typedef void jobs_fn(const struct job_done *done, int fd, void *arg);

struct jobs *jobs_new(struct ev_loop *loop);
void jobs_free(struct jobs **j);
/* A worker's channel: takes over SOCK. An older channel of the same SLOT finishes its job first. */
void jobs_add_worker(struct jobs *j, unsigned slot, uint64_t generation, int sock);
/* A number for the next job_write_...() into W, then jobs_submit() with it. */
uint32_t jobs_next_id(struct jobs *j);
/* Queues the message in W (copied, wiped later), with a duplicate of FD unless -1. CLIENT: the client's address
 * (copied; IPv6 counts by /64, the port does not matter); NULL: it is a job of the node itself. FN is never called from
 * here. */
void jobs_submit(struct jobs *j, uint32_t id, const struct msgw *w, int fd, const struct net_addr *client, jobs_fn *fn,
    void *arg);
/* The caller ARG ends: it is no longer called, and its waiting jobs are dropped. */
void jobs_forget(struct jobs *j, void *arg);
/* A worker has begun one of the jobs of ARG. */
bool jobs_begun(const struct jobs *j, void *arg);
/* Jobs that wait for a worker; jobs refused so far; workers that are connected. */
unsigned jobs_waiting(const struct jobs *j);
uint64_t jobs_refused(const struct jobs *j);
unsigned jobs_workers(const struct jobs *j);
/* Jobs that auth workers are doing. */
unsigned jobs_running(const struct jobs *j);

enum { JOBS_QUEUE_MAX = 4096, JOBS_CLIENT_MAX = 1024 };

#endif
