/* Decides which worker accepts the clients of which slot. */
#include "master/slots.h"

#include "lib/log.h"
#include "master/missing.h"
#include "node/msg_control.h"

static struct msgw out;

/* C can be given clients' sockets; it may have to refuse them, see has_room(). */
static bool serves(const struct child *c)
{
	return c->post->role == ROLE_WORKER && c->ready && !c->retired && !c->held && c->watch.step == WATCH_WELL &&
	    c->control != NULL;
}

static bool has_room(const struct child *c)
{
	return serves(c) && c->clients == CLIENTS_ACCEPTED && !missing_sockets(c);
}

static void pass_sockets(struct child *c, unsigned slot)
{
	struct master *m = c->post->m;
	unsigned slots = children_worker_slots(m->set);

	for (const struct listener *l = m->listeners.first; l != NULL; l = l->next) {
		if (!listen_is_for(l, slot, slots))
			continue;
		listen_again(l);
		control_listen_write(&out, &(struct control_listen){ slot, l->protocol, l->tls });
		if (!children_send(c, &out, l->fd))
			missing_add(c, CTL_LISTEN, NULL, slot);
	}
}

static void take_sockets(struct child *c, unsigned slot)
{
	control_unlisten_write(&out, slot);
	children_send(c, &out, -1);
}

void slots_begin(struct child *c)
{
	pass_sockets(c, c->post->slot);
}

/* The post of SLOT, whatever becomes of the process that fills it. */
static struct post *post_of(struct master *m, unsigned slot)
{
	for (struct post *p = m->posts; p != NULL; p = p->next)
		if (p->role == ROLE_WORKER && p->slot == slot)
			return p;
	return NULL;
}

bool slots_serves(const struct child *c, unsigned slot)
{
	const struct post *p = c->post->role == ROLE_WORKER ? post_of(c->post->m, slot) : NULL;

	return p != NULL && !c->retired && (p == c->post || p->helper == c);
}

void slots_repeat(struct child *c, unsigned slot)
{
	if (!slots_serves(c, slot))
		return;
	take_sockets(c, slot);
	pass_sockets(c, slot);
}

static unsigned lent_to(const struct child *c)
{
	unsigned n = 0;

	for (const struct post *p = c->post->m->posts; p != NULL; p = p->next)
		n += p->helper == c;
	return n;
}

/* Of those that FIT the one that serves fewest slots of others; BEFORE if it still fits, to avoid needless moves. */
static struct child *choose(struct master *m, bool (*fit)(const struct child *c), struct child *before)
{
	struct child *best = NULL;

	if (before != NULL && fit(before))
		return before;
	for (struct child *c = m->children; c != NULL; c = c->next)
		if (fit(c) && (best == NULL || lent_to(c) < lent_to(best)))
			best = c;
	return best;
}

static bool own_worker(const struct post *p, bool (*fit)(const struct child *c))
{
	for (const struct child *c = p->m->children; c != NULL; c = c->next)
		if (c->post == p && fit(c))
			return true;
	return false;
}

/* The worker that accepts the clients of P. NULL: P's own worker does, or refuses them, or there is no worker. */
static struct child *helper_for(struct post *p, bool room)
{
	bool (*fit)(const struct child *c) = room ? has_room : serves;

	return own_worker(p, fit) ? NULL : choose(p->m, fit, p->helper);
}

static void lend(struct post *p, struct child *to)
{
	char name[32], other[32];

	if (p->helper == to)
		return;
	if (p->helper != NULL)
		take_sockets(p->helper, p->slot);
	p->helper = to;
	if (to == NULL)
		return;
	log_debug("the clients of %s are accepted by %s", master_post_name(p, name), master_post_name(to->post, other));
	pass_sockets(to, p->slot);
}

static void tell_full_ones(struct master *m, bool others)
{
	enum child_notice now = others ? NOTICE_OTHERS_ACCEPT : NOTICE_NOBODY_ACCEPTS;

	for (struct child *c = m->children; c != NULL; c = c->next) {
		if (!serves(c) || c->clients != CLIENTS_FULL || c->notice == now)
			continue;
		c->notice = now;
		control_switch_write(&out, CTL_OTHERS, others);
		children_send(c, &out, -1);
	}
}

void slots_update(struct master *m)
{
	bool room;

	if (m->state != MASTER_RUNNING)
		return;
	room = choose(m, has_room, NULL) != NULL;
	for (struct post *p = m->posts; p != NULL; p = p->next)
		if (p->role == ROLE_WORKER && p->wanted)
			lend(p, helper_for(p, room));
	tell_full_ones(m, room);
}

void slots_take_back(struct master *m)
{
	for (struct post *p = m->posts; p != NULL; p = p->next)
		lend(p, NULL);
}

void slots_forget(const struct child *c)
{
	for (struct post *p = c->post->m->posts; p != NULL; p = p->next)
		if (p->helper == c)
			p->helper = NULL;
}
