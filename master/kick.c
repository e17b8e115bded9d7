/* Session servers that were asked to end, and when they are killed. */
#include "master/kick.h"

#include "lib/mem.h"

/* A kick whose servers have not all ended. */
struct kick {
	struct kick *next;
	uint32_t query;
	uint32_t sessions, left, killed;
	ev_timer grace;
};

static struct {
	struct ev_loop *loop;
	kick_done_fn *done;
	struct kick *first;
} kicks;

void kick_init(struct ev_loop *loop, kick_done_fn *done)
{
	kicks.loop = loop;
	kicks.done = done;
}

static void end_kick(struct kick *k)
{
	for (struct kick **p = &kicks.first; *p != NULL; p = &(*p)->next)
		if (*p == k) {
			*p = k->next;
			break;
		}
	ev_timer_stop(kicks.loop, &k->grace);
	kicks.done(k->query, k->sessions, k->killed);
	mem_free(&k);
}

static void on_grace(struct ev_loop *loop UNUSED, ev_timer *w, int revents UNUSED)
{
	struct kick *k = CONTAINER_OF(w, struct kick, grace);

	k->killed = servers_kill_kicked(k->query, KICK_GRACE);
}

void kick_sessions(uint32_t query, const struct session_choice *choice)
{
	struct kick *k = mem_alloc(sizeof(*k));

	k->query = query;
	k->sessions = servers_kick(choice, query, &k->left);
	k->next = kicks.first;
	kicks.first = k;
	ev_timer_init(&k->grace, on_grace, KICK_GRACE, 0.);
	if (k->left == 0)
		end_kick(k);
	else
		ev_timer_start(kicks.loop, &k->grace);
}

void kick_ended(const struct server *s)
{
	for (struct kick *k = kicks.first; k != NULL; k = k->next)
		if (k->query == s->kick) {
			if (--k->left == 0)
				end_kick(k);
			return;
		}
}
