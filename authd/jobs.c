/* The queue of the auth workers: which job is next, and which are refused under overload. */
#include "authd/jobs.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/mem.h"
#include "node/msg_channel.h"

#define TELL_SECONDS 60 /* least time between log lines about refusals */

/* Classes of work. While others wait, each may take all workers but one; those that ask directories may never take
 * more together, as directories, and name servers on the way, may be silent for longer than anybody can wait. */
enum class {
	CLASS_OWN,   /* the node's: the userdb, hashes for the tool */
	CLASS_PROBE, /* the node's questions to directories */
	CLASS_LOOKUP,
	CLASS_HASH,
	CLASS_COUNT
};

enum state { JOB_WAITING, JOB_BUSY, JOB_REFUSED };

struct queued_job {
	struct queued_job *prev, *next;               /* of the list of its state */
	struct queued_job *waiter_prev, *waiter_next; /* of its waiter */
	struct waiter *waiter;                        /* NULL: cancelled */
	struct client *client;                        /* waiting or busy: whom it is for; NULL: the node */
	uint32_t id;
	int fd;
	unsigned tries;
	enum class class;
	enum state state;
	jobs_fn *fn;
	size_t len;
	uint8_t data[];
};

/* A client of the queue, with its jobs. */
struct waiter {
	void *arg;
	struct queued_job *jobs;
	UT_hash_handle hh;
};

/* The jobs of one class that wait for one address. */
struct line {
	struct line *prev, *next; /* of the class's ring, while there are jobs */
	struct queued_job *jobs;
};

/* An address that has jobs; it is forgotten with the last of them. */
struct client {
	struct net_addr key;
	unsigned waiting, busy;
	struct client *prev, *next; /* of those with the same number waiting */
	struct line line[CLASS_COUNT];
	UT_hash_handle hh;
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
	unsigned nworkers, busy[CLASS_COUNT];
	struct queued_job *own[CLASS_COUNT]; /* of CLASS_OWN and CLASS_PROBE: first in, first out */
	struct line *ring[CLASS_COUNT];      /* the first one is next */
	enum class last;                     /* of lookups and hashes: which one ran last */
	unsigned waiting, waiting_class[CLASS_COUNT];
	struct client *clients;
	struct client *by_waiting[JOBS_CLIENT_MAX + 1]; /* by their number of waiting jobs */
	unsigned most;                                  /* the highest such number */
	struct waiter *waiters;
	struct queued_job *refused; /* reported from the loop */
	ev_timer tell;
	uint64_t nrefused, reported;
	uint32_t tell_again;
	uint32_t last_id;
};

/* --- waiters --- */

static void add_waiter(struct jobs *j, struct queued_job *q, void *arg)
{
	HASH_FIND_PTR(j->waiters, &arg, q->waiter);
	if (q->waiter == NULL) {
		q->waiter = mem_alloc(sizeof(*q->waiter));
		q->waiter->arg = arg;
		HASH_ADD_PTR(j->waiters, arg, q->waiter);
	}
	DL_APPEND2(q->waiter->jobs, q, waiter_prev, waiter_next);
}

static void drop_waiter(struct jobs *j, struct queued_job *q)
{
	struct waiter *a = q->waiter;

	if (a == NULL)
		return;
	q->waiter = NULL;
	DL_DELETE2(a->jobs, q, waiter_prev, waiter_next);
	if (a->jobs != NULL)
		return;
	HASH_DEL(j->waiters, a);
	mem_free(&a);
}

/* --- addresses --- */

static struct client *find_client(const struct jobs *j, const struct net_addr *key)
{
	struct client *c;

	_Static_assert(sizeof(*key) == 24, "a key has no padding");
	HASH_FIND(hh, j->clients, key, sizeof(*key), c);
	return c;
}

static struct client *get_client(struct jobs *j, const struct net_addr *key)
{
	struct client *c = find_client(j, key);

	if (c != NULL)
		return c;
	c = mem_alloc(sizeof(*c));
	c->key = *key;
	HASH_ADD(hh, j->clients, key, sizeof(c->key), c);
	return c;
}

/* Frees C if it has no job. */
static void forget_idle(struct jobs *j, struct client *c)
{
	if (c->waiting != 0 || c->busy != 0)
		return;
	HASH_DEL(j->clients, c);
	mem_free(&c);
}

