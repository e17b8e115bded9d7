#include "authd/jobs.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/log.h"
#include "lib/mem.h"
#include "node/wire.h"

struct queued_job {
	struct queued_job *next;
	uint32_t id;
	int fd;
	unsigned tries;
	jobs_fn *fn; /* NULL: nobody wants the answer any more */
	void *arg;
	size_t len;
	uint8_t data[];
};

struct job_worker {
	struct job_worker *next;
	struct jobs *jobs;
	struct chan *chan;
	unsigned slot;
	uint64_t generation;
	struct queued_job *busy;
};

struct jobs {
	struct ev_loop *loop;
	struct job_worker *workers;
	struct queued_job *first, **last;
	struct queued_job *refused; /* to be told from the loop */
	ev_timer tell;
	unsigned waiting;
	uint32_t last_id;
};

static void free_job(struct queued_job *q)
{
	if (q->fd != -1)
		close(q->fd);
	mem_wipe(q->data, q->len);
	mem_free(&q);
}

static void finish(struct queued_job *q, const struct job_done *done, int fd)
{
	jobs_fn *fn = q->fn;
	void *arg = q->arg;

	free_job(q);
	if (fn != NULL)
		fn(done, fd, arg);
	else if (fd != -1)
		close(fd);
}

/* Gives waiting jobs to free workers. */
static void dispatch(struct jobs *j)
{
	static struct msgw w;

	for (struct job_worker *jw = j->workers; jw != NULL; jw = jw->next) {
		while (jw->busy == NULL && j->first != NULL) {
			struct queued_job *q = j->first;

			if ((j->first = q->next) == NULL)
				j->last = &j->first;
			j->waiting--;
			q->next = NULL;
			if (q->fn == NULL) {
				free_job(q);
				continue;
			}
			w.len = q->len;
			w.overflow = false;
			memcpy(w.buf, q->data, q->len);
			q->tries++;
			jw->busy = q;
			if (chan_send(jw->chan, &w, q->fd) != 0)
				log_error("an auth worker does not take its job"); /* its end gives the job back */
			mem_wipe(w.buf, w.len);
		}
	}
}

static void push(struct jobs *j, struct queued_job *q, bool front)
{
	j->waiting++;
	if (front) {
		q->next = j->first;
		if (j->first == NULL)
			j->last = &q->next;
		j->first = q;
		return;
	}
	*j->last = q;
	j->last = &q->next;
}

static void on_message(struct chan *c UNUSED, struct msgr *r, int fd, void *arg)
{
	struct job_worker *jw = arg;
	struct jobs *j = jw->jobs;
	struct queued_job *q = jw->busy;
	struct job_done done;

	if (r->type != JOB_DONE || !job_done_read(r, &done) || q == NULL || done.id != q->id) {
		log_error("unexpected message %u from an auth worker", r->type);
		if (fd != -1)
			close(fd);
		if (r->type == JOB_DONE)
			job_done_fini(&done);
		return;
	}
	jw->busy = NULL;
	finish(q, &done, fd);
	job_done_fini(&done);
	dispatch(j);
}

static void on_gone(struct chan *c UNUSED, void *arg)
{
	struct job_worker *jw = arg;
	struct jobs *j = jw->jobs;
	struct queued_job *q = jw->busy;

	for (struct job_worker **p = &j->workers; *p != NULL; p = &(*p)->next)
		if (*p == jw) {
			*p = jw->next;
			break;
		}
	chan_free(&jw->chan);
	mem_free(&jw);
	if (q == NULL)
		return;
	if (q->tries < 2)
		push(j, q, true);
	else
		finish(q, NULL, -1);
	dispatch(j);
}

static void on_tell(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct jobs *j = t->data;
	struct queued_job *q;

	while ((q = j->refused) != NULL) {
		j->refused = q->next;
		finish(q, NULL, -1);
	}
}

struct jobs *jobs_new(struct ev_loop *loop)
{
	struct jobs *j = mem_alloc(sizeof(*j));

	j->loop = loop;
	j->last = &j->first;
	ev_timer_init(&j->tell, on_tell, 0, 0);
	j->tell.data = j;
	return j;
}

static void free_list(struct queued_job *q)
{
	while (q != NULL) {
		struct queued_job *next = q->next;

		free_job(q);
		q = next;
	}
}

void jobs_free(struct jobs **jp)
{
	struct jobs *j = *jp;

	if (j == NULL)
		return;
	ev_timer_stop(j->loop, &j->tell);
	while (j->workers != NULL) {
		struct job_worker *jw = j->workers;

		j->workers = jw->next;
		free_list(jw->busy);
		chan_free(&jw->chan);
		mem_free(&jw);
	}
	free_list(j->first);
	free_list(j->refused);
	mem_free(jp);
}

void jobs_add_worker(struct jobs *j, unsigned slot, uint64_t generation, int sock)
{
	struct job_worker *jw = mem_alloc(sizeof(*jw));

	jw->jobs = j;
	jw->slot = slot;
	jw->generation = generation;
	jw->chan = chan_new(j->loop, sock, on_message, on_gone, jw);
	jw->next = j->workers;
	j->workers = jw;
	dispatch(j);
}

uint32_t jobs_next_id(struct jobs *j)
{
	return ++j->last_id;
}

void jobs_submit(struct jobs *j, uint32_t id, const struct msgw *w, int fd, jobs_fn *fn, void *arg)
{
	struct queued_job *q = mem_alloc(sizeof(*q) + w->len);

	q->id = id;
	q->fn = fn;
	q->arg = arg;
	q->len = w->len;
	memcpy(q->data, w->buf, w->len);
	q->fd = fd != -1 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	if (j->waiting >= JOBS_QUEUE_MAX || w->overflow) {
		q->next = j->refused;
		j->refused = q;
		ev_timer_set(&j->tell, 0, 0);
		ev_timer_start(j->loop, &j->tell);
		return;
	}
	push(j, q, false);
	dispatch(j);
}

void jobs_forget(struct jobs *j, void *arg)
{
	for (struct job_worker *jw = j->workers; jw != NULL; jw = jw->next)
		if (jw->busy != NULL && jw->busy->arg == arg)
			jw->busy->fn = NULL;
	for (struct queued_job *q = j->first; q != NULL; q = q->next)
		if (q->arg == arg)
			q->fn = NULL;
	for (struct queued_job *q = j->refused; q != NULL; q = q->next)
		if (q->arg == arg)
			q->fn = NULL;
}

unsigned jobs_waiting(const struct jobs *j)
{
	return j->waiting;
}

unsigned jobs_workers(const struct jobs *j)
{
	unsigned n = 0;

	for (const struct job_worker *jw = j->workers; jw != NULL; jw = jw->next)
		n++;
	return n;
}
