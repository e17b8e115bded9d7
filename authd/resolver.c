/* Host name lookups, each in a child process with a time limit. */
#include "authd/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>
#include <utlist.h>

#include "authlib/child.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"
#include "lib/msg.h"

#define TURN_SECONDS 1.0 /* minimum for a look-up, however many wait */

struct lookup {
	struct lookup *prev, *next;
	struct resolver *resolver;
	bool running; /* its child runs, or could not be started: then the timer reports it */
	double began; /* loop_now() */
	char host[RESOLVER_HOST_MAX];
	struct child child;
	ev_io io;
	ev_timer timer;
	double until; /* of loop_timer_start() */
};

struct resolver {
	struct ev_loop *loop;
	double seconds;
	resolver_fn *fn;
	void *arg;
	struct lookup *running, *queued; /* each in order of age */
	unsigned nrunning, nqueued;
	bool longest;  /* run next the one that has waited longest, else shortest */
	ev_timer turn; /* while some are queued: ends a running one whose time is up */
};

/* --- in the child --- */

static void write_addr(struct msgw *w, const struct addrinfo *ai)
{
	struct sockaddr_storage ss;
	struct net_addr a;

	if (ai->ai_addrlen > sizeof(ss))
		return;
	memset(&ss, 0, sizeof(ss));
	memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
	net_addr_from(&a, &ss);
	a.port = 0;
	if (a.family != 0)
		net_addr_write(w, &a);
}

/* Writes the answer: a message with the addresses, whose type is the kind of answer. */
static int look_up(void *arg)
{
	static struct msgw w;
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list = NULL;
	unsigned n = 0;
	int err;

	prctl(PR_SET_NAME, "waypostd-name", 0, 0, 0);
	err = getaddrinfo(arg, NULL, &hints, &list);

	if (err == 0)
		msgw_begin(&w, NAME_FOUND);
	else /* "no such name" is final; all other errors may pass */
		msgw_begin(&w, err == EAI_NONAME || err == EAI_NODATA ? NAME_UNKNOWN : NAME_NO_ANSWER);
	for (const struct addrinfo *ai = list; err == 0 && ai != NULL && n < RESOLVER_ADDRS_MAX; ai = ai->ai_next, n++)
		write_addr(&w, ai);
	return msg_send(STDOUT_FILENO, &w, -1) == 0 ? 0 : 1;
}

/* --- in authd --- */

static void run_queued(struct resolver *r);

static void leave_list(struct lookup *l)
{
	struct resolver *r = l->resolver;

	if (l->running) {
		DL_DELETE(r->running, l);
		r->nrunning--;
	} else {
		DL_DELETE(r->queued, l);
		r->nqueued--;
	}
}

static void drop(struct lookup *l)
{
	struct resolver *r = l->resolver;

	ev_io_stop(r->loop, &l->io);
	ev_timer_stop(r->loop, &l->timer);
	child_end(&l->child, NULL);
	leave_list(l);
	mem_free(&l);
}

/* The result of the child. */
static enum name_answer read_answer(struct msgr *r, struct net_addr *addr, unsigned *n)
{
	while (!r->bad && r->p != r->end && *n < RESOLVER_ADDRS_MAX)
		net_addr_read(r, &addr[(*n)++]);
	if (msgr_end(r) && r->type == NAME_FOUND)
		return *n != 0 ? NAME_FOUND : NAME_UNKNOWN;
	*n = 0;
	return !r->bad && r->type == NAME_UNKNOWN ? NAME_UNKNOWN : NAME_NO_ANSWER;
}

/* MSG: the child's message; NULL: there is none. */
static void finish(struct lookup *l, struct msgr *msg)
{
	struct resolver *r = l->resolver;
	struct net_addr addr[RESOLVER_ADDRS_MAX];
	char host[RESOLVER_HOST_MAX];
	unsigned n = 0;
	enum name_answer answer = msg != NULL ? read_answer(msg, addr, &n) : NAME_NO_ANSWER;

	str_copy(host, sizeof(host), l->host);
	drop(l);
	run_queued(r);
	r->fn(host, answer, addr, n, r->arg);
}

static void on_time(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct lookup *l = t->data;

	if (!loop_timer_early(l->resolver->loop, t, l->until))
		finish(l, NULL);
}

static void on_output(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct lookup *l = io->data;
	static uint8_t buf[MSG_SIZE_MAX];
	struct msgr r;
	int fd, got = msg_recv(io->fd, buf, &r, &fd);

	if (fd != -1)
		close(fd);
	if (got == 1)
		finish(l, &r);
	else if (got == 0 || errno != EAGAIN)
		finish(l, NULL);
}

static void start(struct lookup *l)
{
	struct resolver *r = l->resolver;
	struct str why = STR_INIT;
	double seconds = r->seconds;

	leave_list(l);
	l->running = true;
	l->began = loop_now();
	DL_APPEND(r->running, l);
	r->nrunning++;
	if (child_start(&l->child, CHILD_MESSAGES, look_up, l->host, &why)) {
		ev_io_set(&l->io, l->child.from, EV_READ);
		ev_io_start(r->loop, &l->io);
	} else {
		log_error("cannot look up mailhost %s: %s", l->host, str_cstr(&why));
		seconds = 0; /* reported from the loop */
	}
	loop_timer_start(r->loop, &l->timer, seconds, &l->until);
	str_fini(&why);
}

/* Names whose servers are silent must not make all others wait: next is alternately the name that was asked for last,
 * whose login has not given up yet, and the one that has waited longest. */
static void run_queued(struct resolver *r)
{
	while (r->queued != NULL && r->nrunning < RESOLVER_CHILDREN) {
		start(r->longest ? r->queued : r->queued->prev);
		r->longest = !r->longest;
	}
	ev_timer_stop(r->loop, &r->turn);
	if (r->queued == NULL)
		return;
	ev_timer_set(&r->turn, MAX(r->running->began + TURN_SECONDS - loop_now(), 0), 0);
	ev_timer_start(r->loop, &r->turn);
}

static void on_turn(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	struct resolver *r = t->data;

	if (r->running->began + TURN_SECONDS <= loop_now())
		finish(r->running, NULL); /* which sets the timer for the next one */
	else
		run_queued(r);
}

struct resolver *resolver_new(struct ev_loop *loop, double seconds, resolver_fn *fn, void *arg)
{
	struct resolver *r = mem_alloc(sizeof(*r));

	r->loop = loop;
	r->seconds = seconds;
	r->fn = fn;
	r->arg = arg;
	ev_timer_init(&r->turn, on_turn, 0, 0);
	r->turn.data = r;
	return r;
}

void resolver_free(struct resolver **r)
{
	if (*r == NULL)
		return;
	ev_timer_stop((*r)->loop, &(*r)->turn);
	while ((*r)->running != NULL)
		drop((*r)->running);
	while ((*r)->queued != NULL)
		drop((*r)->queued);
	mem_free(r);
}

void resolver_ask(struct resolver *r, const char *host)
{
	struct lookup *l = mem_alloc(sizeof(*l));

	l->resolver = r;
	l->child = (struct child)CHILD_INIT;
	str_copy(l->host, sizeof(l->host), host);
	ev_io_init(&l->io, on_output, -1, EV_READ);
	ev_timer_init(&l->timer, on_time, 0, 0);
	l->io.data = l->timer.data = l;
	DL_APPEND(r->queued, l);
	r->nqueued++;
	run_queued(r);
}

unsigned resolver_waiting(const struct resolver *r)
{
	return r->nrunning + r->nqueued;
}