/* Adds CHANGE to the number of C's waiting jobs; frees C with the last job. */
static void count_client(struct jobs *j, struct client *c, int change)
{
	if (c->waiting != 0)
		DL_DELETE(j->by_waiting[c->waiting], c);
	c->waiting += (unsigned)change;
	if (c->waiting != 0)
		DL_PREPEND(j->by_waiting[c->waiting], c);
	if (c->waiting > j->most)
		j->most = c->waiting;
	else if (j->by_waiting[j->most] == NULL)
		j->most = j->most != 0 ? j->most - 1 : 0;
	forget_idle(j, c);
}

/* --- the queue --- */

static void enter(struct jobs *j, struct queued_job *q, struct client *c)
{
	q->state = JOB_WAITING;
	q->client = c;
	j->waiting++;
	j->waiting_class[q->class]++;
	if (c == NULL) {
		DL_APPEND(j->own[q->class], q);
		return;
	}
	if (c->line[q->class].jobs == NULL)
		DL_APPEND(j->ring[q->class], &c->line[q->class]);
	DL_APPEND(c->line[q->class].jobs, q);
	count_client(j, c, 1);
}

static void dequeue(struct jobs *j, struct queued_job *q)
{
	struct client *c = q->client;

	j->waiting--;
	j->waiting_class[q->class]--;
	if (c == NULL) {
		DL_DELETE(j->own[q->class], q);
		return;
	}
	DL_DELETE(c->line[q->class].jobs, q);
	if (c->line[q->class].jobs == NULL)
		DL_DELETE(j->ring[q->class], &c->line[q->class]);
	q->client = NULL;
	count_client(j, c, -1);
}

static bool asks_directories(enum class class)
{
	return class == CLASS_PROBE || class == CLASS_LOOKUP;
}

/* The first of the jobs of CLASS whose address has not its share of the workers yet; NULL: there is none. At most as
 * many addresses as there are workers are passed over. */
static struct line *next_line(const struct jobs *j, enum class class)
{
	struct line *line;

	DL_FOREACH(j->ring[class], line)
	if (line->jobs->client->busy < MAX((j->nworkers + 1) / 2, 1))
		return line;
	return NULL;
}

/* True if a job of CLASS waits and may take the next worker, with one left for the other classes. */
static bool may_go(const struct jobs *j, enum class class)
{
	bool others = j->waiting != j->waiting_class[class];

	if (j->own[class] == NULL && next_line(j, class) == NULL)
		return false;
	if (j->nworkers < 2)
		return true;
	if (asks_directories(class) && j->busy[CLASS_PROBE] + j->busy[CLASS_LOOKUP] + 1 >= j->nworkers)
		return false;
	return !others || j->busy[class] + 1 < j->nworkers;
}

/* Takes the next job out of the queue, for a worker or to be freed; NULL: there is none that may be taken. */
static struct queued_job *next_job(struct jobs *j)
{
	enum class class = CLASS_OWN;
	struct queued_job *q;
	struct client *client;
	struct line *line;

	if (!may_go(j, class))
		class = CLASS_PROBE;
	if (!may_go(j, class)) {
		class = j->last == CLASS_LOOKUP ? CLASS_HASH : CLASS_LOOKUP;
		if (!may_go(j, class))
			class = j->last;
		if (!may_go(j, class))
			return NULL;
		j->last = class;
	}
	if (j->own[class] != NULL) {
		q = j->own[class];
		dequeue(j, q);
		return q;
	}
	line = next_line(j, class);
	DL_DELETE(j->ring[class], line);
	DL_APPEND(j->ring[class], line);
	q = line->jobs;
	client = q->client;
	client->busy++;
	dequeue(j, q);
	q->client = client;
	return q;
}

/* --- jobs --- */

static void free_job(struct queued_job *q)
{
	if (q->fd != -1)
		close(q->fd);
	mem_wipe(q->data, q->len);
	mem_free(&q);
}

static void finish(struct jobs *j, struct queued_job *q, const struct job_done *done, int fd)
{
	jobs_fn *fn = q->waiter != NULL ? q->fn : NULL;
	void *arg = q->waiter != NULL ? q->waiter->arg : NULL;

	drop_waiter(j, q);
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

	for (struct job_worker *jw = j->workers; jw != NULL && j->waiting != 0; jw = jw->next) {
		struct queued_job *q;

		if (jw->busy != NULL || (q = next_job(j)) == NULL)
			continue;
		w.len = q->len;
		w.overflow = false;
		memcpy(w.buf, q->data, q->len);
		q->tries++;
		q->state = JOB_BUSY;
		j->busy[q->class]++;
		jw->busy = q;
		if (chan_send(jw->chan, &w, q->fd) != 0)
			log_error("an auth worker does not accept its job"); /* when it ends, the job is queued again */
		mem_wipe(w.buf, w.len);
	}
}

