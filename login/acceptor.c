/* A worker's listening sockets: open, paused while descriptors are short, or taken over from other workers. */
#include "login/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "lib/loop.h"
#include "lib/mem.h"

enum {
	ACCEPT_BURST = 32, /* clients accepted in one turn of the loop, so that open sessions are served, too */
	PER_LOGIN = 2,     /* descriptors: the client, the peer */
	AGAIN_LOGINS = 4,  /* accept again when there is room for this many */
	OWN_RESERVE = 16,  /* for channels to new neighbours and what libraries may need */
	ANSWER_SECONDS = 2,
	QUIET_SECONDS = 60 /* between two log lines about the same thing */
};

struct entry {
	struct entry *next;
	ev_io io;
	struct acceptor *acceptor;
	enum protocol protocol;
	bool tls;
	unsigned slot;
	uint16_t port;
};

struct acceptor {
	struct ev_loop *loop;
	const struct acceptor_hooks *hooks;
	void *arg;
	enum acceptor_state state;
	struct entry *entries;
	unsigned nentries;
	unsigned base;  /* descriptors of this process that belong to no entry and no client */
	unsigned limit; /* RLIMIT_NOFILE, as of the last second */
	/* Closed for a moment to accept and refuse a client; -1: could not be opened again. */
	int spare;
	uint32_t asked; /* loop_seconds() of the question to the master */
	/* For the log: */
	uint32_t quiet_until;
	unsigned pauses; /* whose end was not logged yet */
	bool logged;     /* the current one was logged */
	uint64_t refused, refused_then;
};

bool acceptor_is_full(const struct acceptor *g)
{
	return g->state == ACCEPTOR_ASKING || g->state == ACCEPTOR_LENT || g->state == ACCEPTOR_REFUSING;
}

/* --- what there is room for --- */

static void look_at_limit(struct acceptor *g)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
		g->limit = (unsigned)MIN(lim.rlim_cur, (rlim_t)UINT32_MAX);
}

static unsigned in_use(const struct acceptor *g)
{
	return g->base + g->nentries + g->hooks->in_use(g->arg);
}

bool acceptor_has_room(const struct acceptor *g, unsigned n)
{
	return (uint64_t)in_use(g) + n + OWN_RESERVE <= g->limit;
}

/* An open file of its own, not a dup(): it counts against the system's limit, too. */
static int new_spare(void)
{
	return eventfd(0, EFD_CLOEXEC);
}

/* If the limit leaves no reserve at all, one client at a time is better than none. */
static bool room_for_logins(const struct acceptor *g, unsigned n)
{
	return acceptor_has_room(g, n * PER_LOGIN) || g->hooks->in_use(g->arg) == 0;
}

/* The system has a descriptor left as well. */
static bool can_open(struct acceptor *g)
{
	int fd = new_spare();

	if (fd == -1)
		return false;
	if (g->spare == -1)
		g->spare = fd;
	else
		close(fd);
	return true;
}

/* --- the states --- */

static void on_connect(struct ev_loop *loop, ev_io *io, int revents);

/* Whether the sockets are watched depends on the state. */
static void watch(struct acceptor *g)
{
	bool look = g->state == ACCEPTOR_TAKING || g->state == ACCEPTOR_REFUSING;

	for (struct entry *e = g->entries; e != NULL; e = e->next)
		if (look)
			ev_io_start(g->loop, &e->io);
		else
			ev_io_stop(g->loop, &e->io);
}

static void enter(struct acceptor *g, enum acceptor_state state)
{
	g->state = state;
	watch(g);
}

static void say_full(struct acceptor *g, const char *why)
{
	uint32_t now = clock_seconds();

	g->pauses++;
	g->logged = now >= g->quiet_until;
	if (!g->logged)
		return;
	g->quiet_until = now + QUIET_SECONDS;
	log_error("not accepting clients: %s (%u descriptors needed, limit %u); other workers accept them, or they get "
	          "a temporary error. Raise LimitNOFILE, or lower MAXDAEMONS",
	    why, in_use(g), g->limit);
}

/* Logs the end of a logged pause at once, and of the others after a while. */
static void say_over(struct acceptor *g)
{
	uint32_t now = clock_seconds();

	if (g->pauses == 0 || (!g->logged && now < g->quiet_until))
		return;
	log_info("accepting clients again after %u pause%s; %llu clients got a temporary error", g->pauses,
	    g->pauses == 1 ? "" : "s", (unsigned long long)(g->refused - g->refused_then));
	g->pauses = 0;
	g->logged = false;
	g->refused_then = g->refused;
}

static void become_full(struct acceptor *g, const char *why)
{
	say_full(g, why);
	g->asked = loop_seconds();
	enter(g, ACCEPTOR_ASKING);
	g->hooks->tell(g->arg, true);
}

static void take_again(struct acceptor *g)
{
	enter(g, ACCEPTOR_TAKING);
	g->hooks->tell(g->arg, false);
	say_over(g);
}

void acceptor_tick(struct acceptor *g)
{
	look_at_limit(g); /* it may have changed */
	if (g->state == ACCEPTOR_TAKING)
		say_over(g);
	if (!acceptor_is_full(g))
		return;
	if (can_open(g) && room_for_logins(g, AGAIN_LOGINS))
		take_again(g);
	else if (g->state == ACCEPTOR_ASKING && loop_seconds() - g->asked >= ANSWER_SECONDS)
		enter(g, ACCEPTOR_REFUSING);
	else
		watch(g); /* refuse_one() may have stopped a socket */
}

