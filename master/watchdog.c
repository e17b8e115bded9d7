/* Questions to the roles, and the end of those that do not answer. */
#include "master/watchdog.h"

#include <signal.h>
#include <stdio.h>

#include "lib/clock.h"
#include "lib/log.h"
#include "master/slots.h"
#include "node/msg_control.h"

static struct {
	ev_timer tick;
	double last;       /* tick */
	unsigned replaced; /* processes so far */
	double when;       /* the last one */
	char who[32];
} dog;

static struct msgw out;

static const char *what_it_does(const struct child *c, const struct watch_look *look)
{
	if (c->held || look->state == 'T')
		return "is stopped by a signal and";
	return look->state == 'R' ? "is busy and" : look->state == 'D' ? "waits for a disk and" : "hangs: it";
}

static void note(const struct child *c)
{
	dog.replaced++;
	dog.when = clock_now();
	master_post_name(c->post, dog.who);
}

static void kill_it(struct child *c, const struct watch_look *look)
{
	char name[32];

	log_error("%s (pid %ld) %s has not answered for %.0f s; killing it%s", master_post_name(c->post, name),
	    (long)c->pid, what_it_does(c, look), c->watch.silent,
	    c->post->current == c && c->post->wanted ? " and starting another one" : "");
	note(c);
	kill(c->pid, SIGKILL);
}

/* One at a time: not a process every few seconds for as long as successors hang too. */
static bool may_pass_by(const struct child *c)
{
	if (c->post->current != c || c->retired || !c->post->wanted)
		return false;
	for (const struct child *o = c->post->m->children; o != NULL; o = o->next)
		if (o != c && o->post == c->post && o->watch.step == WATCH_PASSED_BY)
			return false;
	return true;
}

/* Others take its clients, at least until a successor is ready. */
static void pass_by(struct child *c, const struct watch_look *look)
{
	bool succeeds = may_pass_by(c);
	char name[32];

	log_error("%s (pid %ld) %s has not answered for %.0f s; %s. Its sessions wait; it is killed after %.0f s",
	    master_post_name(c->post, name), (long)c->pid, what_it_does(c, look), c->watch.silent,
	    succeeds ? "starting another one for new clients" : "it gets no new clients",
	    watch_bounds(c->post->role)->kill);
	if (succeeds) {
		note(c);
		children_succeed(c->post);
	}
	slots_update(c->post->m);
}

static void look_at(struct child *c, const struct watch_bounds *b, double elapsed)
{
	struct watch_look look;
	enum watch_step due;

	watch_look(c->pid, &look);
	watch_silence(&c->watch, elapsed, &look);
	if ((due = watch_due(&c->watch, b, c->ready)) == c->watch.step)
		return;
	c->watch.step = due;
	if (due == WATCH_KILLED)
		kill_it(c, &look);
	else
		pass_by(c, &look);
}

/* False: it does not read, which is silence too. Who has closed the channel cannot answer, and should have ended. */
static bool ask(struct child *c)
{
	msgw_begin(&out, CTL_PING);
	return children_send(c, &out, -1);
}

static void on_tick(struct ev_loop *loop, ev_timer *t, int revents UNUSED)
{
	struct master *m = t->data;
	double now = clock_now(), elapsed = now - dog.last;

	if (m->state != MASTER_RUNNING)
		return;
	dog.last = now;
	for (struct child *c = m->children; c != NULL; c = c->next) {
		const struct watch_bounds *b = watch_bounds(c->post->role);

		if (b == NULL)
			continue;
		if (c->watch.asked || !(c->watch.asked = ask(c)))
			look_at(c, b, elapsed);
	}
	/* From now on, and not from when it was due: after a late tick two would come one after the other. */
	ev_timer_init(t, on_tick, WATCH_TICK, 0.);
	ev_timer_start(loop, t);
}

void watchdog_start(struct master *m)
{
	dog.last = clock_now();
	dog.tick.data = m;
	ev_timer_init(&dog.tick, on_tick, WATCH_TICK, 0.);
	ev_timer_start(m->loop, &dog.tick);
}

void watchdog_answer(struct child *c)
{
	char name[32];

	if (!watch_answer(&c->watch, clock_now()))
		return;
	log_info("%s (pid %ld) answers again%s", master_post_name(c->post, name), (long)c->pid,
	    c->retired ? "; it finishes its sessions" : "");
	slots_update(c->post->m);
}

void watchdog_describe(struct str *s)
{
	if (dog.replaced == 0)
		return;
	str_addf(s, "count\tsilent_replaced\t%u\n", dog.replaced);
	str_addf(s, "note\tsilent_replaced_last\t%s, %.0f s ago\n", dog.who, clock_now() - dog.when);
}