/* Q, of next_job(), takes no share of its address any more. */
static void release(struct jobs *j, struct queued_job *q)
{
	struct client *c = q->client;

	if (c == NULL)
		return;
	q->client = NULL;
	c->busy--;
	forget_idle(j, c);
}

/* Takes JW's job back from it. */
static struct queued_job *take_back(struct job_worker *jw)
{
	struct queued_job *q = jw->busy;

	if (q != NULL) {
		jw->jobs->busy[q->class]--;
		release(jw->jobs, q);
	}
	jw->busy = NULL;
	return q;
}

static void on_message(struct chan *c, struct msgr *r, int fd, void *arg)
{
	struct job_worker *jw = arg;
	struct jobs *j = jw->jobs;
	struct job_done done;
	bool good;

	if (r->type != JOB_DONE) {
		msg_channel_skips(c, r, "an auth worker");
		if (fd != -1)
			close(fd);
		return;
	}
	good = job_done_read(r, &done);
	if (jw->busy == NULL || done.id != jw->busy->id) {
		log_error("unexpected answer of an auth worker");
		if (fd != -1)
			close(fd);
	} else if (good) {
		finish(j, take_back(jw), &done, fd);
	} else { /* the job is over nevertheless */
		log_error("malformed answer of an auth worker");
		if (fd != -1)
			close(fd);
		finish(j, take_back(jw), NULL, -1);
	}
	job_done_fini(&done);
	dispatch(j);
}

static void on_gone(struct chan *c UNUSED, void *arg)
{
	struct job_worker *jw = arg;
	struct jobs *j = jw->jobs;
	struct queued_job *q = take_back(jw);

	for (struct job_worker **p = &j->workers; *p != NULL; p = &(*p)->next)
		if (*p == jw) {
			*p = jw->next;
			break;
		}
	j->nworkers--;
	chan_free(&jw->chan);
	mem_free(&jw);
	if (q != NULL && q->tries < 2 && q->waiter != NULL) {
		q->class = asks_directories(q->class) ? CLASS_PROBE : CLASS_OWN; /* the delay was ours */
		enter(j, q, NULL);
	} else if (q != NULL) {
		finish(j, q, NULL, -1);
	}
	dispatch(j);
}

/* --- refusals --- */

static void on_tell(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct jobs *j = t->data;
	struct queued_job *q;

	while ((q = j->refused) != NULL) {
		DL_DELETE(j->refused, q);
		finish(j, q, NULL, -1);
	}
}

/* Logs a refused job of the address KEY, of which WAITING jobs wait; KEY NULL: of the node itself. */
static void log_refusal(struct jobs *j, const struct net_addr *key, unsigned waiting)
{
	char ip[NET_IP_TEXT_MAX], whose[NET_IP_TEXT_MAX + 16] = "the node's own";

	j->nrefused++;
	if (!log_due(&j->tell_again, TELL_SECONDS))
		return;
	if (key != NULL)
		snprintf(whose, sizeof(whose), "for ip=[%s%s]", net_addr_log(key, ip),
		    key->family == AF_INET6 ? "/64" : "");
	log_warn("too many logins wait for an auth worker: %u, of these %u %s; %llu refused with a temporary failure "
	         "since the last report; block the address if it guesses passwords, else see daemons of "
	         "authdaemonrc",
	    j->waiting, waiting, whose, (unsigned long long)(j->nrefused - j->reported));
	j->reported = j->nrefused;
}

static void refuse(struct jobs *j, struct queued_job *q)
{
	q->state = JOB_REFUSED;
	DL_APPEND(j->refused, q);
	ev_timer_set(&j->tell, 0, 0);
	ev_timer_start(j->loop, &j->tell);
}

/* Refuses the latest job of the address with most jobs waiting. */
static void drop_latest(struct jobs *j)
{
	struct client *c = j->by_waiting[j->most];
	struct queued_job *q = NULL;

	for (int class = 0; class < CLASS_COUNT; class ++) {
		struct queued_job *head = c->line[class].jobs;

		if (head != NULL && (q == NULL || (int32_t)(head->prev->id - q->id) > 0))
			q = head->prev; /* the tail of the list */
	}
	log_refusal(j, &c->key, c->waiting);
	dequeue(j, q);
	refuse(j, q);
}

/* --- the module --- */

static enum class class_of(const struct msgw *w, const struct net_addr *client) {
	if (job_kind_of(w) == JOB_LOOKUP || job_kind_of(w) == JOB_VERIFY) return client == NULL ? CLASS_PROBE :
	                                                                                          CLASS_LOOKUP;
	return client == NULL ? CLASS_OWN : CLASS_HASH;
}