void acceptor_answer(struct acceptor *g, bool others)
{
	if (acceptor_is_full(g))
		enter(g, others ? ACCEPTOR_LENT : ACCEPTOR_REFUSING);
}

/* --- clients --- */

static int accept_one(const struct entry *e, struct sockaddr_storage *ss)
{
	socklen_t len = sizeof(*ss);

	return accept4(e->io.fd, (struct sockaddr *)ss, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static bool is_shortage(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static bool admits(const struct acceptor *g, const struct entry *e, const struct net_addr *client)
{
	return g->hooks->admits(g->arg, e->protocol, client, e->port);
}

static void take(struct acceptor *g, const struct entry *e, int fd, const struct net_addr *client)
{
	g->hooks->client(g->arg, e->protocol, e->tls, fd, client, e->port);
}

/* The client on FD gets a place that has become free, or that of another one, or none. */
static void replace_or_refuse(struct acceptor *g, const struct entry *e, int fd, const struct sockaddr_storage *ss)
{
	struct net_addr client;

	net_addr_from(&client, ss);
	if (!admits(g, e, &client)) {
		close(fd);
		return;
	}
	if (room_for_logins(g, 1) || (acceptor_has_room(g, 0) && g->hooks->displace(g->arg, &client))) {
		take(g, e, fd, &client);
		return;
	}
	if (!e->tls) /* or it would not understand */
		g->hooks->refuse(g->arg, e->protocol, fd);
	close(fd);
	g->refused++;
}

/* False: no client, or no descriptor even for this; retried at the next tick. */
static bool refuse_one(struct acceptor *g, struct entry *e)
{
	struct sockaddr_storage ss;
	int fd;

	if (g->spare != -1)
		close(g->spare);
	fd = accept_one(e, &ss);
	if (fd != -1) {
		replace_or_refuse(g, e, fd, &ss);
	} else if (is_shortage(errno)) {
		ev_io_stop(g->loop, &e->io);
	}
	g->spare = new_spare();
	return fd != -1;
}

static bool take_one(struct acceptor *g, struct entry *e)
{
	struct sockaddr_storage ss;
	struct net_addr client;
	int fd;

	if (!room_for_logins(g, 1))
		g->hooks->trim(g->arg);
	if (!room_for_logins(g, 1)) {
		become_full(g, "the rest is reserved for pending logins");
		return false;
	}
	if ((fd = accept_one(e, &ss)) == -1) {
		if (is_shortage(errno)) {
			become_full(g, strerror(errno));
		}
		return false;
	}
	net_addr_from(&client, &ss);
	if (admits(g, e, &client))
		take(g, e, fd, &client);
	else
		close(fd);
	return true;
}

static void on_connect(struct ev_loop *loop UNUSED, ev_io *io, int revents UNUSED)
{
	struct entry *e = io->data;
	struct acceptor *g = e->acceptor;

	for (int i = 0; i < ACCEPT_BURST; i++) {
		if (g->state == ACCEPTOR_TAKING ? !take_one(g, e) : g->state != ACCEPTOR_REFUSING || !refuse_one(g, e))
			return;
	}
}

/* --- sockets --- */

void acceptor_add(struct acceptor *g, unsigned slot, enum protocol protocol, bool tls, int sock)
{
	struct net_addr here;
	struct entry *e;

	if (g->state == ACCEPTOR_SHUT) {
		close(sock);
		return;
	}
	e = mem_alloc(sizeof(*e));
	fcntl(sock, F_SETFL, fcntl(sock, F_GETFL) | O_NONBLOCK);
	e->acceptor = g;
	e->slot = slot;
	e->protocol = protocol;
	e->tls = tls;
	if (net_addr_here(sock, &here))
		e->port = here.port;
	ev_io_init(&e->io, on_connect, sock, EV_READ);
	e->io.data = e;
	e->next = g->entries;
	g->entries = e;
	g->nentries++;
	watch(g);
}

static void drop_if(struct acceptor *g, bool all, unsigned slot)
{
	for (struct entry **p = &g->entries; *p != NULL;) {
		struct entry *e = *p;

		if (!all && e->slot != slot) {
			p = &e->next;
			continue;
		}
		*p = e->next;
		ev_io_stop(g->loop, &e->io);
		loop_forget(g->loop, e->io.fd); /* other processes have the socket, too */
		close(e->io.fd);
		g->nentries--;
		mem_free(&e);
	}
}

void acceptor_drop(struct acceptor *g, unsigned slot)
{
	drop_if(g, false, slot);
}

void acceptor_open(struct acceptor *g)
{
	int lowest = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);

	if (lowest != -1) {
		close(lowest);
		g->base = (unsigned)lowest - MIN(g->nentries, (unsigned)lowest);
	}
	look_at_limit(g);
	enter(g, ACCEPTOR_TAKING);
}

void acceptor_shut(struct acceptor *g)
{
	g->state = ACCEPTOR_SHUT;
	drop_if(g, true, 0);
}

struct acceptor *acceptor_new(struct ev_loop *loop, const struct acceptor_hooks *hooks, void *arg)
{
	struct acceptor *g = mem_alloc(sizeof(*g));

	g->loop = loop;
	g->hooks = hooks;
	g->arg = arg;
	g->spare = new_spare();
	return g;
}

void acceptor_free(struct acceptor **gp)
{
	if (*gp == NULL)
		return;
	acceptor_shut(*gp);
	if ((*gp)->spare != -1)
		close((*gp)->spare);
	mem_free(gp);
}

enum acceptor_state acceptor_state(const struct acceptor *g)
{
	return g->state;
}

uint64_t acceptor_refused(const struct acceptor *g)
{
	return g->refused;
}
