/* Connections that wait for their end. */
#include "proxy/let_go.h"

#include "lib/mem.h"
#include "lib/rnd.h"

struct waiter {
	struct waiter *next, **prev;
	struct let_go *all;
	struct conn conn;
	ev_timer timer;
	bool end; /* what the client is told then */
};

struct let_go {
	struct ev_loop *loop;
	struct waiter *first;
	unsigned count, spread;
};

static void let_go(struct waiter *w)
{
	struct let_go *g = w->all;

	ev_timer_stop(g->loop, &w->timer);
	(w->end ? conn_shut : conn_break_off)(&w->conn);
	conn_close(g->loop, &w->conn);
	*w->prev = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	g->count--;
	mem_free(&w);
}

static void on_time(struct ev_loop *loop UNUSED, ev_timer *t, int revents UNUSED)
{
	let_go(t->data);
}

/* The client has ended, or says something; that is read, as closing with bytes unread would reset the connection. */
static void on_client(struct ev_loop *loop UNUSED, ev_io *io, int revents)
{
	static char buf[16 * 1024];
	struct waiter *w = io->data;

	if (conn_ready(&w->conn, revents) != 0 && conn_read(&w->conn, buf, sizeof(buf)) != CONN_LATER)
		let_go(w);
	mem_wipe(buf, sizeof(buf));
}

/* Seconds: 0 or more, and less than SPREAD. */
static double some_time(unsigned spread)
{
	uint32_t n;

	rnd_bytes(&n, sizeof(n));
	return spread * (n / 4294967296.0);
}

struct let_go *let_go_new(struct ev_loop *loop, unsigned spread)
{
	struct let_go *g = mem_alloc(sizeof(*g));

	g->loop = loop;
	g->spread = spread;
	return g;
}

void let_go_free(struct let_go **g)
{
	if (*g != NULL)
		let_go_now(*g, (*g)->count);
	mem_free(g);
}

bool let_go_add(struct let_go *g, struct conn *client, bool end)
{
	struct waiter *w;

	if (g->spread == 0)
		return false;
	w = mem_alloc(sizeof(*w));
	w->all = g;
	w->end = end;
	conn_take_over(g->loop, &w->conn, on_client, w, client);
	conn_watch(g->loop, &w->conn, EV_READ);
	ev_timer_init(&w->timer, on_time, some_time(g->spread), 0);
	w->timer.data = w;
	ev_timer_start(g->loop, &w->timer);
	w->next = g->first;
	w->prev = &g->first;
	if (w->next != NULL)
		w->next->prev = &w->next;
	g->first = w;
	g->count++;
	return true;
}

unsigned let_go_count(const struct let_go *g)
{
	return g->count;
}

void let_go_now(struct let_go *g, unsigned n)
{
	while (n-- > 0 && g->first != NULL)
		let_go(g->first);
}