struct jobs *jobs_new(struct ev_loop *loop)
{
	struct jobs *j = mem_alloc(sizeof(*j));

	j->loop = loop;
	j->last = CLASS_HASH;
	ev_timer_init(&j->tell, on_tell, 0, 0);
	j->tell.data = j;
	return j;
}

static void drop(struct jobs *j, struct queued_job *q)
{
	drop_waiter(j, q);
	free_job(q);
}

void jobs_free(struct jobs **jp)
{
	struct jobs *j = *jp;
	struct queued_job *q;

	if (j == NULL)
		return;
	ev_timer_stop(j->loop, &j->tell);
	while (j->workers != NULL) {
		struct job_worker *jw = j->workers;

		j->workers = jw->next;
		if ((q = take_back(jw)) != NULL)
			drop(j, q);
		chan_free(&jw->chan);
		mem_free(&jw);
	}
	j->nworkers = 0;
	while ((q = next_job(j)) != NULL) {
		release(j, q);
		drop(j, q);
	}
	while ((q = j->refused) != NULL) {
		DL_DELETE(j->refused, q);
		drop(j, q);
	}
	mem_free(jp);
}

void jobs_add_worker(struct jobs *j, unsigned slot, uint64_t generation, int sock)
{
	struct job_worker *jw = mem_alloc(sizeof(*jw));

	jw->jobs = j;
	jw->slot = slot;
	jw->generation = generation;
	jw->chan = msg_channel_open(j->loop, sock, on_message, on_gone, jw);
	jw->next = j->workers;
	j->workers = jw;
	j->nworkers++;
	dispatch(j);
}

uint32_t jobs_next_id(struct jobs *j)
{
	return ++j->last_id;
}

void jobs_submit(struct jobs *j, uint32_t id, const struct msgw *w, int fd, const struct net_addr *client, jobs_fn *fn,
    void *arg)
{
	struct queued_job *q = mem_alloc(sizeof(*q) + w->len);
	struct net_addr key;
	const struct client *c = NULL;
	unsigned mine = 0;

	q->id = id;
	q->class = class_of(w, client);
	q->fn = fn;
	q->len = w->len;
	memcpy(q->data, w->buf, w->len);
	q->fd = fd != -1 ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
	add_waiter(j, q, arg);
	if (client != NULL) {
		key = net_addr_client(client);
		mine = (c = find_client(j, &key)) != NULL ? c->waiting : 0;
	}
	if (w->overflow) {
		refuse(j, q);
		return;
	}
	if (mine >= JOBS_CLIENT_MAX ||
	    (j->waiting >= JOBS_QUEUE_MAX && (j->most == 0 || (client != NULL && mine >= j->most)))) {
		log_refusal(j, client != NULL ? &key : NULL,
		    client != NULL ? mine : j->waiting_class[CLASS_OWN] + j->waiting_class[CLASS_PROBE]);
		refuse(j, q);
		return;
	}
	if (j->waiting >= JOBS_QUEUE_MAX)
		drop_latest(j);
	enter(j, q, client != NULL ? get_client(j, &key) : NULL);
	dispatch(j);
}

void jobs_forget(struct jobs *j, void *arg)
{
	struct waiter *a;
	struct queued_job *q;

	for (;;) {
		HASH_FIND_PTR(j->waiters, &arg, a);
		if (a == NULL)
			return;
		q = a->jobs;
		drop_waiter(j, q);
		if (q->state == JOB_WAITING) {
			dequeue(j, q);
			free_job(q);
		}
	}
}

bool jobs_begun(const struct jobs *j, void *arg)
{
	const struct queued_job *q;
	const struct waiter *a;

	HASH_FIND_PTR(j->waiters, &arg, a);
	if (a == NULL)
		return false;
	DL_FOREACH2(a->jobs, q, waiter_next)
	{
		if (q->state == JOB_BUSY)
			return true;
	}
	return false;
}

unsigned jobs_waiting(const struct jobs *j)
{
	return j->waiting;
}

uint64_t jobs_refused(const struct jobs *j)
{
	return j->nrefused;
}

unsigned jobs_workers(const struct jobs *j)
{
	return j->nworkers;
}

unsigned jobs_running(const struct jobs *j)
{
	unsigned n = 0;

	for (const struct job_worker *jw = j->workers; jw != NULL; jw = jw->next)
		n += jw->busy != NULL;
	return n;
}
